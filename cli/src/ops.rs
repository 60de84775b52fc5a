//! `mindir ops`.

use clap::Args;
use mindir::builder::single;
use mindir::{Fact, GraphCell, OpDef, Options, Tensor};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// List the operators that models may use, with the kinds of tasks that compute their first example.
///
/// `host` is the operator's plain definition in f64: right, and slow. Other kinds run on devices. `-` has nothing to compute.
#[derive(Args, Debug)]
pub struct Ops {
    /// Only names that contain this, in any case
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: Vec<&'static str>,
    arguments: Vec<&'static str>,
    /// Kinds of tasks that compute the operator's first example.
    tasks: Vec<&'static str>,
    doc: &'static str,
}

impl Ops {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let filter = self.filter.unwrap_or_default().to_ascii_lowercase();
        let mut rows: Vec<Row> = mindir::ops::OPS.iter().map(row).filter(|r| r.matches(&filter)).collect();
        rows.sort_by_key(|r| r.name);
        if self.json {
            return Ok(Outcome::ok(print::json(&rows)));
        }
        let table = print::table(&["operator", "tasks", ""], &[], rows.iter().map(Row::cells));
        Ok(Outcome::ok(format!("{table}{} operators\n", rows.len())))
    }
}

fn row(def: &'static OpDef) -> Row {
    Row {
        name: def.name,
        aliases: def.names().skip(1).collect(),
        arguments: def.params.iter().map(|p| p.name).collect(),
        tasks: tasks(def).unwrap_or_else(|| vec!["host"]),
        doc: def.doc.trim().split("\n\n").next().unwrap_or_default(),
    }
}

/// Families of the tasks of the first example; `None` if it cannot be planned without its data.
fn tasks(def: &'static OpDef) -> Option<Vec<&'static str>> {
    let case = (def.cases)().into_iter().next()?;
    let options = Options { threads: Some(1), ..Options::default() };
    for results in 1..=8 {
        let (model, inputs) = single(def, &case, results);
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let Ok(plan) = GraphCell::new(model, options.clone()).ok()?.plan(&facts) else { continue };
        if plan.stops().is_some() {
            return None;
        }
        let mut families: Vec<&str> = plan.stages().iter().flat_map(|s| &s.steps).map(|s| s.family).collect();
        families.dedup();
        return Some(families);
    }
    None
}

impl Row {
    fn matches(&self, filter: &str) -> bool {
        self.aliases.iter().chain([&self.name]).any(|n| n.to_ascii_lowercase().contains(filter))
    }

    fn cells(&self) -> Vec<String> {
        let names: Vec<&str> = [self.name].iter().chain(&self.aliases).copied().collect();
        let doc: Vec<&str> = self.doc.lines().map(str::trim).collect();
        let tasks = if self.tasks.is_empty() { "-".into() } else { self.tasks.join(", ") };
        vec![names.join(", "), tasks, doc.join(" ")]
    }
}
