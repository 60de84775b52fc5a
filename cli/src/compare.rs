//! `mindir compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use mindir::{GraphCell, Tensor, npy};
use serde::Serialize;
use serde_json::Value;

use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::difference::{Criterion, Difference, ToleranceArgs, difference};
use crate::failure::{Failure, Outcome};
use crate::input::fit;
use crate::print::{self, number};
use crate::run::FileNames;

/// Run a model on stored inputs and compare with stored results; exit code 1 if they differ.
///
/// DIR holds in_0.npy, in_1.npy, … and out_0.npy, out_1.npy, …; folders case_1, case_2, … in it hold further sets, each for a
/// freshly loaded model, and step_0, step_1, … sets for calls one after another. after/NAME.npy is a parameter after the last
/// call. A meta.json may name the tolerance.
#[derive(Args, Debug)]
pub struct Compare {
    #[command(flatten)]
    model: ModelArg,
    /// Folder with inputs and expected results
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Find the first node in execution order whose result differs from NAME.npy in DIR/nodes or DIR, as `run --dump` writes
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
    first_difference: Option<NodeVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_compared: Option<usize>,
}

#[derive(Serialize)]
struct Verdict {
    /// Folder of the set; `.` is DIR.
    set: String,
    /// `out_0`, or the name of a parameter.
    name: String,
    equal: bool,
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

/// Inputs with expected outputs.
struct Set {
    name: String,
    inputs: Vec<Tensor>,
    /// Expected results by number; text has none.
    outputs: Vec<(usize, Tensor)>,
}

impl Verdict {
    fn of(set: &str, name: String, got: Option<&Tensor>, want: &Tensor, criterion: Criterion) -> Verdict {
        let result = match got {
            Some(got) => difference(got, want, criterion),
            None => Err("the model has no such result".into()),
        };
        let (difference, problem) = match result {
            Ok(d) => (Some(d), None),
            Err(e) => (None, Some(e)),
        };
        Verdict { set: set.into(), name, equal: difference.is_some_and(|d| d.wrong == 0), difference, problem }
    }

    fn line(&self) -> Vec<String> {
        let verdict = if self.equal { "ok" } else { "DIFFERS" };
        let mut row = vec![self.set.clone(), print::name(&self.name), verdict.into()];
        match (&self.difference, &self.problem) {
            (Some(d), _) => {
                row.extend([number(d.max_abs), number(d.max_rel), number(d.scale), format!("{}/{}", d.wrong, d.count)]);
            }
            (None, Some(p)) => row.push(p.clone()),
            _ => {}
        }
        row
    }
}

impl Compare {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let meta = meta(&self.dir)?;
        let criterion = self.tolerance.criterion(meta["tolerance"].as_f64());
        let names = set_names(&self.dir, &meta);
        let steps = names.iter().any(|n| n.starts_with("step_"));
        let mut cell = self.cell()?;
        let mut report =
            Report { equal: true, criterion, outputs: Vec::new(), first_difference: None, nodes_compared: None };
        if self.bisect {
            let set = read_set(&self.dir, &names[0], &cell, &meta)?;
            self.bisect(&cell, &set, &mut report)?;
            return Ok(self.outcome(report));
        }
        for (i, name) in names.iter().enumerate() {
            if i > 0 && !steps {
                cell = self.cell()?;
            }
            let set = read_set(&self.dir, name, &cell, &meta)?;
            let got = cell.run(&set.inputs)?;
            let verdict =
                |(i, want): &(usize, Tensor)| Verdict::of(&set.name, format!("out_{i}"), got.get(*i), want, criterion);
            report.outputs.extend(set.outputs.iter().map(verdict));
        }
        report.outputs.extend(parameters(&self.dir, &cell, criterion)?);
        report.equal = report.outputs.iter().all(|v| v.equal);
        Ok(self.outcome(report))
    }

    fn cell(&self) -> Result<GraphCell, Failure> {
        let (loaded, _) = self.model.load()?;
        args::cell(loaded.model, self.device.options(self.threads.threads))
    }

    fn bisect(&self, cell: &GraphCell, set: &Set, report: &mut Report) -> Result<(), Failure> {
        let nodes = self.dir.join("nodes");
        let folder = if nodes.is_dir() { nodes } else { self.dir.clone() };
        let mut names = FileNames::default();
        let mut compared = 0;
        for (value, path, got) in cell.trace(&set.inputs)? {
            let file = folder.join(format!("{}.npy", names.next(&value)));
            if !file.exists() {
                continue;
            }
            compared += 1;
            let want = npy::read(&file).map_err(Failure::file(&file))?;
            let verdict = Verdict::of(&set.name, value, Some(&got), &want, report.criterion);
            if !verdict.equal {
                report.first_difference = Some(NodeVerdict { node: path, verdict });
                break;
            }
        }
        if compared == 0 {
            let text = format!("{}: no file is called like a node's result; see `run --dump`", folder.display());
            return Err(Failure::Usage(text));
        }
        report.equal = report.first_difference.is_none();
        report.nodes_compared = Some(compared);
        Ok(())
    }

