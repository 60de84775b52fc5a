//! Opening model files and the data files beside them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mindir_graph::Buffer;

use crate::error::FileFault;
use crate::map;

/// Ending of the graph file of a split model, before which its name stands.
pub(crate) const GRAPH_ENDING: &str = "_graph.mindir";

/// Files that [`Folder::parameter_files`] lists at most.
const MOST_LISTED: usize = 1 << 16;

/// How a file gets into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped: pages are read when they are used. The file must not change or shrink while the model lives.
    #[default]
    Map,
    /// Read once into memory: later changes of the file have no effect.
    Read,
}

/// The files beside a model, by the names the model gives them.
///
/// Names reach [`open`](Self::open) only after they were checked: relative, forward slashes, no `..`, no control characters.
///
/// Closures and maps from name to contents implement it:
///
/// ```
/// use std::collections::BTreeMap;
/// use bytes::Bytes;
/// use mindir_loader::{DataFiles, FileFault};
///
/// let map = BTreeMap::from([("net_variables/data_0".to_string(), Bytes::from_static(b"\x01"))]);
/// assert!(map.open("net_variables/data_0").is_ok());
///
/// let closure = |location: &str| -> Result<Bytes, FileFault> { Ok(std::fs::read(format!("cache/{location}"))?.into()) };
/// assert!(DataFiles::open(&closure, "net_variables/data_0").is_err());
/// ```
pub trait DataFiles {
    /// Contents of one data file. Called once for each name.
    fn open(&self, location: &str) -> Result<Bytes, FileFault>;

    /// Names of the files that hold the weights of a model whose graph lists none (the split layout of the first
    /// releases), in a stable order. Empty for models that do not use that layout.
    fn parameter_files(&self) -> Result<Vec<String>, FileFault> {
        Ok(Vec::new())
    }
}

/// No data files: for models that hold their weights themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl DataFiles for NoFiles {
    fn open(&self, _location: &str) -> Result<Bytes, FileFault> {
        Err(FileFault::NoFiles)
    }
}

impl DataFiles for BTreeMap<String, Bytes> {
    fn open(&self, location: &str) -> Result<Bytes, FileFault> {
        self.get(location).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }
}

impl<F: Fn(&str) -> Result<Bytes, FileFault>> DataFiles for F {
    fn open(&self, location: &str) -> Result<Bytes, FileFault> {
        self(location)
    }
}

/// The folder of a model on disk.
///
/// Symbolic links are refused at every step below the folder, and only regular files are opened. The steps are checked one
/// after the other: a folder that somebody else changes meanwhile gives no such guarantee.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// `NAME` when the graph file is called `NAME_graph.mindir`.
    split_name: Option<String>,
    access: Access,
}

impl Folder {
    /// The folder that holds the model file at `path`.
    pub fn of(path: &Path, access: Access) -> Self {
        let root = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let split_name = name.and_then(|name| name.strip_suffix(GRAPH_ENDING)).map(str::to_string);
        Self { root, split_name, access }
    }

    /// The path of `location`, every step of which is a folder and the last one a regular file.
    fn resolve(&self, location: &str) -> Result<PathBuf, FileFault> {
        check_location(location)?;
        let mut path = self.root.clone();
        let mut steps = location.split('/').peekable();
        while let Some(step) = steps.next() {
            path.push(step);
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_symlink() {
                return Err(FileFault::Symlink);
            }
            let expected = if steps.peek().is_some() { kind.is_dir() } else { kind.is_file() };
            if !expected {
                return Err(FileFault::NotRegular);
            }
        }
        Ok(path)
    }
}

impl DataFiles for Folder {
    fn open(&self, location: &str) -> Result<Bytes, FileFault> {
        let file = open_regular(&self.resolve(location)?, Links::Refuse)?;
        Ok(contents(&file, self.access)?)
    }

    fn parameter_files(&self) -> Result<Vec<String>, FileFault> {
        let Some(name) = &self.split_name else { return Ok(Vec::new()) };
        let top = format!("{name}_variables");
        match fs::symlink_metadata(self.root.join(&top)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
            Ok(found) if found.is_symlink() => return Err(FileFault::Symlink),
            Ok(found) if !found.is_dir() => return Err(FileFault::NotRegular),
            Ok(_) => {}
        }
        let mut files = list_regular(&self.root, top)?;
        // Shorter names first, so that data_2 comes before data_10.
        files.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Ok(files)
    }
}

/// Regular files below `root`/`top`, relative to `root`. Names that start with a dot are skipped.
fn list_regular(root: &Path, top: String) -> Result<Vec<String>, FileFault> {
    let mut files = Vec::new();
    let mut folders = vec![top];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|_| FileFault::Name("it is not UTF-8"))?;
            if name.starts_with('.') {
                continue;
            }
            seen += 1;
            if seen > MOST_LISTED {
                return Err(FileFault::TooMany(MOST_LISTED));
            }
            let location = format!("{folder}/{name}");
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                return Err(FileFault::Symlink);
            } else if kind.is_dir() {
                folders.push(location);
            } else if kind.is_file() {
                files.push(location);
            } else {
                return Err(FileFault::NotRegular);
            }
        }
    }
    Ok(files)
}

