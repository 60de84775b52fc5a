//! Determinants.

use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::complex::Complex64;
use crate::ops::kit::sample::{complex, cycle, sample};
use crate::{DType, OpError, Shape, op};

use super::algebra::{Matrix, ZERO};
use super::each::{Each, squares};
use super::factor::lu;
use super::samples::general;

fn one(x: Complex64) -> Matrix {
    Matrix { rows: 1, cols: 1, data: vec![x] }
}

fn cases() -> Vec<Case> {
    vec![
        sample().arg(general(DType::F32, &[2, 3, 3])).case("f32"),
        sample().arg(complex(DType::C64, &[4, 4])).case("c64"),
        sample().arg(cycle(DType::F64, &[2, 2], &[1.0, 2.0, 2.0, 4.0])).case("singular"),
        sample().arg(general(DType::F32, &[1, 1])).case("one element"),
    ]
}

op! {
    /// Determinants of the square matrices in the last two dimensions, of floats or complex numbers.
    MatrixDeterminant { input: Operand }
}

impl Operator for MatrixDeterminant {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input;
        let (batch, n) = squares(x)?;
        let f = |[a]: [Matrix; 1]| Ok([one(lu(a)?.determinant())]);
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(x.dtype(), Shape::new())], f })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.input.dtype();
        if d.is_complex() {
            return no_form("ONNX has no arithmetic of complex numbers");
        }
        let x = e.as_type(&self.input, machine(d))?;
        let y = e.op("Det", &[x]);
        Ok(Some(vec![e.cast(y, machine(d), d)]))
    }

    fn cases() -> Vec<Case> {
        cases()
    }
}

op! {
    /// Determinants as signs, which are complex numbers of magnitude 1 for complex matrices, and logarithms of magnitudes, both
    /// in the type of `input`. Those of singular matrices are 0 and −∞.
    LogMatrixDeterminant { input: Operand }
}

impl Operator for LogMatrixDeterminant {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input;
        let (batch, n) = squares(x)?;
        let f = move |[a]: [Matrix; 1]| {
            let lu = lu(a)?;
            let factors = || (0..n).map(|i| lu.packed[(i, i)]);
            let swapped = lu.parity();
            let sign = factors().fold(swapped, |sign, z| if z == ZERO { ZERO } else { sign * z / z.norm() });
            let log: f64 = factors().map(|z| z.norm().ln()).sum();
            Ok([one(sign), one(log.into())])
        };
        let out = || (x.dtype(), Shape::new());
        Ok(Each { batch, ins: [(x, [n, n])], outs: [out(), out()], f })
    }

    fn cases() -> Vec<Case> {
        cases()
    }
}
