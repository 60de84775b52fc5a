//! Where a model's bytes come from.

use std::ffi::OsString;
use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mindir_graph::op::OpDef;

use crate::crypto::{CryptoFault, Decryption};
use crate::error::{FileFault, LoadError};
use crate::files::{self, Access, DataFiles, Folder, GRAPH_ENDING, Links, NoFiles};
use crate::foreign::{Cipher, Foreign};
use crate::map::release;

/// The bytes of a model file and a way to its data files.
pub struct Source {
    pub(crate) name: String,
    pub(super) path: Option<PathBuf>,
    pub(crate) bytes: Bytes,
    pub(crate) files: Box<dyn DataFiles + Send>,
    pub(super) decryption: Option<Decryption>,
    /// Operators besides those of [`mindir_graph::ops::OPS`].
    pub(super) operators: &'static [OpDef],
}

impl Source {
    /// The model at `path`, which may leave out `.mindir`, and for a split model `_graph.mindir`.
    ///
    /// The first of `PATH`, `PATH.mindir` and `PATH_graph.mindir` that exists is taken, a `.mindir` at the end of `PATH` not
    /// repeated. A symbolic link is followed; data files are looked up in the folder of the link.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self, LoadError> {
        let path = locate(path.as_ref())?;
        let name = path.display().to_string();
        let fail = |fault| open_error(name.clone(), fault);
        let file = files::open_regular(&path, Links::Follow).map_err(fail)?;
        let bytes = files::contents(&file, access).map_err(|error| fail(error.into()))?;
        let files = Box::new(Folder::of(&path, access));
        Ok(Self { name, path: Some(path), bytes, files, decryption: None, operators: &[] })
    }

    /// A model in memory without data files. The name appears in errors.
    pub fn from_bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let files = Box::new(NoFiles);
        Self { name: name.into(), path: None, bytes: bytes.into(), files, decryption: None, operators: &[] }
    }

    /// The file of the model, unless it is in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether the model is an ONNX file: by its first bytes, or by its name unless it begins as MindIR files do.
    pub fn is_onnx(&self) -> bool {
        let ending = Path::new(&self.name).extension();
        let is_mindir = self.bytes.starts_with(&[0x0a]) || self.cipher().is_some();
        let is_named = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
        Foreign::is_onnx(&self.bytes) || (is_named && !is_mindir)
    }

    /// How the graph file is encrypted, if it is.
    pub fn cipher(&self) -> Option<Cipher> {
        Cipher::of(&self.bytes)
    }

    /// The same model with other data files.
    #[must_use]
    pub fn with_files(self, files: impl DataFiles + Send + 'static) -> Self {
        Self { files: Box::new(files), ..self }
    }

    /// The same model, which may have operators from outside: a primitive is looked up among `operators` first, by its name,
    /// and MindSpore's `Custom` by the name of the function that it calls.
    #[must_use]
    pub fn with_operators(self, operators: &'static [OpDef]) -> Self {
        Self { operators, ..self }
    }

    /// The same model, all files of which are encrypted.
    #[must_use]
    pub fn with_decryption(self, decryption: impl Into<Option<Decryption>>) -> Self {
        Self { decryption: decryption.into(), ..self }
    }
}

/// The contents of the file `name`. With a key the file must be encrypted, without one it must not.
pub(super) fn contents(name: &str, bytes: Bytes, decryption: Option<&Decryption>) -> Result<Bytes, LoadError> {
    let file = || name.to_string();
    match (decryption, Cipher::of(&bytes)) {
        (None, None) => Ok(bytes),
        (None, Some(cipher)) => Err(LoadError::Encrypted { file: file(), cipher }),
        (Some(decryption), _) => {
            let contents = decryption.decrypt(&bytes).map_err(|fault| LoadError::Decrypt { file: file(), fault });
            release(&bytes);
            contents
        }
    }
}

