//! The segments of a JPEG file.

/// Code of the marker that ends a picture.
const END: u8 = 0xd9;

/// Codes and contents of the segments of a file, up to the end of its picture or of the bytes. The bytes of a scan are no segment.
pub(super) fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            let at = rest.windows(2).position(|pair| matches!(pair, [0xff, code] if *code != 0xff))?;
            let code = *rest.get(at + 1)?;
            rest = rest.get(at + 2..)?;
            match code {
                // A byte 0xff of a scan, markers in one, and that of the start.
                0 | 1 | 0xd0..=0xd8 => {}
                END => {
                    rest = &[];
                    return Some((END, rest));
                }
                _ => {
                    let (len, _) = rest.split_first_chunk::<2>()?;
                    let (segment, after) = rest.split_at_checked(u16::from_be_bytes(*len) as usize)?;
                    rest = after;
                    return Some((code, segment.get(2..)?));
                }
            }
        }
    })
}

/// Whether a file has the end of its picture.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    segments(bytes).any(|(code, _)| code == END)
}
