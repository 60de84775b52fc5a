//! What can go wrong.

use std::fmt;
use std::sync::Arc;

use mindir_graph::bounds::{Exceeded, Limit};
use mindir_graph::lower::NodeError;
#[cfg(feature = "onnx")]
use mindir_graph::onnx::ExportError as OnnxError;
use mindir_graph::{DType, Fact, OpError, Spec, TensorError};
use mindir_kernels::device::DeviceError;
use mindir_kernels::knobs::KnobError;
#[cfg(feature = "air")]
use mindir_loader::air::AirError;
use mindir_loader::ckpt::Misfits;
use mindir_loader::mindir::ExportError;
#[cfg(feature = "onnx")]
use mindir_loader::onnx::WriteError;
use mindir_loader::{ErrorKind as LoadErrorKind, LoadError};

/// Why a model could not be loaded, planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read as a model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The model could not be written as AIR.
    #[cfg(feature = "air")]
    #[error(transparent)]
    Air(#[from] AirError),
    /// The model could not be written as ONNX.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Onnx(#[from] WriteError),
    /// Operators that `mindir` does not have; every node is named.
    #[error("{}", Lines("operator", "not supported", .0))]
    Unsupported(Vec<UnsupportedNode>),
    /// No device, or not the demanded one, computes these nodes.
    #[error("{}", Lines("step", "declined", .0))]
    Declined(Vec<DeclinedNode>),
    /// The device does not exist here.
    #[error("device {device}: {reason}")]
    NoDevice {
        /// Name that was asked for.
        device: String,
        /// Why it is not available.
        reason: String,
    },
    /// Wrong inputs.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Options that cannot be followed.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// A parameter given at the start does not fit the model's.
    #[error("parameter {name}: expected {expected}, found {found}")]
    Param {
        /// Name of the parameter.
        name: String,
        /// What the model holds.
        expected: Fact,
        /// What was given.
        found: Fact,
    },
    /// Values of a checkpoint do not fit their parameters.
    #[error(transparent)]
    Misfits(#[from] Misfits),
    /// An operator refuses its arguments.
    #[error("{}", node_text(.0))]
    Node(NodeError),
    /// An operator refuses its arguments, and inputs have other dimensions than the file declares.
    #[error("{}; the model was exported for {expected}, found {found}", node_text(.error))]
    Shapes {
        /// Inputs as the file declares them.
        expected: String,
        /// Inputs as they were given.
        found: String,
        /// The operator's complaint.
        error: NodeError,
    },
    /// These operators refuse their arguments although the inputs are as the file declares them: what they are asked for is not
    /// supported, or has no meaning.
    #[error("{}", refused_text(.0))]
    Refused(Vec<NodeError>),
    /// A device failed, or a step refuses the data that it was given.
    #[error(transparent)]
    Device(DeviceError),
    /// Bytes that make no tensor.
    #[error(transparent)]
    Tensor(TensorError),
    /// A bound stated in the options does not hold, the system has no memory, or the caller wants no results any more. The
    /// cell is as it was.
    #[error("{}", Exceeded { what: *what, limit: *limit, needed: *needed })]
    Limit {
        /// What is bounded.
        what: Limit,
        /// How much of it there may be.
        limit: u64,
        /// How much would be needed at least.
        needed: u64,
    },
    /// The model has control flow or shapes that depend on data, where a straight line of steps is needed.
    #[error("{0}")]
    NotStraight(String),
}

impl From<Exceeded> for Error {
    fn from(e: Exceeded) -> Error {
        Error::Limit { what: e.what, limit: e.limit, needed: e.needed }
    }
}

impl From<NodeError> for Error {
    fn from(e: NodeError) -> Error {
        if let OpError::Limit(e) = e.error { e.into() } else { Error::Node(e) }
    }
}

impl From<DeviceError> for Error {
    fn from(e: DeviceError) -> Error {
        if let DeviceError::Limit(e) = e { e.into() } else { Error::Device(e) }
    }
}

impl From<TensorError> for Error {
    fn from(e: TensorError) -> Error {
        if let TensorError::Limit(e) = e { e.into() } else { Error::Tensor(e) }
    }
}

/// Class of an [`Error`], for callers that branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's inputs or options.
    Usage,
    /// The model needs something that is not implemented or has no meaning.
    Unsupported,
    /// The file is damaged or is no model.
    Corrupt,
    /// A device or the file system.
    Device,
    /// A bound that does not hold, or a run that was cancelled.
    Limit,
}

