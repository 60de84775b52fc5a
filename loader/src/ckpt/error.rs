//! What can be wrong with a checkpoint.

use thiserror::Error;

use crate::Printable;
use crate::crypto::CryptoFault;
use crate::error::{ErrorKind, LoadError, TensorFault};
use crate::foreign::Foreign;
use crate::store::StoreError;

/// Why a checkpoint could not be read, written or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be opened, is not a message, or asks for too much.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be decrypted.
    #[error("{}: {fault}", Printable(.file))]
    Crypto {
        /// The file.
        file: String,
        /// Why not.
        fault: CryptoFault,
    },
    /// The file is of another kind.
    #[error("{}: expected {expected}, found {looks_like}", Printable(.file))]
    Foreign {
        /// The file.
        file: String,
        /// What it was read as.
        expected: &'static str,
        /// The kind it appears to be.
        looks_like: Foreign,
    },
    /// An entry is not valid.
    #[error("{}: entry {}, at byte {offset}: {fault}", Printable(.file), Name(.name))]
    Entry {
        /// The file.
        file: String,
        /// Name of the entry; may be empty.
        name: String,
        /// Where in the file it begins.
        offset: u64,
        /// What is wrong.
        fault: EntryFault,
    },
    /// The file is not what its checksum says.
    #[error("{}: {fault}", Printable(.file))]
    Crc {
        /// The file.
        file: String,
        /// What is wrong.
        fault: CrcFault,
    },
    /// The file contradicts its format.
    #[error("{}: {}{what}", Printable(.file), At(.offset))]
    Format {
        /// The file.
        file: String,
        /// Where, when known.
        offset: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// An entry cannot be written because readers would refuse its name.
    #[error("{}: an entry cannot be called {}: the name has {} bytes, and readers take {most}",
        Printable(.file), Printable(.name), .name.len())]
    Name {
        /// The file.
        file: String,
        /// The name.
        name: String,
        /// Bytes of the longest name.
        most: usize,
    },
    /// Values cannot be written in a format; every one is named.
    #[error("{}: {}", Printable(.file), Entries(.entries))]
    Unwritable {
        /// The file.
        file: String,
        /// Names of the entries, each with the reason.
        entries: Vec<(String, String)>,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// The tensor is not valid.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
    /// There is no name.
    #[error("the entry has no name")]
    NoName,
    /// The name was used before.
    #[error("another entry has this name")]
    SameName,
    /// There is no value.
    #[error("the entry has no tensor")]
    NoTensor,
    /// The element type has no known name.
    #[error("unknown element type {}", Printable(.0))]
    Type(String),
    /// The parts of a tensor do not agree.
    #[error("the entry continues the one before, which has another {0}")]
    Part(&'static str),
    /// A text is not one.
    #[error("the text {0}")]
    Text(&'static str),
    /// The array in an archive is not valid.
    #[error("{0}")]
    Array(String),
    /// Hash tables are not read.
    #[error("hash tables are not supported")]
    HashTable,
}

/// What is wrong with a checksum.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CrcFault {
    /// The file has none.
    #[error("there is no checksum")]
    Absent,
    /// It is of something else.
    #[error("the checksum is {stored:#010x}, but that of the contents is {computed:#010x}")]
    Differs {
        /// The one in the file.
        stored: u128,
        /// The one of the contents.
        computed: u32,
    },
}

impl CheckpointError {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Load(error) => error.kind(),
            Self::Crypto { .. } => ErrorKind::Encrypted,
            Self::Store(_) => ErrorKind::Io,
            Self::Foreign { .. } => ErrorKind::Foreign,
            Self::Entry { fault: EntryFault::Tensor(fault), .. } => fault.kind(),
            Self::Entry { fault: EntryFault::HashTable | EntryFault::Type(_), .. } => ErrorKind::Unsupported,
            Self::Entry { .. } | Self::Crc { .. } | Self::Format { .. } => ErrorKind::Corrupt,
            Self::Name { .. } => ErrorKind::Limit,
            Self::Unwritable { .. } => ErrorKind::Unsupported,
        }
    }
}

/// Prints a name, or that there is none.
struct Name<'a>(&'a str);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { f.write_str("\"\"") } else { Printable(self.0).fmt(f) }
    }
}

/// Prints names with what is said of each, in a line of its own if there are several.
struct Entries<'a>(&'a [(String, String)]);

impl std::fmt::Display for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [(name, why)] = self.0 {
            return write!(f, "entry {}: {why}", Name(name));
        }
        write!(f, "{} entries cannot be written", self.0.len())?;
        self.0.iter().try_for_each(|(name, why)| write!(f, "\n  entry {}: {why}", Name(name)))
    }
}

/// Prints `at byte N: `, or nothing.
struct At<'a>(&'a Option<u64>);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, "at byte {offset}: "))
    }
}
