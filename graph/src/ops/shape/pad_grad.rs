//! Gradients of borders: every element gets the sum of its copies.

use super::pad::pairs;
use crate::op::{Case, Ints, Late, Operand, Operator, Rule};
use crate::ops::index::scatter_nd::ScatterNd;
use crate::ops::kit::border::{Border, Padded, from_last, in_order, only_adds};
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::indices::{around, replaced, size};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

/// The dimensions that `padded` had without its border.
fn inner(padded: &[usize], pads: &[[i64; 2]]) -> Result<Vec<usize>, OpError> {
    ensure!(pads.len() == padded.len(), "expected {} pairs of paddings, found {}", padded.len(), pads.len());
    let one =
        |(&len, [before, after]): (&usize, &[i64; 2])| size(len as i64 - before - after, "a length without its border");
    padded.iter().zip(pads).map(one).collect()
}

/// `x` along `axis`, each element added to the one of `len` that `source` names.
fn gathered(at: &mut At, x: &Operand, axis: usize, len: usize, source: &[usize]) -> Result<Operand, OpError> {
    let [before, padded, behind] = around(x.shape(), axis)?;
    let index: Vec<i64> = (0..before as i64).flat_map(|o| source.iter().flat_map(move |&i| [o, i as i64])).collect();
    let indices = at.constant(x, Tensor::from_i64s(DType::I64, &[before, padded, 2], &index)?);
    let updates = at.reshape(x, &[before, padded, behind])?;
    let dims = Late::Known([before, len, behind].iter().map(|&d| d as i64).collect());
    let sum = at.run(x, &ScatterNd { indices, updates, shape: dims })?;
    at.reshape(&sum, &replaced(x.shape(), axis, len))
}

/// The gradient of a border of that kind.
fn gradient<'a>(dy: &'a Operand, border: Border, pads: Vec<[i64; 2]>) -> Result<impl Rule + 'a, OpError> {
    ensure!(!dy.dtype().is_complex() && dy.dtype() != DType::Bool, "expected numbers, found {}", dy.fact);
    let shape: Shape = inner(dy.shape(), &pads)?.into();
    let fact = Fact { dtype: dy.dtype(), shape: shape.clone() };
    let x = Operand { v: dy.v, fact: fact.clone().into(), known: None };
    Padded { x: &x, border, pads: pads.clone(), fill: Vec::new() }.fact()?;
    Ok(composite(vec![fact], move |at| {
        let padded = Padded { x: &x, border, pads: pads.clone(), fill: Vec::new() };
        let mut y = at.wide(dy, dy.dtype())?;
        for (axis, (&len, &[before, after])) in shape.iter().zip(&pads).enumerate() {
            if [before, after] != [0, 0] {
                let all = 0..len + (before + after) as usize;
                let source = all.map(|i| padded.source(i, before, len)).collect::<Option<Vec<_>>>();
                let source = source.ok_or_else(|| OpError::Invalid("expected a source of every element".into()))?;
                y = gathered(at, &y, axis, len, &source)?;
            }
        }
        Ok(vec![y])
    }))
}

op! {
    /// The gradient of `PadV3` with mode `reflect`, `edge` or `circular`. Numbers. MindSpore's CPU is wrong from the second call on.
    classic PadV3Grad {
        x: Operand,
        paddings: Ints as Input,
        mode: Border as Small = Border::Reflect,
        paddings_contiguous: bool = true,
    }
}

impl Operator for PadV3Grad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let copies = matches!(self.mode, Border::Reflect | Border::Edge | Border::Circular);
        ensure!(copies, "expected mode reflect, edge or circular, found {:?}", self.mode);
        only_adds(&self.paddings)?;
        let pads = pairs(&self.paddings, self.paddings_contiguous);
        gradient(&self.x, self.mode, from_last(&pads, self.x.rank())?)
    }

    fn cases() -> Vec<Case> {
        let one = |dims: &[usize], paddings: &[i64], mode| sample().tensor(DType::F32, dims).ints(paddings).text(mode);
        vec![
            one(&[1, 2, 7], &[1, 2], "reflect").case("reflect"),
            one(&[1, 1, 5, 7], &[1, 2, 1, 1], "edge").case("edge"),
            one(&[1, 1, 5, 7], &[1, 1, 2, 1], "circular").flag(false).case("circular, halves"),
        ]
    }
}

op! {
    /// The gradient of `MirrorPad`. Numbers.
    classic MirrorPadGrad { dy: Operand, paddings: Ints as Input, mode: Border = Border::Reflect }
}

impl Operator for MirrorPadGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let mirrors = matches!(self.mode, Border::Reflect | Border::Symmetric);
        ensure!(mirrors, "expected mode REFLECT or SYMMETRIC, found {:?}", self.mode);
        only_adds(&self.paddings)?;
        gradient(&self.dy, self.mode, in_order(&self.paddings)?)
    }

    fn cases() -> Vec<Case> {
        let one = |dims: &[usize], mode| sample().tensor(DType::F32, dims).ints(&[1, 1, 1, 2]).text(mode);
        vec![one(&[4, 6], "REFLECT").case("reflect"), one(&[4, 6], "SYMMETRIC").case("symmetric")]
    }
}

macro_rules! border_grad {
    ($(#[doc = $doc:literal])+ $name:ident [$($alias:literal),*] $border:expr) => {
        op! {
            $(#[doc = $doc])+
            $name, aliases [$($alias),*] { grad_output: Operand, input: Operand, padding: Ints }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                only_adds(&self.padding)?;
                let (g, pads) = (&self.grad_output, from_last(&self.padding, self.grad_output.rank())?);
                let fits = inner(g.shape(), &pads)?.as_slice() == self.input.shape();
                ensure!(fits, "expected gradients of {} with its border, found {}", self.input.fact, g.fact);
                gradient(g, $border, pads)
            }

            fn cases() -> Vec<Case> {
                let one = |g: &[usize], x: &[usize]| sample().tensor(DType::F32, g).tensor(DType::F32, x);
                vec![
                    one(&[2, 7], &[2, 4]).ints(&[1, 2]).case("one dimension"),
                    one(&[1, 6, 7], &[1, 3, 4]).ints(&[1, 2, 2, 1]).case("two dimensions"),
                ]
            }
        }
    };
}

border_grad! {
    /// The gradient of `ReflectionPad1D` and its like. Numbers.
    ReflectionPad1DGrad ["ReflectionPad2DGrad", "ReflectionPad3DGrad"] Border::Reflect
}

border_grad! {
    /// The gradient of `ReplicationPad1D` and its like. Numbers.
    ReplicationPad1DGrad ["ReplicationPad2DGrad", "ReplicationPad3DGrad"] Border::Edge
}
