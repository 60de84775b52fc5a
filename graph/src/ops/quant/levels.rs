//! Numbers as bytes, and back.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::formula::Num;
use crate::ops::kit::sample::sample;
use crate::ops::reduce::reduction::Reduction;
use crate::task::{Binary, ReduceKind, Unary};
use crate::{DType, Fact, OpError, Tensor, broadcast, ensure, op, op_enum};

op_enum! {
    /// Which integer stands for a number between two.
    Rounding {
        /// The nearest, of two the even one.
        Round = 0, "round";
        /// The one below.
        Floor = 1, "floor";
        /// The one above.
        Ceil = 2, "ceil";
        /// The one nearer to 0.
        Trunc = 3, "trunc";
    }
}

impl Rounding {
    fn of(self, x: Num<'_>) -> Num<'_> {
        x.map(match self {
            Rounding::Round => Unary::Round,
            Rounding::Floor => Unary::Floor,
            Rounding::Ceil => Unary::Ceil,
            Rounding::Trunc => Unary::Trunc,
        })
    }
}

/// `x` as a byte: one beyond the range is at its end.
pub(super) fn byte(x: Num<'_>) -> Num<'_> {
    x.max(-128.0).by(Binary::Min, 127.0)
}

fn float(x: &Operand) -> Result<(), OpError> {
    ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
    Ok(())
}

fn broadcasts(x: &Operand, to: &Operand) -> Result<(), OpError> {
    let fits = broadcast(x.shape(), to.shape()).is_some_and(|dims| dims.as_slice() == to.shape());
    ensure!(fits, "expected numbers that fit {}, found {}", to.fact, x.fact);
    Ok(())
}

fn is_i8(dtype: DType) -> Result<(), OpError> {
    ensure!(dtype == DType::I8, "expected results of i8, found {dtype}");
    Ok(())
}

op! {
    /// `input_x · scale + offset` as a byte, with `sqrt_mode` times the scale once more; one beyond the range is at its end. Floats.
    object Quant {
        input_x: Operand,
        scale: f64,
        offset: f64,
        sqrt_mode: bool = false,
        round_mode: Rounding = Rounding::Round,
    }
}

impl Operator for Quant {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, scale) = (&self.input_x, if self.sqrt_mode { self.scale * self.scale } else { self.scale });
        float(x)?;
        Ok(composite(vec![Fact::new(DType::I8, x.shape())], move |at| {
            let x = at.wide(x, x.dtype())?;
            Ok(vec![at.formula([&x], |[x]| byte(self.round_mode.of(x * scale + self.offset)))?])
        }))
    }

    fn cases() -> Vec<Case> {
        let s = || sample().tensor(DType::F32, &[3, 5]);
        vec![
            s().real(10.0).real(3.0).case("f32"),
            s().real(10.0).real(3.0).flag(true).text("Floor").case("twice, below"),
        ]
    }
}

op! {
    /// `x · scale + offset` as a byte, with `sqrt_mode` times the scale once more; one beyond the range is at its end. Floats; scale and
    /// offset fit `x`.
    QuantV2 {
        x: Operand,
        scale: Operand,
        offset: Operand,
        sqrt_mode: bool = false,
        rounding_mode: Rounding = Rounding::Round,
        dst_type: DType = DType::I8,
    }
}

impl Operator for QuantV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, scale, offset) = (&self.x, &self.scale, &self.offset);
        is_i8(self.dst_type)?;
        [x, scale, offset].into_iter().try_for_each(float)?;
        [scale, offset].into_iter().try_for_each(|v| broadcasts(v, x))?;
        Ok(composite(vec![Fact::new(DType::I8, x.shape())], move |at| {
            let [x, scale, offset] = [at.wide(x, x.dtype())?, at.wide(scale, x.dtype())?, at.wide(offset, x.dtype())?];
            let y = at.formula([&x, &scale, &offset], |[x, scale, offset]| {
                let x = if self.sqrt_mode { x * scale * scale } else { x * scale };
                byte(self.rounding_mode.of(x + offset))
            })?;
            Ok(vec![y])
        }))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[3, 4]).data(Tensor::vector(&[10.0f32, 20.0, 90.0, -3.0]));
        vec![s.data(Tensor::vector(&[0.0f32, 2.0, 3.0, -1.0])).case("columns")]
    }
}

