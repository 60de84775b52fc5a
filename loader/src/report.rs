//! What reading a model took.

use std::fmt::{self, Display, Formatter};

use crate::Printable;
use crate::foreign::Cipher;

/// Counts of the structure of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Protobuf messages.
    pub messages: u64,
    /// Nodes.
    pub nodes: u64,
    /// Attributes.
    pub attributes: u64,
    /// Tensors: weights, constants and descriptions of results.
    pub tensors: u64,
    /// Fields with numbers that the schema does not have; their contents were skipped.
    pub unknown_fields: u64,
    /// Deepest message in a message; the model itself is 1.
    pub nesting: u32,
    /// Upper bound of the memory that the decoded structure takes, weights not counted.
    pub decoded_bytes: u64,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// Its path, or its name relative to the model.
    pub name: String,
    /// Size of its contents, decrypted.
    pub bytes: u64,
}

/// What reading a model took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The model file first, then data files in order of first use.
    pub files: Vec<FileRead>,
    /// How the files were encrypted.
    pub encrypted: Option<Cipher>,
    /// Counts of the structure.
    pub census: Census,
    /// Weights of the model.
    pub parameters: u64,
    /// Bytes of all weights.
    pub parameter_bytes: u64,
    /// Weights and constants that are aligned slices of a file.
    pub in_place_tensors: u64,
    /// Bytes of weights and constants that are aligned slices of a file.
    pub in_place_bytes: u64,
    /// Weights and constants that are no aligned slices of a file. They are copied where they are needed aligned.
    pub misaligned_tensors: u64,
    /// Bytes of weights and constants that are no aligned slices of a file.
    pub misaligned_bytes: u64,
    /// Oddities that did not prevent reading.
    pub warnings: Vec<Warning>,
}

/// An oddity that did not prevent reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The file does not say what wrote it.
    NoProducer,
    /// Fields in the form that old releases gave them were skipped, and the structure was copied for that.
    OldFieldsSkipped {
        /// How many.
        count: u64,
    },
    /// Inputs for which the file has values, so that callers may leave them out, are parameters.
    Defaults {
        /// Their names.
        inputs: Vec<String>,
    },
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProducer => f.write_str("the file does not name its producer"),
            Self::Defaults { inputs } => {
                let names: Vec<String> = inputs.iter().map(|name| Printable(name).to_string()).collect();
                write!(f, "inputs with a default value are parameters: {}", names.join(", "))
            }
            Self::OldFieldsSkipped { count } => write!(f, "{count} fields of an old form were skipped"),
        }
    }
}
