//! Steps of compiled programs on one block.

use std::hint::select_unpredictable;

use bytemuck::Pod;
use mindir_graph::task::{Binary, Scalar, Unary};
use mindir_graph::{DType, Element, bf16, f16};

use super::code::{Code, Constant, Float1, Kind, Op, Place, Step};
use crate::cpu::simd::{Kernel, Simd, double, math};
use crate::cpu::{Isa, half};

/// An operand of a block.
#[derive(Clone, Copy)]
pub struct Given {
    /// The first element.
    pub first: *const u8,
    /// Whether all elements are equal and only [`MAX_LANES`](crate::cpu::simd::MAX_LANES) of them are there, for operands that are [`Code::narrow`].
    pub same: bool,
}

/// The memory of one block.
pub struct Block<'a> {
    /// Number of elements, at most those of a row.
    pub n: usize,
    /// Each operand.
    pub inputs: &'a [Given],
    /// First element of the result.
    pub out: *mut u8,
    /// The rows, each of `Code::row_bytes`.
    pub rows: *mut u8,
}

impl Code {
    /// Fills the first `n` elements of the rows of constants, which hold them until something else writes the rows.
    ///
    /// # Safety
    /// `rows` is writable for `Code::rows` rows and aligned to 8 bytes.
    ///
    /// # Panics
    /// If `n` is more than a row has.
    pub unsafe fn prepare(&self, rows: *mut u8, n: usize) {
        for &Constant { row, kind, value } in &self.constants {
            // SAFETY: the row lies inside, and the caller's.
            let row = unsafe { std::slice::from_raw_parts_mut(rows.add(row * self.row_bytes), self.row_bytes) };
            match kind {
                Kind::Bool => row[..n].fill(u8::from(value.truth())),
                Kind::I32 => fill(row, n, value.as_i64() as i32),
                Kind::I64 => fill(row, n, value.as_i64()),
                Kind::F32 => fill(row, n, value.as_f64() as f32),
                Kind::F64 => fill(row, n, value.as_f64()),
            }
        }
    }

    /// Computes one block.
    ///
    /// # Safety
    /// Every operand is readable for `n` elements, or what is there of one that is the same everywhere, and aligned to its type, the result writable; the result may be the memory
    /// of an operand of its type, and otherwise overlaps nothing. `rows` is as [`Code::prepare`] left it for at least as many
    /// elements, apart from what `run` wrote, and overlaps nothing. Operands that are `bool` hold 0 and 1.
    pub unsafe fn run(&self, isa: Isa, block: Block<'_>) {
        isa.run(Run { code: self, block });
    }
}

fn fill<T: Pod>(row: &mut [u8], n: usize, value: T) {
    bytemuck::cast_slice_mut::<u8, T>(row)[..n].fill(value);
}

struct Run<'a> {
    code: &'a Code,
    block: Block<'a>,
}

impl Kernel for Run<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for step in &self.code.steps {
            self.step(s, step);
        }
    }
}

