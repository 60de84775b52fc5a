//! Element types of tensors.

use std::fmt;

use bytemuck::Pod;
use half::{bf16, f16};

/// Element type of a tensor.
///
/// `Bool` is one byte per element, 0 or 1. Complex types are interleaved real and imaginary parts; they are stored and moved
/// everywhere, and computed on the host, by operators on complex numbers, matrices and transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Two `f32`.
    C64,
    /// Two `f64`.
    C128,
}

use DType::*;

impl DType {
    /// Every element type.
    pub const ALL: [DType; 15] = [Bool, I8, I16, I32, I64, U8, U16, U32, U64, F16, BF16, F32, F64, C64, C128];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Bool | I8 | U8 => 1,
            I16 | U16 | F16 | BF16 => 2,
            I32 | U32 | F32 => 4,
            I64 | U64 | F64 | C64 => 8,
            C128 => 16,
        }
    }

    /// Alignment in bytes that a typed view of this element type needs.
    pub const fn align(self) -> usize {
        match self {
            C64 => 4,
            C128 => 8,
            other => other.size(),
        }
    }

    /// Short name: `f32`, `i64`, `bool`, …
    pub const fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            I8 => "i8",
            I16 => "i16",
            I32 => "i32",
            I64 => "i64",
            U8 => "u8",
            U16 => "u16",
            U32 => "u32",
            U64 => "u64",
            F16 => "f16",
            BF16 => "bf16",
            F32 => "f32",
            F64 => "f64",
            C64 => "c64",
            C128 => "c128",
        }
    }

    /// The type called `name` (see [`DType::name`]).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// The type that MindSpore and NumPy call `name`: `float32`, `int64`, `bool`, …
    pub fn from_mindspore(name: &str) -> Option<DType> {
        let (kind, bits) = name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()));
        let short = match kind {
            "bool" => "bool".to_string(),
            "int" => format!("i{bits}"),
            "uint" => format!("u{bits}"),
            "float" => format!("f{bits}"),
            "bfloat" => format!("bf{bits}"),
            "complex" => format!("c{bits}"),
            _ => return None,
        };
        DType::from_name(&short)
    }

    /// MindSpore's `TypeId` number, as operands such as `Cast`'s `dtype` hold it.
    pub const fn type_id(self) -> i64 {
        match self {
            Bool => 30,
            I8 => 32,
            I16 => 33,
            I32 => 34,
            I64 => 35,
            U8 => 37,
            U16 => 38,
            U32 => 39,
            U64 => 40,
            F16 => 42,
            F32 => 43,
            F64 => 44,
            BF16 => 45,
            C64 => 51,
            C128 => 52,
        }
    }

    /// The type with MindSpore's `TypeId` number `id`; Python's `int`, `float` and `double` map to `I64`, `F32`, `F64`.
    pub fn from_type_id(id: i64) -> Option<DType> {
        match id {
            31 => Some(I64),
            36 => Some(U64),
            41 => Some(F32),
            49 => Some(F64),
            _ => DType::ALL.into_iter().find(|d| d.type_id() == id),
        }
    }

    /// `f16`, `bf16`, `f32` or `f64`.
    pub const fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }

    /// Signed or unsigned integer; `bool` is not one.
    pub const fn is_int(self) -> bool {
        matches!(self, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
    }

    /// `c64` or `c128`.
    pub const fn is_complex(self) -> bool {
        matches!(self, C64 | C128)
    }

    /// The type of `a op b` under MindSpore's implicit promotion: the wider kind wins (bool < int < float), then the
    /// wider size; `f16` with `bf16` gives `f32`, unsigned with signed of the same or smaller size the next wider signed.
    pub fn promote(a: DType, b: DType) -> DType {
        if a == b {
            return a;
        }
        let kind = |d: DType| match d {
            Bool => 0,
            d if d.is_int() => 1,
            d if d.is_float() => 2,
            _ => 3,
        };
        match (kind(a), kind(b)) {
            (3, 2) | (2, 3) if a == F64 || b == F64 => C128,
            (x, y) if x > y => a,
            (x, y) if x < y => b,
            (1, 1) => promote_ints(a, b),
            (2, 2) if a.size() == b.size() => F32,
            _ => {
                if a.size() > b.size() {
                    a
                } else {
                    b
                }
            }
        }
    }
}

