//! `mindir run`.

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mindir::graph::Model;
use mindir::{Tensor, npy};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::content::is;
use crate::dump;
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print;
use crate::save;
use crate::stats::Stats;
use crate::top::{self, Row};

/// Run a model once and show or store its results.
///
/// Results are numbered in the graph's order; tuples are flattened. Inputs may have other lengths than the model was exported
/// with, such as another batch, where its operators allow them: it is planned anew for them, and nothing is said about it.
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    inputs: InputArgs,
    /// Store the results: a .npy file if there is one, a .npz file, or a folder for out_0.npy, out_1.npy, … In a .npz file they
    /// have the names that the model gives them, as .onnx files and what is made of them do, else out_0, out_1, …
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Show the K best classes: softmax over the last dimension of every float output
    #[arg(long, value_name = "K", value_parser = top::count)]
    top: Option<usize>,
    /// Names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Store the result of every node: NAME.npy and an index.tsv in execution order. Passes that join nodes do not apply. The
    /// model must be one straight line of nodes
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadArg,
    /// Print JSON: outputs with statistics, classes, written files
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    nanoseconds: u64,
    outputs: Vec<Stats>,
    top: Vec<Row>,
    written: Vec<String>,
}

impl Run {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let labels = self.labels.as_deref().map(top::labels).transpose()?;
        let (loaded, _) = self.model.load()?;
        let cell = args::cell(loaded.model, self.device.options(self.threads.threads)?)?;
        let targets = self.targets(cell.outputs().len())?;
        let inputs = self.inputs.tensors(&cell.inputs(), cell.model().picture(), None, &self.device.limits)?;
        args::tell_plan(&cell, &inputs.iter().map(Tensor::fact).collect::<Vec<_>>());
        // Before the run, which may write parameters.
        let nodes = self.dump.as_ref().map(|_| dump::results(&cell, &inputs)).transpose()?;
        let start = Instant::now();
        let outputs = cell.run(&inputs)?;
        let nanoseconds = start.elapsed().as_nanos() as u64;
        print::tell(|| format!("the first run took {}", print::time(nanoseconds as f64)));
        let names: Vec<String> = cell.outputs().into_iter().map(|p| p.name).collect();
        let stats = |(t, n): (&Tensor, &String)| Stats::of(n, t);
        let top = match self.top.or(labels.as_ref().map(|_| 1)) {
            Some(k) => top::rows(&outputs, k, labels.as_deref())?,
            None => Vec::new(),
        };
        let mut written = self.store(&targets, &outputs, &keys(cell.model()))?;
        if let (Some(dir), Some(nodes)) = (&self.dump, &nodes) {
            written.extend(dump::write(dir, nodes)?);
        }
        let report = Report { nanoseconds, outputs: outputs.iter().zip(&names).map(stats).collect(), top, written };
        if self.json {
            return Ok(Outcome::ok(print::json(&report)));
        }
        let text = self.text(&report);
        Ok(if report.top.is_empty() && !report.written.is_empty() { Outcome::done(text) } else { Outcome::ok(text) })
    }

    /// The files for so many results: none, one, or one for each.
    fn targets(&self, count: usize) -> Result<Vec<PathBuf>, Failure> {
        let Some(to) = &self.output else { return Ok(Vec::new()) };
        if is(to, &["npy"]) && count != 1 {
            let text = format!("{}: the model has {count} results; give a folder or a .npz file", to.display());
            return Err(Failure::Usage(text));
        }
        if to.as_os_str() == "-" {
            return Err(Failure::Usage("results are not written to standard output; give a file or a folder".into()));
        }
        let is_folder = to.is_dir() || to.as_os_str().to_string_lossy().ends_with(std::path::MAIN_SEPARATOR);
        let is_file = !is_folder && save::by_ending(to, &[("npy", ()), ("npz", ())])?.is_some();
        if is_file {
            save::has_folder(to)?;
        }
        let files: Vec<PathBuf> = match is_file {
            true => vec![to.clone()],
            false => (0..count).map(|i| to.join(format!("out_{i}.npy"))).collect(),
        };
        self.inputs.files().for_each(|input| save::reads(&input));
        files.iter().try_for_each(|file| save::unread(file))?;
        Ok(files)
    }

    /// Writes results to their files, of which a .npz file holds all; returns the paths.
    fn store(&self, targets: &[PathBuf], outputs: &[Tensor], names: &[String]) -> Result<Vec<String>, Failure> {
        match &self.output {
            Some(to) if targets == [to.clone()] && is(to, &["npz"]) => {
                let bytes = archive(outputs, names).map_err(Failure::file(to))?;
                save::write(to, |out| out.write_all(&bytes))?;
            }
            Some(to) => {
                if targets != [to.clone()] {
                    fs::create_dir_all(to).map_err(Failure::file(to))?;
                }
                for (target, tensor) in targets.iter().zip(outputs) {
                    save::write(target, |out| npy::write_to(out, tensor))?;
                }
            }
            None => {}
        }
        Ok(targets.iter().map(|path| path.display().to_string()).collect())
    }

    fn text(&self, report: &Report) -> String {
        if !report.top.is_empty() {
            let title = report.top.len() > 1;
            return report.top.iter().map(|r| r.lines(title)).collect();
        }
        if !report.written.is_empty() {
            let place = self.output.iter().chain(&self.dump).map(|p| p.display().to_string()).collect::<Vec<_>>();
            let files = print::plural(report.written.len(), "file");
            return format!("{files} written to {}\n", place.join(" and "));
        }
        report.outputs.iter().enumerate().map(|(i, o)| o.line(&format!("output {i}"))).collect()
    }
}

/// Names for results in a file: those that the model gives them, and numbers for others. Where two would be the same to readers
/// of archives, which end names at a zero, all have numbers.
fn keys(model: &Model) -> Vec<String> {
    let names = model.result_names();
    let number = |i: usize| format!("out_{i}");
    let own = names.iter().enumerate().map(|(i, name)| name.map_or_else(|| number(i), str::to_string));
    let keys: Vec<String> = own.collect();
    let differ = keys.iter().collect::<HashSet<_>>().len() == keys.len() && !keys.iter().any(|n| n.contains('\0'));
    if differ { keys } else { (0..names.len()).map(number).collect() }
}

/// The bytes of a .npz file.
fn archive(outputs: &[Tensor], names: &[String]) -> std::io::Result<Vec<u8>> {
    let named: Vec<_> = names.iter().cloned().zip(outputs.iter().cloned()).collect();
    let mut file = Cursor::new(Vec::new());
    npy::write_npz_to(&mut file, &named)?;
    Ok(file.into_inner())
}
