//! What strangers send and write, for the targets of `fuzz/`.

use bytes::Bytes;

use crate::config::ModelConfig;
use crate::{rest, triton};

/// Reads the body of a request. The first byte is how many bytes of it are JSON: 0 is all, 255 a form.
pub fn request(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    rest::read_body(*kind, Bytes::copy_from_slice(body));
}

/// Reads what a file says about a model: a `model.toml` behind an even byte, a `config.pbtxt` behind an odd one.
pub fn config(input: &[u8]) {
    let Some((kind, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 2 {
        0 => drop(ModelConfig::default().with_text(text)),
        _ => drop(triton::read(text, "net", &ModelConfig::default())),
    }
}
