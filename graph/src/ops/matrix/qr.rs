//! Orthogonal columns and triangles.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::{complex, sample};
use crate::{DType, OpError, ensure, op, shape};

use super::algebra::Matrix;
use super::each::{Each, matrices};
use super::factor::{Reflected, reflected};

op! {
    /// Orthonormal columns and upper triangles whose products are the matrices in the last two dimensions: as many columns as the
    /// shorter side has, or with `full_matrices` as many as there are rows. Signs are LAPACK's: an element on the diagonal of a
    /// triangle has the other sign than that from which it comes, unless nothing is below that.
    Qr { x: Operand, full_matrices: bool = false }
}

impl Operator for Qr {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.x, self.x.dtype());
        let (batch, [rows, cols]) = matrices(x)?;
        let k = if self.full_matrices { rows } else { rows.min(cols) };
        let f = move |[a]: [Matrix; 1]| {
            let f = reflected(a)?;
            Ok([f.orthogonal(k)?, f.triangle(k)])
        };
        Ok(Each { batch, ins: [(x, [rows, cols])], outs: [(d, shape(&[rows, k])), (d, shape(&[k, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[4, 3]).case("tall"),
            sample().tensor(DType::F64, &[2, 4, 3]).flag(true).case("full"),
            sample().tensor(DType::F32, &[2, 5]).case("wide"),
            sample().arg(complex(DType::C64, &[3, 3])).case("c64"),
        ]
    }
}

op! {
    /// The triangles of `Qr` and, below their diagonals, the vectors of the reflections that make them, whose first element is 1;
    /// and the factors of the reflections. As LAPACK has them.
    Geqrf { input: Operand }
}

impl Operator for Geqrf {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.input, self.input.dtype());
        let (batch, [rows, cols]) = matrices(x)?;
        let f = |[a]: [Matrix; 1]| {
            let Reflected { packed, taus } = reflected(a)?;
            Ok([packed, Matrix { rows: 1, cols: taus.len(), data: taus }])
        };
        let outs = [(d, shape(&[rows, cols])), (d, shape(&[rows.min(cols)]))];
        Ok(Each { batch, ins: [(x, [rows, cols])], outs, f })
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[4, 3]).case("tall"), sample().tensor(DType::F64, &[2, 2, 3]).case("wide")]
    }
}

op! {
    /// The first columns of the product of the reflections that `x` and `tau` hold as `Geqrf` gives them: as many as `x` has.
    object Orgqr { x: Operand, tau: Operand }
}

impl Operator for Orgqr {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, tau) = (&self.x, &self.tau);
        let (batch, [rows, cols]) = matrices(x)?;
        let [other @ .., k] = tau.shape() else {
            return Err(OpError::Invalid(format!("expected vectors of factors, found {}", tau.fact)));
        };
        let fits = other == batch && *k <= cols && cols <= rows && tau.dtype() == x.dtype();
        ensure!(fits, "expected columns and factors of no more reflections, found {} and {}", x.fact, tau.fact);
        let f = move |[packed, taus]: [Matrix; 2]| Ok([Reflected { packed, taus: taus.data }.orthogonal(cols)?]);
        Ok(Each { batch, ins: [(x, [rows, cols]), (tau, [1, *k])], outs: [(x.dtype(), shape(&[rows, cols]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[4, 3]).tensor(DType::F32, &[3]).case("f32"),
            sample().tensor(DType::F64, &[2, 3, 3]).tensor(DType::F64, &[2, 2]).case("fewer"),
            sample().arg(complex(DType::C64, &[3, 2])).arg(complex(DType::C64, &[2])).case("c64"),
        ]
    }
}
