//! Element types of stored tensors.

use std::fmt::{self, Display, Formatter};

use mindir_graph::DType;
use mindir_proto::mindir::DataType;

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
// The variants are the names of the types.
#[allow(missing_docs)]
pub enum ElementType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    Bf16,
    F32,
    F64,
    C64,
    C128,
    /// 4-bit integers, one byte for each.
    Qint4x2,
    /// 8-bit floats with 4 bits of exponent and 3 of mantissa.
    F8E4M3,
    /// 8-bit floats with 5 bits of exponent and 2 of mantissa.
    F8E5M2,
    /// 8-bit floats of the Ascend processors.
    HiF8,
}

impl ElementType {
    /// The type with a [`DataType`] number of the file. `None` for unknown numbers and for types without fixed size.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match DataType::try_from(code).ok()? {
            DataType::Undefined | DataType::String => return None,
            DataType::Float => Self::F32,
            DataType::Uint8 => Self::U8,
            DataType::Int8 => Self::I8,
            DataType::Uint16 => Self::U16,
            DataType::Int16 => Self::I16,
            DataType::Int32 => Self::I32,
            DataType::Int64 => Self::I64,
            DataType::Bool => Self::Bool,
            DataType::Float16 => Self::F16,
            DataType::Double | DataType::Float64 => Self::F64,
            DataType::Uint32 => Self::U32,
            DataType::Uint64 => Self::U64,
            DataType::Complex64 => Self::C64,
            DataType::Complex128 => Self::C128,
            DataType::Bfloat16 => Self::Bf16,
            DataType::Qint4x2 => Self::Qint4x2,
        })
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 | Self::Qint4x2 | Self::F8E4M3 | Self::F8E5M2 | Self::HiF8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 | Self::C64 => 8,
            Self::C128 => 16,
        }
    }

    /// Alignment that typed access needs, in bytes.
    pub fn align(self) -> usize {
        match self {
            Self::C64 => 4,
            Self::C128 => 8,
            other => other.size(),
        }
    }

    /// MindSpore's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::C64 => "complex64",
            Self::C128 => "complex128",
            Self::Qint4x2 => "qint4x2",
            Self::F8E4M3 => "float8_e4m3fn",
            Self::F8E5M2 => "float8_e5m2",
            Self::HiF8 => "hifloat8",
        }
    }

    /// The element type of tensors in memory; `None` for types that can only be stored.
    pub fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Bool => DType::Bool,
            Self::I8 => DType::I8,
            Self::I16 => DType::I16,
            Self::I32 => DType::I32,
            Self::I64 => DType::I64,
            Self::U8 => DType::U8,
            Self::U16 => DType::U16,
            Self::U32 => DType::U32,
            Self::U64 => DType::U64,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
            Self::C64 => DType::C64,
            Self::C128 => DType::C128,
            Self::Qint4x2 | Self::F8E4M3 | Self::F8E5M2 | Self::HiF8 => return None,
        })
    }
}

impl From<DType> for ElementType {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::Bool => Self::Bool,
            DType::I8 => Self::I8,
            DType::I16 => Self::I16,
            DType::I32 => Self::I32,
            DType::I64 => Self::I64,
            DType::U8 => Self::U8,
            DType::U16 => Self::U16,
            DType::U32 => Self::U32,
            DType::U64 => Self::U64,
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            DType::F32 => Self::F32,
            DType::F64 => Self::F64,
            DType::C64 => Self::C64,
            DType::C128 => Self::C128,
        }
    }
}

impl Display for ElementType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether `bytes` can be seen as elements of the given alignment. Nothing has to be aligned in an empty slice.
pub(crate) fn is_aligned(bytes: &[u8], align: usize) -> bool {
    bytes.is_empty() || bytes.as_ptr().addr().is_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_memory_are_types_of_files() {
        for dtype in DType::ALL {
            let element = ElementType::from(dtype);
            assert_eq!((element.dtype(), element.size(), element.align()), (Some(dtype), dtype.size(), dtype.align()));
        }
    }

    #[test]
    fn every_code_has_a_type_or_none() {
        let sizes: Vec<_> = (-1..20).map(|code| ElementType::from_code(code).map_or(0, ElementType::size)).collect();
        assert_eq!(sizes, [0, 0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 8, 1, 0]);
    }
}
