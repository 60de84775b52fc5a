use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{float_of, floats};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::{filled, sample, wave};
use crate::task::Binary;
use crate::{DType, OpError, op};

op! {
    /// `input + weight · (end − input)`, with broadcasting. `weight` is a tensor or a number. The result has the common float
    /// type of `input` and `end`.
    Lerp, aliases ["LerpScalar"] { input: Operand, end: Operand, weight: Operand }
}

impl Operator for Lerp {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let d = float_of(DType::promote(self.input.dtype(), self.end.dtype()));
        let ins = [&self.input, &self.end, &self.weight].map(|x| (x, d));
        Ok(Elementwise::widened(ins, d, floats(|[x, end, weight]| x + weight * (end - x)), |p, [x, end, weight]| {
            let y = p.binary(Binary::Sub, end, x);
            let y = p.binary(Binary::Mul, weight, y);
            p.binary(Binary::Add, x, y)
        }))
    }

    fn cases() -> Vec<Case> {
        let weight = |d: DType| filled(d, &[5], |i| i as f64 * 0.25);
        let x = |d: DType| wave(d, &[2, 3, 5]);
        let end = |d: DType| filled(d, &[3, 1], |i| i as f64 - 1.0);
        vec![
            sample().arg(x(DType::F32)).arg(end(DType::F32)).arg(weight(DType::F32)).case("f32"),
            sample().arg(x(DType::F16)).arg(end(DType::F16)).arg(weight(DType::F16)).case("f16"),
            sample().arg(x(DType::F32)).arg(end(DType::F32)).real(0.3).case("number"),
        ]
    }
}
