//! `mindir bench`.

mod baseline;
mod load;
pub mod profile;
pub mod runner;
mod trace;

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mindir::graph::Model;
use mindir::{Dim, Error, GraphCell, Port, Precision, Tensor};
use serde::{Deserialize, Serialize};

use crate::args::{self, DeviceArgs, ModelArg, Names, duration, threads};
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print::{self, name};
use crate::random::Fill;
use crate::save;
use crate::stdin;
use baseline::{Baseline, Change};
use load::Times;
use profile::Profiled;
use runner::Runner;
use trace::Trace;

/// Measure how fast a model runs.
///
/// Inputs that are not given are `rand:0`. Models without control flow run in a session, which does not allocate.
#[derive(Args, Debug)]
pub struct Bench {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    inputs: InputArgs,
    /// Numbers of threads to try [default: the cores that the process may use]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    /// Batch sizes to try: replaces the first dimension of every input
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    batch: Vec<usize>,
    /// Numbers of runs at the same time to try: each has a thread and inputs of its own, and shares the weights and the threads
    /// of the CPU with the others
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1", value_parser = threads)]
    concurrency: Vec<usize>,
    /// How long to measure each combination
    #[arg(long, default_value = "2s", value_parser = duration)]
    time: Duration,
    /// How long to run before that
    #[arg(long, default_value = "300ms", value_parser = duration)]
    warmup: Duration,
    /// Show the time of every step, and what is between the steps
    #[arg(long)]
    profile: bool,
    /// Write the steps of a run of each combination as trace events, which https://ui.perfetto.dev and chrome://tracing show
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// Keep what was measured, for --against, which is another file. Every row is written when it is measured
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    /// Compare with what was kept by --save, of runs with the same inputs, threads, numbers at once, device and precision. What is about another
    /// model is a warning
    #[arg(long, value_name = "FILE.json")]
    against: Option<PathBuf>,
    /// Exit code 1 if a median is longer than the one kept by more than this, such as 5%
    #[arg(long, value_name = "PERCENT", requires = "against", value_parser = baseline::percent, allow_hyphen_values = true)]
    fail_above: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON: load time, and for each combination times in nanoseconds
    #[arg(long, conflicts_with = "worker")]
    json: bool,
    /// Take turns with other programs: prints `READY LOAD_NS FIRST_RUN_NS`, then answers each line `r N` on stdin with N times
    /// in nanoseconds on one line; `q` ends. LOAD_NS is reading the file and making the cell, FIRST_RUN_NS planning and the
    /// first run.
    #[arg(long, conflicts_with_all = ["profile", "time", "warmup", "concurrency", "trace", "save", "against"])]
    worker: bool,
}

/// What is measured at one time.
#[derive(Clone, Copy)]
struct Case {
    batch: Option<usize>,
    threads: Option<usize>,
    concurrency: usize,
}

impl Case {
    fn threads(self) -> Result<usize, Failure> {
        match self.threads {
            Some(n) => Ok(n),
            None => Ok(mindir::machine::processor().map_err(Error::from)?.threads),
        }
    }

    /// What sets it apart, as in ` of batch 8 with 2 threads`.
    fn title(self, threads: usize) -> String {
        let batch = self.batch.map_or(String::new(), |b| format!(" of batch {b}"));
        let runs = if self.concurrency > 1 { format!(", {} at once", self.concurrency) } else { String::new() };
        format!("{batch} with {}{runs}", print::plural(threads, "thread"))
    }
}

#[derive(Serialize)]
struct Report {
    /// The file of the model.
    model: PathBuf,
    load_ns: u64,
    runs: Vec<Measured>,
    peak_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    against: Vec<Change>,
}

/// What sets a combination apart.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Key {
    batch: Option<usize>,
    threads: usize,
    /// Runs at the same time.
    #[serde(default = "one")]
    concurrency: usize,
    inputs: Vec<String>,
    #[serde(default = "cpu")]
    device: String,
    #[serde(default = "exact")]
    precision: String,
}

fn one() -> usize {
    1
}

fn cpu() -> String {
    "cpu".into()
}

fn exact() -> String {
    Precision::F32.name().into()
}

impl Key {
    fn of(case: Case, inputs: &[Tensor], on: &DeviceArgs) -> Result<Key, Failure> {
        let Case { batch, concurrency, .. } = case;
        let inputs = inputs.iter().map(|t| t.fact().to_string()).collect();
        let (device, precision) = (on.device.clone(), on.precision.name().into());
        Ok(Key { batch, threads: case.threads()?, concurrency, inputs, device, precision })
    }
}

/// What runs in one combination.
struct Ready {
    cell: GraphCell,
    inputs: Vec<Tensor>,
    key: Key,
    runners: Vec<Runner>,
    first_run_ns: u64,
}

