//! `.npz` files: arrays of NumPy in a zip archive, each under its name.
//!
//! NumPy has no bfloat16: it is written as `float32`, which holds every value. A text is an array of characters without
//! dimensions.

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use mindir_graph::DType;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Checkpoint, CheckpointError, EntryFault, Value, text};
use crate::element::ElementType;
use crate::limits::Limits;
use crate::map::release;
use crate::{Printable, archive, npy};

const ENDING: &str = ".npy";

/// Reads all arrays into memory.
pub(super) fn read(file: &str, bytes: &Bytes, limits: &Limits) -> Result<Checkpoint, CheckpointError> {
    let format = |what: String| CheckpointError::Format { file: file.to_string(), offset: None, what };
    let mut archive = archive::open(Cursor::new(bytes)).map_err(|error| format(error.to_string()))?;
    let mut found = Checkpoint::new();
    for index in 0..archive.len() {
        let entry =
            archive.by_index(index).map_err(|error| format(format_args!("file {index}: {error}").to_string()))?;
        let offset = entry.header_start();
        let name = entry.name().map(|name| name.strip_suffix(ENDING).unwrap_or(&name).to_string());
        let name = name.map_err(|error| format(error.to_string()))?;
        let fault = |name: &str, fault| {
            let (file, name) = (file.to_string(), name.to_string());
            CheckpointError::Entry { file, name, offset, fault }
        };
        let value = value(entry, limits).map_err(|error| fault(&name, EntryFault::Array(error.to_string())))?;
        found.add(name, value).map_err(|name| fault(&name, EntryFault::SameName))?;
    }
    Ok(found)
}

fn value(mut entry: impl Read, limits: &Limits) -> std::io::Result<Value> {
    let header = npy::Header::read(&mut entry)?;
    let characters =
        header.kind.trim_start_matches(['<', '|', '=']).strip_prefix('U').filter(|_| header.shape.is_empty());
    let Some(characters) = characters else { return Ok(npy::read_contents(&header, entry)?.into()) };
    let wrong = || std::io::Error::other(format!("texts of type {} are not known", Printable(&header.kind)));
    let len: u64 = characters.parse().map_err(|_| wrong())?;
    let mut bytes = Vec::new();
    entry.take(len.saturating_mul(4).min(limits.max_decoded_bytes)).read_to_end(&mut bytes)?;
    Ok(Value::Text(text::decode(&bytes).map_err(std::io::Error::other)?))
}

/// What prevents a value from being written.
pub(super) fn obstacle(value: &Value) -> Option<String> {
    let element = value.array()?.element();
    element.dtype().is_none().then(|| format!("a tensor of {element}, which .npz files cannot hold"))
}

/// Writes all entries, not compressed.
pub(super) fn write(checkpoint: &Checkpoint, out: &mut dyn Write) -> std::io::Result<()> {
    let mut zip = ZipWriter::new_stream(out);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, value) in checkpoint.iter() {
        // The size is not known to the archive before the array is written.
        let is_large = value.size() > u64::from(u32::MAX) / 2;
        zip.start_file(format!("{name}{ENDING}"), stored.large_file(is_large))?;
        match value {
            Value::Text(content) => {
                let bytes = text::encode(content);
                npy::write_header(&mut zip, &format!("<U{}", bytes.len() / 4), &[])?;
                zip.write_all(&bytes)?;
            }
            Value::Array(array) if array.element() == ElementType::Of(DType::BF16) => {
                npy::write_to(&mut zip, &array.tensor().map_err(std::io::Error::other)?)?;
            }
            Value::Array(array) => {
                let dtype = array.element().dtype().ok_or_else(|| std::io::Error::other("not a NumPy type"))?;
                npy::write_header(&mut zip, npy::type_of(dtype), array.dims())?;
                for part in array.parts() {
                    zip.write_all(part)?;
                    release(part);
                }
            }
        }
    }
    zip.finish()?;
    Ok(())
}
