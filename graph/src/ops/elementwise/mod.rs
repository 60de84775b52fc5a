//! One result for every element, or for every pair of them.

mod bessel;
mod gamma;

pub(super) mod activation;
pub(super) mod add_n;
pub(super) mod arithmetic;
pub(super) mod binary;
pub(super) mod bits;
pub(super) mod cast;
pub(super) mod clamp;
pub(super) mod close;
pub(super) mod glu;
pub(super) mod identity;
pub(super) mod integers;
pub(super) mod lerp;
pub(super) mod nan_to_num;
pub(super) mod prelu;
pub(super) mod round;
pub(super) mod scalar;
pub(super) mod select;
pub(super) mod special;
pub(super) mod unary;
