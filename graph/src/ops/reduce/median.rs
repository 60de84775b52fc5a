//! The number in the middle, and its gradient.

use super::order::compare;
use super::reduction::reduced;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, number_of, scalars, tensor_of};
use crate::ops::kit::composite::composite;
use crate::ops::kit::indices::{column, dim};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::order::sort;
use crate::task::{Binary, Scalar};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The lower of the numbers in the middle along `axis`, and the position of its first occurrence as `i64`; with
    /// `global_median` of all elements and 0. NaN if there is one, unless `ignore_nan`. Real numbers.
    classic Median {
        x: Operand,
        global_median: bool = false,
        axis: i64 = 0,
        keep_dims: bool = false,
        ignore_nan: bool = false,
    }
}

impl Median {
    fn axes(&self) -> Result<Vec<usize>, OpError> {
        if self.global_median || self.x.rank() == 0 {
            return Ok((0..self.x.rank()).collect());
        }
        Ok(vec![self.x.axis(self.axis)?])
    }

    /// The median of a group and its position; `None` of nothing.
    fn middle(&self, group: &[Scalar], d: DType) -> Result<Option<(usize, Scalar)>, OpError> {
        let lost = |x: &Scalar| x.as_f64().is_nan();
        let all = || group.iter().copied().enumerate();
        if let (Some(nan), false) = (all().find(|(_, x)| lost(x)), self.ignore_nan) {
            return Ok(Some(nan));
        }
        let mut order: Vec<(usize, Scalar)> = all().filter(|(_, x)| !lost(x)).collect();
        sort(&mut order, |a, b| compare(a.1, b.1, d))?;
        let middle = order.get(order.len().saturating_sub(1) / 2).copied();
        Ok(middle.or_else(|| all().next()))
    }
}

impl Rule for Median {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, axes) = (&self.x, self.axes()?);
        ensure!(!x.dtype().is_complex() && x.dtype() != DType::Bool, "expected real numbers, found {}", x.fact);
        ensure!(
            axes.iter().all(|&a| dim(x.shape(), a).is_ok_and(|len| len > 0)),
            "expected elements, found {}",
            x.fact
        );
        let shape = if self.global_median {
            reduced(x.shape(), &axes, false)
        } else {
            reduced(x.shape(), &axes, self.keep_dims)
        };
        Ok(vec![Fact { dtype: x.dtype(), shape: shape.clone() }, Fact { dtype: DType::I64, shape }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (facts, d) = (self.infer()?, self.x.dtype());
        let groups = Groups::new(self.x.shape(), &self.axes()?);
        let found = groups.map(&scalars(self.x.tensor()?, d)?, |group| self.middle(group, d))?;
        let found = found.into_iter().collect::<Result<Option<Vec<_>>, _>>()?;
        let (at, values): (Vec<usize>, Vec<Scalar>) = found.unwrap_or_default().into_iter().unzip();
        let place = |at: &usize| Scalar::Int(if self.global_median { 0 } else { *at as i64 });
        let places: Vec<Scalar> = at.iter().map(place).collect();
        let results = facts.iter().zip([values, places]);
        results.map(|(fact, data)| tensor_of(fact.dtype, &fact.shape, &data)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no median")
    }

    fn cases() -> Vec<Case> {
        let lost = || sample().arg(cycle(DType::F32, &[3, 4], &[3.0, 1.0, 2.0, 2.0, f64::NAN, 1.0, 0.0]));
        let x = || sample().arg(wave(DType::F32, &[3, 4]));
        vec![
            x().flag(false).int(1).exact("rows"),
            x().flag(false).int(0).flag(true).exact("columns, kept"),
            x().flag(true).exact("all"),
            lost().flag(false).int(1).exact("NaN"),
            lost().flag(false).int(1).flag(false).flag(true).exact("without NaN"),
            sample().arg(wave(DType::I64, &[5])).flag(false).int(-1).exact("i64"),
        ]
    }
}

op! {
    /// The gradient of [`Median`]: `y_grad` at the position `indices` along `axis`, else 0; of the median of all elements an equal
    /// share for each element that equals `y`. Floats.
    classic MedianGrad {
        y_grad: Operand,
        x: Operand,
        y: Operand,
        indices: Operand,
        global_median: bool = false,
        axis: i64 = 0,
        keep_dims: bool = false,
    }
}

impl Operator for MedianGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, g, d) = (&self.x, &self.y_grad, number_of(self.x.dtype()));
        ensure!(x.dtype().is_float() && g.dtype().is_float(), "expected floats, found {} and {}", x.fact, g.fact);
        let axes = if self.global_median { (0..x.rank()).collect() } else { vec![x.axis(self.axis)?] };
        let beside = reduced(x.shape(), &axes, true);
        let fits = [g, &self.y, &self.indices].iter().all(|t| t.count() == beside.iter().product::<usize>());
        ensure!(fits, "expected an element for each median of {}, found {}", x.fact, g.fact);
        Ok(composite(vec![x.fact.clone()], move |at| {
            let g = at.wide(g, d)?;
            let g = at.reshape(&g, &beside)?;
            if self.global_median {
                let (x, y) = (at.wide(x, d)?, at.wide(&self.y, d)?);
                let y = at.reshape(&y, &beside)?;
                let hit = at.formula([&x, &y], |[x, y]| (x * 0.0 + 1.0).only_if(x.by(Binary::Eq, y)))?;
                let count = at.sum(&hit, &axes)?;
                return Ok(vec![at.formula([&hit, &g, &count], |[hit, g, n]| (g / n).only_if(hit.gt(0.0)))?]);
            }
            let axis = axes.first().copied().unwrap_or(0);
            let len = dim(x.shape(), axis)?;
            let places: Vec<i64> = (0..len as i64).collect();
            let places = Tensor::from_i64s(DType::I64, &column(len, x.rank() - 1 - axis), &places)?;
            let places = at.constant(x, places);
            let index = at.reshape(&self.indices, &beside)?;
            let (places, index) = (at.wide(&places, d)?, at.wide(&index, d)?);
            Ok(vec![at.formula([&g, &places, &index], |[g, place, index]| g.only_if(place.by(Binary::Eq, index)))?])
        }))
    }

    fn cases() -> Vec<Case> {
        let x = || cycle(DType::F32, &[2, 5], &[3.0, 1.0, 2.0, 2.0, 1.0, 4.0, 1.0, 0.0, 5.0, 5.0]);
        let grad = |dims: &[usize]| sample().arg(wave(DType::F32, dims)).arg(x());
        vec![
            grad(&[2]).tensor(DType::F32, &[2]).index(DType::I64, &[2], &[2, 0]).flag(false).int(1).exact("rows"),
            grad(&[1, 5])
                .tensor(DType::F32, &[1, 5])
                .index(DType::I64, &[1, 5], &[1, 0, 0, 1, 0])
                .flag(false)
                .int(0)
                .flag(true)
                .exact("kept"),
            grad(&[]).real(2.0).int(0).flag(true).case("all"),
        ]
    }
}
