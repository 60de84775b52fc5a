//! Diagonals.

use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{offsets, real, scalars, size, tensor_of};
use crate::ops::kit::indices::{around, item, only};
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Lowering, Part, Scalar};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, dense_strides, ensure, op, shape};

op! {
    /// A tensor with the dimensions of `input` twice, `input` on the diagonal and 0 elsewhere: a matrix for a vector.
    Diag { input: Operand }
}

impl Diag {
    fn doubled(&self) -> Shape {
        self.input.shape().iter().chain(self.input.shape()).copied().collect()
    }
}

impl Rule for Diag {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.input.rank() > 0, "expected at least one dimension, found {}", self.input.fact);
        size(&self.doubled())?;
        Ok(vec![Fact { dtype: real(&self.input)?, shape: self.doubled() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = only(self.infer()?)?.dtype;
        let n = self.input.count();
        let mut y = vec![Scalar::Int(0); n * n];
        for (y, x) in y.iter_mut().step_by(n + 1).zip(scalars(self.input.tensor()?, d)?) {
            *y = x;
        }
        Ok(vec![tensor_of(d, &self.doubled(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let n = self.input.count();
        if n == 0 {
            return Ok(None);
        }
        let (src, dst): (Strides, Strides) = (dense_strides(&[n]), Strides::from_slice(&[n as isize + 1]));
        let part = Part { input: 0, shape: shape(&[n]), src_offset: 0, src, dst_offset: 0, dst };
        let dtype = self.input.dtype();
        let fill = vec![0; dtype.size()];
        Ok(Some(vec![b.copy(&[self.input.v], vec![part], Some(fill), Fact { dtype, shape: self.doubled() })]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[5])).exact("vector"),
            sample().arg(wave(DType::I32, &[2, 3])).exact("matrix"),
            sample().arg(wave(DType::F32, &[0])).exact("empty"),
        ]
    }
}

/// A view of `x`: the elements from `first` on, in steps of `strides` along dimensions `view`, as a tensor of `dims`.
struct Strided<'a> {
    x: &'a Operand,
    first: usize,
    view: Shape,
    strides: Strides,
    dims: Shape,
}

impl Rule for Strided<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: real(self.x)?, shape: self.dims.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let x = scalars(self.x.tensor()?, self.x.dtype())?;
        let places = offsets(&self.view, &self.strides).into_iter();
        let y = places.map(|i| item(&x, self.first + i).copied()).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![tensor_of(self.x.dtype(), &self.dims, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.view.contains(&0) {
            return Ok(None);
        }
        let y = b.strided(self.x.v, self.first, self.strides.clone(), &self.view);
        Ok(Some(vec![b.reshape(y, &self.dims)?]))
    }
}

op! {
    /// The diagonal of a tensor whose second half of dimensions repeats the first: of a matrix, a vector.
    object DiagPart { input_x: Operand }
}

impl Operator for DiagPart {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input_x;
        let (dims, twin) = x.shape().split_at(x.rank() / 2);
        ensure!(dims == twin && !dims.is_empty(), "expected dimensions that repeat, found {}", x.fact);
        let n = size(dims)?;
        Ok(Strided {
            x,
            first: 0,
            view: shape(&[n]),
            strides: Strides::from_slice(&[n as isize + 1]),
            dims: shape(dims),
        })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[5, 5])).exact("matrix"),
            sample().arg(wave(DType::I32, &[2, 3, 2, 3])).exact("four dimensions"),
        ]
    }
}

op! {
    /// The diagonal of dimensions `dim1` and `dim2`, moved up by `offset`, as a last dimension in their place.
    Diagonal { input: Operand, offset: i64 = 0, dim1: i64 = 0, dim2: i64 = 1 }
}

impl Operator for Diagonal {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (self.input.axis(self.dim1)?, self.input.axis(self.dim2)?);
        ensure!(a != b, "expected two dimensions, found {} and {}", self.dim1, self.dim2);
        let dims = self.input.shape();
        let strides = dense_strides(dims);
        let kept = || dims.iter().zip(&strides).enumerate().filter(|(d, _)| *d != a && *d != b);
        let ([_, rows, down], [_, cols, right]) = (around(dims, a)?, around(dims, b)?);
        let skip = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
        let (rows, cols, step) = if self.offset < 0 {
            (rows.saturating_sub(skip), cols, down)
        } else {
            (rows, cols.saturating_sub(skip), right)
        };
        let len = rows.min(cols);
        let first = if len == 0 { 0 } else { skip * step };
        let view: Shape = kept().map(|(_, (len, _))| *len).chain([len]).collect();
        let strides = kept().map(|(_, (_, step))| *step).chain([(down + right) as isize]).collect();
        Ok(Strided { x: &self.input, first, dims: view.clone(), view, strides })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 5])).exact("matrix"),
            sample().arg(wave(DType::F32, &[4, 3])).int(1).exact("above"),
            sample().arg(wave(DType::I32, &[4, 3, 2])).int(-2).exact("below"),
            sample().arg(wave(DType::F32, &[2, 3, 4])).int(0).int(-1).int(1).exact("other dimensions"),
            sample().arg(wave(DType::F32, &[3, 3])).int(i64::MIN).exact("beyond"),
        ]
    }
}
