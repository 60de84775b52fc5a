//! Regular selections: what slices, splits and reversals have in common.

use crate::op::{Lowers, Operand, Rule};
use crate::ops::kit::indices::{dim, flat, rearrange};
use crate::task::{Lowering, V};
use crate::{Fact, OpError, Shape, Tensor, checked_count, ensure};

/// `size` elements of a dimension, from `begin` in steps of `step`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Span {
    pub begin: usize,
    pub size: usize,
    pub step: isize,
}

impl Span {
    /// All of `len` elements.
    pub fn whole(len: usize) -> Span {
        Span { begin: 0, size: len, step: 1 }
    }

    /// `size` elements from `begin` in steps of `step`, which means nothing for fewer than two.
    pub fn steps(begin: usize, size: usize, step: i64) -> Span {
        Span { begin, size, step: if size > 1 { step as isize } else { 1 } }
    }
}

/// The elements of `x` that the spans take, one along each dimension.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Cut<'a> {
    pub x: &'a Operand,
    pub spans: Vec<Span>,
    /// The dimensions that the result gets, if not the spans' sizes.
    pub dims: Option<Shape>,
}

impl<'a> Cut<'a> {
    /// A span of one dimension.
    pub fn along(x: &'a Operand, axis: usize, span: Span) -> Cut<'a> {
        let one = |(d, &len)| if d == axis { span } else { Span::whole(len) };
        Cut { x, spans: x.shape().iter().enumerate().map(one).collect(), dims: None }
    }

    /// Elements `begin` to `begin + size` of one dimension.
    pub fn range(x: &'a Operand, axis: usize, begin: usize, size: usize) -> Result<Cut<'a>, OpError> {
        let len = dim(x.shape(), axis)?;
        let fits = begin.checked_add(size).is_some_and(|end| end <= len);
        ensure!(fits, "{size} elements from {begin} reach beyond dimension {axis} of {}", x.fact);
        Ok(Cut::along(x, axis, Span { begin, size, step: 1 }))
    }

    fn size(&self) -> Shape {
        self.spans.iter().map(|span| span.size).collect()
    }

    fn dims(&self) -> Shape {
        self.dims.clone().unwrap_or_else(|| self.size())
    }

    /// Element `at` of one dimension, which disappears.
    pub fn single(x: &'a Operand, axis: usize, at: usize) -> Result<Cut<'a>, OpError> {
        let mut cut = Cut::range(x, axis, at, 1)?;
        let mut dims = x.fact.shape.clone();
        dims.remove(axis);
        cut.dims = Some(dims);
        Ok(cut)
    }

    /// What is cut out, as a value.
    pub fn value(&self, b: &mut Lowering) -> Result<V, OpError> {
        let dims = self.dims();
        if checked_count(&dims) == Some(0) {
            return Ok(b.constant(Tensor::zeros(self.x.dtype(), &dims)?));
        }
        let (begin, step): (Vec<_>, Vec<_>) = self.spans.iter().map(|span| (span.begin, span.step)).unzip();
        let y = b.slice(self.x.v, &begin, &self.size(), &step)?;
        b.reshape(y, &dims)
    }
}

impl Rule for Cut<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.dims() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = rearrange(self.x.tensor()?, &self.size(), |index| {
            let place = |(&i, span): (&usize, &Span)| (span.begin as isize + i as isize * span.step) as usize;
            let from: Shape = index.iter().zip(&self.spans).map(place).collect();
            Some(flat(self.x.shape(), &from))
        })?;
        Ok(vec![y.reshape(&self.dims())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![self.value(b)?]))
    }
}
