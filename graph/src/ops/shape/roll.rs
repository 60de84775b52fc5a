use crate::op::{Case, Ints, Lowers, Operand, Rule};
use crate::ops::kit::indices::{dim, each_index, flat, item_mut, rearrange};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, Part};
use crate::{DType, Fact, OpError, Shape, Tensor, dense_strides, ensure, op};

op! {
    /// Moves the elements by `shifts[i]` along dimension `dims[i]`; those that leave at the end enter at the front. Without
    /// `dims`, moves the flattened elements. Any type.
    Roll { input ["input_x"]: Operand, shifts ["shift"]: Ints, dims ["axis"]: Option<Ints> = None }
}

impl Roll {
    /// Dimensions to roll over, and the distance along each.
    fn moves(&self) -> Result<(Shape, Vec<usize>), OpError> {
        let flat = self.dims.as_ref().is_none_or(|d| d.is_empty());
        let dims = if flat { Shape::from_slice(&[self.input.count()]) } else { self.input.fact.shape.clone() };
        let axes = match &self.dims {
            Some(axes) if !flat => axes.iter().map(|&a| self.input.axis(a)).collect::<Result<Vec<_>, _>>()?,
            _ => vec![0],
        };
        ensure!(axes.len() == self.shifts.len(), "expected {} shifts, found {}", axes.len(), self.shifts.len());
        let mut by = vec![0; dims.len()];
        for (&axis, &shift) in axes.iter().zip(&self.shifts) {
            let (len, by) = (dim(&dims, axis)?, item_mut(&mut by, axis)?);
            if len > 0 {
                *by = (*by + shift.rem_euclid(len as i64) as usize) % len;
            }
        }
        Ok((dims, by))
    }
}

impl Rule for Roll {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.moves()?;
        Ok(vec![self.input.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (dims, by) = self.moves()?;
        let y = rearrange(self.input.tensor()?, &dims, |index| {
            let moved = index.iter().zip(&dims).zip(&by);
            Some(flat(&dims, &moved.map(|((i, len), by)| (i + len - by) % len).collect::<Shape>()))
        })?;
        Ok(vec![y.reshape(self.input.shape())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (dims, by) = self.moves()?;
        if self.input.count() == 0 || by.iter().all(|&s| s == 0) {
            return Ok(Some(vec![self.input.v]));
        }
        let strides = dense_strides(&dims);
        let mut parts = Vec::new();
        // Each rolled dimension is cut in two pieces, which change places.
        let halves: Vec<usize> = by.iter().map(|&s| if s == 0 { 1 } else { 2 }).collect();
        each_index(&halves, |half| {
            let (mut shape, mut src, mut dst) = (Shape::new(), 0, 0);
            for ((half, step), (&len, &by)) in half.iter().zip(&strides).zip(dims.iter().zip(&by)) {
                let kept = len - by;
                let (len, from, to) = if *half == 0 { (kept, 0, by) } else { (by, kept, 0) };
                shape.push(len);
                src += from * *step as usize;
                dst += to * *step as usize;
            }
            let (from, to) = (strides.clone(), strides.clone());
            parts.push(Part { input: 0, shape, src_offset: src, src: from, dst_offset: dst, dst: to });
        })?;
        let y = b.copy(&[self.input.v], parts, None, Fact { dtype: self.input.dtype(), shape: dims });
        Ok(Some(vec![b.reshape(y, self.input.shape())?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 4, 5]).ints(&[1, -2]).ints(&[0, 2]).exact("two dimensions"),
            sample().tensor(DType::I32, &[2, 5]).ints(&[7]).ints(&[-1]).exact("more than once around"),
            sample().tensor(DType::F32, &[2, 3]).ints(&[2]).none().exact("flat"),
        ]
    }
}
