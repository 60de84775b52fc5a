//! The checksum after the messages.

use std::io::{self, Write};

use mindir_proto::checkpoint::CRC_MARK;

use crate::ckpt::CrcFault;
use crate::map::release;

/// Bytes of mark and number.
const LEN: usize = CRC_MARK.len() + 10;

/// Bytes that are summed at once.
const PIECE: usize = 8 << 20;

/// The messages of a file, and its checksum if it has one.
pub(super) fn split(bytes: &[u8]) -> (&[u8], Option<u128>) {
    let Some((messages, end)) = bytes.len().checked_sub(LEN).and_then(|len| bytes.split_at_checked(len)) else {
        return (bytes, None);
    };
    match end.strip_prefix(CRC_MARK) {
        Some(number) => (messages, Some(number.iter().fold(0, |all, byte| all << 8 | u128::from(*byte)))),
        None => (bytes, None),
    }
}

/// Checks the checksum of messages.
pub(super) fn verify(messages: &[u8], stored: Option<u128>) -> Result<(), CrcFault> {
    let stored = stored.ok_or(CrcFault::Absent)?;
    let mut sum = crc32fast::Hasher::new();
    // Mapped pages leave the memory again: those that are used later come back from the system's cache.
    messages.chunks(PIECE).for_each(|piece| {
        sum.update(piece);
        release(piece);
    });
    let computed = sum.finalize();
    if stored == u128::from(computed) { Ok(()) } else { Err(CrcFault::Differs { stored, computed }) }
}

/// Passes on what is written and computes its checksum, if that is wanted.
pub(super) struct Summing<'a> {
    out: &'a mut dyn Write,
    sum: Option<crc32fast::Hasher>,
}

impl<'a> Summing<'a> {
    pub(super) fn new(out: &'a mut dyn Write, wanted: bool) -> Self {
        Self { out, sum: wanted.then(crc32fast::Hasher::new) }
    }

    /// Writes the checksum.
    pub(super) fn finish(self) -> io::Result<()> {
        let Some(sum) = self.sum else { return Ok(()) };
        self.out.write_all(CRC_MARK)?;
        self.out.write_all(&[0; 6])?;
        self.out.write_all(&sum.finalize().to_be_bytes())
    }
}

impl Write for Summing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if let Some(sum) = &mut self.sum {
            sum.update(bytes.get(..count).unwrap_or(bytes));
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_found_and_checked() {
        let mut file = Vec::new();
        let mut out = Summing::new(&mut file, true);
        out.write_all(b"some").unwrap();
        out.write_all(b" messages").unwrap();
        out.finish().unwrap();
        let (messages, sum) = split(&file);
        assert_eq!((messages, sum), (&b"some messages"[..], Some(u128::from(crc32fast::hash(b"some messages")))));
        assert_eq!(verify(messages, sum), Ok(()));
        assert!(matches!(verify(b"some messagex", sum), Err(CrcFault::Differs { .. })));
        assert_eq!(verify(messages, None), Err(CrcFault::Absent));
        for short in [&b""[..], b"crc_num", b"crc_num123456789", b"crc_nun1234567890"] {
            assert_eq!(split(short), (short, None));
        }
    }
}
