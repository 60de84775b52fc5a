//! `mindir compare`.

mod pair;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use mindir::{GraphCell, Tensor, npy};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::difference::{Criterion, Difference, ToleranceArgs, difference};
use crate::dump::{self, NodeResult};
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print::{self, number, plural};
use crate::sets::Sets;

/// Run a model on stored inputs and compare with stored results, or two models on the same inputs; exit code 1 if they differ.
///
/// Two models, or one on two devices, run on inputs that are given or `rand:0`, and their results are compared in order.
///
/// DIR holds in_0.npy, in_1.npy, … and out_0.npy, out_1.npy, …, one for each input and result of the model; folders case_1,
/// case_2, … in it hold further sets, each for a freshly loaded model, and step_0, step_1, … sets for calls one after another.
/// after/NAME.npy is a parameter after the last call; if there is one, there is one for every parameter that the model
/// writes. Arrays and folders with other names are wrong usage, but for those of a dump. A meta.json may name the tolerance, list the sets, say which inputs are tuples of numbers, with a file for each, and
/// which results are meant to differ, with the reasons: they are shown and do not count.
///
/// Integers and truth values must be equal, infinities too; NaN is equal to NaN. A result without file, or a file without
/// result, is a difference.
#[derive(Args, Debug)]
pub struct Compare {
    #[command(flatten)]
    model: ModelArg,
    /// Folder with inputs and expected results, or another MindIR or ONNX file
    #[arg(value_name = "DIR|MODEL", required_unless_present = "other_device")]
    with: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
    /// Where the other model runs, or the same one a second time [default: as --device]
    #[arg(long, value_name = "DEVICE", value_parser = args::device)]
    other_device: Option<String>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Find the first node in execution order whose result differs from NAME.npy in DIR/nodes or DIR, as `run --dump` writes
    /// for the inputs of the first set. If no node does, the results of the set are compared too
    #[arg(long)]
    bisect: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadArg,
    /// Print JSON: verdict, criterion, and for each output the differences
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    equal: bool,
    criterion: Criterion,
    outputs: Vec<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Nodes>,
}

/// What bisection found.
#[derive(Serialize)]
struct Nodes {
    compared: usize,
    /// Nodes whose results are in no file.
    without_file: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<NodeVerdict>,
}

#[derive(Serialize)]
struct Verdict {
    /// Folder of the set; `.` is DIR.
    set: String,
    /// `out_0`, or the name of a parameter.
    name: String,
    equal: bool,
    /// Why it is meant to differ, if it is; then it need not be equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    meant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
    /// What differs besides numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct NodeVerdict {
    node: String,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Verdict {
    fn of(set: &str, name: String, got: Option<&Tensor>, want: Option<&Tensor>, criterion: Criterion) -> Verdict {
        let result = match (got, want) {
            (Some(got), Some(want)) => difference(got, want, criterion),
            (Some(_), None) => Err("there is no file for this result".into()),
            (None, _) => Err("the model has no such result".into()),
        };
        let (difference, problem) = match result {
            Ok(d) => (Some(d), None),
            Err(e) => (None, Some(e)),
        };
        let equal = difference.is_some_and(|d| d.wrong == 0);
        Verdict { set: set.into(), name, equal, meant: None, difference, problem }
    }

    /// Whether it is as it should be: equal, or meant to have other numbers.
    fn holds(&self) -> bool {
        self.equal || self.meant.is_some() && self.problem.is_none()
    }

    fn line(&self) -> Vec<String> {
        let verdict = match (self.equal, self.holds()) {
            (true, _) => "ok",
            (false, true) => "meant",
            (false, false) => "DIFFERS",
        };
        let mut row = vec![self.set.clone(), print::name(&self.name), verdict.into()];
        match (&self.difference, &self.problem) {
            (Some(d), _) => {
                row.extend([number(d.max_abs), number(d.max_rel), number(d.scale), format!("{}/{}", d.wrong, d.count)]);
            }
            (None, Some(p)) => row.push(p.clone()),
            _ => {}
        }
        if let (false, Some(why)) = (self.equal, &self.meant) {
            row.push(print::name(why));
        }
        row
    }
}

impl Compare {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let report = match self.with.as_deref().filter(|path| path.is_dir()) {
            Some(dir) => self.stored(dir)?,
            None => self.two()?,
        };
        self.outcome(report)
    }

