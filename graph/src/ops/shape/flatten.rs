use super::same_elements::SameElements;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Operand, Operator, Rule, Undo};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, count, op};

op! {
    /// A matrix whose rows are the slices along the first dimension. Any type, rank 1 or more.
    Flatten { input_x ["x", "input"]: Operand }
}

impl Flatten {
    fn dims(&self) -> Result<Shape, OpError> {
        let [first, rest @ ..] = self.input_x.shape() else {
            return Err(OpError::Invalid("expected rank 1 or more, found a scalar".into()));
        };
        Ok(Shape::from_slice(&[*first, count(rest)]))
    }
}

impl Operator for Flatten {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn rule(&self) -> Result<impl Rule, OpError> {
        SameElements::new(&self.input_x, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input_x)?;
        Ok(Some(vec![e.op_with("Flatten", &[x], vec![("axis", 1.into())])]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3, 4]).exact("rank 3"), sample().tensor(DType::I32, &[4]).exact("vector")]
    }
}

op! {
    /// Joins the dimensions from `start_dim` to `end_dim`, both included. A scalar becomes a vector. Any type.
    FlattenExt { input ["x"]: Operand, start_dim: i64 = 0, end_dim: i64 = -1 }
}

/// A list in front of `start`, from there to `end`, and behind it.
fn three_parts<T>(list: &[T], start: usize, end: usize) -> Result<[&[T]; 3], OpError> {
    let parts = list.split_at_checked(end + 1).and_then(|(list, back)| Some((list.split_at_checked(start)?, back)));
    match parts {
        Some(((front, joined), back)) if start <= end => Ok([front, joined, back]),
        _ => Err(OpError::Invalid(format!("dimension {start} comes after dimension {end}"))),
    }
}

impl FlattenExt {
    fn dims(&self) -> Result<Shape, OpError> {
        let dims = self.input.shape();
        if dims.is_empty() {
            return Ok(Shape::from_slice(&[1]));
        }
        let (start, end) = (self.input.axis(self.start_dim)?, self.input.axis(self.end_dim)?);
        let [front, joined, back] = three_parts(dims, start, end)?;
        Ok(front.iter().copied().chain([count(joined)]).chain(back.iter().copied()).collect())
    }
}

impl Operator for FlattenExt {
    const UNDO: Option<Undo> = Some(Undo::Reshape);

    fn rule(&self) -> Result<impl Rule, OpError> {
        SameElements::new(&self.input, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if !self.input.is_open() {
            return Ok(None);
        }
        let (start, end) = (self.input.axis(self.start_dim)?, self.input.axis(self.end_dim)?);
        let sizes = e.sizes_of(&self.input);
        let [front, joined, back] = three_parts(&sizes, start, end)?.map(|part| e.sizes(part));
        // What is left for −1 cannot be told where another dimension is 0.
        let joined = e.reduce("ReduceProd", joined?, &[0], true);
        let (x, shape) = (e.edge(&self.input)?, e.concat(&[front?, joined, back?], 0));
        Ok(Some(vec![e.op_with("Reshape", &[x, shape], vec![("allowzero", 1.into())])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 4, 5]).int(1).int(-2).exact("middle"),
            sample().tensor(DType::F32, &[2, 3, 4]).exact("all"),
            sample().tensor(DType::F32, &[]).exact("scalar"),
        ]
    }
}
