//! What can be wrong with the graphs of a model.

use mindir_graph::VerifyError;
use thiserror::Error;

use crate::Printable;
use crate::error::{ErrorKind, TensorFault};

/// Why the graphs of a file make no model. Names are as in the file; messages escape them.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GraphFault {
    /// Two things have the same name.
    #[error("the name {} is given twice", Printable(.0))]
    SameName(String),
    /// A name that nothing has.
    #[error("there is nothing called {}", Printable(.0))]
    Unknown(String),
    /// A value of one graph is used in another.
    #[error("{} belongs to another graph", Printable(.0))]
    Foreign(String),
    /// Something lacks a name, operator, value or result.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A node needs its own result.
    #[error("the value depends on itself")]
    Cycle,
    /// The number of arguments is wrong.
    #[error("{} takes {expected} arguments, found {found}", Printable(.name))]
    Arity {
        /// Operator or graph.
        name: String,
        /// Number of arguments that it takes.
        expected: usize,
        /// Number of arguments that it is given.
        found: usize,
    },
    /// A tuple has no such element.
    #[error("element {index} of a tuple of {len}")]
    Index {
        /// Position asked for.
        index: i64,
        /// Length of the tuple.
        len: usize,
    },
    /// A value is not what its place needs.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What the place needs.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A graph returns something else than it declares, or than the other branches return.
    #[error("the results of the called graphs differ from what is declared")]
    Results,
    /// A constant or attribute does not hold what its type says.
    #[error("the value of {} is not valid", Printable(.0))]
    Value(String),
    /// A tensor is not valid.
    #[error("tensor {}: {fault}", Printable(.name))]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        fault: TensorFault,
    },
    /// Something that the format has and this crate does not understand.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Something that would run code of the file.
    #[error("the operator {} runs code that is not in the file", Printable(.0))]
    Unsafe(String),
    /// Calls and tuples unfold into more than the file's size justifies.
    #[error("{0} unfold into too much")]
    Excess(&'static str),
    /// The graphs that were made from the file contradict themselves.
    #[error("{0}")]
    Model(#[from] VerifyError),
}

impl GraphFault {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported(_) | Self::Unsafe(_) => ErrorKind::Unsupported,
            Self::Excess(_) => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// A fault with the graph and node that have it.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub graph: String,
    pub node: String,
    pub fault: GraphFault,
}

impl GraphFault {
    pub(super) fn at(self, graph: &str, node: &str) -> Located {
        Located { graph: graph.to_string(), node: node.to_string(), fault: self }
    }
}