impl Error {
    /// Class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Load(e) => match e.kind() {
                LoadErrorKind::Corrupt | LoadErrorKind::Foreign => ErrorKind::Corrupt,
                LoadErrorKind::Unsupported | LoadErrorKind::Encrypted => ErrorKind::Unsupported,
                LoadErrorKind::Limit => ErrorKind::Limit,
                _ => ErrorKind::Device,
            },
            #[cfg(feature = "onnx")]
            Error::Onnx(WriteError::Model(OnnxError::Opset(_)) | WriteError::TooLong(_)) => ErrorKind::Usage,
            #[cfg(feature = "onnx")]
            Error::Onnx(WriteError::Model(_)) => ErrorKind::Unsupported,
            #[cfg(feature = "onnx")]
            Error::Onnx(_) => ErrorKind::Device,
            Error::Unsupported(_) | Error::Declined(_) | Error::Refused(_) => ErrorKind::Unsupported,
            Error::Node(e) | Error::Shapes { error: e, .. } if matches!(e.error, OpError::Unsupported(_)) => {
                ErrorKind::Unsupported
            }
            Error::Device(DeviceError::Declined { .. }) => ErrorKind::Unsupported,
            Error::Input(_)
            | Error::Options(_)
            | Error::Tensor(_)
            | Error::Device(DeviceError::Step { .. })
            | Error::Misfits(_)
            | Error::Param { .. }
            | Error::Node(_)
            | Error::Shapes { .. }
            | Error::NotStraight(_) => ErrorKind::Usage,
            #[cfg(feature = "air")]
            Error::Air(AirError::Store(_)) => ErrorKind::Device,
            #[cfg(feature = "air")]
            Error::Air(_) => ErrorKind::Unsupported,
            Error::Export(ExportError::Graph(_) | ExportError::TooLarge { .. }) => ErrorKind::Unsupported,
            Error::Export(ExportError::Store(_)) => ErrorKind::Device,
            Error::Export(_) => ErrorKind::Usage,
            Error::NoDevice { .. } | Error::Device(_) => ErrorKind::Device,
            Error::Limit { .. } => ErrorKind::Limit,
        }
    }

    /// Path of the graph node that the error is about, if it is about one.
    pub fn node_path(&self) -> Option<&str> {
        match self {
            Error::Node(e) | Error::Shapes { error: e, .. } => Some(&e.path),
            Error::Refused(all) => all.first().map(|e| &*e.path),
            Error::Device(DeviceError::Step { path, .. } | DeviceError::Declined { path, .. }) => Some(path),
            _ => None,
        }
    }
}

/// A node of an operator that is not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Path of the node.
    pub path: Arc<str>,
    /// Name of the primitive.
    pub op: Arc<str>,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.op.escape_debug(), self.path.escape_debug())
    }
}

/// A step that a device did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclinedNode {
    /// Path of the node.
    pub path: Arc<str>,
    /// Operators of the step.
    pub ops: Arc<str>,
    /// What each device said.
    pub reasons: Vec<String>,
}

impl fmt::Display for DeclinedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.ops, self.path.escape_debug(), self.reasons.join("; "))
    }
}

struct Lines<'a, T>(&'static str, &'static str, &'a [T]);

impl<T: fmt::Display> fmt::Display for Lines<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.2.len();
        write!(f, "{n} {}{} {}", self.0, if n == 1 { "" } else { "s" }, self.1)?;
        self.2.iter().try_for_each(|item| write!(f, "\n  {item}"))
    }
}

fn node_text(e: &NodeError) -> String {
    let args: Vec<String> = e.args.iter().map(ToString::to_string).collect();
    format!("{}: {}({}): {}", e.path.escape_debug(), e.op, args.join(", "), e.error)
}

fn refused_text(all: &[NodeError]) -> String {
    let declared = "the inputs are as the model declares them";
    match all {
        [one] => format!("{}; {declared}", node_text(one)),
        _ => {
            let lines: String = all.iter().map(|e| format!("\n  {}", node_text(e))).collect();
            format!("{} operators refuse their arguments; {declared}{lines}", all.len())
        }
    }
}

/// What is wrong with [`crate::Options`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// No threads, or too many.
    #[error("threads: expected a number from 1 to {most}, found {found}", most = mindir_kernels::cpu::Threads::MOST)]
    Threads {
        /// What was asked for.
        found: usize,
    },
    /// Names that no pass has.
    #[error("disabled_passes: there is no {}; the passes are all, {passes}", .names.join(", "))]
    Passes {
        /// The names that were given.
        names: Vec<String>,
        /// Names of the passes.
        passes: String,
    },
    /// Names that no parameter of the model has.
    #[error("params_init: the model has no parameter {}", .0.join(", "))]
    Params(Vec<String>),
    /// An environment variable that stands for an option.
    #[error(transparent)]
    Variable(#[from] KnobError),
}

