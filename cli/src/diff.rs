//! `mindir diff`.

use std::path::PathBuf;

use clap::Args;
use mindir::diff::{Change, ChangeKind, diff};
use serde::Serialize;

use crate::args::{self, ModelKeyArgs};
use crate::failure::{Failure, Outcome};
use crate::stdin;

/// Show how two models differ, in graph and weights. Exit code 1 if they do.
#[derive(Args, Debug)]
pub struct Diff {
    /// MindIR or ONNX file to compare with
    #[arg(value_name = "A")]
    a: PathBuf,
    /// MindIR or ONNX file that may differ
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    key: ModelKeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    graph: Vec<Entry>,
    params: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    what: String,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Removed { was: String },
    Added { is: String },
    Changed { was: String, is: String },
    Contents { elements: usize, of: usize, largest: Option<f64> },
    Other { text: String },
}

impl From<&Change> for Entry {
    fn from(change: &Change) -> Entry {
        let kind = match change.kind.clone() {
            ChangeKind::Removed(was) => Kind::Removed { was },
            ChangeKind::Added(is) => Kind::Added { is },
            ChangeKind::Changed { from, to } => Kind::Changed { was: from, is: to },
            ChangeKind::Contents { elements, of, largest } => Kind::Contents { elements, of, largest },
            _ => Kind::Other { text: change.to_string() },
        };
        Entry { what: change.what.clone(), kind }
    }
}

impl Diff {
    /// Compares.
    pub fn execute(self) -> Result<Outcome, Failure> {
        if stdin::is(&self.a) && stdin::is(&self.b) {
            return Err(Failure::Usage(format!("{} is one model; two are compared", stdin::NAME)));
        }
        let load = |path| Ok::<_, Failure>(args::load(self.key.source(path)?)?.model);
        let found = diff(&load(&self.a)?, &load(&self.b)?);
        let text = if self.json {
            let entries = |list: &[Change]| list.iter().map(Entry::from).collect();
            let report = Report { graph: entries(&found.graph), params: entries(&found.params) };
            crate::print::json(&report)
        } else {
            found.graph.iter().chain(&found.params).map(|change| format!("{change}\n")).collect()
        };
        Ok(if found.is_empty() { Outcome::ok(text) } else { Outcome::differs(text) })
    }
}
