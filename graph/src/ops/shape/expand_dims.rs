use super::same_elements::SameElements;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Operator, Rule, Undo};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, normalize_axis, op};

op! {
    /// Inserts a dimension of 1 at `axis`, counted in the result; negative values count from its end. Any type.
    ExpandDims, aliases ["ExpandDimsView", "Unsqueeze"] { input_x ["input", "x"]: Operand, axis ["dim"]: i64 }
}

impl ExpandDims {
    fn dims(&self) -> Result<Shape, OpError> {
        let rank = self.input_x.rank() + 1;
        let axis = normalize_axis(self.axis, rank)
            .ok_or_else(|| OpError::Invalid(format!("axis {} is out of range for rank {rank}", self.axis)))?;
        let mut dims = self.input_x.fact.shape.clone();
        dims.insert(axis, 1);
        Ok(dims)
    }
}

impl Operator for ExpandDims {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn rule(&self) -> Result<impl Rule, OpError> {
        SameElements::new(&self.input_x, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.unsqueeze(x, &[self.axis])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).int(0).exact("front"),
            sample().tensor(DType::I64, &[2, 3]).int(-1).exact("back"),
            sample().tensor(DType::F16, &[]).int(0).exact("scalar"),
        ]
    }
}
