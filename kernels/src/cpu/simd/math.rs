//! Functions of vectors.

use super::Simd;

/// eˣ, within 1 unit in the last place where that is not denormal. Infinite and NaN operands give what `f32::exp` gives.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // eˣ = 2ⁿ · eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let p = s.splat(1.987_569_1e-4);
    let p = s.fma(p, r, s.splat(1.398_2e-3));
    let p = s.fma(p, r, s.splat(8.333_452e-3));
    let p = s.fma(p, r, s.splat(4.166_579_6e-2));
    let p = s.fma(p, r, s.splat(1.666_666_5e-1));
    let p = s.fma(p, r, s.splat(0.5));
    let p = s.fma(p, s.mul(r, r), s.add(r, s.splat(1.0)));
    // Two factors, because 2ⁿ itself need not be a normal number.
    let n = s.to_int(n);
    let half = s.shr::<1>(n);
    s.mul(s.mul(p, power_of_two(s, half)), power_of_two(s, s.sub_i(n, half)))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
pub fn power_of_two<S: Simd>(s: S, n: S::I) -> S::F {
    s.from_bits(s.shl::<23>(s.add_i(n, s.splat_i(127))))
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.neg(x))))
}

#[cfg(test)]
mod tests {
    use super::super::Kernel;
    use super::*;
    use crate::cpu::Isa;

    struct Exp<'a>(&'a mut [f32]);
    impl Kernel for Exp<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for i in (0..self.0.len()).step_by(S::LANES) {
                let v = exp(s, s.get_tail(self.0, i));
                s.put_tail(self.0, i, v);
            }
        }
    }

    #[test]
    fn exp_is_accurate() {
        let mut bad = Vec::new();
        let xs: Vec<f32> = (-110_000..95_000).map(|i| i as f32 * 1e-3 + 3e-5).collect();
        for isa in Isa::all() {
            let mut got = xs.clone();
            isa.run(Exp(&mut got));
            for (&x, &y) in xs.iter().zip(&got) {
                let want = f64::from(x).exp();
                let tolerance = (want * 1.5e-7).max(1.5e-45);
                if (f64::from(y) - want).abs() > tolerance && want < f64::from(f32::MAX) {
                    bad.push(format!("{isa}: exp({x}) = {y}, expected {want}"));
                }
            }
            let mut odd = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 200.0];
            isa.run(Exp(&mut odd));
            if !(odd[0] == f32::INFINITY && odd[1] == 0.0 && odd[2].is_nan() && odd[3] == 1.0 && odd[4] == odd[0]) {
                bad.push(format!("{isa}: {odd:?}"));
            }
        }
        assert!(bad.is_empty(), "{} failures\n{}", bad.len(), bad[..bad.len().min(10)].join("\n"));
    }
}
