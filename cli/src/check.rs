//! `mindir check`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use mindir::Precision;
use mindir::check::{self, Fault, Outcome as Found, Set};
use serde::Serialize;

use crate::args::{self, LimitArgs, ModelArg, ThreadArg};
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print::{self, number, plural};
use crate::random::Fill;

/// Run a model in every way there is and compare the results; exit code 1 if they differ.
///
/// All passes of the planner against none, every instruction set of this machine, one thread and several, a device, and the model
/// written as MindIR and as ONNX and read again. Without --input the inputs are made up: several sets, some with NaN,
/// infinities, −0 and denormals, and several lengths of open dimensions that --shape does not give.
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    inputs: InputArgs,
    /// Largest difference where sums are taken in another order, relative to the largest magnitude [default: 1e-4, and more
    /// for models with half types and with --precision]
    #[arg(long, value_name = "X")]
    tolerance: Option<f64>,
    /// Run on this device as well: wgpu or cuda, if built with the feature of that name
    #[arg(long, default_value = "cpu", value_name = "DEVICE", value_parser = args::device)]
    device: String,
    /// What the runs with all passes round operands of matrix products and convolutions of f32 to: f32, tf32, f16 or bf16. The
    /// reference is in f32, so this tells how far they go from it
    #[arg(long, default_value = "f32", value_name = "PRECISION", value_parser = args::precision)]
    precision: Precision,
    /// Folder that keeps large weights in the layouts that kernels read: runs read what runs before have written
    #[arg(long, value_name = "FOLDER")]
    packed_weights: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadArg,
    #[command(flatten)]
    limits: LimitArgs,
    /// Print JSON: verdict, tolerance, and for each set of inputs the outcome of every run
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    equal: bool,
    tolerance: f64,
    sets: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    /// What the inputs hold.
    name: String,
    inputs: Vec<String>,
    runs: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    run: String,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Verdict {
    Reference,
    Same,
    Close { difference: f64 },
    NoForm { why: String },
    Differs { what: String, pass: Option<&'static str>, node: Option<String> },
}

impl Verdict {
    fn of(found: &Found) -> Verdict {
        match found {
            Found::Reference => Verdict::Reference,
            Found::Same => Verdict::Same,
            Found::Close(difference) => Verdict::Close { difference: *difference },
            Found::NoForm(why) => Verdict::NoForm { why: why.clone() },
            Found::Differs(Fault { what, pass, node }) => {
                Verdict::Differs { what: what.clone(), pass: *pass, node: node.clone() }
            }
        }
    }

    fn cell(&self) -> String {
        match self {
            Verdict::Reference => "reference".into(),
            Verdict::Same => "same".into(),
            Verdict::Close { difference } => number(*difference),
            Verdict::NoForm { .. } => "no form".into(),
            Verdict::Differs { .. } => "DIFFERS".into(),
        }
    }
}

impl Check {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (loaded, _) = self.model.load()?;
        let model = Arc::new(loaded.model);
        let cell = self.limits.options(mindir::Options {
            precision: self.precision,
            packed_weights: self.packed_weights.clone(),
            ..mindir::Options::default()
        });
        let cell = cell.on(&self.device)?;
        let mut options = check::Options { tolerance: self.tolerance, cell, ..check::Options::default() };
        options.threads = self.threads.threads.unwrap_or(options.threads);
        let mut report = Report { equal: true, tolerance: 0.0, sets: Vec::new() };
        for set in self.sets(&model, &options.cell)? {
            let found = mindir::check(model.clone(), &set.inputs, &options)?;
            report.equal &= found.is_equal();
            report.tolerance = found.tolerance;
            let runs =
                found.runs.iter().map(|(run, o)| Row { run: run.to_string(), verdict: Verdict::of(o) }).collect();
            let inputs = set.inputs.iter().map(|t| t.fact().to_string()).collect();
            report.sets.push(Checked { name: set.name, inputs, runs });
        }
        let text = if self.json { print::json(&report) } else { report.text() };
        Ok(if report.equal { Outcome::ok(text) } else { Outcome::differs(text) })
    }

    fn sets(&self, model: &Arc<mindir::graph::Model>, options: &mindir::Options) -> Result<Vec<Set>, Failure> {
        let cell = args::cell(model.clone(), options.clone())?;
        if self.inputs.inputs.is_empty() {
            self.inputs.check_unused()?;
            return Ok(check::inputs(model, &self.inputs.shapes.given(&cell.inputs())?, options)?);
        }
        let fill = Some(Fill::Random(0));
        let inputs = self.inputs.tensors(&cell.inputs(), model.picture(), fill, &self.limits)?;
        Ok(vec![Set { name: "given".into(), inputs }])
    }
}

impl Report {
    fn text(&self) -> String {
        let sets = self.sets.iter().map(|s| format!("{}  {}\n", s.name, print::name(&s.inputs.join(", "))));
        let names = self.sets.iter().map(|s| s.name.as_str());
        let header: Vec<&str> = ["run"].into_iter().chain(names).collect();
        let runs = self.sets.first().map_or(0, |s| s.runs.len());
        let row = |i: usize| {
            let name = self.sets.iter().filter_map(|s| s.runs.get(i)).map(|r| r.run.clone()).take(1);
            let cell = |s: &Checked| s.runs.get(i).map_or(String::new(), |r| r.verdict.cell());
            name.chain(self.sets.iter().map(cell)).collect()
        };
        let table = print::table(&header, &[], (0..runs).map(row));
        let bad =
            self.sets.iter().flat_map(|s| &s.runs).filter(|r| matches!(r.verdict, Verdict::Differs { .. })).count();
        let verdict = if bad == 0 { "equal".into() } else { format!("{} differ", plural(bad, "run")) };
        let tolerance = number(self.tolerance);
        let all: String = sets.collect();
        format!("{all}{table}{}{verdict}, tolerance {tolerance} of the scale\n", self.remarks())
    }

    /// What there is to say about runs besides a number: once for all sets where it is the same.
    fn remarks(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for set in &self.sets {
            for row in &set.runs {
                let line = match &row.verdict {
                    Verdict::NoForm { why } => format!("{}: no form: {}\n", row.run, why.trim_end()),
                    Verdict::Differs { what, pass, node } => {
                        let fault = Fault { what: what.clone(), pass: *pass, node: node.clone() };
                        format!("{}, {}: {}\n", row.run, set.name, fault)
                    }
                    _ => continue,
                };
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
        lines.concat()
    }
}
