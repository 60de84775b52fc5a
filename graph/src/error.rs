//! Why an operator cannot be planned or run.

use crate::bounds::Exceeded;
use crate::task::V;
use crate::{DType, TensorError};

/// Why an operator refuses its arguments. The caller adds the node's path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Planning must wait until the contents of this value are known.
    #[error("needs the contents of {0} before it can be planned")]
    NeedsValue(V),
    /// The shape of the result depends on the contents of the operands.
    #[error("has a result whose shape depends on data")]
    Dynamic,
    /// An argument is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The model itself ends the run with an exception.
    #[error("{exception}{}{message}", if .message.is_empty() { "" } else { ": " })]
    Raised {
        /// Name of Python's class.
        exception: String,
        /// What it says.
        message: String,
    },
    /// Meaningful, but not implemented.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A bound of the run does not hold.
    #[error(transparent)]
    Limit(#[from] Exceeded),
}

impl From<TensorError> for OpError {
    fn from(e: TensorError) -> OpError {
        match e {
            TensorError::Limit(e) => OpError::Limit(e),
            e => OpError::Invalid(e.to_string()),
        }
    }
}

impl OpError {
    /// An operand of an element type that the operator does not take.
    pub fn dtype(name: &str, found: DType, expected: &str) -> OpError {
        OpError::Invalid(format!("{name}: expected {expected}, found {found}"))
    }
}

/// Returns [`OpError::Invalid`] with a formatted message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($message:tt)+) => {
        if !$cond {
            return Err($crate::OpError::Invalid(format!($($message)+)));
        }
    };
}
