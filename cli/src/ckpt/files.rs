//! Reading and writing checkpoints.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use mindir::ckpt::{self, Checkpoint, Format, Kind, Names, ReadOptions, Value, Watch, WriteOptions};
use mindir::crypto::{Decryption, Encryption, Key};
use mindir::{Cipher, store};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// Files from this size on are written with a bar.
const LONG: u64 = 64 << 20;

/// Modes of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    AesGcm,
    AesCbc,
    Sm4Cbc,
}

impl From<Mode> for Cipher {
    fn from(mode: Mode) -> Cipher {
        match mode {
            Mode::AesGcm => Cipher::AesGcm,
            Mode::AesCbc => Cipher::AesCbc,
            Mode::Sm4Cbc => Cipher::Sm4Cbc,
        }
    }
}

/// The key of encrypted files.
#[derive(Args, Debug, Clone, Default)]
pub struct KeyArgs {
    /// File with the key of encrypted files: its bytes, 16, 24 or 32
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    key_file: Option<PathBuf>,
    /// Environment variable with the key
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
}

impl KeyArgs {
    fn key(&self) -> Result<Option<Key>, Failure> {
        let key = match (&self.key_file, &self.key_env) {
            (Some(path), _) => Key::from_file(path).map(Some),
            (None, Some(name)) => Key::from_env(name).map(Some),
            (None, None) => Ok(None),
        };
        key.map_err(|e| Failure::Usage(e.to_string()))
    }

    /// Reads a checkpoint.
    pub fn read(&self, path: &Path) -> Result<(Checkpoint, Kind), Failure> {
        self.read_checked(path, false)
    }

    /// Reads a checkpoint, and checks its checksum where that is demanded.
    pub fn read_checked(&self, path: &Path, verify_crc: bool) -> Result<(Checkpoint, Kind), Failure> {
        let head = head(path)?;
        // A key may be given for one of several files.
        let decryption = self.key()?.filter(|_| Cipher::of(&head).is_some()).map(Decryption::new);
        Ok(ckpt::read_with_kind(path, &ReadOptions { decryption, verify_crc, ..ReadOptions::default() })?)
    }
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if !std::fs::metadata(path).map_err(Failure::file(path))?.is_file() {
        // What it is instead is said where it is read; to open a pipe could take forever.
        return Ok(bytes);
    }
    let file = std::fs::File::open(path).map_err(Failure::file(path))?;
    file.take(4).read_to_end(&mut bytes).map_err(Failure::file(path))?;
    Ok(bytes)
}

/// How a checkpoint is written.
#[derive(Args, Debug, Clone)]
pub struct WriteArgs {
    /// Format [default: what the ending of the path tells]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<Format>,
    /// Add a checksum
    #[arg(long)]
    crc: bool,
    /// Encrypt with the key
    #[arg(long, value_name = "MODE")]
    encrypt: Option<Mode>,
    /// Make the file read-only for its owner and invisible for others, as MindSpore does
    #[arg(long)]
    read_only: bool,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn format(text: &str) -> Result<Format, String> {
    [Format::Ckpt, Format::Safetensors, Format::Npz]
        .into_iter()
        .find(|f| f.to_string() == text)
        .ok_or_else(|| "expected ckpt, safetensors or npz".to_string())
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
    /// Writes a checkpoint; `changes` are lines about what is new in it. A file that is replaced keeps its format, its
    /// encryption and whether it has a checksum (`old`), unless something else is asked for.
    pub fn write(
        &self,
        path: &Path,
        checkpoint: &Checkpoint,
        key: &KeyArgs,
        old: Option<Kind>,
        changes: &[String],
    ) -> Result<Outcome, Failure> {
        let cipher = self.encrypt.map(Cipher::from).or(old.and_then(|old| old.cipher));
        let encryption = match (cipher, key.key()?) {
            (None, _) => None,
            (Some(_), None) => return Err(Failure::Usage("--encrypt needs --key-file or --key-env".into())),
            (Some(cipher), Some(key)) => Some(Encryption::new(cipher, key).map_err(|e| Failure::Usage(e.to_string()))?),
        };
        let format = self.format.or(old.map(|old| old.format)).or(Format::of_path(path));
        let size = checkpoint.bytes();
        if !self.dry_run {
            let bar = bar(size);
            let told = bar.clone();
            let options = WriteOptions {
                format,
                crc: self.crc || old.is_some_and(|old| old.has_crc),
                encryption,
                store: store::Options { mode: self.read_only.then_some(0o400), ..store::Options::default() },
                watch: Some(Watch(Arc::new(move |bytes| told.set_position(bytes)))),
            };
            ckpt::write(path, checkpoint, &options)?;
            bar.finish_and_clear();
        }
        let path = path.display().to_string();
        if self.json {
            let (entries, dry_run) = (checkpoint.len(), self.dry_run);
            return Ok(Outcome::ok(print::json(&Written { path, entries, bytes: size, dry_run, changes })));
        }
        let mut text: String = changes.iter().map(|line| format!("{line}\n")).collect();
        let done = if self.dry_run { "would write" } else { "wrote" };
        let entries = match checkpoint.len() {
            1 => "1 entry".to_string(),
            n => format!("{n} entries"),
        };
        text += &format!("{done} {path}: {entries}, {}\n", print::bytes(size));
        Ok(Outcome::ok(text))
    }
}

fn bar(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || size < LONG {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
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
