//! `mindir ops`.

use std::fmt::Write;

use clap::Args;
use mindir::air::AirError;
use mindir::builder::single;
use mindir::graph::Model;
use mindir::onnx::{ExportError, OPSETS};
use mindir::{DEVICES, DeviceEntry, Error, Fact, Fallback, GraphCell, OpDef, Options, Tensor, air, onnx};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// List the operators that models may use, with the kinds of tasks that compute their first example, and the GPUs that compute all
/// of them.
///
/// `host` is the operator's plain definition in f64: right, and slow. Other kinds run on devices. `-` has nothing to compute. What
/// keeps a GPU from an operator is in the JSON, and so is what keeps it from ONNX and AIR.
#[derive(Args, Debug)]
pub struct Ops {
    /// Only names that contain this, in any case
    filter: Option<String>,
    /// List MindSpore's CPU primitives that are no operators instead, with the reason
    #[arg(long)]
    missing: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a page in Markdown, with all that JSON has and with the primitives that are no operators
    #[arg(long, conflicts_with_all = ["missing", "filter"])]
    markdown: bool,
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
    onnx: Form,
    air: Form,
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

/// Whether the operator's first example has a form in files of another kind.
#[derive(Serialize)]
struct Form {
    /// Why it has none; none if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
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
        if self.markdown {
            return Ok(Outcome::ok(page(&rows)));
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

/// All operators and all primitives that are none, in Markdown.
fn page(rows: &[Row]) -> String {
    let mut page = String::from(
        "# Operators\n\n`mindir ops --markdown` writes this page. Tasks, GPUs and forms are those of an operator's first example; \
         `host` is its plain\ndefinition in f64, `-` has nothing to compute. Names after the first mean the same.\n\n",
    );
    let gpus: Vec<&str> = gpus().map(|(name, _)| name).collect();
    let head = format!("| operator | arguments | tasks | {} | ONNX | AIR | computes |\n", gpus.join(" | "));
    let rule = "| --- ".repeat(head.matches(" | ").count() + 1) + "|\n";
    page += &(head + &rule);
    for row in rows {
        let gpus = row.gpus.iter().map(|gpu| gpu.declined.as_ref());
        let forms = [row.onnx.refused.as_ref(), row.air.refused.as_ref()];
        let answers = gpus.chain(forms).map(|why| why.map_or("yes".into(), |why| format!("no: {why}")));
        let mut cells = row.cells();
        let doc = cells.pop().unwrap_or_default();
        cells.truncate(2);
        cells.insert(1, row.arguments.join(", "));
        cells.extend(answers.chain([doc]));
        line(&mut page, &cells);
    }
    page += "\n# Primitives that are no operators\n\nOf those that MindSpore 2.10 computes on the CPU.\n\n| primitive | reason |\n| --- | --- |\n";
    mindir::ops::missing().for_each(|(name, reason)| line(&mut page, &[name.into(), reason.into()]));
    page
}

/// A row of a table in Markdown.
fn line(page: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    // A string takes every text.
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn row(def: &'static OpDef) -> Row {
    let example = example(def);
    let example = example.as_ref();
    let refused = |why: fn(&Model) -> Option<String>| Form {
        refused: match example {
            Some((model, _)) => why(model),
            None => Some("it has no example".into()),
        },
    };
    Row {
        name: def.name,
        aliases: def.names().skip(1).collect(),
        arguments: def.params.iter().map(|p| p.name).collect(),
        tasks: example.and_then(tasks).unwrap_or_else(|| vec!["host"]),
        gpus: gpus().map(|(device, options)| Gpu { device, declined: declined(example, options) }).collect(),
        onnx: refused(no_onnx),
        air: refused(no_air),
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

/// A model and its inputs.
type Example = (Model, Vec<Fact>);

/// The first example, with as many results as the operator has.
fn example(def: &'static OpDef) -> Option<Example> {
    let case = (def.cases)().into_iter().next()?;
    let examples = (1..=8).map(|results| single(def, &case, results));
    let mut examples = examples.map(|(model, inputs)| (model, inputs.iter().map(Tensor::fact).collect()));
    // Others fail for another number of results.
    examples.find(|example| plan(example, Options { threads: Some(1), ..Options::default() }).is_ok())
}

fn plan((model, facts): &Example, options: Options) -> Result<mindir::Plan, Error> {
    GraphCell::new(model.clone(), options)?.plan(facts)
}

/// Families of the tasks of an example; `None` if it cannot be planned without its data.
fn tasks(example: &Example) -> Option<Vec<&'static str>> {
    let options = Options { threads: Some(1), ..Options::default() };
    let plan = plan(example, options).ok().filter(|plan| plan.stops().is_none())?;
    let mut families: Vec<&str> = plan.stages().iter().flat_map(|s| &s.steps).map(|s| s.family).collect();
    families.dedup();
    Some(families)
}

/// What a GPU declines of an example, and why.
fn declined(example: Option<&Example>, options: Options) -> Option<String> {
    match plan(example?, options) {
        Ok(plan) => plan.stops().map(|_| "what it computes depends on data".into()),
        Err(Error::Declined(nodes)) => nodes.first().and_then(|node| node.reasons.first()).cloned(),
        Err(e) => Some(e.to_string()),
    }
}

/// Why an example has no form in ONNX, in the newest operator set.
fn no_onnx(model: &Model) -> Option<String> {
    match onnx::to_bytes(model, *OPSETS.end()).err()? {
        ExportError::Nodes(nodes) => nodes.into_iter().next().map(|node| node.reason),
        e => Some(e.to_string()),
    }
}

/// Why an example has no form in AIR.
fn no_air(model: &Model) -> Option<String> {
    match air::to_bytes(model).err()? {
        AirError::Nodes(nodes) => nodes.into_iter().next().map(|node| node.why),
        e => Some(e.to_string()),
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
