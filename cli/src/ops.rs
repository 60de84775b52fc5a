//! `mindir ops`.

use clap::Args;
use mindir::builder::single;
use mindir::{DEVICES, DeviceEntry, Error, Fact, Fallback, GraphCell, OpDef, Options, Tensor};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// List the operators that models may use, with the kinds of tasks that compute their first example, and the GPUs that compute all
/// of them.
///
/// `host` is the operator's plain definition in f64: right, and slow. Other kinds run on devices. `-` has nothing to compute. What
/// keeps a GPU from an operator is in the JSON.
#[derive(Args, Debug)]
pub struct Ops {
    /// Only names that contain this, in any case
    filter: Option<String>,
    /// List MindSpore's CPU primitives that are no operators instead, with the reason
    #[arg(long)]
    missing: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A primitive that is no operator.
#[derive(Serialize)]
struct Missing {
    name: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: Vec<&'static str>,
    arguments: Vec<&'static str>,
    /// Kinds of tasks that compute the operator's first example.
    tasks: Vec<&'static str>,
    gpus: Vec<Gpu>,
    doc: &'static str,
}

/// Whether a GPU computes the operator's first example.
#[derive(Serialize)]
struct Gpu {
    device: &'static str,
    /// What it declines and why; none if it computes all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    declined: Option<String>,
}

impl Ops {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let filter = self.filter.unwrap_or_default().to_ascii_lowercase();
        if self.missing {
            return Ok(Outcome::ok(missing(&filter, self.json)));
        }
        let mut rows: Vec<Row> = mindir::ops::OPS.iter().map(row).filter(|r| r.matches(&filter)).collect();
        rows.sort_by_key(|r| r.name);
        if self.json {
            return Ok(Outcome::ok(print::json(&rows)));
        }
        let gpus = gpus().map(|(name, _)| name);
        let head: Vec<&str> = ["operator", "tasks"].into_iter().chain(gpus).chain([""]).collect();
        let table = print::table(&head, &[], rows.iter().map(Row::cells));
        Ok(Outcome::ok(format!("{table}{} operators\n", rows.len())))
    }
}

fn missing(filter: &str, json: bool) -> String {
    let all = mindir::ops::missing().map(|(name, reason)| Missing { name, reason });
    let rows: Vec<Missing> = all.filter(|row| row.name.to_ascii_lowercase().contains(filter)).collect();
    if json {
        return print::json(&rows);
    }
    let cells = rows.iter().map(|row| vec![row.name.into(), row.reason.into()]);
    format!("{}{} primitives\n", print::table(&["primitive", "reason"], &[], cells), rows.len())
}

fn row(def: &'static OpDef) -> Row {
    Row {
        name: def.name,
        aliases: def.names().skip(1).collect(),
        arguments: def.params.iter().map(|p| p.name).collect(),
        tasks: tasks(def).unwrap_or_else(|| vec!["host"]),
        gpus: gpus().map(|(device, options)| Gpu { device, declined: declined(def, options) }).collect(),
        doc: def.doc.trim().split("\n\n").next().unwrap_or_default(),
    }
}

/// The kinds of GPUs that there are, with options for plans on them alone.
fn gpus() -> impl Iterator<Item = (&'static str, Options)> {
    let on = |entry: &DeviceEntry| {
        let options = Options { threads: Some(1), fallback: Fallback::Deny, ..Options::default() };
        Some((entry.name, options.with_device(entry.plan_only()?)))
    };
    DEVICES.iter().filter_map(on)
}

/// The plan of the first example with as many results as the operator has; `None` if there is no example.
fn plan(def: &'static OpDef, options: &Options) -> Option<Result<mindir::Plan, Error>> {
    let case = (def.cases)().into_iter().next()?;
    let mut last = None;
    for results in 1..=8 {
        let (model, inputs) = single(def, &case, results);
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        match GraphCell::new(model, options.clone()).and_then(|cell| cell.plan(&facts)) {
            Ok(plan) => return Some(Ok(plan)),
            // Others fail for another number of results.
            Err(e @ Error::Declined(_)) => return Some(Err(e)),
            Err(e) => last = Some(Err(e)),
        }
    }
    last
}

/// Families of the tasks of the first example; `None` if it cannot be planned without its data.
fn tasks(def: &'static OpDef) -> Option<Vec<&'static str>> {
    let options = Options { threads: Some(1), ..Options::default() };
    let plan = plan(def, &options)?.ok().filter(|plan| plan.stops().is_none())?;
    let mut families: Vec<&str> = plan.stages().iter().flat_map(|s| &s.steps).map(|s| s.family).collect();
    families.dedup();
    Some(families)
}

/// What a GPU declines of the first example, and why.
fn declined(def: &'static OpDef, options: Options) -> Option<String> {
    match plan(def, &options)? {
        Ok(plan) => plan.stops().map(|_| "what it computes depends on data".into()),
        Err(Error::Declined(nodes)) => nodes.first().and_then(|node| node.reasons.first()).cloned(),
        Err(e) => Some(e.to_string()),
    }
}

impl Row {
    fn matches(&self, filter: &str) -> bool {
        self.aliases.iter().chain([&self.name]).any(|n| n.to_ascii_lowercase().contains(filter))
    }

    fn cells(&self) -> Vec<String> {
        let names: Vec<&str> = [self.name].iter().chain(&self.aliases).copied().collect();
        let doc: Vec<&str> = self.doc.lines().map(str::trim).collect();
        let tasks = if self.tasks.is_empty() { "-".into() } else { self.tasks.join(", ") };
        let gpus = self.gpus.iter().map(|gpu| if gpu.declined.is_none() { "yes" } else { "no" }.to_string());
        [names.join(", "), tasks].into_iter().chain(gpus).chain([doc.join(" ")]).collect()
    }
}
