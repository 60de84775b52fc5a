//! Saving checkpoints by rules while a model trains.
//!
//! The rules are those of MindSpore's `CheckpointConfig` and `ModelCheckpoint`, with two differences: old files are removed
//! after the new one is on the disk, not before, and an unfinished loop leaves its `_breakpoint` file without being told to
//! catch anything ([`Run`]).

mod config;
mod files;
mod run;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

pub use config::{AppendInfo, CheckpointConfig, Choose, Clock, ConfigError};
use files::{Kept, next_prefix};
pub use run::{Progress, Run};

use super::{Checkpoint, CheckpointError, Format, SaveHandle, Value, WriteOptions, write, write_async};
use crate::error::LoadError;
use crate::store;

/// Decides when a checkpoint is saved, how it is called and which old ones go.
///
/// Files are called `PREFIX-EPOCH_STEP.ckpt`, where the step counts within the epoch. A new manager with the prefix and
/// folder of an old one calls its files `PREFIX_1-…`, the next one `PREFIX_2-…`.
///
/// ```
/// use mindir_graph::Tensor;
/// use mindir_loader::ckpt::{AppendInfo, Checkpoint, CheckpointConfig, CheckpointManager, Progress};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let config = CheckpointConfig {
///     save_checkpoint_steps: 2,
///     append_info: AppendInfo { step_num: Some(0), ..AppendInfo::default() },
///     ..CheckpointConfig::default()
/// };
/// let mut manager = CheckpointManager::new("net", folder, config)?;
/// let weight = std::cell::Cell::new(0.0f32);
/// let mut run = manager.run(|| [("weight", Tensor::vector(&[weight.get()]))].into_iter().collect::<Checkpoint>());
/// for step in 1..=5 {
///     weight.set(weight.get() + 0.5); // One step of training.
///     run.step_end(Progress::new(step, 5))?;
/// }
/// run.finish()?;
/// let mut names: Vec<_> = std::fs::read_dir(folder)?.map(|entry| entry.unwrap().file_name()).collect();
/// names.sort();
/// assert_eq!(names, ["net-1_2.ckpt", "net-1_4.ckpt", "net-1_5.ckpt"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CheckpointManager {
    folder: PathBuf,
    /// As given, without the number of a re-run.
    base: String,
    prefix: String,
    config: CheckpointConfig,
    kept: Kept,
    /// Step that was saved last; 0 before the first.
    last_step: u64,
    /// When a file was saved last, or the manager was made.
    last_time: SystemTime,
    last_saved: Option<SystemTime>,
    latest: Option<PathBuf>,
    pending: Option<SaveHandle>,
}

impl CheckpointManager {
    /// A manager of the files in `folder`, which is made if needed, that begin with `prefix`. What writers that died have left
    /// there is removed.
    ///
    /// # Errors
    /// The rules contradict each other, the prefix is no part of a file name, or the folder cannot be used: no file can be written
    /// there, for one.
    pub fn new(prefix: &str, folder: impl AsRef<Path>, config: CheckpointConfig) -> Result<Self, ConfigError> {
        let config = config.checked()?;
        config::check_prefix(prefix)?;
        let folder = folder.as_ref().to_path_buf();
        let fail = |source| ConfigError::Folder { folder: folder.display().to_string(), source };
        make_folder(&folder).map_err(fail)?;
        store::sweep(&folder, &config.write.store)?;
        let names = files::names(&folder).map_err(fail)?;
        let last_time = (config.clock.0)();
        store::try_folder(&folder, &config.write.store)?;
        Ok(Self {
            prefix: next_prefix(&names, prefix, false),
            base: prefix.to_string(),
            kept: Kept::default(),
            folder,
            config,
            last_step: 0,
            last_time,
            last_saved: None,
            latest: None,
            pending: None,
        })
    }

