use half::{bf16, f16};

use crate::{DType, Element};

/// A number during reference evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A float of any width.
    Float(f64),
    /// An integer of any width, or a `bool` as 0 and 1; `u64` as its bits.
    Int(i64),
}

use Scalar::{Float, Int};

impl Scalar {
    /// The number as `f64`.
    pub fn as_f64(self) -> f64 {
        match self {
            Float(x) => x,
            Int(x) => x as f64,
        }
    }

    /// The number as `i64`; floats truncate and saturate.
    pub fn as_i64(self) -> i64 {
        match self {
            Float(x) => x as i64,
            Int(x) => x,
        }
    }

    /// Whether the number is not 0.
    pub fn truth(self) -> bool {
        match self {
            Float(x) => x != 0.0,
            Int(x) => x != 0,
        }
    }

    /// The number as `dtype` holds it: floats are rounded, integers wrap, floats to integers truncate and saturate.
    pub fn round_to(self, dtype: DType) -> Scalar {
        match dtype {
            DType::Bool => Int(i64::from(self.truth())),
            DType::F16 => Float(<f16 as Element>::from_f64(self.as_f64()).to_f64()),
            DType::BF16 => Float(<bf16 as Element>::from_f64(self.as_f64()).to_f64()),
            DType::F32 => Float(self.as_f64() as f32 as f64),
            DType::F64 => Float(self.as_f64()),
            DType::I8 => self.to_int(|x| x as i8 as i64, |x| x as i8 as i64),
            DType::I16 => self.to_int(|x| x as i16 as i64, |x| x as i16 as i64),
            DType::I32 => self.to_int(|x| x as i32 as i64, |x| x as i32 as i64),
            DType::U8 => self.to_int(|x| x as u8 as i64, |x| x as u8 as i64),
            DType::U16 => self.to_int(|x| x as u16 as i64, |x| x as u16 as i64),
            DType::U32 => self.to_int(|x| x as u32 as i64, |x| x as u32 as i64),
            DType::U64 => self.to_int(|x| x, |x| x as u64 as i64),
            _ => self.to_int(|x| x, |x| x as i64),
        }
    }

    fn to_int(self, wrap: fn(i64) -> i64, saturate: fn(f64) -> i64) -> Scalar {
        Int(match self {
            Int(x) => wrap(x),
            Float(x) => saturate(x),
        })
    }
}