/// Calls `$body` with the type of a kind's elements as `$T`.
macro_rules! with_kind {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::Bool => {
                type $T = u8;
                $body
            }
            Kind::I32 => {
                type $T = i32;
                $body
            }
            Kind::I64 => {
                type $T = i64;
                $body
            }
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// Calls `vectors1` with a closure that is compiled with the instructions of the token.
macro_rules! one {
    ($run:ident, $s:ident, $a:ident, $out:ident, $x:ident => $e:expr) => {
        $run.vectors1(
            $s,
            $a,
            $out,
            #[inline(always)]
            |$x| $e,
        )
    };
}

/// As [`one`], for `vectors2`.
macro_rules! two {
    ($run:ident, $s:ident, $a:ident, $b:ident, $out:ident, $x:ident, $y:ident => $e:expr) => {
        $run.vectors2(
            $s,
            $a,
            $b,
            $out,
            #[inline(always)]
            |$x, $y| $e,
        )
    };
}

impl Run<'_> {
    #[inline(always)]
    fn source(&self, place: Place) -> *const u8 {
        match place {
            Place::Input(i) => self.block.inputs[i].first,
            // SAFETY: rows of the code lie inside `rows`.
            Place::Row(r) => unsafe { self.block.rows.add(r * self.code.row_bytes) },
            Place::Out => self.block.out,
        }
    }

    /// Elements from one of the operand to the next.
    #[inline(always)]
    fn pace(&self, place: Place) -> usize {
        usize::from(!matches!(place, Place::Input(i) if self.block.inputs[i].same))
    }

    #[inline(always)]
    fn target(&self, place: Place) -> *mut u8 {
        match place {
            // SAFETY: rows of the code lie inside `rows`.
            Place::Row(r) => unsafe { self.block.rows.add(r * self.code.row_bytes) },
            Place::Out | Place::Input(_) => self.block.out,
        }
    }

    #[inline(always)]
    fn read<T: Pod>(&self, place: Place) -> &[T] {
        // SAFETY: `Code::run` promises operands; rows hold blocks of any kind and were written by earlier steps.
        unsafe { std::slice::from_raw_parts(self.source(place).cast(), self.block.n) }
    }

    /// The elements of a row or, in the last step, of the result. No operand of the same step overlaps it.
    #[inline(always)]
    // The rows lie behind a pointer; that they do not overlap is the promise above.
    #[allow(clippy::mut_from_ref)]
    fn write<T: Pod>(&self, place: Place) -> &mut [T] {
        // SAFETY: `Code::run` promises the result and rows; a row is not an operand of the step that writes it, and steps
        // that use this write to the result from rows only.
        unsafe { std::slice::from_raw_parts_mut(self.target(place).cast(), self.block.n) }
    }

    #[inline(always)]
    fn step<S: Simd>(&self, s: S, step: &Step) {
        let &Step { op, a, b, c, out } = step;
        match op {
            Op::Float1(f) => self.float1(s, f, a, out),
            Op::Float2(f) => self.float2(s, f, a, b, out),
            Op::Load(dtype) => self.load(s, dtype, a, out),
            Op::Store(dtype) => self.store(s, dtype, a, out),
            Op::Move(kind) => self.transfer(kind, a, out),
            Op::Round(dtype) => self.round(s, dtype, a, out),
            Op::Unary(f, DType::F64) => self.double1(s, f, a, out),
            Op::Unary(f, dtype) => self.unary(f, dtype, a, out),
            Op::Binary(f, dtype) => self.binary(f, dtype, a, b, out),
            Op::Compare(f, kind) => {
                with_kind!(kind, T => compare(f, self.read::<T>(a), self.read::<T>(b), self.write(out)))
            }
            Op::Test(f, kind) => self.test(f, kind, a, out),
            Op::Select(kind) => {
                with_kind!(kind, T => choose(self.read(c), self.read::<T>(a), self.read::<T>(b), self.write(out)))
            }
            Op::Cast(from, to) => self.cast(from, to, a, out),
        }
    }

    /// Copies a block that may be the result already.
    #[inline(always)]
    fn transfer(&self, kind: Kind, a: Place, out: Place) {
        // SAFETY: as for `read` and `write`, and the ranges may overlap.
        unsafe { std::ptr::copy(self.source(a), self.target(out), self.block.n * kind.dtype().size()) };
    }

    /// Rounds a block that may be the result already.
    #[inline(always)]
    fn round<S: Simd>(&self, s: S, dtype: DType, a: Place, out: Place) {
        const PIECE: usize = 64;
        let (a, out) = (self.source(a).cast::<f32>(), self.target(out).cast::<f32>());
        let (mut f16s, mut bf16s) = ([f16::ZERO; PIECE], [bf16::ZERO; PIECE]);
        for i in (0..self.block.n).step_by(PIECE) {
            let n = PIECE.min(self.block.n - i);
            // SAFETY: `i + n` is at most the length of the block, which `Code::run` promises for operands and rows have; it
            // is read before the same place is written, and not afterwards.
            let from = unsafe { std::slice::from_raw_parts(a.add(i), n) };
            if dtype == DType::F16 {
                s.narrow_f16(from, &mut f16s[..n])
            } else {
                half::narrow_bf16(from, &mut bf16s[..n])
            }
            // SAFETY: as above.
            let to = unsafe { std::slice::from_raw_parts_mut(out.add(i), n) };
            if dtype == DType::F16 { s.widen_f16(&f16s[..n], to) } else { half::widen_bf16(&bf16s[..n], to) }
        }
    }

    #[inline(always)]
    fn load<S: Simd>(&self, s: S, dtype: DType, a: Place, out: Place) {
        match dtype {
            DType::F16 => s.widen_f16(self.read(a), self.write(out)),
            DType::BF16 => half::widen_bf16(self.read(a), self.write(out)),
            DType::I8 => map(self.read::<i8>(a), self.write(out), i32::from),
            DType::U8 => map(self.read::<u8>(a), self.write(out), i32::from),
            DType::I16 => map(self.read::<i16>(a), self.write(out), i32::from),
            DType::U16 => map(self.read::<u16>(a), self.write(out), i32::from),
            DType::U32 => map(self.read::<u32>(a), self.write(out), i64::from),
            other => self.transfer(Kind::of(other).unwrap_or(Kind::Bool), a, out),
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&self, s: S, dtype: DType, a: Place, out: Place) {
        match dtype {
            DType::F16 => s.narrow_f16(self.read(a), self.write(out)),
            DType::BF16 => half::narrow_bf16(self.read(a), self.write(out)),
            DType::I8 => map(self.read::<i32>(a), self.write(out), |x| x as i8),
            DType::U8 => map(self.read::<i32>(a), self.write(out), |x| x as u8),
            DType::I16 => map(self.read::<i32>(a), self.write(out), |x| x as i16),
            DType::U16 => map(self.read::<i32>(a), self.write(out), |x| x as u16),
            DType::U32 => map(self.read::<i64>(a), self.write(out), |x| x as u32),
            other => self.transfer(Kind::of(other).unwrap_or(Kind::Bool), a, out),
        }
    }

    #[inline(always)]
    fn vectors1<S: Simd>(&self, s: S, a: Place, out: Place, f: impl Fn(S::F) -> S::F) {
        let (a, out, n) = (self.source(a).cast::<f32>(), self.target(out).cast::<f32>(), self.block.n);
        let whole = n - n % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: `i + LANES ≤ n`; `Code::run` promises `n` elements. Each vector is read before it is written.
            unsafe { s.store(out.add(i), f(s.load(a.add(i)))) };
        }
        if whole < n {
            // SAFETY: as above, for the `n - whole` elements left.
            unsafe { s.store_n(out.add(whole), f(s.load_n(a.add(whole), n - whole)), n - whole) };
        }
    }

    #[inline(always)]
    fn vectors2<S: Simd>(&self, s: S, a: Place, b: Place, out: Place, f: impl Fn(S::F, S::F) -> S::F) {
        let (of_a, of_b) = (self.pace(a), self.pace(b));
        let (a, b) = (self.source(a).cast::<f32>(), self.source(b).cast::<f32>());
        let (out, n) = (self.target(out).cast::<f32>(), self.block.n);
        let whole = n - n % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: `i + LANES ≤ n`; `Code::run` promises `n` elements, or a vector that stands for all. Each vector is read
            // before it is written.
            unsafe { s.store(out.add(i), f(s.load(a.add(i * of_a)), s.load(b.add(i * of_b)))) };
        }
        if whole < n {
            let left = n - whole;
            // SAFETY: as above, for the elements left.
            let (x, y) = unsafe { (s.load_n(a.add(whole * of_a), left), s.load_n(b.add(whole * of_b), left)) };
            // SAFETY: as above.
            unsafe { s.store_n(out.add(whole), f(x, y), left) };
        }
    }

    #[inline(always)]
    fn float1<S: Simd>(&self, s: S, f: Float1, a: Place, out: Place) {
        use Unary::*;
        let (zero, one) = (s.zero(), s.splat(1.0));
        let f = match f {
            Float1::Named(f) => f,
            Float1::PowHalf => {
                // The power of −0 is 0, that of −∞ is ∞.
                let (low, high) = (s.splat(f32::NEG_INFINITY), s.splat(f32::INFINITY));
                return one!(self, s, a, out, x => s.select(s.eq(x, low), high, s.sqrt(s.add(x, zero))));
            }
            Float1::Cube => return one!(self, s, a, out, x => s.mul(s.mul(x, x), x)),
        };
        match f {
            Abs => one!(self, s, a, out, x => s.abs(x)),
            Neg => one!(self, s, a, out, x => s.neg(x)),
            Sign => one!(self, s, a, out, x => {
                let y = s.copysign(one, x);
                s.select(s.or_m(s.lt(x, zero), s.lt(zero, x)), y, x)
            }),
            Square => one!(self, s, a, out, x => s.mul(x, x)),
            Sqrt => one!(self, s, a, out, x => s.sqrt(x)),
            Rsqrt => one!(self, s, a, out, x => s.div(one, s.sqrt(x))),
            Reciprocal => one!(self, s, a, out, x => s.div(one, x)),
            Exp => one!(self, s, a, out, x => math::exp(s, x)),
            Expm1 => one!(self, s, a, out, x => math::expm1(s, x)),
            Log => one!(self, s, a, out, x => math::log(s, x)),
            Log2 => one!(self, s, a, out, x => math::log2(s, x)),
            Log10 => one!(self, s, a, out, x => math::log10(s, x)),
            Log1p => one!(self, s, a, out, x => math::log1p(s, x)),
            Sin => one!(self, s, a, out, x => math::sin(s, x)),
            Cos => one!(self, s, a, out, x => math::cos(s, x)),
            Tanh => one!(self, s, a, out, x => math::tanh(s, x)),
            Erf => one!(self, s, a, out, x => math::erf(s, x)),
            Erfc => one!(self, s, a, out, x => math::erfc(s, x)),
            Floor => one!(self, s, a, out, x => s.floor(x)),
            Ceil => one!(self, s, a, out, x => s.ceil(x)),
            Round => one!(self, s, a, out, x => s.round(x)),
            Trunc => one!(self, s, a, out, x => s.trunc(x)),
            Relu => one!(self, s, a, out, x => s.max(zero, x)),
            Relu6 => one!(self, s, a, out, x => s.min(s.splat(6.0), s.max(zero, x))),
            Sigmoid => one!(self, s, a, out, x => math::sigmoid(s, x)),
            Silu => one!(self, s, a, out, x => math::silu(s, x)),
            Gelu => one!(self, s, a, out, x => math::gelu(s, x)),
            GeluTanh => one!(self, s, a, out, x => math::gelu_tanh(s, x)),
            HSwish => one!(self, s, a, out, x => math::hswish(s, x)),
            HSigmoid => one!(self, s, a, out, x => math::hsigmoid(s, x)),
            Softplus => one!(self, s, a, out, x => math::softplus(s, x)),
            Mish => one!(self, s, a, out, x => math::mish(s, x)),
            Tan => {
                self.transfer(Kind::F32, a, out);
                double::tangents(s, self.write(out));
            }
            Asin => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::asin(s, x),
            ),
            Acos => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::acos(s, x),
            ),
            Atan => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::atan(s, x),
            ),
            Sinh => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::sinh(s, x),
            ),
            Cosh => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::cosh(s, x),
            ),
            Asinh => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::asinh(s, x),
            ),
            Acosh => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::acosh(s, x),
            ),
            Atanh => self.doubles1(
                a,
                out,
                #[inline(always)]
                |x| double::atanh(s, x),
            ),
            f => one!(self, s, a, out, x => math::each(s, x, |x| f.eval_f64(f64::from(x)) as f32)),
        }
    }

    /// A function of `f32` by way of `f64`.
    #[inline(always)]
    fn doubles1(&self, a: Place, out: Place, f: impl Fn(f64) -> f64) {
        self.transfer(Kind::F32, a, out);
        for x in self.write::<f32>(out) {
            *x = f(f64::from(*x)) as f32;
        }
    }

    /// As [`Run::doubles1`], for a function of two.
    #[inline(always)]
    fn doubles2(&self, a: Place, b: Place, out: Place, f: impl Fn(f64, f64) -> f64) {
        const PIECE: usize = 64;
        let (a, b, out) = (self.source(a).cast::<f32>(), self.source(b).cast::<f32>(), self.target(out).cast::<f32>());
        let (mut x, mut y) = ([0f32; PIECE], [0f32; PIECE]);
        for i in (0..self.block.n).step_by(PIECE) {
            let n = PIECE.min(self.block.n - i);
            // SAFETY: `i + n` is at most the length of the block, which `Code::run` promises for operands and rows have; elements
            // are read before the same places are written, and not afterwards.
            unsafe {
                a.add(i).copy_to_nonoverlapping(x.as_mut_ptr(), n);
                b.add(i).copy_to_nonoverlapping(y.as_mut_ptr(), n);
                x.iter_mut().zip(&y).for_each(|(x, &y)| *x = f(f64::from(*x), f64::from(y)) as f32);
                x.as_ptr().copy_to_nonoverlapping(out.add(i), n);
            }
        }
    }

    #[inline(always)]
    fn float2<S: Simd>(&self, s: S, f: Binary, a: Place, b: Place, out: Place) {
        match f {
            Binary::Add => two!(self, s, a, b, out, x, y => s.add(x, y)),
            Binary::Sub => two!(self, s, a, b, out, x, y => s.sub(x, y)),
            Binary::Mul => two!(self, s, a, b, out, x, y => s.mul(x, y)),
            Binary::Div => two!(self, s, a, b, out, x, y => s.div(x, y)),
            Binary::Max => two!(self, s, a, b, out, x, y => math::max_nan(s, x, y)),
            Binary::Min => two!(self, s, a, b, out, x, y => math::min_nan(s, x, y)),
            Binary::Pow => self.doubles2(
                a,
                b,
                out,
                #[inline(always)]
                |x, y| double::pow(s, x, y),
            ),
            f => two!(self, s, a, b, out, x, y => {
                math::each_pair(s, x, y, |x, y| f.eval_f64(f64::from(x), f64::from(y)) as f32)
            }),
        }
    }

    #[inline(always)]
    fn double1<S: Simd>(&self, s: S, f: Unary, a: Place, out: Place) {
        let (a, out) = (self.read::<f64>(a), self.write::<f64>(out));
        match f {
            Unary::Abs => map(a, out, f64::abs),
            Unary::Neg => map(a, out, |x: f64| -x),
            Unary::Square => map(a, out, |x| x * x),
            Unary::Sqrt => map(a, out, f64::sqrt),
            Unary::Exp => map(
                a,
                out,
                #[inline(always)]
                |x| double::exp(s, x),
            ),
            Unary::Expm1 => map(
                a,
                out,
                #[inline(always)]
                |x| double::expm1(s, x),
            ),
            Unary::Log => map(
                a,
                out,
                #[inline(always)]
                |x| double::log(s, x),
            ),
            Unary::Log1p => map(
                a,
                out,
                #[inline(always)]
                |x| double::log1p(s, x),
            ),
            Unary::Sigmoid => map(
                a,
                out,
                #[inline(always)]
                |x| double::sigmoid(s, x),
            ),
            Unary::Tanh => map(
                a,
                out,
                #[inline(always)]
                |x| double::tanh(s, x),
            ),
            f => map(a, out, |x| f.eval_f64(x)),
        }
    }

    #[inline(always)]
    fn unary(&self, f: Unary, dtype: DType, a: Place, out: Place) {
        let whole = |x: i64| f.eval_i64(x, dtype).round_to(dtype).as_i64();
        match Kind::of(dtype) {
            Some(Kind::Bool) if f == Unary::Not => map(self.read::<u8>(a), self.write::<u8>(out), |x| x ^ 1),
            Some(Kind::Bool) => map(self.read::<u8>(a), self.write(out), |x| whole(i64::from(x)) as u8),
            Some(Kind::I32) => map(self.read::<i32>(a), self.write(out), |x| whole(i64::from(x)) as i32),
            Some(Kind::I64) => map(self.read::<i64>(a), self.write(out), whole),
            _ => map(self.read::<f64>(a), self.write(out), |x| f.eval_f64(x)),
        }
    }

    #[inline(always)]
    fn binary(&self, f: Binary, dtype: DType, a: Place, b: Place, out: Place) {
        match Kind::of(dtype) {
            Some(Kind::Bool) => bool2(f, self.read(a), self.read(b), self.write(out)),
            Some(Kind::I32) => {
                let out = self.write::<i32>(out);
                int2(f, dtype, self.read(a), self.read(b), out);
                wrap(dtype, out);
            }
            Some(Kind::I64) => {
                let out = self.write::<i64>(out);
                int2(f, dtype, self.read(a), self.read(b), out);
                if dtype == DType::U32 {
                    out.iter_mut().for_each(|x| *x &= 0xffff_ffff);
                }
            }
            _ => double2(f, self.read(a), self.read(b), self.write(out)),
        }
    }

    #[inline(always)]
    fn test(&self, f: Unary, kind: Kind, a: Place, out: Place) {
        let out = self.write::<u8>(out);
        match (f, kind) {
            (Unary::IsNan, Kind::F32) => map(self.read::<f32>(a), out, |x| u8::from(x.is_nan())),
            (Unary::IsInf, Kind::F32) => map(self.read::<f32>(a), out, |x| u8::from(x.abs() == f32::INFINITY)),
            (_, Kind::F32) => map(self.read::<f32>(a), out, |x| u8::from(x.abs() < f32::INFINITY)),
            (f, Kind::F64) => map(self.read::<f64>(a), out, |x| f.eval_f64(x) as u8),
            (f, _) => out.fill(u8::from(f == Unary::IsFinite)),
        }
    }

    #[inline(always)]
    fn cast(&self, from: Kind, to: DType, a: Place, out: Place) {
        match from {
            Kind::Bool => self.cast_int(self.read::<u8>(a), to, out),
            Kind::I32 => self.cast_int(self.read::<i32>(a), to, out),
            Kind::I64 => self.cast_int(self.read::<i64>(a), to, out),
            Kind::F32 => self.cast_f32(self.read::<f32>(a), to, out),
            Kind::F64 => self.cast_f64(self.read::<f64>(a), to, out),
        }
    }

    #[inline(always)]
    fn cast_int<T: Int>(&self, x: &[T], to: DType, out: Place) {
        match to {
            DType::Bool => map(x, self.write::<u8>(out), |x| u8::from(x.wide() != 0)),
            DType::F16 => map(x, self.write(out), |x| <f16 as Element>::from_i64(x.wide()).to_f32()),
            DType::BF16 => map(x, self.write(out), |x| <bf16 as Element>::from_i64(x.wide()).to_f32()),
            DType::F32 => map(x, self.write(out), |x| x.to_f32()),
            DType::F64 => map(x, self.write(out), |x| x.wide() as f64),
            DType::U32 => map(x, self.write(out), |x| x.wide() & 0xffff_ffff),
            DType::I64 | DType::U64 | DType::C64 | DType::C128 => map(x, self.write(out), |x| x.wide()),
            narrow => {
                let out = self.write::<i32>(out);
                map(x, out, |x| x.wide() as i32);
                wrap(narrow, out);
            }
        }
    }

    /// To anything but another of the 16-bit floats, which rounding makes.
    #[inline(always)]
    fn cast_f32(&self, x: &[f32], to: DType, out: Place) {
        let narrow = |low: i32, high: i32| map(x, self.write::<i32>(out), |x| whole32(x).clamp(low, high));
        match to {
            DType::Bool => map(x, self.write::<u8>(out), |x| u8::from(x != 0.0)),
            DType::F16 | DType::BF16 | DType::F32 => map(x, self.write::<f32>(out), |x| x),
            DType::F64 => map(x, self.write(out), f64::from),
            DType::I8 => narrow(i8::MIN.into(), i8::MAX.into()),
            DType::U8 => narrow(0, u8::MAX.into()),
            DType::I16 => narrow(i16::MIN.into(), i16::MAX.into()),
            DType::U16 => narrow(0, u16::MAX.into()),
            DType::I32 => map(x, self.write(out), whole32),
            DType::U32 => map(x, self.write(out), |x| whole64(x).clamp(0, u32::MAX.into())),
            DType::I64 | DType::U64 | DType::C64 | DType::C128 => map(x, self.write(out), whole64),
        }
    }

    #[inline(always)]
    fn cast_f64(&self, x: &[f64], to: DType, out: Place) {
        match to {
            DType::Bool => map(x, self.write::<u8>(out), |x| u8::from(x != 0.0)),
            DType::F16 => map(x, self.write(out), |x| <f16 as Element>::from_f64(x).to_f32()),
            DType::BF16 => map(x, self.write(out), |x| <bf16 as Element>::from_f64(x).to_f32()),
            DType::F32 => map(x, self.write(out), |x| x as f32),
            DType::F64 => map(x, self.write::<f64>(out), |x| x),
            DType::I8 => map(x, self.write(out), |x| i32::from(x as i8)),
            DType::U8 => map(x, self.write(out), |x| i32::from(x as u8)),
            DType::I16 => map(x, self.write(out), |x| i32::from(x as i16)),
            DType::U16 => map(x, self.write(out), |x| i32::from(x as u16)),
            DType::I32 => map(x, self.write(out), |x| x as i32),
            DType::U32 => map(x, self.write(out), |x| i64::from(x as u32)),
            DType::I64 | DType::U64 | DType::C64 | DType::C128 => map(x, self.write(out), |x| x as i64),
        }
    }
}

