//! `mindir plan`.

mod html;
mod measure;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use mindir::{Fact, GraphCell, StageReport, StepReport};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, ShapeArgs, ThreadArg};
use crate::failure::{Failure, Outcome};
use crate::print::{self, name};
use crate::random::Fill;
use crate::save;
use html::Page;
use measure::Measured;

/// Show what a run would do: steps, kernels, devices, memory, and who declined what and why.
///
/// A model whose shapes or branches depend on data is planned up to there; the rest is planned while it runs.
#[derive(Args, Debug)]
pub struct Plan {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    shapes: ShapeArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadArg,
    /// Also show what each pass did, and what it left alone and why
    #[arg(long)]
    why: bool,
    /// Write a page that shows all of it: the graph by modules, work and bytes of every step, memory over time, what was fused
    /// and why
    #[arg(long, value_name = "FILE.html", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Measure the steps on made-up inputs and what this machine can do, and show both on the page
    #[arg(long, requires = "html")]
    measure: bool,
    /// Print JSON: stages with steps, totals, notes of the passes
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    inputs: Vec<String>,
    results: Vec<String>,
    flops: u64,
    scratch_bytes: usize,
    stages: Vec<Stage>,
    /// Where the plan ends early.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<Stops>,
    notes: Vec<Note>,
}

#[derive(Serialize)]
struct Stage {
    device: String,
    upload_bytes: usize,
    download_bytes: usize,
    memory_bytes: usize,
    /// What its kernels need besides, of which one runs at a time.
    kernel_bytes: usize,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    ops: String,
    path: String,
    family: &'static str,
    kernel: String,
    ins: Vec<String>,
    outs: Vec<String>,
    place: String,
    flops: u64,
    bytes: usize,
    declined: Vec<Decline>,
}

#[derive(Serialize)]
struct Decline {
    device: String,
    reason: String,
}

#[derive(Serialize)]
struct Stops {
    /// The first node that is not in the plan.
    node: String,
    op: String,
    planned_nodes: usize,
    nodes: usize,
    why: &'static str,
}

#[derive(Serialize)]
struct Note {
    pass: &'static str,
    path: String,
    applied: bool,
    why: String,
}

impl Plan {
    pub fn execute(self) -> Result<Outcome, Failure> {
        if self.why && (self.json || self.html.is_some()) {
            let has = if self.json { "--json has" } else { "the page has" };
            print::warn(&format!("--why has no effect: {has} what the passes did"));
        }
        if self.device.packed_weights.is_some() && !self.measure {
            print::warn("--packed-weights has no effect: a plan reads no weights");
        }
        let (loaded, _) = self.model.load()?;
        let options = match self.measure {
            true => self.device.options(self.threads.threads)?,
            false => self.device.plan_options(self.threads.threads)?,
        };
        let cell = args::cell(loaded.model, options)?;
        if let Some(path) = &self.html {
            save::must_end(path, &[("html", ()), ("htm", ())])?;
            save::try_target(path)?;
        }
        let facts = self.shapes.facts(&cell.inputs())?;
        args::tell_plan(&cell, &facts);
        let plan = cell.plan(&facts)?;
        if let Some(path) = &self.html {
            return self.page(path, &cell, &facts, &plan);
        }
        let report = Report {
            inputs: facts.iter().map(ToString::to_string).collect(),
            results: plan.results().map(ToString::to_string).collect(),
            flops: plan.flops(),
            scratch_bytes: plan.scratch_bytes(),
            stages: plan.stages().iter().map(stage).collect(),
            stops: plan.stops().map(|(at, why)| stops(&cell, at, why)),
            notes: plan.notes().iter().map(note).collect(),
        };
        Ok(Outcome::ok(if self.json { print::json(&report) } else { report.text(self.why) }))
    }
}

impl Plan {
    /// Writes the page.
    fn page(&self, path: &Path, cell: &GraphCell, facts: &[Fact], plan: &mindir::Plan) -> Result<Outcome, Failure> {
        let measured = if self.measure { Some(self.measured(cell, facts, plan)?) } else { None };
        let title = format!("Plan of {}", self.model.path.display());
        let inputs = cell.inputs().iter().zip(facts).map(|(port, fact)| format!("{} {fact}", port.name)).collect();
        let page = Page { title, inputs, plan, measured };
        save::write(path, |out| out.write_all(page.html().as_bytes()))?;
        Ok(Outcome::done(format!("wrote {}\n", path.display())))
    }

