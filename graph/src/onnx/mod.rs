//! Models as ONNX: nodes, attributes and constants as plain records, without a file format.
//!
//! [`export`] walks a model. Each operator says in its own file what it is in ONNX ([`crate::op::Rule::onnx`]); one that
//! does not is written as the tasks that it lowers to (`tasks.rs`), which most of ONNX's own operators match.
//!
//! Dimensions may be open, and no size is invented for them. What is known of a written value follows from the definitions
//! of the nodes that compute it (`types.rs`), starting from what the model declares: its element type, its rank, and the
//! lengths that are fixed. Contents are known only where no open length takes part, so whatever follows from one is computed
//! by nodes, and a condition on it stays an `If`. An operator's form cannot use an open length by accident either:
//! [`crate::op::Watched`] notes who reads one, and the node is refused.

mod body;
mod emit;
mod export;
mod program;
mod tasks;
mod types;

use std::fmt;
use std::sync::Arc;

use crate::{DType, OpError, Tensor};

pub use body::{Body, Edge, Record};
pub(crate) use emit::to_i64;
pub use emit::{Emit, Size};
pub use export::{Dimension, Exported, Options, Port, export};
pub(crate) use program::machine;
pub(crate) use tasks::reduce;
pub use types::{Dims, Length, Type, broadcast, results};

/// The oldest and the newest operator set that can be written.
pub const OPSETS: std::ops::RangeInclusive<i64> = 17..=22;

/// Why a form that relies on an open length is refused.
pub(crate) const OPEN: &str = "its ONNX form needs the size of a dimension that is open";

/// An attribute of a [`Record`].
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f32),
    /// Text.
    Text(&'static str),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A list of numbers.
    Floats(Vec<f32>),
    /// A list of texts.
    Texts(Vec<&'static str>),
    /// A tensor.
    Tensor(Tensor),
    /// A graph, which may read the values around it.
    Body(Body),
}

impl From<i64> for Attr {
    fn from(i: i64) -> Attr {
        Attr::Int(i)
    }
}

impl From<f32> for Attr {
    fn from(x: f32) -> Attr {
        Attr::Float(x)
    }
}

impl From<&'static str> for Attr {
    fn from(s: &'static str) -> Attr {
        Attr::Text(s)
    }
}

impl From<Vec<i64>> for Attr {
    fn from(values: Vec<i64>) -> Attr {
        Attr::Ints(values)
    }
}

/// Why a node has no ONNX form.
#[derive(Clone, Debug, PartialEq)]
pub enum NoForm {
    /// What is missing in ONNX, or in the operator's mapping for these arguments.
    Reason(String),
    /// The operator has no mapping, and no reason for that either. No operator of the list answers so.
    Unstated,
}

impl fmt::Display for NoForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoForm::Reason(why) => f.write_str(why),
            NoForm::Unstated => f.write_str("no mapping is known"),
        }
    }
}

impl From<OpError> for NoForm {
    fn from(e: OpError) -> NoForm {
        NoForm::Reason(match e {
            OpError::NeedsValue(_) => {
                "the shape of its result depends on contents that are known at run time only".into()
            }
            OpError::Dynamic => "the shape of its result depends on data".into(),
            other => other.to_string(),
        })
    }
}

impl From<crate::TensorError> for NoForm {
    fn from(e: crate::TensorError) -> NoForm {
        NoForm::Reason(e.to_string())
    }
}

/// The results of an operator as edges; `None` asks for the tasks that it lowers to.
pub type Forms = Result<Option<Vec<Edge>>, NoForm>;

/// The answer of an operator that has no ONNX form.
///
/// # Errors
/// Always, with the reason.
pub fn no_form<T>(why: impl Into<String>) -> Result<T, NoForm> {
    Err(NoForm::Reason(why.into()))
}

/// A task lacks an operand that its family has.
fn missing() -> NoForm {
    NoForm::Reason("expected another operand, found none".into())
}

/// A node that cannot be written, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmapped {
    /// Path of the node.
    pub path: Arc<str>,
    /// Name of the operator.
    pub op: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.escape_debug())?;
        if !self.op.is_empty() {
            write!(f, "{}: ", self.op)?;
        }
        f.write_str(&self.reason)
    }
}

/// Why a model cannot be written as ONNX.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The operator set is not one of [`OPSETS`].
    #[error("operator set {0} is not supported, expected {first} to {last}", first = OPSETS.start(), last = OPSETS.end())]
    Opset(i64),
    /// Nodes without an ONNX form: all of them.
    #[error("{} no ONNX form:{}", have(.0.len()), Lines(.0))]
    Nodes(Vec<Unmapped>),
    /// An input whose element type or rank the file does not declare.
    #[error("input {name}: {what}")]
    Input {
        /// Name of the input.
        name: String,
        /// What is missing.
        what: String,
    },
}

/// `1 node has`, `2 nodes have`.
fn have(nodes: usize) -> String {
    if nodes == 1 { "1 node has".into() } else { format!("{nodes} nodes have") }
}

struct Lines<'a>(&'a [Unmapped]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| write!(f, "\n  {node}"))
    }
}

/// ONNX's number of an element type.
pub fn data_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::U16 => 4,
        DType::I16 => 5,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::U64 => 13,
        DType::C64 => 14,
        DType::C128 => 15,
        DType::BF16 => 16,
    }
}

/// The element type with ONNX's number `code`.
pub fn from_data_type(code: i32) -> Option<DType> {
    DType::ALL.into_iter().find(|d| data_type(*d) == code)
}
