//! `mindir inspect`.

mod drawing;

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use mindir::graph::{Format, Graph, Model, NodeKind};
use mindir::preprocess::Preprocess;
use mindir::{Dim, Error, GraphCell, Loaded, NodeError, Options, Port, Printable};
use serde::Serialize;

use crate::args::ModelArg;
use crate::failure::{Failure, Outcome};
use crate::print::{self, name};
use drawing::{Language, drawing};

/// Show what a model file holds, and everything in it that is not supported.
#[derive(Args, Debug)]
pub struct Inspect {
    #[command(flatten)]
    model: ModelArg,
    /// List the operators with their numbers
    #[arg(long)]
    ops: bool,
    /// List the parameters
    #[arg(long)]
    params: bool,
    /// Print the entry graph
    #[arg(long, conflicts_with_all = ["functions", "json"])]
    graph: bool,
    /// Print every graph; control flow has several
    #[arg(long, conflicts_with = "json")]
    functions: bool,
    /// Print the graphs, and nothing else, in the language of Graphviz: `mindir inspect MODEL --dot | dot -Tsvg`
    #[arg(long, conflicts_with_all = ["mermaid", "ops", "params", "graph", "functions", "json"])]
    dot: bool,
    /// Print the graphs, and nothing else, in the language of Mermaid
    #[arg(long, conflicts_with_all = ["ops", "params", "graph", "functions", "json"])]
    mermaid: bool,
    /// Exit code 3 if something is not supported
    #[arg(long)]
    strict: bool,
    /// Print JSON: all of the above but for the graphs' nodes
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    producer: String,
    producer_version: String,
    /// `null` for other formats, as the next two.
    mind_ir_version: Option<i64>,
    onnx_ir_version: Option<i64>,
    /// Versions of the operators by their domain, which ONNX's own do not have.
    operator_sets: Option<Vec<(String, i64)>>,
    user_info: Vec<(String, String)>,
    /// Recorded preprocessing: columns of a dataset with their transforms.
    preprocess: Vec<(String, Vec<String>)>,
    files: Vec<FileReport>,
    warnings: Vec<String>,
    inputs: Vec<PortReport>,
    outputs: Vec<PortReport>,
    /// Operators by name with their numbers, over all graphs.
    ops: BTreeMap<String, usize>,
    nodes: usize,
    graphs: Vec<GraphReport>,
    parameters: Vec<ParamReport>,
    parameter_totals: Vec<DTypeTotal>,
    memory: Memory,
    /// Floating-point operations of a run with the exported shapes; `null` if that cannot be planned.
    flops: Option<u64>,
    /// Why the exported shapes cannot be planned, or only in part.
    plan: Option<String>,
    unsupported: Vec<Unsupported>,
}

fn preprocess(recorded: &Preprocess) -> (String, Vec<String>) {
    (recorded.column.to_string(), recorded.transforms.iter().map(ToString::to_string).collect())
}

#[derive(Serialize)]
struct FileReport {
    name: String,
    bytes: u64,
}

#[derive(Serialize)]
struct PortReport {
    name: String,
    dtype: Option<&'static str>,
    /// `null` if the rank is open.
    shape: Option<Vec<Length>>,
    #[serde(skip)]
    text: String,
}

/// A number, the name of a dimension that is open, or `null`.
#[derive(Serialize)]
#[serde(untagged)]
enum Length {
    Known(usize),
    Named(String),
    Unknown,
}

impl From<&Dim> for Length {
    fn from(dim: &Dim) -> Length {
        match dim {
            Dim::Known(n) => Length::Known(*n),
            Dim::Named(name) => Length::Named(name.to_string()),
            Dim::Unknown => Length::Unknown,
        }
    }
}

#[derive(Serialize)]
struct GraphReport {
    name: String,
    nodes: usize,
    inputs: usize,
    outputs: usize,
}

#[derive(Serialize)]
struct ParamReport {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: usize,
    mutable: bool,
}