/// The error for a file whose contents were decrypted and are no message: if nothing authenticates them, the key may be to
/// blame.
pub(super) fn doubt(error: LoadError, encrypted: Option<Cipher>) -> LoadError {
    match encrypted {
        Some(Cipher::AesCbc | Cipher::Sm4Cbc)
            if matches!(error, LoadError::Wire { .. } | LoadError::Foreign { .. }) =>
        {
            let file = error.file().to_string();
            LoadError::Decrypt { file, fault: CryptoFault::Contents(error.to_string()) }
        }
        _ => error,
    }
}

impl Debug for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

fn open_error(file: String, fault: FileFault) -> LoadError {
    match fault {
        FileFault::Io(source) => LoadError::Io { file, source },
        _ => LoadError::NotAFile { file, hint: String::new() },
    }
}

/// The first existing file that `path` may stand for.
fn locate(path: &Path) -> Result<PathBuf, LoadError> {
    let file = || path.display().to_string();
    let mut tried = Vec::new();
    for candidate in candidates(path) {
        match fs::metadata(&candidate) {
            Ok(found) if !found.is_dir() => return Ok(candidate),
            Ok(_) => tried.push(None),
            Err(error) if is_absence(&error) => tried.push(Some(candidate)),
            Err(source) => return Err(LoadError::Io { file: file(), source }),
        }
    }
    if let Some(None) = tried.first() {
        return Err(LoadError::NotAFile { file: file(), hint: models_in(path) });
    }
    let others: Vec<_> = tried.iter().skip(1).flatten().map(|path| path.display().to_string()).collect();
    let hint = if others.is_empty() { String::new() } else { format!("nor {}", others.join(" nor ")) };
    Err(LoadError::NotFound { file: file(), hint })
}

fn is_absence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidInput)
}

fn candidates(path: &Path) -> Vec<PathBuf> {
    let with_ending = |stem: &Path, ending: &str| {
        let mut text = OsString::from(stem);
        text.push(ending);
        PathBuf::from(text)
    };
    let mut list = vec![path.to_path_buf()];
    if path.file_name().is_none() {
        return list;
    }
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mindir")) {
        list.push(with_ending(&path.with_extension(""), GRAPH_ENDING));
    } else {
        list.extend([with_ending(path, ".mindir"), with_ending(path, GRAPH_ENDING)]);
    }
    list
}

/// Names some models in a folder that was given as a model.
fn models_in(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(1000);
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".mindir"))
        .collect();
    names.sort();
    names.truncate(5);
    match names.as_slice() {
        [] => "it is a folder without .mindir files".to_string(),
        names => format!("it is a folder; models in it: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn locate_in(folder: &Path, given: &str) -> Result<String, LoadError> {
        locate(&folder.join(given)).map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
    }

    #[test]
    fn endings_may_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one.mindir", "two_graph.mindir", "v1.5_graph.mindir", "both.mindir", "both_graph.mindir", "odd"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        for (given, found) in [
            ("one.mindir", "one.mindir"),
            ("one", "one.mindir"),
            ("two_graph.mindir", "two_graph.mindir"),
            ("two_graph", "two_graph.mindir"),
            ("two.mindir", "two_graph.mindir"),
            ("two", "two_graph.mindir"),
            ("v1.5", "v1.5_graph.mindir"),
            ("v1.5.mindir", "v1.5_graph.mindir"),
            ("both", "both.mindir"),
            ("odd", "odd"),
        ] {
            assert_eq!(locate_in(folder.path(), given).unwrap(), found, "{given}");
        }
    }

    #[test]
    fn missing_files_say_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let error = locate_in(folder.path(), "net.mindir").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("net_graph.mindir"), "{error}");
    }

    #[test]
    fn folders_say_which_models_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.mindir"), b"").unwrap();
        let error = Source::open(folder.path(), Access::Map).unwrap_err();
        assert!(error.to_string().ends_with("it is a folder; models in it: a.mindir"), "{error}");
    }

    #[test]
    fn a_folder_beside_the_model_does_not_hide_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("net")).unwrap();
        fs::write(folder.path().join("net.mindir"), b"").unwrap();
        assert_eq!(locate_in(folder.path(), "net").unwrap(), "net.mindir");
    }
}
