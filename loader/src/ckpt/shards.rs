//! Checkpoints in several files: an index of JSON (`model.safetensors.index.json`) says which file beside it holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use super::file::{Kind, ReadOptions, contents, described};
use super::{Checkpoint, CheckpointError, EntryFault};
use crate::Printable;
use crate::error::{Excess, LoadError};
use crate::foreign::Foreign;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether the contents can be an index.
pub(super) fn is_index(bytes: &[u8]) -> bool {
    Foreign::of(bytes) == Some(Foreign::Json)
}

/// Reads the files that the index at `path` names, in the order of their names. They hold what it says, and may hold more.
pub(super) fn read(path: &Path, text: &[u8], options: &ReadOptions) -> Result<(Checkpoint, Kind), CheckpointError> {
    let file = || path.display().to_string();
    let damaged = |what: String| CheckpointError::Format { file: file(), offset: None, what };
    let index: Index = serde_json::from_slice(text).map_err(|e| damaged(format!("the index: {e}")))?;
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    let (limit, found) = (options.limits.max_data_files as u64, shards.len() as u64);
    if found > limit {
        return Err(
            LoadError::Limit { file: file(), excess: Excess { what: "files", limit, found, offset: None } }.into()
        );
    }
    let (mut all, mut kind) = (Checkpoint::new(), None);
    for shard in shards {
        let shard = Path::new(shard);
        if !matches!(shard.components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]) {
            return Err(damaged(format!(
                "expected files beside the index, found {}",
                Printable(&shard.to_string_lossy())
            )));
        }
        let shard = path.with_file_name(shard);
        let (part, of) = described(&shard.display().to_string(), contents(&shard, options)?, options)?;
        for (name, value) in part.iter() {
            let twice = |name| CheckpointError::Entry {
                file: shard.display().to_string(),
                name,
                offset: 0,
                fault: EntryFault::SameName,
            };
            all.add(name.to_string(), value.clone()).map_err(twice)?;
        }
        kind = Some(of);
    }
    if let Some(name) = index.weight_map.keys().find(|name| all.get(name).is_none()) {
        return Err(damaged(format!("no file holds tensor {}", Printable(name))));
    }
    let kind = kind.ok_or_else(|| damaged("the index names no files".to_string()))?;
    Ok((all, kind))
}
