//! Functions of `f64` without branches, so that the compiler makes vectors of loops that call them.
//!
//! Errors are given in units in the last place of the result, with or without fused multiply-adds. What is only exact enough for a
//! result that is rounded to `f32` says so.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LOG2_E};

use super::{MAX_LANES, Simd};

/// The upper 32 digits of ln 2, and the rest.
const LN2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
/// The upper 33 digits of π/2, and the rest.
const HALF_PI: [f64; 2] = [1.570_796_326_734_125_6, 6.077_100_506_506_192e-11];
/// Added to a number below 2⁵¹ it rounds it to an integer, which its low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// A polynomial in `x`, lowest coefficient first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: f64, c: [f64; N]) -> f64 {
    let mut y = c[N - 1];
    for i in (0..N - 1).rev() {
        y = s.fma64(y, x, c[i]);
    }
    y
}

/// 2ⁿ for the integer in the low bits of `n`, −1022 to 1023.
#[inline(always)]
fn power_of_two(n: u64) -> f64 {
    f64::from_bits(n.wrapping_add(1023) << 52)
}

/// `x`, but at least `low` and at most `high`; NaN for NaN.
#[inline(always)]
fn within(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `(r, n)` with x = n · ln 2 + r and |r| ≤ ln 2 / 2, for |x| below 10⁵; `n` is in the low bits, beside others.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: f64) -> (f64, f64) {
    let shifted = s.fma64(x, LOG2_E, ROUND);
    let n = shifted - ROUND;
    (s.fma64(n, -LN2[1], s.fma64(n, -LN2[0], x)), shifted)
}

/// eʳ − 1 for |r| ≤ ln 2 / 2.
#[inline(always)]
fn expm1_near<S: Simd>(s: S, r: f64) -> f64 {
    const C: [f64; 12] = [
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    s.fma64(r * r, polynomial(s, r, C), r)
}

/// eˣ, within 1.5 units.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: f64) -> f64 {
    let (r, n) = reduce(s, within(x, -746.0, 710.0));
    // In two factors, because 2ⁿ itself need not be a normal number: the half of n is found below 2¹¹, where n is positive.
    let n = n.to_bits().wrapping_add(2048) & 0xfff;
    let half = n >> 1;
    let low = power_of_two(half.wrapping_sub(1024));
    (1.0 + expm1_near(s, r)) * low * power_of_two((n - half).wrapping_sub(1024))
}

/// eˣ − 1, within 2.5 units.
#[inline(always)]
pub fn expm1<S: Simd>(s: S, x: f64) -> f64 {
    let (r, n) = reduce(s, within(x, -40.0, 710.0));
    // Half of the result, so that 2ⁿ⁻¹ is finite.
    let half = power_of_two(n.to_bits().wrapping_sub(1) & 0xfff);
    let y = s.fma64(expm1_near(s, r), half, half - 0.5);
    y + y
}

/// `y` for positive finite `x`, else what a logarithm is there.
#[inline(always)]
fn log_ends(x: f64, y: f64) -> f64 {
    let y = if x < f64::INFINITY { y } else { x };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    if x < 0.0 { f64::NAN } else { y }
}

/// ln x + c for a small `c`.
#[inline(always)]
fn log_of<S: Simd>(s: S, x: f64, c: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let bits = if tiny { x * 18_014_398_509_481_984.0 } else { x }.to_bits();
    // x = 2ᵏ · (1 + f) with 1 + f from √½ to √2; 2⁵² + 1024 + k has k in its low bits.
    let steps = bits.wrapping_sub(0x3fe6_a09e_667f_3bcd).wrapping_add(1024 << 52) >> 52;
    let k = f64::from_bits(0x4330_0000_0000_0000 | steps) - 4_503_599_627_371_520.0;
    let f = f64::from_bits(bits.wrapping_sub(steps.wrapping_sub(1024) << 52)) - 1.0;
    let k = if tiny { k - 54.0 } else { k };
    // ln(1 + f) = 2 artanh(t) with t = f / (2 + f).
    const C: [f64; 10] = [
        2.0 / 3.0,
        2.0 / 5.0,
        2.0 / 7.0,
        2.0 / 9.0,
        2.0 / 11.0,
        2.0 / 13.0,
        2.0 / 15.0,
        2.0 / 17.0,
        2.0 / 19.0,
        2.0 / 21.0,
    ];
    let t = f / (2.0 + f);
    let z = t * t;
    let square = 0.5 * f * f;
    let low = s.fma64(t, s.fma64(z, polynomial(s, z, C), square), s.fma64(k, LN2[1], c));
    log_ends(x, s.fma64(k, LN2[0], f - (square - low)))
}

