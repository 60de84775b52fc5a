//! Vectors of `f32`, written once for every instruction set.
//!
//! A kernel is a [`Kernel`]: plain code over a token `S: Simd`, marked `#[inline(always)]` down to the last function so
//! that [`Isa::run`](super::Isa::run) can compile it with the instructions enabled. A token is a capability: it exists only
//! where its instructions do, which is why its register operations are safe.
//!
//! Helpers that take a token must be `#[inline(always)]` too; a function that is not inlined is compiled without the
//! instructions and is correct but slow.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use mindir_graph::bounds;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod double;
pub mod math;
pub mod portable;

/// Work that is compiled once for every instruction set.
pub trait Kernel {
    /// What it returns.
    type Out;

    /// The work. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Vectors of [`Simd::LANES`] `f32` and `i32`, and masks with one truth value per lane.
///
/// `max`, `min` and comparisons with NaN follow x86: `max(a, b)` is `b` unless `a > b`, `min(a, b)` is `b` unless `a < b`,
/// comparisons are false.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Vector of `f32`.
    type F: Copy;
    /// Vector of `i32`.
    type I: Copy;
    /// One truth value per lane.
    type M: Copy;
    /// Number of lanes; at most [`MAX_LANES`].
    const LANES: usize;

    /// The token without a check.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn assume() -> Self;

    /// Runs `f` compiled with the instructions of this token; `f` must be inlinable.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// `LANES` elements at `p`, which need not be aligned.
    ///
    /// # Safety
    /// `p` is readable for `LANES` elements.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// The first `n` elements at `p`, then zeros; `n` may exceed `LANES`.
    ///
    /// # Safety
    /// `p` is readable for `min(n, LANES)` elements.
    unsafe fn load_n(self, p: *const f32, n: usize) -> Self::F;
    /// Stores `LANES` elements at `p`, which need not be aligned.
    ///
    /// # Safety
    /// `p` is writable for `LANES` elements.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// Stores the first `n` elements at `p`; `n` may exceed `LANES`.
    ///
    /// # Safety
    /// `p` is writable for `min(n, LANES)` elements.
    unsafe fn store_n(self, p: *mut f32, v: Self::F, n: usize);

    /// a + b.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c, rounded once where the instruction set can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a · b + c of single numbers, rounded once where the instruction set can.
    #[inline(always)]
    fn fma64(self, a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
    /// Larger; `b` if either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// Smaller; `b` if either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// √a.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// Nearest integer, halves to even.
    fn round(self, a: Self::F) -> Self::F;
    /// Largest integer not above.
    fn floor(self, a: Self::F) -> Self::F;
    /// Smallest integer not below.
    fn ceil(self, a: Self::F) -> Self::F;
    /// Toward zero.
    fn trunc(self, a: Self::F) -> Self::F;

    /// a < b.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// a ≤ b.
    fn le(self, a: Self::F, b: Self::F) -> Self::M;
    /// a = b.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// Lanes of `a` where the mask is true, else of `b`.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// Both true.
    fn and_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// Either true.
    fn or_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// Not true.
    fn not_m(self, a: Self::M) -> Self::M;
    /// Whether any lane is true.
    fn any(self, m: Self::M) -> bool;

    /// `x` in every lane.
    fn splat_i(self, x: i32) -> Self::I;
    /// `LANES` elements at `p`, which need not be aligned.
    ///
    /// # Safety
    /// `p` is readable for `LANES` elements.
    unsafe fn load_i(self, p: *const i32) -> Self::I;
    /// Stores `LANES` elements at `p`, which need not be aligned.
    ///
    /// # Safety
    /// `p` is writable for `LANES` elements.
    unsafe fn store_i(self, p: *mut i32, v: Self::I);
    /// a + b, wrapping.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// a − b, wrapping.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// a · b, wrapping.
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left; `N` below 32.
    fn shl<const N: u32>(self, a: Self::I) -> Self::I;
    /// Shift right, keeping the sign; `N` below 32.
    fn shr<const N: u32>(self, a: Self::I) -> Self::I;
    /// a > b, signed.
    fn gt_i(self, a: Self::I, b: Self::I) -> Self::M;
    /// a = b.
    fn eq_i(self, a: Self::I, b: Self::I) -> Self::M;
    /// Lanes of `a` where the mask is true, else of `b`.
    fn select_i(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I;
    /// Nearest `i32`, halves to even; unspecified out of range.
    fn to_int(self, a: Self::F) -> Self::I;
    /// The integers as `f32`, rounded to nearest.
    fn to_float(self, a: Self::I) -> Self::F;
    /// The bits of the floats.
    fn bits(self, a: Self::F) -> Self::I;
    /// The floats with these bits.
    // `self` is the instruction set, not the value that is converted.
    #[allow(clippy::wrong_self_convention)]
    fn from_bits(self, a: Self::I) -> Self::F;

    /// Σ of all lanes, in a fixed order.
    fn reduce_sum(self, a: Self::F) -> f32;
    /// Largest lane; NaN lanes may be ignored.
    fn reduce_max(self, a: Self::F) -> f32;
    /// Smallest lane; NaN lanes may be ignored.
    fn reduce_min(self, a: Self::F) -> f32;

    /// Transposes 8 × 8 elements: element `(i, j)` goes from `i + j · from_step` to `i · to_step + j`.
    ///
    /// # Safety
    /// All of them are readable and writable, and do not overlap.
    #[inline(always)]
    unsafe fn transpose_8x8(self, from: *const f32, from_step: isize, to: *mut f32, to_step: isize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: the caller's.
                unsafe { to.offset(i * to_step + j).write(from.offset(i + j * from_step).read()) };
            }
        }
    }

