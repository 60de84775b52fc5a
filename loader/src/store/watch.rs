//! Telling how far writing is.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Write};
use std::sync::Arc;

use super::layer::Output;

/// Bytes between two calls of a [`Watch`], at most.
const PIECE: usize = 8 << 20;

/// What is called, again and again, with the number of bytes that were written since the last call.
#[derive(Clone)]
pub struct Watch(pub Arc<dyn Fn(u64) + Send + Sync>);

impl Debug for Watch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A file whose progress is told.
pub(super) struct Watched {
    pub(super) out: Box<dyn Output>,
    pub(super) watch: Watch,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes.get(..PIECE).unwrap_or(bytes))?;
        (self.watch.0)(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Output for Watched {
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.out.set_mode(mode)
    }

    fn sync(&self) -> io::Result<()> {
        self.out.sync()
    }
}
