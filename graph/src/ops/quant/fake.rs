//! Floats as what is left of them when they become integers of few bits, as training for such integers sees them.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::elementwise::identity::Same;
use crate::ops::kit::composite::composite;
use crate::ops::kit::formula::Num;
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Unary};
use crate::{DType, OpError, Tensor, ensure, op};

op! {
    /// `input_x` as it is; the attributes of the primitive say how it is to be quantised. Any type.
    object FakeQuantParam { input_x: Operand }
}

impl Operator for FakeQuantParam {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Same(&self.input_x))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3]).exact("f32")]
    }
}

/// The integers that numbers become.
struct Levels {
    least: f64,
    most: f64,
    /// Whether the range is as wide below 0 as above.
    symmetric: bool,
}

impl Levels {
    fn new(bits: i64, narrow: bool, symmetric: bool) -> Result<Levels, OpError> {
        ensure!((2..=16).contains(&bits), "expected 2 to 16 bits, found {bits}");
        let all = f64::from(1u32 << bits);
        let least = if symmetric { -all / 2.0 } else { 0.0 };
        Ok(Levels { least: least + f64::from(u8::from(narrow)), most: least + all - 1.0, symmetric })
    }

    /// `x` as the nearest level of the range from `low` to `high`, moved such that 0 is a level.
    fn nearest<'p>(&self, [x, low, high]: [Num<'p>; 3]) -> Num<'p> {
        let (low, high) = if self.symmetric {
            let far = low.abs().max(high.abs());
            (-far, far)
        } else {
            (low, high)
        };
        let rounded = |x: Num<'p>| (x + 0.5).map(Unary::Floor);
        let step = (high - low) / (self.most - self.least);
        let zero = rounded(self.least - low / step).max(self.least).by(Binary::Min, self.most);
        let (first, last) = ((self.least - zero) * step, (self.most - zero) * step);
        let x = x.max(first).by(Binary::Min, last);
        rounded((x - first) / step) * step + first
    }
}

/// The levels of `x`, between one bound on each side or one for each place along `axis`.
fn levelled<'a>(
    [x, low, high]: [&'a Operand; 3],
    axis: Option<usize>,
    levels: Levels,
) -> Result<impl Rule + 'a, OpError> {
    ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
    let count = axis.map_or(Some(1), |axis| x.shape().get(axis).copied());
    for bound in [low, high] {
        let fits = bound.dtype().is_float() && Some(bound.count()) == count;
        ensure!(fits, "expected {} bounds, found {}", count.unwrap_or(0), bound.fact);
    }
    let behind = axis.map_or(0, |axis| x.rank().saturating_sub(axis + 1));
    let column: Vec<usize> = axis.and(count).into_iter().chain(std::iter::repeat_n(1, behind)).collect();
    Ok(composite(vec![crate::Fact::clone(&x.fact)], move |at| {
        let wide = at.wide(x, x.dtype())?;
        let mut bound = |v: &Operand| {
            let v = at.wide(v, x.dtype())?;
            at.reshape(&v, &column)
        };
        let (low, high) = (bound(low)?, bound(high)?);
        Ok(vec![at.formula([&wide, &low, &high], |numbers| levels.nearest(numbers))?])
    }))
}

fn bounds(low: &[f32], high: &[f32]) -> [Tensor; 2] {
    [Tensor::vector(low), Tensor::vector(high)]
}

/// Cases with one bound on each side, and with one for each of `count` places.
fn one() -> Case {
    let [low, high] = bounds(&[-1.0], &[2.0]);
    sample().tensor(DType::F32, &[3, 5]).data(low).data(high).int(4).case("4 bits")
}

fn each() -> Case {
    let [low, high] = bounds(&[-1.0, -0.3, -2.0], &[2.0, 0.7, 1.0]);
    sample().tensor(DType::F32, &[2, 3]).data(low).data(high).int(4).case("4 bits")
}

