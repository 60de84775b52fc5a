//! `mindir ckpt set`, `rm`, `rename` and `filter`.

use std::path::{Path, PathBuf};

use clap::Args;
use mindir::ckpt::{Checkpoint, Kind, Value, rename_norms};
use mindir::{DType, Tensor, npy};

use super::diff::brief;
use super::files::{WriteArgs, absent, fits, rules};
use crate::args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::print::name;

/// The file to change.
#[derive(Args, Debug)]
struct EditArgs {
    /// The checkpoint
    file: PathBuf,
    /// Write here instead of replacing the file, which --force allows to be the same
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl EditArgs {
    fn read(&self) -> Result<(Checkpoint, Kind), Failure> {
        self.key.read(&self.file)
    }

    /// The file to write.
    fn path(&self) -> &Path {
        self.output.as_deref().unwrap_or(&self.file)
    }

    /// Writes to another file, or in the place of the one that was read.
    fn finish(&self, checkpoint: &Checkpoint, kind: Kind, changes: &[String]) -> Result<Outcome, Failure> {
        match &self.output {
            Some(path) => self.write.check(&self.file, path)?,
            None => self.write.check_changed(&self.file, changes)?,
        }
        match &self.output {
            Some(path) => self.write.write(path, checkpoint, &self.key, kind.cipher, None, changes),
            None => self.write.write(&self.file, checkpoint, &self.key, kind.cipher, Some(kind), changes),
        }
    }
}

/// Set a value: in place of the one with that name, or at the end.
///
/// `@FILE.npy` is a tensor. A number is one of the type that --dtype tells, or of the one it replaces, or i64 or f32; true
/// and false are of type bool; with --text it is a text. The type must hold the value: decimals are rounded to a float, but
/// neither to infinity nor from whole numbers to others. Where the entry has the value already, the file is left as it is.
#[derive(Args, Debug)]
pub struct Set {
    #[command(flatten)]
    edit: EditArgs,
    /// Name of the entry
    name: String,
    /// The value
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Element type of a number or tensor
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    dtype: Option<DType>,
    /// The value is a text
    #[arg(long, conflicts_with = "dtype")]
    text: bool,
}

fn dtype(text: &str) -> Result<DType, String> {
    let all = || DType::ALL.map(DType::name).join(", ");
    DType::from_name(text).ok_or_else(|| format!("expected one of {}", all()))
}

impl Set {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (mut checkpoint, kind) = self.edit.read()?;
        let old = checkpoint.get(&self.name);
        let old_dtype = old.and_then(Value::array).and_then(|a| a.element().dtype());
        let value = self.value(old_dtype)?;
        self.edit.write.check_loadable(self.edit.path(), &[(&*self.name, value.clone())].into_iter().collect())?;
        if old == Some(&value) && self.edit.output.is_none() && self.edit.write.keeps() {
            let text = format!("unchanged {}\n", name(&self.name));
            return Ok(self.edit.write.kept(self.edit.path(), &checkpoint, text));
        }
        let change = match old.map(brief) {
            None => format!("added {}", name(&self.name)),
            Some(was) if was == brief(&value) => format!("set {}", name(&self.name)),
            Some(was) => format!("set {}  {was} → {}", name(&self.name), brief(&value)),
        };
        checkpoint.insert(self.name.clone(), value);
        self.edit.finish(&checkpoint, kind, &[change])
    }

    fn value(&self, old: Option<DType>) -> Result<Value, Failure> {
        if self.text {
            return Ok(self.value.as_str().into());
        }
        if let Some(path) = self.value.strip_prefix('@').map(Path::new) {
            let tensor = npy::read(path).map_err(Failure::file(path))?;
            return Ok(tensor.convert(self.dtype.unwrap_or(tensor.dtype()))?.into());
        }
        Ok(scalar(&self.value, self.dtype.or(old))?.into())
    }
}

/// A number or truth value of a type, which must hold it; without a type i64, u64, f32 or bool.
fn scalar(text: &str, dtype: Option<DType>) -> Result<Tensor, Failure> {
    let (tensor, usual) = if let Ok(truth) = text.parse::<bool>() {
        (Tensor::from_bools(&[], &[truth])?, DType::Bool)
    } else if let Ok(whole) = text.parse::<i64>() {
        (Tensor::scalar(whole), DType::I64)
    } else if let Ok(whole) = text.parse::<u64>() {
        (Tensor::scalar(whole), DType::U64)
    } else {
        let number = text
            .parse::<f64>()
            .map_err(|_| Failure::Usage(format!("{} is no number; --text makes it a text", name(text))))?;
        (Tensor::scalar(number), DType::F32)
    };
    let dtype = dtype.unwrap_or(usual);
    // What is too large for f64 has become an infinity that the text does not speak of; a truth value is no number.
    let is_digits = text.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit());
    let has_digits = text.bytes().any(|b| b.is_ascii_digit());
    let is_lost = usual == DType::F32 && (is_digits || has_digits && tensor.to_f64s()?.iter().any(|x| x.is_infinite()));
    let is_truth = usual == DType::Bool && dtype != DType::Bool;
    let fitting = if is_lost || is_truth { None } else { tensor.convert(dtype).ok() };
    fitting.ok_or_else(|| Failure::Usage(format!("{} is no {dtype}; --dtype gives another type", name(text))))
}

