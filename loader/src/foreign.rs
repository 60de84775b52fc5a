//! What a file looks like when it is not a model.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::Printable;

/// How an encrypted file of MindSpore was encrypted. It is written and read as MindSpore's `enc_mode`: `AES-GCM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES in Galois counter mode.
    AesGcm,
    /// AES in block chaining mode.
    AesCbc,
    /// SM4 in block chaining mode.
    Sm4Cbc,
}

impl Cipher {
    /// The mode named by the first four bytes, if the file is encrypted.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        [Self::AesGcm, Self::AesCbc, Self::Sm4Cbc].into_iter().find(|mode| bytes.starts_with(&mode.magic()))
    }

    /// The first four bytes of a file that is encrypted in this mode.
    pub(crate) fn magic(self) -> [u8; 4] {
        match self {
            Self::AesGcm => [0xd8, 0x5e, 0x3a, 0x7f],
            Self::AesCbc => [0xd9, 0x5e, 0x3a, 0x7f],
            Self::Sm4Cbc => [0xda, 0x5e, 0x3a, 0x7f],
        }
    }
}

impl Display for Cipher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesGcm => "AES-GCM",
            Self::AesCbc => "AES-CBC",
            Self::Sm4Cbc => "SM4-CBC",
        })
    }
}

impl FromStr for Cipher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let modes = [Self::AesGcm, Self::AesCbc, Self::Sm4Cbc];
        let found = modes.into_iter().find(|mode| mode.to_string().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("expected AES-GCM, AES-CBC or SM4-CBC, found {}", Printable(text)))
    }
}

/// How files of PyTorch before 1.6 begin: the pickle of a number.
pub(crate) const TORCH_MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// A kind of file that is sometimes given where a MindIR file is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
// The variants are the names of the formats.
#[allow(missing_docs)]
pub enum Foreign {
    /// No bytes at all.
    Empty,
    /// Zero bytes only.
    Zeros,
    GitLfsPointer,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Tar,
    Zip,
    /// Weights or a model of PyTorch in a zip archive.
    TorchZip,
    /// Weights or a model of PyTorch before 1.6.
    TorchPickle,
    /// Arrays of NumPy in a zip archive.
    Npz,
    Npy,
    Pickle,
    Onnx,
    /// A model of MindSpore.
    MindIr,
    /// Weights of MindSpore.
    Checkpoint,
    /// A model of MindSpore for the Ascend graph engine.
    Air,
    /// A converted model of MindSpore Lite.
    MindSporeLite,
    TfLite,
    Safetensors,
    Gguf,
    Hdf5,
    Png,
    Jpeg,
    Pdf,
    Elf,
    Html,
    Json,
    Text,
}

impl Foreign {
    /// What the file looks like from its first bytes; `None` when it looks like nothing known.
    ///
    /// Kinds without a signature of their own are told by their structure, so this is meant for files that were already
    /// found not to be MindIR.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..1024).unwrap_or(bytes);
        by_signature(bytes).or_else(|| by_structure(head))
    }

    /// Whether a file starts as ONNX files do: with the version of the format, which MindIR has as text.
    pub(crate) fn is_onnx(bytes: &[u8]) -> bool {
        matches!(bytes, [0x08, 1..=0x7f, ..])
    }

    /// [`Self::MindIr`] if the file begins as models do, with the versions and the name of what wrote it.
    pub(crate) fn model(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = field(bytes, 0x0a)?;
        let is_version = version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        (is_version && rest.starts_with(b"\x12\x09MindSpore")).then_some(Self::MindIr)
    }
}

fn by_signature(bytes: &[u8]) -> Option<Foreign> {
    const SIGNATURES: &[(usize, &[u8], Foreign)] = &[
        (0, b"version https://git-lfs", Foreign::GitLfsPointer),
        (0, b"\x1f\x8b", Foreign::Gzip),
        (0, b"\x28\xb5\x2f\xfd", Foreign::Zstd),
        (0, b"\xfd7zXZ\0", Foreign::Xz),
        (0, b"BZh", Foreign::Bzip2),
        (0, b"\x93NUMPY", Foreign::Npy),
        (0, b"GGUF", Foreign::Gguf),
        (0, b"\x89HDF\r\n\x1a\n", Foreign::Hdf5),
        (0, b"\x89PNG\r\n\x1a\n", Foreign::Png),
        (0, b"\xff\xd8\xff", Foreign::Jpeg),
        (0, b"%PDF-", Foreign::Pdf),
        (0, b"\x7fELF", Foreign::Elf),
        (4, b"MSL", Foreign::MindSporeLite),
        (4, b"TFL3", Foreign::TfLite),
        (257, b"ustar", Foreign::Tar),
        (0, TORCH_MAGIC, Foreign::TorchPickle),
    ];
    if bytes.is_empty() {
        return Some(Foreign::Empty);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Some(archive(bytes));
    }
    let found = SIGNATURES.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    found.map(|(_, _, kind)| *kind)
}

