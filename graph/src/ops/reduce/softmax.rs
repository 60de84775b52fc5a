use crate::onnx::{Edge, Emit, Forms, NoForm, machine};
use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// `Softmax` or `LogSoftmax` along `axis` of `x` as `dtype`.
pub(in crate::ops) fn normalised(
    e: &mut Emit,
    op: &'static str,
    x: &Operand,
    axis: usize,
    dtype: DType,
) -> Result<Edge, NoForm> {
    let wide = machine(dtype);
    let x = e.as_type(x, dtype)?;
    let x = e.cast(x, dtype, wide);
    let y = e.op_with(op, &[x], vec![("axis", (axis as i64).into())]);
    Ok(e.cast(y, wide, dtype))
}

op! {
    /// `exp(x − max) / Σ exp(x − max)` along `axis`.
    ///
    /// `x`: a float type. `axis`: one dimension. The result has the type and shape of `x`.
    Softmax { input: Operand, axis: Ints = ints(&[-1]) }
}

impl Softmax {
    fn axis(&self) -> Result<usize, OpError> {
        let [axis] = self.axis[..] else {
            return Err(OpError::Invalid(format!("expected one axis, found {:?}", self.axis)));
        };
        self.input.axis(axis)
    }
}

impl Rule for Softmax {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.input.dtype().is_float(), "expected a float type, found {}", self.input.dtype());
        self.axis()?;
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let dims = self.input.shape();
        let y = Groups::new(dims, &[self.axis()?]).replace(&self.input.f64s()?, 0.0, |g| {
            let max = g.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = g.iter().map(|x| (x - max).exp()).sum();
            g.iter().map(|x| (x - max).exp() / sum).collect()
        })?;
        Ok(vec![Tensor::from_f64s(self.input.dtype(), dims, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let axis = self.axis()?;
        Ok(Some(vec![b.softmax(self.input.v, axis, false)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let dtype = self.input.dtype();
        Ok(Some(vec![normalised(e, "Softmax", &self.input, self.axis()?, dtype)?]))
    }

    fn cases() -> Vec<Case> {
        let x = Tensor::from_f64s(DType::F32, &[2, 3, 5], &(0..30).map(|i| f64::from(i % 7) - 2.5).collect::<Vec<_>>());
        let Ok(x) = x else { return Vec::new() };
        let x = sample().data(x);
        vec![x.clone().int(-1).case("last axis"), x.clone().int(1).case("middle axis"), x.int(0).case("first axis")]
    }
}