#[derive(Serialize)]
struct DTypeTotal {
    dtype: &'static str,
    tensors: usize,
    elements: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct Memory {
    /// Weights and constants that a run can use where they lie in the file.
    mapped_bytes: u64,
    /// Weights and constants that the file does not align: a run copies those that it does not pack.
    misaligned_bytes: u64,
    /// Working memory of a run with the exported shapes.
    scratch_bytes: Option<usize>,
}

#[derive(Serialize)]
struct Unsupported {
    op: String,
    path: String,
    /// Why an operator refuses its arguments; `null` if it is unknown.
    why: Option<String>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", name(&self.op), name(&self.path))?;
        self.why.iter().try_for_each(|why| write!(f, ": {}", Printable(why)))
    }
}

impl Inspect {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (loaded, _) = self.model.load()?;
        let report = report(&loaded);
        let clean = report.unsupported.is_empty();
        if self.json && (self.ops || self.params) {
            print::warn("--ops and --params have no effect: --json has both");
        }
        let text = match self.language() {
            Some(language) => drawing(&loaded.model, language),
            None if self.json => print::json(&report),
            None => self.text(&report, &loaded.model),
        };
        Ok(if clean || !self.strict { Outcome::ok(text) } else { Outcome::unsupported(text) })
    }

    fn language(&self) -> Option<Language> {
        match (self.dot, self.mermaid) {
            (true, _) => Some(Language::Dot),
            (_, true) => Some(Language::Mermaid),
            _ => None,
        }
    }

    fn text(&self, report: &Report, model: &Model) -> String {
        let mut text = report.summary();
        if self.ops {
            let rows = report.ops.iter().map(|(op, n)| vec![name(op), n.to_string()]);
            text += &print::table(&["operator", "nodes"], &[1], rows);
        }
        if self.params {
            text += &print::table(&["parameter", "tensor", "bytes", ""], &[2], report.parameters.iter().map(param_row));
        }
        if self.functions {
            model.graphs.iter().for_each(|g| text += &g.to_string());
        } else if self.graph {
            text += &model.entry().to_string();
        }
        text
    }
}

fn report(loaded: &Loaded) -> Report {
    let model = &loaded.model;
    let mut unsupported = unknown(model);
    let (flops, scratch_bytes, plan) = match planned(model) {
        Ok((flops, scratch, why)) => (Some(flops), Some(scratch), why),
        Err(Unplanned::Refused(all)) => {
            unsupported.extend(all.iter().map(refused));
            (None, None, Some(NOT_SUPPORTED.into()))
        }
        Err(Unplanned::Why(e)) => (None, None, Some(e)),
    };
    let r = &loaded.report;
    let (mind_ir_version, onnx_ir_version, operator_sets) = match &model.origin.format {
        Format::None => (None, None, None),
        Format::MindIr { version } => (Some(*version), None, None),
        Format::Onnx { ir_version, opsets } => (None, Some(*ir_version), Some(opsets.clone())),
    };
    Report {
        producer: model.origin.producer.clone(),
        producer_version: model.origin.version.clone(),
        mind_ir_version,
        onnx_ir_version,
        operator_sets,
        user_info: model.origin.user_info.clone(),
        preprocess: model.preprocess.iter().map(preprocess).collect(),
        files: r.files.iter().map(|f| FileReport { name: f.name.clone(), bytes: f.bytes }).collect(),
        warnings: r.warnings.iter().map(ToString::to_string).collect(),
        inputs: ports(model.entry(), &model.entry().inputs),
        outputs: ports(model.entry(), &model.entry().outputs),
        ops: ops(model),
        nodes: model.graphs.iter().map(|g| g.nodes.len()).sum(),
        graphs: model.graphs.iter().map(graph).collect(),
        parameters: parameters(model),
        parameter_totals: totals(model),
        memory: Memory { mapped_bytes: r.in_place_bytes, misaligned_bytes: r.misaligned_bytes, scratch_bytes },
        flops,
        plan,
        unsupported,
    }
}

