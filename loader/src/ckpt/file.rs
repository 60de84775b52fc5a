//! Files of checkpoints, in any of the formats.

use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::path::Path;

use bytes::Bytes;

#[cfg(feature = "npy")]
use super::npz;
#[cfg(feature = "torch")]
use super::torch;
use super::{Checkpoint, CheckpointError, CrcFault, Value, messages, safetensors, shards};
use crate::crypto::{Decryption, Encryption, Encryptor};
use crate::error::{FileFault, LoadError};
use crate::files::{self, Access, Links};
use crate::foreign::{Cipher, Foreign};
use crate::limits::{Limits, MOST_NAME};
use crate::store;

/// A format of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// MindSpore's own.
    Ckpt,
    /// The tensors of [`safetensors`](https://huggingface.co/docs/safetensors), with MindSpore's metadata.
    Safetensors,
    /// NumPy's arrays in a zip archive. Needs the feature `npy`.
    Npz,
    /// PyTorch's, which are only read. Needs the feature `torch`.
    Torch,
}

impl Format {
    /// The format that the ending of a path stands for.
    pub fn of_path(path: impl AsRef<Path>) -> Option<Self> {
        let path = path.as_ref();
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "ckpt" => Some(Self::Ckpt),
            "safetensors" => Some(Self::Safetensors),
            "npz" => Some(Self::Npz),
            "pth" | "pt" | "bin" => Some(Self::Torch),
            "tar" => Self::of_path(path.file_stem()?).filter(|format| *format == Self::Torch),
            _ => None,
        }
    }

    /// What prevents an entry from being written in this format.
    fn obstacle(self, name: &str, value: &Value) -> Option<String> {
        if name.is_empty() {
            return Some("an entry needs a name".to_string());
        }
        match self {
            Self::Ckpt => None,
            Self::Safetensors => safetensors::obstacle(name, value),
            #[cfg(feature = "npy")]
            Self::Npz => npz::obstacle(value),
            #[cfg(not(feature = "npy"))]
            Self::Npz => Some("writing .npz files needs the feature `npy`".to_string()),
            Self::Torch => Some("files of PyTorch are not written".to_string()),
        }
    }

    /// Bytes of the longest name that readers take.
    fn longest_name(self) -> usize {
        match self {
            #[cfg(feature = "npy")]
            Self::Npz => crate::npy::LONGEST_NAME,
            _ => MOST_NAME,
        }
    }

    /// The format that the first bytes of a file show; [`Format::Ckpt`], which has no mark, if they show none.
    fn of_contents(bytes: &[u8]) -> Self {
        match Foreign::of(bytes) {
            Some(Foreign::Safetensors) => Self::Safetensors,
            Some(Foreign::Npz) => Self::Npz,
            Some(Foreign::TorchZip | Foreign::TorchPickle) => Self::Torch,
            _ => Self::Ckpt,
        }
    }
}

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ckpt => "ckpt",
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
            Self::Torch => "torch",
        })
    }
}

/// How a checkpoint is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// How the file gets into memory.
    pub access: Access,
    /// How much the file may ask for.
    pub limits: Limits,
    /// The key of an encrypted file, like `dec_key` and `dec_mode` of MindSpore's `load_checkpoint`.
    pub decryption: Option<Decryption>,
    /// Whether the checksum must be there and be right, like `crc_check` of MindSpore's `load_checkpoint`.
    pub verify_crc: bool,
}

/// How a checkpoint is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The format; else the one that the path's ending stands for, or [`Format::Ckpt`].
    pub format: Option<Format>,
    /// Encrypts the file, like `enc_key` and `enc_mode` of MindSpore's `save_checkpoint`.
    pub encryption: Option<Encryption>,
    /// Whether a checksum is added, like `crc_check` of MindSpore's `save_checkpoint`.
    pub crc: bool,
    /// How the file is replaced. Permissions in MindSpore are `0o400`.
    pub store: store::Options,
}

/// How a checkpoint is kept in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The format, which the contents tell.
    pub format: Format,
    /// How the file is encrypted.
    pub cipher: Option<Cipher>,
    /// Whether the file has a checksum.
    pub has_crc: bool,
}

/// Reads a checkpoint in any [`Format`], which its contents tell, or the files that an index of them (`.safetensors.index.json`)
/// names beside it.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Checkpoint, CheckpointError> {
    Ok(read_with_kind(path, options)?.0)
}

/// As [`read`], and says how the file keeps it.
///
/// # Errors
/// As [`read`].
pub fn read_with_kind(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Checkpoint, Kind), CheckpointError> {
    let path = path.as_ref();
    let bytes = contents(path, options)?;
    if shards::is_index(&bytes) {
        return shards::read(path, &bytes, options);
    }
    described(&path.display().to_string(), bytes, options)
}

