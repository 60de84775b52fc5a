//! Limits and thresholds.

use super::binary::with_number;
use crate::op::{Case, CaseArg, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, fact};
use crate::ops::kit::sample::{filled, sample, wave};
use crate::task::{Binary, Lowering, Scalar};
use crate::{DType, Fact, OpError, Tensor, op};

/// `min(max(x, low), high)` in the type `out`, with the limits that are given.
fn reference(x: &Operand, low: Option<&Operand>, high: Option<&Operand>, out: DType) -> Result<Vec<Tensor>, OpError> {
    let ins: Vec<_> = [Some(x), low, high].into_iter().flatten().map(|x| (x, out)).collect();
    evaluate(&ins, out, |v| limits(low, high).zip(&v[1..]).fold(v[0], |y, (f, &l)| f.eval(y, l, out)))
}

fn lower(x: &Operand, low: Option<&Operand>, high: Option<&Operand>, out: DType, b: &mut Lowering) -> Lowers {
    let ins: Vec<_> = [Some(x), low, high].into_iter().flatten().map(|x| (x, out)).collect();
    let y = emit(b, &ins, out, |p, r| limits(low, high).zip(&r[1..]).fold(r[0], |y, (f, &l)| p.binary(f, y, l)))?;
    Ok(Some(vec![y]))
}

/// What each given limit does.
fn limits(low: Option<&Operand>, high: Option<&Operand>) -> impl Iterator<Item = Binary> {
    [low.map(|_| Binary::Max), high.map(|_| Binary::Min)].into_iter().flatten()
}

macro_rules! clamp {
    ($($(#[doc = $doc:literal])+ $name:ident $([$alias:literal])? ($x:ident, $low:ident, $high:ident) = $meet:expr, $limit:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $(, aliases [$alias])? { $x: Operand, $low: Option<Operand> = None, $high: Option<Operand> = None }
        }

        impl $name {
            fn limits(&self) -> (Option<&Operand>, Option<&Operand>) {
                (self.$low.as_ref(), self.$high.as_ref())
            }

            fn dtype(&self) -> DType {
                let meet: fn(DType, DType) -> DType = $meet;
                let limits = [&self.$low, &self.$high].into_iter().flatten();
                limits.fold(self.$x.dtype(), |d, l| meet(d, l.dtype()))
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let (low, high) = self.limits();
                let xs: Vec<&Operand> = [Some(&self.$x), low, high].into_iter().flatten().collect();
                fact(&xs, self.dtype())
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let (low, high) = self.limits();
                reference(&self.$x, low, high, self.dtype())
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let (low, high) = self.limits();
                lower(&self.$x, low, high, self.dtype(), b)
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
    ClampScalar(input, min, max) = with_number, CaseArg::from;
    /// `input` limited to the tensors `min` and `max` or `None`, with broadcasting, in the common type; `max` where they cross.
    ClampTensor["ClipByValue"](input, min, max) = DType::promote, |x| filled(DType::F32, &[7], move |i| f64::from(x) + i as f64 * 0.01);
}

op! {
    /// `input` where it exceeds `threshold`, else `value`, in the type of `input`. Both are Python numbers.
    Threshold { input: Operand, threshold: f64, value: f64 }
}

impl Rule for Threshold {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.input], self.input.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.input.dtype();
        evaluate(
            &[(&self.input, d)],
            d,
            |x| if x[0].as_f64() > self.threshold { x[0] } else { Scalar::Float(self.value) },
        )
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = self.input.dtype();
        let y = emit(b, &[(&self.input, d)], d, |p, r| {
            // Halves are compared exactly, integers with a float.
            let wide = if d.is_float() { d } else { DType::F64 };
            let x = p.cast(r[0], wide);
            let limit = p.constant(self.threshold, wide);
            let above = p.binary(Binary::Gt, x, limit);
            let value = p.constant(self.value, d);
            p.select(above, r[0], value)
        })?;
        Ok(Some(vec![y]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 7])).real(0.5).real(-2.0).case("f32"),
            sample().arg(wave(DType::I32, &[7])).int(0).int(9).exact("i32"),
            sample().arg(wave(DType::F16, &[7])).int(0).real(0.25).exact("f16"),
        ]
    }
}
