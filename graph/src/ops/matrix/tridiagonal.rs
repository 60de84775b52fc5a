//! Matrices that are 0 but on the diagonal and beside it.

use crate::bounds::Pulse;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, ensure, op, shape};

use super::algebra::{Matrix, ZERO};
use super::each::{Each, matrices};
use super::samples::general;

op! {
    /// The solutions of systems with matrices that are 0 but on the diagonal, the second row of `diagonals`, above it, the first row
    /// without its last element, and below it, the third row without its first. With `partial_pivoting` rows are swapped where
    /// that is more exact. Singular matrices are refused.
    classic TridiagonalSolve { diagonals: Operand, rhs: Operand, partial_pivoting: bool = true }
}

/// Rows of the bands of a matrix: the diagonal, the elements one and two places right of it, and below it.
const DIAGONAL: usize = 0;
const RIGHT: usize = 1;
const FURTHER: usize = 2;
const BELOW: usize = 3;

/// Elimination, with rows swapped where the element below is larger.
fn solve(diagonals: &Matrix, b: Matrix, pivoting: bool) -> Result<Matrix, OpError> {
    let (n, mut b, mut pulse) = (diagonals.cols, b, Pulse::default());
    let mut bands = Matrix::new(4, n, |band, i| match band {
        DIAGONAL => diagonals[(1, i)],
        RIGHT if i + 1 < n => diagonals[(0, i)],
        BELOW if i + 1 < n => diagonals[(2, i + 1)],
        _ => ZERO,
    });
    for i in 0..n {
        pulse.turns(4 + 2 * b.cols)?;
        let last = i + 1 == n;
        if !last && pivoting && bands[(BELOW, i)].norm() > bands[(DIAGONAL, i)].norm() {
            let rows = [(DIAGONAL, BELOW, i), (RIGHT, DIAGONAL, i + 1), (FURTHER, RIGHT, i + 1)];
            for (upper, lower, at) in rows {
                let moved = bands[(upper, i)];
                bands[(upper, i)] = bands[(lower, at)];
                bands[(lower, at)] = moved;
            }
            b.swap_rows(i, i + 1);
        }
        let pivot = bands[(DIAGONAL, i)];
        ensure!(pivot != ZERO, "expected an invertible matrix, found 0 as pivot {i}");
        if last {
            continue;
        }
        let factor = bands[(BELOW, i)] / pivot;
        let (right, further) = (bands[(RIGHT, i)], bands[(FURTHER, i)]);
        bands[(DIAGONAL, i + 1)] -= factor * right;
        bands[(RIGHT, i + 1)] -= factor * further;
        for j in 0..b.cols {
            let product = factor * b[(i, j)];
            b[(i + 1, j)] -= product;
        }
    }
    for i in (0..n).rev() {
        for j in 0..b.cols {
            let one = if i + 1 < n { bands[(RIGHT, i)] * b[(i + 1, j)] } else { ZERO };
            let two = if i + 2 < n { bands[(FURTHER, i)] * b[(i + 2, j)] } else { ZERO };
            b[(i, j)] = (b[(i, j)] - one - two) / bands[(DIAGONAL, i)];
        }
    }
    Ok(b)
}

impl Operator for TridiagonalSolve {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.diagonals, &self.rhs);
        let ((batch, [three, n]), (other, [rows, cols])) = (matrices(a)?, matrices(b)?);
        let fits = batch == other && three == 3 && rows == n && a.dtype() == b.dtype();
        ensure!(fits, "expected three diagonals and right-hand sides for them, found {} and {}", a.fact, b.fact);
        let f = |[a, b]: [Matrix; 2]| Ok([solve(&a, b, self.partial_pivoting)?]);
        Ok(Each { batch, ins: [(a, [3, n]), (b, [n, cols])], outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[5, 2]).case("pivots"),
            sample().arg(general(DType::F64, &[2, 3, 3])).tensor(DType::F64, &[2, 3, 1]).flag(false).case("in order"),
            sample().arg(complex(DType::C64, &[3, 4])).arg(complex(DType::C64, &[4, 1])).case("c64"),
            sample().tensor(DType::F32, &[3, 1]).tensor(DType::F32, &[1, 1]).case("one equation"),
        ]
    }
}

op! {
    /// Products of `rhs` with matrices that are 0 but on the diagonal `maindiag`, above it in `superdiag`, whose last element is not
    /// read, and below it in `subdiag`, whose first one is not. Diagonals are rows, matrices of one row in the last two dimensions.
    object TridiagonalMatMul { superdiag: Operand, maindiag: Operand, subdiag: Operand, rhs: Operand }
}

impl Operator for TridiagonalMatMul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (b, bands) = (&self.rhs, [&self.superdiag, &self.maindiag, &self.subdiag]);
        let (batch, [n, cols]) = matrices(b)?;
        for band in bands {
            let (other, sides) = matrices(band)?;
            let fits = other == batch && sides == [1, n] && band.dtype() == b.dtype();
            ensure!(fits, "expected a diagonal for {}, found {}", b.fact, band.fact);
        }
        let [above, main, below] = bands;
        let f = move |[above, main, below, b]: [Matrix; 4]| {
            Ok([Matrix::new(n, cols, |i, j| {
                let before = if i > 0 { below[(0, i)] * b[(i - 1, j)] } else { ZERO };
                let behind = if i + 1 < n { above[(0, i)] * b[(i + 1, j)] } else { ZERO };
                before + main[(0, i)] * b[(i, j)] + behind
            })])
        };
        let ins = [(above, [1, n]), (main, [1, n]), (below, [1, n]), (b, [n, cols])];
        Ok(Each { batch, ins, outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        let all =
            |d, dims: &[usize], rhs: &[usize]| sample().tensor(d, dims).tensor(d, dims).tensor(d, dims).tensor(d, rhs);
        vec![all(DType::F32, &[1, 5], &[5, 2]).case("f32"), all(DType::F64, &[2, 1, 3], &[2, 3, 1]).case("batch")]
    }
}