/// The integer that casting makes, in a form that loops make vectors of.
macro_rules! whole {
    ($name:ident, $t:ident) => {
        #[inline(always)]
        fn $name(x: f32) -> $t {
            let (low, high) = (x < $t::MIN as f32, x >= -($t::MIN as f32));
            let near = select_unpredictable(low | high | x.is_nan(), 0.0, x);
            // SAFETY: it is a number from the least integer to below the one after the largest.
            let y = unsafe { near.to_int_unchecked::<$t>() };
            select_unpredictable(high, $t::MAX, select_unpredictable(low, $t::MIN, y))
        }
    };
}
whole!(whole32, i32);
whole!(whole64, i64);

#[inline(always)]
fn map<A: Copy, B>(a: &[A], out: &mut [B], f: impl Fn(A) -> B) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out = f(a);
    }
}

#[inline(always)]
fn zip<A: Copy, B>(a: &[A], b: &[A], out: &mut [B], f: impl Fn(A, A) -> B) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

#[inline(always)]
fn choose<T: Copy>(c: &[u8], a: &[T], b: &[T], out: &mut [T]) {
    for (((out, &c), &a), &b) in out.iter_mut().zip(c).zip(a).zip(b) {
        *out = select_unpredictable(c != 0, a, b);
    }
}

