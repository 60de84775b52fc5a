//! Logarithm of the softmax.

use super::reduction::dimension;
use super::softmax::normalised;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::sample::{sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The logarithm of the softmax along `axis`, which a scalar has none of, as `dtype`.
struct Logarithm<'a> {
    x: &'a Operand,
    axis: Option<usize>,
    dtype: DType,
}

impl<'a> Logarithm<'a> {
    fn new(x: &'a Operand, axis: i64, dtype: Option<DType>) -> Result<Logarithm<'a>, OpError> {
        let dtype = dtype.unwrap_or(x.dtype());
        ensure!(dtype.is_float() && !x.dtype().is_complex(), "expected a float type, found {dtype}");
        Ok(Logarithm { x, axis: dimension(x, axis)?, dtype })
    }
}

impl Rule for Logarithm<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.dtype, self.x.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let axes: Vec<usize> = self.axis.into_iter().collect();
        let y = Groups::new(self.x.shape(), &axes).replace(&self.x.f64s()?, 0.0, |g| {
            let max = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = g.iter().map(|x| (x - max).exp()).sum();
            g.iter().map(|x| x - max - sum.ln()).collect()
        })?;
        Ok(vec![Tensor::from_f64s(self.dtype, self.x.shape(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let x = b.cast(self.x.v, self.dtype);
        self.axis.map(|axis| Ok(vec![b.softmax(x, axis, true)?])).transpose()
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let y = if let Some(axis) = self.axis {
            normalised(e, "LogSoftmax", self.x, axis, self.dtype)?
        } else {
            let x = e.as_type(self.x, self.dtype)?;
            e.op("Sub", &[x, x])
        };
        Ok(Some(vec![y]))
    }
}

op! {
    /// `x − max − ln Σ exp(x − max)` along `axis`. `logits`: a float type, which the result has too.
    LogSoftmax { logits: Operand, axis: i64 = -1 }
}

impl Operator for LogSoftmax {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Logarithm::new(&self.logits, self.axis, None)
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

op! {
    /// [`LogSoftmax`] along `dim` after a conversion to `dtype`, if given. `dim` = `None` means 0 for ranks 0, 1 and 3, else 1.
    LogSoftmaxExt { input: Operand, dim: Option<i64> = None, dtype: Option<DType> = None }
}

impl Operator for LogSoftmaxExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let axis = self.dim.unwrap_or(if matches!(self.input.rank(), 0 | 1 | 3) { 0 } else { 1 });
        Logarithm::new(&self.input, axis, self.dtype)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(-1).case("last"),
            sample().arg(wave(DType::F32, &[3, 5, 2])).none().case("default"),
            sample().arg(wave(DType::F16, &[3, 5])).int(1).dtype(DType::F32).case("converted"),
        ]
    }
}
