//! Tensors of which only some elements are held: by their coordinates (COO), by rows (CSR) or in rows of several lengths.

pub(super) mod coo;
pub(super) mod csr;
pub(super) mod dense;
pub(super) mod edit;
pub(super) mod ragged;
pub(super) mod segments;
pub(super) mod sets;
