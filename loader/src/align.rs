//! Byte buffers that start at a multiple of 64.

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Growable-once storage of whole lines, seen as bytes.
pub(crate) struct AlignedBuffer {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuffer {
    /// `len` zero bytes, or `None` when there is not enough memory.
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        let count = len.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).ok()?;
        lines.resize(count, Line::zeroed());
        Some(Self { lines, len })
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines).get(..self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for AlignedBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines).get_mut(..self.len).unwrap_or_default()
    }
}

impl From<AlignedBuffer> for Bytes {
    fn from(buffer: AlignedBuffer) -> Self {
        Bytes::from_owner(buffer)
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
    fn buffers_start_at_a_multiple_of_64() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut buffer = AlignedBuffer::zeroed(len).unwrap();
            buffer.as_mut().fill(7);
            let bytes = Bytes::from(buffer);
            assert_eq!(bytes, vec![7; len]);
            assert!(is_aligned(&bytes, 64));
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(AlignedBuffer::zeroed(usize::MAX).is_none());
    }
}