/// What is wrong with the inputs of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Another number of inputs than the model has.
    #[error("expected {expected} inputs ({names}), found {found}")]
    Count {
        /// Inputs of the model.
        expected: usize,
        /// Their names.
        names: String,
        /// Inputs given.
        found: usize,
    },
    /// A name that no input has.
    #[error("no input is called {name:?}; the inputs are {names}")]
    Name {
        /// The name that was given.
        name: String,
        /// Names of the inputs.
        names: String,
    },
    /// Another element type.
    #[error("input {name}: expected {expected}, found {found}")]
    DType {
        /// Name of the input.
        name: String,
        /// Element type that the file declares.
        expected: DType,
        /// Element type that was given.
        found: DType,
    },
    /// Another number of dimensions.
    #[error("input {name}: expected {expected}, found {found}")]
    Rank {
        /// Name of the input.
        name: String,
        /// What the file declares.
        expected: Box<Spec>,
        /// What was given.
        found: Fact,
    },
    /// Nothing can be made up for an input whose element type or number of dimensions the model does not state.
    #[error("input {name}: {expected} does not say what to make up")]
    Unstated {
        /// Name of the input.
        name: String,
        /// What the model says of it.
        expected: Box<Spec>,
    },
    /// A name that is given twice.
    #[error("input {0:?} is given twice")]
    Twice(String),
    /// Another number of bytes than the session was made for.
    #[error("input {name}: the session was made for {expected}, {} bytes; found {found} bytes", .expected.bytes())]
    Length {
        /// Name of the input.
        name: String,
        /// What the session was made for.
        expected: Fact,
        /// Number of bytes that were given.
        found: usize,
    },
    /// Bytes that do not start where an element may.
    #[error("input {name}: {expected} must start at a multiple of {} bytes in memory", .expected.dtype.align())]
    Misaligned {
        /// Name of the input.
        name: String,
        /// What the session was made for.
        expected: Fact,
    },
    /// A byte other than 0 and 1 where `bool`s are expected.
    #[error("input {name}: byte {value} at index {index} is no bool")]
    Bool {
        /// Name of the input.
        name: String,
        /// Position of the byte.
        index: usize,
        /// The byte.
        value: u8,
    },
    /// An input that the model does not have.
    #[error("there is no input {index}, the model has {count}")]
    Input {
        /// The index that was given.
        index: usize,
        /// Inputs of the model.
        count: usize,
    },
    /// A [`State`](crate::State) of another cell, or of this one before it was given other parameters.
    #[error("the state is one of another model")]
    State,
    /// A result that the model does not have.
    #[error("there is no result {index}, the model has {count}")]
    Output {
        /// The index that was given.
        index: usize,
        /// Results of the model.
        count: usize,
    },
    /// A result that is not what the input takes to which it is carried.
    #[error("input {name}: expected {expected}, found result {output}, which is {found}")]
    Carried {
        /// Name of the input.
        name: String,
        /// Index of the result.
        output: usize,
        /// What the input takes.
        expected: Fact,
        /// What the result is.
        found: Fact,
    },
    /// A result or input that is carried already.
    #[error("result {output} or input {name} is carried already")]
    CarriedTwice {
        /// Name of the input.
        name: String,
        /// Index of the result.
        output: usize,
    },
    /// An input or result that does not lie in a device's memory only.
    #[error("{what} {index} lies in host memory too, so that it cannot stay on a device")]
    OnHost {
        /// `input` or `result`.
        what: &'static str,
        /// Its index.
        index: usize,
    },
    /// A result that stays in a device's memory.
    #[error("result {index} stays in the device's memory")]
    OnDevice {
        /// Index of the result.
        index: usize,
    },
    /// A tensor in a device's memory that is not what the input takes.
    #[error("input {name}: expected {expected}, found a tensor of {found}")]
    Bound {
        /// Name of the input.
        name: String,
        /// What the input takes.
        expected: Fact,
        /// What the tensor is.
        found: Fact,
    },
    /// Another number of times than the plan has steps.
    #[error("expected times for {expected} steps, found {found}")]
    Steps {
        /// Steps of the plan.
        expected: usize,
        /// Times given.
        found: usize,
    },
}