fn ports(graph: &Graph, ids: &[mindir::graph::ValueId]) -> Vec<PortReport> {
    ids.iter().map(|v| port(&Port::of(graph, *v))).collect()
}

fn port(port: &Port) -> PortReport {
    PortReport {
        name: port.name.clone(),
        dtype: port.spec.dtype.map(mindir::DType::name),
        shape: port.spec.dims.as_ref().map(|d| d.iter().map(Length::from).collect()),
        text: format!("{}  {}", name(&port.name), port.spec),
    }
}

fn ops(model: &Model) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for node in model.graphs.iter().flat_map(|g| &g.nodes) {
        *out.entry(node.op_name().to_string()).or_insert(0) += 1;
    }
    out
}

fn graph(g: &Graph) -> GraphReport {
    GraphReport { name: g.name.to_string(), nodes: g.nodes.len(), inputs: g.inputs.len(), outputs: g.outputs.len() }
}

fn parameters(model: &Model) -> Vec<ParamReport> {
    let one = |p: &mindir::graph::Param| ParamReport {
        name: p.name.to_string(),
        dtype: p.tensor.dtype().name(),
        shape: p.tensor.shape().to_vec(),
        bytes: p.tensor.bytes().len(),
        mutable: p.mutable,
    };
    model.params.iter().map(one).collect()
}

fn totals(model: &Model) -> Vec<DTypeTotal> {
    let mut out: Vec<DTypeTotal> = Vec::new();
    for t in model.params.iter().map(|p| &p.tensor) {
        let dtype = t.dtype().name();
        let at = out.iter().position(|d| d.dtype == dtype).unwrap_or_else(|| {
            out.push(DTypeTotal { dtype, tensors: 0, elements: 0, bytes: 0 });
            out.len() - 1
        });
        out[at].tensors += 1;
        out[at].elements += t.count();
        out[at].bytes += t.bytes().len();
    }
    out
}

fn refused(e: &NodeError) -> Unsupported {
    Unsupported { op: e.op.clone(), path: e.path.to_string(), why: Some(e.error.to_string()) }
}

/// Nodes of unknown operators.
fn unknown(model: &Model) -> Vec<Unsupported> {
    let nodes = model.graphs.iter().flat_map(|g| &g.nodes);
    let opaque = nodes.filter(|n| matches!(n.kind, NodeKind::Opaque(_)));
    opaque.map(|n| Unsupported { op: n.op_name().into(), path: n.path.to_string(), why: None }).collect()
}

const NOT_SUPPORTED: &str = "operators are not supported";

/// Why the exported shapes cannot be planned.
enum Unplanned {
    /// Operators refuse their arguments.
    Refused(Vec<NodeError>),
    Why(String),
}

impl From<Error> for Unplanned {
    fn from(e: Error) -> Unplanned {
        if let Error::Refused(all) = e { Unplanned::Refused(all) } else { Unplanned::Why(e.to_string()) }
    }
}

/// Work and memory with the exported shapes, and what stands against planning all of it.
fn planned(model: &Model) -> Result<(u64, usize, Option<String>), Unplanned> {
    if model.opaque_nodes().next().is_some() {
        return Err(Unplanned::Why(NOT_SUPPORTED.into()));
    }
    let cell = GraphCell::new(model.clone(), Options::default())?;
    let open = || Unplanned::Why("input shapes are open; see `mindir plan --shape`".into());
    let plan = cell.plan(&cell.exported_facts().ok_or_else(open)?)?;
    let nodes = model.entry().nodes.len();
    let part = plan.stops().map(|(at, why)| format!("covers {at} of {nodes} nodes; the next one {why}"));
    Ok((plan.flops(), plan.scratch_bytes(), part))
}

fn param_row(p: &ParamReport) -> Vec<String> {
    let state = if p.mutable { "written by the model" } else { "" };
    vec![name(&p.name), format!("{} {:?}", p.dtype, p.shape), p.bytes.to_string(), state.into()]
}