impl Ready {
    fn measured(self, times: &Times, profile: Option<Profiled>) -> Measured {
        let at = |p: usize| percentile(&times.runs, p);
        let flops = self.runners.first().and_then(Runner::flops);
        Measured {
            key: self.key,
            first_run_ns: self.first_run_ns,
            count: times.runs.len(),
            p50_ns: at(50),
            p90_ns: at(90),
            p99_ns: at(99),
            min_ns: at(0),
            runs_per_second: times.per_second,
            flops,
            gflops_per_second: flops.map(|f| f as f64 / at(50).max(1) as f64),
            profile,
        }
    }
}

/// One combination; times in nanoseconds.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    key: Key,
    /// Planning and the first run.
    first_run_ns: u64,
    count: usize,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    min_ns: u64,
    runs_per_second: f64,
    flops: Option<u64>,
    /// At the median.
    gflops_per_second: Option<f64>,
    #[serde(flatten)]
    profile: Option<Profiled>,
}

/// The time that `p` percent of the runs take at most; 0 without runs. `times` is sorted.
fn percentile(times: &[u64], p: usize) -> u64 {
    times.get(times.len().saturating_sub(1) * p / 100).copied().unwrap_or(0)
}

impl Bench {
    pub fn execute(self) -> Result<Outcome, Failure> {
        if self.worker {
            return self.work();
        }
        let (loaded, load) = self.model.load()?;
        let model = Arc::new(loaded.model);
        self.check_targets()?;
        let before = self.before(&model)?;
        let mut trace = self.trace.as_ref().map(|_| Trace::default());
        self.show(|| format!("load {}\n{}", print::time(load.as_nanos() as f64), header()))?;
        let (load_ns, path) = (load.as_nanos() as u64, &self.model.path);
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut report = Report { model: path, load_ns, runs: Vec::new(), peak_rss_bytes: None, against: Vec::new() };
        for case in self.cases() {
            let measured = self.measure(&model, case, trace.as_mut())?;
            let line = measured.line();
            report.runs.push(measured);
            report.peak_rss_bytes = peak_rss();
            self.keep(&report)?;
            self.show(|| line)?;
        }
        report.against = before.map_or(Vec::new(), |before| before.changes(&report.runs));
        self.end(&report, trace)
    }

    /// What was kept before, after a look whether there is something to compare with.
    fn before(&self, model: &Arc<Model>) -> Result<Option<Baseline>, Failure> {
        let Some(path) = &self.against else { return Ok(None) };
        let before = Baseline::read(path)?;
        let cell = args::cell(model.clone(), mindir::Options::default())?;
        let key = |case: Case| Key::of(case, &self.tensors(&cell, case.batch)?, &self.device);
        let keys = self.cases().into_iter().map(key).collect::<Result<Vec<_>, _>>()?;
        before.check(path, &self.model.path, &keys)?;
        Ok(Some(before))
    }

    /// Keeps what is measured so far, so that it is there whatever ends the command.
    fn keep(&self, report: &Report) -> Result<(), Failure> {
        self.save.as_deref().map_or(Ok(()), |path| baseline::save(path, report))
    }

    /// Refuses files that could not be written when all is measured.
    fn check_targets(&self) -> Result<(), Failure> {
        self.inputs.files().for_each(|input| save::reads(&input));
        self.against.iter().for_each(|path| save::reads(path));
        for path in self.save.iter().chain(&self.trace) {
            save::must_end(path, &[("json", ())])?;
            save::try_target(path)?;
        }
        match (&self.save, &self.trace) {
            (Some(save), Some(trace)) if save == trace => {
                Err(Failure::Usage(format!("{}: --save and --trace would both write it", save.display())))
            }
            _ => Ok(()),
        }
    }

    /// All combinations.
    fn cases(&self) -> Vec<Case> {
        let some = |list: &[usize]| if list.is_empty() { vec![None] } else { list.iter().copied().map(Some).collect() };
        let (batches, threads): (Vec<Option<usize>>, Vec<Option<usize>>) = (some(&self.batch), some(&self.threads));
        let of = |batch| threads.iter().map(move |threads| (batch, *threads));
        let pairs = batches.into_iter().flat_map(of);
        let case =
            |(batch, threads)| self.concurrency.iter().map(move |&concurrency| Case { batch, threads, concurrency });
        pairs.flat_map(case).collect()
    }

