//! Inverses and solutions of systems.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, Shape, ensure, op, op_enum, shape};

use super::algebra::Matrix;
use super::each::{Each, squares, system};
use super::factor::{Triangle, solve, substitute};
use super::samples::{general, upper};

op! {
    /// Inverses of the square matrices in the last two dimensions, with `adjoint` of their adjoints. Singular matrices are refused.
    classic MatrixInverse { x: Operand, adjoint: bool = false }
}

impl Operator for MatrixInverse {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let (batch, n) = squares(x)?;
        let f =
            move |[a]: [Matrix; 1]| Ok([solve(if self.adjoint { a.adjoint() } else { a }, Matrix::identity(n, n))?]);
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(x.dtype(), shape(&[n, n]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(general(DType::F32, &[2, 3, 3])).case("f32"),
            sample().arg(complex(DType::C64, &[4, 4])).flag(true).case("adjoint"),
            sample().arg(general(DType::F64, &[0, 2, 2])).case("empty"),
        ]
    }
}

op! {
    /// The solutions `y` of `matrix · y = rhs` for the matrices in the last two dimensions, with `adjoint` of their adjoints.
    /// Both operands have one type and the same dimensions before. Singular matrices are refused.
    classic MatrixSolve { matrix: Operand, rhs: Operand, adjoint: bool = false }
}

impl Operator for MatrixSolve {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.matrix, &self.rhs);
        let (batch, n, cols) = system(a, b)?;
        let f = |[a, b]: [Matrix; 2]| Ok([solve(if self.adjoint { a.adjoint() } else { a }, b)?]);
        Ok(Each { batch, ins: [(a, [n, n]), (b, [n, cols])], outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(general(DType::F32, &[2, 3, 3])).tensor(DType::F32, &[2, 3, 2]).case("f32"),
            sample().arg(complex(DType::C64, &[3, 3])).arg(complex(DType::C64, &[3, 1])).flag(true).case("adjoint"),
        ]
    }
}

/// `a`, or what it is in place of, and whether the triangle that counts is the lower one there.
fn turned(a: Matrix, lower: bool, transposed: Transposed) -> (Matrix, bool) {
    match transposed {
        Transposed::No => (a, lower),
        Transposed::Yes => (a.transposed(), !lower),
        Transposed::Adjoint => (a.adjoint(), !lower),
    }
}

op! {
    /// As `MatrixSolve`, where only the lower triangles of `matrix` count, or without `lower` the upper ones. A 0 on the diagonal
    /// gives infinite numbers or NaN.
    classic MatrixTriangularSolve { matrix: Operand, rhs: Operand, lower: bool = true, adjoint: bool = false }
}

impl Operator for MatrixTriangularSolve {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.matrix, &self.rhs);
        let (batch, n, cols) = system(a, b)?;
        let transposed = if self.adjoint { Transposed::Adjoint } else { Transposed::No };
        let f = move |[a, b]: [Matrix; 2]| {
            let (a, lower) = turned(a, self.lower, transposed);
            Ok([substitute(&a, b, Triangle { lower, unit: false })?])
        };
        Ok(Each { batch, ins: [(a, [n, n]), (b, [n, cols])], outs: [(b.dtype(), shape(&[n, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(general(DType::F32, &[2, 3, 3])).tensor(DType::F32, &[2, 3, 2]).case("lower"),
            sample().arg(upper(DType::F64, &[3, 3])).tensor(DType::F64, &[3, 1]).flag(false).flag(true).case("upper"),
        ]
    }
}

op_enum! {
    /// What a matrix stands for.
    Transposed {
        /// Itself.
        No = 0, "n";
        /// Its transpose.
        Yes = 1, "t";
        /// Its adjoint.
        Adjoint = 2, "c";
    }
}

op! {
    /// The solutions `y` of `a · y = b`, where only a triangle of each matrix counts, of which `unit_diagonal` takes the diagonal
    /// as 1. `b` has matrices or, with one dimension less than `a`, vectors. Integers give `f32`, those of 64 bits `f64`.
    SolveTriangular {
        a: Operand,
        b: Operand,
        trans: Transposed = Transposed::No,
        lower: bool = false,
        unit_diagonal: bool = false,
    }
}

impl Operator for SolveTriangular {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.a, &self.b);
        let [batch @ .., n, m] = a.shape() else {
            return Err(OpError::Invalid(format!("expected matrices, found {}", a.fact)));
        };
        let tail = if b.rank() < a.rank() { 1 } else { 2 };
        let (other, sides) = b.shape().split_at(b.rank().saturating_sub(tail));
        let fits = n == m && batch == other && sides.first() == Some(n) && a.dtype() == b.dtype();
        ensure!(fits, "expected square matrices and right-hand sides for them, found {} and {}", a.fact, b.fact);
        let (n, cols, sides) = (*n, sides.get(1).copied().unwrap_or(1), Shape::from_slice(sides));
        let out = match a.dtype() {
            d if d.is_float() || d.is_complex() => d,
            DType::I64 => DType::F64,
            _ => DType::F32,
        };
        let f = move |[a, b]: [Matrix; 2]| {
            let (a, lower) = turned(a, self.lower, self.trans);
            Ok([substitute(&a, b, Triangle { lower, unit: self.unit_diagonal })?])
        };
        Ok(Each { batch, ins: [(a, [n, n]), (b, [n, cols])], outs: [(out, sides)], f })
    }

    fn cases() -> Vec<Case> {
        let a = |d| sample().arg(general(d, &[3, 3]));
        vec![
            a(DType::F32).tensor(DType::F32, &[3, 2]).case("upper"),
            a(DType::F32).tensor(DType::F32, &[3]).int(1).flag(true).flag(true).case("vector"),
            sample().arg(general(DType::F64, &[2, 3, 3])).tensor(DType::F64, &[2, 3]).int(2).case("vectors"),
            a(DType::I32).tensor(DType::I32, &[3, 1]).int(0).flag(true).case("integers"),
        ]
    }
}
