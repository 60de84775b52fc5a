//! `mindir bench`.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use mindir::graph::Model;
use mindir::{Error, Fact, GraphCell, Port, Session, Tensor};
use serde::Serialize;

use crate::args::{self, DeviceArgs, ModelArg, duration, threads};
use crate::failure::{Failure, Outcome};
use crate::input::InputArgs;
use crate::print::{self, name};
use crate::random::Fill;

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
    /// How long to measure each combination
    #[arg(long, default_value = "2s", value_parser = duration)]
    time: Duration,
    /// How long to run before that
    #[arg(long, default_value = "300ms", value_parser = duration)]
    warmup: Duration,
    /// Show the time of every step
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON: load time, and for each combination times in nanoseconds
    #[arg(long, conflicts_with = "worker")]
    json: bool,
    /// Take turns with other programs: prints `READY LOAD_NS FIRST_RUN_NS`, then answers each line `r N` on stdin with N times
    /// in nanoseconds on one line; `q` ends. LOAD_NS is reading the file and making the cell, FIRST_RUN_NS planning and the
    /// first run.
    #[arg(long, conflicts_with = "profile")]
    worker: bool,
}

#[derive(Serialize)]
struct Report {
    load_ns: u64,
    runs: Vec<Measured>,
    peak_rss_bytes: Option<u64>,
}

/// One combination; times in nanoseconds.
#[derive(Serialize)]
struct Measured {
    batch: Option<usize>,
    threads: usize,
    inputs: Vec<String>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepTime>,
}

#[derive(Serialize)]
struct StepTime {
    ops: String,
    path: String,
    kernel: String,
    median_ns: u64,
    share: f64,
    gflops_per_second: f64,
}

/// Something that runs a model again and again on the same inputs.
enum Runner {
    Session { session: Box<Session>, inputs: Vec<Tensor> },
    Cell { cell: GraphCell, inputs: Vec<Tensor> },
}

impl Runner {
    fn new(cell: GraphCell, inputs: Vec<Tensor>) -> Result<Runner, Failure> {
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        match cell.session(&facts) {
            Ok(session) => Ok(Runner::Session { session: Box::new(session), inputs }),
            Err(Error::NotStraight(_)) => Ok(Runner::Cell { cell, inputs }),
            Err(e) => Err(e.into()),
        }
    }

    /// Time of one run in nanoseconds.
    fn run(&mut self) -> Result<u64, Failure> {
        match self {
            Runner::Session { session, inputs } => {
                let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
                let start = Instant::now();
                session.run_bytes(&bytes)?;
                Ok(start.elapsed().as_nanos() as u64)
            }
            Runner::Cell { cell, inputs } => {
                let start = Instant::now();
                let results = cell.run(inputs)?;
                let time = start.elapsed().as_nanos() as u64;
                drop(results);
                Ok(time)
            }
        }
    }

    /// Runs until `time` is over, at least `least` times.
    fn run_for(&mut self, time: Duration, least: usize, bar: &ProgressBar) -> Result<Vec<u64>, Failure> {
        let start = Instant::now();
        let mut out = Vec::new();
        while out.len() < least || start.elapsed() < time {
            out.push(self.run()?);
            bar.set_position(start.elapsed().min(time).as_millis() as u64);
        }
        Ok(out)
    }

    fn flops(&self) -> Option<u64> {
        match self {
            Runner::Session { session, .. } => Some(session.plan().flops()),
            Runner::Cell { .. } => None,
        }
    }

