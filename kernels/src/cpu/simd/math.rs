//! Functions of vectors.
//!
//! Errors are given in units in the last place of the result, with fused multiply-adds; without them they are at most
//! half a unit larger unless stated otherwise. Every function takes every number: infinities and NaN give what the
//! formula gives, NaN for NaN, and results that are not normal numbers are as exact as they can be.

use super::{MAX_LANES, Simd};

/// A polynomial in `x`, lowest coefficient first: even and odd powers side by side, because one chain of multiply-adds
/// after the other waits for results most of the time.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let x2 = s.mul(x, x);
    let (mut even, mut odd) = (s.splat(c[N - 1]), s.splat(c[N - 2]));
    if N.is_multiple_of(2) {
        (even, odd) = (odd, even);
    }
    for i in (0..N - 2).rev() {
        let part = if i.is_multiple_of(2) { &mut even } else { &mut odd };
        *part = s.fma(*part, x2, s.splat(c[i]));
    }
    s.fma(odd, x, even)
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two<S: Simd>(s: S, n: S::I) -> S::F {
    s.from_bits(s.shl::<23>(s.add_i(n, s.splat_i(127))))
}

/// `(r, n)` with x = n · ln 2 + r, n an integer and |r| ≤ ln 2 / 2, for |x| ≤ 200.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    (s.fma(n, s.splat(2.121_944_4e-4), r), n)
}

/// eʳ − 1 for |r| ≤ ln 2 / 2 and a little more.
#[inline(always)]
fn expm1_near<S: Simd>(s: S, r: S::F) -> S::F {
    let p = polynomial(s, r, [4.999_999_4e-1, 1.666_652_1e-1, 4.166_826_2e-2, 8.368_674e-3, 1.382_104_1e-3]);
    s.fma(p, s.mul(r, r), r)
}

/// `(p, n)` with eˣ = p · 2ⁿ and p between 0.7 and 1.5, for −200 ≤ x ≤ 100.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let (r, n) = reduce(s, x);
    (s.add(expm1_near(s, r), s.splat(1.0)), n)
}

/// As [`exp_parts`] of `x + low`, where `low` is small.
#[inline(always)]
fn exp_parts_of_sum<S: Simd>(s: S, x: S::F, low: S::F) -> (S::F, S::F) {
    let (r, n) = reduce(s, x);
    (s.add(expm1_near(s, s.add(r, low)), s.splat(1.0)), n)
}

/// eˣ, within 1.1 units.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let (p, n) = exp_parts(s, s.min(s.splat(89.0), s.max(s.splat(-104.0), x)));
    s.scale(p, n)
}

/// eˣ − 1, within 2 units.
#[inline(always)]
pub fn expm1<S: Simd>(s: S, x: S::F) -> S::F {
    let (r, n) = reduce(s, s.min(s.splat(89.0), s.max(s.splat(-30.0), x)));
    // Half of the result, so that 2ⁿ⁻¹ is finite.
    let half = power_of_two(s, s.to_int(s.sub(n, s.splat(1.0))));
    let y = s.fma(expm1_near(s, r), half, s.sub(half, s.splat(0.5)));
    s.add(y, y)
}

/// `x` as 2ᵏ · (1 + f) with 1 + f from √½ to √2, for positive finite `x`.
#[inline(always)]
fn log_parts<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let x = s.select(tiny, s.mul(x, s.splat(33_554_432.0)), x);
    let bits = s.bits(x);
    let k = s.shr::<23>(s.sub_i(bits, s.splat_i(0x3f35_04f3)));
    let f = s.sub(s.from_bits(s.sub_i(bits, s.shl::<23>(k))), s.splat(1.0));
    let k = s.to_float(k);
    (s.select(tiny, s.sub(k, s.splat(25.0)), k), f)
}

