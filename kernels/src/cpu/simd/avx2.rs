//! AVX2 with FMA and F16C: 8 lanes.

use std::arch::x86_64::*;

use half::f16;

use super::Simd;

/// The right to use AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if the processor has AVX2, FMA and F16C.
    pub fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c"))
            .then_some(Avx2(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn with<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Register intrinsics of AVX2, FMA and F16C, where the token shows that the processor has them.
macro_rules! intrinsic {
    ($e:expr) => {{
        // SAFETY: `self` exists only where AVX2, FMA and F16C do, and the expression touches registers only.
        // Some intrinsics are safe here and some are not.
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// Eight elements from `8 - n` are −1 in the first `n` lanes and 0 in the rest.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
fn mask(s: Avx2, n: usize) -> __m256i {
    // SAFETY: 8 elements from `8 - min(n, 8)` lie inside `MASKS`.
    unsafe { s.load_i(MASKS.as_ptr().add(8 - n.min(8))) }
}

impl Avx2 {
    #[inline(always)]
    fn halves(self, a: __m256, f: impl Fn(__m128, __m128) -> __m128) -> f32 {
        intrinsic!({
            let a = f(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = f(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(f(a, _mm_shuffle_ps::<1>(a, a)))
        })
    }
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    type M = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Avx2(())
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        // SAFETY: `self` exists only where AVX2, FMA and F16C do.
        unsafe { with(f) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        intrinsic!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller's, and the token's.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: the caller's, and the token's; masked lanes are not read.
        unsafe { _mm256_maskload_ps(p, mask(self, n)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller's, and the token's.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: __m256, n: usize) {
        // SAFETY: the caller's, and the token's; masked lanes are not written.
        unsafe { _mm256_maskstore_ps(p, mask(self, n), v) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        intrinsic!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn fma64(self, a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn floor(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_round_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn ceil(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_round_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn trunc(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn le(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_blendv_ps(b, a, m))
    }
    #[inline(always)]
    fn and_m(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_and_ps(a, b))
    }
    #[inline(always)]
    fn or_m(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_or_ps(a, b))
    }
    #[inline(always)]
    fn not_m(self, a: __m256) -> __m256 {
        intrinsic!(_mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))))
    }
    #[inline(always)]
    fn any(self, m: __m256) -> bool {
        intrinsic!(_mm256_movemask_ps(m) != 0)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> __m256i {
        intrinsic!(_mm256_set1_epi32(x))
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const i32) -> __m256i {
        // SAFETY: the caller's, and the token's.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_i(self, p: *mut i32, v: __m256i) {
        // SAFETY: the caller's, and the token's.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    fn add_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn mul_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_mullo_epi32(a, b))
    }
    #[inline(always)]
    fn and_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn or_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn xor_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_xor_si256(a, b))
    }
    #[inline(always)]
    fn shl<const N: u32>(self, a: __m256i) -> __m256i {
        intrinsic!(_mm256_sll_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn shr<const N: u32>(self, a: __m256i) -> __m256i {
        intrinsic!(_mm256_sra_epi32(a, _mm_cvtsi32_si128(N as i32)))
    }
    #[inline(always)]
    fn gt_i(self, a: __m256i, b: __m256i) -> __m256 {
        intrinsic!(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)))
    }
    #[inline(always)]
    fn eq_i(self, a: __m256i, b: __m256i) -> __m256 {
        intrinsic!(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)))
    }
    #[inline(always)]
    fn select_i(self, m: __m256, a: __m256i, b: __m256i) -> __m256i {
        self.bits(self.select(m, self.from_bits(a), self.from_bits(b)))
    }
    #[inline(always)]
    fn to_int(self, a: __m256) -> __m256i {
        intrinsic!(_mm256_cvtps_epi32(a))
    }
    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        intrinsic!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn bits(self, a: __m256) -> __m256i {
        intrinsic!(_mm256_castps_si256(a))
    }
    #[inline(always)]
    fn from_bits(self, a: __m256i) -> __m256 {
        intrinsic!(_mm256_castsi256_ps(a))
    }

    #[inline(always)]
    unsafe fn gather(self, p: *const f32, at: __m256i) -> __m256 {
        // SAFETY: the caller's, and the token's.
        unsafe { _mm256_i32gather_ps::<4>(p, at) }
    }
    #[inline(always)]
    fn permute(self, a: __m256, lanes: __m256i) -> __m256 {
        intrinsic!(_mm256_permutevar8x32_ps(a, lanes))
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m256) -> f32 {
        self.halves(a, |a, b| intrinsic!(_mm_add_ps(a, b)))
    }
    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        self.halves(a, |a, b| intrinsic!(_mm_max_ps(a, b)))
    }
    #[inline(always)]
    fn reduce_min(self, a: __m256) -> f32 {
        self.halves(a, |a, b| intrinsic!(_mm_min_ps(a, b)))
    }
    #[inline(always)]
    fn widen_f16(self, from: &[f16], to: &mut [f32]) {
        // SAFETY: `self` exists only where the instructions do.
        unsafe { widen_f16(from, to) }
    }
    #[inline(always)]
    fn narrow_f16(self, from: &[f32], to: &mut [f16]) {
        // SAFETY: `self` exists only where the instructions do.
        unsafe { narrow_f16(from, to) }
    }
    #[inline(always)]
    unsafe fn transpose_8x8(self, from: *const f32, from_step: isize, to: *mut f32, to_step: isize) {
        // SAFETY: the caller's, and the token's.
        unsafe { transpose_8x8(from, from_step, to, to_step) }
    }
    #[inline(always)]
    unsafe fn transpose_8x8_u16(self, from: *const u16, from_step: isize, to: *mut u16, to_step: isize) {
        // SAFETY: the caller's, and the token's.
        unsafe { transpose_8x8_u16(from, from_step, to, to_step) }
    }
}

/// [`Simd::transpose_8x8`] in AVX2 registers.
///
/// # Safety
/// As [`Simd::transpose_8x8`], and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn transpose_8x8(from: *const f32, from_step: isize, to: *mut f32, to_step: isize) {
    // SAFETY: the caller's.
    unsafe {
        // Halves of two columns in each register, so that only shuffles within halves are left.
        let pair = |j: isize, at: isize| {
            let low = _mm_loadu_ps(from.offset(j * from_step + at));
            let high = _mm_loadu_ps(from.offset((j + 4) * from_step + at));
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
        };
        for at in [0, 4] {
            let c = [pair(0, at), pair(1, at), pair(2, at), pair(3, at)];
            let (a, b) = (_mm256_unpacklo_ps(c[0], c[1]), _mm256_unpackhi_ps(c[0], c[1]));
            let (d, e) = (_mm256_unpacklo_ps(c[2], c[3]), _mm256_unpackhi_ps(c[2], c[3]));
            _mm256_storeu_ps(to.offset(at * to_step), _mm256_shuffle_ps::<0x44>(a, d));
            _mm256_storeu_ps(to.offset((at + 1) * to_step), _mm256_shuffle_ps::<0xee>(a, d));
            _mm256_storeu_ps(to.offset((at + 2) * to_step), _mm256_shuffle_ps::<0x44>(b, e));
            _mm256_storeu_ps(to.offset((at + 3) * to_step), _mm256_shuffle_ps::<0xee>(b, e));
        }
    }
}

/// [`Simd::transpose_8x8_u16`] in AVX2 registers.
///
/// # Safety
/// As [`Simd::transpose_8x8_u16`], and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn transpose_8x8_u16(from: *const u16, from_step: isize, to: *mut u16, to_step: isize) {
    // SAFETY: the caller's.
    unsafe {
        let column = |j: isize| _mm_loadu_si128(from.offset(j * from_step).cast());
        // Pairs of columns side by side, then four, then all.
        let two = |j: isize| {
            let (a, b) = (column(j), column(j + 1));
            [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)]
        };
        let four = |j: isize| {
            let ([a, b], [c, d]) = (two(j), two(j + 2));
            let (low, high) = (
                [_mm_unpacklo_epi32(a, c), _mm_unpackhi_epi32(a, c)],
                [_mm_unpacklo_epi32(b, d), _mm_unpackhi_epi32(b, d)],
            );
            [low[0], low[1], high[0], high[1]]
        };
        for (i, (a, b)) in four(0).into_iter().zip(four(4)).enumerate() {
            let to = to.offset(2 * i as isize * to_step);
            _mm_storeu_si128(to.cast(), _mm_unpacklo_epi64(a, b));
            _mm_storeu_si128(to.offset(to_step).cast(), _mm_unpackhi_epi64(a, b));
        }
    }
}

/// [`Simd::widen_f16`] in AVX2 registers.
///
/// # Safety
/// The processor has AVX2 and F16C.
#[inline(always)]
pub(super) unsafe fn widen_f16(from: &[f16], to: &mut [f32]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: each holds 8 elements; the instructions are the caller's.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast()))) };
    }
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = from.to_f32());
}

/// [`Simd::narrow_f16`] in AVX2 registers.
///
/// # Safety
/// The processor has AVX2 and F16C.
#[inline(always)]
pub(super) unsafe fn narrow_f16(from: &[f32], to: &mut [f16]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (from, to) in from.iter().zip(to) {
        // SAFETY: each holds 8 elements; the instructions are the caller's.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from.as_ptr()));
            _mm_storeu_si128(to.as_mut_ptr().cast(), halves);
        }
    }
    to_rest.iter_mut().zip(from_rest).for_each(|(to, from)| *to = f16::from_f32(*from));
}
