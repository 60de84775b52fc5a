//! Products with matrices of bytes.

use super::levels::byte;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::sample::sample;
use crate::ops::linear::product::Product;
use crate::task::Unary;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `x · (weight + antiquant_offset) · antiquant_scale` plus `bias`, in the type of `x`, floats. `weight` are matrices of bytes; scale
    /// and offset have one number, one for each column of the product, or, with `antiquant_group_size`, one for each column and so
    /// many elements of a sum. Results as bytes are not supported.
    WeightQuantBatchMatmul {
        x: Operand,
        weight: Operand,
        antiquant_scale: Operand,
        antiquant_offset: Option<Operand>,
        quant_scale: Option<Operand>,
        quant_offset: Option<Operand>,
        bias: Option<Operand>,
        transpose_x: bool = false,
        transpose_weight: bool = false,
        antiquant_group_size: i64 = 0,
    }
}

/// How the numbers of a matrix of bytes lie.
struct Blocks {
    /// The matrix with its sums in groups.
    dims: Vec<usize>,
    /// Scales that go with it.
    scales: Vec<usize>,
}

impl WeightQuantBatchMatmul {
    fn blocks(&self) -> Result<Blocks, OpError> {
        let [rows, cols] = self.weight.fact.ranked()?;
        let [k, n] = if self.transpose_weight { [cols, rows] } else { [rows, cols] };
        let group = usize::try_from(self.antiquant_group_size).unwrap_or(0);
        ensure!(group == 0 || k.is_multiple_of(group), "groups of {group} do not divide sums of {k}");
        let each = self.antiquant_scale.count();
        let groups = k.checked_div(group).unwrap_or(1);
        let fits = each == groups * n || each == 1 && group == 0;
        ensure!(fits, "expected {} scales, found {}", groups * n, self.antiquant_scale.fact);
        let n = if each == 1 { 1 } else { n };
        let size = k.checked_div(groups).unwrap_or(0);
        Ok(match self.transpose_weight {
            true => Blocks { dims: vec![rows, groups, size], scales: vec![n, groups, 1] },
            false => Blocks { dims: vec![groups, size, cols], scales: vec![groups, 1, n] },
        })
    }

    fn weights(&self, at: &mut At, d: DType) -> Result<Operand, OpError> {
        let Blocks { dims, scales } = self.blocks()?;
        let mut laid = |x: &Operand, dims: &[usize]| {
            let x = at.wide(x, d)?;
            at.reshape(&x, dims)
        };
        let (w, scale) = (laid(&self.weight, &dims)?, laid(&self.antiquant_scale, &scales)?);
        let w = match &self.antiquant_offset {
            Some(offset) => {
                let offset = laid(offset, &scales)?;
                at.formula([&w, &offset, &scale], |[w, offset, scale]| (w + offset) * scale)?
            }
            None => at.formula([&w, &scale], |[w, scale]| w * scale)?,
        };
        at.reshape(&w, self.weight.shape())
    }
}

impl Operator for WeightQuantBatchMatmul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, w) = (&self.x, &self.weight);
        ensure!(
            x.dtype().is_float() && w.dtype() == DType::I8,
            "expected floats and i8, found {} and {}",
            x.fact,
            w.fact
        );
        ensure!(self.quant_scale.is_none(), "expected results of {}, found scales for bytes", x.dtype());
        let offset = self.antiquant_offset.as_ref();
        let fits = offset.is_none_or(|offset| offset.count() == self.antiquant_scale.count());
        ensure!(fits, "expected as many offsets as scales, found {}", offset.map_or(0, |offset| offset.count()));
        self.blocks()?;
        let like = Operand { fact: Fact { dtype: x.dtype(), shape: w.fact.shape.clone() }.into(), ..w.clone() };
        let (trans_a, trans_b) = (self.transpose_x, self.transpose_weight);
        let fact = Product { a: x, b: &like, trans_a, trans_b, adjoint: false }.fact()?;
        if let Some(bias) = &self.bias {
            let fits = crate::broadcast(bias.shape(), &fact.shape).is_some_and(|dims| dims == fact.shape);
            ensure!(bias.dtype().is_float() && fits, "expected a bias that fits {fact}, found {}", bias.fact);
        }
        Ok(composite(vec![fact], move |at| {
            let (a, b) = (at.wide(x, x.dtype())?, self.weights(at, x.dtype())?);
            let y = at.run(x, &Product { a: &a, b: &b, trans_a, trans_b, adjoint: false })?;
            let Some(bias) = &self.bias else { return Ok(vec![y]) };
            let bias = at.wide(bias, x.dtype())?;
            Ok(vec![at.formula([&y, &bias], |[y, bias]| y + bias)?])
        }))
    }

    fn cases() -> Vec<Case> {
        let bytes = |dims: &[usize]| {
            let values: Vec<i64> = (0..12).map(|i| i * 53 % 256 - 128).collect();
            sample().tensor(DType::F32, &[2, 4]).index(DType::I8, dims, &values)
        };
        let scales = Tensor::vector(&[0.01f32, 0.02, 0.005]);
        let groups = |dims: &[usize]| Tensor::from_vec(dims, vec![0.01f32, 0.02, 0.005, 0.03, 0.04, 0.015]);
        let mut cases = vec![
            bytes(&[4, 3]).data(scales.clone()).none().none().none().tensor(DType::F32, &[3]).case("columns"),
            bytes(&[3, 4])
                .data(scales)
                .data(Tensor::vector(&[1.0f32, -2.0, 3.0]))
                .none()
                .none()
                .none()
                .flag(false)
                .flag(true)
                .case("turned, offsets"),
        ];
        if let Ok(scales) = groups(&[2, 3]) {
            let s = bytes(&[4, 3]).data(scales).none().none().none().none();
            cases.push(s.flag(false).flag(false).int(2).case("groups"));
        }
        cases
    }
}

