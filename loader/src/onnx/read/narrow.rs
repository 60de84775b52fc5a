//! Element types of ONNX that no tensor has here: numbers of few bits, held in a type that has all of them.

use bytes::Bytes;
use mindir_graph::{DType, Tensor};

use super::import::{Import, Step, Val};
use crate::error::TensorFault;

/// A type of few bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Narrow {
    pub name: &'static str,
    code: i32,
    bits: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Signed,
    Unsigned,
    Float(Format),
    /// A power of two.
    Exponent,
}

/// How floats are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Format {
    mantissa: i32,
    /// The exponent of the least number with all its digits.
    least: i32,
    most: f64,
    special: Special,
}

/// Which patterns are no numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Special {
    None,
    /// All ones are NaN.
    Ones,
    /// The largest exponent is infinite or NaN.
    Infinite,
    /// Zero with a sign is NaN.
    Zero,
}

const fn float(
    name: &'static str,
    code: i32,
    bits: u32,
    mantissa: i32,
    least: i32,
    most: f64,
    special: Special,
) -> Narrow {
    Narrow { name, code, bits, kind: Kind::Float(Format { mantissa, least, most, special }) }
}

const fn whole(name: &'static str, code: i32, bits: u32, kind: Kind) -> Narrow {
    Narrow { name, code, bits, kind }
}

const ALL: &[Narrow] = &[
    float("float8e4m3fn", 17, 8, 3, -6, 448.0, Special::Ones),
    float("float8e4m3fnuz", 18, 8, 3, -7, 240.0, Special::Zero),
    float("float8e5m2", 19, 8, 2, -14, 57344.0, Special::Infinite),
    float("float8e5m2fnuz", 20, 8, 2, -15, 57344.0, Special::Zero),
    whole("uint4", 21, 4, Kind::Unsigned),
    whole("int4", 22, 4, Kind::Signed),
    float("float4e2m1", 23, 4, 1, 0, 6.0, Special::None),
    whole("float8e8m0", 24, 8, Kind::Exponent),
    whole("uint2", 25, 2, Kind::Unsigned),
    whole("int2", 26, 2, Kind::Signed),
];

impl Narrow {
    /// The type that ONNX has under this number.
    pub fn of(code: i32) -> Option<Narrow> {
        ALL.iter().copied().find(|n| n.code == code)
    }

    /// As [`of`](Self::of), of an attribute.
    pub fn named(code: i64) -> Option<Narrow> {
        Narrow::of(i32::try_from(code).ok()?)
    }

    /// The type of tensors that hold its numbers.
    pub fn held(self) -> DType {
        match self.kind {
            Kind::Signed => DType::I8,
            Kind::Unsigned => DType::U8,
            Kind::Float(_) | Kind::Exponent => DType::F32,
        }
    }

    /// The least and the largest of its integers.
    pub fn range(self) -> Option<(f64, f64)> {
        let all = f64::from(1u32 << self.bits);
        match self.kind {
            Kind::Signed => Some((-all / 2.0, all / 2.0 - 1.0)),
            Kind::Unsigned => Some((0.0, all - 1.0)),
            Kind::Float(_) | Kind::Exponent => None,
        }
    }

    /// The bytes that `count` numbers take, the last one filled up.
    pub fn packed(self, count: usize) -> Option<usize> {
        Some(count.checked_mul(self.bits as usize)?.div_ceil(8))
    }

    /// The number of a pattern of bits.
    fn number(self, pattern: u32) -> f64 {
        let format = match self.kind {
            Kind::Unsigned => return f64::from(pattern),
            Kind::Signed => {
                let half = 1 << (self.bits - 1);
                return f64::from(pattern) - if pattern >= half { f64::from(half) * 2.0 } else { 0.0 };
            }
            Kind::Exponent if pattern == 0xff => return f64::NAN,
            Kind::Exponent => return f64::from(pattern as i32 - 127).exp2(),
            Kind::Float(format) => format,
        };
        let sign = 1 << (self.bits - 1);
        let (size, negative) = (pattern & (sign - 1), pattern & sign != 0);
        let (exponent, digits) = (size >> format.mantissa, size & ((1 << format.mantissa) - 1));
        let largest = (sign - 1) >> format.mantissa;
        let one = f64::from(1 << format.mantissa);
        let plain = match exponent {
            0 => f64::from(digits) / one * f64::from(format.least).exp2(),
            e => (1.0 + f64::from(digits) / one) * f64::from(format.least + e as i32 - 1).exp2(),
        };
        let size = match format.special {
            Special::Ones if size == sign - 1 => f64::NAN,
            Special::Zero if negative && size == 0 => f64::NAN,
            Special::Infinite if exponent == largest && digits > 0 => f64::NAN,
            Special::Infinite if exponent == largest => f64::INFINITY,
            _ => plain,
        };
        if negative { -size } else { size }
    }