op! {
    /// `(x + offset) · scale` of bytes in `dtype`, with `sqrt_mode` times the scale once more. Scale and offset are floats that fit `x`.
    object AntiQuant { x: Operand, scale: Operand, offset: Operand, sqrt_mode: bool = false, dtype: DType = DType::F16 }
}

impl Operator for AntiQuant {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, scale, offset) = (&self.x, &self.scale, &self.offset);
        ensure!(x.dtype() == DType::I8, "expected i8, found {}", x.fact);
        ensure!(self.dtype.is_float(), "expected results of floats, found {}", self.dtype);
        [scale, offset].into_iter().try_for_each(float)?;
        [scale, offset].into_iter().try_for_each(|v| broadcasts(v, x))?;
        Ok(composite(vec![Fact::new(self.dtype, x.shape())], move |at| {
            let d = DType::F32;
            let [x, scale, offset] = [at.wide(x, d)?, at.wide(scale, d)?, at.wide(offset, d)?];
            let y = at.formula([&x, &scale, &offset], |[x, scale, offset]| {
                let y = (x + offset) * scale;
                if self.sqrt_mode { y * scale } else { y }
            })?;
            Ok(vec![y])
        }))
    }

    fn cases() -> Vec<Case> {
        let s = || {
            let s = sample().index(DType::I8, &[2, 3], &[-128, 127, 0, 5, -7, 64]);
            s.data(Tensor::vector(&[0.5f32, 0.25, 2.0])).data(Tensor::vector(&[1.0f32, -3.0, 0.0]))
        };
        vec![s().case("f16"), s().flag(true).dtype(DType::F32).case("twice")]
    }
}

/// The largest size of an element of each row.
fn largest(at: &mut At, x: &Operand) -> Result<Operand, OpError> {
    let (size, d) = (at.formula([x], |[x]| x.abs())?, x.dtype());
    let axes = vec![x.rank().saturating_sub(1)];
    at.run(x, &Reduction { x: &size, axes, keep: true, compute: d, out: d }.by(ReduceKind::Max))
}

op! {
    /// The rows along the last dimension of `x`, times `smooth_scales` if there are some, as bytes, the largest of each as 127; and what
    /// a byte of each row stands for, as `f32`. Floats.
    DynamicQuantExt { x: Operand, smooth_scales: Option<Operand> }
}

impl Operator for DynamicQuantExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, smooth) = (&self.x, self.smooth_scales.as_ref());
        float(x)?;
        smooth.map_or(Ok(()), float)?;
        smooth.map_or(Ok(()), |smooth| broadcasts(smooth, x))?;
        let Some((_, rows)) = x.shape().split_last() else {
            return Err(OpError::Invalid(format!("expected rows, found {}", x.fact)));
        };
        Ok(composite(vec![Fact::new(DType::I8, x.shape()), Fact::new(DType::F32, rows)], move |at| {
            let mut wide = at.wide(x, x.dtype())?;
            if let Some(smooth) = smooth {
                let smooth = at.wide(smooth, x.dtype())?;
                wide = at.formula([&wide, &smooth], |[x, smooth]| x * smooth)?;
            }
            let most = largest(at, &wide)?;
            let scale = at.formula([&most], |[most]| most / 127.0)?;
            let y = at.formula([&wide, &scale], |[x, scale]| byte((x / scale).map(Unary::Round)))?;
            Ok(vec![y, at.reshape(&scale, rows)?])
        }))
    }

    fn cases() -> Vec<Case> {
        let s = || sample().tensor(DType::F32, &[3, 5]);
        vec![s().none().case("rows"), s().data(Tensor::vector(&[0.5f32, 2.0, 1.0, 0.25, 3.0])).case("smooth")]
    }
}
