//! Reading and writing checkpoints.

use std::path::Path;

use clap::Args;
use mindir::ckpt::{self, Checkpoint, CheckpointError, Format, Kind, Names, Value, WriteOptions};
use mindir::crypto::Encryption;
use mindir::{Cipher, DType, store};
use serde::Serialize;

use crate::args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::save::{self, SaveArgs};

/// How a checkpoint is written.
#[derive(Args, Debug, Clone)]
pub struct WriteArgs {
    /// Format [default: what the ending of the path tells]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// Add a checksum
    #[arg(long)]
    crc: bool,
    /// Encrypt with the key: AES-GCM, AES-CBC or SM4-CBC [default: as what was read]
    #[arg(long, value_name = "MODE")]
    encrypt: Option<Cipher>,
    /// Do not encrypt, even if what was read is encrypted
    #[arg(long, conflicts_with = "encrypt")]
    decrypt: bool,
    /// Make the file read-only for its owner and invisible for others, as MindSpore does
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    save: SaveArgs,
}

/// Formats that are written, by their names, which are the endings of their files.
const FORMATS: [(&str, Format); 3] =
    [("ckpt", Format::Ckpt), ("safetensors", Format::Safetensors), ("npz", Format::Npz)];

fn format(text: &str) -> Result<Format, String> {
    let found = FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
    found.ok_or_else(|| "expected ckpt, safetensors or npz".to_string())
}

/// What was written.
#[derive(Serialize)]
struct Written<'a> {
    path: String,
    entries: usize,
    bytes: u64,
    dry_run: bool,
    changes: &'a [String],
}

impl WriteArgs {
    /// Writes a checkpoint; `changes` are lines about what is new in it. What was read from a file encrypted with `cipher` is
    /// encrypted again, and a file that is replaced keeps its format and whether it has a checksum (`old`), unless something
    /// else is asked for.
    pub fn write(
        &self,
        path: &Path,
        checkpoint: &Checkpoint,
        key: &KeyArgs,
        cipher: Option<Cipher>,
        old: Option<Kind>,
        changes: &[String],
    ) -> Result<Outcome, Failure> {
        if checkpoint.is_empty() {
            return Err(Failure::Usage("no entry would be left".into()));
        }
        if self.decrypt && cipher.is_none() {
            print::warn("--decrypt has no effect: what was read is not encrypted");
        }
        let cipher = self.encrypt.or(cipher).filter(|_| !self.decrypt);
        let encryption = match (cipher, key.key()?) {
            (None, _) => None,
            (Some(_), None) => return Err(Failure::Usage("--encrypt needs --key-file or --key-env".into())),
            (Some(cipher), Some(key)) => Some(Encryption::new(cipher, key).map_err(|e| Failure::Usage(e.to_string()))?),
        };
        let format = match self.format.or(old.map(|old| old.format)) {
            Some(format) => Some(format),
            None => save::by_ending(path, &FORMATS)?,
        };
        if self.crc && format == Some(Format::Npz) {
            print::warn("--crc has no effect: .npz files have checksums of their own");
        }
        let size = checkpoint.bytes();
        self.save.save(size, |store| {
            let crc = self.crc || old.is_some_and(|old| old.has_crc);
            let store = store::Options { mode: self.read_only.then_some(0o400), ..store };
            ckpt::write(path, checkpoint, &WriteOptions { format, encryption, crc, store })
        })?;
        let path = path.display().to_string();
        let (entries, dry_run) = (checkpoint.len(), self.save.dry_run);
        let report = Written { path, entries, bytes: size, dry_run, changes };
        Ok(self.save.outcome(&report, || report.text(self.save.verb())))
    }

    /// Refuses to replace a file by what is made of it, unless that is asked for.
    pub fn check(&self, source: &Path, target: &Path) -> Result<(), Failure> {
        self.save.check(source, target)
    }

    /// Whether a file with the same entries would be left as it is.
    pub fn keeps(&self) -> bool {
        let Self { format, crc, encrypt, decrypt, read_only, save } = self;
        !(format.is_some() || *crc || encrypt.is_some() || *decrypt || *read_only || save.force)
    }

    /// What to print where a file is left as it is.
    pub fn kept(&self, path: &Path, checkpoint: &Checkpoint, text: String) -> Outcome {
        let (path, dry_run) = (path.display().to_string(), self.save.dry_run);
        let report = Written { path, entries: checkpoint.len(), bytes: checkpoint.bytes(), dry_run, changes: &[] };
        self.save.outcome(&report, || text)
    }

    /// Refuses to write a file again as it was, unless that is asked for.
    pub fn check_changed(&self, path: &Path, changes: &[String]) -> Result<(), Failure> {
        if !changes.is_empty() || !self.keeps() || self.save.dry_run {
            return Ok(());
        }
        Err(Failure::Usage(format!("{}: nothing would change; --force writes it again", path.display())))
    }
}

impl Written<'_> {
    fn text(&self, verb: &str) -> String {
        let changes: String = self.changes.iter().map(|line| format!("{line}\n")).collect();
        let (path, entries, size) = (&self.path, print::entries(self.entries), print::bytes(self.bytes));
        format!("{changes}{verb} {path}: {entries}, {size}\n")
    }
}

impl WriteArgs {
    /// Refuses complex tensors where the file is MindSpore's, which names their types but does not load them.
    pub fn check_loadable(&self, path: &Path, checkpoint: &Checkpoint) -> Result<(), Failure> {
        if self.format.or(Format::of_path(path)) == Some(Format::Npz) {
            return Ok(());
        }
        let complex =
            |value: &Value| Some(value.array()?.element()).filter(|e| e.dtype().is_some_and(DType::is_complex));
        let entry = |(name, value)| {
            let why = format!("a tensor of {}, which MindSpore does not load; .npz files can hold it", complex(value)?);
            Some((str::to_string(name), why))
        };
        let entries: Vec<(String, String)> = checkpoint.iter().filter_map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        Err(CheckpointError::Unwritable { file: path.display().to_string(), entries }.into())
    }
}

/// The value called `name`.
pub fn entry<'a>(checkpoint: &'a Checkpoint, name: &str) -> Result<&'a Value, Failure> {
    checkpoint.get(name).ok_or_else(|| absent(checkpoint, name))
}

/// The failure for a name that is not there.
pub fn absent(checkpoint: &Checkpoint, name: &str) -> Failure {
    let like: Vec<String> = checkpoint.names().filter(|n| n.contains(name)).take(5).map(print::name).collect();
    let hint = if like.is_empty() { String::new() } else { format!("; there are {}", like.join(", ")) };
    Failure::Usage(format!("no entry is called {}{hint}", print::name(name)))
}

/// Rules for names, from a file.
pub fn rules(path: &Path) -> Result<Names, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    text.parse().map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
}

/// Whether a name fits a pattern, in which `*` stands for any text.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a*b*c", "axbyc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
