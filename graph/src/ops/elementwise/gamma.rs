//! The incomplete functions of the gamma family, Hurwitz's zeta function, and what follows from them.

use std::f64::consts::PI;

use super::special::digamma;

/// Most terms of a series or fraction.
const TERMS: u32 = 100_000;

/// From here on the incomplete gamma functions are computed by their expansion for large `a`, whose error is below 1e-9.
const LARGE: f64 = 1e6;

/// `ln(1 + x) − x`.
fn log1p_less(x: f64) -> f64 {
    if x.abs() > 0.3 {
        return x.ln_1p() - x;
    }
    let (mut power, mut sum) = (-x, 0.0);
    for k in 2..60 {
        power *= -x;
        sum -= power / f64::from(k);
    }
    sum
}

/// `ln Γ(a)` less Stirling's `(a − ½) ln a − a + ½ ln 2π`, for `a` of at least 10.
fn stirling_rest(a: f64) -> f64 {
    let t = 1.0 / (a * a);
    let series = 1.0 / 12.0 - t * (1.0 / 360.0 - t * (1.0 / 1260.0 - t * (1.0 / 1680.0 - t * (1.0 / 1188.0))));
    series / a
}

/// `xᵃ e⁻ˣ / Γ(a)`.
fn power_over_gamma(a: f64, x: f64) -> f64 {
    if a < 10.0 {
        return (a * x.ln() - x - libm::lgamma(a)).exp();
    }
    (a * log1p_less((x - a) / a) - stirling_rest(a)).exp() * (a / (2.0 * PI)).sqrt()
}

/// The regularized incomplete gamma functions, lower and upper.
fn gammas(a: f64, x: f64) -> (f64, f64) {
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 || (a == 0.0 && x == 0.0) || (a.is_infinite() && x.is_infinite())
    {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 || a.is_infinite() {
        return (0.0, 1.0);
    }
    if a == 0.0 || x.is_infinite() {
        return (1.0, 0.0);
    }
    if a > LARGE {
        return of_large(a, x);
    }
    if x < a + 1.0 {
        let lower = lower_series(a, x);
        (lower, 1.0 - lower)
    } else {
        let upper = upper_fraction(a, x);
        (1.0 - upper, upper)
    }
}

fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for k in 1..TERMS {
        term *= x / (a + f64::from(k));
        sum += term;
        if term < sum * f64::EPSILON / 4.0 {
            break;
        }
    }
    sum * power_over_gamma(a, x)
}

/// What keeps fractions from a division by 0.
const TINY: f64 = 1e-300;

fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut y = d;
    for k in 1..TERMS {
        let k = f64::from(k);
        let numerator = -k * (k - a);
        b += 2.0;
        d = 1.0 / away(numerator * d + b);
        c = away(b + numerator / c);
        y *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    y * power_over_gamma(a, x)
}

