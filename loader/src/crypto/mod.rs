//! Encrypted files of MindSpore, both ways: models, data files of split models, and checkpoints.
//!
//! The contents are cut into blocks of 64 MiB, each encrypted on its own and written as little-endian numbers and bytes:
//!
//! ```text
//! u32  magic: the mode            [u8; 16]  tag, AES-GCM only        i32  24 + number of cipher bytes
//! i32  16          [u8; 16]  initialisation vector          i32  number of cipher bytes        cipher bytes
//! ```
//!
//! Files may be written one after the other: blocks do not know where a file begins. AES-GCM uses the first 12 bytes of the
//! vector as its nonce; MindSpore Lite uses all 16, which is tried when the tag does not fit. The block chaining modes pad
//! as PKCS #7 does and authenticate nothing. Files of 2021 have the magic of AES-GCM for both AES modes and no tag.
//!
//! Without the feature `crypto` there are no ciphers, and [`Key::new`] says so. [`Decryption`] reads, [`Encryption`] says how to write, [`Encryptor`] is the stream that does it.

mod block;
#[cfg(feature = "crypto")]
mod engine;
#[cfg(not(feature = "crypto"))]
#[path = "no_engine.rs"]
mod engine;
mod fault;
mod key;
mod read;
mod write;

pub use crate::foreign::Cipher;
pub use fault::{CryptoFault, KeyFault};
pub use key::Key;
pub use read::Decryption;
pub use write::{Encryption, Encryptor};

/// Bytes of contents in one block.
const BLOCK: usize = 64 << 20;
/// Bytes of a tag, of an initialisation vector, and of a cipher's block.
const UNIT: usize = 16;

#[cfg(all(test, feature = "crypto"))]
mod tests;