/// ln x, within 1.5 units.
#[inline(always)]
pub fn log<S: Simd>(s: S, x: f64) -> f64 {
    log_of(s, x, 0.0)
}

/// ln(1 + x), within 2 units.
#[inline(always)]
pub fn log1p<S: Simd>(s: S, x: f64) -> f64 {
    let u = 1.0 + x;
    // What the sum lost, relative to the sum.
    let c = (x - (u - 1.0)) / u;
    let y = log_of(s, u, if u < f64::INFINITY { c } else { 0.0 });
    if x == 0.0 { x } else { y }
}

/// 1 / (1 + e⁻ˣ), within 2.5 units.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: f64) -> f64 {
    let z = exp(s, -x.abs());
    let top = if x < 0.0 { z } else { 1.0 };
    top / (1.0 + z)
}

/// tanh x, within 4.5 units.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: f64) -> f64 {
    let a = within(x.abs(), 0.0, 20.0);
    let e = expm1(s, a + a);
    (e / (e + 2.0)).copysign(x)
}

/// sinh x for a result in `f32`.
#[inline(always)]
pub fn sinh<S: Simd>(s: S, x: f64) -> f64 {
    let e = expm1(s, within(x.abs(), 0.0, 700.0));
    (0.5 * (e + e / (e + 1.0))).copysign(x)
}

/// cosh x for a result in `f32`.
#[inline(always)]
pub fn cosh<S: Simd>(s: S, x: f64) -> f64 {
    let e = exp(s, within(x.abs(), 0.0, 700.0));
    0.5 * (e + 1.0 / e)
}

/// arsinh x of a number that is an `f32`, for a result in `f32`.
#[inline(always)]
pub fn asinh<S: Simd>(s: S, x: f64) -> f64 {
    let a = x.abs();
    let square = a * a;
    let y = log1p(s, a + square / (1.0 + (1.0 + square).sqrt()));
    if a < f64::INFINITY { y } else { a }.copysign(x)
}

/// arcosh x of a number that is an `f32`, for a result in `f32`.
#[inline(always)]
pub fn acosh<S: Simd>(s: S, x: f64) -> f64 {
    let t = x - 1.0;
    let y = log1p(s, t + (t * (t + 2.0)).sqrt());
    if x < 1.0 { f64::NAN } else { y }
}

/// artanh x of a number that is an `f32`, for a result in `f32`.
#[inline(always)]
pub fn atanh<S: Simd>(s: S, x: f64) -> f64 {
    let a = x.abs();
    (0.5 * log1p(s, (a + a) / (1.0 - a))).copysign(x)
}

/// arctan x, for a result in `f32`.
#[inline(always)]
pub fn atan<S: Simd>(s: S, x: f64) -> f64 {
    let a = x.abs();
    angle(s, a, 1.0).copysign(x)
}

