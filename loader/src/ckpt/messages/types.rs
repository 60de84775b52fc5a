//! Names of element types.

use mindir_graph::DType;

use crate::element::ElementType;

/// Type of a text.
pub(super) const TEXT: &str = "str";

const TYPES: [(&str, ElementType); 19] = [
    ("Bool", ElementType::Of(DType::Bool)),
    ("Int8", ElementType::Of(DType::I8)),
    ("Int16", ElementType::Of(DType::I16)),
    ("Int32", ElementType::Of(DType::I32)),
    ("Int64", ElementType::Of(DType::I64)),
    ("UInt8", ElementType::Of(DType::U8)),
    ("UInt16", ElementType::Of(DType::U16)),
    ("UInt32", ElementType::Of(DType::U32)),
    ("UInt64", ElementType::Of(DType::U64)),
    ("Float16", ElementType::Of(DType::F16)),
    ("Float32", ElementType::Of(DType::F32)),
    ("Float64", ElementType::Of(DType::F64)),
    ("BFloat16", ElementType::Of(DType::BF16)),
    ("Complex64", ElementType::Of(DType::C64)),
    ("Complex128", ElementType::Of(DType::C128)),
    ("Int4", ElementType::Qint4x2),
    ("Float8E4M3FN", ElementType::F8E4M3),
    ("Float8E5M2", ElementType::F8E5M2),
    ("HiFloat8", ElementType::HiF8),
];

/// The element type called `name`.
pub(super) fn element(name: &str) -> Option<ElementType> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, element)| *element)
}

/// The name of an element type.
pub(super) fn name(element: ElementType) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == element).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name() {
        for (text, kind) in TYPES {
            assert_eq!((element(text), name(kind)), (Some(kind), text));
        }
        assert_eq!(element("str"), None);
    }
}