/// Accepts only names that lead to a file below the model's folder on every system.
pub(crate) fn check_location(location: &str) -> Result<(), FileFault> {
    let refuse = |why| Err(FileFault::Name(why));
    let mut first_two = location.chars();
    if location.is_empty() {
        return refuse("the name is empty");
    }
    if location.len() > 4096 {
        return refuse("the name is too long");
    }
    if location.contains('\\') {
        return refuse("the name has a backslash");
    }
    if location.chars().any(|c| c.is_control() || is_invisible(c)) {
        return refuse("the name has control characters");
    }
    if location.starts_with('/') {
        return refuse("the name is absolute");
    }
    let drive = first_two.next().is_some_and(|c| c.is_ascii_alphabetic()) && first_two.next() == Some(':');
    if drive || (cfg!(windows) && location.contains(':')) {
        return refuse("the name has a drive letter");
    }
    if location.split('/').any(|step| matches!(step, "" | "." | "..")) {
        return refuse("the name has an empty, `.` or `..` step");
    }
    Ok(())
}

/// Characters that change how a name is displayed without being visible.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether the last step of a path may be a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// Opens a regular file; never waits for the other end of a pipe.
pub(crate) fn open_regular(path: &Path, links: Links) -> Result<File, FileFault> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let nofollow = if links == Links::Refuse { libc::O_NOFOLLOW } else { 0 };
        options.custom_flags(libc::O_NONBLOCK | nofollow);
    }
    #[cfg(not(unix))]
    let _ = links;
    let file = options.open(path).map_err(|error| if is_loop(&error) { FileFault::Symlink } else { error.into() })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(FileFault::NotRegular) }
}

#[cfg(unix)]
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(not(unix))]
fn is_loop(_error: &io::Error) -> bool {
    false
}

/// The bytes of an open file.
pub(crate) fn contents(file: &File, access: Access) -> io::Result<Bytes> {
    let len = file.metadata()?.len();
    if len == 0 {
        return Ok(Bytes::new());
    }
    match access {
        Access::Map => map(file),
        Access::Read => read(file, len),
    }
}

fn read(mut file: &File, len: u64) -> io::Result<Bytes> {
    let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut buffer = Buffer::new(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.read_exact(buffer.bytes_mut())?;
    Ok(buffer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_names_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "../w",
            "a/../w",
            "a/..",
            "./w",
            "a//w",
            "a/",
            "C:/w",
            "c:w",
            "a\\w",
            "a\0w",
            "a\nw",
            "a\u{202e}w",
            "..",
        ] {
            assert!(check_location(name).is_err(), "{name:?}");
        }
        for name in ["net_variables/data_0", "w", "ünï/cøde", "a..b/c", "net v1.2/data_0"] {
            assert!(check_location(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn both_ways_to_read_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, b"some bytes").unwrap();
        let file = open_regular(&path, Links::Refuse).unwrap();
        assert_eq!(contents(&file, Access::Map).unwrap(), "some bytes");
        assert_eq!(contents(&file, Access::Read).unwrap(), "some bytes");
    }

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("v/inner")).unwrap();
        fs::write(root.join("v/data_0"), b"x").unwrap();
        std::os::unix::fs::symlink(root.join("v/data_0"), root.join("v/link")).unwrap();
        std::os::unix::fs::symlink(root.join("v"), root.join("vlink")).unwrap();
        let files = Folder::of(&root.join("net_graph.mindir"), Access::Map);
        assert_eq!(files.open("v/data_0").unwrap(), "x");
        assert!(matches!(files.open("v/link"), Err(FileFault::Symlink)));
        assert!(matches!(files.open("vlink/data_0"), Err(FileFault::Symlink)));
        assert!(matches!(files.open("v/inner"), Err(FileFault::NotRegular)));
        assert!(matches!(files.open("v/data_0/x"), Err(FileFault::NotRegular)));
        assert!(matches!(files.open("v/none"), Err(FileFault::Io(e)) if e.kind() == io::ErrorKind::NotFound));
        assert!(matches!(open_regular(&root.join("v/link"), Links::Refuse), Err(FileFault::Symlink)));
    }

    #[test]
    fn parameter_files_are_listed_in_natural_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("net_variables/sub")).unwrap();
        for name in ["data_10", "data_2", ".hidden", "sub/data_1"] {
            fs::write(root.join("net_variables").join(name), b"x").unwrap();
        }
        let files = Folder::of(&root.join("net_graph.mindir"), Access::Map).parameter_files().unwrap();
        assert_eq!(files, ["net_variables/data_2", "net_variables/data_10", "net_variables/sub/data_1"]);
        assert!(Folder::of(&root.join("net.mindir"), Access::Map).parameter_files().unwrap().is_empty());
        assert!(Folder::of(&root.join("other_graph.mindir"), Access::Map).parameter_files().unwrap().is_empty());
    }
}
