//! Bessel functions.

use std::f64::consts::PI;

/// The modified function of the first kind of order 0 or 1, by its power series.
pub(super) fn first(x: f64, order: i32) -> f64 {
    if !x.is_finite() {
        return if order == 0 { x.abs() } else { x };
    }
    let half = x / 2.0;
    let mut term = if order == 0 { 1.0 } else { half };
    let mut sum = term;
    let mut k = 1.0;
    while term != 0.0 && k < 2000.0 {
        term *= half * half / (k * (k + f64::from(order)));
        sum += term;
        if term.abs() < sum.abs() * 1e-17 {
            break;
        }
        k += 1.0;
    }
    sum
}

/// `e^−|x|` times [`first`], for large numbers by the expansion there.
pub(super) fn first_scaled(x: f64, order: i32) -> f64 {
    let size = x.abs();
    if size < 30.0 {
        return first(x, order) * (-size).exp();
    }
    let square = f64::from(4 * order * order);
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..60 {
        let odd = f64::from(2 * k - 1);
        let next = term * (odd * odd - square) / (f64::from(8 * k) * size);
        if next.abs() < f64::EPSILON / 16.0 || next.abs() > f64::abs(term) {
            break;
        }
        term = next;
        sum += term;
    }
    let y = sum / (2.0 * PI * size).sqrt();
    if order == 1 && x < 0.0 { -y } else { y }
}

/// `eˣ` times the modified function of the second kind of order 0 or 1: `∫ exp(−x · (cosh t − 1)) · cosh(order · t)` from 0 on, whose
/// sum of equidistant terms is exact. NaN for negative numbers, where it is not real.
pub(super) fn second_scaled(x: f64, order: i32) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return if x == 0.0 { f64::INFINITY } else { 0.0 };
    }
    let step = (0.5 / x.sqrt()).min(0.1);
    let mut sum = 0.5;
    for k in 1..20_000 {
        let t = f64::from(k) * step;
        let half = (t / 2.0).sinh();
        let less = 2.0 * x * half * half;
        if less > 800.0 {
            break;
        }
        sum += (-less).exp() * if order == 0 { 1.0 } else { t.cosh() };
    }
    sum * step
}

/// The modified function of the second kind of order 0 or 1.
pub(super) fn second(x: f64, order: i32) -> f64 {
    if x.is_infinite() && x > 0.0 { 0.0 } else { second_scaled(x, order) * (-x).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and what SciPy gives for them.
    type Values = &'static [(f64, f64)];

    fn check(f: fn(f64, i32) -> f64, order: i32, values: Values) {
        for &(x, want) in values {
            let got = f(x, order);
            assert!((got - want).abs() <= 1e-13 * want.abs(), "order {order} of {x}: {got}, not {want}");
        }
    }

    #[test]
    fn values_are_those_of_others() {
        check(first_scaled, 0, &[(1e-5, 0.9999900000749992), (2.5, 0.27004644161220276), (29.5, 0.07376861727872859)]);
        check(
            first_scaled,
            0,
            &[(35.0, 0.06767837835041363), (1e8, 3.989422809001105e-05), (-1e3, 0.012617240455891257)],
        );
        check(
            first_scaled,
            1,
            &[(1e-5, 4.999950000312498e-06), (-2.5, -0.20658464953126654), (29.5, 0.07250732615718372)],
        );
        check(
            first_scaled,
            1,
            &[(35.0, 0.06670443172949143), (1e8, 3.989422789053991e-05), (-1e3, -0.01261093025692863)],
        );
        check(second, 0, &[(1e-300, 690.8914594138721), (0.3, 1.3724600605442983), (29.5, 3.545288867986941e-14)]);
        check(second, 1, &[(1e-5, 99999.9999393557), (1.0, 0.6019072301972346), (35.0, 1.3499178340011056e-16)]);
        check(
            second_scaled,
            0,
            &[(2.5, 0.7595486903280996), (700.0, 0.04736236945461357), (1e8, 0.00012533141357488577)],
        );
        check(
            second_scaled,
            1,
            &[(2.5, 0.9001744239078779), (700.0, 0.04739618765349455), (1e8, 0.00012533141420154284)],
        );
    }

    #[test]
    fn ends_are_limits() {
        assert_eq!((first_scaled(f64::INFINITY, 0), first_scaled(f64::NEG_INFINITY, 1)), (0.0, -0.0));
        assert_eq!((second(0.0, 0), second(f64::INFINITY, 1)), (f64::INFINITY, 0.0));
        assert!(
            second(-1.0, 0).is_nan() && second(f64::NEG_INFINITY, 1).is_nan() && first_scaled(f64::NAN, 0).is_nan()
        );
    }
}
