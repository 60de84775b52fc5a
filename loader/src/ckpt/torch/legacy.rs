//! Files of PyTorch before 1.6: pickles one after the other, and behind them the numbers of all storages.

use std::collections::HashMap;

use bytes::Bytes;

use super::pickle::{self, Object, Objects};
use super::{PickleFault, limited};
use crate::Printable;
use crate::ckpt::CheckpointError;
use crate::element::ElementType;
use crate::foreign::TORCH_MAGIC;

/// The version that follows the file's first pickle.
const VERSION: i64 = 1001;

/// What a file holds.
pub(super) struct Legacy<'a> {
    file: &'a str,
    pub(super) objects: Objects,
    /// Where the pickle of the objects begins.
    pub(super) pickle_at: u64,
    storages: HashMap<String, Bytes>,
}

impl<'a> Legacy<'a> {
    /// Reads the pickles, and finds the storages.
    pub(super) fn open(file: &'a str, bytes: &Bytes, budget: u64) -> Result<Self, CheckpointError> {
        let mut reader = Reader { file, bytes, at: TORCH_MAGIC.len(), budget };
        let version = reader.pickle()?;
        if !matches!(version.get(version.root), Object::Int(VERSION)) {
            return Err(reader.damaged(format!("expected version {VERSION} of the format")));
        }
        let system = reader.pickle()?;
        if !is_little_endian(&system) {
            return Err(reader.damaged("the numbers are not little-endian".to_string()));
        }
        let pickle_at = reader.at as u64;
        let objects = reader.pickle()?;
        let storages = reader.storages(&objects)?;
        Ok(Self { file, objects, pickle_at, storages })
    }

    /// The numbers of a storage.
    pub(super) fn storage(&self, key: &str) -> Result<Bytes, CheckpointError> {
        let absent = || damaged(self.file, self.pickle_at, format!("there is no storage {}", Printable(key)));
        self.storages.get(key).cloned().ok_or_else(absent)
    }
}

fn damaged(file: &str, at: u64, what: String) -> CheckpointError {
    CheckpointError::Format { file: file.to_string(), offset: Some(at), what }
}

/// What the file says about the machine that wrote it.
fn is_little_endian(system: &Objects) -> bool {
    let Object::Dict(pairs) = system.get(system.root) else { return false };
    let order = |key| matches!(system.get(key), Object::Text(key) if **key == *"little_endian");
    pairs.iter().any(|(key, value)| order(*key) && matches!(system.get(*value), Object::Bool(true)))
}

struct Reader<'a> {
    file: &'a str,
    bytes: &'a Bytes,
    at: usize,
    budget: u64,
}

impl Reader<'_> {
    fn damaged(&self, what: String) -> CheckpointError {
        damaged(self.file, self.at as u64, what)
    }

    /// The objects of the next pickle.
    fn pickle(&mut self) -> Result<Objects, CheckpointError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (objects, len) = pickle::load(rest, self.budget).map_err(|(at, fault)| match fault {
            PickleFault::TooMany(excess) => limited(self.file, excess),
            fault => damaged(self.file, (self.at + at) as u64, fault.to_string()),
        })?;
        self.at += len;
        Ok(objects)
    }

    /// The storages in the order of the list of their names, each with the number of its elements in front.
    fn storages(&mut self, objects: &Objects) -> Result<HashMap<String, Bytes>, CheckpointError> {
        let list = self.pickle()?;
        let Object::List(keys) = list.get(list.root) else {
            return Err(self.damaged("expected a list of storages".to_string()));
        };
        let mut elements: HashMap<&str, ElementType> = HashMap::new();
        for storage in objects.storages() {
            elements.entry(&storage.key).or_insert(storage.element);
        }
        let mut found = HashMap::with_capacity(elements.len());
        for key in keys {
            let Object::Text(key) = list.get(*key) else {
                return Err(self.damaged("expected the name of a storage".to_string()));
            };
            let Some(element) = elements.get(&**key) else {
                return Err(self.damaged(format!("nothing says what storage {} holds", Printable(key))));
            };
            found.insert(key.to_string(), self.numbers(key, *element)?);
        }
        Ok(found)
    }

    fn numbers(&mut self, key: &str, element: ElementType) -> Result<Bytes, CheckpointError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let part = rest.split_first_chunk().and_then(|(count, rest)| {
            let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
            rest.get(..count.checked_mul(element.size())?)
        });
        let part = part.ok_or_else(|| self.damaged(format!("storage {} is cut", Printable(key))))?;
        self.at += size_of::<u64>() + part.len();
        Ok(self.bytes.slice_ref(part))
    }
}