    fn outcome(&self, mut report: Report) -> Result<Outcome, Failure> {
        let found = report.nodes.as_ref().is_some_and(|n| n.first_difference.is_some());
        report.equal = !found && report.outputs.iter().all(Verdict::holds);
        let text = if self.json { print::json(&report) } else { report.text() };
        Ok(if report.equal { Outcome::ok(text) } else { Outcome::differs(text) })
    }

    /// Compares with the results in a folder.
    fn stored(&self, dir: &Path) -> Result<Report, Failure> {
        let device = self.other_device.as_ref().map(|_| "--other-device");
        if let Some(flag) = self.inputs.flag().or(device) {
            return Err(Failure::Usage(format!("{flag} is for two models; {} is a folder", dir.display())));
        }
        let sets = Sets::of(dir, self.bisect)?;
        let mut report = Report::new(self.tolerance.criterion(sets.tolerance()?));
        if self.bisect {
            self.bisect(dir, &sets, &mut report)?;
        } else {
            self.compare(dir, &sets, &mut report)?;
        }
        Ok(report)
    }

    /// Compares two models.
    fn two(&self) -> Result<Report, Failure> {
        if self.bisect {
            return Err(Failure::Usage("--bisect needs a folder with a dump; see `run --dump`".into()));
        }
        let mut report = Report::new(self.tolerance.criterion(None));
        self.pair(&mut report)?;
        Ok(report)
    }

    fn compare(&self, dir: &Path, sets: &Sets, report: &mut Report) -> Result<(), Failure> {
        let model = Arc::new(self.model.load()?.0.model);
        let options = self.device.options(self.threads.threads)?;
        let mut cell = args::cell(model.clone(), options.clone())?;
        for (i, name) in sets.names.iter().enumerate() {
            if i > 0 && !sets.are_steps() {
                cell = args::cell(model.clone(), options.clone())?;
            }
            let expected = sets.outputs(name)?;
            if expected.is_empty() && !cell.outputs().is_empty() {
                return Err(Failure::Usage(format!("{}: there is no out_0.npy", dir.join(name).display())));
            }
            let got = cell.run(&sets.inputs(name, &cell)?)?;
            report.outputs.extend(results(sets, name, &got, &expected, report.criterion)?);
        }
        report.outputs.extend(parameters(sets, &cell, report.criterion)?);
        Ok(())
    }

    fn bisect(&self, dir: &Path, sets: &Sets, report: &mut Report) -> Result<(), Failure> {
        let Some(set) = sets.names.first() else { return Ok(()) };
        let cell = args::cell(self.model.load()?.0.model, self.device.options(self.threads.threads)?)?;
        let inputs = sets.inputs(set, &cell)?;
        let nodes = dir.join("nodes");
        let folder = if nodes.is_dir() { nodes } else { dir.to_path_buf() };
        let found = first_difference(&folder, set, &dump::results(&cell, &inputs)?, report.criterion)?;
        let expected = sets.outputs(set)?;
        if found.first_difference.is_none() && !expected.is_empty() {
            report.outputs = results(sets, set, &cell.run(&inputs)?, &expected, report.criterion)?;
        }
        report.nodes = Some(found);
        Ok(())
    }
}

/// Verdicts on the results of a set.
fn results(
    sets: &Sets,
    set: &str,
    got: &[Tensor],
    expected: &BTreeMap<usize, Tensor>,
    criterion: Criterion,
) -> Result<Vec<Verdict>, Failure> {
    let mut meant = sets.meant()?;
    let got: BTreeMap<usize, &Tensor> = sets.numbers(set, got.len()).into_iter().zip(got).collect();
    let numbers: BTreeSet<usize> = got.keys().chain(expected.keys()).copied().collect();
    let verdict = |i| {
        let verdict = Verdict::of(set, format!("out_{i}"), got.get(&i).copied(), expected.get(&i), criterion);
        Verdict { meant: meant.remove(&i), ..verdict }
    };
    Ok(numbers.into_iter().map(verdict).collect())
}

