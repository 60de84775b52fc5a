//! Eigenvalues.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::complex::complex_of;
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, Shape, op, shape};

use super::algebra::Matrix;
use super::each::{Each, Values, squares};
use super::samples::{definite, general};
use super::spectrum::{eigen, hermitian};

op! {
    /// Eigenvalues, the smallest first, and eigenvectors, as columns of length 1, of the Hermitian matrices in the last two
    /// dimensions, of which only the lower triangles are read; both in the type of `x`, whatever `compute_v` says. An eigenvector may
    /// be that of MindSpore times a number of magnitude 1. Numbers that are not finite are refused.
    classic SelfAdjointEig { x: Operand, compute_v: bool = true }
}

impl Operator for SelfAdjointEig {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.x, self.x.dtype());
        let (batch, n) = squares(x)?;
        let f = |[a]: [Matrix; 1]| {
            let (values, vectors) = hermitian(&a)?;
            Ok([Matrix::row(values), vectors])
        };
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(d, shape(&[n])), (d, shape(&[n, n]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(definite(DType::F32, &[2, 4, 4])).case("f32"),
            sample().arg(complex(DType::C64, &[3, 3])).case("c64"),
            sample().arg(definite(DType::F64, &[0, 2, 2])).case("empty"),
        ]
    }
}

op! {
    /// Eigenvalues, by their magnitude from the smallest on, and with `compute_v` eigenvectors, as columns of length 1, of the square
    /// matrices in the last two dimensions; both complex. Without it the second result is one 0. An eigenvector may be that of
    /// MindSpore times a number of magnitude 1: here its largest element is positive. Numbers that are not finite are refused.
    Eig { x: Operand, compute_v: bool = false }
}

impl Operator for Eig {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.x, complex_of(self.x.dtype()));
        let (batch, n) = squares(x)?;
        let f = |[a]: [Matrix; 1]| {
            let (values, vectors) = eigen(&a)?;
            Ok([Matrix { rows: 1, cols: values.len(), data: values }, vectors])
        };
        let rule = Each { batch, ins: [(x, [n, n])], outs: [(d, shape(&[n])), (d, shape(&[n, n]))], f };
        Ok(Values { rule, blank: (!self.compute_v).then(Shape::new) })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(general(DType::F32, &[2, 4, 4])).flag(true).case("f32"),
            sample().arg(complex(DType::C128, &[3, 3])).flag(true).case("c128"),
            sample().arg(general(DType::F64, &[3, 3])).case("values alone"),
        ]
    }
}
