//! Matrices: factored, inverted, solved for. References compute with complex numbers of `f64`, whatever the type.

mod algebra;
mod each;
mod factor;
mod samples;
mod spectrum;

pub(super) mod assignment;
pub(super) mod cholesky;
pub(super) mod determinant;
pub(super) mod diagonals;
pub(super) mod eigen;
pub(super) mod least_squares;
pub(super) mod lu;
pub(super) mod power;
pub(super) mod qr;
pub(super) mod solve;
pub(super) mod svd;
pub(super) mod trace;
pub(super) mod tridiagonal;
