use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Late, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{flat, rearrange, size};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Shape, Tensor, broadcast, checked_count, ensure, op};

/// `x` repeated along dimensions that are 1 or missing on the left.
struct Repeated<'a> {
    x: &'a Operand,
    dims: Shape,
}

impl<'a> Repeated<'a> {
    fn new(x: &'a Operand, dims: Shape) -> Result<Self, OpError> {
        let fits = broadcast(x.shape(), &dims).is_some_and(|s| s == dims) && checked_count(&dims).is_some();
        ensure!(fits, "{} does not broadcast to {:?}", x.fact, dims.as_slice());
        Ok(Repeated { x, dims })
    }
}

impl Rule for Repeated<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.dims.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, lead) = (self.x, self.dims.len() - self.x.rank());
        let y = rearrange(x.tensor()?, &self.dims, |index| {
            let from: Shape = index.iter().skip(lead).zip(x.shape()).map(|(&i, &d)| i.min(d - 1)).collect();
            Some(flat(x.shape(), &from))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.broadcast_to(self.x.v, &self.dims)?]))
    }
}

op! {
    /// Repeats `input` along dimensions that are 1 or missing on the left, up to `shape`; −1 keeps a dimension. Any type.
    BroadcastTo, aliases ["BroadcastToView", object "Expand", object "DynamicBroadcastTo"] { input ["x", "input_x"]: Operand, shape: Late<Ints> }
}

impl BroadcastTo {
    fn dims(&self) -> Result<Shape, OpError> {
        let (x, shape) = (&self.input, self.shape.get()?);
        let lead = shape.len().checked_sub(x.rank());
        let lead = lead.ok_or_else(|| OpError::Invalid(format!("{} has more dimensions than {shape:?}", x.fact)))?;
        let own = std::iter::repeat_n(None, lead).chain(x.shape().iter().map(Some));
        let dim = |(&d, own): (&i64, Option<&usize>)| match own {
            Some(own) if d == -1 => Ok(*own),
            _ => size(d, "shape"),
        };
        shape.iter().zip(own).map(dim).collect()
    }
}

impl Operator for BroadcastTo {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Repeated::new(&self.input, self.dims()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        // Both 1 and, here, −1 keep a dimension.
        let kept = self.shape.known().map(|s| s.iter().map(|d| d.saturating_abs()).collect::<Vec<i64>>());
        let x = e.edge(&self.input)?;
        let mut shape = e.ints(1, kept.as_deref())?;
        if kept.is_none() {
            shape = e.op("Abs", &[shape]);
        }
        Ok(Some(vec![e.op("Expand", &[x, shape])]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[2, 1]).ints(&[2, -1, 3]).exact("kept dimension"),
            sample().tensor(I64, &[1, 3, 1]).ints(&[4, 3, 5]).exact("both sides"),
            sample().tensor(Bool, &[]).ints(&[2, 2]).exact("scalar"),
            sample().tensor(F32, &[1, 3]).ints(&[0, 3]).exact("to nothing"),
        ]
    }
}

op! {
    /// Repeats `input` to the shape of `other`. Any type.
    ExpandAs { input: Operand, other: Operand }
}

impl Operator for ExpandAs {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Repeated::new(&self.input, self.other.fact.shape.clone())
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input)?;
        let sizes = e.sizes_of(&self.other);
        Ok(Some(vec![e.expand(x, &sizes)?]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[3, 1]).tensor(DType::I32, &[2, 3, 4]).exact("rank 3")]
    }
}