#[inline(always)]
fn compare<T: Copy + PartialOrd>(f: Binary, a: &[T], b: &[T], out: &mut [u8]) {
    match f {
        Binary::Eq => zip(a, b, out, |a, b| u8::from(a == b)),
        Binary::Ne => zip(a, b, out, |a, b| u8::from(a != b)),
        Binary::Lt => zip(a, b, out, |a, b| u8::from(a < b)),
        Binary::Le => zip(a, b, out, |a, b| u8::from(a <= b)),
        Binary::Gt => zip(a, b, out, |a, b| u8::from(a > b)),
        _ => zip(a, b, out, |a, b| u8::from(a >= b)),
    }
}

#[inline(always)]
fn bool2(f: Binary, a: &[u8], b: &[u8], out: &mut [u8]) {
    match f {
        Binary::And | Binary::Mul | Binary::Min => zip(a, b, out, |a, b| a & b),
        Binary::Or | Binary::Add | Binary::Max => zip(a, b, out, |a, b| a | b),
        Binary::Xor => zip(a, b, out, |a, b| a ^ b),
        f => zip(a, b, out, |a, b| u8::from(Scalar::Int(f.eval_i64(i64::from(a), i64::from(b), DType::Bool)).truth())),
    }
}

#[inline(always)]
fn double2(f: Binary, a: &[f64], b: &[f64], out: &mut [f64]) {
    match f {
        Binary::Add => zip(a, b, out, |a, b| a + b),
        Binary::Sub => zip(a, b, out, |a, b| a - b),
        Binary::Mul => zip(a, b, out, |a, b| a * b),
        Binary::Div => zip(a, b, out, |a, b| a / b),
        f => zip(a, b, out, |a, b| f.eval_f64(a, b)),
    }
}