/// The kind of zip archive, told by the name of its first entry.
fn archive(bytes: &[u8]) -> Foreign {
    let len = match bytes.get(26..28) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let name = bytes.get(30..30 + len).unwrap_or_default();
    if name.ends_with(b".npy") {
        Foreign::Npz
    } else if name.ends_with(b"data.pkl") || name.starts_with(b"archive/") || name.ends_with(b"/byteorder") {
        Foreign::TorchZip
    } else {
        Foreign::Zip
    }
}

fn by_structure(head: &[u8]) -> Option<Foreign> {
    if head.iter().all(|byte| *byte == 0) {
        return Some(Foreign::Zeros);
    }
    if let Some((size, b"{")) =
        head.split_first_chunk::<8>().map(|(size, rest)| (size, rest.get(..1).unwrap_or_default()))
        && u64::from_le_bytes(*size) <= 100 << 20
    {
        return Some(Foreign::Safetensors);
    }
    if matches!(head, [0x80, 2..=5, ..]) {
        return Some(Foreign::Pickle);
    }
    if is_checkpoint(head).is_some() {
        return Some(Foreign::Checkpoint);
    }
    if is_air(head).is_some() {
        return Some(Foreign::Air);
    }
    if matches!(head, [0x08, 1..=0x20, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..]) {
        return Some(Foreign::Onnx);
    }
    text(head)
}

/// A message in field 1 that holds a text in field 1 and, in field 2, a message of dimensions and a type name.
fn is_checkpoint(head: &[u8]) -> Option<()> {
    let (entry, _) = field(head, 0x0a)?;
    let (tag, rest) = field(entry, 0x0a)?;
    std::str::from_utf8(tag).ok()?;
    let (mut tensor, _) = field(rest, 0x12)?;
    while let Some(rest) = tensor.strip_prefix(&[0x08]) {
        tensor = varint(rest)?.1;
    }
    if let Some((_packed_dims, rest)) = field(tensor, 0x0a) {
        tensor = rest;
    }
    let (kind, _) = field(tensor, 0x12)?;
    (kind.len() < 16 && !kind.is_empty() && kind.iter().all(u8::is_ascii_alphanumeric)).then_some(())
}

/// A text in field 1 followed by a number in field 2.
fn is_air(head: &[u8]) -> Option<()> {
    let (name, rest) = field(head, 0x0a)?;
    std::str::from_utf8(name).ok()?;
    let (version, rest) = varint(rest.strip_prefix(&[0x10])?)?;
    (version < 1000 && matches!(rest.first(), None | Some(0x1a | 0x3a | 0x5a | 0x62))).then_some(())
}

/// The contents of a field with the given key, and what follows. Contents that end beyond `bytes` are cut, and nothing
/// follows them.
fn field(bytes: &[u8], key: u8) -> Option<(&[u8], &[u8])> {
    let (len, rest) = varint(bytes.strip_prefix(&[key])?)?;
    let len = usize::try_from(len).ok()?;
    rest.split_at_checked(len).or(Some((rest, &[])))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (position, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * position as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(position + 1..)?));
        }
    }
    None
}

fn text(head: &[u8]) -> Option<Foreign> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of the examined part.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    if text.len() < 8 || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return None;
    }
    let start = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    Some(match start.as_bytes() {
        [b'<', ..] => Foreign::Html,
        [b'{' | b'[', ..] => Foreign::Json,
        _ => Foreign::Text,
    })
}

