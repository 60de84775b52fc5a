//! Saving while the program goes on.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::{Checkpoint, CheckpointError, WriteOptions, write};
use crate::error::LoadError;

/// A checkpoint that is being saved by another thread. Dropping it waits, so that no file is lost at the end of a program; an
/// error is then lost, which [`wait`](Self::wait) returns.
#[derive(Debug)]
#[must_use = "an error is only known to who waits"]
pub struct SaveHandle {
    path: PathBuf,
    thread: Option<JoinHandle<Result<(), CheckpointError>>>,
}

/// Starts to write a checkpoint, and calls `after` when it is on the disk. The tensors are shared, not copied.
///
/// # Errors
/// There is no thread for it.
pub fn write_async(
    path: impl AsRef<Path>,
    checkpoint: Checkpoint,
    options: WriteOptions,
    after: impl FnOnce() + Send + 'static,
) -> Result<SaveHandle, CheckpointError> {
    let path = path.as_ref().to_path_buf();
    let target = path.clone();
    let work = move || {
        write(&target, &checkpoint, &options)?;
        after();
        Ok(())
    };
    let spawned = thread::Builder::new().name("mindir-save".to_string()).spawn(work);
    let thread = spawned.map_err(|source| LoadError::Io { file: path.display().to_string(), source })?;
    Ok(SaveHandle { path, thread: Some(thread) })
}

impl SaveHandle {
    /// The file that is being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the thread is done, with or without an error.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the file is on the disk.
    ///
    /// # Errors
    /// It could not be written.
    pub fn wait(mut self) -> Result<(), CheckpointError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), CheckpointError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            let (file, what) = (self.path.display().to_string(), "the thread that saves it has panicked".to_string());
            Err(CheckpointError::Format { file, offset: None, what })
        })
    }
}

impl Drop for SaveHandle {
    fn drop(&mut self) {
        let _ = self.join();
    }
}