/// ln(1 + f) − f for 1 + f from √½ to √2.
#[inline(always)]
fn log1p_rest<S: Simd>(s: S, f: S::F) -> S::F {
    const C: [f32; 9] = [
        3.333_331_3e-1,
        -2.500_001e-1,
        2.000_207_2e-1,
        -1.666_798_9e-1,
        1.422_036e-1,
        -1.240_624_04e-1,
        1.188_353_8e-1,
        -1.167_001_6e-1,
        6.749_175e-2,
    ];
    let f2 = s.mul(f, f);
    let p = s.mul(polynomial(s, f, C), f);
    s.mul(f2, s.add(p, s.splat(-0.5)))
}

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `y` for positive finite `x`, else what a logarithm is there.
#[inline(always)]
fn log_ends<S: Simd>(s: S, x: S::F, y: S::F) -> S::F {
    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let y = s.select(s.eq(x, s.zero()), s.splat(f32::NEG_INFINITY), y);
    s.select(s.lt(x, s.zero()), s.splat(f32::NAN), y)
}

/// ln x, within 1 unit.
#[inline(always)]
pub fn log<S: Simd>(s: S, x: S::F) -> S::F {
    let (k, f) = log_parts(s, x);
    let low = s.fma(k, s.splat(LN2_LOW), log1p_rest(s, f));
    log_ends(s, x, s.fma(k, s.splat(LN2_HIGH), s.add(f, low)))
}

/// log₂ x, within 2 units.
#[inline(always)]
pub fn log2<S: Simd>(s: S, x: S::F) -> S::F {
    let (k, f) = log_parts(s, x);
    let l = s.add(f, log1p_rest(s, f));
    log_ends(s, x, s.fma(l, s.splat(std::f32::consts::LOG2_E), k))
}

/// log₁₀ x, within 2 units.
#[inline(always)]
pub fn log10<S: Simd>(s: S, x: S::F) -> S::F {
    let (k, f) = log_parts(s, x);
    let l = s.add(f, log1p_rest(s, f));
    let low = s.fma(l, s.splat(std::f32::consts::LOG10_E), s.mul(k, s.splat(4.605_039e-6)));
    log_ends(s, x, s.fma(k, s.splat(0.301_025_4), low))
}

/// ln(1 + x), within 2 units.
#[inline(always)]
pub fn log1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    let (k, f) = log_parts(s, u);
    // What the sum lost, relative to the sum.
    let c = s.div(s.sub(x, s.sub(u, one)), u);
    let low = s.add(c, s.fma(k, s.splat(LN2_LOW), log1p_rest(s, f)));
    log_ends(s, u, s.fma(k, s.splat(LN2_HIGH), s.add(f, low)))
}

/// 1 / (1 + e⁻ˣ), within 2.5 units.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let z = exp(s, s.neg(s.abs(x)));
    s.div(s.select(s.lt(x, s.zero()), z, one), s.add(one, z))
}

/// `max(low, x)` for `low` ≤ 0, but NaN for −∞: where x is multiplied by what vanishes there, −∞ · 0 is NaN.
#[inline(always)]
fn above<S: Simd>(s: S, low: f32, x: S::F) -> S::F {
    s.fma(s.zero(), s.min(s.zero(), x), s.max(s.splat(low), x))
}

/// x · sigmoid(x), within 3.5 units; NaN for −∞.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    // For negative x the power of two comes last, so that no factor is rounded before it has to be.
    let one = s.splat(1.0);
    let (p, n) = exp_parts(s, s.max(s.splat(-115.0), s.neg(s.abs(x))));
    let negative = s.lt(x, s.zero());
    let x = s.mul(above(s, -200.0, x), s.select(negative, p, one));
    let x = s.scale(x, s.select(negative, n, s.zero()));
    s.div(x, s.add(one, s.scale(p, n)))
}

/// x · tanh(ln(1 + eˣ)), within 5 units; NaN for −∞.
#[inline(always)]
pub fn mish<S: Simd>(s: S, x: S::F) -> S::F {
    // tanh(ln(1 + z)) = q / (q + 2) with q = z (z + 2).
    let two = s.splat(2.0);
    let (p, n) = exp_parts(s, s.min(s.splat(20.0), s.max(s.splat(-115.0), x)));
    let z = s.scale(p, n);
    let q = s.mul(z, s.add(z, two));
    let x_q = s.scale(s.mul(above(s, -200.0, x), s.mul(p, s.add(z, two))), n);
    s.select(s.lt(s.splat(20.0), x), x, s.div(x_q, s.add(q, two)))
}