    /// The tensor of packed numbers, the first in the lowest bits.
    pub fn tensor(self, dims: &[usize], packed: &[u8]) -> Result<Tensor, TensorFault> {
        let count = mindir_graph::checked_count(dims).ok_or(TensorFault::Overflow)?;
        let expected = self.packed(count).ok_or(TensorFault::Overflow)? as u64;
        if packed.len() as u64 != expected {
            let (elements, element) = (count as u64, crate::element::ElementType::from(self.held()));
            return Err(TensorFault::Length { expected, found: packed.len() as u64, elements, element });
        }
        let each = (8 / self.bits) as usize;
        let pattern = |(byte, i): (&u8, usize)| (u32::from(*byte) >> (i as u32 * self.bits)) & ((1 << self.bits) - 1);
        let patterns = packed.iter().flat_map(|byte| (0..each).map(move |i| (byte, i))).map(pattern).take(count);
        let bytes: Vec<u8> = match self.held() {
            DType::F32 => patterns.flat_map(|p| (self.number(p) as f32).to_le_bytes()).collect(),
            _ => patterns.map(|p| self.number(p) as i64 as u8).collect(),
        };
        Tensor::over(self.held(), dims, Bytes::from(bytes)).map_err(|_| TensorFault::Overflow)
    }

    /// `x` as this type: of integers the lowest bits, of floats the nearest number. What is too large becomes the largest
    /// where `saturate` says so, else what is no number. Powers of two are those in the direction of `round`.
    pub fn cast(self, m: &mut Import, x: &Val, saturate: bool, round: &str) -> Step {
        let mut y = match (self.kind, self.range()) {
            (Kind::Float(format), _) => format.nearest(m, x, saturate)?,
            (_, Some((low, high))) => {
                let x = m.cast(x, DType::I64)?;
                let x = m.with("Sub", &x, low)?;
                let x = m.with("FloorMod", &x, high - low + 1.0)?;
                let x = m.with("Add", &x, low)?;
                m.cast(&x, self.held())?
            }
            _ => power(m, x, round)?,
        };
        y.narrow = Some(self);
        Ok(y)
    }
}

impl Format {
    fn nearest(self, m: &mut Import, x: &Val, saturate: bool) -> Step {
        let x = m.cast(x, DType::F64)?;
        let size = m.one("Abs", &x)?;
        let bounded = m.clamped(&size, f64::from(self.least).exp2(), 2.0 * self.most)?;
        let exponent = m.one("Log2", &bounded)?;
        let exponent = m.one("Floor", &exponent)?;
        let exponent = m.with("Sub", &exponent, f64::from(self.mantissa))?;
        let two = m.scalar(DType::F64, 2.0)?;
        let step = m.two("Pow", &two, &exponent)?;
        let size = m.with("Minimum", &size, 2.0 * self.most)?;
        let steps = m.two("Div", &size, &step)?;
        let steps = m.one("Rint", &steps)?;
        let y = m.two("Mul", &steps, &step)?;
        let beyond = match (saturate, self.special) {
            (true, _) | (_, Special::None) => self.most,
            (false, Special::Infinite) => f64::INFINITY,
            (false, _) => f64::NAN,
        };
        let fits = m.with("LessEqual", &y, self.most)?;
        let y = m.select_or(&fits, &y, beyond)?;
        let (below, minus) = (m.with("Less", &x, 0.0)?, m.one("Neg", &y)?);
        let y = m.select(&below, &minus, &y)?;
        let some = m.two("Equal", &x, &x)?;
        let none = if self.special == Special::None { 0.0 } else { f64::NAN };
        let y = m.select_or(&some, &y, none)?;
        m.cast(&y, DType::F32)
    }
}

