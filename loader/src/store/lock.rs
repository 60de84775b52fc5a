//! One writer at a time.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{Step, StoreError};
use super::layer::Layer;
use super::target::Target;

/// The right to write a target. Dropping it removes the lock's file and lets the next writer in.
pub(super) struct Lock {
    layer: Arc<dyn Layer>,
    path: PathBuf,
    _held: Box<dyn Any + Send>,
}

impl Lock {
    pub(super) fn take(layer: &Arc<dyn Layer>, target: &Target) -> Result<Self, StoreError> {
        let path = target.lock();
        let step = |e: &io::Error| if e.kind() == io::ErrorKind::NotFound { Step::Folder } else { Step::Lock };
        let held = layer.lock(&path).map_err(|source| target.failed(step(&source), source))?;
        Ok(Self { layer: Arc::clone(layer), path, _held: held.ok_or_else(|| target.busy())? })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file goes while the lock is held: whoever gets the lock next sees that its file is no longer in use. A file
        // that stays does no harm.
        let _ = self.layer.remove(&self.path);
    }
}
