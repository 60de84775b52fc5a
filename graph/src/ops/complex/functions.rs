//! Functions of complex numbers, with the sides of branch cuts that signed zeros choose, as C and NumPy have them.
//!
//! Inverse functions are those of Kahan, "Branch Cuts for Complex Elementary Functions" (1987): products of two roots in place
//! of the root of a product, which would lose the digits of small numbers, overflow, and forget the sign of zeros.

use std::f64::consts::FRAC_PI_2;

use num_complex::Complex64;

/// Where real parts have left no digit of what they are added to.
const FAR: f64 = 22.0;
/// Magnitudes whose squares are infinite or nearly so.
const HUGE: f64 = 1e150;

/// i·z.
fn turned(z: Complex64) -> Complex64 {
    Complex64::new(-z.im, z.re)
}

/// −i·z.
fn turned_back(z: Complex64) -> Complex64 {
    Complex64::new(z.im, -z.re)
}

/// √z, with a real part of at least 0.
pub(in crate::ops) fn sqrt(z: Complex64) -> Complex64 {
    if z.re == 0.0 && z.im == 0.0 {
        return Complex64::new(0.0, z.im);
    }
    if z.im.is_infinite() {
        return Complex64::new(f64::INFINITY, z.im);
    }
    let shrink = if z.norm() > HUGE { 0.25 } else { 1.0 };
    let small = z * shrink;
    let t = ((small.norm() + small.re.abs()) / 2.0).sqrt();
    let other = small.im.abs() / (2.0 * t);
    let (re, im) = if z.re >= 0.0 { (t, other) } else { (other, t) };
    Complex64::new(re, im.copysign(z.im)) / shrink.sqrt()
}

/// √(1 − z) and √(1 + z).
fn roots(z: Complex64) -> [Complex64; 2] {
    [sqrt(Complex64::new(1.0 - z.re, -z.im)), sqrt(Complex64::new(1.0 + z.re, z.im))]
}

/// The inverse sine.
pub(in crate::ops) fn asin(z: Complex64) -> Complex64 {
    let [a, b] = roots(z);
    let cosine = a.re * b.re - a.im * b.im;
    Complex64::new(z.re.atan2(cosine), (a.re * b.im - a.im * b.re).asinh())
}

/// The inverse cosine.
pub(in crate::ops) fn acos(z: Complex64) -> Complex64 {
    let [a, b] = roots(z);
    Complex64::new(2.0 * a.re.atan2(b.re), (b.re * a.im - b.im * a.re).asinh())
}

/// The inverse hyperbolic cosine.
pub(in crate::ops) fn acosh(z: Complex64) -> Complex64 {
    let (a, b) = (sqrt(Complex64::new(z.re - 1.0, z.im)), sqrt(Complex64::new(z.re + 1.0, z.im)));
    Complex64::new((a.re * b.re + a.im * b.im).asinh(), 2.0 * a.im.atan2(b.re))
}

/// The inverse hyperbolic sine.
pub(in crate::ops) fn asinh(z: Complex64) -> Complex64 {
    turned_back(asin(turned(z)))
}

/// The inverse hyperbolic tangent.
pub(in crate::ops) fn atanh(z: Complex64) -> Complex64 {
    let (x, y, size) = (z.re.abs(), z.im, z.norm());
    let (re, im) = if size > HUGE {
        (x / size / size, FRAC_PI_2.copysign(y))
    } else {
        let apart = (1.0 - x) * (1.0 - x) + y * y;
        ((4.0 * x / apart).ln_1p() / 4.0, (2.0 * y).atan2((1.0 - x) * (1.0 + x) - y * y) / 2.0)
    };
    Complex64::new(re.copysign(z.re), im)
}

/// The inverse tangent.
pub(in crate::ops) fn atan(z: Complex64) -> Complex64 {
    turned_back(atanh(turned(z)))
}

/// The hyperbolic tangent.
pub(in crate::ops) fn tanh(z: Complex64) -> Complex64 {
    if z.re.abs() > FAR {
        let small = 4.0 * (-2.0 * z.re.abs()).exp();
        let im = if z.im.is_finite() { small * z.im.sin() * z.im.cos() } else { 0.0 };
        return Complex64::new(1f64.copysign(z.re), im);
    }
    let (t, s) = (z.im.tan(), z.re.sinh());
    let (square, root) = (1.0 + t * t, (1.0 + s * s).sqrt());
    let below = 1.0 + square * s * s;
    Complex64::new(square * root * s / below, t / below)
}

