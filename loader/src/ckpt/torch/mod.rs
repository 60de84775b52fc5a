//! Checkpoints of PyTorch (`.pth`, `.pt`, `.bin`, `.pth.tar`): a zip archive with a pickle of objects and a file for each storage of
//! numbers, or before PyTorch 1.6 all of that one after the other.
//!
//! The pickle is not executed: `pickle` knows the instructions that describe data, and the few functions that make tensors.
//! Everything else is an error that names it. Memory and time are bounded by the size of the file.
//!
//! Dictionaries and lists inside of the outermost one are flattened: `{"model": {"fc.weight": t}, "epoch": 3}` has the entries
//! `model.fc.weight` and `epoch`. `None` is left out.

mod flatten;
mod legacy;
mod pickle;
mod tensor;

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use thiserror::Error;
use zip::CompressionMethod;

use super::{Checkpoint, CheckpointError, EntryFault, ReadOptions};
use crate::Printable;
use crate::error::{Excess, LoadError, TensorFault};
use crate::foreign::TORCH_MAGIC;
use legacy::Legacy;
use pickle::Objects;

const PICKLE: &str = "/data.pkl";

/// What is wrong with a pickle.
#[derive(Debug, Error)]
pub(super) enum PickleFault {
    /// The bytes end too early, or the stack has not what an instruction takes.
    #[error("{0}")]
    Damaged(&'static str),
    /// An instruction that does more than describe data.
    #[error("instruction {0:#04x} is not allowed")]
    Instruction(u8),
    /// A class or function that is not needed for tensors.
    #[error("{}.{} is not allowed: only tensors, numbers, texts, lists and dictionaries are read", Printable(.0), Printable(.1))]
    Global(String, String),
    /// More objects than the file may have.
    #[error("{0}")]
    TooMany(Excess),
}

/// Reads the contents of a file, which tensors without gaps will share.
pub(super) fn read(file: &str, bytes: &Bytes, options: &ReadOptions) -> Result<Checkpoint, CheckpointError> {
    let budget = options.limits.decoded_budget(bytes.len() as u64);
    if bytes.starts_with(TORCH_MAGIC) {
        let legacy = Legacy::open(file, bytes, budget)?;
        return collected(file, &legacy.objects, legacy.pickle_at, budget, options, |key| legacy.storage(key));
    }
    let archive = Archive::open(file, bytes)?;
    let (pickle, pickle_at) = archive.pickle()?;
    let (objects, _) = pickle::load(&pickle, budget).map_err(|(at, fault)| match fault {
        PickleFault::TooMany(excess) => limited(file, excess),
        fault => archive.damaged(Some(pickle_at + at as u64), fault.to_string()),
    })?;
    collected(file, &objects, pickle_at, budget, options, |key| archive.storage(key))
}

fn limited(file: &str, excess: Excess) -> CheckpointError {
    LoadError::Limit { file: file.to_string(), excess }.into()
}

/// The values that objects hold, tensors as views of what `storage` gives. At most `budget` bytes are copied.
fn collected(
    file: &str,
    objects: &Objects,
    pickle_at: u64,
    budget: u64,
    options: &ReadOptions,
    storage: impl Fn(&str) -> Result<Bytes, CheckpointError>,
) -> Result<Checkpoint, CheckpointError> {
    let damaged = |what| CheckpointError::Format { file: file.to_string(), offset: None, what };
    let mut found = Checkpoint::new();
    let mut copied = 0u64;
    for (name, leaf) in flatten::leaves(objects, &options.limits).map_err(damaged)? {
        let fault = |fault: EntryFault| {
            let (file, name) = (file.to_string(), name.clone());
            CheckpointError::Entry { file, name, offset: pickle_at, fault }
        };
        let value = match leaf {
            flatten::Leaf::Value(value) => value,
            flatten::Leaf::Tensor(tensor) => {
                let storage = storage(&tensor.storage.key)?;
                let array = tensor.array(&storage, options.limits.max_rank).map_err(|f| fault(f.into()))?;
                if !array.is_shared() {
                    copied = copied.saturating_add(array.len() as u64);
                }
                if copied > budget {
                    return Err(fault(TensorFault::Memory(array.len() as u64).into()));
                }
                array.gather(&storage).map_err(|f| fault(f.into()))?.into()
            }
        };
        found.add(name.clone(), value).map_err(|_| fault(EntryFault::SameName))?;
    }
    Ok(found)
}

/// The archive: files that are not compressed, by their names.
struct Archive<'a> {
    file: &'a str,
    bytes: &'a Bytes,
    /// Where files begin and how long they are.
    files: BTreeMap<String, (u64, u64)>,
    /// Name of the folder that everything is in.
    folder: String,
}

impl<'a> Archive<'a> {
    fn open(file: &'a str, bytes: &'a Bytes) -> Result<Self, CheckpointError> {
        let mut archive = Self { file, bytes, files: BTreeMap::new(), folder: String::new() };
        let mut zip = crate::archive::open(Cursor::new(bytes)).map_err(|e| archive.damaged(None, e.to_string()))?;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(|e| archive.damaged(None, e.to_string()))?;
            let name = entry.name().map_err(|e| archive.damaged(None, e.to_string()))?.to_string();
            let start = entry.data_start().unwrap_or(u64::MAX);
            if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                let what = format!("file {} of the archive is compressed or encrypted", Printable(&name));
                return Err(archive.damaged(Some(entry.header_start()), what));
            }
            archive.files.insert(name, (start, entry.size()));
        }
        let folder = archive.files.keys().find_map(|name| name.strip_suffix(PICKLE)).map(str::to_string);
        archive.folder = folder.ok_or_else(|| archive.damaged(None, "the archive has no data.pkl".to_string()))?;
        archive.check_byte_order()?;
        Ok(archive)
    }

    fn damaged(&self, offset: Option<u64>, what: String) -> CheckpointError {
        CheckpointError::Format { file: self.file.to_string(), offset, what }
    }

    fn get(&self, name: &str) -> Result<Option<(Bytes, u64)>, CheckpointError> {
        let path = format!("{}{name}", self.folder);
        let Some((start, len)) = self.files.get(&path) else { return Ok(None) };
        let range = usize::try_from(*start).ok().zip(start.checked_add(*len).and_then(|end| usize::try_from(end).ok()));
        let range = range.filter(|(_, end)| *end <= self.bytes.len());
        let (from, to) = range.ok_or_else(|| self.damaged(None, format!("file {} is cut", Printable(&path))))?;
        Ok(Some((self.bytes.slice(from..to), *start)))
    }

    fn pickle(&self) -> Result<(Bytes, u64), CheckpointError> {
        self.get(PICKLE)?.ok_or_else(|| self.damaged(None, "the archive has no data.pkl".to_string()))
    }

    /// The numbers of a storage.
    fn storage(&self, key: &str) -> Result<Bytes, CheckpointError> {
        let found = self.get(&format!("/data/{key}"))?;
        found
            .map(|(bytes, _)| bytes)
            .ok_or_else(|| self.damaged(None, format!("there is no storage {}", Printable(key))))
    }

    fn check_byte_order(&self) -> Result<(), CheckpointError> {
        match self.get("/byteorder")? {
            Some((order, _)) if &*order != b"little" => {
                Err(self.damaged(None, "the numbers are not little-endian".to_string()))
            }
            _ => Ok(()),
        }
    }
}