    fn measured(&self, cell: &GraphCell, facts: &[Fact], plan: &mindir::Plan) -> Result<Measured, Failure> {
        for fact in facts {
            self.device.limits.fits(fact)?;
        }
        let inputs = facts.iter().enumerate().map(|(i, fact)| Fill::Random(0).tensor(fact, i));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let threads = match self.threads.threads {
            Some(n) => n,
            None => mindir::machine::processor().map_err(mindir::Error::from)?.threads,
        };
        let steps = plan.stages().iter().flat_map(|s| &s.steps);
        Measured::of(cell.clone(), inputs, steps, threads)
    }
}

fn stage(s: &StageReport) -> Stage {
    Stage {
        device: s.device.clone(),
        upload_bytes: s.upload,
        download_bytes: s.download,
        memory_bytes: s.memory,
        kernel_bytes: s.scratch,
        steps: s.steps.iter().map(step).collect(),
    }
}

fn step(s: &StepReport) -> Step {
    let facts = |list: &[Fact]| list.iter().map(ToString::to_string).collect();
    let decline = |d: &mindir::Decline| Decline { device: d.device.clone(), reason: d.reason.clone() };
    Step {
        ops: s.ops.to_string(),
        path: s.path.to_string(),
        family: s.family,
        kernel: s.kernel.clone(),
        ins: facts(&s.ins),
        outs: facts(&s.outs),
        place: s.place.clone(),
        flops: s.flops,
        bytes: s.bytes,
        declined: s.declined.iter().map(decline).collect(),
    }
}

fn stops(cell: &GraphCell, at: usize, why: &'static str) -> Stops {
    let nodes = &cell.model().entry().nodes;
    let node = nodes.get(at);
    Stops {
        node: node.map_or(String::new(), |n| n.path.to_string()),
        op: node.map_or(String::new(), |n| n.op_name().to_string()),
        planned_nodes: at,
        nodes: nodes.len(),
        why,
    }
}

fn note(n: &mindir::passes::Note) -> Note {
    Note { pass: n.pass, path: Arc::clone(&n.path).to_string(), applied: n.applied, why: n.why.clone() }
}

impl Report {
    fn text(&self, why: bool) -> String {
        let steps: usize = self.stages.iter().map(|s| s.steps.len()).sum();
        let mut text = format!(
            "{} in {}, {}, scratch {}\n",
            print::plural(steps, "step"),
            print::plural(self.stages.len(), "stage"),
            print::flops(self.flops as f64),
            print::bytes(self.scratch_bytes as u64)
        );
        let mut first = 0;
        for (i, s) in self.stages.iter().enumerate() {
            text += &s.text(i, first);
            first += s.steps.len();
        }
        if let Some(s) = &self.stops {
            let (node, op) = (name(&s.node), name(&s.op));
            text += &format!("planned {} of {} nodes: {op} {node} {}\n", s.planned_nodes, s.nodes, s.why);
        }
        let applied = self.notes.iter().filter(|n| n.applied).count();
        if !why {
            let hint = format!("passes made {}; --why shows them\n", print::plural(applied, "change"));
            return if print::volume() == print::Volume::Quiet { text } else { text + &hint };
        }
        let row = |n: &Note| {
            let done = if n.applied { "applied" } else { "refused" };
            vec![n.pass.to_string(), done.into(), name(&n.path), n.why.clone()]
        };
        text + &print::table(&["pass", "", "node", "why"], &[], self.notes.iter().map(row))
    }
}

impl Stage {
    fn text(&self, index: usize, first: usize) -> String {
        let (memory, kernels) = (print::bytes(self.memory_bytes as u64), print::bytes(self.kernel_bytes as u64));
        let mut text = format!("stage {index} on {}, memory {memory}, kernels {kernels}\n", self.device);
        if self.upload_bytes > 0 {
            text += &format!("  copy {} from host to {}\n", print::bytes(self.upload_bytes as u64), self.device);
        }
        let header = ["#", "ops", "kernel", "result", "place", "work", "node"];
        text += &print::table(&header, &[0, 5], self.steps.iter().enumerate().map(|(i, s)| s.row(first + i)));
        for s in &self.steps {
            for d in &s.declined {
                text += &format!("  {} declined {} {}: {}\n", d.device, s.ops, name(&s.path), d.reason);
            }
        }
        if self.download_bytes > 0 {
            text += &format!("  copy {} from {} to host\n", print::bytes(self.download_bytes as u64), self.device);
        }
        text
    }
}

impl Step {
    fn row(&self, index: usize) -> Vec<String> {
        let work = if self.flops > 0 { print::flops(self.flops as f64) } else { print::bytes(self.bytes as u64) };
        let result = self.outs.first().cloned().unwrap_or_default();
        vec![
            index.to_string(),
            name(&self.ops),
            self.kernel.clone(),
            result,
            self.place.clone(),
            work,
            name(&self.path),
        ]
    }
}
