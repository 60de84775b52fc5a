use super::same_elements::SameElements;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Plan, Planned, Undo};
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
        Ok((0..dims.len()).filter(|d| dims[*d] != 1 || !axes.contains(d)).map(|d| dims[d]).collect())
    }
}

impl Planned for Squeeze {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn plan(&self) -> Result<impl Plan, OpError> {
        SameElements::new(&self.input, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let dims = self.input.dims();
        let named = if self.axis.is_empty() { (0..dims.len()).collect() } else { self.input.axes(&self.axis)? };
        if named.iter().any(|&d| dims[d].is_none()) {
            return no_form("it removes a dimension that is open if that is 1");
        }
        let axes: Vec<i64> = named.into_iter().filter(|&d| dims[d] == Some(1)).map(|d| d as i64).collect();
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
