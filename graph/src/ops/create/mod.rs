//! Tensors made from numbers.

pub(super) mod meshgrid;
pub(super) mod numbers;
pub(super) mod ranges;