/// Verdicts on what parameters hold after the last call.
fn parameters(sets: &Sets, cell: &GraphCell, criterion: Criterion) -> Result<Vec<Verdict>, Failure> {
    let Some(expected) = sets.parameters()? else { return Ok(Vec::new()) };
    let written = cell.model().params.iter().filter(|p| p.mutable).map(|p| p.name.to_string());
    let names: BTreeSet<String> = written.chain(expected.keys().cloned()).collect();
    let verdict = |name: String| {
        let (got, want) = (cell.param(&name), expected.get(&name));
        Verdict::of("after", name, got.as_ref(), want, criterion)
    };
    Ok(names.into_iter().map(verdict).collect())
}

/// The first node whose result is not that of its file.
fn first_difference(folder: &Path, set: &str, results: &[NodeResult], criterion: Criterion) -> Result<Nodes, Failure> {
    let files = dump::files(folder, results)?;
    let mut found = Nodes { compared: 0, without_file: 0, first_difference: None };
    for (result, file) in results.iter().zip(files) {
        let Some(file) = file else {
            found.without_file += 1;
            continue;
        };
        found.compared += 1;
        let want = npy::read(&file).map_err(Failure::file(&file))?;
        let verdict = Verdict::of(set, result.name.clone(), Some(&result.tensor), Some(&want), criterion);
        if !verdict.equal {
            found.first_difference = Some(NodeVerdict { node: result.node.clone(), verdict });
            break;
        }
    }
    if found.compared == 0 {
        let text = format!("{}: no file is called like a node's result; see `run --dump`", folder.display());
        return Err(Failure::Usage(text));
    }
    Ok(found)
}

impl Report {
    fn new(criterion: Criterion) -> Report {
        Report { equal: false, criterion, outputs: Vec::new(), nodes: None }
    }

    fn text(&self) -> String {
        let nodes = self.nodes.as_ref().map_or(String::new(), |n| n.text(self.equal));
        if self.nodes.is_some() && self.outputs.iter().all(Verdict::holds) {
            return nodes;
        }
        let header = ["set", "output", "", "max abs", "max rel", "scale", "wrong", ""];
        let table = print::table(&header, &[], self.outputs.iter().map(Verdict::line));
        let bad = self.outputs.iter().filter(|v| !v.holds()).count();
        let criterion = match self.criterion {
            Criterion::Tolerance(t) => format!("tolerance {} of the scale", number(t)),
            Criterion::Elements { rtol, atol } => format!("rtol {} atol {}", number(rtol), number(atol)),
        };
        let verdict = if bad == 0 { "equal".into() } else { format!("{bad} of {} differ", self.outputs.len()) };
        format!("{nodes}{table}{verdict}, {criterion}\n")
    }
}

impl Nodes {
    /// `equal` is whether the results are, too.
    fn text(&self, equal: bool) -> String {
        if let Some(NodeVerdict { node, verdict }) = &self.first_difference {
            let cells = verdict.line();
            let (what, numbers) = (cells[1].clone(), cells[3..].join(" "));
            let names = if verdict.difference.is_some() { "  (max abs, max rel, scale, wrong)" } else { "" };
            return format!("first difference: {}\n  value {what}: {numbers}{names}\n", print::name(node));
        }
        let missing = match self.without_file {
            0 => String::new(),
            n => format!(", {n} have no file"),
        };
        let agree = if self.compared == 1 { "agrees" } else { "agree" };
        let agreed = format!("{} {agree}{missing}", plural(self.compared, "node"));
        if equal { format!("equal: {agreed}\n") } else { format!("{agreed}; the results of the whole do not:\n") }
    }
}
