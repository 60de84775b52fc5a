//! The layout of one block.

use super::fault::CryptoFault;
use super::{BLOCK, UNIT};
use crate::foreign::Cipher;

/// What stands in front of cipher bytes, but for the tag.
const FIXED: usize = 4 + UNIT + 4;

/// A block as it lies in the file.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// The mode that the magic names. Without a tag AES-GCM means one of the AES modes of the layout of 2021.
    pub(super) named: Cipher,
    pub(super) tag: Option<&'a [u8; UNIT]>,
    pub(super) iv: &'a [u8; UNIT],
    pub(super) cipher_bytes: &'a [u8],
    /// Number and position of the block.
    pub(super) number: usize,
    pub(super) offset: u64,
}

/// The blocks that `bytes` consist of.
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    number: usize,
    offset: u64,
}

impl<'a> Blocks<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, number: 0, offset: 0 }
    }

    fn block(&mut self) -> Result<Block<'a>, CryptoFault> {
        let named = Cipher::of(self.rest).ok_or_else(|| self.no_magic())?;
        self.take(4)?;
        let tagged = named == Cipher::AesGcm && !self.is_untagged();
        let tag = if tagged { Some(self.unit()?) } else { None };
        let block_len = self.number_field()?;
        let iv_len = self.number_field()?;
        if iv_len != UNIT as i64 {
            return Err(self.header("the length of the vector", iv_len, UNIT.to_string()));
        }
        let iv = self.unit()?;
        let cipher_len = self.number_field()?;
        if block_len != cipher_len + FIXED as i64 {
            return Err(self.header("the length", block_len, (cipher_len + FIXED as i64).to_string()));
        }
        let chained = named != Cipher::AesGcm;
        if cipher_len <= 0 || (chained && cipher_len % UNIT as i64 != 0) {
            let expected = if chained { "a positive multiple of 16" } else { "a positive number" };
            return Err(self.header("the number of cipher bytes", cipher_len, expected.to_string()));
        }
        let cipher_bytes = self.take(usize::try_from(cipher_len).unwrap_or(usize::MAX))?;
        Ok(Block { named, tag, iv, cipher_bytes, number: self.number, offset: self.offset })
    }

    /// Whether the length of the block stands where the tag would be, as it did in 2021.
    fn is_untagged(&self) -> bool {
        let number = |at: usize| self.rest.get(at..)?.first_chunk().map(|four| i64::from(i32::from_le_bytes(*four)));
        number(4) == Some(UNIT as i64) && number(0) == number(8 + UNIT).map(|cipher_len| cipher_len + FIXED as i64)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CryptoFault> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            let (needed, available) = (len as u64, self.rest.len() as u64);
            return Err(CryptoFault::Truncated { block: self.number, offset: self.offset, needed, available });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn unit(&mut self) -> Result<&'a [u8; UNIT], CryptoFault> {
        static NONE: [u8; UNIT] = [0; UNIT];
        // `take` gives as many bytes as it is asked for.
        Ok(self.take(UNIT)?.first_chunk().unwrap_or(&NONE))
    }

    fn number_field(&mut self) -> Result<i64, CryptoFault> {
        let four = self.take(4)?.first_chunk().copied().unwrap_or_default();
        Ok(i64::from(i32::from_le_bytes(four)))
    }

    fn no_magic(&self) -> CryptoFault {
        match (self.number, self.rest.first_chunk()) {
            (0, _) => CryptoFault::Plain,
            (block, None) => {
                CryptoFault::Truncated { block, offset: self.offset, needed: 4, available: self.rest.len() as u64 }
            }
            (_, Some(&found)) => self.header("the magic number", i64::from(u32::from_le_bytes(found)), String::new()),
        }
    }

    fn header(&self, what: &'static str, found: i64, expected: String) -> CryptoFault {
        CryptoFault::Header { block: self.number, offset: self.offset, what, found, expected }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, CryptoFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() && self.number > 0 {
            return None;
        }
        let before = self.rest.len();
        let block = self.block();
        match &block {
            Ok(_) => self.offset += (before - self.rest.len()) as u64,
            Err(_) => self.rest = &[],
        }
        self.number += 1;
        Some(block)
    }
}

/// What stands in front of `cipher_len` cipher bytes.
pub(super) fn head(cipher: Cipher, tag: Option<&[u8; UNIT]>, iv: &[u8; UNIT], cipher_len: usize) -> Vec<u8> {
    debug_assert!(cipher_len <= BLOCK + UNIT);
    let number = |value: usize| (value as u32).to_le_bytes();
    let mut head = Vec::with_capacity(4 + UNIT + 8 + UNIT + 4);
    head.extend(cipher.magic());
    head.extend(tag.into_iter().flatten());
    head.extend(number(cipher_len + FIXED));
    head.extend(number(UNIT));
    head.extend(iv);
    head.extend(number(cipher_len));
    head
}
