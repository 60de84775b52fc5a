//! Where the bytes of a model go: one file or a graph file with data files, encrypted or not.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mindir_proto::mindir::ExternalDataProto;

use super::fault::ExportError;
use super::image::{Image, length};
use crate::crypto::{Encryption, Encryptor};
use crate::files::{GRAPH_ENDING, check_location};
use crate::map::release;
use crate::store::{self, Kind, Writer};

/// Largest message of the format.
const MOST: u64 = (1 << 31) - 1;
/// Bytes of a data file's header, and the multiple at which weights start.
const LINE: u64 = 64;

/// How a model is written.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Weights of more bytes than this altogether go into data files. `u64::MAX` keeps them in the graph file, 0 never does.
    pub split_above: u64,
    /// Bytes after which another data file begins. A larger weight has one of its own.
    pub data_file_size: u64,
    /// Encrypts all files.
    pub encryption: Option<Encryption>,
    /// Texts added to the model's own.
    pub user_info: Vec<(String, String)>,
    /// How files are replaced.
    pub store: store::Options,
}

impl Default for ExportOptions {
    /// MindSpore's sizes: weights of more than 1 GiB are split, data files have up to 1 TiB.
    fn default() -> Self {
        Self {
            split_above: 1 << 30,
            data_file_size: 1 << 40,
            encryption: None,
            user_info: Vec::new(),
            store: store::Options::default(),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The graph file.
    pub path: PathBuf,
    /// Data files relative to its folder.
    pub data_files: Vec<String>,
    /// Weights.
    pub parameters: usize,
    /// Bytes of all weights.
    pub parameter_bytes: u64,
}

/// Writes `image` to the graph file that `path` stands for; `whole` are its bytes where it is not to be split.
pub(super) fn write(
    image: Image,
    whole: Option<&Bytes>,
    path: &Path,
    options: &ExportOptions,
) -> Result<Written, ExportError> {
    let split = image.weight_bytes() > options.split_above && !image.weights.is_empty();
    let found = options.store.layer.look(path).ok().flatten();
    let target = Target::of(path, split, found)?;
    // What is too large is known before anything is written.
    let planned = if split { place(&image, options) } else { Vec::new() };
    check_size(&image, &planned)?;
    let mut writer = Writer::begin(&target.path, &options.store)?;
    let mut places: Vec<Option<ExternalDataProto>> = vec![None; image.weights.len()];
    let mut data_files = Vec::new();
    for file in &planned {
        let location = writer.add(&target.data, |out| write_data(&image, file, options.encryption.as_ref(), out))?;
        for (weight, range) in file {
            if let Some(place) = places.get_mut(*weight) {
                *place = Some(external(&location, range));
            }
        }
        data_files.push(location);
    }
    if split {
        writer.owns(&target.data)?;
    }
    let pieces = whole.map_or_else(|| image.pieces(&places), |whole| vec![whole.clone()]);
    write_pieces(&pieces, options.encryption.as_ref(), &mut writer).map_err(|source| writer.failed(source))?;
    writer.commit()?;
    let (parameters, parameter_bytes) = (image.weights.len(), image.weight_bytes());
    Ok(Written { path: target.path, data_files, parameters, parameter_bytes })
}

/// The graph file that holds all weights.
pub(super) fn whole(image: &Image) -> Result<Vec<u8>, ExportError> {
    check_size(image, &[])?;
    Ok(image.pieces(&[]).concat())
}

/// Names of the files of a model.
struct Target {
    path: PathBuf,
    /// What data files start with.
    data: String,
}

impl Target {
    /// What `path` stands for, where `found` is there now.
    fn of(path: &Path, split: bool, found: Option<Kind>) -> Result<Target, ExportError> {
        let refuse = |why| ExportError::Path { file: path.display().to_string(), why };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| refuse("the name is no text"))?;
        check_location(name).map_err(|_| refuse("the name is no portable file name"))?;
        let (stem, ending) = stem_of(name);
        let stem = if split { name.strip_suffix(GRAPH_ENDING).unwrap_or(stem) } else { stem };
        if stem.is_empty() {
            return Err(refuse("the name is empty"));
        }
        let is_file = found.is_some_and(|kind| kind != Kind::Folder);
        let file = match split {
            true => format!("{stem}{GRAPH_ENDING}"),
            false if is_file => name.to_string(),
            false => format!("{stem}{ending}"),
        };
        Ok(Target { path: path.with_file_name(file), data: format!("{stem}_variables/data_") })
    }
}

/// The name of a file before its ending `.mindir`, in any case, and that ending.
fn stem_of(name: &str) -> (&str, &str) {
    const ENDING: &str = ".mindir";
    let at = name.len().saturating_sub(ENDING.len());
    let split = name.split_at_checked(at).filter(|(_, ending)| ending.eq_ignore_ascii_case(ENDING));
    split.unwrap_or((name, ENDING))
}

/// Weights of a data file, by number, with the bytes that they take.
type DataFile = Vec<(usize, Range<u64>)>;

/// Which weight goes where: in the order of their names, from multiples of 64 on.
fn place(image: &Image, options: &ExportOptions) -> Vec<DataFile> {
    let mut order: Vec<usize> = (0..image.weights.len()).collect();
    order.sort_by_key(|weight| image.weights.get(*weight).map(|weight| weight.key.as_str()));
    let mut files = Vec::new();
    let mut file = DataFile::new();
    let mut offset = LINE;
    for weight in order {
        let len = image.weights.get(weight).map_or(0, |weight| weight.contents.len() as u64);
        if offset + padded(len) > options.data_file_size && !file.is_empty() {
            files.push(std::mem::take(&mut file));
            offset = LINE;
        }
        file.push((weight, offset..offset + len));
        offset += padded(len);
    }
    files.extend((!file.is_empty()).then_some(file));
    files
}

fn padded(len: u64) -> u64 {
    len.next_multiple_of(LINE)
}

fn external(location: &str, range: &Range<u64>) -> ExternalDataProto {
    ExternalDataProto {
        location: Some(location.to_string()),
        offset: Some(range.start as i64),
        length: Some((range.end - range.start) as i64),
    }
}

/// Checks that the graph file is no larger than a message may be.
fn check_size(image: &Image, files: &[DataFile]) -> Result<(), ExportError> {
    let mut places = vec![None; image.weights.len()];
    for (weight, range) in files.iter().flatten() {
        if let Some(place) = places.get_mut(*weight) {
            *place = Some(external(&"x".repeat(256), range));
        }
    }
    let size = length(&image.pieces(&places));
    if size <= MOST { Ok(()) } else { Err(ExportError::TooLarge { size, split: !files.is_empty() }) }
}

fn write_pieces(pieces: &[Bytes], encryption: Option<&Encryption>, out: &mut Writer) -> io::Result<()> {
    let all = |out: &mut dyn Write| {
        pieces.iter().try_for_each(|piece| {
            out.write_all(piece)?;
            release(piece);
            Ok(())
        })
    };
    match encryption {
        None => all(out),
        Some(encryption) => {
            let mut out = Encryptor::new(encryption.clone(), out);
            all(&mut out)?;
            out.finish().map(drop)
        }
    }
}

/// A data file: the header, then every weight, padded; encrypted each on its own.
fn write_data(image: &Image, file: &DataFile, encryption: Option<&Encryption>, out: &mut dyn Write) -> io::Result<()> {
    let mut header = [0; LINE as usize];
    // The byte order.
    header.iter_mut().take(1).for_each(|byte| *byte = 1);
    let weights = file.iter().filter_map(|(weight, _)| image.weights.get(*weight)).map(|weight| &*weight.contents);
    let mut encryptor = encryption.map(|encryption| Encryptor::new(encryption.clone(), &mut *out));
    if let Some(out) = &mut encryptor {
        for part in std::iter::once(&header[..]).chain(weights) {
            write_padded(part, out)?;
            out.end_piece()?;
        }
        return encryptor.map_or(Ok(()), |out| out.finish().map(drop));
    }
    drop(encryptor);
    std::iter::once(&header[..]).chain(weights).try_for_each(|part| write_padded(part, out))
}

fn write_padded(bytes: &[u8], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    const ZEROS: [u8; LINE as usize] = [0; LINE as usize];
    out.write_all(bytes)?;
    release(bytes);
    let rest = padded(bytes.len() as u64) - bytes.len() as u64;
    out.write_all(ZEROS.get(..rest as usize).unwrap_or_default())
}
