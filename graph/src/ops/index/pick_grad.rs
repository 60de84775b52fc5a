//! Gradients of elements that were picked.

use super::combine::Combine;
use super::scatter_elements::Along;
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{broadcast_index, common_shape, scalars, tensor_of};
use crate::ops::kit::composite::composite;
use crate::ops::kit::indices::item_mut;
use crate::ops::kit::sample::sample;
use crate::task::Binary;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The gradient of `GatherD`: zeros of the shape of `x` with the elements of `dout` added at the places that `index` picked along
    /// `dim`. Numbers; negative indices count from the end.
    GatherDGradV2 { x: Operand, dim: i64, index: Operand, dout: Operand }
}

impl Operator for GatherDGradV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, index, g, axis) = (&self.x, &self.index, &self.dout, self.dim);
        let zeros = |x: &Operand| Operand { v: x.v, fact: Fact::new(g.dtype(), x.shape()).into(), known: None };
        Along { x: &zeros(x), axis, index, updates: g, how: Combine::Add }.infer()?;
        ensure!(g.shape() == index.shape(), "expected a gradient for each index, found {}", g.fact);
        Ok(composite(vec![Fact::new(g.dtype(), x.shape())], move |at| {
            let g = at.wide(g, g.dtype())?;
            let zeros = at.constant(x, Tensor::zeros(g.dtype(), x.shape())?);
            Ok(vec![at.run(&g, &Along { x: &zeros, axis, index, updates: &g, how: Combine::Add })?])
        }))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, d, axis) = (&self.x, self.dout.dtype(), self.x.axis(self.dim)? as i64);
        let wide = machine(d);
        let (zero, sizes) = (e.number(wide, 0.0)?, e.sizes_of(x));
        let (zeros, index) = (e.expand(zero, &sizes)?, e.as_type(&self.index, DType::I64)?);
        let updates = e.as_type(&self.dout, wide)?;
        let (reduction, updates) = Combine::Add.onnx(e, updates, wide)?;
        let attrs = vec![("axis", axis.into()), ("reduction", reduction.into())];
        let y = e.op_with("ScatterElements", &[zeros, index, updates], attrs);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[2, 3]);
        vec![
            x().int(1).index(DType::I32, &[2, 3], &[0, 0, -1, 1, 2, 2]).tensor(DType::F32, &[2, 3]).case("rows"),
            x().int(0).index(DType::I64, &[1, 3], &[1, 0, 1]).tensor(DType::F32, &[1, 3]).case("columns"),
        ]
    }
}

op! {
    /// The gradient of `MaskedSelect` for `input`: the elements of `grad` in order where `mask` is true, summed up where broadcasting
    /// repeated an element. Numbers.
    MaskedSelectGrad { input: Operand, mask: Operand, grad: Operand }
}

impl Rule for MaskedSelectGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, g) = (&self.input, &self.grad);
        common_shape(&[x, &self.mask])?;
        ensure!(self.mask.dtype() == DType::Bool, "expected a mask of bool, found {}", self.mask.fact);
        ensure!(g.rank() == 1 && !g.dtype().is_complex(), "expected a list of numbers, found {}", g.fact);
        Ok(vec![Fact::new(g.dtype(), x.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, d) = (&self.input, self.grad.dtype());
        let dims = common_shape(&[x, &self.mask])?;
        let to = broadcast_index(x.shape(), &dims)?;
        let from = broadcast_index(self.mask.shape(), &dims)?;
        let mask = scalars(self.mask.tensor()?, DType::Bool)?;
        let hits = to.iter().zip(&from).filter(|(_, m)| mask.get(**m).is_some_and(|m| m.truth())).map(|(to, _)| *to);
        let hits: Vec<usize> = hits.collect();
        let g = scalars(self.grad.tensor()?, d)?;
        ensure!(g.len() == hits.len(), "expected a gradient for each of {} elements, found {}", hits.len(), g.len());
        let mut y = scalars(&Tensor::zeros(d, x.shape())?, d)?;
        for (to, g) in hits.into_iter().zip(g) {
            let y = item_mut(&mut y, to)?;
            *y = Binary::Add.eval(*y, g, d);
        }
        Ok(vec![tensor_of(d, x.shape(), &y)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("the number of gradients depends on data")
    }

    fn cases() -> Vec<Case> {
        let mask = [1, 0, 1, 0, 1, 0];
        vec![
            sample()
                .tensor(DType::F32, &[2, 3])
                .index(DType::Bool, &[2, 3], &mask)
                .tensor(DType::F32, &[3])
                .exact("f32"),
            sample()
                .tensor(DType::F32, &[3])
                .index(DType::Bool, &[2, 3], &mask)
                .tensor(DType::F32, &[3])
                .exact("repeated"),
            sample()
                .tensor(DType::I32, &[2, 3])
                .index(DType::Bool, &[3], &[1, 0, 1])
                .tensor(DType::I32, &[4])
                .exact("rows"),
        ]
    }
}