fn promote_ints(a: DType, b: DType) -> DType {
    let signed = |d: DType| matches!(d, I8 | I16 | I32 | I64);
    let (wide, narrow) = if a.size() >= b.size() { (a, b) } else { (b, a) };
    match (signed(wide), signed(narrow)) {
        (true, false) if wide.size() == narrow.size() => match wide {
            I8 => I16,
            I16 => I32,
            _ => I64,
        },
        (false, true) => match wide {
            U8 => I16,
            U16 => I32,
            _ => I64,
        },
        _ => wide,
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the element type of a tensor.
pub trait Element: Pod + Send + Sync + PartialOrd + fmt::Debug {
    /// The matching [`DType`].
    const DTYPE: DType;
    /// Conversion to `f64`; integers beyond 2^53 round.
    fn to_f64(self) -> f64;
    /// Conversion from `f64`: rounds to nearest for floats, truncates toward zero and saturates for integers.
    fn from_f64(x: f64) -> Self;
    /// Conversion to `i64`: truncates toward zero and saturates for floats, wraps for `u64`.
    fn to_i64(self) -> i64;
    /// Conversion from `i64`: wraps for narrower integers, rounds for floats.
    fn from_i64(x: i64) -> Self;
}

macro_rules! element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_f64(self) -> f64 { self as f64 }
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_i64(self) -> i64 { self as i64 }
            fn from_i64(x: i64) -> Self { x as $t }
        }
    )*};
}
element!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, f32 => F32, f64 => F64);

/// `x` as `f32`, whose last bit is set where bits were lost: what is rounded from it to nearest is what `x` would be.
fn to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) == x || nearest.is_nan() {
        return nearest;
    }
    let toward_zero = if f64::from(nearest).abs() > x.abs() { nearest.to_bits() - 1 } else { nearest.to_bits() };
    f32::from_bits(toward_zero | 1)
}

/// `x`, or if an `f64` has not as many bits, a number that it has whose rounding to fewer bits is that of `x`.
fn sticky(x: i64) -> i64 {
    if x.unsigned_abs() < 1 << 53 { x } else { x & !0x7ff | if x & 0x7ff != 0 { 0x400 } else { 0 } }
}

macro_rules! half_element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_f64(self) -> f64 { <$t>::to_f64(self) }
            fn from_f64(x: f64) -> Self { <$t>::from_f32(to_odd(x)) }
            fn to_i64(self) -> i64 { <$t>::to_f64(self) as i64 }
            fn from_i64(x: i64) -> Self { <$t>::from_f32(to_odd(sticky(x) as f64)) }
        }
    )*};
}
half_element!(f16 => F16, bf16 => BF16);