/// ln(1 + eˣ), within 3 units.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    // ln(1 + z) = 2 artanh(z / (2 + z)).
    let z = exp(s, s.neg(s.abs(x)));
    let t = s.div(z, s.add(z, s.splat(2.0)));
    let t = s.add(t, t);
    let q = s.mul(s.mul(t, t), s.splat(0.25));
    let p = polynomial(s, q, [3.333_333_7e-1, 1.999_947_4e-1, 1.430_760_6e-1, 1.072_194_65e-1, 1.212_259_3e-1]);
    s.add(s.max(s.zero(), x), s.fma(s.mul(t, q), p, t))
}

/// tanh x, within 2.5 units.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F) -> S::F {
    let a = s.min(s.splat(9.2), s.abs(x));
    let e = expm1(s, s.add(a, a));
    s.copysign(s.div(e, s.add(e, s.splat(2.0))), x)
}

/// `(q, n)` with e^(−c·a²) = q · 2ⁿ, for `c` = 1 or ½ and 0 ≤ c·a² ≤ 120.
#[inline(always)]
fn gauss<S: Simd>(s: S, a: S::F, c: f32) -> (S::F, S::F) {
    // The square of the upper half of the digits is exact.
    let head = s.from_bits(s.and_i(s.bits(a), s.splat_i(!0xfff)));
    let c = s.splat(-c);
    let low = s.mul(s.sub(a, head), s.mul(c, s.add(a, head)));
    exp_parts_of_sum(s, s.mul(c, s.mul(head, head)), low)
}

/// 1 / (1 + c·a) times a polynomial in it.
#[inline(always)]
fn tail<S: Simd, const N: usize>(s: S, a: S::F, c: f32, p: [f32; N]) -> S::F {
    let one = s.splat(1.0);
    let d = s.fma(a, s.splat(c), one);
    let t = s.div(one, d);
    // What rounding took from the denominator, and from the quotient: the polynomial is steep.
    let lost = s.fma(a, s.splat(c), s.sub(one, d));
    let missing = s.fma(s.neg(t), lost, s.fma(s.neg(t), d, one));
    let t = s.fma(t, missing, t);
    s.mul(t, polynomial(s, t, p))
}

/// `(q, n)` with erfc a = q · 2ⁿ for 0 ≤ a ≤ 10.5.
#[inline(always)]
fn erfc_parts<S: Simd>(s: S, a: S::F) -> (S::F, S::F) {
    const C: [f32; 10] = [
        1.974_816e-1,
        1.971_781e-1,
        1.875_902e-1,
        1.525_698e-1,
        1.422_243_1e-1,
        9.383_213_5e-2,
        -3.558_348e-2,
        1.871_621_9e-1,
        -1.612_755_7e-1,
        3.882_072e-2,
    ];
    let (p, n) = gauss(s, a, 1.0);
    (s.mul(tail(s, a, 0.35, C), p), n)
}

/// 1 − erf x, within 5 units; 8 without fused multiply-adds.
#[inline(always)]
pub fn erfc<S: Simd>(s: S, x: S::F) -> S::F {
    let (q, n) = erfc_parts(s, s.min(s.splat(10.5), s.abs(x)));
    let y = s.scale(q, n);
    s.select(s.lt(x, s.zero()), s.sub(s.splat(2.0), y), y)
}

/// erf x, within 2 units.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    let a = s.min(s.splat(4.0), s.abs(x));
    const C: [f32; 7] =
        [1.283_791_7e-1, -3.761_263e-1, 1.128_362_4e-1, -2.685_556e-2, 5.191_753e-3, -8.039_753e-4, 7.943_1e-5];
    let near = s.fma(polynomial(s, s.mul(a, a), C), a, a);
    let (q, n) = erfc_parts(s, a);
    let far = s.sub(s.splat(1.0), s.scale(q, n));
    s.copysign(s.select(s.lt(a, s.splat(0.9)), near, far), x)
}