op! {
    /// `x` as the nearest of the levels that `num_bits` have from `min` to `max`, moved such that 0 is a level; `narrow_range` leaves
    /// the least one out. Floats, and one bound on each side.
    object FakeQuantWithMinMaxVars { x: Operand, min: Operand, max: Operand, num_bits: i64 = 8, narrow_range: bool = false }
}

impl Operator for FakeQuantWithMinMaxVars {
    fn rule(&self) -> Result<impl Rule, OpError> {
        levelled([&self.x, &self.min, &self.max], None, Levels::new(self.num_bits, self.narrow_range, false)?)
    }

    fn cases() -> Vec<Case> {
        vec![one()]
    }
}

op! {
    /// As `FakeQuantWithMinMaxVars`, with bounds for each place along the last dimension.
    object FakeQuantWithMinMaxVarsPerChannel {
        x: Operand,
        min: Operand,
        max: Operand,
        num_bits: i64 = 8,
        narrow_range: bool = false,
    }
}

impl Operator for FakeQuantWithMinMaxVarsPerChannel {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let levels = Levels::new(self.num_bits, self.narrow_range, false)?;
        levelled([&self.x, &self.min, &self.max], Some(self.x.axis(-1)?), levels)
    }

    fn cases() -> Vec<Case> {
        vec![each()]
    }
}

fn trained(training: bool) -> Result<(), OpError> {
    match training {
        true => Err(OpError::Unsupported("bounds that follow what is computed, in training".into())),
        false => Ok(()),
    }
}

op! {
    /// As `FakeQuantWithMinMaxVars`; where `symmetric`, the range is as wide below 0 as above. Not while training.
    object FakeQuantPerLayer {
        x: Operand,
        min: Operand,
        max: Operand,
        num_bits: i64 = 8,
        ema: bool = false,
        ema_decay: f64 = 0.999,
        quant_delay: i64 = 0,
        symmetric: bool = false,
        narrow_range: bool = false,
        training: bool = true,
    }
}

impl Operator for FakeQuantPerLayer {
    fn rule(&self) -> Result<impl Rule, OpError> {
        trained(self.training)?;
        let levels = Levels::new(self.num_bits, self.narrow_range, self.symmetric)?;
        levelled([&self.x, &self.min, &self.max], None, levels)
    }

    fn cases() -> Vec<Case> {
        let [low, high] = bounds(&[-1.0], &[2.0]);
        let s = sample().tensor(DType::F32, &[3, 5]).data(low).data(high).int(4).flag(false).real(0.5).int(0);
        vec![s.flag(true).flag(true).flag(false).case("symmetric, narrow")]
    }
}

op! {
    /// As `FakeQuantPerLayer`, with bounds for each place along dimension `channel_axis`, of vectors the only one.
    object FakeQuantPerChannel {
        x: Operand,
        min: Operand,
        max: Operand,
        num_bits: i64 = 8,
        ema: bool = false,
        ema_decay: f64 = 0.999,
        quant_delay: i64 = 0,
        symmetric: bool = false,
        narrow_range: bool = false,
        training: bool = true,
        channel_axis: i64 = 1,
    }
}

impl Operator for FakeQuantPerChannel {
    fn rule(&self) -> Result<impl Rule, OpError> {
        trained(self.training)?;
        let levels = Levels::new(self.num_bits, self.narrow_range, self.symmetric)?;
        let axis = if self.x.rank() == 1 { 0 } else { self.x.axis(self.channel_axis)? };
        levelled([&self.x, &self.min, &self.max], Some(axis), levels)
    }

    fn cases() -> Vec<Case> {
        let [low, high] = bounds(&[-1.0, -0.3, -2.0], &[2.0, 0.7, 1.0]);
        let s = sample().tensor(DType::F32, &[2, 3, 2]).data(low).data(high).int(4).flag(false).real(0.5).int(0);
        vec![s.flag(false).flag(false).flag(false).int(1).case("channels")]
    }
}
