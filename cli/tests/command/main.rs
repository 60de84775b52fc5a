//! The command as a user sees it: what it prints, and its exit codes.

mod bench;
mod check;
mod ckpt;
mod compare;
mod convert;
#[cfg(feature = "cuda")]
mod cuda;
mod eval;
mod exit_codes;
mod inputs;
mod inspect;
mod messages;
mod others;
mod plan;
mod readme;
mod run;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mindir::graph::Model;
use serde_json::Value;

/// How a call ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Asserts the exit code.
    #[track_caller]
    fn with(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Asserts that stdout has all of these.
    #[track_caller]
    fn says(self, parts: &[&str]) -> Ended {
        for part in parts {
            assert!(self.stdout.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// Asserts that stderr is an error with all of these.
    #[track_caller]
    fn complains(self, parts: &[&str]) -> Ended {
        assert!(self.stderr.starts_with("error: "), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// stdout as JSON.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// Runs the command.
fn mindir<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    mindir_with("", args)
}

/// Runs the command with this text on stdin.
fn mindir_with<S: AsRef<std::ffi::OsStr>>(stdin: &str, args: impl IntoIterator<Item = S>) -> Ended {
    mindir_with_bytes(stdin.as_bytes(), args)
}

/// Runs the command with these bytes on stdin.
fn mindir_with_bytes<S: AsRef<std::ffi::OsStr>>(stdin: &[u8], args: impl IntoIterator<Item = S>) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mindir"))
        .args(args)
        .env("MINDIR_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let out = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: out.status.code().unwrap(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// How a call ends whose stdout goes to a full disk.
#[cfg(target_os = "linux")]
fn mindir_on_full_disk(args: &[&str]) -> Ended {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_mindir")).args(args).stdin(Stdio::null()).stdout(full).output().unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    Ended { code: out.status.code().unwrap(), stdout: String::new(), stderr }
}

/// Writes a model to a folder.
fn written(dir: &tempfile::TempDir, model: &Model) -> String {
    let path = dir.path().join("model.mindir");
    mindir::export(model, &path, &mindir::ExportOptions::default()).unwrap();
    path.to_str().unwrap().into()
}

/// Copies the files of a folder and the folders in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A path in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A golden's folder.
fn golden(name: &str) -> String {
    repository("tests/goldens").join(name).to_str().unwrap().into()
}

/// A golden's model.
fn model(name: &str) -> String {
    format!("{}/model.mindir", golden(name))
}

/// A file with the trained digits.
fn digits(name: &str) -> String {
    repository("examples/digits").join(name).to_str().unwrap().into()
}

/// A golden's model with some bytes replaced by as many others, in a new file.
fn edited(dir: &tempfile::TempDir, name: &str, from: &str, to: &[u8]) -> String {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(model(name)).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|i| bytes[i..i + to.len()].copy_from_slice(to));
    let path = dir.path().join("edited.mindir");
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().into()
}
