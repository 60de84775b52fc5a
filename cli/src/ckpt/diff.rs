//! `mindir ckpt diff`.

use std::path::PathBuf;

use clap::Args;
use mindir::ckpt::{Array, Checkpoint, Value};
use serde::Serialize;

use super::show::dtype;
use crate::args::KeyArgs;
use crate::difference::{Difference, ToleranceArgs, difference};
use crate::failure::{Failure, Outcome};
use crate::print;

/// Compare two checkpoints by names.
///
/// Values are equal if all bits are, or if they are within the tolerance that is given. Ends with 1 if something differs.
#[derive(Args, Debug)]
#[command(mut_arg("tolerance", |a| a.help("Largest difference, relative to the largest magnitude in the same value of A")))]
pub struct Diff {
    /// One checkpoint
    a: PathBuf,
    /// The other one
    b: PathBuf,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    /// Names of equal values.
    equal: usize,
    only_in_a: Vec<String>,
    only_in_b: Vec<String>,
    changed: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    name: String,
    /// What is different: `kind`, `dtype`, `shape` or `contents`.
    what: &'static str,
    a: String,
    b: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

impl Diff {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let ((a, _), (b, _)) = (self.key.read(&self.a)?, self.key.read(&self.b)?);
        let only = |one: &Checkpoint, other: &Checkpoint| -> Vec<String> {
            one.names().filter(|n| other.get(n).is_none()).map(str::to_string).collect()
        };
        let both = a.iter().filter_map(|(name, value)| Some((name, value, b.get(name)?)));
        let changed: Vec<Change> = both.filter_map(|(name, a, b)| self.change(name, a, b)).collect();
        let equal = a.names().filter(|name| b.get(name).is_some()).count() - changed.len();
        let report = Report { equal, only_in_a: only(&a, &b), only_in_b: only(&b, &a), changed };
        let text = if self.json { print::json(&report) } else { report.text() };
        Ok(if report.is_equal() { Outcome::ok(text) } else { Outcome::differs(text) })
    }

    fn change(&self, name: &str, a: &Value, b: &Value) -> Option<Change> {
        if a == b {
            return None;
        }
        let (what, difference) = match (a.array(), b.array()) {
            (Some(x), Some(y)) if x.dims() != y.dims() => ("shape", None),
            (Some(x), Some(y)) if x.element() != y.element() => ("dtype", None),
            (Some(x), Some(y)) => {
                let d = self.distance(x, y);
                if d.is_some_and(|d| self.tolerance.is_given() && d.wrong == 0) {
                    return None;
                }
                ("contents", d)
            }
            (None, None) => ("contents", None),
            _ => ("kind", None),
        };
        Some(Change { name: name.into(), what, a: brief(a), b: brief(b), difference })
    }

    fn distance(&self, a: &Array, b: &Array) -> Option<Difference> {
        difference(&b.tensor().ok()?, &a.tensor().ok()?, self.tolerance.criterion(Some(0.0))).ok()
    }
}

/// The kind of a value: of a tensor type and shape.
pub fn brief(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Array(array) => format!("{} {:?}", dtype(array), array.dims()),
    }
}

impl Report {
    fn is_equal(&self) -> bool {
        self.only_in_a.is_empty() && self.only_in_b.is_empty() && self.changed.is_empty()
    }

    fn text(&self) -> String {
        let mut text: String = self.changed.iter().map(Change::text).collect();
        for (mark, names, which) in [("-", &self.only_in_a, "a"), ("+", &self.only_in_b, "b")] {
            names.iter().for_each(|n| text += &format!("{mark} {}  only in {which}\n", print::name(n)));
        }
        text + &format!("= {} equal\n", self.equal)
    }
}

impl Change {
    fn text(&self) -> String {
        let detail = match (&self.difference, self.what) {
            (Some(d), _) => {
                let (wrong, count, most) = (d.wrong, d.count, print::number(d.max_abs));
                format!("{}  {wrong} of {count} differ, by {most} at most", self.a)
            }
            (None, "contents") if self.a == self.b => format!("{}  contents differ", self.a),
            _ => format!("{} → {}", self.a, self.b),
        };
        format!("~ {}  {detail}\n", print::name(&self.name))
    }
}
