//! What writers that died have left behind.

use std::collections::BTreeSet;
use std::path::Path;

use super::Options;
use super::error::{Step, StoreError};
use super::layer::Layer;
use super::lock::Lock;
use super::target::{Target, owner};

/// Removes the temporary files of a target. The caller holds its lock, so nobody is writing them.
pub(super) fn clean(layer: &dyn Layer, target: &Target) -> Result<(), StoreError> {
    let names = layer.list(&target.folder).map_err(|source| target.failed(Step::Look, source))?;
    let names = names.iter().filter_map(|name| name.to_str());
    for name in names.filter(|name| target.owns_temporary(name)) {
        layer.remove(&target.folder.join(name)).map_err(|source| target.failed(Step::Clean, source))?;
    }
    Ok(())
}

/// Removes from a folder what writers that died have left, whichever files they were writing. What somebody is writing is
/// left alone.
///
/// A writer cleans up for its own target; this is for folders in which no name is written twice.
///
/// # Errors
/// What could not be looked at or removed.
pub fn sweep(folder: impl AsRef<Path>, options: &Options) -> Result<(), StoreError> {
    let folder = folder.as_ref();
    let layer = &options.layer;
    let failed =
        |source| StoreError::Io { file: folder.display().to_string(), step: Step::Look, source, replaced: false };
    let names = layer.list(folder).map_err(failed)?;
    let owners: BTreeSet<&str> = names.iter().filter_map(|name| owner(name.to_str()?)).collect();
    for owner in owners {
        let target = Target::of(&folder.join(owner))?;
        match Lock::take(layer, &target) {
            Ok(_lock) => clean(layer.as_ref(), &target)?,
            Err(StoreError::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
