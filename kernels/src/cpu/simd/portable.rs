//! Vectors as arrays, for processors without a module of their own and for tests of other widths.

use super::Simd;

/// `N` lanes as an array; the compiler vectorises what it can.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable<const N: usize>;

/// Multiply and add; rounded once only where that is an instruction.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

macro_rules! lanes {
    ($i:ident => $e:expr) => {
        std::array::from_fn(
            #[inline(always)]
            |$i| $e,
        )
    };
}

/// Folds pairs of lanes at the same distance, as vector instructions do.
#[inline(always)]
fn fold<const N: usize>(mut a: [f32; N], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            a[i] = f(a[i], a[i + half]);
        }
        half /= 2;
    }
    a[0]
}

impl<const N: usize> Simd for Portable<N> {
    type F = [f32; N];
    type I = [i32; N];
    type M = [bool; N];
    const LANES: usize = N;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Portable
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [f32; N] {
        // SAFETY: the caller's; an array of `f32` has the alignment of `f32`.
        unsafe { p.cast::<[f32; N]>().read() }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> [f32; N] {
        let mut v = [0.0; N];
        for (i, v) in v.iter_mut().enumerate().take(n) {
            // SAFETY: `i` is below both `n` and `N`.
            *v = unsafe { p.add(i).read() };
        }
        v
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: [f32; N]) {
        // SAFETY: the caller's; an array of `f32` has the alignment of `f32`.
        unsafe { p.cast::<[f32; N]>().write(v) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: [f32; N], n: usize) {
        for (i, v) in v.into_iter().enumerate().take(n) {
            // SAFETY: `i` is below both `n` and `N`.
            unsafe { p.add(i).write(v) };
        }
    }

    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        lanes!(i => mul_add(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn sqrt(self, a: [f32; N]) -> [f32; N] {
        lanes!(i => a[i].sqrt())
    }
    #[inline(always)]
    fn round(self, a: [f32; N]) -> [f32; N] {
        lanes!(i => a[i].round_ties_even())
    }
    #[inline(always)]
    fn floor(self, a: [f32; N]) -> [f32; N] {
        lanes!(i => a[i].floor())
    }
    #[inline(always)]
    fn ceil(self, a: [f32; N]) -> [f32; N] {
        lanes!(i => a[i].ceil())
    }
    #[inline(always)]
    fn trunc(self, a: [f32; N]) -> [f32; N] {
        lanes!(i => a[i].trunc())
    }

    #[inline(always)]
    fn lt(self, a: [f32; N], b: [f32; N]) -> [bool; N] {
        lanes!(i => a[i] < b[i])
    }
    #[inline(always)]
    fn le(self, a: [f32; N], b: [f32; N]) -> [bool; N] {
        lanes!(i => a[i] <= b[i])
    }
    #[inline(always)]
    fn eq(self, a: [f32; N], b: [f32; N]) -> [bool; N] {
        lanes!(i => a[i] == b[i])
    }
    #[inline(always)]
    fn select(self, m: [bool; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(i => if m[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn and_m(self, a: [bool; N], b: [bool; N]) -> [bool; N] {
        lanes!(i => a[i] & b[i])
    }
    #[inline(always)]
    fn or_m(self, a: [bool; N], b: [bool; N]) -> [bool; N] {
        lanes!(i => a[i] | b[i])
    }
    #[inline(always)]
    fn not_m(self, a: [bool; N]) -> [bool; N] {
        lanes!(i => !a[i])
    }
    #[inline(always)]
    fn any(self, m: [bool; N]) -> bool {
        m.contains(&true)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> [i32; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const i32) -> [i32; N] {
        // SAFETY: the caller's; an array of `i32` has the alignment of `i32`.
        unsafe { p.cast::<[i32; N]>().read() }
    }
    #[inline(always)]
    unsafe fn store_i(self, p: *mut i32, v: [i32; N]) {
        // SAFETY: the caller's; an array of `i32` has the alignment of `i32`.
        unsafe { p.cast::<[i32; N]>().write(v) }
    }
    #[inline(always)]
    fn add_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn sub_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i].wrapping_sub(b[i]))
    }
    #[inline(always)]
    fn mul_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn and_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i] & b[i])
    }
    #[inline(always)]
    fn or_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i] | b[i])
    }
    #[inline(always)]
    fn xor_i(self, a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => a[i] ^ b[i])
    }
    #[inline(always)]
    fn shl<const S: u32>(self, a: [i32; N]) -> [i32; N] {
        lanes!(i => a[i] << S)
    }
    #[inline(always)]
    fn shr<const S: u32>(self, a: [i32; N]) -> [i32; N] {
        lanes!(i => a[i] >> S)
    }
    #[inline(always)]
    fn gt_i(self, a: [i32; N], b: [i32; N]) -> [bool; N] {
        lanes!(i => a[i] > b[i])
    }
    #[inline(always)]
    fn eq_i(self, a: [i32; N], b: [i32; N]) -> [bool; N] {
        lanes!(i => a[i] == b[i])
    }
    #[inline(always)]
    fn select_i(self, m: [bool; N], a: [i32; N], b: [i32; N]) -> [i32; N] {
        lanes!(i => if m[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn to_int(self, a: [f32; N]) -> [i32; N] {
        lanes!(i => a[i].round_ties_even() as i32)
    }
    #[inline(always)]
    fn to_float(self, a: [i32; N]) -> [f32; N] {
        lanes!(i => a[i] as f32)
    }
    #[inline(always)]
    fn bits(self, a: [f32; N]) -> [i32; N] {
        lanes!(i => a[i].to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: [i32; N]) -> [f32; N] {
        lanes!(i => f32::from_bits(a[i] as u32))
    }

    #[inline(always)]
    fn reduce_sum(self, a: [f32; N]) -> f32 {
        fold(a, |a, b| a + b)
    }
    #[inline(always)]
    fn reduce_max(self, a: [f32; N]) -> f32 {
        fold(a, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn reduce_min(self, a: [f32; N]) -> f32 {
        fold(a, |a, b| if a < b { a } else { b })
    }
}
