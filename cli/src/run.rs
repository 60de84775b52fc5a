//! `mindir run`.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mindir::ckpt::{self, WriteOptions};
use mindir::graph::Model;
use mindir::{Fact, GraphCell, Tensor, npy};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::carry::{Carry, Optional};
use crate::content::is;
use crate::dump::{self, NodeResult};
use crate::eval;
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print;
use crate::save;
use crate::stats::Stats;
use crate::top::{self, Row};

/// Run a model once and show or store its results.
///
/// Results are numbered in the graph's order; tuples are flattened. An input for which an ONNX file has a value may be given by its
/// name, too. Inputs may have other lengths than the model was exported
/// with, such as another batch, where its operators allow them: it is planned anew for them, and nothing is said about it.
#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    inputs: InputArgs,
    /// Store the results: a .npy file if there is one, a .npz file, or a folder for out_0.npy, out_1.npy, … In a .npz file they
    /// have the names that the model gives them, as .onnx files and what is made of them do; one that it does not name, or not
    /// as archives can hold it, has its number: out_0, out_1, …
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Show the K best classes: softmax over the last dimension of every float output
    #[arg(long, value_name = "K", value_parser = top::count)]
    top: Option<usize>,
    /// Names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Store the result of every node: NAME.npy and an index.tsv in execution order. Passes that join nodes do not apply. The
    /// model must be one straight line of nodes. With --steps they are those of the last run
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Run so many times with these inputs, such as a step of training; the results are those of the last run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Make results inputs of the next run: OUT is the name or the number of a result, IN the name of an input, or of one for which
    /// an ONNX file has a value, such as NAME_out=NAME after `convert --state-as-io`. What goes to the latter is in --save-params
    #[arg(long, value_name = "OUT=IN,…", value_delimiter = ',')]
    carry: Vec<String>,
    /// Run the model with the parameters of a checkpoint, which must have all of them, such as those of --save-params
    #[arg(long, value_name = "CKPT")]
    params: Option<PathBuf>,
    /// Store what the parameters hold in the end as a checkpoint: a .ckpt, .safetensors or .npz file
    #[arg(long, value_name = "FILE")]
    save_params: Option<PathBuf>,
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

/// What all steps came to.
#[derive(Default)]
struct Ran {
    /// Results of the last one.
    outputs: Vec<Tensor>,
    /// Results of its nodes, if they are dumped.
    nodes: Option<Vec<NodeResult>>,
    /// Time of the first one.
    nanoseconds: u64,
}

impl Run {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let labels = self.labels.as_deref().map(top::labels).transpose()?;
        let (loaded, _) = self.model.load()?;
        let optional = Optional::of(&loaded);
        let mut cell = args::cell(loaded.model, self.device.options(self.threads.threads)?)?;
        let targets = self.targets(cell.outputs().len())?;
        self.check_params(&cell)?;
        let carry = self.carry(&cell, &optional)?;
        if let Some(path) = &self.params {
            eval::fill_from(&mut cell, path, &self.model.key.files)?;
        }
        let (given, own) = optional.split(&self.inputs);
        optional.give(&mut cell, &given, &self.device.limits)?;
        let inputs = own.tensors(&cell.inputs(), cell.model().picture(), None, &self.device.limits)?;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        args::tell_plan(&cell, &facts);
        self.check_dump(&cell, &inputs)?;
        let Ran { outputs, nodes, nanoseconds } = self.steps(&mut cell, inputs, &carry)?;
        args::tell_packed(&cell);
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
        if let Some(path) = &self.save_params {
            ckpt::write(path, &cell.checkpoint(), &WriteOptions::default())?;
            written.push(path.display().to_string());
        }
        let report = Report { nanoseconds, outputs: outputs.iter().zip(&names).map(stats).collect(), top, written };
        if self.json {
            return Ok(Outcome::ok(print::json(&report)));
        }
        let text = self.text(&report);
        Ok(if report.top.is_empty() && self.stores_results() { Outcome::done(text) } else { Outcome::ok(text) })
    }

    /// Runs all steps.
    fn steps(&self, cell: &mut GraphCell, mut inputs: Vec<Tensor>, carry: &Carry) -> Result<Ran, Failure> {
        let mut ran = Ran::default();
        for step in 1..=self.steps {
            if step == self.steps && self.dump.is_some() {
                // Before the run, which may write parameters.
                ran.nodes = Some(dump::results(cell, &inputs)?);
            }
            let start = Instant::now();
            ran.outputs = cell.run(&inputs)?;
            if step == 1 {
                ran.nanoseconds = start.elapsed().as_nanos() as u64;
                print::tell(|| format!("the first run took {}", print::time(ran.nanoseconds as f64)));
            }
            carry.next(&ran.outputs, &mut inputs, cell)?;
        }
        Ok(ran)
    }

    /// Whether results go to files instead of the terminal.
    fn stores_results(&self) -> bool {
        self.output.is_some() || self.dump.is_some()
    }

    /// Refuses a file for parameters that is no checkpoint or cannot be written, and one for a model that has none.
    fn check_params(&self, cell: &GraphCell) -> Result<(), Failure> {
        let Some(path) = &self.save_params else { return Ok(()) };
        save::must_end(path, &[("ckpt", ()), ("safetensors", ()), ("npz", ())])?;
        if cell.model().params.is_empty() {
            return Err(Failure::Usage(format!("--save-params {}: the model has no parameters", path.display())));
        }
        save::try_target(path)
    }

    /// What --carry says, which is about the next run.
    fn carry(&self, cell: &GraphCell, optional: &Optional) -> Result<Carry, Failure> {
        if self.steps == 1 && self.save_params.is_none() && !self.carry.is_empty() {
            return Err(Failure::Usage("--carry has no effect on one run; see --steps and --save-params".into()));
        }
        Carry::of(&self.carry, cell, optional)
    }

    /// Refuses a folder for a dump that cannot be written, and a model without one.
    fn check_dump(&self, cell: &GraphCell, inputs: &[Tensor]) -> Result<(), Failure> {
        let Some(dir) = &self.dump else { return Ok(()) };
        save::try_folder(dir)?;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        if !cell.is_straight(&facts)? {
            // It says why.
            dump::results(cell, inputs)?;
        }
        Ok(())
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
        let files: Vec<PathBuf> = match is_file {
            true => vec![to.clone()],
            false => (0..count).map(|i| to.join(format!("out_{i}.npy"))).collect(),
        };
        self.inputs.files().for_each(|input| save::reads(&input));
        files.iter().try_for_each(|file| save::unread(file))?;
        if is_file {
            save::try_target(to)?;
        } else {
            save::try_folder(to)?;
        }
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
        if self.stores_results() {
            let place = self
                .output
                .iter()
                .chain(&self.dump)
                .chain(&self.save_params)
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>();
            let files = print::plural(report.written.len(), "file");
            return format!("{files} written to {}\n", place.join(" and "));
        }
        report.outputs.iter().enumerate().map(|(i, o)| o.line(&format!("output {i}"))).collect()
    }
}

