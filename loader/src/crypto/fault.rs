//! What can be wrong with keys and encrypted bytes.

use thiserror::Error;

use crate::Printable;
use crate::error::{ErrorKind, FileFault};
use crate::foreign::Cipher;

/// Why there is no usable key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// This build has no ciphers.
    #[error("this build cannot read or write encrypted files; build with the cargo feature `crypto`")]
    NoCiphers,
    /// No cipher has keys of this length.
    #[error("a key has 16, 24 or 32 bytes, found {0}")]
    Length(usize),
    /// The cipher has no keys of this length.
    #[error("{cipher} takes a key of 16 bytes, found {found}")]
    CipherLength {
        /// The cipher.
        cipher: Cipher,
        /// Bytes of the key.
        found: usize,
    },
    /// The key file cannot be read.
    #[error("key file {}: {fault}", Printable(.file))]
    File {
        /// The key file.
        file: String,
        /// Why it cannot be read.
        fault: FileFault,
    },
    /// The environment variable is not there.
    #[error("environment variable {} is not set, or not UTF-8", Printable(.0))]
    Variable(String),
}

/// Why bytes cannot be decrypted. Positions count encrypted bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CryptoFault {
    /// The key cannot be used.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// The bytes do not start as an encrypted file does.
    #[error("the file is not encrypted, but a key was given")]
    Plain,
    /// The bytes end inside a block.
    #[error("truncated: block {block} at byte {offset} needs {needed} more bytes, {available} are left")]
    Truncated {
        /// Number of the block, from 0.
        block: usize,
        /// Where it starts.
        offset: u64,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        available: u64,
    },
    /// A number in front of a block is wrong: the file is damaged, whatever the key.
    #[error("damaged: {what} of block {block} at byte {offset} is {found}{}{expected}", if .expected.is_empty() { "" } else { ", expected " })]
    Header {
        /// Number of the block, from 0.
        block: usize,
        /// Where it starts.
        offset: u64,
        /// The number.
        what: &'static str,
        /// Its value.
        found: i64,
        /// What it should be.
        expected: String,
    },
    /// The file was encrypted in another mode than the one asked for.
    #[error("encrypted with {found}, not with {asked}")]
    Mode {
        /// The mode asked for.
        asked: Cipher,
        /// The mode that the file names.
        found: Cipher,
    },
    /// The file is of the layout of 2021, which does not name its mode.
    #[error("an encrypted file of the layout of 2021 does not say whether it is AES-GCM or AES-CBC; name the mode")]
    ModeNeeded,
    /// The first block does not fit the key. AES-GCM cannot say more; with block chaining the key is the likely cause,
    /// because only the end of a block tells.
    #[error("wrong key, or block 0 is damaged")]
    KeyOrDamage,
    /// A block does not fit the key while another one does: the bytes are damaged.
    #[error("damaged: block {block} at byte {offset} does not fit the key that other blocks fit")]
    Damaged {
        /// Number of the block, from 0.
        block: usize,
        /// Where it starts.
        offset: u64,
    },
    /// What was decrypted, in a mode that authenticates nothing, is not what it should be.
    #[error("wrong key, or damaged contents: {0}")]
    Contents(String),
    /// There is not enough memory for the contents.
    #[error("not enough memory for {0} bytes")]
    Memory(u64),
}

impl CryptoFault {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Key(_)
            | Self::Plain
            | Self::Mode { .. }
            | Self::ModeNeeded
            | Self::KeyOrDamage
            | Self::Contents(_) => ErrorKind::Encrypted,
            Self::Truncated { .. } | Self::Header { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Memory(_) => ErrorKind::Io,
        }
    }
}
