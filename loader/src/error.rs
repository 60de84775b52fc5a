//! What can be wrong with a file.

use std::fmt::{self, Display, Formatter};
use std::io;

use thiserror::Error;

use crate::Printable;
use crate::crypto::CryptoFault;
use crate::element::ElementType;
use crate::foreign::{Cipher, Foreign};
use crate::mindir::GraphFault;

/// Why a model could not be read. Messages escape unusual characters of names; the fields hold them as they are.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    #[error("{}: no such file{}", Printable(.file), Hint(.hint))]
    NotFound {
        /// The path asked for.
        file: String,
        /// What was tried or found instead; may be empty.
        hint: String,
    },
    /// The path names something that cannot be a model.
    #[error("{}: not a regular file{}", Printable(.file), Hint(.hint))]
    NotAFile {
        /// The path asked for.
        file: String,
        /// What was found instead; may be empty.
        hint: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", Printable(.file))]
    Io {
        /// The file concerned.
        file: String,
        /// The refusal.
        source: io::Error,
    },
    /// The file is of another kind.
    #[error("{}: expected {expected}, found {looks_like}", Printable(.file))]
    Foreign {
        /// The file concerned.
        file: String,
        /// The kind that it should be.
        expected: &'static str,
        /// The kind it appears to be.
        looks_like: Foreign,
    },
    /// The file is encrypted.
    #[error("{}: the file is encrypted with {cipher}; a key is needed to read it", Printable(.file))]
    Encrypted {
        /// The file concerned.
        file: String,
        /// The mode that its first bytes name.
        cipher: Cipher,
    },
    /// The file cannot be decrypted.
    #[error("{}: {fault}", Printable(.file))]
    Decrypt {
        /// The file concerned.
        file: String,
        /// What is wrong.
        fault: CryptoFault,
    },
    /// The bytes are not a message of the format.
    #[error("{}: {fault}", Printable(.file))]
    Wire {
        /// The file concerned.
        file: String,
        /// What is wrong and where.
        fault: WireFault,
    },
    /// The file asks for more than [`Limits`](crate::Limits) allow.
    #[error("{}: {excess}", Printable(.file))]
    Limit {
        /// The file concerned.
        file: String,
        /// The bound and what was found.
        excess: Excess,
    },
    /// The file uses something that is not supported.
    #[error("{}: not supported: {what}", Printable(.file))]
    Unsupported {
        /// The file concerned.
        file: String,
        /// What is not supported.
        what: String,
    },
    /// The message is complete but does not make a model.
    #[error("{}: {what}", Printable(.file))]
    Structure {
        /// The file concerned.
        file: String,
        /// What is missing or contradictory.
        what: String,
    },
    /// The graphs do not make a model.
    #[error("{}: {}{fault}", Printable(.file), Place(.graph, .node))]
    Graph {
        /// The file concerned.
        file: String,
        /// Name of the graph; may be empty.
        graph: String,
        /// Name of the node, input or parameter; may be empty.
        node: String,
        /// What is wrong.
        fault: Box<GraphFault>,
    },
    /// A weight or constant is not valid.
    #[error("{}: tensor {}: {fault}", Printable(.file), Printable(.tensor))]
    Tensor {
        /// The file concerned.
        file: String,
        /// Name of the tensor, or of the node that holds it.
        tensor: String,
        /// What is wrong.
        fault: TensorFault,
    },
    /// The contents of a weight or constant cannot be taken from its data file.
    #[error("{}: tensor {}: data file {}: {fault}", Printable(.file), Printable(.tensor), Printable(.location))]
    External {
        /// The file concerned.
        file: String,
        /// Name of the tensor, or of the node that holds it.
        tensor: String,
        /// The data file as the model names it.
        location: String,
        /// What is wrong.
        fault: ExternalFault,
    },
    /// The data files of a model cannot be listed or opened.
    #[error("{}: data file {}: {fault}", Printable(.file), Printable(.location))]
    DataFile {
        /// The file concerned.
        file: String,
        /// The data file or folder, relative to the model.
        location: String,
        /// What is wrong.
        fault: FileFault,
    },
}

/// Coarse class of a [`LoadError`], enough to choose an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file is missing.
    NotFound,
    /// A file cannot be read.
    Io,
    /// The file is of another kind.
    Foreign,
    /// The file is damaged or contradicts itself.
    Corrupt,
    /// The file is valid but uses something that is not supported.
    Unsupported,
    /// The file is encrypted, and no key or a wrong one was given.
    Encrypted,
    /// The file asks for more than the limits allow.
    Limit,
}

