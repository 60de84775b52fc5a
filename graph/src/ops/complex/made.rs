//! Complex numbers from pairs of real ones.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{common_shape, size, spread};
use crate::ops::kit::complex::{Complex64, complex_of, complex_tensor};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::sample::{between, cycle, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// `f` of the numbers of two real operands, which broadcast.
fn of_pairs<'a>(
    a: &'a Operand,
    b: &'a Operand,
    f: fn(f64, f64) -> Complex64,
) -> Result<Defined<impl Fn() -> Result<Vec<Tensor>, OpError>>, OpError> {
    let (d, other) = (a.dtype(), b.dtype());
    ensure!(
        matches!(d, DType::F32 | DType::F64) && d == other,
        "expected f32 twice or f64 twice, found {d} and {other}"
    );
    let dims = common_shape(&[a, b])?;
    size(&dims)?;
    let fact = Fact { dtype: complex_of(d), shape: dims.clone() };
    let results = move || {
        let all = |x: &Operand| spread(&x.f64s()?, x.shape(), &dims);
        let z: Vec<_> = all(a)?.into_iter().zip(all(b)?).map(|(a, b)| f(a, b)).collect();
        Ok(vec![complex_tensor(complex_of(d), &dims, &z)?])
    };
    Ok(Defined { facts: vec![fact], results })
}

op! {
    /// `real + i · imag`, of `f32` or `f64`, which broadcast.
    Complex { real: Operand, imag: Operand }
}

impl Operator for Complex {
    fn rule(&self) -> Result<impl Rule, OpError> {
        of_pairs(&self.real, &self.imag, Complex64::new)
    }

    fn cases() -> Vec<Case> {
        let edges = [f64::INFINITY, f64::NAN, -0.0, 1.5];
        vec![
            sample().arg(wave(DType::F32, &[2, 3])).arg(wave(DType::F32, &[3])).exact("f32"),
            sample().arg(wave(DType::F64, &[2])).arg(wave(DType::F64, &[2])).exact("f64"),
            sample().arg(cycle(DType::F32, &[4], &edges)).arg(wave(DType::F32, &[1])).exact("edge values"),
            sample().arg(wave(DType::F32, &[0])).arg(wave(DType::F32, &[])).exact("empty"),
        ]
    }
}

op! {
    /// `abs · (cos angle + i · sin angle)`, of `f32` or `f64`, which broadcast.
    Polar { abs: Operand, angle: Operand }
}

impl Operator for Polar {
    fn rule(&self) -> Result<impl Rule, OpError> {
        of_pairs(&self.abs, &self.angle, Complex64::from_polar)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(between(DType::F32, &[2, 3], 0.0, 2.0)).arg(wave(DType::F32, &[2, 3])).case("f32"),
            sample().arg(wave(DType::F64, &[2])).arg(wave(DType::F64, &[2])).case("f64"),
        ]
    }
}
