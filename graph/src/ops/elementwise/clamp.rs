//! Limits and thresholds.

use super::binary::with_arithmetic;
use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::elementwise::{Chain, Elementwise};
use crate::ops::kit::sample::{filled, sample, wave};
use crate::task::{Binary, Scalar};
use crate::{DType, OpError, op};

/// `min(max(x, low), high)` with the limits that are given. `meet` gives the type in which a tensor meets a limit.
fn limited<'a>(
    x: &'a Operand,
    low: &'a Option<Operand>,
    high: &'a Option<Operand>,
    meet: fn(DType, DType) -> DType,
) -> impl Rule {
    let d = [low, high].into_iter().flatten().fold(x.dtype(), |d, limit| meet(d, limit.dtype()));
    let limits = low.iter().map(|low| (Binary::Max, low)).chain(high.iter().map(|high| (Binary::Min, high)));
    let links = std::iter::once((Binary::Max, x)).chain(limits).collect();
    Chain { links, compute: d, out: d, widened: false }
}

macro_rules! clamp {
    ($($(#[doc = $doc:literal])+ $name:ident $([$alias:literal])? ($x:ident, $low:ident, $high:ident) = $meet:expr, $limit:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $(, aliases [$alias])? { $x: Operand, $low: Option<Operand> = None, $high: Option<Operand> = None }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(limited(&self.$x, &self.$low, &self.$high, $meet))
            }

            fn cases() -> Vec<Case> {
                let limit: fn(f32) -> CaseArg = $limit;
                vec![
                    sample().arg(wave(DType::F32, &[3, 7])).arg(limit(-1.0)).arg(limit(0.5)).exact("both"),
                    sample().arg(wave(DType::F32, &[3, 7])).arg(limit(-1.0)).none().exact("low"),
                    sample().arg(wave(DType::F16, &[3, 7])).none().arg(limit(0.5)).exact("high"),
                    sample().arg(wave(DType::F32, &[7])).arg(limit(1.0)).arg(limit(-1.0)).exact("crossed"),
                    sample().arg(wave(DType::I32, &[7])).int(-1).int(2).exact("i32"),
                    sample().arg(wave(DType::I32, &[7])).real(-1.5).real(1.5).exact("int and float"),
                ]
            }
        }
    )*};
}

clamp! {
    /// `input` limited to `min` and `max`, Python numbers or `None`; `max` where they cross. A float limit makes integers `f32`.
    ClampScalar(input, min, max) = with_arithmetic, CaseArg::from;
    /// `input` limited to the tensors `min` and `max` or `None`, with broadcasting, in the common type; `max` where they cross.
    ClampTensor["ClipByValue"](input, min, max) = DType::promote, |x| filled(DType::F32, &[7], move |i| f64::from(x) + i as f64 * 0.01);
}

op! {
    /// `input` where it exceeds `threshold`, else `value`, in the type of `input`. Both are Python numbers.
    Threshold { input: Operand, threshold: f64, value: f64 }
}

impl Operator for Threshold {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let d = self.input.dtype();
        let definition = |[x]: [Scalar; 1]| if x.as_f64() > self.threshold { x } else { Scalar::Float(self.value) };
        Ok(Elementwise::new([(&self.input, d)], d, definition, move |p, [input]| {
            // Halves are compared exactly, integers with a float.
            let wide = if d.is_float() { d } else { DType::F64 };
            let x = p.cast(input, wide);
            let limit = p.constant(self.threshold, wide);
            let above = p.binary(Binary::Gt, x, limit);
            let value = p.constant(self.value, d);
            p.select(above, input, value)
        }))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 7])).real(0.5).real(-2.0).case("f32"),
            sample().arg(wave(DType::I32, &[7])).int(0).int(9).exact("i32"),
            sample().arg(wave(DType::F16, &[7])).int(0).real(0.25).exact("f16"),
        ]
    }
}
