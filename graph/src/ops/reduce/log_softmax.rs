//! Logarithm of the softmax.

use super::softmax::normalised;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::sample::{sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `x − max − ln Σ exp(x − max)` along `axis`. `logits`: a float type, which the result has too.
    LogSoftmax { logits: Operand, axis: i64 = -1 }
}

op! {
    /// [`LogSoftmax`] along `dim` after a conversion to `dtype`, if given. `dim` = `None` means 0 for ranks 0, 1 and 3, else 1.
    LogSoftmaxExt { input: Operand, dim: Option<i64> = None, dtype: Option<DType> = None }
}

/// The axis, and the type of the result.
fn checked(x: &Operand, axis: i64, dtype: Option<DType>) -> Result<(Option<usize>, DType), OpError> {
    let d = dtype.unwrap_or(x.dtype());
    ensure!(d.is_float() && !x.dtype().is_complex(), "expected a float type, found {d}");
    let axis = if x.rank() == 0 && matches!(axis, 0 | -1) { None } else { Some(x.axis(axis)?) };
    Ok((axis, d))
}

fn infer(x: &Operand, axis: i64, dtype: Option<DType>) -> Result<Vec<Fact>, OpError> {
    let (_, dtype) = checked(x, axis, dtype)?;
    Ok(vec![Fact::new(dtype, x.shape())])
}

fn reference(x: &Operand, axis: i64, dtype: Option<DType>) -> Result<Vec<Tensor>, OpError> {
    let (axis, d) = checked(x, axis, dtype)?;
    let axes: Vec<usize> = axis.into_iter().collect();
    let y = Groups::new(x.shape(), &axes).replace(&x.f64s()?, 0.0, |g| {
        let max = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = g.iter().map(|x| (x - max).exp()).sum();
        g.iter().map(|x| x - max - sum.ln()).collect()
    })?;
    Ok(vec![Tensor::from_f64s(d, x.shape(), &y)?])
}

fn lower(x: &Operand, axis: i64, dtype: Option<DType>, b: &mut Lowering) -> Lowers {
    let (axis, d) = checked(x, axis, dtype)?;
    let v = b.cast(x.v, d);
    let Some(axis) = axis else { return Ok(None) };
    Ok(Some(vec![b.softmax(v, axis, true)]))
}

fn onnx(x: &Operand, axis: i64, dtype: Option<DType>, e: &mut Emit) -> Forms {
    let (axis, d) = checked(x, axis, dtype)?;
    let Some(axis) = axis else {
        let y = e.as_type(x, d)?;
        return Ok(Some(vec![e.op("Sub", &[y, y])]));
    };
    Ok(Some(vec![normalised(e, "LogSoftmax", x, axis, d)?]))
}

impl Rule for LogSoftmax {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        infer(&self.logits, self.axis, None)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        reference(&self.logits, self.axis, None)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        lower(&self.logits, self.axis, None, b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        onnx(&self.logits, self.axis, None, e)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).case("last"),
            sample().arg(wave(DType::F32, &[5, 3])).int(0).case("first"),
            sample().arg(wave(DType::F16, &[3, 5])).int(-1).case("f16"),
            sample().arg(wave(DType::F32, &[])).case("scalar"),
        ]
    }
}

impl LogSoftmaxExt {
    fn axis(&self) -> i64 {
        self.dim.unwrap_or(if matches!(self.input.rank(), 0 | 1 | 3) { 0 } else { 1 })
    }
}

impl Rule for LogSoftmaxExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        infer(&self.input, self.axis(), self.dtype)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        reference(&self.input, self.axis(), self.dtype)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        lower(&self.input, self.axis(), self.dtype, b)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        onnx(&self.input, self.axis(), self.dtype, e)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(-1).case("last"),
            sample().arg(wave(DType::F32, &[3, 5, 2])).none().case("default"),
            sample().arg(wave(DType::F16, &[3, 5])).int(1).dtype(DType::F32).case("converted"),
        ]
    }
}