/// Names for results in a file: those that the model gives them, and a number for each that a reader of archives could not take, or
/// take for another one.
fn keys(model: &Model) -> Vec<String> {
    let names = model.result_names();
    let number = |i: usize| format!("out_{i}");
    let numbers: Vec<String> = (0..names.len()).map(number).collect();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    names.iter().flatten().for_each(|name| *seen.entry(member(name)).or_default() += 1);
    let is_free = |name: &str| seen[member(name)] == 1 && !numbers.iter().any(|number| number == member(name));
    let own = |name: &&str| is_safe(name) && is_free(name);
    names.iter().enumerate().map(|(i, name)| name.filter(own).map_or_else(|| number(i), str::to_string)).collect()
}

/// What readers of archives may make of a name.
fn member(name: &str) -> &str {
    name.trim_end_matches(".npy")
}

/// Whether an archive holds a name whole and unpacks its file where it should.
fn is_safe(name: &str) -> bool {
    let leads_out = name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..");
    !leads_out && !member(name).is_empty() && !name.contains('\0') && name.len() <= npy::LONGEST_NAME
}

/// The bytes of a .npz file.
fn archive(outputs: &[Tensor], names: &[String]) -> std::io::Result<Vec<u8>> {
    let named: Vec<_> = names.iter().cloned().zip(outputs.iter().cloned()).collect();
    let mut file = Cursor::new(Vec::new());
    npy::write_npz_to(&mut file, &named)?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir::builder::Builder;
    use mindir::{DType, Spec};

    /// The names in a file for results with these names.
    fn keys_of(names: &[&str]) -> Vec<String> {
        let mut b = Builder::new("net");
        let x = b.input("x", Spec::fixed(DType::F32, &[1]));
        let results: Vec<_> = names.iter().map(|_| b.op("Neg", [x.into()]).unwrap()).collect();
        b.rename(&results.iter().copied().zip(names.iter().copied()).collect::<Vec<_>>());
        keys(&b.finish(&results))
    }

    #[test]
    fn results_have_numbers_where_their_names_would_not_do() {
        assert_eq!(keys_of(&["a", "b/c", "..d", "e.npy"]), ["a", "b/c", "..d", "e.npy"]);
        assert_eq!(keys_of(&["../a", "/b", "\\c", "d\\..", "e"]), ["out_0", "out_1", "out_2", "out_3", "e"]);
        assert_eq!(keys_of(&["a", "a.npy", "b", ".npy", "c\0"]), ["out_0", "out_1", "b", "out_3", "out_4"]);
        assert_eq!(keys_of(&["out_1", "b", "out_2"]), ["out_0", "b", "out_2"]);
        assert_eq!(keys_of(&["a", &"x".repeat(70_000)]), ["a", "out_1"]);
    }
}
