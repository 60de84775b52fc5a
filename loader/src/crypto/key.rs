//! Keys, and where they come from.

use std::env;
use std::fmt::{self, Debug, Formatter};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::engine::{self, Secret};
use super::fault::KeyFault;
use crate::files::{Links, open_regular};
use crate::foreign::Cipher;

/// Longest key in bytes.
const LONGEST: usize = 32;

/// A key of 16, 24 or 32 bytes. It is wiped from memory when its last copy is dropped, and never printed.
#[derive(Clone)]
pub struct Key(Arc<Secret>);

impl Key {
    /// The key made of `bytes`.
    ///
    /// # Errors
    /// The length belongs to no cipher, or this build has none.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, KeyFault> {
        let bytes = Secret::from(bytes.into());
        match bytes.len() {
            _ if !engine::EXISTS => Err(KeyFault::NoCiphers),
            16 | 24 | LONGEST => Ok(Self(Arc::new(bytes))),
            found => Err(KeyFault::Length(found)),
        }
    }

    /// The key that a file holds: its bytes as they are, but for one line break at the end.
    ///
    /// # Errors
    /// The file cannot be read or does not hold a key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyFault> {
        let path = path.as_ref();
        let fail = |fault| KeyFault::File { file: path.display().to_string(), fault };
        let file = open_regular(path, Links::Follow).map_err(fail)?;
        // Large enough for every key, so that no copy is left behind by growing.
        let mut bytes = Secret::from(Vec::with_capacity(2 * LONGEST));
        file.take(LONGEST as u64 + 3).read_to_end(&mut bytes).map_err(|error| fail(error.into()))?;
        Self::new(without_line_break(&bytes))
    }

    /// The key that an environment variable holds, as the bytes of its text.
    ///
    /// # Errors
    /// The variable is not set, is not text or does not hold a key.
    pub fn from_env(name: &str) -> Result<Self, KeyFault> {
        let text = env::var(name).map_err(|_| KeyFault::Variable(name.to_string()))?;
        Self::new(text)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `cipher` takes keys of this length.
    pub(super) fn fits(&self, cipher: Cipher) -> bool {
        cipher != Cipher::Sm4Cbc || self.0.len() == 16
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

/// Key files often end in a line break. Lengths of keys are so far apart that it cannot belong to one.
fn without_line_break(bytes: &[u8]) -> &[u8] {
    match bytes {
        [key @ .., b'\r', b'\n'] | [key @ .., b'\n'] if matches!(key.len(), 16 | 24 | LONGEST) => key,
        all => all,
    }
}