impl Report {
    fn summary(&self) -> String {
        let mut rows: Vec<(&str, String)> = Vec::new();
        for f in &self.files {
            rows.push(("file", format!("{}  {}", name(&f.name), print::bytes(f.bytes))));
        }
        rows.push(("made by", [self.made_by(), self.format()].join(", ")));
        for (k, v) in &self.user_info {
            rows.push(("user info", format!("{} = {}", name(k), name(v))));
        }
        for (column, transforms) in &self.preprocess {
            rows.push(("prepares", format!("{}: {}", name(column), transforms.join(", "))));
        }
        self.inputs.iter().for_each(|p| rows.push(("input", p.text.clone())));
        self.outputs.iter().for_each(|p| rows.push(("output", p.text.clone())));
        rows.push(("graphs", format!("{} with {}", self.graphs.len(), print::plural(self.nodes, "node"))));
        let ops: Vec<String> = self.ops.iter().map(|(op, n)| format!("{} {n}", name(op))).collect();
        rows.push(("operators", ops.join(", ")));
        rows.push(("parameters", self.parameter_text()));
        rows.push(("memory", self.memory_text()));
        if let Some(flops) = self.flops {
            rows.push(("work", print::flops(flops as f64)));
        }
        if let Some(plan) = &self.plan {
            rows.push(("plan", plan.clone()));
        }
        self.warnings.iter().for_each(|w| rows.push(("warning", w.clone())));
        rows.push(("supported", if self.unsupported.is_empty() { "yes".into() } else { self.missing() }));
        self.unsupported.iter().for_each(|u| rows.push(("", u.to_string())));
        let mut last = "";
        rows.iter().fold(String::new(), |text, (key, value)| {
            let shown = if *key == last { "" } else { key };
            last = key;
            let line = format!("{shown:<11} {value}");
            text + &if shown == "operators" { print::fit(&line) } else { line } + "\n"
        })
    }

    fn made_by(&self) -> String {
        match (self.producer.as_str(), self.producer_version.as_str()) {
            ("", _) => "(unknown)".into(),
            (producer, "") => name(producer),
            (producer, version) => format!("{} {}", name(producer), Printable(version)),
        }
    }

    fn format(&self) -> String {
        let version = |v: &Option<i64>| v.unwrap_or_default();
        let Some(sets) = &self.operator_sets else {
            return format!("MindIR version {}", version(&self.mind_ir_version));
        };
        let set = |(domain, version): &(String, i64)| match domain.as_str() {
            "" | "ai.onnx" => format!("operator set {version}"),
            domain => format!("{} {version}", name(domain)),
        };
        let sets: Vec<String> = sets.iter().map(set).collect();
        format!("ONNX version {}, {}", version(&self.onnx_ir_version), sets.join(", "))
    }

    fn missing(&self) -> String {
        let mut names: Vec<&str> = self.unsupported.iter().map(|u| u.op.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let (nodes, ops) = (self.unsupported.len(), names.len());
        let what = if self.unsupported.iter().any(|u| u.why.is_some()) { "operator" } else { "unknown operator" };
        format!("no: {} of {}", print::plural(nodes, "node"), print::plural(ops, what))
    }

    fn parameter_text(&self) -> String {
        let one = |d: &DTypeTotal| {
            format!("{} tensors, {} elements of {}, {}", d.tensors, d.elements, d.dtype, print::bytes(d.bytes as u64))
        };
        let all: Vec<String> = self.parameter_totals.iter().map(one).collect();
        if all.is_empty() { "none".into() } else { all.join("; ") }
    }

    fn memory_text(&self) -> String {
        let m = &self.memory;
        let scratch = m.scratch_bytes.map_or(String::new(), |s| format!(", scratch {}", print::bytes(s as u64)));
        format!(
            "weights mapped {}, misaligned {}{scratch}",
            print::bytes(m.mapped_bytes),
            print::bytes(m.misaligned_bytes)
        )
    }
}
