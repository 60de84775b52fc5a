//! Windows, which signals are multiplied with.

use std::f64::consts::TAU;

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::create::numbers::shape_of;
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, ensure, op};

/// A window: `f` of the places from 0 to 1, where 1 is the last one or, if it is `periodic`, the one behind it. One number is 1.
fn window(
    length: &Operand,
    limit: i64,
    periodic: bool,
    dtype: DType,
    f: impl Fn(f64) -> f64,
) -> Result<Tensor, OpError> {
    ensure!(dtype.is_float(), "expected a float type, found {dtype}");
    let &[n] = &length.i64s()?[..] else {
        return Err(OpError::Invalid(format!("expected one length, found {}", length.fact)));
    };
    ensure!((0..=limit).contains(&n), "expected a length from 0 to {limit}, found {n}");
    shape_of(&[n])?;
    let steps = if periodic { n } else { n - 1 } as f64;
    let at = |k: i64| if n == 1 { 1.0 } else { f(k as f64 / steps) };
    Ok(Tensor::from_f64s(dtype, &[n as usize], &(0..n).map(at).collect::<Vec<_>>())?)
}

fn bartlett(place: f64) -> f64 {
    1.0 - (2.0 * place - 1.0).abs()
}

/// Not below 0, which rounding may make of the ends.
fn blackman(place: f64) -> f64 {
    (0.42 - 0.5 * (TAU * place).cos() + 0.08 * (2.0 * TAU * place).cos()).max(0.0)
}

macro_rules! windows {
    ($($(#[doc = $doc:literal])+ $name:ident = $f:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            classic $name {
                window_length: Operand,
                periodic: bool = true,
                dtype: DType = DType::F32,
                max_length: i64 = 1_000_000,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                window(&self.window_length, self.max_length, self.periodic, self.dtype, $f)
            }

            fn cases() -> Vec<Case> {
                let n = |n: i64| sample().index(DType::I32, &[], &[n]);
                vec![
                    n(5).case("periodic"),
                    n(6).flag(false).case("symmetric"),
                    n(1).exact("one"),
                    n(0).exact("none"),
                ]
            }
        }
    )*};
}

windows! {
    /// A triangle from 0 to 1 and back over `window_length` numbers, of which the last 0 is left out if it is `periodic`.
    BartlettWindow = bartlett;
    /// `0.42 − 0.5 · cos(2π · k / n) + 0.08 · cos(4π · k / n)` for the numbers `k` below `window_length`, which is `n` or, unless the window
    /// is `periodic`, one more than that.
    BlackmanWindow = blackman;
}

op! {
    /// `alpha − beta · cos(2π · k / n)` for the numbers `k` below `length`, which is `n` or, unless the window is `periodic`, one more than
    /// that. `dtype`: 0 is `f32`, 1 `f16`, 11 `f64`.
    classic HammingWindow {
        length: Operand,
        periodic: bool = true,
        alpha: f64 = 0.54,
        beta: f64 = 0.46,
        dtype: i64 = 0,
    }
}

impl Operator for HammingWindow {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dtype = match self.dtype {
            0 => DType::F32,
            1 => DType::F16,
            11 => DType::F64,
            other => return Err(OpError::Invalid(format!("expected 0, 1 or 11 as dtype, found {other}"))),
        };
        let f = |place: f64| self.alpha - self.beta * (TAU * place).cos();
        window(&self.length, i64::from(i32::MAX), self.periodic, dtype, f)
    }

    fn cases() -> Vec<Case> {
        let n = |n: i64| sample().index(DType::I64, &[1], &[n]);
        vec![
            n(5).case("periodic"),
            n(6).flag(false).real(0.5).real(0.5).int(11).case("symmetric"),
            n(1).flag(true).real(0.54).real(0.46).int(1).exact("one"),
        ]
    }
}