    /// Writes and prints what remains when all is measured.
    fn end(&self, report: &Report, trace: Option<Trace>) -> Result<Outcome, Failure> {
        if let (Some(path), Some(trace)) = (&self.trace, trace) {
            trace.write(path)?;
        }
        self.keep(report)?;
        let text = if self.json { print::json(report) } else { report.end() };
        let is_slow = self.fail_above.is_some_and(|limit| report.against.iter().any(|change| change.is_above(limit)));
        Ok(if is_slow { Outcome::differs(text) } else { Outcome::ok(text) })
    }

    /// Prints now, unless all is one object at the end.
    fn show(&self, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { Ok(()) } else { print::stdout(&text()) }
    }

    fn measure(&self, model: &Arc<Model>, case: Case, trace: Option<&mut Trace>) -> Result<Measured, Failure> {
        let mut ready = self.prepare(model, case)?;
        let times = self.times(&mut ready.runners, case)?;
        let first = ready.runners.first_mut().filter(|_| self.profile);
        let profile = first.map(|runner| runner.profile(self.time)).transpose()?;
        if let Some(trace) = trace {
            trace.add(case.title(ready.key.threads).trim_start(), &ready.cell, &ready.inputs, case.concurrency)?;
        }
        args::tell_packed(&ready.cell);
        Ok(ready.measured(&times, profile))
    }

    /// Makes all that runs, and runs it once.
    fn prepare(&self, model: &Arc<Model>, case: Case) -> Result<Ready, Failure> {
        let start = Instant::now();
        let cell = args::cell(model.clone(), self.device.options(case.threads)?)?;
        let made = start.elapsed();
        let inputs = self.tensors(&cell, case.batch)?;
        args::tell_plan(&cell, &inputs.iter().map(Tensor::fact).collect::<Vec<_>>());
        let start = Instant::now();
        let mut first = Runner::new(cell.clone(), inputs.clone())?;
        first.run()?;
        let first_run_ns = (made + start.elapsed()).as_nanos() as u64;
        let mut runners = vec![first];
        for _ in 1..case.concurrency {
            runners.push(Runner::new(cell.clone(), inputs.clone())?);
        }
        Ok(Ready { cell, key: Key::of(case, &inputs, &self.device)?, inputs, runners, first_run_ns })
    }

    /// Warms up and measures.
    fn times(&self, runners: &mut [Runner], case: Case) -> Result<Times, Failure> {
        load::measure(runners, self.warmup, 1, &ProgressBar::hidden())?;
        let bar = bar(self.time, case);
        let times = load::measure(runners, self.time, 5, &bar)?;
        bar.finish_and_clear();
        Ok(times)
    }

    /// The inputs, made up where they are not given, with another first dimension where one was asked for.
    fn tensors(&self, cell: &GraphCell, batch: Option<usize>) -> Result<Vec<Tensor>, Failure> {
        let fill = Some(Fill::Random(0));
        let Some(batch) = batch else {
            return self.inputs.tensors(&cell.inputs(), cell.model().picture(), fill, &self.device.limits);
        };
        let mut ports = cell.inputs();
        let names = resize(&mut ports, batch)?;
        self.check_shapes(&cell.inputs(), &names)?;
        let tensors = self.inputs.tensors(&ports, cell.model().picture(), fill, &self.device.limits)?;
        let given = ports.iter().zip(&tensors).find(|(_, t)| t.shape().first() != Some(&batch));
        if let Some((port, tensor)) = given {
            let text = format!("--batch {batch}: input {} is given as {}", name(&port.name), tensor.fact());
            return Err(Failure::Usage(text));
        }
        Ok(tensors)
    }

    /// Refuses a length for a dimension that --batch replaces.
    fn check_shapes(&self, ports: &[Port], replaced: &[Dim]) -> Result<(), Failure> {
        let names = Names::of(ports);
        for text in &self.inputs.shapes.shapes {
            let given = names
                .dimension(text)?
                .filter(|(given, _)| replaced.iter().any(|dim| matches!(dim, Dim::Named(of) if **of == **given)));
            if let Some((given, _)) = given {
                let text = format!("--shape {}: --batch says how long dimension {} is", name(text), name(given));
                return Err(Failure::Usage(text));
            }
        }
        Ok(())
    }

