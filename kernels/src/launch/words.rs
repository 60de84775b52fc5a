//! Elements as 32-bit words: how they lie in the device's buffers.

use std::borrow::Cow;

use mindir_graph::{DType, Fact};

/// Bytes of a value in a device buffer.
pub(crate) fn size(fact: &Fact) -> u64 {
    4 * fact.count() as u64
}

/// The words of dense elements of `dtype`, which has words.
pub(crate) fn widen(dtype: DType, host: &[u8]) -> Cow<'_, [u8]> {
    let pairs = || host.chunks_exact(2).map(|c| [c[0], c[1]]);
    Cow::Owned(match dtype {
        DType::Bool | DType::U8 => host.iter().flat_map(|&b| u32::from(b).to_le_bytes()).collect(),
        DType::I8 => host.iter().flat_map(|&b| i32::from(b as i8).to_le_bytes()).collect(),
        DType::U16 => pairs().flat_map(|c| u32::from(u16::from_le_bytes(c)).to_le_bytes()).collect(),
        DType::I16 => pairs().flat_map(|c| i32::from(i16::from_le_bytes(c)).to_le_bytes()).collect(),
        _ => return Cow::Borrowed(host),
    })
}

/// The inverse of [`widen`].
pub(crate) fn narrow(dtype: DType, words: &[u8], host: &mut [u8]) {
    match dtype.size() {
        4 => host.copy_from_slice(words),
        size => {
            for (to, from) in host.chunks_exact_mut(size).zip(words.chunks_exact(4)) {
                to.copy_from_slice(&from[..size]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        let host: Vec<u8> = (0..16).map(|i| 0xf9u8.wrapping_add(i)).collect();
        for dtype in [DType::Bool, DType::U8, DType::I8, DType::U16, DType::I16, DType::U32, DType::F32] {
            let words = widen(dtype, &host);
            assert_eq!(words.len(), 4 * host.len() / dtype.size());
            let mut back = vec![0; host.len()];
            narrow(dtype, &words, &mut back);
            assert_eq!(back, host, "{dtype}");
        }
        assert_eq!(widen(DType::I8, &[0xff]).as_ref(), [0xff; 4]);
    }
}