/// x · Φ(x), within 5 units, 8 without fused multiply-adds; NaN for −∞.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F) -> S::F {
    const C: [f32; 10] = [
        9.774_504_6e-2,
        9.767_286e-2,
        9.225_499e-2,
        7.979_005_6e-2,
        5.770_277_6e-2,
        7.706_944e-2,
        -5.890_326e-2,
        1.309_937_4e-1,
        -9.601_936e-2,
        2.169_371_8e-2,
    ];
    // |x| · Φ(−|x|), which is what is missing from relu(x).
    let a = s.min(s.splat(15.0), s.abs(x));
    let (p, n) = gauss(s, a, 0.5);
    let rest = s.scale(s.mul(a, s.mul(tail(s, a, 0.245, C), p)), n);
    s.sub(above(s, 0.0, x), rest)
}

/// x · Φ(x) with Φ approximated by the hyperbolic tangent, within 8 units or 2·10⁻⁸, whichever is more: far below
/// zero the relative error grows with x³ while the absolute error falls. NaN for −∞.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F) -> S::F {
    const C: f32 = 1.595_769;
    let a = s.min(s.splat(11.0), s.abs(x));
    let u = s.mul(a, s.fma(s.mul(a, a), s.splat(-C * 0.044_715), s.splat(-C)));
    let (p, n) = exp_parts(s, u);
    let rest = s.div(s.scale(s.mul(a, p), n), s.add(s.splat(1.0), s.scale(p, n)));
    s.sub(above(s, 0.0, x), rest)
}

/// relu6(x + 3) / 6, within 2 units.
#[inline(always)]
pub fn hsigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let c = s.min(s.splat(6.0), s.max(s.zero(), s.add(x, s.splat(3.0))));
    s.mul(c, s.splat(1.0 / 6.0))
}

/// x · relu6(x + 3) / 6, within 3 units.
#[inline(always)]
pub fn hswish<S: Simd>(s: S, x: S::F) -> S::F {
    s.mul(x, hsigmoid(s, x))
}

/// `(r, n)` with x = n · π/2 + r, for |x| ≤ 4096.
#[inline(always)]
fn quarter_turns<S: Simd>(s: S, x: S::F) -> (S::F, S::I) {
    // Products of n with the first three parts are exact.
    let n = s.round(s.mul(x, s.splat(std::f32::consts::FRAC_2_PI)));
    let mut r = x;
    for part in [1.570_312_5, 4.837_513e-4, 7.549_533_6e-8, 2.563_344e-12] {
        r = s.fma(n, s.splat(-part), r);
    }
    (r, s.to_int(n))
}

/// The sine of x = n · π/2 + r.
#[inline(always)]
fn sin_parts<S: Simd>(s: S, r: S::F, n: S::I) -> S::F {
    let r2 = s.mul(r, r);
    let p = polynomial(s, r2, [-1.666_665_5e-1, 8.332_189e-3, -1.951_828_5e-4]);
    let sin = s.fma(s.mul(r, r2), p, r);
    let p = polynomial(s, r2, [4.166_664_6e-2, -1.388_731_1e-3, 2.443_256_4e-5]);
    let cos = s.fma(s.mul(r2, r2), p, s.fma(r2, s.splat(-0.5), s.splat(1.0)));
    let odd = s.eq_i(s.and_i(n, s.splat_i(1)), s.splat_i(1));
    let y = s.select(odd, cos, sin);
    let sign = s.shl::<30>(s.and_i(n, s.splat_i(2)));
    s.from_bits(s.xor_i(s.bits(y), sign))
}

/// `f` of every lane, one after the other.
#[inline(always)]
pub fn each<S: Simd>(s: S, x: S::F, f: impl Fn(f32) -> f32) -> S::F {
    let mut lanes = [0.0; MAX_LANES];
    s.put(&mut lanes, 0, x);
    for v in &mut lanes[..S::LANES] {
        *v = f(*v);
    }
    s.get(&lanes, 0)
}

/// `f` of every pair of lanes, one after the other.
#[inline(always)]
pub fn each_pair<S: Simd>(s: S, a: S::F, b: S::F, f: impl Fn(f32, f32) -> f32) -> S::F {
    let (mut lanes, mut others) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
    s.put(&mut lanes, 0, a);
    s.put(&mut others, 0, b);
    for (v, &w) in lanes[..S::LANES].iter_mut().zip(&others) {
        *v = f(*v, w);
    }
    s.get(&lanes, 0)
}

