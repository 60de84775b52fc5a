//! Names of element types and the form of texts.

use crate::{ckpt::EntryFault, element::ElementType};

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

/// The text with these code points of four bytes. Zeros at its end are filling.
pub(super) fn decode_text(bytes: &[u8]) -> Result<String, EntryFault> {
    let (points, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(EntryFault::Text("has a fraction of a character"));
    }
    let chars = points.iter().map(|point| char::from_u32(u32::from_le_bytes(*point)));
    let text: Option<String> = chars.collect();
    let text = text.ok_or(EntryFault::Text("has a number that is no character"))?;
    Ok(text.trim_end_matches('\0').to_string())
}

/// A text as code points of four bytes. There is at least one.
pub(super) fn encode_text(text: &str) -> Vec<u8> {
    let points = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    if text.is_empty() { vec![0; 4] } else { points }
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

    #[test]
    fn texts_survive() {
        for text in ["", "a", "hello é 你好 🦀", "a\0b"] {
            let bytes = encode_text(text);
            assert!(!bytes.is_empty());
            assert_eq!(decode_text(&bytes).unwrap(), text);
        }
        assert_eq!(encode_text("é"), [0xe9, 0, 0, 0]);
        assert!(decode_text(&[1, 0, 0]).is_err());
        assert!(decode_text(&[0, 0xd8, 0, 0]).is_err());
        assert!(decode_text(&[0, 0, 0x11, 0]).is_err());
    }
}