/// The power of two `up` from `x`, `down` or `nearest`; what is infinite or NaN is NaN.
fn power(m: &mut Import, x: &Val, round: &str) -> Step {
    let x = m.cast(x, DType::F64)?;
    let (least, most) = (f64::exp2(-127.0), f64::exp2(127.0));
    let bounded = m.clamped(&x, least, most)?;
    let exponent = m.one("Log2", &bounded)?;
    let exponent = m.one("Rint", &exponent)?;
    let two = m.scalar(DType::F64, 2.0)?;
    let near = m.two("Pow", &two, &exponent)?;
    // The largest power that is not above it.
    let (half, above) = (m.with("Mul", &near, 0.5)?, m.two("Greater", &near, &bounded)?);
    let down = m.select(&above, &half, &near)?;
    let next = m.with("Mul", &down, 2.0)?;
    let limit = match round {
        "up" => m.two("Greater", &bounded, &down)?,
        "down" => m.two("NotEqual", &down, &down)?,
        "nearest" => {
            let middle = m.with("Mul", &down, 1.5)?;
            m.two("GreaterEqual", &bounded, &middle)?
        }
        other => return Err(format!("rounding {other} is not supported")),
    };
    let y = m.select(&limit, &next, &down)?;
    let y = m.clamped(&y, least, most)?;
    let finite = m.one("IsFinite", &x)?;
    let y = m.select_or(&finite, &y, f64::NAN)?;
    m.cast(&y, DType::F32)
}

/// Operators that give elements of their first operand as they are.
const MOVES: &[&str] = &[
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators that know what they read.
const READS: &[&str] = &["Cast", "CastLike", "DequantizeLinear", "QuantizeLinear", "Shape", "Size"];

/// The type of the results of operator `op` of these operands, if that is one of few bits because those are.
///
/// # Errors
/// The operator would take the numbers for what holds them.
pub(super) fn moved(op: &str, inputs: &[Option<Val>]) -> Result<Option<Narrow>, String> {
    match inputs.iter().flatten().find_map(|v| v.narrow) {
        None => Ok(None),
        Some(_) if READS.contains(&op) => Ok(None),
        Some(own) if MOVES.contains(&op) => Ok(Some(own)),
        Some(own) => Err(format!("elements of {} are not supported", own.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(name: &str, dims: &[usize], packed: &[u8]) -> Vec<f64> {
        let narrow = ALL.iter().find(|n| n.name == name).unwrap();
        narrow.tensor(dims, packed).unwrap().to_f64s().unwrap()
    }

    #[test]
    fn numbers_of_few_bits() {
        assert_eq!(numbers("int4", &[3], &[0x8f, 0x07]), [-1.0, -8.0, 7.0]);
        assert_eq!(numbers("uint4", &[2], &[0x8f]), [15.0, 8.0]);
        assert_eq!(numbers("int2", &[4], &[0b11_10_01_00]), [0.0, 1.0, -2.0, -1.0]);
        assert_eq!(numbers("float4e2m1", &[4], &[0x71, 0xaf]), [0.5, 6.0, -6.0, -1.0]);
        assert_eq!(numbers("float8e4m3fn", &[3], &[0x7e, 0x01, 0x38]), [448.0, f64::exp2(-9.0), 1.0]);
        assert_eq!(numbers("float8e5m2", &[3], &[0x7b, 0xfc, 0x3c]), [57344.0, f64::NEG_INFINITY, 1.0]);
        assert_eq!(numbers("float8e4m3fnuz", &[2], &[0x7f, 0x40]), [240.0, 1.0]);
        assert_eq!(numbers("float8e5m2fnuz", &[2], &[0x7f, 0x40]), [57344.0, 1.0]);
        assert_eq!(numbers("float8e8m0", &[2], &[0x7f, 0x80]), [1.0, 2.0]);
        for (name, pattern) in
            [("float8e4m3fn", 0xff), ("float8e5m2", 0x7d), ("float8e4m3fnuz", 0x80), ("float8e8m0", 0xff)]
        {
            assert!(numbers(name, &[1], &[pattern])[0].is_nan(), "{name}");
        }
    }

    #[test]
    fn too_few_bytes() {
        assert!(ALL[5].tensor(&[3], &[0]).is_err() && ALL[5].tensor(&[usize::MAX, 2], &[0]).is_err());
    }
}
