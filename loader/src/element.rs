//! Element types of stored tensors.

use std::fmt::{self, Display, Formatter};

use mindir_graph::DType;
use mindir_proto::mindir::DataType;

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// One that tensors in memory have.
    Of(DType),
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
        Some(Self::Of(match DataType::try_from(code).ok()? {
            DataType::Undefined | DataType::String => return None,
            DataType::Float => DType::F32,
            DataType::Uint8 => DType::U8,
            DataType::Int8 => DType::I8,
            DataType::Uint16 => DType::U16,
            DataType::Int16 => DType::I16,
            DataType::Int32 => DType::I32,
            DataType::Int64 => DType::I64,
            DataType::Bool => DType::Bool,
            DataType::Float16 => DType::F16,
            DataType::Double | DataType::Float64 => DType::F64,
            DataType::Uint32 => DType::U32,
            DataType::Uint64 => DType::U64,
            DataType::Complex64 => DType::C64,
            DataType::Complex128 => DType::C128,
            DataType::Bfloat16 => DType::BF16,
            DataType::Qint4x2 => return Some(Self::Qint4x2),
        }))
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        self.dtype().map_or(1, DType::size)
    }

    /// Alignment that typed access needs, in bytes.
    pub fn align(self) -> usize {
        self.dtype().map_or(1, DType::align)
    }

    /// MindSpore's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(dtype) => match dtype {
                DType::Bool => "bool",
                DType::I8 => "int8",
                DType::I16 => "int16",
                DType::I32 => "int32",
                DType::I64 => "int64",
                DType::U8 => "uint8",
                DType::U16 => "uint16",
                DType::U32 => "uint32",
                DType::U64 => "uint64",
                DType::F16 => "float16",
                DType::BF16 => "bfloat16",
                DType::F32 => "float32",
                DType::F64 => "float64",
                DType::C64 => "complex64",
                DType::C128 => "complex128",
            },
            Self::Qint4x2 => "qint4x2",
            Self::F8E4M3 => "float8_e4m3fn",
            Self::F8E5M2 => "float8_e5m2",
            Self::HiF8 => "hifloat8",
        }
    }

    /// The element type of tensors in memory; `None` for types that can only be stored.
    pub fn dtype(self) -> Option<DType> {
        if let Self::Of(dtype) = self { Some(dtype) } else { None }
    }
}

impl From<DType> for ElementType {
    fn from(dtype: DType) -> Self {
        Self::Of(dtype)
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
    fn every_code_has_a_type_or_none() {
        let sizes: Vec<_> = (-1..20).map(|code| ElementType::from_code(code).map_or(0, ElementType::size)).collect();
        assert_eq!(sizes, [0, 0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 8, 1, 0]);
    }
}
