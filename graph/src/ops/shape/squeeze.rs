use super::same_elements::SameElements;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Operator, Rule, Undo};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, op};

op! {
    /// Removes those of the dimensions `axis` that are 1; without `axis`, every dimension that is 1. Any type.
    Squeeze { input ["x", "input_x"]: Operand, axis: Ints = Ints::new() }
}

impl Squeeze {
    fn dims(&self) -> Result<Shape, OpError> {
        let dims = self.input.shape();
        if self.axis.is_empty() {
            return Ok(dims.iter().copied().filter(|&d| d != 1).collect());
        }
        let axes = self.input.axes(&self.axis)?;
        let kept = dims.iter().enumerate().filter(|(d, len)| **len != 1 || !axes.contains(d));
        Ok(kept.map(|(_, len)| *len).collect())
    }
}

impl Operator for Squeeze {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn rule(&self) -> Result<impl Rule, OpError> {
        SameElements::new(&self.input, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axes = self.input.axes(&self.axis)?;
        let named = self.input.dims().into_iter().enumerate().filter(|(d, _)| axes.contains(d));
        let named: Option<Vec<(usize, usize)>> = named.map(|(d, len)| Some((d, len?))).collect();
        let Some(named) = named else { return no_form("it removes a dimension that is open if that is 1") };
        let axes: Vec<i64> = named.into_iter().filter(|(_, len)| *len == 1).map(|(d, _)| d as i64).collect();
        let x = e.edge(&self.input)?;
        Ok(Some(vec![e.squeeze(x, &axes)]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[1, 3, 1, 2]).exact("all"),
            sample().tensor(DType::I32, &[1, 3, 1, 2]).ints(&[-2]).exact("one"),
            sample().tensor(DType::F32, &[2, 3, 1]).ints(&[0, 2]).exact("not 1"),
            sample().tensor(DType::F32, &[1, 1]).int(0).exact("number"),
        ]
    }
}