/// Sine, within 2 units.
#[inline(always)]
pub fn sin<S: Simd>(s: S, x: S::F) -> S::F {
    waved(
        s,
        x,
        f64::sin,
        #[inline(always)]
        |x| {
            let (r, n) = quarter_turns(s, x);
            sin_parts(s, r, n)
        },
    )
}

/// Cosine, within 2 units.
#[inline(always)]
pub fn cos<S: Simd>(s: S, x: S::F) -> S::F {
    waved(
        s,
        x,
        f64::cos,
        #[inline(always)]
        |x| {
            let (r, n) = quarter_turns(s, x);
            sin_parts(s, r, s.add_i(n, s.splat_i(1)))
        },
    )
}

/// `near` of the lanes that are near zero, `far` of the others: what a lane has does not depend on those beside it.
#[inline(always)]
fn waved<S: Simd>(s: S, x: S::F, far: fn(f64) -> f64, near: impl Fn(S::F) -> S::F) -> S::F {
    let is_near = s.le(s.abs(x), s.splat(4096.0));
    let y = near(s.select(is_near, x, s.zero()));
    if s.any(s.not_m(is_near)) {
        return s.select(is_near, y, each(s, x, |x| far(f64::from(x)) as f32));
    }
    y
}

/// Larger; NaN if either is.
#[inline(always)]
pub fn max_nan<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    s.select(s.is_nan(b), b, s.max(b, a))
}

/// Smaller; NaN if either is.
#[inline(always)]
pub fn min_nan<S: Simd>(s: S, a: S::F, b: S::F) -> S::F {
    s.select(s.is_nan(b), b, s.min(b, a))
}

#[cfg(test)]
mod tests {
    use mindir_graph::task::Unary;

    use std::f32::consts::FRAC_PI_2;

    use super::super::{Kernel, double};
    use super::*;
    use crate::cpu::Isa;

