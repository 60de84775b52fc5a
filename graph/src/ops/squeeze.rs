use super::reshaping::reshaping;
use super::sample::sample;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Ints, Operand};
use crate::{DType, OpError, Shape, ensure, op};

op! {
    /// Removes the dimensions `axis`, which must be 1; without `axis`, every dimension that is 1. Any type.
    Squeeze { input ["x", "input_x"]: Operand, axis: Ints = Ints::new() }
}

impl Squeeze {
    fn form(&self, e: &mut Emit) -> Forms {
        if self.axis.is_empty() && self.input.is_open() {
            return no_form("it removes every dimension of 1, and a dimension is open");
        }
        let dims = self.input.dims();
        let ones = || (0..dims.len()).filter(|&d| dims[d] == Some(1)).map(|d| d as i64).collect();
        let axes: Vec<i64> = if self.axis.is_empty() { ones() } else { self.axis.to_vec() };
        let x = e.edge(&self.input)?;
        Ok(Some(vec![e.squeeze(x, &axes)]))
    }

    fn dims(&self) -> Result<Shape, OpError> {
        let dims = self.input.shape();
        if self.axis.is_empty() {
            return Ok(dims.iter().copied().filter(|&d| d != 1).collect());
        }
        let axes = self.input.axes(&self.axis)?;
        for &a in &axes {
            ensure!(dims[a] == 1, "expected 1 in dimension {a}, found {}", self.input.fact);
        }
        Ok((0..dims.len()).filter(|d| !axes.contains(d)).map(|d| dims[d]).collect())
    }
}

reshaping!(Squeeze, input, {
    vec![
        sample().tensor(DType::F32, &[1, 3, 1, 2]).case("all", 0.0),
        sample().tensor(DType::I32, &[1, 3, 1, 2]).ints(&[-2]).case("one", 0.0),
        sample().tensor(DType::F32, &[1, 1]).int(0).case("number", 0.0),
    ]
});
