//! Elements found and written by indices.

pub(super) mod combine;
pub(super) mod gather;
pub(super) mod index_add;
pub(super) mod index_fill;
pub(super) mod masked;
pub(super) mod one_hot;
pub(super) mod pick_grad;
pub(super) mod put;
pub(super) mod rows;
pub(super) mod scatter_elements;
pub(super) mod scatter_nd;
pub(super) mod segments;
pub(super) mod set_item;
pub(super) mod sorted_segments;
