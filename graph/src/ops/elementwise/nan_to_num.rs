use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate_f64, fact};
use crate::ops::kit::sample::{cycle, sample};
use crate::task::{Binary, Lowering, Unary};
use crate::{DType, Fact, OpError, Tensor, op};

op! {
    /// `input` with NaN replaced by `nan` (0), infinity by `posinf` (the largest finite number of the type) and minus infinity
    /// by `neginf` (the smallest). Integers are unchanged.
    NanToNum {
        input: Operand,
        nan: Option<f64> = None,
        posinf: Option<f64> = None,
        neginf: Option<f64> = None,
    }
}

fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65504.0,
        DType::BF16 => crate::bf16::MAX.to_f64(),
        DType::F32 => f64::from(f32::MAX),
        _ => f64::MAX,
    }
}

impl NanToNum {
    /// What replaces NaN, infinity and minus infinity.
    fn replacements(&self) -> [f64; 3] {
        let max = largest(self.input.dtype());
        [self.nan.unwrap_or(0.0), self.posinf.unwrap_or(max), self.neginf.unwrap_or(-max)]
    }
}

impl Rule for NanToNum {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.input], self.input.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.input.dtype();
        if !d.is_float() {
            return Ok(vec![self.input.tensor()?.clone()]);
        }
        let [nan, high, low] = self.replacements();
        evaluate_f64(&[(&self.input, d)], d, |[x]| match x {
            x if x.is_nan() => nan,
            f64::INFINITY => high,
            f64::NEG_INFINITY => low,
            x => x,
        })
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.input.dtype();
        if !d.is_float() {
            return Ok(Some(vec![self.input.v]));
        }
        let [nan, high, low] = self.replacements();
        let y = emit(b, &[(&self.input, d)], d, |p, [x]| {
            let zero = p.constant(0.0, d);
            let [nan, high, low] = [nan, high, low].map(|x| p.constant(x, d));
            let positive = p.binary(Binary::Gt, x, zero);
            let bound = p.select(positive, high, low);
            let infinite = p.unary(Unary::IsInf, x);
            let y = p.select(infinite, bound, x);
            let is_nan = p.unary(Unary::IsNan, x);
            p.select(is_nan, nan, y)
        })?;
        Ok(Some(vec![y]))
    }

    fn cases() -> Vec<Case> {
        let x = |d| cycle(d, &[5], &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -0.0]);
        vec![
            sample().arg(x(DType::F32)).exact("f32"),
            sample().arg(x(DType::F16)).none().none().none().exact("f16"),
            sample().arg(x(DType::F32)).real(1.0).real(2.0).real(-3.0).exact("given"),
            sample().arg(x(DType::I32)).exact("i32"),
        ]
    }
}
