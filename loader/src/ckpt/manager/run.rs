//! A loop that is saved while it runs, and when it breaks.

use std::fmt::{self, Debug, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::CheckpointManager;
use crate::ckpt::{Checkpoint, CheckpointError};

/// How far a loop is. Steps and epochs count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps since the start, this one included.
    pub step: u64,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// The end of step number `step` since the start.
    pub fn new(step: u64, steps_per_epoch: u64) -> Self {
        Self { step, steps_per_epoch: steps_per_epoch.max(1) }
    }

    /// Number of the epoch.
    pub fn epoch(self) -> u64 {
        self.step.saturating_sub(1) / self.steps_per_epoch.max(1) + 1
    }

    /// Number of the step within its epoch.
    pub fn step_in_epoch(self) -> u64 {
        self.step.saturating_sub(1) % self.steps_per_epoch.max(1) + 1
    }
}

/// A loop. It ends with [`finish`](Self::finish); if it is dropped before, because of an error or a panic, and
/// [`exception_save`](super::CheckpointConfig::exception_save) is on, what it has is saved as
/// `PREFIX-EPOCH_STEP_breakpoint.ckpt`.
pub struct Run<'m, S: FnMut() -> Checkpoint> {
    manager: &'m mut CheckpointManager,
    snapshot: S,
    progress: Option<Progress>,
    ended: bool,
}

impl<'m, S: FnMut() -> Checkpoint> Run<'m, S> {
    pub(super) fn new(manager: &'m mut CheckpointManager, snapshot: S) -> Self {
        Self { manager, snapshot, progress: None, ended: false }
    }

    /// A step is done. If a checkpoint is due, it is saved, and its path returned.
    ///
    /// # Errors
    /// It, or the one before in the background, could not be saved.
    pub fn step_end(&mut self, progress: Progress) -> Result<Option<PathBuf>, CheckpointError> {
        self.progress = Some(progress);
        self.save_if_due(progress, false)
    }

    /// The loop is done: its last step is saved if it was not, and what is saved in the background is waited for.
    ///
    /// # Errors
    /// As [`step_end`](Self::step_end).
    pub fn finish(mut self) -> Result<Option<PathBuf>, CheckpointError> {
        self.ended = true;
        let saved = self.progress.map_or(Ok(None), |progress| self.save_if_due(progress, true))?;
        self.manager.wait()?;
        Ok(saved)
    }

    /// The loop failed, and what it has is of no use: saves nothing.
    pub fn abandon(mut self) {
        self.ended = true;
    }

    /// The loop failed: saves what it has, if `exception_save` is on. Dropping does the same without telling how it went.
    ///
    /// # Errors
    /// It could not be saved.
    pub fn interrupt(mut self) -> Result<Option<PathBuf>, CheckpointError> {
        self.save_breakpoint()
    }

    fn save_if_due(&mut self, progress: Progress, is_end: bool) -> Result<Option<PathBuf>, CheckpointError> {
        if !self.manager.is_due(progress, is_end) {
            return Ok(None);
        }
        let checkpoint = (self.snapshot)();
        self.manager.save(progress, checkpoint).map(Some)
    }

    fn save_breakpoint(&mut self) -> Result<Option<PathBuf>, CheckpointError> {
        let wanted = !std::mem::replace(&mut self.ended, true) && self.manager.config.exception_save;
        let Some(progress) = self.progress.filter(|_| wanted) else { return Ok(None) };
        let checkpoint = (self.snapshot)();
        self.manager.save_breakpoint(progress, checkpoint).map(Some)
    }
}

impl<S: FnMut() -> Checkpoint> Drop for Run<'_, S> {
    fn drop(&mut self) {
        // During a panic a second one, in the caller's closure, would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.save_breakpoint())));
    }
}

impl<S: FnMut() -> Checkpoint> Debug for Run<'_, S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("progress", &self.progress).finish_non_exhaustive()
    }
}
