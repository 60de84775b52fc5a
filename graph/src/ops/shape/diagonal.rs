//! Diagonals.

use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{offsets, real, scalars, size, tensor_of};
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
        let d = self.infer()?[0].dtype;
        let n = self.input.count();
        let x = scalars(self.input.tensor()?, d)?;
        let mut y = vec![Scalar::Int(0); n * n];
        x.into_iter().enumerate().for_each(|(i, v)| y[i * (n + 1)] = v);
        Ok(vec![tensor_of(d, &self.doubled(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let n = self.input.count();
        if n == 0 {
            return Ok(None);
        }
        let (src, dst): (Strides, Strides) = (dense_strides(&[n]), Strides::from_slice(&[n as isize + 1]));
        let part = Part { input: 0, shape: shape(&[n]), src_offset: 0, src, dst_offset: 0, dst };
        let fill = vec![0; self.input.dtype().size()];
        Ok(Some(vec![b.copy(&[self.input.v], vec![part], Some(fill), &self.doubled())]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[5])).exact("vector"),
            sample().arg(wave(DType::I32, &[2, 3])).exact("matrix"),
            sample().arg(wave(DType::F32, &[0])).exact("empty"),
        ]
    }
}

op! {
    /// The diagonal of a tensor whose second half of dimensions repeats the first: of a matrix, a vector.
    object DiagPart { input_x: Operand }
}

impl DiagPart {
    fn half(&self) -> Result<&[usize], OpError> {
        let dims = self.input_x.shape();
        let (a, b) = dims.split_at(dims.len() / 2);
        ensure!(a == b && !a.is_empty(), "expected dimensions that repeat, found {}", self.input_x.fact);
        Ok(a)
    }
}

impl Rule for DiagPart {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(real(&self.input_x)?, self.half()?)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let dims = self.half()?;
        let n = size(dims)?;
        let x = scalars(self.input_x.tensor()?, self.input_x.dtype())?;
        let y: Vec<Scalar> = (0..n).map(|i| x[i * (n + 1)]).collect();
        Ok(vec![tensor_of(self.input_x.dtype(), dims, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let dims = self.half()?;
        let n = size(dims)?;
        if n == 0 {
            return Ok(None);
        }
        let y = b.strided(self.input_x.v, 0, Strides::from_slice(&[n as isize + 1]), &[n]);
        Ok(Some(vec![b.reshape(y, dims)?]))
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

impl Diagonal {
    /// The kept dimensions, the first element, and the length and stride of the diagonal.
    fn plan(&self) -> Result<(Vec<usize>, usize, usize, isize), OpError> {
        let (a, b) = (self.input.axis(self.dim1)?, self.input.axis(self.dim2)?);
        ensure!(a != b, "expected two dimensions, found {} and {}", self.dim1, self.dim2);
        let dims = self.input.shape();
        let strides = dense_strides(dims);
        let kept = (0..dims.len()).filter(|d| *d != a && *d != b).collect();
        let skip = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
        let (rows, cols) = if self.offset < 0 {
            (dims[a].saturating_sub(skip), dims[b])
        } else {
            (dims[a], dims[b].saturating_sub(skip))
        };
        let len = rows.min(cols);
        let first = if len == 0 { 0 } else { skip * strides[if self.offset < 0 { a } else { b }] as usize };
        Ok((kept, first, len, strides[a] + strides[b]))
    }

    /// The result's dimensions and the strides with which they are read.
    fn view(&self) -> Result<(usize, Shape, Strides), OpError> {
        let (kept, first, len, step) = self.plan()?;
        let strides = dense_strides(self.input.shape());
        let dims = kept.iter().map(|&d| self.input.shape()[d]).chain([len]).collect();
        Ok((first, dims, kept.iter().map(|&d| strides[d]).chain([step]).collect()))
    }
}

impl Rule for Diagonal {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (_, shape, _) = self.view()?;
        Ok(vec![Fact { dtype: real(&self.input)?, shape }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (first, shape, strides) = self.view()?;
        let x = scalars(self.input.tensor()?, self.input.dtype())?;
        let y: Vec<Scalar> = offsets(&shape, &strides).into_iter().map(|i| x[first + i]).collect();
        Ok(vec![tensor_of(self.input.dtype(), &shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (first, shape, strides) = self.view()?;
        if shape.contains(&0) {
            return Ok(None);
        }
        Ok(Some(vec![b.strided(self.input.v, first, strides, &shape)]))
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
