//! Triangular factors of matrices whose rows are swapped.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, ensure, op, shape};

use super::algebra::Matrix;
use super::each::{Each, matrices, system};
use super::factor::{Lu, lu};
use super::samples::general;

op! {
    /// Factors of the matrices in the last two dimensions, which have no more rows than columns: in one matrix the left one below
    /// the diagonal, where it is 1, and the right one; the row that each row was swapped with, as `i32`; and the permutation, as
    /// `i32`, whose product with the factors is `x`. A column without a pivot is left as it is.
    object LU { x: Operand }
}

impl Operator for LU {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let (batch, [rows, cols]) = matrices(x)?;
        ensure!(rows <= cols, "expected no more rows than columns, found {}", x.fact);
        let f = |[a]: [Matrix; 1]| {
            let lu = lu(a)?;
            let pivots = Matrix::row(lu.pivots.iter().map(|&i| i as f64));
            let p = lu.permutation();
            Ok([lu.packed, pivots, p])
        };
        let outs =
            [(x.dtype(), shape(&[rows, cols])), (DType::I32, shape(&[rows])), (DType::I32, shape(&[rows, rows]))];
        Ok(Each { batch, ins: [(x, [rows, cols])], outs, f })
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[4, 4]).case("square"), sample().tensor(DType::F64, &[2, 2, 3]).case("wide")]
    }
}

/// The factors of `packed` and what rows were swapped, counted from 1.
fn unpacked(packed: Matrix, pivots: &Matrix) -> Result<Lu, OpError> {
    let rows = packed.rows;
    let pivot = |z: f64| {
        ensure!(z >= 1.0 && z <= rows as f64, "expected pivots from 1 to {rows}, found {z}");
        Ok(z as usize - 1)
    };
    Ok(Lu { pivots: pivots.data.iter().map(|z| pivot(z.re)).collect::<Result<_, _>>()?, packed })
}

/// Refuses pivots that are none for matrices of `n` along their shorter side.
fn pivots_fit(pivots: &Operand, batch: &[usize], n: usize) -> Result<(), OpError> {
    let fits = matches!(pivots.shape(), [other @ .., k] if other == batch && *k == n) && pivots.dtype().is_int();
    ensure!(fits, "expected {n} pivots for each matrix, found {}", pivots.fact);
    Ok(())
}

op! {
    /// The solutions of the systems whose factors `lu_data` and `lu_pivots` are, for the right-hand sides `x`; pivots count from 1.
    object LuSolve { x: Operand, lu_data: Operand, lu_pivots: Operand }
}

impl Operator for LuSolve {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (b, a, pivots) = (&self.x, &self.lu_data, &self.lu_pivots);
        let (batch, n, cols) = system(a, b)?;
        pivots_fit(pivots, batch, n)?;
        let f = |[b, a, pivots]: [Matrix; 3]| Ok([unpacked(a, &pivots)?.solve(b)?]);
        let ins = [(b, [n, cols]), (a, [n, n]), (pivots, [1, n])];
        Ok(Each { batch, ins, outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        let b = sample().tensor(DType::F32, &[3, 2]).arg(general(DType::F32, &[3, 3]));
        let batch = sample().tensor(DType::F32, &[2, 2, 1]).arg(general(DType::F32, &[2, 2, 2]));
        vec![
            b.index(DType::I32, &[3], &[3, 2, 3]).case("matrix"),
            batch.index(DType::I32, &[2, 2], &[1, 2, 2, 2]).case("batch"),
        ]
    }
}

op! {
    /// The permutation, the left and the right factor of matrices in the form of LAPACK, all in the type of `lu_data`; pivots
    /// count from 1. MindSpore computes all three whatever the flags say.
    classic LuUnpack { lu_data: Operand, lu_pivots: Operand, unpack_data: bool = true, unpack_pivots: bool = true }
}

impl Operator for LuUnpack {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, pivots) = (&self.lu_data, &self.lu_pivots);
        let [batch @ .., rows, cols] = x.shape() else {
            return Err(OpError::Invalid(format!("expected matrices, found {}", x.fact)));
        };
        let (rows, cols, k) = (*rows, *cols, *rows.min(cols));
        pivots_fit(pivots, batch, k)?;
        let f = |[a, pivots]: [Matrix; 2]| {
            let lu = unpacked(a, &pivots)?;
            Ok([lu.permutation(), lu.lower(), lu.upper()])
        };
        let out = |rows, cols| (x.dtype(), shape(&[rows, cols]));
        let outs = [out(rows, rows), out(rows, k), out(k, cols)];
        Ok(Each { batch, ins: [(x, [rows, cols]), (pivots, [1, k])], outs, f })
    }

    fn cases() -> Vec<Case> {
        let x = |d, dims: &[usize]| sample().tensor(d, dims);
        vec![
            x(DType::F32, &[3, 3]).index(DType::I32, &[3], &[3, 3, 3]).exact("square"),
            x(DType::F64, &[3, 2]).index(DType::I64, &[2], &[3, 2]).exact("tall"),
            x(DType::I32, &[2, 2, 3]).index(DType::I32, &[2, 2], &[2, 2, 1, 2]).exact("wide"),
        ]
    }
}
