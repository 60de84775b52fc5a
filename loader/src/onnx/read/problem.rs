//! What is wrong with a file.

use std::fmt::Display;

use crate::error::LoadError;

/// What is wrong with a part of the file.
#[derive(Debug)]
pub(super) enum Problem {
    /// Valid, but not supported.
    Unsupported(String),
    /// Contradictory or incomplete.
    Damaged(String),
    /// A tensor that cannot be read.
    Tensor(Box<LoadError>),
}

impl Problem {
    /// The same about a part called `name`.
    pub fn of(self, name: impl Display) -> Problem {
        match self {
            Problem::Unsupported(why) => Problem::Unsupported(format!("{name}: {why}")),
            Problem::Damaged(why) => Problem::Damaged(format!("{name}: {why}")),
            Problem::Tensor(error) => Problem::Tensor(error),
        }
    }

    pub fn error(self, file: &str) -> LoadError {
        let file = file.to_string();
        match self {
            Problem::Unsupported(what) => LoadError::Unsupported { file, what },
            Problem::Damaged(what) => LoadError::Structure { file, what },
            Problem::Tensor(error) => *error,
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Problem {
        Problem::Tensor(Box::new(error))
    }
}

impl From<String> for Problem {
    fn from(why: String) -> Problem {
        Problem::Unsupported(why)
    }
}

impl From<&str> for Problem {
    fn from(why: &str) -> Problem {
        Problem::Unsupported(why.into())
    }
}

/// What went wrong in a graph, one problem for each node.
pub(super) type Problems = Vec<Problem>;

/// All problems as one; what is damaged comes before what is not supported.
pub(super) fn together(problems: Problems) -> Problem {
    let (mut damaged, mut unsupported) = (Vec::new(), Vec::new());
    for problem in problems {
        match problem {
            Problem::Damaged(what) => damaged.push(what),
            Problem::Unsupported(what) => unsupported.push(what),
            tensor @ Problem::Tensor(_) => return tensor,
        }
    }
    let list = |all: &[String]| {
        let lines: String = all.iter().map(|p| format!("\n  {p}")).collect();
        format!("{} nodes:{lines}", all.len())
    };
    if damaged.is_empty() { Problem::Unsupported(list(&unsupported)) } else { Problem::Damaged(list(&damaged)) }
}

/// Why a node has no results.
pub(super) enum Stop {
    /// What is wrong with it.
    Node(Problem),
    /// What is wrong with the nodes of a graph inside of it.
    Inside(Problems),
}

impl<T: Into<Problem>> From<T> for Stop {
    fn from(why: T) -> Stop {
        Stop::Node(why.into())
    }
}
