//! Contents to encrypted bytes.

use std::io::{self, Write};

use super::engine::{self, Misfit};
use super::fault::KeyFault;
use super::key::Key;
use super::read::{Decryption, check_key};
use super::{BLOCK, block};
use crate::foreign::Cipher;

/// How to write encrypted files: a mode and a key that fits it.
#[derive(Clone, Debug)]
pub struct Encryption {
    cipher: Cipher,
    key: Key,
}

impl Encryption {
    /// Encryption with `key` in the mode `cipher`.
    ///
    /// # Errors
    /// The mode takes no keys of this length.
    pub fn new(cipher: Cipher, key: Key) -> Result<Self, KeyFault> {
        check_key(&key, cipher)?;
        Ok(Self { cipher, key })
    }

    /// What reads the files again.
    pub fn decryption(&self) -> Decryption {
        Decryption::new(self.key.clone())
    }

    /// Encrypts `data`, which must not be longer than a block, in place, and writes it.
    fn write_block(&self, data: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
        let iv = engine::random()?;
        let tag = engine::seal(self.cipher, &self.key, &iv, data)
            .map_err(|Misfit| io::Error::other(format!("{} refused the block", self.cipher)))?;
        out.write_all(&block::head(self.cipher, tag.as_ref(), &iv, data.len()))?;
        out.write_all(data)
    }
}

/// A stream that encrypts what is written to it. It holds one block in memory, and nothing is complete before
/// [`finish`](Self::finish).
pub struct Encryptor<W: Write> {
    encryption: Encryption,
    out: W,
    /// Contents that are not written yet.
    block: Vec<u8>,
}

impl<W: Write> Encryptor<W> {
    /// A stream that writes to `out`.
    pub fn new(encryption: Encryption, out: W) -> Self {
        Self { encryption, out, block: Vec::new() }
    }

    /// Ends the current block, so that what follows is encrypted on its own.
    ///
    /// # Errors
    /// The stream below refuses, or the system has no random numbers.
    pub fn end_piece(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.encryption.write_block(&mut self.block, &mut self.out)?;
            self.block.clear();
        }
        Ok(())
    }

    /// Writes what is left and returns the stream below.
    ///
    /// # Errors
    /// As [`end_piece`](Self::end_piece).
    pub fn finish(mut self) -> io::Result<W> {
        self.end_piece()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK {
            self.end_piece()?;
        }
        let taken = bytes.get(..BLOCK - self.block.len()).unwrap_or(bytes);
        self.block.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Flushes the stream below. Contents of a block that is not full stay here.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
