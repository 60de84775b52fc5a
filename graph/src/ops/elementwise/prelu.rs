use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate_f64, float_of, real};
use crate::ops::kit::indices::column;
use crate::ops::kit::sample::{cycle, filled, sample, wave};
use crate::task::{Binary, Lowering};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

op! {
    /// `input` where it is 0 or above, else `weight · input`. `weight` has one element, or one for each channel: dimension 1 of
    /// `input`, or 0 of a vector.
    PReLU { input: Operand, weight: Operand }
}

/// The dimensions of the weights beside `x`, with 1 after the channel.
pub(in crate::ops) fn beside(x: &Operand, weight: &Operand) -> Result<Shape, OpError> {
    let channels = *x.shape().get(1).or(x.shape().first()).unwrap_or(&1);
    let n = weight.count();
    ensure!(n == 1 || n == channels, "expected 1 or {channels} weights, found {}", weight.fact);
    real(weight)?;
    Ok(if n == 1 { Shape::new() } else { column(n, x.rank().saturating_sub(2)) })
}

impl PReLU {
    fn spread(&self) -> Result<Operand, OpError> {
        let mut w = self.weight.clone();
        let dims = beside(&self.input, &w)?;
        w.fact = Fact::new(w.dtype(), &dims).into();
        w.known = w.known.map(|t| t.reshape(&dims)).transpose()?;
        Ok(w)
    }
}

impl Rule for PReLU {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        beside(&self.input, &self.weight)?;
        Ok(vec![Fact::new(float_of(real(&self.input)?), self.input.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = float_of(self.input.dtype());
        let w = self.spread()?;
        evaluate_f64(&[(&self.input, d), (&w, d)], d, |[x, w]| if x >= 0.0 { x } else { w * x })
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = float_of(self.input.dtype());
        let mut w = self.spread()?;
        w.v = b.reshape(w.v, w.shape())?;
        let y = emit(b, &[(&self.input, d), (&w, d)], d, |p, [x, w]| {
            let zero = p.constant(0.0, d);
            let above = p.binary(Binary::Ge, x, zero);
            let scaled = p.binary(Binary::Mul, x, w);
            p.select(above, x, scaled)
        })?;
        Ok(Some(vec![y]))
    }

    fn cases() -> Vec<Case> {
        let w = |n: usize| filled(DType::F32, &[n], |i| 0.1 + i as f64 * 0.2);
        vec![
            sample().arg(wave(DType::F32, &[2, 3, 4, 5])).arg(w(3)).case("channels"),
            sample().arg(wave(DType::F32, &[2, 3, 4])).arg(w(1)).case("one weight"),
            sample().arg(wave(DType::F32, &[5, 3])).arg(w(3)).case("matrix"),
            sample()
                .arg(cycle(DType::F32, &[4], &[0.0, -0.0, 1.0, -1.0]))
                .arg(cycle(DType::F32, &[1], &[f64::NAN]))
                .exact("zeros"),
            sample().arg(wave(DType::F32, &[5])).arg(w(1)).case("vector"),
        ]
    }
}
