//! What a file holds that is an input.

use std::io::Cursor;
use std::path::Path;

use mindir::preprocess::Picture;
use mindir::{Tensor, npy, picture};

use crate::args::LimitArgs;
use crate::failure::Failure;
use crate::print::name;
use crate::save;
use crate::stdin;

/// Files named in the message about a folder.
pub const NAMED: usize = 5;

/// What is in a file.
pub enum Content {
    Array(Tensor),
    Archive(Vec<(String, Tensor)>),
    Picture(Picture),
}

/// A kind of files.
#[derive(Clone, Copy)]
enum Kind {
    Array,
    Archive,
    Picture,
}

impl Kind {
    /// What the ending of a path says.
    fn of_path(path: &Path) -> Option<Kind> {
        if is(path, &["npy"]) {
            return Some(Kind::Array);
        }
        if is(path, &["npz"]) {
            return Some(Kind::Archive);
        }
        is(path, &picture::ENDINGS).then_some(Kind::Picture)
    }

    /// What the first bytes say.
    fn of_contents(bytes: &[u8]) -> Option<Kind> {
        if bytes.starts_with(b"\x93NUMPY") {
            return Some(Kind::Array);
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Some(Kind::Archive);
        }
        picture::is_picture(bytes).then_some(Kind::Picture)
    }
}

impl Content {
    /// Reads a file. Where its ending says nothing, its contents tell what it is. Pictures keep to `limits`, and are as people see
    /// them if they are to be `upright`, else as they are stored.
    pub fn read(path: &Path, upright: bool, limits: &LimitArgs) -> Result<Content, Failure> {
        if stdin::is(path) {
            return Content::of(stdin::NAME.as_ref(), stdin::bytes("an input")?, upright, limits);
        }
        if path.is_dir() {
            return Err(Failure::Usage(format!("{}: it is a folder{}", path.display(), arrays_in(path))));
        }
        save::reads(path);
        let bytes = || std::fs::read(path).map_err(Failure::file(path));
        match Kind::of_path(path) {
            Some(Kind::Array) => npy::read(path).map(Content::Array).map_err(Failure::file(path)),
            Some(Kind::Archive) => npy::read_npz(path).map(Content::Archive).map_err(Failure::file(path)),
            Some(Kind::Picture) => Content::picture(path, &bytes()?, upright, limits),
            None => Content::of(path, &bytes()?, upright, limits),
        }
    }

    /// The contents of the file `path`.
    fn of(path: &Path, bytes: &[u8], upright: bool, limits: &LimitArgs) -> Result<Content, Failure> {
        let read = match Kind::of_contents(bytes) {
            Some(Kind::Array) => npy::read_from(bytes).map(Content::Array),
            Some(Kind::Archive) => npy::read_npz_from(Cursor::new(bytes)).map(Content::Archive),
            Some(Kind::Picture) => return Content::picture(path, bytes, upright, limits),
            None => {
                // A picture, but in a format that is not decoded.
                let other = picture::decode(bytes).err().filter(|e| e.kind() == std::io::ErrorKind::Unsupported);
                if let Some(e) = other {
                    return Err(Failure::file(path)(e));
                }
                let found = if bytes.is_empty() { "nothing" } else { "something else" };
                let what = format!("expected {}, found {found}", kinds());
                return Err(Failure::Corrupt { path: path.to_path_buf(), what });
            }
        };
        read.map_err(Failure::file(path))
    }

    fn picture(path: &Path, bytes: &[u8], upright: bool, limits: &LimitArgs) -> Result<Content, Failure> {
        limits.hold(picture::memory(bytes).map_err(Failure::file(path))?)?;
        let decode = if upright { picture::decode_upright } else { picture::decode };
        decode(bytes).map(Content::Picture).map_err(Failure::file(path))
    }
}

/// The files that can be read.
pub fn kinds() -> String {
    let pictures: Vec<String> = picture::ENDINGS.iter().map(|e| format!(".{e}")).collect();
    format!("a .npy or .npz file or a picture ({})", pictures.join(", "))
}

/// Names some arrays in a folder.
fn arrays_in(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|n| is(n.as_ref(), &["npy", "npz"]))
        .collect();
    names.sort();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(NAMED).map(|n| name(n)).collect();
    match shown.as_slice() {
        [] => " without .npy and .npz files".into(),
        shown => format!("; arrays in it: {}{more}", shown.join(", ")),
    }
}

/// Whether a path ends in one of these, in any case.
pub fn is(path: &Path, endings: &[&str]) -> bool {
    let found = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    endings.iter().any(|e| found.eq_ignore_ascii_case(e))
}