/// The tangent.
pub(in crate::ops) fn tan(z: Complex64) -> Complex64 {
    turned_back(tanh(turned(z)))
}

/// eᶻ; real where `z` is.
pub(in crate::ops) fn exp(z: Complex64) -> Complex64 {
    if z.im == 0.0 { Complex64::new(z.re.exp(), z.im) } else { z.exp() }
}

/// eᶻ − 1, also near 0.
pub(in crate::ops) fn expm1(z: Complex64) -> Complex64 {
    let half = (z.im / 2.0).sin();
    Complex64::new(z.re.exp_m1() * z.im.cos() - 2.0 * half * half, exp(z).im)
}

/// ln (1 + z), also near 0.
pub(in crate::ops) fn ln_1p(z: Complex64) -> Complex64 {
    if z.norm() > 0.5 {
        return Complex64::new(1.0 + z.re, z.im).ln();
    }
    Complex64::new((z.re * (2.0 + z.re) + z.im * z.im).ln_1p() / 2.0, z.im.atan2(1.0 + z.re))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Function = fn(Complex64) -> Complex64;

    /// Values of NumPy.
    #[test]
    fn functions_have_the_values_of_numpy() {
        let cases: [(&str, Function, [f64; 2], [f64; 2]); 19] = [
            ("sqrt", sqrt, [-4.0, -0.0], [0.0, -2.0]),
            ("sqrt", sqrt, [-1.0, 1e-20], [5e-21, 1.0]),
            ("asin", asin, [2.0, 0.0], [FRAC_PI_2, 1.316_957_896_924_816_6]),
            ("asin", asin, [1.0, 1e10], [1e-10, 23.718_998_110_500_4]),
            ("asin", asin, [1e-12, -1e-12], [1e-12, -1e-12]),
            ("acos", acos, [2.0, 0.0], [0.0, -1.316_957_896_924_816_6]),
            ("acos", acos, [-2.0, -0.0], [std::f64::consts::PI, 1.316_957_896_924_816_6]),
            ("acosh", acosh, [-2.0, -0.0], [1.316_957_896_924_816_6, -std::f64::consts::PI]),
            ("asinh", asinh, [0.0, -2.0], [1.316_957_896_924_816_6, -FRAC_PI_2]),
            ("asinh", asinh, [-1e7, 0.3], [-16.811_242_831_518_268, 3e-8]),
            ("asinh", asinh, [-1e10, 1.0], [-23.718_998_110_500_4, 1e-10]),
            ("atanh", atanh, [2.0, 0.0], [0.549_306_144_334_054_8, FRAC_PI_2]),
            ("atanh", atanh, [2.0, -0.0], [0.549_306_144_334_054_8, -FRAC_PI_2]),
            ("atan", atan, [0.0, -2.0], [FRAC_PI_2, -0.549_306_144_334_054_8]),
            ("atan", atan, [1e-12, 1e-12], [1e-12, 1e-12]),
            ("tanh", tanh, [400.0, 0.3], [1.0, 0.0]),
            ("tan", tan, [0.3, 400.0], [0.0, 1.0]),
            ("exp", exp, [1e20, 0.0], [f64::INFINITY, 0.0]),
            ("expm1", expm1, [1e-12, 1e-12], [1e-12, 1e-12]),
        ];
        for (name, f, [x, y], [re, im]) in cases {
            let z = f(Complex64::new(x, y));
            let near = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-11 * b.abs();
            assert!(near(z.re, re) && near(z.im, im), "{name}({x}, {y}) is {z}, expected {re} and {im}");
        }
    }

    #[test]
    fn inverses_lead_back() {
        let parts = [-30.0, -2.5, -1.0, -0.3, -1e-9, 1e-9, 0.4, 1.0, 3.0, 1e3];
        let functions: [(Function, Function); 6] = [
            (asin, |z| z.sin()),
            (acos, |z| z.cos()),
            (atan, tan),
            (asinh, |z| z.sinh()),
            (acosh, |z| z.cosh()),
            (atanh, tanh),
        ];
        for (i, (inverse, f)) in functions.into_iter().enumerate() {
            for z in parts.iter().flat_map(|x| parts.map(|y| Complex64::new(*x, y))) {
                let back = f(inverse(z));
                assert!((back - z).norm() <= 1e-9 * z.norm().max(1.0), "{i}: {z} leads back to {back}");
            }
        }
    }
}
