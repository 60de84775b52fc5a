//! Effect tokens: the order of reads and writes as values.

use std::collections::{HashMap, HashSet};

use mindir_proto::mindir::AttributeType;

/// The token of one kind while a graph is written.
pub(super) struct Token {
    pub kind: AttributeType,
    /// The name of the token that the next effect takes.
    pub current: String,
    /// Whether anything but the first token exists.
    pub used: bool,
    /// What must have happened before the next write.
    pub pending: Vec<String>,
    /// Parameters read at the current token, with the reads' names.
    pub loads: HashMap<usize, String>,
    /// Names of reads since the last write.
    read: HashSet<String>,
}

impl Token {
    pub(super) fn new(kind: AttributeType, first: String) -> Token {
        Token { kind, current: first, used: false, pending: Vec::new(), loads: HashMap::new(), read: HashSet::new() }
    }

    /// Notes a read of a parameter.
    pub(super) fn note_load(&mut self, param: usize, name: &str) {
        self.loads.insert(param, name.to_string());
        self.read.insert(name.to_string());
        self.pending.push(name.to_string());
    }

    /// A read may be the parameter's own memory, so that whoever uses it comes before the next write as well.
    pub(super) fn note_use(&mut self, inputs: &[String], user: &str) {
        if inputs.iter().any(|input| self.read.contains(input)) {
            self.pending.push(user.to_string());
        }
    }

    /// Continues with the token `name`, which comes after everything so far.
    pub(super) fn advance(&mut self, name: String) {
        self.current = name;
        self.used = true;
        self.pending.clear();
        self.loads.clear();
        self.read.clear();
    }
}