/// Remove entries.
#[derive(Args, Debug)]
pub struct Rm {
    #[command(flatten)]
    edit: EditArgs,
    /// Names, or patterns in which * stands for any text
    #[arg(required = true)]
    names: Vec<String>,
}

impl Rm {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (mut checkpoint, kind) = self.edit.read()?;
        let is_meant = |pattern: &String, n: &str| pattern == n || fits(pattern, n);
        for pattern in &self.names {
            if !checkpoint.names().any(|n| is_meant(pattern, n)) {
                return Err(absent(&checkpoint, pattern));
            }
        }
        let changes = removed(&mut checkpoint, |n| !self.names.iter().any(|pattern| is_meant(pattern, n)));
        self.edit.finish(&checkpoint, kind, &changes)
    }
}

/// Keeps entries, and says which go.
fn removed(checkpoint: &mut Checkpoint, keep: impl Fn(&str) -> bool) -> Vec<String> {
    let mut changes = Vec::new();
    checkpoint.retain(|n, _| {
        let stays = keep(n);
        if !stays {
            changes.push(format!("removed {}", name(n)));
        }
        stays
    });
    changes
}

/// Give entries other names: one, or all by rules.
///
/// A line of the rules is `old = new`, where one * on each side stands for any text, or `old =` to leave an entry out.
#[derive(Args, Debug)]
pub struct Rename {
    #[command(flatten)]
    edit: EditArgs,
    /// Name of an entry
    #[arg(required_unless_present_any = ["names", "batch_norm"], requires = "new")]
    old: Option<String>,
    /// Its new name
    new: Option<String>,
    /// File with rules
    #[arg(long, value_name = "FILE", conflicts_with = "old")]
    names: Option<PathBuf>,
    /// Replace PyTorch's names of normalisations by MindSpore's
    #[arg(long, conflicts_with = "old")]
    batch_norm: bool,
}

impl Rename {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, kind) = self.edit.read()?;
        let before: Vec<String> = checkpoint.names().map(str::to_string).collect();
        let renamed = match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                super::files::entry(&checkpoint, old)?;
                let same = |n: String| Failure::Usage(format!("two entries would be called {}", name(&n)));
                checkpoint.rename(|n| if n == old { new.clone() } else { n.to_string() }).map_err(same)?
            }
            _ => renamed(checkpoint, self.names.as_deref(), self.batch_norm)?,
        };
        let changes = changes(&before, &renamed);
        self.edit.finish(&renamed, kind, &changes)
    }
}

/// The checkpoint with names by rules.
pub fn renamed(checkpoint: Checkpoint, names: Option<&Path>, batch_norm: bool) -> Result<Checkpoint, Failure> {
    let fail = |e: mindir::ckpt::NamesError| Failure::Usage(e.to_string());
    let checkpoint = if batch_norm { rename_norms(checkpoint).map_err(fail)? } else { checkpoint };
    match names {
        Some(path) => rules(path)?.rename(checkpoint).map_err(fail),
        None => Ok(checkpoint),
    }
}

/// Lines about names that came and went.
pub fn changes(before: &[String], after: &Checkpoint) -> Vec<String> {
    let old: std::collections::HashSet<&str> = before.iter().map(String::as_str).collect();
    let gone = before.iter().filter(|n| after.get(n).is_none()).map(|n| format!("- {}", name(n)));
    let new = after.names().filter(|n| !old.contains(n)).map(|n| format!("+ {}", name(n)));
    gone.chain(new).collect()
}

/// Keep some of the entries.
#[derive(Args, Debug)]
pub struct Filter {
    #[command(flatten)]
    edit: EditArgs,
    /// Keep names that fit one of these patterns, in which * stands for any text [default: all]
    #[arg(long, value_name = "PATTERN")]
    keep: Vec<String>,
    /// But not names that fit one of these
    #[arg(long, value_name = "PATTERN")]
    drop: Vec<String>,
}

impl Filter {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (mut checkpoint, kind) = self.edit.read()?;
        let any = |patterns: &[String], n: &str| patterns.iter().any(|pattern| fits(pattern, n));
        let keep = |n: &str| (self.keep.is_empty() || any(&self.keep, n)) && !any(&self.drop, n);
        let changes = removed(&mut checkpoint, keep);
        self.edit.finish(&checkpoint, kind, &changes)
    }
}
