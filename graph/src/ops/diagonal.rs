//! Diagonals.

use super::elementwise::{real, scalars, size, tensor_of};
use super::samples::{case, wave};
use crate::lower::Lowering;
use crate::op::{Case, Lowers, Operand, Rule};
use crate::task::{Part, Scalar};
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
            case("vector", [wave(DType::F32, &[5])], 0.0),
            case("matrix", [wave(DType::I32, &[2, 3])], 0.0),
            case("empty", [wave(DType::F32, &[0])], 0.0),
        ]
    }
}

op! {
    /// The diagonal of a tensor whose second half of dimensions repeats the first: of a matrix, a vector.
    DiagPart { input_x: Operand }
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
            case("matrix", [wave(DType::F32, &[5, 5])], 0.0),
            case("four dimensions", [wave(DType::I32, &[2, 3, 2, 3])], 0.0),
        ]
    }
}
