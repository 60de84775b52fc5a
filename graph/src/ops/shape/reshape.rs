use super::same_elements::SameElements;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Late, Operand, Operator, Rule, Undo};
use crate::ops::kit::indices::{replaced, size, sizes};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, checked_count, ensure, op};

op! {
    /// The same elements with dimensions `shape`; one dimension may be −1 and is what remains.
    ///
    /// `input`: any type. `shape`: integers, which may be computed by the model.
    Reshape, aliases ["View", object "FlattenGrad"] { input ["tensor"]: Operand, shape: Late<Ints> }
}

impl Reshape {
    fn dims(&self) -> Result<Shape, OpError> {
        let shape = self.shape.get()?;
        let Some(open) = shape.iter().position(|&d| d == -1) else {
            return Ok(sizes(shape, "shape")?.into());
        };
        let others = |(d, &len): (usize, &i64)| if d == open { Ok(1) } else { size(len, "shape") };
        let dims = shape.iter().enumerate().map(others).collect::<Result<Shape, _>>()?;
        let (have, rest) = (self.input.count(), checked_count(&dims).unwrap_or(0));
        ensure!(rest > 0 && have % rest == 0, "cannot give {} the dimensions {:?}", self.input.fact, shape.as_slice());
        Ok(replaced(&dims, open, have / rest))
    }
}

impl Operator for Reshape {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn rule(&self) -> Result<impl Rule, OpError> {
        SameElements::new(&self.input, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let known = self.shape.known();
        let (x, shape) = (e.edge(&self.input)?, e.ints(1, known.map(|s| &s[..]))?);
        // Without it 0 would keep a dimension.
        let zeros = known.is_none_or(|s| s.contains(&0));
        let zeros = if zeros { vec![("allowzero", 1.into())] } else { Vec::new() };
        Ok(Some(vec![e.op_with("Reshape", &[x, shape], zeros)]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 4]).ints(&[4, 6]).exact("known"),
            sample().tensor(DType::I8, &[2, 3, 4]).ints(&[2, -1, 2]).exact("one open"),
            sample().tensor(DType::Bool, &[1]).ints(&[]).exact("to a scalar"),
            sample().tensor(DType::F32, &[0, 3]).ints(&[3, -1]).exact("no elements"),
        ]
    }
}
