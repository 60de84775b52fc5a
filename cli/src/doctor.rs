//! `mindir doctor`.

use std::fs;
use std::time::{Duration, Instant};

use clap::Args;
use mindir::builder::Builder;
use mindir::graph::{Arg, Model};
use mindir::machine::{self, KNOBS, Processor};
use mindir::{DEVICES, DType, DeviceEntry, Error, Fact, GraphCell, Options, Spec};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;
use crate::random::Fill;

/// How long each number is measured.
const TIME: Duration = Duration::from_millis(400);
/// Rows, columns and depth of the matrix product that is measured.
const SIDE: usize = 1024;
/// Elements of the stream that is measured: more than caches hold.
const STREAM: usize = 1 << 25;

/// Show what this machine offers: processor, threads, measured speed, devices.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Skip the measurements
    #[arg(long)]
    quick: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    isa: &'static str,
    f32_lanes: usize,
    threads: usize,
    /// Logical cores that the process may run on.
    logical_cores: usize,
    /// Cores that a control group allows, where one limits them.
    quota_cores: Option<f64>,
    /// Product of f32 matrices with one thread and with all.
    peak_gflops_per_second: Option<[f64; 2]>,
    /// Bytes read and written by an element-wise operator over f32 with one thread and with all.
    stream_gb_per_second: Option<[f64; 2]>,
    devices: Vec<DeviceReport>,
    variables: Vec<Variable>,
}

#[derive(Serialize)]
struct DeviceReport {
    name: &'static str,
    available: bool,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// What is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Variable {
    name: &'static str,
    value: Option<String>,
    values: &'static str,
    default: &'static str,
    help: &'static str,
}

impl Doctor {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let Processor { isa, lanes, threads } = machine::processor().map_err(Error::from)?;
        let measure = |f: fn(usize, usize) -> Result<f64, Failure>, size: usize| -> Result<_, Failure> {
            if self.quick { Ok(None) } else { Ok(Some([f(size, 1)?, f(size, threads)?])) }
        };
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            isa,
            f32_lanes: lanes,
            threads,
            logical_cores: std::thread::available_parallelism().map_or(1, usize::from),
            quota_cores: quota(),
            peak_gflops_per_second: measure(gflops, SIDE)?,
            stream_gb_per_second: measure(stream, STREAM)?,
            devices: DEVICES.iter().map(device).collect(),
            variables: KNOBS.iter().map(variable).collect(),
        };
        Ok(Outcome::ok(if self.json { print::json(&report) } else { report.text() }))
    }
}

fn device(entry: &DeviceEntry) -> DeviceReport {
    let (found, reason) = match entry.open() {
        Ok(device) => (device.map(|device| device.describe()), None),
        Err(Error::NoDevice { reason, .. }) => (None, Some(reason)),
        Err(other) => (None, Some(other.to_string())),
    };
    DeviceReport { name: entry.name, available: reason.is_none(), found, reason }
}

fn variable(knob: &machine::Knob) -> Variable {
    Variable { name: knob.name, value: knob.get(), values: knob.values, default: knob.default, help: knob.help }
}

/// Cores that the control group allows.
fn quota() -> Option<f64> {
    let number = |t: &str| t.trim().parse::<f64>().ok();
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        let (quota, period) = text.trim().split_once(' ')?;
        return Some(number(quota)? / number(period)?);
    }
    let read = |f: &str| number(&fs::read_to_string(format!("/sys/fs/cgroup/cpu/cpu.cfs_{f}_us")).ok()?);
    let quota = read("quota")?;
    (quota > 0.0).then_some(quota / read("period")?)
}

/// Billions of floating-point operations a second in a product of matrices with so many rows and columns.
pub fn gflops(side: usize, threads: usize) -> Result<f64, Failure> {
    let mut b = Builder::new("peak");
    let x = b.input("x", Spec::fixed(DType::F32, &[side, side]));
    let weight = Fill::Random(1).tensor(&Fact::new(DType::F32, &[side, side]), 0)?;
    let w = b.param("w", weight);
    let model = build(b, "MatMul", [x.into(), w.into()])?;
    Ok(2.0 * (side as f64).powi(3) / fastest(model, threads)?)
}

/// Billions of bytes a second that an element-wise operator over so many elements reads and writes.
pub fn stream(count: usize, threads: usize) -> Result<f64, Failure> {
    let mut b = Builder::new("stream");
    let x = b.input("x", Spec::fixed(DType::F32, &[count]));
    let model = build(b, "ReLU", [x.into()])?;
    Ok(8.0 * count as f64 / fastest(model, threads)?)
}

fn build(mut b: Builder, op: &str, args: impl IntoIterator<Item = Arg>) -> Result<Model, Failure> {
    let y = b.op(op, args).map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(b.finish(&[y]))
}

/// Nanoseconds of the fastest run.
fn fastest(model: Model, threads: usize) -> Result<f64, Failure> {
    let cell = GraphCell::new(model, Options { threads: Some(threads), ..Options::default() })?;
    let facts = cell.exported_facts().unwrap_or_default();
    let x = Fill::Random(0).tensor(&facts[0], 0)?;
    let mut session = cell.session(&facts)?;
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while best.is_infinite() || start.elapsed() < TIME {
        let run = Instant::now();
        session.run_bytes(&[x.bytes()])?;
        best = best.min(run.elapsed().as_nanos() as f64);
    }
    Ok(best)
}

impl Report {
    fn text(&self) -> String {
        let quota = self.quota_cores.map_or("none".into(), |q| format!("{q:.1} cores"));
        let both = |v: &Option<[f64; 2]>, unit: &str| match v {
            Some([one, all]) => format!("{one:.0} {unit} with 1 thread, {all:.0} {unit} with {}", self.threads),
            None => "not measured".into(),
        };
        let mut text = format!("mindir      {}\n", self.version);
        text += &format!("processor   {}, {} lanes of f32\n", self.isa, self.f32_lanes);
        text += &format!("cores       {} logical, quota {quota}, {} threads used\n", self.logical_cores, self.threads);
        text += &format!("f32 product {}\n", both(&self.peak_gflops_per_second, "GFLOP/s"));
        text += &format!("memory      {}\n", both(&self.stream_gb_per_second, "GB/s"));
        for d in &self.devices {
            let state = d.reason.as_deref().or(d.found.as_deref()).unwrap_or("available");
            text += &format!("device      {}: {state}\n", d.name);
        }
        for v in &self.variables {
            let value = v.value.as_ref().map_or(format!("not set, {}", v.default), |v| format!("= {}", print::name(v)));
            text += &format!("variable    {} ({}): {value}\n", v.name, v.values);
        }
        text
    }
}
