use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, Undo};
use crate::ops::kit::indices::{flat, inverse, permuted, rearrange};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

pub(in crate::ops) fn permutation(x: &Operand, dims: &[i64]) -> Result<Vec<usize>, OpError> {
    let perm = dims.iter().map(|&d| x.axis(d)).collect::<Result<Vec<_>, _>>()?;
    ensure!(x.axes(dims)?.len() == x.rank() && perm.len() == x.rank(), "{dims:?} is no permutation of {}", x.fact);
    Ok(perm)
}

/// Dimension `i` of the result is dimension `perm[i]` of `x`.
pub(in crate::ops) struct Permuted<'a> {
    pub x: &'a Operand,
    pub perm: Vec<usize>,
}

impl Rule for Permuted<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: permuted(self.x.shape(), &self.perm) }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (dims, back) = (permuted(self.x.shape(), &self.perm), inverse(&self.perm));
        let y = rearrange(self.x.tensor()?, &dims, |index| Some(flat(self.x.shape(), &permuted(index, &back))))?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.transpose(self.x.v, &self.perm)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(self.x)?;
        Ok(Some(vec![e.transpose(x, &self.perm)]))
    }
}

op! {
    /// Dimension `i` of the result is dimension `dims[i]` of `input`. Any type.
    Transpose, aliases ["TransposeView", "Permute"] {
        input ["x", "input_x"]: Operand,
        dims ["perm", "input_perm"]: Ints,
    }
}

impl Operator for Transpose {
    const UNDO: Option<Undo> = Some(Undo::Permute);

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Permuted { x: &self.input, perm: permutation(&self.input, &self.dims)? })
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

impl Operator for TransposeExtView {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, mut perm) = (&self.input, (0..self.input.rank()).collect::<Vec<_>>());
        if !(perm.is_empty() && [self.dim0, self.dim1].iter().all(|d| (-1..=0).contains(d))) {
            perm.swap(x.axis(self.dim0)?, x.axis(self.dim1)?);
        }
        Ok(Permuted { x, perm })
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3, 4]).int(0).int(-1).exact("outer")]
    }
}