/// Calls `$body` with the type alias `$T` bound to the Rust element type of `$dtype`; `bool` is `u8`.
/// The last arm is the value for complex types.
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr, complex => $other:expr) => {
        match $dtype {
            $crate::DType::Bool | $crate::DType::U8 => $crate::with_element!(@ $T = u8, $body),
            $crate::DType::I8 => $crate::with_element!(@ $T = i8, $body),
            $crate::DType::I16 => $crate::with_element!(@ $T = i16, $body),
            $crate::DType::I32 => $crate::with_element!(@ $T = i32, $body),
            $crate::DType::I64 => $crate::with_element!(@ $T = i64, $body),
            $crate::DType::U16 => $crate::with_element!(@ $T = u16, $body),
            $crate::DType::U32 => $crate::with_element!(@ $T = u32, $body),
            $crate::DType::U64 => $crate::with_element!(@ $T = u64, $body),
            $crate::DType::F16 => $crate::with_element!(@ $T = $crate::f16, $body),
            $crate::DType::BF16 => $crate::with_element!(@ $T = $crate::bf16, $body),
            $crate::DType::F32 => $crate::with_element!(@ $T = f32, $body),
            $crate::DType::F64 => $crate::with_element!(@ $T = f64, $body),
            $crate::DType::C64 | $crate::DType::C128 => $other,
        }
    };
    (@ $T:ident = $t:ty, $body:expr) => {{
        type $T = $t;
        $body
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` as a tensor of `T` holds it.
    fn stored<T: Element>(x: f64) -> T {
        crate::Tensor::from_f64s(T::DTYPE, &[1], &[x]).unwrap().view().unwrap()[0]
    }

    #[test]
    fn halves_are_rounded_once() {
        for (x, bits) in [
            (f64::from(f32::from_bits(0x3f80_8001)), 0x3f81),
            (f64::from(f32::from_bits(0x3f80_8000)), 0x3f80),
            (f64::from(f32::from_bits(0x3f81_8000)), 0x3f82),
            (-f64::from(f32::from_bits(0x3f80_8001)), 0xbf81),
            (1.0 + 2f64.powi(-8) + 2f64.powi(-50), 0x3f81),
            (f64::MAX, 0x7f80),
            (2f64.powi(-140), 0),
        ] {
            assert_eq!(<bf16 as Element>::from_f64(x).to_bits(), bits, "{x:e}");
            assert_eq!(stored::<bf16>(x).to_bits(), bits, "{x:e}");
        }
        for (x, bits) in [
            (1.0 + 2f64.powi(-11) + 2f64.powi(-30), 0x3c01),
            (1.0 + 2f64.powi(-11), 0x3c00),
            (2049.00001, 0x6801),
            (65_519.999_999, 0x7bff),
            (65_520.0, 0x7c00),
            (2f64.powi(-25) + 2f64.powi(-60), 0x0001),
            (2f64.powi(-25), 0x0000),
            (-1e300, 0xfc00),
        ] {
            assert_eq!(<f16 as Element>::from_f64(x).to_bits(), bits, "{x:e}");
            assert_eq!(stored::<f16>(x).to_bits(), bits, "{x:e}");
        }
        assert!(<f16 as Element>::from_f64(f64::NAN).is_nan());
        assert_eq!(<bf16 as Element>::from_i64((1 << 30) + (1 << 22) + 1).to_bits(), 0x4e81);
        assert_eq!(<bf16 as Element>::from_i64((1 << 62) + (1 << 54) + 1).to_bits(), 0x5e81);
        assert_eq!(<bf16 as Element>::from_i64(-(1 << 62) - (1 << 54) - 1).to_bits(), 0xde81);
    }

    #[test]
    fn names_and_ids_are_unique() {
        for d in DType::ALL {
            assert_eq!(DType::from_name(d.name()), Some(d));
            assert_eq!(DType::from_type_id(d.type_id()), Some(d));
        }
        assert_eq!(DType::from_mindspore("bfloat16"), Some(BF16));
        assert_eq!(DType::from_mindspore("uint8"), Some(U8));
        assert_eq!(DType::from_mindspore("float"), None);
    }

    #[test]
    fn promotion_follows_mindspore() {
        for (a, b, want) in [
            (Bool, I32, I32),
            (I32, F16, F16),
            (F16, BF16, F32),
            (U8, I8, I16),
            (U8, I32, I32),
            (U32, I32, I64),
            (I32, I64, I64),
            (F32, F64, F64),
            (I64, F32, F32),
        ] {
            assert_eq!(DType::promote(a, b), want, "{a} {b}");
            assert_eq!(DType::promote(b, a), want, "{b} {a}");
        }
    }
}