/// The bytes of a file.
pub(super) fn contents(path: &Path, options: &ReadOptions) -> Result<Bytes, LoadError> {
    let file = || path.display().to_string();
    let fail = |fault| match fault {
        FileFault::Io(source) => LoadError::Io { file: file(), source },
        _ => LoadError::NotAFile { file: file(), hint: String::new() },
    };
    let opened = files::open_regular(path, Links::Follow).map_err(fail)?;
    files::contents(&opened, options.access).map_err(|error| fail(error.into()))
}

/// Reads a checkpoint from memory. Errors call it `file`.
///
/// # Errors
/// What is wrong with the bytes, and where.
pub fn read_bytes(file: &str, bytes: impl Into<Bytes>, options: &ReadOptions) -> Result<Checkpoint, CheckpointError> {
    Ok(described(file, bytes.into(), options)?.0)
}

pub(super) fn described(
    file: &str,
    bytes: Bytes,
    options: &ReadOptions,
) -> Result<(Checkpoint, Kind), CheckpointError> {
    let cipher = Cipher::of(&bytes);
    let bytes = decrypted(file, bytes, options.decryption.as_ref())?;
    let format = Format::of_contents(&bytes);
    let (checkpoint, has_crc) = match format {
        Format::Ckpt => messages::read(file, &bytes, options)?,
        Format::Safetensors => safetensors::read(file, &bytes, options)?,
        #[cfg(feature = "npy")]
        Format::Npz => (npz::read(file, &bytes, &options.limits)?, false),
        #[cfg(feature = "torch")]
        Format::Torch => (torch::read(file, &bytes, options)?, false),
        #[cfg(not(all(feature = "npy", feature = "torch")))]
        other => {
            let what = format!("a file of format {other}, which needs a feature of this crate to be read");
            return Err(LoadError::Unsupported { file: file.to_string(), what }.into());
        }
    };
    if options.verify_crc && !has_crc {
        return Err(CheckpointError::Crc { file: file.to_string(), fault: CrcFault::Absent });
    }
    Ok((checkpoint, Kind { format, cipher, has_crc }))
}

/// The contents of a file that may be encrypted.
fn decrypted(file: &str, bytes: Bytes, decryption: Option<&Decryption>) -> Result<Bytes, CheckpointError> {
    let file = || file.to_string();
    match (decryption, Cipher::of(&bytes)) {
        (None, None) => Ok(bytes),
        (None, Some(cipher)) => Err(LoadError::Encrypted { file: file(), cipher }.into()),
        (Some(decryption), _) => {
            decryption.decrypt(&bytes).map_err(|fault| CheckpointError::Crypto { file: file(), fault })
        }
    }
}

/// Writes a checkpoint in the place of the file that may be there. A crash leaves the old file or the new one.
///
/// Tensors without elements are written like others. MindSpore leaves them out when it saves; it reads them, but for those
/// with the shape `[0]`, which it takes for scalars.
///
/// # Errors
/// A name that readers refuse; all entries that the format cannot hold; what could not be done with the file.
pub fn write(path: impl AsRef<Path>, checkpoint: &Checkpoint, options: &WriteOptions) -> Result<(), CheckpointError> {
    let path = path.as_ref();
    let format = options.format.or_else(|| Format::of_path(path)).unwrap_or(Format::Ckpt);
    if checkpoint.is_empty() {
        let what = "there are no entries to write".to_string();
        return Err(CheckpointError::Format { file: path.display().to_string(), offset: None, what });
    }
    let most = format.longest_name();
    if let Some(name) = checkpoint.names().find(|name| name.len() > most) {
        return Err(CheckpointError::Name { file: path.display().to_string(), name: name.to_string(), most });
    }
    let obstacles =
        checkpoint.iter().filter_map(|(name, value)| Some((name.to_string(), format.obstacle(name, value)?)));
    // What no entry can be written in is said once.
    let most = if format == Format::Torch { 1 } else { usize::MAX };
    let entries: Vec<(String, String)> = obstacles.take(most).collect();
    if !entries.is_empty() {
        return Err(CheckpointError::Unwritable { file: path.display().to_string(), entries });
    }
    let plain = |out: &mut dyn Write| match format {
        Format::Ckpt => messages::write(checkpoint, messages::SLICE, options.crc, out),
        Format::Safetensors => safetensors::write(checkpoint, options.crc, out),
        #[cfg(feature = "npy")]
        Format::Npz => npz::write(checkpoint, out),
        // Every value was an obstacle.
        _ => Ok(()),
    };
    Ok(store::replace(path, &options.store, |out| {
        let Some(encryption) = &options.encryption else { return plain(out) };
        let mut out = Encryptor::new(encryption.clone(), out);
        plain(&mut out)?;
        out.finish().map(drop)
    })?)
}