    /// As [`Simd::transpose_8x8`], of elements of 16 bits.
    ///
    /// # Safety
    /// As [`Simd::transpose_8x8`].
    #[inline(always)]
    unsafe fn transpose_8x8_u16(self, from: *const u16, from_step: isize, to: *mut u16, to_step: isize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: the caller's.
                unsafe { to.offset(i * to_step + j).write(from.offset(i + j * from_step).read()) };
            }
        }
    }

    /// Converts as many elements as both have.
    #[inline(always)]
    fn widen_f16(self, from: &[f16], to: &mut [f32]) {
        let n = from.len().min(to.len());
        from[..n].convert_to_f32_slice(&mut to[..n]);
    }

    /// Rounds as many elements as both have to nearest, halves to even.
    #[inline(always)]
    fn narrow_f16(self, from: &[f32], to: &mut [f16]) {
        let n = from.len().min(to.len());
        to[..n].convert_from_f32_slice(&from[..n]);
    }

    /// Lane `lanes[l]` of `a` in every lane `l`.
    #[inline(always)]
    fn permute(self, a: Self::F, lanes: Self::I) -> Self::F {
        let (mut from, mut to, mut places) = ([0.0; MAX_LANES], [0.0; MAX_LANES], [0; MAX_LANES]);
        self.put(&mut from, 0, a);
        // SAFETY: a vector has `MAX_LANES` lanes at most.
        unsafe { self.store_i(places.as_mut_ptr(), lanes) };
        for (to, place) in to.iter_mut().zip(places) {
            *to = from[place as usize % MAX_LANES];
        }
        self.get(&to, 0)
    }

    /// The elements of the list at `p` whose places are in `at`.
    ///
    /// # Safety
    /// Each of them is readable.
    #[inline(always)]
    unsafe fn gather(self, p: *const f32, at: Self::I) -> Self::F {
        let (mut places, mut to) = ([0; MAX_LANES], [0.0; MAX_LANES]);
        // SAFETY: a vector has `MAX_LANES` lanes at most.
        unsafe { self.store_i(places.as_mut_ptr(), at) };
        for (to, place) in to.iter_mut().zip(places).take(Self::LANES) {
            // SAFETY: the caller's.
            *to = unsafe { *p.offset(place as isize) };
        }
        self.get(&to, 0)
    }

    /// p · 2ⁿ for integers −252 ≤ n ≤ 254.
    #[inline(always)]
    fn scale(self, p: Self::F, n: Self::F) -> Self::F {
        // In two factors, because 2ⁿ itself need not be a normal number.
        let n = self.to_int(n);
        let half = self.shr::<1>(n);
        let bias = self.splat_i(127);
        let (low, high) = (self.add_i(half, bias), self.add_i(self.sub_i(n, half), bias));
        let p = self.mul(p, self.from_bits(self.shl::<23>(low)));
        self.mul(p, self.from_bits(self.shl::<23>(high)))
    }

    /// 0 in every lane.
    #[inline(always)]
    fn zero(self) -> Self::F {
        self.splat(0.0)
    }
    /// |a|.
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.from_bits(self.and_i(self.bits(a), self.splat_i(0x7fff_ffff)))
    }
    /// −a.
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.from_bits(self.xor_i(self.bits(a), self.splat_i(i32::MIN)))
    }
    /// `a` with the sign of `b`.
    #[inline(always)]
    fn copysign(self, a: Self::F, b: Self::F) -> Self::F {
        let sign = self.and_i(self.bits(b), self.splat_i(i32::MIN));
        let magnitude = self.and_i(self.bits(a), self.splat_i(i32::MAX));
        self.from_bits(self.or_i(magnitude, sign))
    }
    /// Whether a lane is NaN.
    #[inline(always)]
    fn is_nan(self, a: Self::F) -> Self::M {
        self.not_m(self.eq(a, a))
    }
    /// `LANES` elements of `x` from `at`.
    #[inline(always)]
    fn get(self, x: &[f32], at: usize) -> Self::F {
        let x = &x[at..at + Self::LANES];
        // SAFETY: `x` holds `LANES` elements.
        unsafe { self.load(x.as_ptr()) }
    }
    /// The elements of `x` from `at`, at most `LANES`, then zeros.
    #[inline(always)]
    fn get_tail(self, x: &[f32], at: usize) -> Self::F {
        let x = &x[at..];
        // SAFETY: `x` holds its length.
        unsafe { self.load_n(x.as_ptr(), x.len()) }
    }
    /// Stores `LANES` elements to `x` from `at`.
    #[inline(always)]
    fn put(self, x: &mut [f32], at: usize, v: Self::F) {
        let x = &mut x[at..at + Self::LANES];
        // SAFETY: `x` holds `LANES` elements.
        unsafe { self.store(x.as_mut_ptr(), v) }
    }
    /// Stores to the elements of `x` from `at`, at most `LANES`.
    #[inline(always)]
    fn put_tail(self, x: &mut [f32], at: usize, v: Self::F) {
        let x = &mut x[at..];
        // SAFETY: `x` holds its length.
        unsafe { self.store_n(x.as_mut_ptr(), v, x.len()) }
    }
}

