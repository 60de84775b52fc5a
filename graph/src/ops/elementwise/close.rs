//! Equality within a tolerance.

use crate::onnx::{Edge, Emit, Forms, NoForm};
use crate::op::{Case, Operand, Rule};
use crate::ops::kit::broadcasting::{evaluate_f64, fact};
use crate::ops::kit::sample::{cycle, sample};
use crate::{DType, Fact, OpError, Tensor, op};

/// `|a − b|`.
fn distance(e: &mut Emit, a: Edge, b: Edge) -> Result<Edge, NoForm> {
    let apart = e.op("Sub", &[a, b]);
    Ok(e.op("Abs", &[apart]))
}

op! {
    /// Whether `|input − other| ≤ atol + rtol · |other|`, as `bool`, with broadcasting; equal infinities are close, NaNs with
    /// `equal_nan`.
    IsClose { input: Operand, other: Operand, rtol: f64 = 1e-5, atol: f64 = 1e-8, equal_nan: bool = false }
}

impl Rule for IsClose {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.input, &self.other], DType::Bool)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let close = |a: f64, b: f64| {
            let near = (a - b).abs() <= self.atol + self.rtol * b.abs();
            a == b || (near && a.is_finite() && b.is_finite()) || (self.equal_nan && a.is_nan() && b.is_nan())
        };
        evaluate_f64(&[(&self.input, DType::F64), (&self.other, DType::F64)], DType::Bool, |[a, b]| {
            f64::from(u8::from(close(a, b)))
        })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let [a, b] = [e.as_type(&self.input, DType::F64)?, e.as_type(&self.other, DType::F64)?];
        let (rtol, atol) = (e.number(DType::F64, self.rtol)?, e.number(DType::F64, self.atol)?);
        let size = e.op("Abs", &[b]);
        let bound = e.op("Mul", &[size, rtol]);
        let bound = e.op("Add", &[bound, atol]);
        let apart = distance(e, a, b)?;
        let near = e.op("LessOrEqual", &[apart, bound]);
        let most = e.number(DType::F64, f64::MAX)?;
        let finite = e.op("LessOrEqual", &[size, most]);
        let near = e.op("And", &[near, finite]);
        let equal = e.op("Equal", &[a, b]);
        let mut close = e.op("Or", &[equal, near]);
        if self.equal_nan {
            let (x, y) = (e.op("IsNaN", &[a]), e.op("IsNaN", &[b]));
            let both = e.op("And", &[x, y]);
            close = e.op("Or", &[close, both]);
        }
        Ok(Some(vec![close]))
    }

    fn cases() -> Vec<Case> {
        let x = || cycle(DType::F32, &[6], &[1.0, 1.00001, f64::NAN, f64::INFINITY, -3.0, 0.0]);
        let y = || cycle(DType::F32, &[6], &[1.000001, 1.1, f64::NAN, f64::INFINITY, f64::INFINITY, 1e-9]);
        vec![
            sample().arg(x()).arg(y()).exact("default"),
            sample().arg(x()).arg(y()).real(1e-3).real(0.5).flag(true).exact("NaN equal"),
        ]
    }
}

op! {
    /// Whether `|x − y| < tolerance`, as `bool`.
    classic ApproximateEqual { x: Operand, y: Operand, tolerance: f64 = 1e-5 }
}

impl Rule for ApproximateEqual {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.x, &self.y], DType::Bool)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        evaluate_f64(&[(&self.x, DType::F64), (&self.y, DType::F64)], DType::Bool, |[x, y]| {
            f64::from(u8::from((x - y).abs() < self.tolerance))
        })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let [a, b] = [e.as_type(&self.x, DType::F64)?, e.as_type(&self.y, DType::F64)?];
        let (apart, bound) = (distance(e, a, b)?, e.number(DType::F64, self.tolerance)?);
        Ok(Some(vec![e.op("Less", &[apart, bound])]))
    }

    fn cases() -> Vec<Case> {
        let x = || cycle(DType::F32, &[4], &[1.0, 2.0, f64::NAN, -3.0]);
        let y = || cycle(DType::F32, &[4], &[1.1, 2.0, f64::NAN, -3.4]);
        vec![sample().arg(x()).arg(y()).exact("default"), sample().arg(x()).arg(y()).real(0.25).exact("wide")]
    }
}
