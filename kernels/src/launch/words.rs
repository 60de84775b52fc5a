//! Elements as words of 32 bits, or pairs of them: how they lie in the device's buffers.

use std::borrow::Cow;

use mindir_graph::{DType, Fact, bf16, f16};

/// Bytes of a value in a device buffer.
pub(crate) fn size(fact: &Fact) -> u64 {
    element(fact.dtype) * fact.count() as u64
}

/// Bytes of an element in a device buffer.
pub(crate) fn element(dtype: DType) -> u64 {
    dtype.size().max(4) as u64
}

/// The words of dense elements of `dtype`, which has words.
pub(crate) fn widen(dtype: DType, host: &[u8]) -> Cow<'_, [u8]> {
    let pairs = || host.chunks_exact(2).map(|c| [c[0], c[1]]);
    Cow::Owned(match dtype {
        DType::Bool | DType::U8 => host.iter().flat_map(|&b| u32::from(b).to_le_bytes()).collect(),
        DType::I8 => host.iter().flat_map(|&b| i32::from(b as i8).to_le_bytes()).collect(),
        DType::U16 => pairs().flat_map(|c| u32::from(u16::from_le_bytes(c)).to_le_bytes()).collect(),
        DType::I16 => pairs().flat_map(|c| i32::from(i16::from_le_bytes(c)).to_le_bytes()).collect(),
        DType::F16 => pairs().flat_map(|c| f16::from_le_bytes(c).to_f32().to_le_bytes()).collect(),
        DType::BF16 => pairs().flat_map(|c| bf16::from_le_bytes(c).to_f32().to_le_bytes()).collect(),
        _ => return Cow::Borrowed(host),
    })
}

/// The inverse of [`widen`].
pub(crate) fn narrow(dtype: DType, words: &[u8], host: &mut [u8]) {
    let floats = || words.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]));
    match dtype {
        DType::F16 => write(host, floats().map(|x| f16::from_f32(x).to_le_bytes())),
        DType::BF16 => write(host, floats().map(|x| bf16::from_f32(x).to_le_bytes())),
        DType::Bool | DType::I8 | DType::U8 => write(host, words.chunks_exact(4).map(|c| [c[0]])),
        DType::I16 | DType::U16 => write(host, words.chunks_exact(4).map(|c| [c[0], c[1]])),
        _ => host.copy_from_slice(words),
    }
}

fn write<const N: usize>(host: &mut [u8], elements: impl Iterator<Item = [u8; N]>) {
    host.chunks_exact_mut(N).zip(elements).for_each(|(to, from)| to.copy_from_slice(&from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        let host: Vec<u8> = (0..16).map(|i| 0xf9u8.wrapping_add(i)).collect();
        use DType::{BF16, Bool, F16, F32, I8, I16, I64, U8, U16, U32, U64};
        for dtype in [Bool, U8, I8, U16, I16, U32, F32, I64, U64] {
            let words = widen(dtype, &host);
            assert_eq!(words.len(), element(dtype) as usize * host.len() / dtype.size());
            let mut back = vec![0; host.len()];
            narrow(dtype, &words, &mut back);
            assert_eq!(back, host, "{dtype}");
        }
        assert_eq!(widen(I8, &[0xff]).as_ref(), [0xff; 4]);
        for dtype in [F16, BF16] {
            // NaN that signal come back quiet.
            let (infinity, signal) = if dtype == F16 { (0x7c00, 0x200) } else { (0x7f80, 0x40) };
            let quiet = |&bits: &u16| bits & 0x7fff <= infinity || bits & signal != 0;
            let host: Vec<u8> = (0..=u16::MAX).filter(quiet).flat_map(u16::to_le_bytes).collect();
            let mut back = vec![0; host.len()];
            narrow(dtype, &widen(dtype, &host), &mut back);
            assert_eq!(back, host, "{dtype}");
        }
    }
}