/// As [`Simd::load_n`], but faster for whole vectors.
///
/// # Safety
/// As [`Simd::load_n`].
#[inline(always)]
pub unsafe fn load_part<S: Simd>(s: S, p: *const f32, n: usize) -> S::F {
    // SAFETY: the caller's.
    unsafe { if n >= S::LANES { s.load(p) } else { s.load_n(p, n) } }
}

/// As [`Simd::store_n`], but faster for whole vectors.
///
/// # Safety
/// As [`Simd::store_n`].
#[inline(always)]
pub unsafe fn store_part<S: Simd>(s: S, p: *mut f32, v: S::F, n: usize) {
    // SAFETY: the caller's.
    unsafe { if n >= S::LANES { s.store(p, v) } else { s.store_n(p, v, n) } }
}

/// Steps of a loop between two questions whether to go on.
const PIECE: usize = 1 << 20;

/// The steps of a long loop, some at a time; none are left once the thread must [stop](bounds::check).
#[inline(always)]
pub fn pieces(steps: usize) -> impl Iterator<Item = Range<usize>> {
    let goes_on = |at: &usize| *at == 0 || bounds::check().is_ok();
    (0..steps).step_by(PIECE).take_while(goes_on).map(move |at| at..steps.min(at + PIECE))
}

/// Folds the whole vectors of `x` into one: four side by side, then those. `f` is `#[inline(always)]`. What it gives once the
/// thread must stop means nothing.
#[inline(always)]
pub fn fold_vectors<S: Simd>(
    s: S,
    x: &[f32],
    start: S::F,
    f: impl Fn(S::F, S::F) -> S::F,
    join: impl Fn(S::F, S::F) -> S::F,
) -> S::F {
    let mut acc = [start; 4];
    let mut i = x.len() - x.len() % (4 * S::LANES);
    for piece in pieces(i) {
        for i in piece.step_by(4 * S::LANES) {
            for (v, a) in acc.iter_mut().enumerate() {
                *a = f(*a, s.get(x, i + v * S::LANES));
            }
        }
    }
    while i + S::LANES <= x.len() {
        acc[0] = f(acc[0], s.get(x, i));
        i += S::LANES;
    }
    join(join(acc[0], acc[1]), join(acc[2], acc[3]))
}

