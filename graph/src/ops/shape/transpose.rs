use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Operand, Rule, Undo};
use crate::ops::kit::indices::{flat, rearrange};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

fn permutation(x: &Operand, dims: &[i64]) -> Result<Vec<usize>, OpError> {
    let perm = dims.iter().map(|&d| x.axis(d)).collect::<Result<Vec<_>, _>>()?;
    ensure!(x.axes(dims)?.len() == x.rank() && perm.len() == x.rank(), "{dims:?} is no permutation of {}", x.fact);
    Ok(perm)
}

fn permuted(x: &Operand, perm: &[usize]) -> Fact {
    Fact { dtype: x.dtype(), shape: perm.iter().map(|&p| x.shape()[p]).collect() }
}

fn reference(x: &Operand, perm: &[usize]) -> Result<Tensor, OpError> {
    let dims = permuted(x, perm).shape;
    let mut from = vec![0; perm.len()];
    rearrange(x.tensor()?, &dims, |index| {
        perm.iter().zip(index).for_each(|(&p, &i)| from[p] = i);
        Some(flat(x.shape(), &from))
    })
}

op! {
    /// Dimension `i` of the result is dimension `dims[i]` of `input`. Any type.
    Transpose, aliases ["TransposeView", "Permute"] {
        input ["x", "input_x"]: Operand,
        dims ["perm", "input_perm"]: Ints,
    }
}

impl Rule for Transpose {
    const UNDO: Option<Undo> = Some(Undo::Permute);

    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![permuted(&self.input, &permutation(&self.input, &self.dims)?)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![reference(&self.input, &permutation(&self.input, &self.dims)?)?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        Ok(Some(vec![b.transpose(self.input.v, &permutation(&self.input, &self.dims)?)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input)?;
        Ok(Some(vec![e.transpose(x, &permutation(&self.input, &self.dims)?)]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[3, 5]).ints(&[1, 0]).exact("matrix"),
            sample().tensor(F32, &[2, 3, 4, 5]).ints(&[0, 2, -1, 1]).exact("rank 4"),
            sample().tensor(I8, &[2, 1, 4]).ints(&[1, 0, 2]).exact("only ones move"),
            sample().tensor(C64, &[2, 3]).ints(&[1, 0]).exact("c64"),
            sample().tensor(F16, &[0, 3]).ints(&[1, 0]).exact("no elements"),
        ]
    }
}

op! {
    /// Swaps two dimensions. Any type.
    TransposeExtView, aliases ["TransposeExt"] { input: Operand, dim0: i64, dim1: i64 }
}

impl TransposeExtView {
    fn permutation(&self) -> Result<Vec<usize>, OpError> {
        let mut perm: Vec<usize> = (0..self.input.rank()).collect();
        if perm.is_empty() && [self.dim0, self.dim1].iter().all(|d| (-1..=0).contains(d)) {
            return Ok(perm);
        }
        perm.swap(self.input.axis(self.dim0)?, self.input.axis(self.dim1)?);
        Ok(perm)
    }
}

impl Rule for TransposeExtView {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![permuted(&self.input, &self.permutation()?)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![reference(&self.input, &self.permutation()?)?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        Ok(Some(vec![b.transpose(self.input.v, &self.permutation()?)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input)?;
        Ok(Some(vec![e.transpose(x, &self.permutation()?)]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3, 4]).int(0).int(-1).exact("outer")]
    }
}