    fn work(&self) -> Result<Outcome, Failure> {
        if self.threads.len() > 1 || self.batch.len() > 1 {
            return Err(Failure::Usage("--worker takes one number of threads and one batch size".into()));
        }
        if stdin::is(&self.model.path) || self.inputs.reads_stdin() {
            return Err(Failure::Usage(format!("--worker takes its turns from {}", stdin::NAME)));
        }
        let start = Instant::now();
        let (loaded, _) = self.model.load()?;
        let cell = args::cell(loaded.model, self.device.options(self.threads.first().copied())?)?;
        let load = start.elapsed().as_nanos();
        let inputs = self.tensors(&cell, self.batch.first().copied())?;
        let start = Instant::now();
        let mut runner = Runner::new(cell, inputs)?;
        runner.run()?;
        print::stdout(&format!("READY {load} {}\n", start.elapsed().as_nanos()))?;
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(Failure::file("stdin".as_ref()))?;
            let n = line.strip_prefix("r ").and_then(|n| n.trim().parse::<usize>().ok());
            match (line.trim(), n) {
                ("q", _) => break,
                (_, Some(n)) => {
                    let times = (0..n).map(|_| runner.run()).collect::<Result<Vec<u64>, _>>()?;
                    print::stdout(&(times.iter().map(u64::to_string).collect::<Vec<_>>().join(" ") + "\n"))?;
                }
                _ => return Err(Failure::Usage(format!("expected `r N` or `q`, found {}", print::quoted(&line)))),
            }
        }
        Ok(Outcome::ok(String::new()))
    }
}

/// Replaces the first dimension of every input, and all that have its name; returns those with names.
fn resize(ports: &mut [Port], batch: usize) -> Result<Vec<Dim>, Failure> {
    let mut names = Vec::new();
    for port in ports.iter_mut() {
        let text = format!("--batch: input {} {} has no first dimension", name(&port.name), port.spec);
        let first = port.spec.dims.as_mut().and_then(|d| d.first_mut());
        let first = std::mem::replace(first.ok_or(Failure::Usage(text))?, Dim::Known(batch));
        names.extend(matches!(first, Dim::Named(_)).then_some(first));
    }
    let dims = ports.iter_mut().flat_map(|port| port.spec.dims.iter_mut().flatten());
    dims.filter(|dim| names.contains(dim)).for_each(|dim| *dim = Dim::Known(batch));
    Ok(names)
}

fn bar(time: Duration, case: Case) -> ProgressBar {
    if !print::shows_progress() || time < Duration::from_secs(1) {
        return ProgressBar::hidden();
    }
    let show = |what: &str, n: Option<usize>| n.map_or(String::new(), |n| format!(" {what} {n}"));
    let (batch, threads) = (show("batch", case.batch), show("threads", case.threads));
    let message = format!("measuring{batch}{threads}{}", show("at once", Some(case.concurrency)));
    let style = ProgressStyle::with_template("{msg} {wide_bar}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(time.as_millis() as u64).with_style(style).with_message(message)
}

/// Most memory that the process has held, where the system tells.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Columns of what is measured, with their widths: rows are printed one by one.
const COLUMNS: [(&str, usize); 11] = [
    ("batch", 5),
    ("threads", 7),
    ("at once", 7),
    ("p50", 7),
    ("p90", 7),
    ("p99", 7),
    ("min", 7),
    ("runs/s", 8),
    ("GFLOP/s", 7),
    ("first run", 9),
    ("runs", 6),
];

fn header() -> String {
    if is_wide() { row(COLUMNS.map(|(title, _)| title.to_string())) } else { String::new() }
}

/// Whether the columns fit the terminal; else every cell has a line.
fn is_wide() -> bool {
    print::is_wide(COLUMNS.iter().map(|(_, width)| width + 2).sum::<usize>() - 2)
}

fn row(cells: [String; COLUMNS.len()]) -> String {
    if !is_wide() {
        return print::record(&COLUMNS.map(|(title, _)| title), &cells) + "\n";
    }
    let cells = cells.into_iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}"));
    cells.collect::<Vec<_>>().join("  ") + "\n"
}

impl Report {
    /// What follows the rows.
    fn end(&self) -> String {
        let rss = self.peak_rss_bytes.map_or(String::new(), |b| format!("peak memory {}\n", print::bytes(b)));
        let text = self.runs.iter().fold(rss, |text, m| text + &m.profile_text());
        if self.against.is_empty() { text } else { text + &baseline::table(&self.against) }
    }
}

impl Measured {
    fn line(&self) -> String {
        let time = |ns: u64| print::time(ns as f64);
        row([
            self.key.batch.map_or("-".into(), |b| b.to_string()),
            self.key.threads.to_string(),
            self.key.concurrency.to_string(),
            time(self.p50_ns),
            time(self.p90_ns),
            time(self.p99_ns),
            time(self.min_ns),
            format!("{:.1}", self.runs_per_second),
            self.gflops_per_second.map_or("-".into(), |g| format!("{g:.1}")),
            time(self.first_run_ns),
            self.count.to_string(),
        ])
    }

    fn profile_text(&self) -> String {
        let Key { batch, threads, concurrency, .. } = self.key;
        let title = Case { batch, threads: Some(threads), concurrency }.title(threads);
        self.profile.as_ref().map_or(String::new(), |p| p.text(&title))
    }
}
