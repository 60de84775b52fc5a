//! Why a model cannot be written.

use std::fmt::{self, Display, Formatter};

use mindir_graph::VerifyError;
use thiserror::Error;

use crate::Printable;
use crate::crypto::KeyFault;
use crate::error::LoadError;
use crate::limits::MOST_NAME;
use crate::store::StoreError;

/// Why a model was not written. Unless the store says otherwise, what was there before is still there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something in the graphs has no form in a file; every place is named.
    #[error("{}", Lines(.0))]
    Graph(Vec<NodeFault>),
    /// The graphs contradict themselves.
    #[error(transparent)]
    Model(#[from] VerifyError),
    /// The path cannot be a model's.
    #[error("{}: {why}", Printable(.file))]
    Path {
        /// The path.
        file: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The graph file would be larger than the format allows.
    #[error("the graph file would have {size} bytes, more than the 2 GiB that one message can have; {}",
        if *.split { "constants cannot be split off" } else { "write a split model" })]
    TooLarge {
        /// Bytes that the file would have.
        size: u64,
        /// Whether weights are in data files already.
        split: bool,
    },
    /// The model that is to be changed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model has nothing of this name.
    #[error("there is no {what} called {}", Printable(.name))]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The name cannot be given.
    #[error("nothing can be called \"{}\": {why}", Printable(.name))]
    Name {
        /// The name.
        name: String,
        /// Why not.
        why: NameFault,
    },
    /// Contents do not fit their parameter.
    #[error("parameter {} cannot hold a tensor {found}", Printable(.name))]
    Contents {
        /// The parameter.
        name: String,
        /// What was given.
        found: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The files cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a name cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameFault {
    /// There is none.
    #[error("the name is empty")]
    Empty,
    /// Readers refuse it.
    #[error("the name has {0} bytes, and readers take {MOST_NAME}")]
    TooLong(usize),
    /// What stands before its colon is taken for the name of a graph.
    #[error("what stands before the colon would not be part of the name")]
    Colon,
    /// Two parameters would have it.
    #[error("another parameter has this name")]
    SameName,
    /// A graph, an input or a node has it.
    #[error("an input, a node or a graph has this name")]
    Taken,
}

/// A node that has no form in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFault {
    /// Name of the graph.
    pub graph: String,
    /// Path of the node.
    pub node: String,
    /// Name of the operator.
    pub op: String,
    /// What is wrong.
    pub what: String,
}

impl Display for NodeFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { graph, node, op, what } = self;
        write!(f, "graph {}: node {}: {}: {}", Printable(graph), Printable(node), Printable(op), Printable(what))
    }
}

/// All faults, each on its own line.
struct Lines<'a>(&'a [NodeFault]);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => one.fmt(f),
            several => {
                write!(f, "{} nodes cannot be written:", several.len())?;
                several.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}