    /// Starts a loop whose values are what `snapshot` gives.
    pub fn run<S: FnMut() -> Checkpoint>(&mut self, snapshot: S) -> Run<'_, S> {
        Run::new(self, snapshot)
    }

    /// Goes on after step `step` of an earlier loop: checkpoints are due after the same steps as if that one had gone on.
    pub fn go_on_after(&mut self, step: u64) {
        self.last_step = step - step.checked_rem(self.config.save_checkpoint_steps).unwrap_or(0);
    }

    /// The file that was saved last, or is being saved.
    pub fn latest(&self) -> Option<&Path> {
        self.latest.as_deref()
    }

    /// Waits for the file that is being saved in the background.
    ///
    /// # Errors
    /// It could not be saved.
    pub fn wait(&mut self) -> Result<(), CheckpointError> {
        self.pending.take().map_or(Ok(()), SaveHandle::wait)
    }

    /// Whether a checkpoint is due after this step, or at the end of the loop.
    fn is_due(&mut self, progress: Progress, is_end: bool) -> bool {
        let CheckpointConfig { save_checkpoint_steps: steps, save_checkpoint_seconds: seconds, .. } = self.config;
        if progress.step == self.last_step {
            return false;
        }
        if steps > 0 {
            return is_end || progress.step >= self.last_step.saturating_add(steps);
        }
        let now = self.now();
        let due = seconds > 0 && (is_end || since(self.last_time, now).as_secs_f64() > seconds as f64);
        if due {
            self.last_time = now;
        }
        due
    }

    fn now(&self) -> SystemTime {
        (self.config.clock.0)()
    }

    /// Saves the checkpoint of a step, and removes those that are too many.
    fn save(&mut self, progress: Progress, mut checkpoint: Checkpoint) -> Result<PathBuf, CheckpointError> {
        self.wait()?;
        if let Some(saved) = &self.config.saved_network {
            checkpoint.retain(|name, _| saved.0(name));
        }
        self.append(progress, &mut checkpoint);
        let format = self.config.write.format.unwrap_or(Format::Ckpt);
        let name = format!("{}-{}_{}.{format}", self.prefix, progress.epoch(), progress.step_in_epoch());
        let path = self.folder.join(&name);
        let now = self.now();
        let names = files::names(&self.folder).map_err(|source| self.failed(source))?;
        let old = self.kept.list(&self.folder, &names, &self.prefix, format, &name);
        let surplus = self.surplus(&old, now);
        let folder = self.folder.clone();
        let remove = move || surplus.iter().for_each(|name| drop(fs::remove_file(folder.join(name))));
        let options = WriteOptions { format: Some(format), ..self.config.write.clone() };
        if self.config.async_save {
            self.pending = Some(write_async(&path, checkpoint, options, remove)?);
        } else {
            write(&path, &checkpoint, &options)?;
            remove();
        }
        self.kept.saved(name, now);
        self.last_saved = Some(now);
        self.last_step = progress.step;
        self.latest = Some(path.clone());
        Ok(path)
    }

    /// The files that go when one more is saved.
    fn surplus(&self, old: &[files::Old], now: SystemTime) -> Vec<String> {
        let CheckpointConfig { keep_checkpoint_max: most, keep_checkpoint_per_n_minutes: minutes, .. } = self.config;
        if most > 0 {
            let oldest = old.first().filter(|_| old.len() >= most);
            return oldest.map(|file| file.name.clone()).into_iter().collect();
        }
        let span = minutes.saturating_mul(60) as f64;
        if self.last_saved.is_none_or(|last| since(last, now).as_secs_f64() >= span) {
            return Vec::new();
        }
        // Oldest first: the first of the young ones stays.
        let young = old.iter().filter(|file| since(file.time, now).as_secs_f64() < span);
        young.skip(1).map(|file| file.name.clone()).collect()
    }

    fn append(&self, progress: Progress, checkpoint: &mut Checkpoint) {
        let AppendInfo { epoch_num, step_num, values } = &self.config.append_info;
        let number = |base: i64, count: u64| Value::from(base.saturating_add_unsigned(count));
        let numbers = [("epoch_num", epoch_num, progress.epoch()), ("step_num", step_num, progress.step)];
        for (name, base, count) in numbers {
            if let Some(base) = base {
                checkpoint.insert(name, number(*base, count));
            }
        }
        checkpoint.extend(values.iter().cloned());
    }

    /// Saves what an interrupted loop has.
    fn save_breakpoint(&mut self, progress: Progress, mut checkpoint: Checkpoint) -> Result<PathBuf, CheckpointError> {
        // What became of the file before does not matter now.
        let _ = self.wait();
        let names = files::names(&self.folder).map_err(|source| self.failed(source))?;
        let prefix = next_prefix(&names, &self.base, true);
        let name = format!("{prefix}-{}_{}_breakpoint.ckpt", progress.epoch(), progress.step_in_epoch());
        self.append(progress, &mut checkpoint);
        let path = self.folder.join(name);
        write(&path, &checkpoint, &self.config.write)?;
        Ok(path)
    }

    fn failed(&self, source: io::Error) -> CheckpointError {
        LoadError::Io { file: self.folder.display().to_string(), source }.into()
    }
}

/// Time that has passed; none if the clock was set back.
fn since(then: SystemTime, now: SystemTime) -> std::time::Duration {
    now.duration_since(then).unwrap_or_default()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