    fn outcome(&self, report: Report) -> Outcome {
        let text = if self.json { print::json(&report) } else { report.text() };
        if report.equal { Outcome::ok(text) } else { Outcome::differs(text) }
    }
}

impl Report {
    fn text(&self) -> String {
        if let Some(n) = self.nodes_compared {
            return match &self.first_difference {
                None => format!("equal: {n} nodes agree\n"),
                Some(d) => {
                    let cells = d.verdict.line();
                    let (what, numbers) = (cells[1].clone(), cells[3..].join(" "));
                    let node = print::name(&d.node);
                    format!("first difference: {node}\n  value {what}: {numbers}  (max abs, max rel, scale, wrong)\n")
                }
            };
        }
        let header = ["set", "output", "", "max abs", "max rel", "scale", "wrong"];
        let table = print::table(&header, &[], self.outputs.iter().map(Verdict::line));
        let bad = self.outputs.iter().filter(|v| !v.equal).count();
        let criterion = match self.criterion {
            Criterion::Tolerance(t) => format!("tolerance {} of the scale", number(t)),
            Criterion::Elements { rtol, atol } => format!("rtol {} atol {}", number(rtol), number(atol)),
        };
        let verdict = if bad == 0 { "equal".into() } else { format!("{bad} of {} differ", self.outputs.len()) };
        format!("{table}{verdict}, {criterion}\n")
    }
}

fn meta(dir: &Path) -> Result<Value, Failure> {
    let path = dir.join("meta.json");
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(&path).map_err(Failure::file(&path))?;
    serde_json::from_str(&text).map_err(|e| Failure::Corrupt { path, what: e.to_string() })
}

/// Folders with sets: those that meta.json lists, else what is there.
fn set_names(dir: &Path, meta: &Value) -> Vec<String> {
    let listed = meta["cases"].as_array().or(meta["steps"].as_array());
    let listed: Vec<String> =
        listed.into_iter().flatten().filter_map(|s| Some(s["dir"].as_str()?.to_string())).collect();
    let inside = |n: &String| n == "." || dir.join(n).is_dir() && !n.contains(['/', '\\']) && n != "..";
    if !listed.is_empty() && listed.iter().all(inside) {
        return listed;
    }
    let has = |n: &str| dir.join(n).join("out_0.npy").exists() || dir.join(n).join("in_0.npy").exists();
    let mut names: Vec<String> = if has(".") { vec![".".into()] } else { Vec::new() };
    for kind in ["case", "step"] {
        let numbered = (0..=1).find(|i| has(&format!("{kind}_{i}"))).unwrap_or(0)..;
        names.extend(numbered.map(|i| format!("{kind}_{i}")).take_while(|n| has(n)));
    }
    if names.is_empty() { vec![".".into()] } else { names }
}

/// Numbers of results that are text in the set called `name`: text is no tensor and has no file.
fn texts(meta: &Value, name: &str) -> Vec<usize> {
    let sets = meta["cases"].as_array().or(meta["steps"].as_array()).into_iter().flatten();
    let outputs = sets.filter(|s| s["dir"] == name).filter_map(|s| s["outputs"].as_array()).flatten();
    outputs.enumerate().filter(|(_, o)| o["dtype"] == "str").map(|(i, _)| i).collect()
}

fn read_set(dir: &Path, name: &str, cell: &GraphCell, meta: &Value) -> Result<Set, Failure> {
    let read = |kind: &str, i: usize| {
        let path = dir.join(name).join(format!("{kind}_{i}.npy"));
        path.exists().then(|| npy::read(&path).map_err(Failure::file(&path))).transpose()
    };
    let (ins, outs) = (cell.inputs(), cell.outputs());
    let mut inputs = Vec::new();
    for (i, port) in ins.iter().enumerate() {
        inputs.extend(read("in", i)?.map(|t| fit(t, port)));
    }
    if inputs.len() != ins.len() {
        let (n, all) = (inputs.len(), args::list(&ins));
        let text =
            format!("{}: {n} of {} inputs found; in_0.npy, … are for {all}", dir.join(name).display(), ins.len());
        return Err(Failure::Usage(text));
    }
    let mut outputs = Vec::new();
    let texts = texts(meta, name);
    // One more than the model has, so that a missing result is noticed.
    let numbers = (0..).filter(|i| !texts.contains(i)).take(outs.len() + 1);
    for (at, number) in numbers.enumerate() {
        outputs.extend(read("out", number)?.map(|t| (at, t)));
    }
    if outputs.is_empty() {
        return Err(Failure::Usage(format!("{}: there is no out_0.npy", dir.join(name).display())));
    }
    Ok(Set { name: name.into(), inputs, outputs })
}

fn parameters(dir: &Path, cell: &GraphCell, criterion: Criterion) -> Result<Vec<Verdict>, Failure> {
    let Ok(entries) = std::fs::read_dir(dir.join("after")) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let one = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let want = npy::read(path).map_err(Failure::file(path))?;
        let got = cell.param(&name);
        Ok(Verdict::of("after", name, got.as_ref(), &want, criterion))
    };
    paths.iter().map(one).collect()
}