/// Largest [`Simd::LANES`] of any token.
pub const MAX_LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::Isa;
    use super::*;

    struct Basics;
    impl Kernel for Basics {
        type Out = Vec<String>;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<String> {
            let mut bad = Vec::new();
            let a: Vec<f32> = (0..S::LANES).map(|i| i as f32 * 1.5 - 4.0).collect();
            let b: Vec<f32> = (0..S::LANES).map(|i| 3.0 - i as f32).collect();
            let (va, vb) = (s.get(&a, 0), s.get(&b, 0));
            let mut check = |name: &str, got: S::F, want: &dyn Fn(f32, f32) -> f32| {
                let mut out = vec![0.0; S::LANES];
                s.put(&mut out, 0, got);
                let want: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| want(a, b)).collect();
                if out != want {
                    bad.push(format!("{name}: {out:?}, expected {want:?}"));
                }
            };
            check("add", s.add(va, vb), &|a, b| a + b);
            check("sub", s.sub(va, vb), &|a, b| a - b);
            check("mul", s.mul(va, vb), &|a, b| a * b);
            check("div", s.div(va, s.splat(2.0)), &|a, _| a / 2.0);
            check("fma", s.fma(va, vb, va), &|a, b| a * b + a);
            check("max", s.max(va, vb), &f32::max);
            check("min", s.min(va, vb), &f32::min);
            check("sqrt", s.sqrt(s.abs(va)), &|a, _| a.abs().sqrt());
            check("round", s.round(va), &|a, _| a.round_ties_even());
            check("floor", s.floor(va), &|a, _| a.floor());
            check("ceil", s.ceil(va), &|a, _| a.ceil());
            check("trunc", s.trunc(va), &|a, _| a.trunc());
            check("neg", s.neg(va), &|a, _| -a);
            check("copysign", s.copysign(va, vb), &f32::copysign);
            check("lt", s.select(s.lt(va, vb), va, vb), &|a, b| if a < b { a } else { b });
            check("le", s.select(s.not_m(s.le(va, vb)), va, vb), &|a, b| if a > b { a } else { b });
            let both = s.and_m(s.lt(va, vb), s.lt(va, s.zero()));
            check("and", s.select(both, va, vb), &|a, b| if a < b && a < 0.0 { a } else { b });
            let either = s.or_m(s.eq(va, vb), s.lt(vb, s.zero()));
            check("or", s.select(either, va, vb), &|a, b| if a == b || b < 0.0 { a } else { b });
            check("to_int", s.to_float(s.to_int(va)), &|a, _| a.round_ties_even());
            let i = s.to_int(vb);
            check("shl", s.to_float(s.shl::<3>(i)), &|_, b| b * 8.0);
            check("shr", s.to_float(s.shr::<1>(i)), &|_, b| (b / 2.0).floor());
            check("mul_i", s.to_float(s.mul_i(i, s.sub_i(i, s.splat_i(1)))), &|_, b| b * (b - 1.0));
            check("gt_i", s.select(s.gt_i(i, s.splat_i(0)), va, vb), &|a, b| if b > 0.0 { a } else { b });
            let nan = s.splat(f32::NAN);
            check("max nan", s.max(nan, va), &|a, _| a);
            check("select nan", s.select(s.is_nan(nan), va, vb), &|a, _| a);
            for n in 0..=S::LANES + 1 {
                let mut out = vec![7.0; S::LANES];
                // SAFETY: both hold `LANES` elements.
                unsafe { s.store_n(out.as_mut_ptr(), s.load_n(a.as_ptr(), n), S::LANES) };
                let want: Vec<f32> = (0..S::LANES).map(|i| if i < n { a[i] } else { 0.0 }).collect();
                let mut part = vec![7.0; S::LANES];
                // SAFETY: both hold `LANES` elements.
                unsafe { s.store_n(part.as_mut_ptr(), s.load(a.as_ptr()), n) };
                let want_part: Vec<f32> = (0..S::LANES).map(|i| if i < n { a[i] } else { 7.0 }).collect();
                if out != want || part != want_part {
                    bad.push(format!("partial {n}: {out:?} {part:?}"));
                }
            }
            let sums = (s.reduce_sum(va), s.reduce_max(va), s.reduce_min(va));
            let want = (a.iter().sum::<f32>(), a[S::LANES - 1], a[0]);
            if sums != want {
                bad.push(format!("reductions: {sums:?}, expected {want:?}"));
            }
            bad
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let mut bad = Vec::new();
        for isa in Isa::all() {
            bad.extend(isa.run(Basics).into_iter().map(|b| format!("{isa}: {b}")));
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }

    #[test]
    fn long_loops_end_when_the_thread_must_stop() {
        use mindir_graph::bounds::{Bounds, CancelToken, Halt};
        let all = |n: usize| pieces(n).flatten().count();
        assert_eq!([0, 1, PIECE, 3 * PIECE + 5].map(all), [0, 1, PIECE, 3 * PIECE + 5]);
        let token = CancelToken::new();
        token.cancel();
        let bounds = Bounds { halt: Halt::new(Some(token), None), ..Bounds::default() };
        assert_eq!(bounds.enter(|| [5, 3 * PIECE].map(all)), [5, PIECE]);
    }
}