fn away(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

/// By the error function of a distance between `x` and `a`.
fn of_large(a: f64, x: f64) -> (f64, f64) {
    let mu = (x - a) / a;
    let eta = (-2.0 * log1p_less(mu)).sqrt().copysign(mu);
    let near = mu.abs() < 1e-4;
    let first = if near { -1.0 / 3.0 + mu / 12.0 } else { 1.0 / mu - 1.0 / eta };
    let rest = (-0.5 * a * eta * eta).exp() / (2.0 * PI * a).sqrt() * first;
    let at = eta * (a / 2.0).sqrt();
    (0.5 * libm::erfc(-at) - rest, 0.5 * libm::erfc(at) + rest)
}

/// The regularized lower incomplete gamma function.
pub(super) fn igamma(a: f64, x: f64) -> f64 {
    gammas(a, x).0
}

/// The regularized upper incomplete gamma function.
pub(super) fn igammac(a: f64, x: f64) -> f64 {
    gammas(a, x).1
}

/// The regularized incomplete beta function.
pub(super) fn betainc(a: f64, b: f64, x: f64) -> f64 {
    let inside = a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && (0.0..=1.0).contains(&x);
    if !inside {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    if x > (a + 1.0) / (a + b + 2.0) { 1.0 - beta_fraction(b, a, 1.0 - x) } else { beta_fraction(a, b, x) }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let factor = (libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut y = d;
    for k in 1..TERMS {
        let k = f64::from(k);
        let even = k * (b - k) * x / ((a + 2.0 * k - 1.0) * (a + 2.0 * k));
        let odd = -(a + k) * (a + b + k) * x / ((a + 2.0 * k) * (a + 2.0 * k + 1.0));
        let mut last = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / away(1.0 + numerator * d);
            c = away(1.0 + numerator / c);
            last = c * d;
            y *= last;
        }
        if (last - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    factor * y
}

/// Hurwitz's `Σ (q + k)⁻ˣ`.
pub(super) fn zeta(x: f64, q: f64) -> f64 {
    if x.is_nan() || q.is_nan() || x < 1.0 {
        return f64::NAN;
    }
    if x == 1.0 {
        return f64::INFINITY;
    }
    if q > 0.0 {
        return zeta_above(x, q);
    }
    if q == q.floor() {
        return f64::INFINITY;
    }
    if x != x.floor() {
        return f64::NAN;
    }
    // Terms of negative numbers are those of their magnitudes, from the one next to 0 to `q`.
    let next = q - q.floor();
    let negative = zeta_above(x, 1.0 - next) - zeta_above(x, 1.0 - q);
    zeta_above(x, next) + if x % 2.0 == 0.0 { negative } else { -negative }
}

/// By its first terms and Euler's and Maclaurin's sum of the others.
fn zeta_above(x: f64, q: f64) -> f64 {
    /// `B₂ₖ / (2k)!`.
    const FACTORS: [f64; 12] = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30_240.0,
        -1.0 / 1_209_600.0,
        1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0,
        1.0 / 74_724_249_600.0,
        -3_617.0 / 10_670_622_842_880_000.0,
        43_867.0 / 5_109_094_217_170_944_000.0,
        -174_611.0 / 802_857_662_698_291_200_000.0,
        77_683.0 / 14_101_100_039_391_805_440_000.0,
        -236_364_091.0 / 1_693_824_136_731_743_669_452_800_000.0,
    ];
    let (mut a, mut sum, mut taken) = (q, 0.0, 0);
    while taken < 10 || a < 10.0 {
        let term = a.powf(-x);
        sum += term;
        (a, taken) = (a + 1.0, taken + 1);
        if term <= sum * f64::EPSILON / 16.0 {
            return sum;
        }
    }
    let power = a.powf(-x);
    sum += power * a / (x - 1.0) + 0.5 * power;
    let mut term = power * x / a;
    for (k, factor) in FACTORS.iter().enumerate() {
        sum += factor * term;
        let k = 2.0 * k as f64;
        term *= (x + k + 1.0) * (x + k + 2.0) / (a * a);
    }
    sum
}

/// Derivative number `n` of the digamma function.
pub(super) fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if n < 0.0 || n != n.floor() {
        return f64::NAN;
    }
    let size = if n <= 170.0 {
        libm::tgamma(n + 1.0) * zeta(n + 1.0, x)
    } else {
        let zeta = zeta(n + 1.0, x);
        (libm::lgamma(n + 1.0) + zeta.abs().ln()).exp().copysign(zeta)
    };
    if n % 2.0 == 0.0 { -size } else { size }
}

/// The logarithm of the gamma function of `p` dimensions.
pub(super) fn multigamma(x: f64, p: i64) -> f64 {
    let sum: f64 = (0..p).map(|j| libm::lgamma(x - 0.5 * j as f64)).sum();
    sum + 0.25 * (p as f64) * (p as f64 - 1.0) * PI.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(what: &str, got: f64, want: f64, allowed: f64) {
        assert!((got - want).abs() <= allowed * want.abs(), "{what}: {got}, not {want}");
    }

    /// The numbers are SciPy's.
    #[test]
    fn values_are_those_of_others() {
        for (a, x, lower, upper, allowed) in [
            (0.5, 0.3, 0.5614219739190003, 0.4385780260809997, 1e-14),
            (2.5, 7.0, 0.9843905838997331, 0.01560941610026691, 1e-13),
            (10.0, 10.0, 0.5420702855281478, 0.4579297144718523, 1e-13),
            (30.0, 20.0, 0.021818217525557418, 0.9781817824744425, 1e-13),
            (1e-3, 1e-5, 0.9891230446957835, 0.010876955304217334, 1e-13),
            (100.0, 130.0, 0.9972495916326934, 0.002750408367306518, 1e-12),
            (1e5, 1e5 + 100.0, 0.6244451307044055, 0.3755548692955945, 1e-11),
            (1e8, 1e8 - 1e4, 0.15865525352814386, 0.8413447464718561, 1e-9),
            (1e8, 1e8, 0.5000132980760141, 0.49998670192398587, 1e-9),
            (0.2, 40.0, 1.0, 4.7454722107635594e-20, 1e-13),
        ] {
            close(&format!("lower gamma of {a} to {x}"), igamma(a, x), lower, allowed);
            close(&format!("upper gamma of {a} from {x}"), igammac(a, x), upper, allowed);
        }
        for (a, b, x, want) in [
            (0.5, 0.5, 0.3, 0.36901011956554536),
            (2.0, 3.0, 0.9, 0.9963),
            (3.0, 0.2, 0.1, 9.369235697050239e-05),
            (50.0, 60.0, 0.4, 0.12470685834310022),
            (1e-3, 2.0, 0.5, 0.9998067465369478),
            (1000.0, 2000.0, 0.34, 0.7812150911606441),
        ] {
            close(&format!("beta of {a} and {b} to {x}"), betainc(a, b, x), want, 1e-12);
        }
        for (x, q, want) in [
            (2.0, 1.0, 1.6449340668482266),
            (1.5, 2.0, 1.6123753486854886),
            (3.0, 0.1, 1000.9307286891719),
            (2.0, -2.5, 9.539246644989124),
            (3.0, -1e6 - 0.25, -62.01255336059913),
            (200.0, 10.0, 1.0000000052657833e-200),
            (1.0001, 5.0, 9998.493995543717),
            (5.0, 1e10, 2.5000000005e-41),
        ] {
            close(&format!("zeta of {x} from {q}"), zeta(x, q), want, 1e-12);
        }
        for (n, x, want) in [
            (0.0, 0.5, -1.9635100260214235),
            (1.0, -0.5, 8.934802200544679),
            (2.0, 7.5, -0.02030525253664467),
            (5.0, -2.5, 15382.140048026307),
            (20.0, 30.0, -4.786085204571764e-13),
        ] {
            close(&format!("derivative {n} of digamma of {x}"), polygamma(n, x), want, 1e-12);
        }
        close("gamma of five dimensions", multigamma(3.5, 5), 7.7816708449916945, 1e-13);
    }

    #[test]
    fn ends_are_limits() {
        let inf = f64::INFINITY;
        assert_eq!((igamma(0.0, 1.0), igammac(1.0, inf), igamma(inf, 1.0)), (1.0, 0.0, 0.0));
        assert!(igamma(0.0, 0.0).is_nan() && igamma(inf, inf).is_nan() && igammac(-1.0, 1.0).is_nan());
        assert_eq!((betainc(2.0, 2.0, 0.0), betainc(2.0, 2.0, 1.0)), (0.0, 1.0));
        assert!(betainc(0.0, 1.0, 0.5).is_nan() && betainc(1.0, 1.0, 1.5).is_nan());
        assert_eq!((zeta(1.0, 2.0), zeta(2.0, -3.0), zeta(inf, 2.0)), (inf, inf, 0.0));
        assert!(zeta(0.5, 1.0).is_nan() && zeta(1.5, -0.5).is_nan() && polygamma(-1.0, 1.0).is_nan());
    }
}
