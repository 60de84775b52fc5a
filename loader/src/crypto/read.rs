//! Encrypted bytes to contents.

use bytes::Bytes;
use mindir_graph::Buffer;

use super::block::{Block, Blocks};
use super::engine::{self, Misfit};
use super::fault::{CryptoFault, KeyFault};
use super::key::Key;
use super::write::Encryption;
use crate::foreign::Cipher;

/// How to read encrypted files.
#[derive(Clone, Debug)]
pub struct Decryption {
    key: Key,
    mode: Option<Cipher>,
}

impl Decryption {
    /// Decryption with `key`, in the mode that each file names.
    pub fn new(key: Key) -> Self {
        Self { key, mode: None }
    }

    /// The same in one mode only. Files of 2021, which do not name theirs, need it.
    #[must_use]
    pub fn with_mode(self, mode: Cipher) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// What encrypts as a file is encrypted that these settings decrypt, and that names the mode `named`.
    pub(crate) fn encryption(&self, named: Cipher) -> Result<Encryption, KeyFault> {
        Encryption::new(self.mode.unwrap_or(named), self.key.clone())
    }

    /// The contents of an encrypted file, or of several that follow each other. They start at a multiple of 64.
    ///
    /// Memory is taken for the contents only, and no more than there are encrypted bytes.
    ///
    /// # Errors
    /// The bytes are not encrypted, are damaged, or do not fit key or mode.
    pub fn decrypt(&self, bytes: &[u8]) -> Result<Bytes, CryptoFault> {
        let mut total = 0;
        for block in Blocks::of(bytes) {
            let block = block?;
            self.cipher(&block)?;
            total += block.cipher_bytes.len();
        }
        let mut buffer = Buffer::new(total).map_err(|_| CryptoFault::Memory(total as u64))?;
        let mut len = 0;
        for block in Blocks::of(bytes) {
            let into = buffer.bytes_mut().get_mut(len..).unwrap_or_default();
            len += self.open(&block?, into)?;
        }
        Ok(buffer.into_bytes().slice(..len))
    }

    /// Decrypts one block to the start of `into`, and returns the length of its contents.
    fn open(&self, block: &Block<'_>, into: &mut [u8]) -> Result<usize, CryptoFault> {
        let len = block.cipher_bytes.len();
        let data = into.get_mut(..len).ok_or(CryptoFault::Memory(len as u64))?;
        data.copy_from_slice(block.cipher_bytes);
        engine::open(self.cipher(block)?, &self.key, block.iv, block.tag, data).map_err(|Misfit| match block.number {
            0 => CryptoFault::KeyOrDamage,
            number => CryptoFault::Damaged { block: number, offset: block.offset },
        })
    }

    /// The cipher of a block, which the key fits.
    fn cipher(&self, block: &Block<'_>) -> Result<Cipher, CryptoFault> {
        let untagged = block.named == Cipher::AesGcm && block.tag.is_none();
        let cipher = match self.mode {
            None if untagged => return Err(CryptoFault::ModeNeeded),
            Some(asked) if untagged && asked != Cipher::Sm4Cbc => asked,
            Some(asked) if asked != block.named => return Err(CryptoFault::Mode { asked, found: block.named }),
            _ => block.named,
        };
        check_key(&self.key, cipher)?;
        Ok(cipher)
    }
}

/// Whether `cipher` takes keys as long as `key`.
pub(super) fn check_key(key: &Key, cipher: Cipher) -> Result<(), KeyFault> {
    if key.fits(cipher) { Ok(()) } else { Err(KeyFault::CipherLength { cipher, found: key.bytes().len() }) }
}
