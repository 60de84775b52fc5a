//! Gradients of slices: a tensor of zeros with elements at regular places.

use super::cut::{Cut, Span};
use super::strided_slice::StridedSlice;
use crate::op::{Case, Ints, Late, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{flat, rearrange, result, sizes};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, Part};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, dense_strides, ensure, op, shape};

/// Zeros of dimensions `dims` with the elements of `x` where the spans would take them from.
struct Placed<'a> {
    x: &'a Operand,
    spans: Vec<Span>,
    dims: Shape,
}

impl<'a> Placed<'a> {
    /// Where `cut` takes elements from, which are as many as `x` has.
    fn new(x: &'a Operand, cut: Cut) -> Result<Placed<'a>, OpError> {
        let taken = cut.infer()?;
        let fits = taken.iter().all(|fact| fact.shape == x.fact.shape);
        ensure!(fits, "expected gradients of what is taken, {taken:?}, found {}", x.fact);
        Ok(Placed { x, dims: cut.x.fact.shape.clone(), spans: cut.spans })
    }

    fn taken(&self) -> Shape {
        self.spans.iter().map(|span| span.size).collect()
    }
}

/// The element of a span that is at place `i`.
fn element(span: &Span, i: usize) -> Option<usize> {
    let (off, step) = (i as isize - span.begin as isize, span.step);
    let at = off.checked_div(step).filter(|at| at * step == off)?;
    usize::try_from(at).ok().filter(|at| *at < span.size)
}

impl Rule for Placed<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![result(self.x.dtype(), &self.dims)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let taken = self.taken();
        let y = rearrange(self.x.tensor()?, &self.dims, |index| {
            let from = self.spans.iter().zip(index).map(|(span, &i)| element(span, i)).collect::<Option<Shape>>()?;
            Some(flat(&taken, &from))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (taken, out) = (self.taken(), Fact { dtype: self.x.dtype(), shape: self.dims.clone() });
        if taken.contains(&0) {
            return Ok(Some(vec![b.constant(Tensor::zeros(out.dtype, &out.shape)?)]));
        }
        let dense = dense_strides(&self.dims);
        let begins = self.spans.iter().zip(&dense).map(|(span, step)| span.begin * step.unsigned_abs());
        let dst: Strides = self.spans.iter().zip(&dense).map(|(span, step)| span.step * step).collect();
        let part = Part {
            input: 0,
            shape: shape(&taken),
            src_offset: 0,
            src: dense_strides(&taken),
            dst_offset: begins.sum(),
            dst,
        };
        let fill = vec![0; out.dtype.size()];
        Ok(Some(vec![b.copy(&[self.x.v], vec![part], Some(fill), out)]))
    }
}

op! {
    /// The gradient of `Slice`: zeros of the shape of `x` with `dy` from `begin` on. Any type.
    object SliceGrad { dy: Operand, x: Operand, begin: Ints, size: Ints }
}

impl Operator for SliceGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, begin, taken) = (&self.x, sizes(&self.begin, "begin")?, sizes(&self.size, "size")?);
        let mut ends = begin.iter().zip(&taken).zip(x.shape());
        let fits = begin.len() == x.rank() && taken.len() == x.rank() && ends.all(|((b, n), len)| b + n <= *len);
        ensure!(fits, "expected {taken:?} elements from {begin:?} of {}, found fewer", x.fact);
        let spans = begin.iter().zip(&taken).map(|(&begin, &size)| Span { begin, size, step: 1 }).collect();
        Placed::new(&self.dy, Cut { x, spans, dims: None })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 2]).tensor(DType::F32, &[3, 4]);
        let none = sample().tensor(DType::I32, &[0, 4]).tensor(DType::I32, &[3, 4]);
        vec![x.ints(&[1, 2]).ints(&[2, 2]).exact("corner"), none.ints(&[3, 0]).ints(&[0, 4]).exact("nothing")]
    }
}

op! {
    /// The gradient of `StridedSlice` of a tensor of dimensions `shapex`: zeros with `dy` where it takes elements from. Any type.
    /// MindSpore's CPU takes no notice of `end_mask`.
    classic StridedSliceGrad {
        dy: Operand,
        shapex: Ints as Input,
        begin: Ints as Input,
        end: Ints as Input,
        strides: Ints as Input,
        begin_mask: i64 = 0,
        end_mask: i64 = 0,
        ellipsis_mask: i64 = 0,
        new_axis_mask: i64 = 0,
        shrink_axis_mask: i64 = 0,
    }
}

impl Operator for StridedSliceGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dims = sizes(&self.shapex, "shapex")?;
        let whole = Operand { v: self.dy.v, fact: result(self.dy.dtype(), &dims)?.into(), known: None };
        let slice = StridedSlice {
            input_x: whole,
            begin: Late::Known(self.begin.clone()),
            end: Late::Known(self.end.clone()),
            strides: self.strides.clone(),
            begin_mask: self.begin_mask,
            end_mask: self.end_mask,
            ellipsis_mask: self.ellipsis_mask,
            new_axis_mask: self.new_axis_mask,
            shrink_axis_mask: self.shrink_axis_mask,
        };
        Placed::new(&self.dy, slice.cut()?)
    }

    fn cases() -> Vec<Case> {
        let on = |dy: &[usize], x: &[i64]| sample().tensor(DType::F32, dy).ints(x);
        vec![
            on(&[2, 2], &[3, 4]).ints(&[0, 1]).ints(&[3, 4]).ints(&[2, 2]).exact("steps"),
            on(&[3, 2], &[3, 4]).ints(&[2, 3]).ints(&[-4, 0]).ints(&[-1, -2]).exact("backward"),
            on(&[4], &[3, 4]).ints(&[1, 0]).ints(&[2, 4]).ints(&[1, 1]).int(0).int(2).int(0).int(0).int(1).exact("row"),
        ]
    }
}
