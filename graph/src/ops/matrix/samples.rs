//! Matrices for the operators' test cases, far from singular.

#[cfg(test)]
use super::algebra::Matrix;
use crate::DType;
use crate::op::CaseArg;
#[cfg(test)]
use crate::ops::kit::complex::Complex64;
use crate::ops::kit::sample::filled;

/// Element `f(row, col)` of matrices in the last two dimensions.
fn matrices(dtype: DType, dims: &[usize], f: impl Fn(usize, usize, f64) -> f64) -> CaseArg {
    let (rows, cols) = if let [.., rows, cols] = *dims { (rows, cols) } else { (1, 1) };
    filled(dtype, dims, |i| f(i / cols % rows, i % cols, 0.02 * (i / (rows * cols)) as f64))
}

fn small(i: usize, j: usize) -> f64 {
    ((i * 37 + j * 11) % 19) as f64 / 10.0 - 0.9
}

/// Invertible matrices.
pub(super) fn general(dtype: DType, dims: &[usize]) -> CaseArg {
    matrices(dtype, dims, |i, j, more| small(i, j) + more + if i == j { 3.0 + i as f64 } else { 0.0 })
}

/// Symmetric positive definite matrices.
pub(super) fn definite(dtype: DType, dims: &[usize]) -> CaseArg {
    matrices(dtype, dims, |i, j, more| small(i.min(j), i.max(j)) + more + if i == j { 5.0 + i as f64 } else { 0.0 })
}

/// Upper triangles.
pub(super) fn upper(dtype: DType, dims: &[usize]) -> CaseArg {
    matrices(dtype, dims, |i, j, more| match i.cmp(&j) {
        std::cmp::Ordering::Less => small(i, j),
        std::cmp::Ordering::Equal => 2.0 + more + i as f64,
        std::cmp::Ordering::Greater => 0.0,
    })
}

/// A matrix of full rank.
#[cfg(test)]
pub(super) fn complex(rows: usize, cols: usize) -> Matrix {
    let part = |i: usize, j: usize| ((i * i * 37 + i * j * 53 + j * 11) % 101) as f64 / 50.0 - 1.0;
    Matrix::new(rows, cols, |i, j| Complex64::new(part(i, j), part(j + 3, 2 * i)))
}
