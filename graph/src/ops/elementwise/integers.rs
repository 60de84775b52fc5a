//! Functions of integers.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::task::Scalar;
use crate::{DType, OpError, ensure, op};

use super::special::Special;

macro_rules! divisors {
    ($($(#[doc = $doc:literal])+ $($kind:ident)?: $name:ident($a:ident, $b:ident) = $f:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { $a: Operand, $b: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (a, b) = (&self.$a, &self.$b);
                let d = DType::promote(a.dtype(), b.dtype());
                ensure!(d.is_int(), "expected integers, found {} and {}", a.fact, b.fact);
                let f: fn(u64, u64) -> u64 = $f;
                let f = move |[a, b]: [Scalar; 2]| {
                    let size = |x: Scalar| if d == DType::U64 { x.as_i64() as u64 } else { x.as_i64().unsigned_abs() };
                    Scalar::Int(f(size(a), size(b)) as i64)
                };
                Ok(Special { ins: [(a, d), (b, d)], out: d, f })
            }

            fn cases() -> Vec<Case> {
                let of = |d, a: &[i64], b: &[i64]| sample().index(d, &[a.len()], a).index(d, &[b.len()], b);
                let min = i64::from(i32::MIN);
                vec![
                    of(DType::I32, &[12, -12, 0, 0, min, i64::from(i32::MAX)], &[18, 18, 5, 0, 3, 6]).exact("i32"),
                    of(DType::I64, &[i64::MIN, i64::MIN, 7], &[i64::MIN, 0, -21]).exact("i64"),
                    of(DType::U8, &[12, 250], &[18, 100]).exact("u8"),
                ]
            }
        }
    )*};
}

divisors! {
    /// Greatest common divisor, of integers, which broadcast and are read in their common type; 0 of two zeros. What does not fit
    /// wraps.
    : Gcd(input, other) = gcd;
    /// Least common multiple, of integers, which broadcast and are read in their common type; 0 if one is 0. What does not fit
    /// wraps.
    object: Lcm(x1, x2) = |a, b| a.checked_div(gcd(a, b)).unwrap_or(0).wrapping_mul(b);
}

fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

op! {
    /// How many bits of each integer are 1, as `u8`.
    object PopulationCount { input: Operand }
}

impl Operator for PopulationCount {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.input, self.input.dtype());
        ensure!(d.is_int(), "expected integers, found {}", x.fact);
        let unused = 64 - 8 * d.size() as u32;
        let f = move |[x]: [Scalar; 1]| Scalar::Int((x.as_i64() << unused).count_ones().into());
        Ok(Special { ins: [(x, d)], out: DType::U8, f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().index(DType::I8, &[4], &[0, -1, -128, 7]).exact("i8"),
            sample().index(DType::I64, &[3], &[i64::MIN, -1, 5]).exact("i64"),
            sample().index(DType::U16, &[2], &[65_535, 256]).exact("u16"),
        ]
    }
}
