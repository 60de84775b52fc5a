use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, fact, number_of, wide};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::task::{Binary, Lowering, Scalar, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `input` rounded to `decimals` digits after the point, halves to even, in its type. Integers are unchanged for
    /// `decimals` ≥ 0.
    Round { input: Operand, decimals: i64 = 0 }
}

impl Rule for Round {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!((-30..=30).contains(&self.decimals), "expected -30 to 30 decimals, found {}", self.decimals);
        fact(&[&self.input], self.input.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = number_of(self.input.dtype());
        let scale = 10f64.powi(self.decimals as i32);
        evaluate(&[(&self.input, d)], self.input.dtype(), |[x]| match x {
            Scalar::Int(x) if self.decimals >= 0 => Scalar::Int(x),
            x => Scalar::Float((x.as_f64() * scale).round_ties_even() / scale),
        })
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.input.dtype();
        if !d.is_float() {
            return Ok((self.decimals >= 0).then(|| vec![self.input.v]));
        }
        let y = emit(b, &[(&self.input, if self.decimals == 0 { d } else { wide(d) })], d, |p, [x]| {
            if self.decimals == 0 {
                return p.unary(Unary::Round, x);
            }
            let scale = p.constant(10f64.powi(self.decimals as i32), p.type_of(x));
            let x = p.binary(Binary::Mul, x, scale);
            let x = p.unary(Unary::Round, x);
            p.binary(Binary::Div, x, scale)
        })?;
        Ok(Some(vec![y]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        if self.decimals < 0 && !self.input.dtype().is_float() {
            return no_form("integers rounded to tens");
        }
        Ok(None)
    }

    fn cases() -> Vec<Case> {
        let halves = || cycle(DType::F32, &[9], &[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.3, f64::INFINITY, f64::NAN]);
        vec![
            sample().arg(halves()).exact("halves"),
            sample().arg(cycle(DType::F32, &[5], &[0.13, -1.27, 3.98])).int(1).case("tenths"),
            sample().arg(wave(DType::F16, &[3, 7])).int(0).exact("f16"),
            sample().arg(wave(DType::I32, &[5])).int(0).exact("i32"),
            sample().arg(cycle(DType::I32, &[4], &[14.0, 15.0, 25.0, -7.0])).int(-1).exact("tens"),
        ]
    }
}
