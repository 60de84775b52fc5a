//! Standard input as a file: `-` and `/dev/stdin`.

use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::sync::OnceLock;

use crate::failure::Failure;

/// How standard input is called in messages.
pub const NAME: &str = "standard input";

/// What standard input held, and what for it was read.
static CONTENTS: OnceLock<(String, Vec<u8>)> = OnceLock::new();

/// Whether a path means standard input.
pub fn is(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdin")
}

/// All of standard input, which is `purpose` and nothing else.
pub fn bytes(purpose: &str) -> Result<&'static [u8], Failure> {
    if CONTENTS.get().is_none() {
        let all = all()?;
        let _ = CONTENTS.set((purpose.to_string(), all));
    }
    match CONTENTS.get() {
        Some((first, bytes)) if first == purpose => Ok(bytes),
        Some((first, _)) => Err(Failure::Usage(format!("{NAME} is {first}; it cannot be {purpose} too"))),
        None => Ok(&[]),
    }
}

fn all() -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("{NAME} is a terminal; a file is expected there")));
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(Failure::file(NAME.as_ref()))?;
    Ok(bytes)
}
