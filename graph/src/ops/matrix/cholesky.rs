//! Triangles whose product with their adjoint is a matrix.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, ensure, op, shape};

use super::algebra::Matrix;
use super::each::{Each, squares, system};
use super::factor::{Triangle, cholesky, solve, substitute};
use super::samples::{definite, upper};

op! {
    /// The lower triangle `l` with `l · lᵀ` the symmetric positive definite matrix `input_x`, or with `upper` its transpose.
    /// Matrices of `f32` or `f64` in the last two dimensions. Others than such ones are refused; how symmetric they are may
    /// be a matter of rounding.
    Cholesky { input_x: Operand, upper: bool = false }
}

/// Refuses a matrix that is less symmetric than rounding to `dtype` lets it be.
fn symmetric(a: &Matrix, dtype: DType) -> Result<(), OpError> {
    let allowed = a.largest() * if dtype == DType::F64 { 1e-12 } else { 1e-5 };
    let off = a.add(&a.transposed().scaled(-1.0)).largest();
    let symmetric = off <= allowed;
    ensure!(symmetric, "expected a symmetric matrix, found elements that differ by {off} from their opposite");
    Ok(())
}

impl Operator for Cholesky {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.input_x, self.input_x.dtype());
        let (batch, n) = squares(x)?;
        ensure!(d.is_float(), "expected floats, found {}", x.fact);
        let f = move |[a]: [Matrix; 1]| {
            symmetric(&a, d)?;
            let l = cholesky(&a)?;
            Ok([if self.upper { l.transposed() } else { l }])
        };
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(d, shape(&[n, n]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(definite(DType::F32, &[4, 4])).case("f32"),
            sample().arg(definite(DType::F64, &[2, 3, 3])).flag(true).case("upper"),
            sample().arg(definite(DType::F32, &[0, 2, 2])).case("empty"),
        ]
    }
}

op! {
    /// The inverse of `l · lᵀ` for the triangles `l` in the last two dimensions of `input_x`; with `upper`, of `lᵀ · l`.
    CholeskyInverse { input_x: Operand, upper: bool = false }
}

impl Operator for CholeskyInverse {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input_x;
        let (batch, n) = squares(x)?;
        let f = move |[l]: [Matrix; 1]| {
            let a = if self.upper { l.adjoint().times(&l)? } else { l.times(&l.adjoint())? };
            Ok([solve(a, Matrix::identity(n, n))?])
        };
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(x.dtype(), shape(&[n, n]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(upper(DType::F32, &[3, 3])).flag(true).case("upper"),
            sample().arg(definite(DType::F64, &[3, 3])).case("f64"),
        ]
    }
}

op! {
    /// The solutions `y` of `l · lᵀ · y = x1` for the lower triangles `l` of `x2`; with `upper`, of `uᵀ · u · y = x1` for the
    /// upper triangles `u`. Both have one type and the same dimensions before the last two.
    classic CholeskySolve { x1: Operand, x2: Operand, upper: bool = false }
}

impl Operator for CholeskySolve {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (b, x) = (&self.x1, &self.x2);
        let (batch, n, cols) = system(x, b)?;
        let f = move |[b, x]: [Matrix; 2]| {
            let l = if self.upper { x.adjoint() } else { x };
            let y = substitute(&l, b, Triangle { lower: true, unit: false })?;
            Ok([substitute(&l.adjoint(), y, Triangle { lower: false, unit: false })?])
        };
        Ok(Each { batch, ins: [(b, [n, cols]), (x, [n, n])], outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        let b = |d, dims: &[usize]| sample().tensor(d, dims);
        vec![
            b(DType::F32, &[3, 2]).arg(definite(DType::F32, &[3, 3])).case("lower"),
            b(DType::F64, &[2, 3, 1]).arg(upper(DType::F64, &[2, 3, 3])).flag(true).case("upper"),
        ]
    }
}