impl LoadError {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::NotAFile { .. } => ErrorKind::Io,
            Self::Io { source, .. } => io_kind(source),
            Self::Foreign { .. } => ErrorKind::Foreign,
            Self::Encrypted { .. } => ErrorKind::Encrypted,
            Self::Decrypt { fault, .. } => fault.kind(),
            Self::Wire { .. } | Self::Structure { .. } => ErrorKind::Corrupt,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Graph { fault, .. } => fault.kind(),
            Self::Tensor { fault, .. } => fault.kind(),
            Self::External { fault, .. } => fault.kind(),
            Self::DataFile { fault, .. } => fault.kind(),
        }
    }

    /// The file concerned, as it was named.
    pub fn file(&self) -> &str {
        match self {
            Self::NotFound { file, .. }
            | Self::NotAFile { file, .. }
            | Self::Io { file, .. }
            | Self::Foreign { file, .. }
            | Self::Encrypted { file, .. }
            | Self::Decrypt { file, .. }
            | Self::Wire { file, .. }
            | Self::Limit { file, .. }
            | Self::Unsupported { file, .. }
            | Self::Structure { file, .. }
            | Self::Graph { file, .. }
            | Self::Tensor { file, .. }
            | Self::External { file, .. }
            | Self::DataFile { file, .. } => file,
        }
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io }
}

/// Prints `; hint` unless the hint is empty.
struct Hint<'a>(&'a str);

impl Display for Hint<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; {}", Printable(self.0)) }
    }
}

/// Prints `graph G: node N: `, without what is not known.
struct Place<'a>(&'a str, &'a str);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (what, name) in [("graph", self.0), ("node", self.1)] {
            if !name.is_empty() {
                write!(f, "{what} {}: ", Printable(name))?;
            }
        }
        Ok(())
    }
}

/// A place where bytes are not a message of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFault {
    /// Position in the file.
    pub offset: u64,
    /// The message being read.
    pub message: &'static str,
    /// The field being read, when known.
    pub field: Option<&'static str>,
    /// What is wrong there.
    pub problem: WireProblem,
}

impl Display for WireFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verb = if matches!(self.problem, WireProblem::Truncated { .. }) { "truncated" } else { "corrupt" };
        write!(f, "{verb} at byte {}: ", self.offset)?;
        match self.field {
            Some(field) => write!(f, "field {field} of {}: ", self.message)?,
            None => write!(f, "{}: ", self.message)?,
        }
        write!(f, "{}", self.problem)
    }
}

/// What is wrong with the bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireProblem {
    /// The file ends too early.
    #[error("{needed} more bytes expected, {available} left in the file")]
    Truncated {
        /// Bytes the value needs from here on, at least.
        needed: u64,
        /// Bytes the file still has.
        available: u64,
    },
    /// A value reaches beyond the message it belongs to.
    #[error("{needed} more bytes expected, {available} left in the message")]
    Overrun {
        /// Bytes the value needs from here on, at least.
        needed: u64,
        /// Bytes the message still has.
        available: u64,
    },
    /// A number takes more than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// A field number is zero or too large.
    #[error("the field number is not valid")]
    FieldNumber,
    /// A kind of value that the format does not have.
    #[error("wire type {0} is not valid here")]
    WireType(u8),
    /// A text is not UTF-8.
    #[error("the text is not UTF-8 from its byte {0} on")]
    Text(u64),
    /// A list of fixed size numbers has a fraction of one.
    #[error("{0} bytes are no whole number of elements")]
    Fraction(u64),
    /// A field that can be given once is given again.
    #[error("the field occurs twice in one message")]
    Twice,
    /// The message cannot be decoded.
    #[error("{0}")]
    Decode(String),
}

/// A bound of [`Limits`](crate::Limits) that a file exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// What is bounded.
    pub what: &'static str,
    /// The bound.
    pub limit: u64,
    /// What the file asks for, at least.
    pub found: u64,
    /// Where in the file the bound was passed, when at one place.
    pub offset: Option<u64>,
}

impl Display for Excess {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "too much {}: {} where the limit is {}", self.what, self.found, self.limit)?;
        self.offset.map_or(Ok(()), |offset| write!(f, ", at byte {offset}"))
    }
}