/// The angle of the point (x, y), neither of which is negative, nor are both 0 or infinite.
#[inline(always)]
fn angle<S: Simd>(s: S, y: f64, x: f64) -> f64 {
    // The quotient is at most tan(π/8) from the ray at 0, π/4 or π/2.
    const C: [f64; 10] = [
        -0.333_333_333_333_326_2,
        0.199_999_999_998_996_8,
        -0.142_857_142_660_752_9,
        0.111_111_096_303_121_8,
        -0.090_908_523_368_464_4,
        0.076_910_511_822_114_7,
        -0.066_495_717_593_177_1,
        0.057_360_722_534_567_7,
        -0.044_824_590_425_467_9,
        0.022_738_165_088_476_2,
    ];
    let (low, high) = (y <= 0.414_213_562_373_095 * x, y > 2.414_213_562_373_095 * x);
    let top = if low { y } else { y - x };
    let top = if high { -x } else { top };
    let bottom = if low { x } else { x + y };
    let bottom = if high { y } else { bottom };
    let base = if low { 0.0 } else { FRAC_PI_4 };
    let base = if high { FRAC_PI_2 } else { base };
    let u = top / bottom;
    let z = u * u;
    base + s.fma64(u * z, polynomial(s, z, C), u)
}

/// arcsin x of a number that is an `f32`, for a result in `f32`.
#[inline(always)]
pub fn asin<S: Simd>(s: S, x: f64) -> f64 {
    let a = x.abs();
    angle(s, a, ((1.0 - a) * (1.0 + a)).sqrt()).copysign(x)
}

/// arccos x of a number that is an `f32`, for a result in `f32`.
#[inline(always)]
pub fn acos<S: Simd>(s: S, x: f64) -> f64 {
    2.0 * angle(s, (1.0 - x).sqrt(), (1.0 + x).sqrt())
}

/// Largest magnitude that [`tan`] takes.
const TAN_MOST: f32 = 1e6;

/// Tangents in the place of numbers; those of large ones one after the other.
#[inline(always)]
pub fn tangents<S: Simd>(s: S, x: &mut [f32]) {
    for x in x.chunks_mut(MAX_LANES) {
        if x.iter().fold(true, |all, x| all & (x.abs() <= TAN_MOST)) {
            x.iter_mut().for_each(|x| *x = tan(s, f64::from(*x)) as f32);
        } else {
            x.iter_mut().for_each(|x| {
                let wide = f64::from(*x);
                *x = if x.abs() <= TAN_MOST { tan(s, wide) } else { wide.tan() } as f32;
            });
        }
    }
}

