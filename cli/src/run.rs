//! `mindir run`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use mindir::{Tensor, npy};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::dump;
use crate::failure::{Failure, Outcome};
use crate::input::{InputArgs, is};
use crate::print;
use crate::stats::Stats;
use crate::top::{self, Row};

/// Run a model once and show or store its results.
///
/// Results are numbered in the graph's order; tuples are flattened.
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    inputs: InputArgs,
    /// Store the results: a folder for out_0.npy, out_1.npy, …, or one .npz file
    #[arg(short, long, value_name = "DIR|FILE.npz")]
    output: Option<PathBuf>,
    /// Show the K best classes: softmax over the last dimension of every float output
    #[arg(long, value_name = "K")]
    top: Option<NonZeroUsize>,
    /// Names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Store the result of every node: NAME.npy and an index.tsv in execution order. Passes that join nodes do not apply. The
    /// model must be one straight line of nodes without state
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
        let inputs = self.inputs.tensors(&cell.inputs(), cell.model().picture(), None, &self.device.limits)?;
        let start = Instant::now();
        let outputs = cell.run(&inputs)?;
        let nanoseconds = start.elapsed().as_nanos() as u64;
        let nodes = self.dump.as_ref().map(|_| dump::results(&cell, &inputs)).transpose()?;
        let names: Vec<String> = cell.outputs().into_iter().map(|p| p.name).collect();
        let stats = |(t, n): (&Tensor, &String)| Stats::of(n, t);
        let top = match self.top.or(labels.as_ref().map(|_| NonZeroUsize::MIN)) {
            Some(k) => top::rows(&outputs, k.get(), labels.as_deref())?,
            None => Vec::new(),
        };
        let mut written = Vec::new();
        if let Some(to) = &self.output {
            written.extend(store(to, &outputs)?);
        }
        if let (Some(dir), Some(nodes)) = (&self.dump, &nodes) {
            written.extend(dump::write(dir, nodes)?);
        }
        let report = Report { nanoseconds, outputs: outputs.iter().zip(&names).map(stats).collect(), top, written };
        Ok(Outcome::ok(if self.json { print::json(&report) } else { self.text(&report) }))
    }

    fn text(&self, report: &Report) -> String {
        if !report.top.is_empty() {
            let title = report.top.len() > 1;
            return report.top.iter().map(|r| r.lines(title)).collect();
        }
        if !report.written.is_empty() {
            let place = self.output.iter().chain(&self.dump).map(|p| p.display().to_string()).collect::<Vec<_>>();
            return format!("{} files written to {}\n", report.written.len(), place.join(" and "));
        }
        report.outputs.iter().enumerate().map(|(i, o)| o.line(&format!("output {i}"))).collect()
    }
}

/// Writes tensors as `out_0.npy`, …; returns the paths.
fn store(to: &Path, outputs: &[Tensor]) -> Result<Vec<String>, Failure> {
    if is(to, &["npz"]) {
        let named: Vec<(String, Tensor)> =
            outputs.iter().enumerate().map(|(i, t)| (format!("out_{i}"), t.clone())).collect();
        npy::write_npz(to, &named).map_err(Failure::file(to))?;
        return Ok(vec![to.display().to_string()]);
    }
    if is(to, &["npy"]) {
        return Err(Failure::Usage(format!("{}: results go to a folder or to one .npz file", to.display())));
    }
    fs::create_dir_all(to).map_err(Failure::file(to))?;
    let one = |(i, t): (usize, &Tensor)| {
        let path = to.join(format!("out_{i}.npy"));
        npy::write(&path, t).map_err(Failure::file(&path))?;
        Ok(path.display().to_string())
    };
    outputs.iter().enumerate().map(one).collect()
}
