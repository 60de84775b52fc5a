use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::sample::{sample, wave};
use crate::{DType, Fact, OpError, Tensor, op};

op! {
    /// The sum of the diagonal of a matrix `[m, n]` of floats: `[]`, of the same type.
    Trace { input: Operand }
}

impl Operator for Trace {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        let of = |dims| sample().arg(wave(DType::F32, dims));
        vec![of(&[3, 3]).case("square"), of(&[2, 5]).case("wide"), of(&[4, 2]).case("tall"), of(&[0, 3]).exact("empty")]
    }
}

impl Rule for Trace {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let [_, _] = self.input.fact.ranked()?;
        Ok(vec![Fact::new(self.input.dtype(), &[])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let x = Grid::<2>::read(&self.input)?;
        let [m, n] = x.dims;
        let sum: Result<f64, OpError> = (0..m.min(n)).map(|i| x.at([i, i])).sum();
        Ok(vec![Tensor::from_f64s(self.input.dtype(), &[], &[sum?])?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no trace")
    }
}
