//! A file system in memory that fails or loses power at a chosen operation.
//!
//! It keeps what programs see apart from what is on the disk: contents get there when a file is synced, names when its folder
//! is. What of the rest a loss of power leaves is open, so [`Memory::after_power_loss`] gives several outcomes.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::{Kind, Layer, Output};

/// A file system; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// What programs see.
    seen: Names,
    /// What is on the disk.
    kept: Names,
    /// Changes of names that are not on the disk, oldest first.
    pending: Vec<Change>,
    files: Vec<File>,
    locks: BTreeSet<PathBuf>,
    operations: usize,
    fault: Option<Fault>,
    dead: bool,
}

/// Names and what they stand for: a folder, or a file with this index.
type Names = BTreeMap<PathBuf, Option<usize>>;

#[derive(Clone, Debug)]
enum Change {
    Add(PathBuf, Option<usize>),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    kept: Vec<u8>,
    mode: u32,
}

/// What happens at an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It fails.
    Error(usize),
    /// It and all later ones do not happen.
    Death(usize),
}

/// Bytes that one call writes at most, so that files take several.
const AT_ONCE: usize = 7;

impl Change {
    fn folder(&self) -> &Path {
        let (Self::Add(path, _) | Self::Remove(path) | Self::Rename(path, _)) = self;
        path.parent().unwrap()
    }

    fn apply(self, names: &mut Names) {
        match self {
            Self::Add(path, what) => drop(names.insert(path, what)),
            Self::Remove(path) => drop(names.remove(&path)),
            Self::Rename(from, to) => {
                if let Some(what) = names.remove(&from) {
                    names.insert(to, what);
                }
            }
        }
    }
}

impl State {
    /// Counts an operation; an error if it does not happen.
    fn step(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        match self.fault {
            Some(Fault::Error(at)) if at == number => Err(io::Error::other("injected")),
            Some(Fault::Death(at)) if at <= number => {
                self.dead = true;
                Err(io::Error::other("dead"))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.seen);
        self.pending.push(change);
    }

    fn add(&mut self, path: &Path) -> usize {
        self.files.push(File::default());
        let index = self.files.len() - 1;
        self.change(Change::Add(path.to_path_buf(), Some(index)));
        index
    }
}

impl Memory {
    /// A file system with the empty folder `/d`.
    pub(super) fn new() -> Self {
        let memory = Self::default();
        memory.state().seen.insert("/d".into(), None);
        memory.state().kept.insert("/d".into(), None);
        memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A copy that has a fault.
    pub(super) fn with(&self, fault: Fault) -> Self {
        let state = State { fault: Some(fault), operations: 0, ..self.state().clone() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Whether the fault happened.
    pub(super) fn failed(&self) -> bool {
        let state = self.state();
        match state.fault {
            Some(Fault::Error(at)) => state.operations > at,
            Some(Fault::Death(_)) => state.dead,
            None => false,
        }
    }

    /// A copy without faults.
    pub(super) fn healed(&self) -> Self {
        let state = State { fault: None, ..self.state().clone() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The same file system after the process died and another one looks at it.
    pub(super) fn after_death(&self) -> Self {
        let state = State { fault: None, dead: false, locks: BTreeSet::new(), ..self.state().clone() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What a loss of power may leave: of the changes of names that were not synced none, all, any first ones, or any one.
    pub(super) fn after_power_loss(&self) -> Vec<Self> {
        let state = self.state();
        let pending = state.pending.as_slice();
        let first = (0..=pending.len()).map(|count| pending[..count].to_vec());
        let single = pending.iter().map(|change| vec![change.clone()]);
        let outcome = |changes: Vec<Change>| {
            let mut names = state.kept.clone();
            changes.into_iter().for_each(|change| change.apply(&mut names));
            let files = state.files.iter().map(|file| File { seen: file.kept.clone(), ..file.clone() }).collect();
            let after = State { seen: names.clone(), kept: names, files, ..State::default() };
            Self(Arc::new(Mutex::new(after)))
        };
        first.chain(single).map(outcome).collect()
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let file = (*state.seen.get(Path::new(path))?)?;
        Some(state.files[file].seen.clone())
    }

    pub(super) fn mode(&self, path: &str) -> Option<u32> {
        let state = self.state();
        let file = (*state.seen.get(Path::new(path))?)?;
        Some(state.files[file].mode)
    }

    /// Every name below `/d`.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.state();
        state.seen.keys().filter_map(|path| Some(path.strip_prefix("/d").ok()?.to_str()?.to_string())).skip(1).collect()
    }

    fn index(&self, path: &Path) -> io::Result<Option<usize>> {
        self.state().seen.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Layer for Memory {
    fn look(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.state().step()?;
        let state = self.state();
        Ok(state.seen.get(path).map(|what| what.map_or(Kind::Folder, |file| Kind::File(state.files[file].mode))))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.state().step()?;
        self.index(folder)?;
        let state = self.state();
        let inside = state.seen.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_os_string())).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send>>> {
        self.state().step()?;
        let mut state = self.state();
        if !state.seen.contains_key(path) {
            state.add(path);
        }
        if !state.locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held { memory: self.clone(), path: path.to_path_buf() })))
    }

    fn create(&self, path: &Path, mode: Option<u32>) -> io::Result<Box<dyn Output>> {
        self.state().step()?;
        let mut state = self.state();
        if state.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.add(path);
        state.files[file].mode = mode.unwrap_or(0o644);
        Ok(Box::new(Open { memory: self.clone(), file }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.state().step()?;
        self.state().change(Change::Add(path.to_path_buf(), None));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().step()?;
        self.index(from)?;
        self.state().change(Change::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().step()?;
        self.index(path)?;
        self.state().change(Change::Remove(path.to_path_buf()));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().step()?;
        let state = &mut *self.state();
        let (synced, open) = state.pending.drain(..).partition(|change: &Change| change.folder() == folder);
        state.pending = open;
        synced.into_iter().for_each(|change| change.apply(&mut state.kept));
        Ok(())
    }
}

struct Held {
    memory: Memory,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.state().locks.remove(&self.path);
    }
}

struct Open {
    memory: Memory,
    file: usize,
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.memory.state();
        let count = bytes.len().min(AT_ONCE);
        let happens = state.step();
        // A call that fails may have written something.
        let count = if happens.is_err() { count / 2 } else { count };
        if !state.dead {
            state.files[self.file].seen.extend_from_slice(&bytes[..count]);
        }
        happens.map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Open {
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.memory.state().step()?;
        self.memory.state().files[self.file].mode = mode;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.state().step()?;
        let file = &mut self.memory.state().files[self.file];
        file.kept = file.seen.clone();
        Ok(())
    }
}