/// Integers that rows hold.
trait Int: Pod + Ord {
    fn wide(self) -> i64;
    fn narrow(x: i64) -> Self;
    fn to_f32(self) -> f32;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
}

macro_rules! int {
    ($($t:ty),*) => {$(
        impl Int for $t {
            #[inline(always)]
            fn wide(self) -> i64 { self as i64 }
            #[inline(always)]
            fn narrow(x: i64) -> $t { x as $t }
            #[inline(always)]
            fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)]
            fn add(self, other: $t) -> $t { self.wrapping_add(other) }
            #[inline(always)]
            fn sub(self, other: $t) -> $t { self.wrapping_sub(other) }
            #[inline(always)]
            fn mul(self, other: $t) -> $t { self.wrapping_mul(other) }
            #[inline(always)]
            fn and(self, other: $t) -> $t { self & other }
            #[inline(always)]
            fn or(self, other: $t) -> $t { self | other }
            #[inline(always)]
            fn xor(self, other: $t) -> $t { self ^ other }
        }
    )*};
}
int!(u8, i32, i64);

#[inline(always)]
fn int2<T: Int>(f: Binary, dtype: DType, a: &[T], b: &[T], out: &mut [T]) {
    match f {
        Binary::Add => zip(a, b, out, T::add),
        Binary::Sub => zip(a, b, out, T::sub),
        Binary::Mul => zip(a, b, out, T::mul),
        Binary::Max => zip(a, b, out, T::max),
        Binary::Min => zip(a, b, out, T::min),
        Binary::And => zip(a, b, out, T::and),
        Binary::Or => zip(a, b, out, T::or),
        Binary::Xor => zip(a, b, out, T::xor),
        f => zip(a, b, out, |a, b| T::narrow(f.eval_i64(a.wide(), b.wide(), dtype))),
    }
}

/// Brings results of arithmetic back into the range of a narrower type.
#[inline(always)]
fn wrap(dtype: DType, x: &mut [i32]) {
    match dtype {
        DType::I8 => x.iter_mut().for_each(|x| *x = i32::from(*x as i8)),
        DType::U8 => x.iter_mut().for_each(|x| *x = i32::from(*x as u8)),
        DType::I16 => x.iter_mut().for_each(|x| *x = i32::from(*x as i16)),
        DType::U16 => x.iter_mut().for_each(|x| *x = i32::from(*x as u16)),
        _ => {}
    }
}
