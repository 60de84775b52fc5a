//! Gradients of weighted sums along dimensions: resizing and means over windows.

use super::grid::Grid;
use super::indices::{around, dim, replaced, result};
use super::taps::weigh;
use crate::bounds::Pulse;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Lowers, Operand, Rule};
use crate::task::Lowering;
use crate::{Fact, OpError, Tensor, ensure};

/// The elements of which each element along a dimension is the sum, with their weights.
pub(in crate::ops) type Taps = Vec<Vec<(usize, f64)>>;

/// A dimension along which a function sums elements.
pub(in crate::ops) struct Summed {
    pub axis: usize,
    /// How many elements there are to sum.
    pub size: usize,
    pub taps: Taps,
}

impl Summed {
    /// For each element that is summed, the sums that it is part of, with its weights.
    fn turned(&self) -> Result<Taps, OpError> {
        let mut out = vec![Vec::new(); self.size];
        for (i, list) in self.taps.iter().enumerate() {
            for &(from, weight) in list {
                let sums = out.get_mut(from);
                let outside = || OpError::Invalid(format!("expected an element of {}, found {from}", self.size));
                sums.ok_or_else(outside)?.push((i, weight));
            }
        }
        Ok(out)
    }
}

/// The gradient of a function that sums elements along one dimension after the other, from `dy`, that of its result.
pub(in crate::ops) struct Adjoint<'a> {
    pub dy: &'a Operand,
    pub sums: Vec<Summed>,
}

impl Adjoint<'_> {
    fn fact(&self) -> Result<Fact, OpError> {
        let dy = &self.dy.fact;
        ensure!(dy.dtype.is_float(), "expected floats, found {dy}");
        let mut dims = dy.shape.clone();
        for sum in &self.sums {
            let (found, expected) = (dim(&dims, sum.axis)?, sum.taps.len());
            ensure!(found == expected, "expected a gradient of {expected} along {}, found {dy}", sum.axis);
            dims = replaced(&dims, sum.axis, sum.size);
        }
        result(dy.dtype, &dims)
    }
}

impl Rule for Adjoint<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, mut pulse) = (self.fact()?, Pulse::default());
        let (mut dims, mut values) = (self.dy.fact.shape.clone(), self.dy.f64s()?);
        for sum in &self.sums {
            let [outer, len, inner] = around(&dims, sum.axis)?;
            let (from, turned) = (Grid::new([outer, len, inner], values)?, sum.turned()?);
            let mut next = Vec::with_capacity(outer.saturating_mul(sum.size).saturating_mul(inner));
            for (o, list) in (0..outer).flat_map(|o| turned.iter().map(move |list| (o, list))) {
                for j in 0..inner {
                    pulse.turns(list.len())?;
                    let terms = list.iter().map(|&(i, weight)| Ok(weight * from.at([o, i, j])?));
                    next.push(terms.sum::<Result<f64, OpError>>()?);
                }
            }
            (values, dims) = (next, replaced(&dims, sum.axis, sum.size));
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &values)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let fact = self.fact()?;
        if fact.count() == 0 || self.dy.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)]));
        }
        let mut y = self.dy.v;
        for sum in &self.sums {
            y = weigh(b, y, sum.axis, &sum.turned()?)?;
        }
        Ok(Some(vec![y]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }
}
