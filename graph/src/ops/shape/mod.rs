//! The same elements in other places: shapes, orders, parts, borders, and what is computed of shapes.

pub(super) mod as_strided;
pub(super) mod blocks;
pub(super) mod broadcast_to;
pub(super) mod concat;
pub(super) mod cut;
pub(super) mod diagonal;
pub(super) mod dynamic;
pub(super) mod expand_dims;
pub(super) mod flatten;
pub(super) mod lists;
pub(super) mod pad;
pub(super) mod reshape;
pub(super) mod reverse_sequence;
pub(super) mod roll;
pub(super) mod same_elements;
pub(super) mod sequences;
pub(super) mod shape_of;
pub(super) mod slice;
pub(super) mod split;
pub(super) mod squeeze;
pub(super) mod strided_slice;
pub(super) mod tile;
pub(super) mod transpose;
pub(super) mod triangle;
pub(super) mod tuple;
