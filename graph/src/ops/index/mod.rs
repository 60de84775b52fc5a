//! Elements found and written by indices.

pub(super) mod gather;
pub(super) mod index_fill;
pub(super) mod one_hot;
pub(super) mod scatter;
pub(super) mod set_item;
