//! Names of element types.

use crate::element::ElementType;

/// Type of a text.
pub(super) const TEXT: &str = "str";

const TYPES: [(&str, ElementType); 19] = [
    ("Bool", ElementType::Bool),
    ("Int8", ElementType::I8),
    ("Int16", ElementType::I16),
    ("Int32", ElementType::I32),
    ("Int64", ElementType::I64),
    ("UInt8", ElementType::U8),
    ("UInt16", ElementType::U16),
    ("UInt32", ElementType::U32),
    ("UInt64", ElementType::U64),
    ("Float16", ElementType::F16),
    ("Float32", ElementType::F32),
    ("Float64", ElementType::F64),
    ("BFloat16", ElementType::Bf16),
    ("Complex64", ElementType::C64),
    ("Complex128", ElementType::C128),
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
