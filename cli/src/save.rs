//! Files that a command writes: for real or not, with a bar where it takes long.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mindir::ExportError;
use mindir::store::{self, Disk, DryRun, Layer, Options, Watch};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// From this many bytes on, a bar is shown.
const LONG: u64 = 64 << 20;

/// How a command writes and tells of it.
#[derive(Args, Debug, Clone)]
pub struct SaveArgs {
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Replace the file that was read, or write one that would be as it was
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What the ending of a file to write stands for, in any case; `None` without an ending. An ending alone is no name.
pub fn by_ending<T: Copy>(path: &Path, known: &[(&str, T)]) -> Result<Option<T>, Failure> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let only = file.strip_prefix('.').filter(|rest| known.iter().any(|(of, _)| rest.eq_ignore_ascii_case(of)));
    if only.is_some() {
        return Err(Failure::Usage(format!("{}: the name has nothing before its ending", path.display())));
    }
    let Some(ending) = path.extension().map(|ending| ending.to_string_lossy()) else { return Ok(None) };
    let found = known.iter().find(|(of, _)| ending.eq_ignore_ascii_case(of));
    let refused = || {
        let all: Vec<String> = known.iter().map(|(of, _)| format!(".{of}")).collect();
        let (path, ending) = (path.display(), print::name(&ending));
        Failure::Usage(format!("{path}: cannot write .{ending} files; endings are {}", all.join(", ")))
    };
    found.map(|(_, meaning)| Some(*meaning)).ok_or_else(refused)
}

/// What an ending must be, as [`by_ending`], of a file that has to have one.
pub fn must_end(path: &Path, known: &[(&str, ())]) -> Result<(), Failure> {
    let none = || {
        format!("{}: the name says no kind of file; end it in .{}", path.display(), known.first().map_or("", |k| k.0))
    };
    by_ending(path, known)?.ok_or_else(|| Failure::Usage(none()))
}

/// The files that this command reads.
static READ: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Notes that the command reads a file, so that it writes nothing over it.
pub fn reads(path: &Path) {
    READ.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_path_buf());
}

/// Refuses to write over a file that the command reads.
pub fn unread(path: &Path) -> Result<(), Failure> {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    match read.iter().any(|read| is_same(read, path)) {
        true => Err(Failure::Usage(format!("{}: this command reads it and would replace it", path.display()))),
        false => Ok(()),
    }
}

/// Refuses to write a file in a folder that does not exist.
pub fn has_folder(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.is_some_and(|folder| !folder.exists()) {
        true => Err(Failure::file(path)(io::ErrorKind::NotFound.into())),
        false => Ok(()),
    }
}

/// Refuses a file that could not be written: one that the command reads, a folder, one in a folder that does not exist or takes no
/// new files.
pub fn try_target(path: &Path) -> Result<(), Failure> {
    unread(path)?;
    has_folder(path)?;
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if real.is_dir() {
        return Err(Failure::file(path)(io::ErrorKind::IsADirectory.into()));
    }
    if real.exists() && !real.is_file() {
        return Ok(());
    }
    store::try_target(real, &Options::default()).map_err(|e| Failure::Model(ExportError::Store(e).into()))
}

/// Refuses a folder for files that takes none, or could not be made.
pub fn try_folder(folder: &Path) -> Result<(), Failure> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new(""));
    let tried = store::try_folder(there, &Options::default());
    tried.map_err(|e| Failure::Model(ExportError::Store(e).into()))
}

/// Writes a file that the command does not read, through links: whatever happens, there is the old one or the new one. What is
/// no file, such as a device, is written to.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    unread(path)?;
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if real.exists() && !real.is_file() {
        let mut device = File::options().write(true).open(&real).map_err(Failure::file(path))?;
        return fill(&mut device).map_err(Failure::file(path));
    }
    let written = store::replace(real, &Options::default(), fill);
    written.map_err(|e| Failure::Model(ExportError::Store(e).into()))
}

/// Whether two paths are one file that exists.
pub fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(a).is_some_and(|a| real(b) == Some(a))
}

impl SaveArgs {
    /// Refuses a file in a folder that does not exist, and to replace a file by what is made of it, unless that is asked for.
    pub fn check(&self, source: &Path, target: &Path) -> Result<(), Failure> {
        has_folder(target)?;
        let is_allowed = self.force || self.dry_run || !is_same(source, target);
        if is_allowed { Ok(()) } else { Err(Failure::same(target)) }
    }

    /// Lets `save` write about `size` bytes.
    pub fn save<T>(&self, size: u64, save: impl FnOnce(Options) -> T) -> T {
        let bar = bar(size);
        let told = bar.clone();
        let layer: Arc<dyn Layer> = if self.dry_run { Arc::new(DryRun) } else { Arc::new(Disk) };
        let saved = save(Options { mode: None, layer, watch: Some(Watch(Arc::new(move |bytes| told.inc(bytes)))) });
        bar.finish_and_clear();
        saved
    }

    /// What to print of a report: its text tells what was done.
    pub fn outcome(&self, report: &impl Serialize, text: impl FnOnce() -> String) -> Outcome {
        match (self.json, self.dry_run) {
            (true, _) => Outcome::ok(print::json(report)),
            (_, true) => Outcome::ok(text()),
            _ => Outcome::done(text()),
        }
    }

    /// What was done to a file.
    pub fn verb(&self) -> &'static str {
        if self.dry_run { "would write" } else { "wrote" }
    }
}

fn bar(size: u64) -> ProgressBar {
    if !print::shows_progress() || size < LONG {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
