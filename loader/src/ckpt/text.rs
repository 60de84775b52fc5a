//! Texts as NumPy keeps them: code points of four bytes, little endian, filled with zeros at the end.

use super::EntryFault;

/// The text with these code points of four bytes. Zeros at its end are filling.
pub(in crate::ckpt) fn decode(bytes: &[u8]) -> Result<String, EntryFault> {
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
pub(in crate::ckpt) fn encode(text: &str) -> Vec<u8> {
    let points = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    if text.is_empty() { vec![0; 4] } else { points }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        for text in ["", "a", "hello é 你好 🦀", "a\0b"] {
            let bytes = encode(text);
            assert!(!bytes.is_empty());
            assert_eq!(decode(&bytes).unwrap(), text);
        }
        assert_eq!(encode("é"), [0xe9, 0, 0, 0]);
        assert!(decode(&[1, 0, 0]).is_err());
        assert!(decode(&[0, 0xd8, 0, 0]).is_err());
        assert!(decode(&[0, 0, 0x11, 0]).is_err());
    }
}
