use crate::onnx::{Emit, Forms, no_form, to_i64};
use crate::op::{Case, Ints, Late, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{around, dim, flat, rearrange, replaced, size, sizes, slices_at, taken};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, Part};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, checked_count, dense_strides, ensure, op};

/// `x` with dimension `dims[d]` repeated `repeats[d]` times: `whole`, or else every element.
struct Tiled<'a> {
    x: &'a Operand,
    dims: Shape,
    repeats: Shape,
    whole: bool,
}

impl Tiled<'_> {
    /// Dimensions of the result.
    fn result(&self) -> Result<Shape, OpError> {
        let product = |(&d, &r): (&usize, &usize)| d.checked_mul(r);
        let out: Option<Shape> = self.dims.iter().zip(&self.repeats).map(product).collect();
        out.filter(|s| checked_count(s).is_some()).ok_or_else(|| OpError::Invalid("the result is too large".into()))
    }
}

impl Rule for Tiled<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.result()? }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = rearrange(self.x.tensor()?, &self.result()?, |index| {
            let places = index.iter().zip(&self.dims).zip(&self.repeats);
            let from: Shape =
                places.map(|((i, len), repeats)| if self.whole { i % len } else { i / repeats }).collect();
            Some(flat(&self.dims, &from))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (x, out) = (self.x, self.result()?);
        if checked_count(&out) == Some(0) {
            return Ok(Some(vec![b.constant(Tensor::zeros(x.dtype(), &out)?)]));
        }
        if self.repeats.iter().all(|&r| r == 1) {
            return Ok(Some(vec![b.reshape(x.v, &out)?]));
        }
        let (mut shape, mut src) = (Shape::new(), Strides::new());
        for ((&d, &r), &s) in self.dims.iter().zip(&self.repeats).zip(&dense_strides(&self.dims)) {
            let mut pairs = [(r, 0), (d, s)];
            if !self.whole {
                pairs.swap(0, 1);
            }
            for (extent, stride) in pairs.into_iter().filter(|p| p.0 != 1) {
                shape.push(extent);
                src.push(stride);
            }
        }
        let dst = dense_strides(&shape);
        let part = Part { input: 0, shape, src_offset: 0, src, dst_offset: 0, dst };
        Ok(Some(vec![b.copy(&[x.v], vec![part], None, Fact::new(x.dtype(), &out))]))
    }
}

op! {
    /// Repeats the whole of `input` `dims[i]` times along dimension `i`. The shorter of shape and `dims` is filled up with
    /// ones on the left. Any type.
    Tile, aliases ["Repeat"] { input ["input_x", "x"]: Operand, dims ["multiples", "repeats"]: Late<Ints> }
}

impl Operator for Tile {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let repeats = sizes(self.dims.get()?, "dims")?;
        let rank = self.input.rank().max(repeats.len());
        let fill = |values: &[usize]| -> Shape {
            std::iter::repeat_n(1, rank - values.len()).chain(values.iter().copied()).collect()
        };
        Ok(Tiled { x: &self.input, dims: fill(self.input.shape()), repeats: fill(&repeats), whole: true })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, repeats) = (e.edge(&self.input)?, e.ints(1, self.dims.known().map(|d| &d[..]))?);
        let Some(given) = e.length(repeats) else { return no_form("the rank of its result depends on data") };
        let (have, given) = (self.input.rank() as i64, given as i64);
        let x = e.unsqueeze(x, &(0..(given - have).max(0)).collect::<Vec<_>>());
        let ones = e.vector(&vec![1; (have - given).max(0) as usize]);
        let repeats = if have > given { e.concat(&[ones, repeats], 0) } else { repeats };
        Ok(Some(vec![e.op("Tile", &[x, repeats])]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[2, 3]).ints(&[2, 3]).exact("both"),
            sample().tensor(I32, &[2, 3]).ints(&[4, 1, 2]).exact("more repeats than dimensions"),
            sample().tensor(U8, &[2, 1, 3]).ints(&[5]).exact("fewer repeats than dimensions"),
            sample().tensor(F32, &[2]).ints(&[0]).exact("none"),
        ]
    }
}

op! {
    /// Repeats every element `repeats` times along `dim`; `None` flattens first. Any type.
    RepeatInterleaveInt { input: Operand, repeats: i64, dim: Option<i64> = None, output_size: Option<i64> = None }
}

impl Operator for RepeatInterleaveInt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let times = size(self.repeats, "repeats")?;
        let dims = match self.dim {
            None => Shape::from_slice(&[self.input.count()]),
            Some(_) => self.input.fact.shape.clone(),
        };
        let axis = self.dim.map_or(Ok(0), |d| self.input.axis(d))?;
        let repeats = replaced(&vec![1; dims.len()], axis, times);
        Ok(Tiled { x: &self.input, dims, repeats, whole: false })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).int(2).int(0).none().exact("rows"),
            sample().tensor(DType::I32, &[2, 3]).int(3).int(-1).none().exact("columns"),
            sample().tensor(DType::F32, &[2, 3]).int(2).none().none().exact("flat"),
        ]
    }
}

op! {
    /// Repeats slice `i` along `dim` `repeats[i]` times; one number counts for all, `None` flattens first. Any type.
    RepeatInterleaveTensor { input: Operand, repeats: Ints, dim: Option<i64> = None, output_size: Option<i64> = None }
}

impl RepeatInterleaveTensor {
    fn dims(&self) -> Result<(Shape, usize), OpError> {
        Ok(match self.dim {
            None => (Shape::from_slice(&[self.input.count()]), 0),
            Some(d) => (self.input.fact.shape.clone(), self.input.axis(d)?),
        })
    }

    /// The slice that each slice of the result repeats.
    fn picks(&self) -> Result<Vec<usize>, OpError> {
        let (dims, axis) = self.dims()?;
        let (len, mut repeats) = (dim(&dims, axis)?, sizes(&self.repeats, "repeats")?);
        if let [all] = repeats[..] {
            repeats = vec![all; len];
        }
        ensure!(repeats.len() == len, "expected 1 or {len} repeats, found {}", repeats.len());
        let total = repeats.iter().try_fold(0usize, |n, repeats| n.checked_add(*repeats));
        ensure!(total.is_some_and(|n| n <= i32::MAX as usize), "the result is too large");
        Ok(repeats.into_iter().enumerate().flat_map(|(i, repeats)| std::iter::repeat_n(i, repeats)).collect())
    }
}

impl Rule for RepeatInterleaveTensor {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (dims, axis) = self.dims()?;
        Ok(vec![Fact { dtype: self.input.dtype(), shape: replaced(&dims, axis, self.picks()?.len()) }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let ((dims, axis), picks) = (self.dims()?, self.picks()?);
        let places = slices_at(around(&dims, axis)?, &picks);
        Ok(vec![taken(self.input.tensor()?, &replaced(&dims, axis, picks.len()), places)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (dims, axis) = self.dims()?;
        let x = b.reshape(self.input.v, &dims)?;
        let picks = b.constant(Tensor::vector(&to_i64(&self.picks()?)));
        Ok(Some(vec![b.gather(x, picks, axis)?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).ints(&[2, 0, 1]).int(1).none().exact("different"),
            sample().tensor(DType::I32, &[2, 3]).ints(&[2]).none().none().exact("flat"),
        ]
    }
}