op! {
    /// `x1 · x2 + bias` of bytes, times `scale` and, of each row, `pertoken_scale`, in `dtype`, floats; or plus `offset` as bytes. The
    /// bias is in units of the product; scale and offset have one number, or one for each column.
    QuantBatchMatmul {
        x1: Operand,
        x2: Operand,
        scale: Operand,
        offset: Option<Operand>,
        bias: Option<Operand>,
        pertoken_scale ["pertokenScaleOptional"]: Option<Operand>,
        transpose_x1: bool = false,
        transpose_x2: bool = false,
        dtype: DType = DType::F16,
    }
}

impl Operator for QuantBatchMatmul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, out) = (&self.x1, &self.x2, self.dtype);
        ensure!(a.dtype() == DType::I8 && b.dtype() == DType::I8, "expected i8, found {} and {}", a.fact, b.fact);
        ensure!(out.is_float() || out == DType::I8, "expected results of floats or i8, found {out}");
        ensure!(self.scale.dtype().is_float(), "expected scales of floats, found {}", self.scale.fact);
        let (trans_a, trans_b) = (self.transpose_x1, self.transpose_x2);
        let whole = Product { a, b, trans_a, trans_b, adjoint: false }.fact()?;
        let fits = |v: &Operand| crate::broadcast(v.shape(), &whole.shape).is_some_and(|dims| dims == whole.shape);
        for v in [Some(&self.scale), self.offset.as_ref(), self.bias.as_ref()].into_iter().flatten() {
            ensure!(fits(v), "expected numbers that fit {whole}, found {}", v.fact);
        }
        let rows = whole.shape.iter().rev().nth(1).copied().unwrap_or(1);
        let each = self.pertoken_scale.as_ref();
        let fits = each.is_none_or(|v| v.dtype().is_float() && v.shape() == [rows]);
        ensure!(fits, "expected a scale for each of {rows} rows");
        Ok(composite(vec![Fact { dtype: out, shape: whole.shape }], move |at| {
            let (a, b) = (at.cast(a, DType::I32)?, at.cast(b, DType::I32)?);
            let mut y = at.run(&a, &Product { a: &a, b: &b, trans_a, trans_b, adjoint: false })?;
            let d = DType::F32;
            y = at.wide(&y, d)?;
            if let Some(bias) = &self.bias {
                let bias = at.wide(bias, d)?;
                y = at.formula([&y, &bias], |[y, bias]| y + bias)?;
            }
            let scale = at.wide(&self.scale, d)?;
            y = at.formula([&y, &scale], |[y, scale]| y * scale)?;
            if let Some(each) = each {
                let each = at.wide(each, d)?;
                let each = at.reshape(&each, &[rows, 1])?;
                y = at.formula([&y, &each], |[y, each]| y * each)?;
            }
            if let Some(offset) = &self.offset {
                let offset = at.wide(offset, d)?;
                y = at.formula([&y, &offset], |[y, offset]| y + offset)?;
            }
            Ok(vec![if out == DType::I8 { at.formula([&y], |[y]| byte(y.map(Unary::Round)))? } else { y }])
        }))
    }

    fn cases() -> Vec<Case> {
        let values: Vec<i64> = (0..12).map(|i| i * 53 % 256 - 128).collect();
        let s = || {
            let s = sample().index(DType::I8, &[2, 4], &[-128, 127, 3, -4, 50, 60, -70, 80]);
            s.index(DType::I8, &[4, 3], &values).data(Tensor::vector(&[0.01f32, 0.02, 0.005]))
        };
        let rows = Tensor::vector(&[0.5f32, 1.5]);
        vec![
            s().none().index(DType::I32, &[3], &[100, -200, 300]).data(rows).case("f16, rows"),
            s().data(Tensor::vector(&[3.0f32])).none().none().flag(false).flag(false).dtype(DType::I8).case("bytes"),
        ]
    }
}
