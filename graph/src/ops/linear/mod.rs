//! Products of matrices and what is added to them.

pub(super) mod addmm;
pub(super) mod batch_mat_mul;
pub(super) mod bias_add;
pub(super) mod correlate;
pub(super) mod cross;
pub(super) mod dense;
pub(super) mod distance;
pub(super) mod mat_mul_ext;
pub(super) mod matmul;
pub(super) mod outer;
pub(super) mod product;