/// What is wrong with a weight or constant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// A weight has no name.
    #[error("a parameter has no name")]
    NoName,
    /// Two weights have the same name.
    #[error("two parameters have this name")]
    SameName,
    /// A weight has no contents.
    #[error("there are no contents")]
    NoData,
    /// Contents are given twice.
    #[error("contents are given twice, as {0} and as {1}")]
    TwoSources(&'static str, &'static str),
    /// Contents are in a list that no known exporter fills.
    #[error("contents in {0} are not supported")]
    TypedData(&'static str),
    /// A dimension is negative where it must be known, or below -2.
    #[error("dimension {axis} is {value}")]
    Dimension {
        /// Position of the dimension.
        axis: usize,
        /// Its value.
        value: i64,
    },
    /// There are too many dimensions.
    #[error("{rank} dimensions where the limit is {limit}")]
    Rank {
        /// Number of dimensions.
        rank: usize,
        /// The bound.
        limit: usize,
    },
    /// The size does not fit into memory.
    #[error("the number of bytes overflows")]
    Overflow,
    /// The element type is unknown.
    #[error("unknown element type {0}")]
    ElementType(i32),
    /// Tensors of this type can be stored, but not used.
    #[error("there are no tensors of {0}")]
    NoDType(ElementType),
    /// There are no tensors of this element type.
    #[error("contents of type {0} are not supported")]
    NoTensors(&'static str),
    /// The contents are compressed.
    #[error("compression type {0} is not supported")]
    Compression(i32),
    /// The contents do not have the size that shape and element type need.
    #[error("{found} bytes of contents where {elements} elements of {element} need {expected}")]
    Length {
        /// Bytes needed.
        expected: u64,
        /// Bytes there are.
        found: u64,
        /// Number of elements.
        elements: u64,
        /// Element type.
        element: ElementType,
    },
    /// A truth value is neither 0 nor 1.
    #[error("truth value {index} is {value}, neither 0 nor 1")]
    Truth {
        /// Position of the element.
        index: u64,
        /// Its byte.
        value: u8,
    },
    /// There is no memory for an aligned copy.
    #[error("not enough memory to copy {0} bytes")]
    Memory(u64),
}

impl TensorFault {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::TypedData(_) | Self::NoTensors(_) | Self::Compression(_) | Self::NoDType(_) => ErrorKind::Unsupported,
            Self::Rank { .. } => ErrorKind::Limit,
            Self::Memory(_) => ErrorKind::Io,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// Why contents cannot be taken from a data file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExternalFault {
    /// The file cannot be opened.
    #[error("{0}")]
    File(#[from] FileFault),
    /// The file was written on a machine of the other byte order.
    #[error("the file is big-endian, which is not supported")]
    BigEndian,
    /// The file does not start as a data file does.
    #[error("the file starts with byte {found:#04x} instead of 0x01")]
    Header {
        /// The first byte.
        found: u8,
    },
    /// The file has no header.
    #[error("the file has {0} bytes, less than its 64-byte header")]
    TooShort(u64),
    /// Offset or length is absent or negative.
    #[error("{0} is absent or negative")]
    Number(&'static str),
    /// The range reaches beyond the file.
    #[error("bytes {offset} to {offset}+{length} are outside of the file's {file_len}")]
    Outside {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// Size of the file.
        file_len: u64,
    },
    /// The range begins inside the header.
    #[error("offset {0} lies in the 64-byte header")]
    InHeader(u64),
    /// The range is shared with another tensor.
    #[error("bytes at {offset} belong to {} as well", Printable(.other))]
    Overlap {
        /// First byte.
        offset: u64,
        /// The other tensor.
        other: String,
    },
}

impl ExternalFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::File(fault) => fault.kind(),
            Self::BigEndian => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// Why a data file cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The name could lead outside of the model's folder or is no portable file name.
    #[error("refused, {0}")]
    Name(&'static str),
    /// The file or a folder on the way to it is a symbolic link.
    #[error("refused, symbolic links are not followed")]
    Symlink,
    /// The name belongs to a folder, device or pipe.
    #[error("refused, not a regular file")]
    NotRegular,
    /// The model was given without its folder.
    #[error("the model was given without its data files")]
    NoFiles,
    /// Too many files.
    #[error("more than {0} files")]
    TooMany(usize),
}

impl FileFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => io_kind(error),
            Self::Name(_) | Self::Symlink | Self::NotRegular => ErrorKind::Corrupt,
            Self::NoFiles => ErrorKind::NotFound,
            Self::TooMany(_) => ErrorKind::Limit,
        }
    }
}
