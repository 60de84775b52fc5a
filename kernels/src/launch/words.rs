//! How elements lie in the device's buffers: as on the host, or in WGSL as words of 32 bits, or pairs of them.

use std::borrow::Cow;

#[cfg(any(feature = "wgpu", test))]
use mindir_graph::Fact;
use mindir_graph::{DType, bf16, f16};
use mindir_shaders::Language;

/// Bytes of a value in a device buffer, of which there are whole words.
#[cfg(any(feature = "wgpu", test))]
pub(crate) fn size(language: Language, fact: &Fact) -> u64 {
    (element(language, fact.dtype) * fact.count() as u64).next_multiple_of(4)
}

/// Bytes of an element in a device buffer.
pub(crate) fn element(language: Language, dtype: DType) -> u64 {
    let size = dtype.size() as u64;
    if is_word(language, dtype) { size.max(4) } else { size }
}

/// Whether elements lie in words of at least 32 bits.
fn is_word(language: Language, dtype: DType) -> bool {
    match language {
        Language::Wgsl => true,
        Language::WgslF16 => dtype != DType::F16,
        Language::Cuda => false,
    }
}

/// Dense elements of `dtype` as they lie in a buffer, in whole words.
pub(crate) fn widen(language: Language, dtype: DType, host: &[u8]) -> Cow<'_, [u8]> {
    if !is_word(language, dtype) {
        return padded(host);
    }
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

/// The bytes, with zeros behind them up to a whole word.
pub(crate) fn padded(host: &[u8]) -> Cow<'_, [u8]> {
    if host.len().is_multiple_of(4) {
        return Cow::Borrowed(host);
    }
    let mut words = host.to_vec();
    words.resize(host.len().next_multiple_of(4), 0);
    Cow::Owned(words)
}

/// The inverse of [`widen`].
#[cfg(any(feature = "wgpu", test))]
pub(crate) fn narrow(language: Language, dtype: DType, words: &[u8], host: &mut [u8]) {
    let floats = || words.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]));
    match dtype {
        _ if !is_word(language, dtype) => write(host, words.iter().map(|&b| [b])),
        DType::F16 => write(host, floats().map(|x| f16::from_f32(x).to_le_bytes())),
        DType::BF16 => write(host, floats().map(|x| bf16::from_f32(x).to_le_bytes())),
        DType::Bool | DType::I8 | DType::U8 => write(host, words.chunks_exact(4).map(|c| [c[0]])),
        DType::I16 | DType::U16 => write(host, words.chunks_exact(4).map(|c| [c[0], c[1]])),
        _ => host.copy_from_slice(words),
    }
}

#[cfg(any(feature = "wgpu", test))]
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
            let words = widen(Language::Wgsl, dtype, &host);
            assert_eq!(words.len(), element(Language::Wgsl, dtype) as usize * host.len() / dtype.size());
            let mut back = vec![0; host.len()];
            narrow(Language::Wgsl, dtype, &words, &mut back);
            assert_eq!(back, host, "{dtype}");
        }
        assert_eq!(widen(Language::Wgsl, I8, &[0xff]).as_ref(), [0xff; 4]);
        for dtype in [F16, BF16] {
            // NaN that signal come back quiet.
            let (infinity, signal) = if dtype == F16 { (0x7c00, 0x200) } else { (0x7f80, 0x40) };
            let quiet = |&bits: &u16| bits & 0x7fff <= infinity || bits & signal != 0;
            let host: Vec<u8> = (0..=u16::MAX).filter(quiet).flat_map(u16::to_le_bytes).collect();
            let mut back = vec![0; host.len()];
            narrow(Language::Wgsl, dtype, &widen(Language::Wgsl, dtype, &host), &mut back);
            assert_eq!(back, host, "{dtype}");
        }
    }

    #[test]
    fn halves_are_whole_words() {
        let (language, host) = (Language::WgslF16, [1, 2, 3, 4, 5, 6]);
        let words = widen(language, DType::F16, &host);
        assert_eq!(words.as_ref(), [1, 2, 3, 4, 5, 6, 0, 0]);
        assert_eq!(words.len() as u64, size(language, &Fact::new(DType::F16, &[3])));
        let mut back = [0; 6];
        narrow(language, DType::F16, &words, &mut back);
        assert_eq!(back, host);
        assert_eq!(size(language, &Fact::new(DType::BF16, &[3])), 12);
    }
}