    struct Apply<'a>(Unary, &'a mut [f32]);
    impl Kernel for Apply<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Apply(f, x) = self;
            match f {
                Unary::Exp => over(s, x, |v| exp(s, v)),
                Unary::Expm1 => over(s, x, |v| expm1(s, v)),
                Unary::Log => over(s, x, |v| log(s, v)),
                Unary::Log2 => over(s, x, |v| log2(s, v)),
                Unary::Log10 => over(s, x, |v| log10(s, v)),
                Unary::Log1p => over(s, x, |v| log1p(s, v)),
                Unary::Sin => over(s, x, |v| sin(s, v)),
                Unary::Cos => over(s, x, |v| cos(s, v)),
                Unary::Tanh => over(s, x, |v| tanh(s, v)),
                Unary::Erf => over(s, x, |v| erf(s, v)),
                Unary::Erfc => over(s, x, |v| erfc(s, v)),
                Unary::Sigmoid => over(s, x, |v| sigmoid(s, v)),
                Unary::Silu => over(s, x, |v| silu(s, v)),
                Unary::Gelu => over(s, x, |v| gelu(s, v)),
                Unary::GeluTanh => over(s, x, |v| gelu_tanh(s, v)),
                Unary::HSigmoid => over(s, x, |v| hsigmoid(s, v)),
                Unary::HSwish => over(s, x, |v| hswish(s, v)),
                Unary::Softplus => over(s, x, |v| softplus(s, v)),
                Unary::Mish => over(s, x, |v| mish(s, v)),
                Unary::Tan => double::tangents(s, x),
                Unary::Asin => wide(x, |v| double::asin(s, v)),
                Unary::Acos => wide(x, |v| double::acos(s, v)),
                Unary::Atan => wide(x, |v| double::atan(s, v)),
                Unary::Sinh => wide(x, |v| double::sinh(s, v)),
                Unary::Cosh => wide(x, |v| double::cosh(s, v)),
                Unary::Asinh => wide(x, |v| double::asinh(s, v)),
                Unary::Acosh => wide(x, |v| double::acosh(s, v)),
                Unary::Atanh => wide(x, |v| double::atanh(s, v)),
                _ => unreachable!("{f:?} has no vector function"),
            }
        }
    }

    #[inline(always)]
    fn over<S: Simd>(s: S, x: &mut [f32], f: impl Fn(S::F) -> S::F) {
        for i in (0..x.len()).step_by(S::LANES) {
            let v = f(s.get_tail(x, i));
            s.put_tail(x, i, v);
        }
    }

    #[inline(always)]
    fn wide(x: &mut [f32], f: impl Fn(f64) -> f64) {
        x.iter_mut().for_each(|x| *x = f(f64::from(*x)) as f32);
    }

    /// Units in the last place of an `f32` near `y`.
    fn unit(y: f64) -> f64 {
        let exponent = (y.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() as i32).clamp(-126, 127);
        2f64.powi(exponent - 23)
    }

    /// Numbers of every exponent and both signs.
    fn everywhere() -> Vec<f32> {
        let step = if cfg!(debug_assertions) { 65_537 } else { 4099 };
        let mut x: Vec<f32> =
            (0..0x7f80_0000u32).step_by(step).flat_map(|b| [b, b | 1 << 31]).map(f32::from_bits).collect();
        let near = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
        x.extend((-near..near).map(|i| i as f32 * (20.0 / near as f32)));
        x.extend([0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::from_bits(1), 0.9, 4096.0]);
        x
    }

    /// Function, largest error in units with and without fused multiply-adds, absolute error that is fine anyway.
    const BOUNDS: [(Unary, f64, f64, f64); 28] = [
        (Unary::Exp, 1.1, 1.1, 0.0),
        (Unary::Expm1, 2.0, 2.0, 0.0),
        (Unary::Log, 1.0, 1.0, 0.0),
        (Unary::Log2, 2.0, 2.0, 0.0),
        (Unary::Log10, 2.0, 2.0, 0.0),
        (Unary::Log1p, 2.0, 2.0, 0.0),
        (Unary::Sin, 2.0, 2.0, 0.0),
        (Unary::Cos, 2.0, 2.0, 0.0),
        (Unary::Tanh, 2.5, 2.5, 0.0),
        (Unary::Erf, 2.0, 2.0, 0.0),
        (Unary::Erfc, 5.0, 8.0, 0.0),
        (Unary::Sigmoid, 2.5, 2.5, 0.0),
        (Unary::Silu, 3.5, 3.5, 0.0),
        (Unary::Gelu, 5.0, 8.0, 0.0),
        (Unary::GeluTanh, 8.0, 8.0, 2e-8),
        (Unary::HSigmoid, 2.0, 2.0, 0.0),
        (Unary::HSwish, 3.0, 3.0, 0.0),
        (Unary::Softplus, 3.0, 3.0, 0.0),
        (Unary::Mish, 5.0, 5.0, 0.0),
        (Unary::Tan, 0.501, 0.501, 0.0),
        (Unary::Asin, 0.501, 0.501, 0.0),
        (Unary::Acos, 0.501, 0.501, 0.0),
        (Unary::Atan, 0.501, 0.501, 0.0),
        (Unary::Sinh, 0.501, 0.501, 0.0),
        (Unary::Cosh, 0.501, 0.501, 0.0),
        (Unary::Asinh, 0.501, 0.501, 0.0),
        (Unary::Acosh, 0.501, 0.501, 0.0),
        (Unary::Atanh, 0.501, 0.501, 0.0),
    ];

    #[test]
    fn functions_are_accurate() {
        let xs = everywhere();
        let mut bad = Vec::new();
        for (f, fused, split, absolute) in BOUNDS {
            let want: Vec<f64> = xs.iter().map(|&x| f.eval_f64(f64::from(x))).collect();
            for isa in Isa::all() {
                let mut got = xs.clone();
                isa.run(Apply(f, &mut got));
                let bound = if matches!(isa, Isa::Scalar | Isa::Wide) { split } else { fused };
                let (mut worst, mut at) = (0.0, 0);
                for (i, (&y, &w)) in got.iter().zip(&want).enumerate() {
                    let error = error_in_units(f64::from(y), w, absolute);
                    if error > worst {
                        (worst, at) = (error, i);
                    }
                }
                if std::env::var_os("MINDIR_PRINT").is_some() {
                    println!("{f:?} {isa}: {worst:.2} at {:e}", xs[at]);
                }
                if worst > bound {
                    let (x, y, w) = (xs[at], got[at], want[at]);
                    bad.push(format!("{isa}: {f:?}({x:e}) = {y:e}, expected {w:e}: {worst:.2} units"));
                }
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }

    fn error_in_units(y: f64, want: f64, absolute: f64) -> f64 {
        let rounded = f64::from(want as f32);
        if y == rounded || (y.is_nan() && want.is_nan()) || (y - want).abs() <= absolute {
            return 0.0;
        }
        if y.is_nan() || want.is_nan() || rounded.is_infinite() {
            return if y == f64::from(f32::MAX) * rounded.signum() { 1.0 } else { f64::INFINITY };
        }
        if y.is_infinite() && want.abs() > f64::from(f32::MAX) * (1.0 - 1e-7) {
            return 1.0;
        }
        (y - want).abs() / unit(want)
    }

    #[test]
    fn a_lane_does_not_depend_on_those_beside_it() {
        let xs: Vec<f32> = everywhere().into_iter().step_by(if cfg!(debug_assertions) { 7 } else { 97 }).collect();
        for (f, ..) in BOUNDS {
            for isa in Isa::all() {
                let mut alone = xs.clone();
                // The same number in every lane.
                for x in &mut alone {
                    let mut lanes = [*x; MAX_LANES];
                    isa.run(Apply(f, &mut lanes));
                    *x = lanes[0];
                }
                for beside in [f32::NAN, f32::INFINITY, 1e30, 0.5] {
                    let mut mixed: Vec<f32> = xs.iter().flat_map(|x| [*x, beside]).collect();
                    isa.run(Apply(f, &mut mixed));
                    let differs = (0..xs.len()).find(|&i| mixed[2 * i].to_bits() != alone[i].to_bits());
                    assert_eq!(differs.map(|i| xs[i]), None, "{f:?} beside {beside} on {isa}");
                }
            }
        }
    }

    #[test]
    fn functions_have_ends() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let mut bad = Vec::new();
        for (f, minus, plus) in [
            (Unary::Exp, 0.0, inf),
            (Unary::Expm1, -1.0, inf),
            (Unary::Log, nan, inf),
            (Unary::Log2, nan, inf),
            (Unary::Log10, nan, inf),
            (Unary::Log1p, nan, inf),
            (Unary::Sin, nan, nan),
            (Unary::Cos, nan, nan),
            (Unary::Tanh, -1.0, 1.0),
            (Unary::Erf, -1.0, 1.0),
            (Unary::Erfc, 2.0, 0.0),
            (Unary::Sigmoid, 0.0, 1.0),
            // Infinity times 0, as in MindSpore and ONNX Runtime.
            (Unary::Silu, nan, inf),
            (Unary::Gelu, nan, inf),
            (Unary::GeluTanh, nan, inf),
            (Unary::HSigmoid, 0.0, 1.0),
            (Unary::HSwish, nan, inf),
            (Unary::Softplus, 0.0, inf),
            (Unary::Mish, nan, inf),
            (Unary::Tan, nan, nan),
            (Unary::Asin, nan, nan),
            (Unary::Acos, nan, nan),
            (Unary::Atan, -FRAC_PI_2, FRAC_PI_2),
            (Unary::Sinh, -inf, inf),
            (Unary::Cosh, inf, inf),
            (Unary::Asinh, -inf, inf),
            (Unary::Acosh, nan, inf),
            (Unary::Atanh, nan, nan),
        ] {
            for isa in Isa::all() {
                let mut got = [-inf, inf, nan];
                isa.run(Apply(f, &mut got));
                let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
                if !same(got[0], minus) || !same(got[1], plus) || !got[2].is_nan() {
                    bad.push(format!("{isa}: {f:?} {got:?}"));
                }
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}