/// tan x of a number that is an `f32` and at most [`TAN_MOST`], for a result in `f32`.
#[inline(always)]
fn tan<S: Simd>(s: S, x: f64) -> f64 {
    let shifted = s.fma64(x, std::f64::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    // Products of n with the upper part are exact.
    let r = s.fma64(n, -HALF_PI[1], s.fma64(n, -HALF_PI[0], x));
    let z = r * r;
    const SIN: [f64; 7] = [
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 1_307_674_368_000.0,
    ];
    const COS: [f64; 7] = [
        -1.0 / 2.0,
        1.0 / 24.0,
        -1.0 / 720.0,
        1.0 / 40_320.0,
        -1.0 / 3_628_800.0,
        1.0 / 479_001_600.0,
        -1.0 / 87_178_291_200.0,
    ];
    let sin = s.fma64(r * z, polynomial(s, z, SIN), r);
    let cos = s.fma64(z, polynomial(s, z, COS), 1.0);
    let odd = shifted.to_bits() & 1 == 1;
    let (top, bottom) = if odd { (-cos, sin) } else { (sin, cos) };
    let y = top / bottom;
    if x == 0.0 { x } else { y }
}

/// xʸ of numbers that are `f32`, for a result in `f32`.
#[inline(always)]
pub fn pow<S: Simd>(s: S, x: f64, y: f64) -> f64 {
    let a = x.abs();
    let size = exp(s, within(y * log(s, a), -746.0, 710.0));
    // Numbers from 2⁵³ on are even; an f32 has no fraction from 2²⁴ on.
    let whole = y.trunc() == y;
    let half = 0.5 * y;
    let odd = whole && half.trunc() != half;
    let signed = if odd { size.copysign(x) } else { size };
    let rooted = x < 0.0 && a < f64::INFINITY && !whole;
    let value = if rooted { f64::NAN } else { signed };
    // What is 1 whatever the other number is.
    let even_end = a == 1.0 && y.abs() == f64::INFINITY;
    if y == 0.0 || x == 1.0 || even_end { 1.0 } else { value }
}

#[cfg(test)]
mod tests {
    use mindir_graph::random::SplitMix;
    use mindir_graph::task::Unary;

    use super::super::Kernel;
    use super::*;
    use crate::cpu::Isa;

    struct Apply<'a>(Unary, &'a mut [f64]);
    impl Kernel for Apply<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for x in self.1 {
                *x = match self.0 {
                    Unary::Exp => exp(s, *x),
                    Unary::Expm1 => expm1(s, *x),
                    Unary::Log => log(s, *x),
                    Unary::Log1p => log1p(s, *x),
                    Unary::Sigmoid => sigmoid(s, *x),
                    _ => tanh(s, *x),
                };
            }
        }
    }

    struct Powers<'a>(&'a mut [f32], &'a [f32]);
    impl Kernel for Powers<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for (x, &y) in self.0.iter_mut().zip(self.1) {
                *x = pow(s, f64::from(*x), f64::from(y)) as f32;
            }
        }
    }

    /// Numbers of every exponent, and many of usual ones.
    fn everywhere() -> Vec<f64> {
        let mut random = SplitMix(1);
        let mut x = vec![0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, f64::MAX];
        for _ in 0..20_000 {
            x.push(f64::from_bits(random.bits()));
            x.extend(
                [1.0, 20.0, 760.0].map(|range| f64::from(random.even()) * range + f64::from(random.even()) * 1e-9),
            );
        }
        x
    }

    #[test]
    fn functions_of_f64_are_accurate() {
        let xs = everywhere();
        let bounds = [
            (Unary::Exp, 1.5),
            (Unary::Expm1, 2.5),
            (Unary::Log, 1.5),
            (Unary::Log1p, 2.0),
            (Unary::Sigmoid, 2.5),
            (Unary::Tanh, 4.5),
        ];
        for (f, bound) in bounds {
            for isa in Isa::all() {
                let mut got = xs.clone();
                isa.run(Apply(f, &mut got));
                for (&x, &y) in xs.iter().zip(&got) {
                    let low = f == Unary::Sigmoid && x < 0.0;
                    let want = if low { x.exp() / (1.0 + x.exp()) } else { f.eval_f64(x) };
                    let unit = (want.abs().next_up() - want.abs()).max(5e-324);
                    let close = y.to_bits() == want.to_bits() || (y - want).abs() <= bound * unit;
                    assert!(close || (y.is_nan() && want.is_nan()), "{isa}: {f:?}({x:e}) = {y:e}, expected {want:e}");
                }
            }
        }
    }

    #[test]
    fn powers_are_accurate() {
        let odd = [0.0, 1.0, 2.0, 0.5, 3.0, 1.5, 1e30, 1e-30, 16_777_215.0, f32::MAX, 1e-45, f32::INFINITY, f32::NAN];
        let odd: Vec<f32> = odd.into_iter().flat_map(|x| [x, -x]).collect();
        let mut pairs: Vec<(f32, f32)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
        let mut random = SplitMix(2);
        pairs.extend((0..50_000).map(|_| (random.even() * 20.0, (random.even() * 40.0).round() * 0.5)));
        pairs.extend((0..50_000).map(|_| (random.even().abs() * 4.0, random.even() * 60.0)));
        let exponents: Vec<f32> = pairs.iter().map(|p| p.1).collect();
        for isa in Isa::all() {
            let mut got: Vec<f32> = pairs.iter().map(|p| p.0).collect();
            isa.run(Powers(&mut got, &exponents));
            for (&(x, y), &z) in pairs.iter().zip(&got) {
                let want = f64::from(x).powf(f64::from(y));
                let rounded = want as f32;
                let unit = f64::from((rounded.abs().next_up() - rounded.abs()).max(1e-45));
                let close = z.to_bits() == rounded.to_bits() || (f64::from(z) - want).abs() <= 0.501 * unit;
                assert!(close || (z.is_nan() && want.is_nan()), "{isa}: {x:e} to {y:e} is {z:e}, expected {want:e}");
            }
        }
    }
}
