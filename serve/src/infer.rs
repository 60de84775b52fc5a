//! A request for results, whatever the wire.

use std::time::Duration;

use mindir::Tensor;

/// A request for results.
#[derive(Debug, Default)]
pub(crate) struct InferRequest {
    /// Tensors by the name of the input.
    pub inputs: Vec<(String, Tensor)>,
    /// Names of the results that are wanted, in order; none means all.
    pub outputs: Vec<String>,
    /// How long it may take at most.
    pub timeout: Option<Duration>,
    /// Those with a lower number go first; 0 is as those that say nothing.
    pub priority: u64,
    /// The conversation that it is a part of.
    pub sequence: Option<Sequence>,
}

/// A request's place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Which one.
    pub id: String,
    /// Whether it starts anew.
    pub start: bool,
    /// Whether it is over after this.
    pub end: bool,
}

/// Results by name.
pub(crate) type Results = Vec<(String, Tensor)>;
