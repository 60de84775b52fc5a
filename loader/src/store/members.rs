//! The further files of a target that consists of several.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Options;
use super::error::{Step, StoreError};
use super::layer::{Kind, Layer};
use super::target::Target;
use crate::error::FileFault;
use crate::files::check_location;

/// Files that belong to a target, by their location relative to its folder.
#[derive(Default)]
pub(super) struct Members {
    /// Written, but not yet part of the target.
    added: BTreeSet<String>,
    /// Folders that were made for them.
    made: Vec<PathBuf>,
    /// Prefixes whose other files go when the target is complete.
    prefixes: BTreeSet<String>,
    /// Locations of `added` once they are part of the target.
    kept: BTreeSet<String>,
}

impl Members {
    pub(super) fn owns(&mut self, layer: &dyn Layer, target: &Target, prefix: &str) -> Result<(), StoreError> {
        check_location(prefix).map_err(|fault| target.refused(fault))?;
        missing_folders(layer, target, prefix)?;
        self.prefixes.insert(prefix.to_string());
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        options: &Options,
        target: &Target,
        prefix: &str,
        mode: Option<u32>,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<String, StoreError> {
        let layer = options.layer.as_ref();
        self.owns(layer, target, prefix)?;
        for path in missing_folders(layer, target, prefix)? {
            layer.create_folder(&path).map_err(|source| target.failed(Step::Create, source))?;
            self.made.push(path);
        }
        let taken = numbers(layer, &target.folder, prefix).map_err(|source| target.failed(Step::Look, source))?;
        let number = taken.last().map_or(Some(0), |last| last.checked_add(1));
        let number = number.ok_or_else(|| target.refused(FileFault::Name("its number is too large")))?;
        let location = format!("{prefix}{number}");
        let path = target.folder.join(&location);
        let out = options.create(&path, mode).map_err(|source| target.failed(Step::Create, source))?;
        self.added.insert(location.clone());
        let mut out = BufWriter::with_capacity(super::writer::BUFFER, out);
        fill(&mut out).and_then(|()| out.flush()).map_err(|source| target.failed(Step::Write, source))?;
        out.get_ref().sync().map_err(|source| target.failed(Step::Sync, source))?;
        Ok(location)
    }

    /// Brings the names of the added files to the disk.
    pub(super) fn settle(&self, layer: &dyn Layer, target: &Target) -> Result<(), StoreError> {
        let parents = self.added.iter().map(|location| target.folder.join(location)).chain(self.made.iter().cloned());
        let parents: BTreeSet<PathBuf> = parents.filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        parents
            .iter()
            .try_for_each(|folder| layer.sync_folder(folder).map_err(|source| target.failed(Step::SyncFolder, source)))
    }

    /// The added files are part of the target from now on.
    pub(super) fn keep(&mut self) {
        self.made.clear();
        self.kept = std::mem::take(&mut self.added);
    }

    /// Removes the files that the target no longer refers to. What cannot be removed does no harm and goes the next time.
    pub(super) fn remove_others(&self, layer: &dyn Layer, target: &Target) {
        for prefix in &self.prefixes {
            for number in numbers(layer, &target.folder, prefix).unwrap_or_default() {
                let location = format!("{prefix}{number}");
                if !self.kept.contains(&location) {
                    let _ = layer.remove(&target.folder.join(location));
                }
            }
        }
    }

    /// Removes what was added in vain.
    pub(super) fn discard(&mut self, layer: &dyn Layer, target: &Target) {
        for location in std::mem::take(&mut self.added) {
            let _ = layer.remove(&target.folder.join(location));
        }
        for folder in std::mem::take(&mut self.made).iter().rev() {
            let _ = layer.remove_folder(folder);
        }
    }
}

/// The folders on the way to `prefix` that are missing, outermost first.
fn missing_folders(layer: &dyn Layer, target: &Target, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let Some((folders, _)) = prefix.rsplit_once('/') else { return Ok(Vec::new()) };
    let mut missing = Vec::new();
    let mut path = target.folder.clone();
    for step in folders.split('/') {
        path.push(step);
        match layer.look(&path).map_err(|source| target.failed(Step::Look, source))? {
            Some(Kind::Folder) => {}
            Some(Kind::Link) => return Err(target.refused(FileFault::Symlink)),
            Some(_) => return Err(target.refused(FileFault::Name("a step on the way is not a folder"))),
            None => missing.push(path.clone()),
        }
    }
    Ok(missing)
}

/// Numbers of the files `prefix` + number, ascending. None if there is no such folder.
fn numbers(layer: &dyn Layer, folder: &Path, prefix: &str) -> io::Result<BTreeSet<u64>> {
    let (inner, stem) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let names = match layer.list(&folder.join(inner)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let number = |name: &str| {
        let number: u64 = name.strip_prefix(stem)?.parse().ok()?;
        (name == format!("{stem}{number}")).then_some(number)
    };
    Ok(names.iter().filter_map(|name| number(name.to_str()?)).collect())
}