impl Display for Foreign {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Zeros => "zero bytes (an incomplete download?)",
            Self::GitLfsPointer => "a git-lfs pointer (fetch the contents with `git lfs pull`)",
            Self::Gzip => "a gzip archive (unpack it first)",
            Self::Zstd => "a zstd archive (unpack it first)",
            Self::Xz => "an xz archive (unpack it first)",
            Self::Bzip2 => "a bzip2 archive (unpack it first)",
            Self::Tar => "a tar archive (unpack it first)",
            Self::Zip => "a zip archive (unpack it first)",
            Self::TorchZip | Self::TorchPickle => "a PyTorch file",
            Self::Npz => "NumPy arrays (.npz)",
            Self::Npy => "a NumPy array (.npy)",
            Self::Pickle => "a Python pickle",
            Self::Onnx => "an ONNX model",
            Self::MindIr => "a MindIR model",
            Self::Checkpoint => "a MindSpore checkpoint (weights without a graph)",
            Self::Air => "an AIR model of the Ascend graph engine",
            Self::MindSporeLite => "a MindSpore Lite model (.ms)",
            Self::TfLite => "a TensorFlow Lite model",
            Self::Safetensors => "a safetensors file (weights without a graph)",
            Self::Gguf => "a GGUF file",
            Self::Hdf5 => "an HDF5 file",
            Self::Png => "a PNG image",
            Self::Jpeg => "a JPEG image",
            Self::Pdf => "a PDF document",
            Self::Elf => "a program",
            Self::Html => "an HTML or XML page (a failed download?)",
            Self::Json => "JSON text",
            Self::Text => "plain text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cipher, Foreign};

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        let tar: Vec<u8> = [&[b'x'; 257][..], b"ustar\x0000"].concat();
        let cases: &[(&[u8], Foreign)] = &[
            (b"", Foreign::Empty),
            (&[0; 64], Foreign::Zeros),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", Foreign::GitLfsPointer),
            (b"\x1f\x8b\x08\0", Foreign::Gzip),
            (b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.npy", Foreign::Npz),
            (b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl", Foreign::TorchZip),
            (b"PK\x03\x04\0\0", Foreign::Zip),
            (b"\x80\x02}q\0.", Foreign::Pickle),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Foreign::TorchPickle),
            (b"\x08\x04\x12\x09MindSpore", Foreign::Onnx),
            (b"\x0a\x13\x0a\x01w\x12\x0e\x08\x02\x12\x07Float32\x1a\x01\0", Foreign::Checkpoint),
            (b"\x0a\x03net\x10\x01\x3a\0", Foreign::Air),
            (b"\x1c\0\0\0MSL2", Foreign::MindSporeLite),
            (b"\x1c\0\0\0TFL3", Foreign::TfLite),
            (b"\x20\0\0\0\0\0\0\0{\"w\":1}", Foreign::Safetensors),
            (b"GGUF\x03\0\0\0", Foreign::Gguf),
            (b"\x89PNG\r\n\x1a\n", Foreign::Png),
            (b"\xff\xd8\xff\xe0", Foreign::Jpeg),
            (b"\x93NUMPY\x01\0", Foreign::Npy),
            (&tar, Foreign::Tar),
            (b"<!DOCTYPE html><html>", Foreign::Html),
            (b"\n{\"a\": [1, 2]}", Foreign::Json),
            (b"once upon a time", Foreign::Text),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Foreign::of(bytes), Some(*expected), "{bytes:?}");
        }
    }

    #[test]
    fn models_look_like_nothing_else() {
        assert_eq!(Foreign::of(b"\x0a\x031.1\x12\x09MindSpore\x2a\x062.10.0"), None);
        assert_eq!(Foreign::of(b"\x0a\x050.1.0"), None);
        assert_eq!(Foreign::of(b"\x0a"), None);
        assert_eq!(Foreign::model(b"\x0a\x031.1\x12\x09MindSpore\x2a\x062.10.0"), Some(Foreign::MindIr));
        assert_eq!(Foreign::model(b"\x0a\x03abc\x12\x09MindSpore"), None);
    }

    #[test]
    fn ciphers_are_told_by_their_magic() {
        assert_eq!(Cipher::of(b"\xd8\x5e\x3a\x7f"), Some(Cipher::AesGcm));
        assert_eq!(Cipher::of(b"\xd9\x5e\x3a\x7f...."), Some(Cipher::AesCbc));
        assert_eq!(Cipher::of(b"\xda\x5e\x3a\x7f"), Some(Cipher::Sm4Cbc));
        assert_eq!(Cipher::of(b"\xdb\x5e\x3a\x7f"), None);
    }
}
