//! The rules of a manager.

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use crate::Printable;
use crate::ckpt::{Format, Value, WriteOptions};
use crate::error::FileFault;
use crate::files::check_location;
use crate::store::{self, StoreError};

/// When checkpoints are saved and which are kept; names and defaults are those of MindSpore.
#[derive(Clone, Debug)]
pub struct CheckpointConfig {
    /// Save after this many steps; 0 turns the rule off. 1 by default.
    pub save_checkpoint_steps: u64,
    /// Save after more than this many seconds, unless steps are given; 0 turns the rule off. 0 by default.
    pub save_checkpoint_seconds: u64,
    /// Keep this many files; 0 turns the rule off. 5 by default.
    pub keep_checkpoint_max: usize,
    /// Unless a maximum is given, keep one file for every so many minutes, and the latest one; 0 turns the rule off, and with
    /// no maximum either one file is kept. 0 by default.
    pub keep_checkpoint_per_n_minutes: u64,
    /// Save a `_breakpoint` file when the loop is left early. Off by default.
    pub exception_save: bool,
    /// Save in the background: the loop goes on meanwhile, and an error comes up at the next save. Off by default.
    pub async_save: bool,
    /// Parameters to be saved, where not all of them are.
    pub saved_network: Option<Choose>,
    /// What is saved besides the parameters.
    pub append_info: AppendInfo,
    /// How files are written; only for the owner to read by default, as in MindSpore. The format is `.ckpt` unless given.
    pub write: WriteOptions,
    /// What tells the time.
    pub clock: Clock,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        let store = store::Options { mode: Some(0o400), ..store::Options::default() };
        Self {
            save_checkpoint_steps: 1,
            save_checkpoint_seconds: 0,
            keep_checkpoint_max: 5,
            keep_checkpoint_per_n_minutes: 0,
            exception_save: false,
            async_save: false,
            saved_network: None,
            append_info: AppendInfo::default(),
            write: WriteOptions { store, ..WriteOptions::default() },
            clock: Clock::default(),
        }
    }
}

/// Says of a parameter's name whether it is saved.
#[derive(Clone)]
pub struct Choose(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Debug for Choose {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Choose")
    }
}

/// What is saved besides the parameters, after them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppendInfo {
    /// Save the number of the epoch, plus this, as `epoch_num`.
    pub epoch_num: Option<i64>,
    /// Save the number of the step since the start, plus this, as `step_num`.
    pub step_num: Option<i64>,
    /// Further values.
    pub values: Vec<(String, Value)>,
}

/// What tells the time; tests can set their own.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(SystemTime::now))
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Why there is no manager.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// All rules are turned off.
    #[error("no rule says when to save or which files to keep")]
    NoRule,
    /// The format cannot hold what is to be saved.
    #[error(".safetensors files have no checksum, encryption or breakpoint here, as in MindSpore")]
    Safetensors,
    /// Files in this format are not saved.
    #[error("checkpoints are not saved as {0} files")]
    Format(Format),
    /// The prefix cannot begin a file name.
    #[error("prefix {}: {why}", Printable(.prefix))]
    Prefix {
        /// The prefix.
        prefix: String,
        /// Why not.
        why: String,
    },
    /// The folder cannot be used.
    #[error("{}: {source}", Printable(.folder))]
    Folder {
        /// The folder.
        folder: String,
        /// Why not.
        source: io::Error,
    },
    /// What other writers have left there cannot be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CheckpointConfig {
    /// The rules that hold: steps go before seconds, a maximum before minutes.
    pub(super) fn checked(mut self) -> Result<Self, ConfigError> {
        let keeps = self.keep_checkpoint_max > 0 || self.keep_checkpoint_per_n_minutes > 0;
        if self.save_checkpoint_steps == 0 && self.save_checkpoint_seconds == 0 && !keeps {
            return Err(ConfigError::NoRule);
        }
        match self.write.format {
            None | Some(Format::Ckpt) => {}
            Some(Format::Safetensors) if self.write.crc || self.write.encryption.is_some() || self.exception_save => {
                return Err(ConfigError::Safetensors);
            }
            Some(Format::Safetensors) => {}
            Some(other) => return Err(ConfigError::Format(other)),
        }
        if self.save_checkpoint_steps > 0 {
            self.save_checkpoint_seconds = 0;
        }
        if !keeps {
            self.keep_checkpoint_max = 1;
        }
        Ok(self)
    }
}

pub(super) fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    let refuse = |why: String| ConfigError::Prefix { prefix: prefix.to_string(), why };
    if prefix.contains('/') {
        return Err(refuse("it has a /".to_string()));
    }
    check_location(prefix).map_err(|fault: FileFault| refuse(fault.to_string()))
}