    fn profile(&mut self, time: Duration) -> Result<Vec<StepTime>, Failure> {
        let Runner::Session { session, inputs } = self else {
            let text = "--profile needs a model without control flow, state and shapes that depend on data";
            return Err(Failure::Usage(text.into()));
        };
        let bytes: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
        let count = session.plan().stages().iter().map(|s| s.steps.len()).sum();
        let mut runs = vec![Vec::new(); count];
        let start = Instant::now();
        while runs.first().is_some_and(Vec::is_empty) || start.elapsed() < time {
            let mut nanos = vec![0; count];
            session.profile(&bytes, &mut nanos)?;
            runs.iter_mut().zip(nanos).for_each(|(all, ns)| all.push(ns));
        }
        let nanos: Vec<u64> = runs
            .iter_mut()
            .map(|all| {
                all.sort_unstable();
                percentile(all, 50)
            })
            .collect();
        let total = nanos.iter().sum::<u64>().max(1) as f64;
        let steps = session.plan().stages().iter().flat_map(|s| &s.steps);
        let step = |(s, &ns): (&mindir::StepReport, &u64)| StepTime {
            ops: s.ops.to_string(),
            path: s.path.to_string(),
            kernel: s.kernel.clone(),
            median_ns: ns,
            share: ns as f64 / total,
            gflops_per_second: if ns == 0 { 0.0 } else { s.flops as f64 / ns as f64 },
        };
        Ok(steps.zip(&nanos).map(step).collect())
    }
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
        let threads: Vec<Option<usize>> =
            if self.threads.is_empty() { vec![None] } else { self.threads.iter().copied().map(Some).collect() };
        let batches: Vec<Option<usize>> =
            if self.batch.is_empty() { vec![None] } else { self.batch.iter().copied().map(Some).collect() };
        let mut runs = Vec::new();
        for batch in &batches {
            for threads in &threads {
                runs.push(self.measure(&model, *batch, *threads)?);
            }
        }
        let report = Report { load_ns: load.as_nanos() as u64, runs, peak_rss_bytes: peak_rss() };
        Ok(Outcome::ok(if self.json { print::json(&report) } else { report.text() }))
    }

    fn measure(&self, model: &Arc<Model>, batch: Option<usize>, threads: Option<usize>) -> Result<Measured, Failure> {
        let start = Instant::now();
        let cell = args::cell(model.clone(), self.device.options(threads)?)?;
        let made = start.elapsed();
        let inputs = self.tensors(&cell, batch)?;
        let facts = inputs.iter().map(|t| t.fact().to_string()).collect();
        let start = Instant::now();
        let mut runner = Runner::new(cell, inputs)?;
        runner.run()?;
        let first_run_ns = (made + start.elapsed()).as_nanos() as u64;
        let bar = bar(self.time, batch, threads);
        runner.run_for(self.warmup, 1, &ProgressBar::hidden())?;
        let mut times = runner.run_for(self.time, 5, &bar)?;
        bar.finish_and_clear();
        let steps = if self.profile { runner.profile(self.time)? } else { Vec::new() };
        times.sort_unstable();
        let at = |p: usize| percentile(&times, p);
        let flops = runner.flops();
        Ok(Measured {
            batch,
            threads: match threads {
                Some(n) => n,
                None => mindir::machine::processor().map_err(Error::from)?.threads,
            },
            inputs: facts,
            first_run_ns,
            count: times.len(),
            p50_ns: at(50),
            p90_ns: at(90),
            p99_ns: at(99),
            min_ns: times[0],
            runs_per_second: 1e9 * times.len() as f64 / times.iter().sum::<u64>().max(1) as f64,
            flops,
            gflops_per_second: flops.map(|f| f as f64 / at(50).max(1) as f64),
            steps,
        })
    }

    /// The inputs, made up where they are not given, with another first dimension where one was asked for.
    fn tensors(&self, cell: &GraphCell, batch: Option<usize>) -> Result<Vec<Tensor>, Failure> {
        let fill = Some(Fill::Random(0));
        let Some(batch) = batch else {
            return self.inputs.tensors(&cell.inputs(), cell.model().picture(), fill, &self.device.limits);
        };
        let mut ports = cell.inputs();
        ports.iter_mut().try_for_each(|p| resize(p, batch))?;
        let tensors = self.inputs.tensors(&ports, cell.model().picture(), fill, &self.device.limits)?;
        let given = ports.iter().zip(&tensors).find(|(_, t)| t.shape().first() != Some(&batch));
        if let Some((port, tensor)) = given {
            let text = format!("--batch {batch}: input {} is given as {}", name(&port.name), tensor.fact());
            return Err(Failure::Usage(text));
        }
        Ok(tensors)
    }

    fn work(&self) -> Result<Outcome, Failure> {
        if self.threads.len() > 1 || self.batch.len() > 1 {
            return Err(Failure::Usage("--worker takes one number of threads and one batch size".into()));
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
                _ => return Err(Failure::Usage(format!("expected `r N` or `q`, found {line:?}"))),
            }
        }
        Ok(Outcome::ok(String::new()))
    }
}

/// Replaces the first dimension of an input.
fn resize(port: &mut Port, batch: usize) -> Result<(), Failure> {
    let text = format!("--batch: input {} {} has no first dimension", name(&port.name), port.spec);
    let first = port.spec.dims.as_mut().and_then(|d| d.first_mut());
    *first.ok_or(Failure::Usage(text))? = mindir::Dim::Known(batch);
    Ok(())
}

fn bar(time: Duration, batch: Option<usize>, threads: Option<usize>) -> ProgressBar {
    if !std::io::stderr().is_terminal() || time < Duration::from_secs(1) {
        return ProgressBar::hidden();
    }
    let show = |what: &str, n: Option<usize>| n.map_or(String::new(), |n| format!(" {what} {n}"));
    let bar = ProgressBar::new(time.as_millis() as u64);
    bar.println(format!("measuring{}{}", show("batch", batch), show("threads", threads)));
    bar
}

/// Most memory that the process has held, where the system tells.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl Report {
    fn text(&self) -> String {
        let rss = self.peak_rss_bytes.map_or(String::new(), |b| format!(", peak memory {}", print::bytes(b)));
        let mut text = format!("load {}{rss}\n", print::time(self.load_ns as f64));
        let header = ["batch", "threads", "p50", "p90", "p99", "min", "runs/s", "GFLOP/s", "first run", "runs"];
        text += &print::table(&header, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], self.runs.iter().map(Measured::row));
        self.runs.iter().filter(|m| !m.steps.is_empty()).for_each(|m| text += &m.profile());
        text
    }
}

impl Measured {
    fn row(&self) -> Vec<String> {
        let time = |ns: u64| print::time(ns as f64);
        vec![
            self.batch.map_or("-".into(), |b| b.to_string()),
            self.threads.to_string(),
            time(self.p50_ns),
            time(self.p90_ns),
            time(self.p99_ns),
            time(self.min_ns),
            format!("{:.1}", self.runs_per_second),
            self.gflops_per_second.map_or("-".into(), |g| format!("{g:.1}")),
            time(self.first_run_ns),
            self.count.to_string(),
        ]
    }

    fn profile(&self) -> String {
        let mut order: Vec<&StepTime> = self.steps.iter().collect();
        order.sort_by(|a, b| b.share.total_cmp(&a.share));
        let row = |s: &StepTime| {
            let speed = if s.gflops_per_second > 0.0 { format!("{:.1}", s.gflops_per_second) } else { "-".into() };
            let share = format!("{:.1} %", 100.0 * s.share);
            vec![share, print::time(s.median_ns as f64), speed, name(&s.ops), s.kernel.clone(), name(&s.path)]
        };
        let batch = self.batch.map_or(String::new(), |b| format!(" of batch {b}"));
        let header = ["share", "time", "GFLOP/s", "ops", "kernel", "node"];
        let rows = order.into_iter().map(row);
        format!("profile{batch} with {} threads\n{}", self.threads, print::table(&header, &[0, 1, 2], rows))
    }
}
