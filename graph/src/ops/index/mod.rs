//! Elements found and written by indices.

mod combine;
pub(super) mod gather;
pub(super) mod index_add;
pub(super) mod index_fill;
pub(super) mod one_hot;
pub(super) mod pick_grad;
pub(super) mod scatter_elements;
pub(super) mod scatter_nd;
pub(super) mod segments;
pub(super) mod set_item;
