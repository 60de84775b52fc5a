//! Runs as trace events, which Perfetto and Chrome show.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use mindir::{GraphCell, Profile, Tensor, TimedStep};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::print;
use crate::save;

/// Runs of several combinations, each of which is shown as a process.
#[derive(Default)]
pub struct Trace {
    events: Vec<Value>,
    processes: usize,
}

impl Trace {
    /// Adds one run on each of so many threads.
    pub fn add(&mut self, title: &str, cell: &GraphCell, inputs: &[Tensor], threads: usize) -> Result<(), Failure> {
        self.processes += 1;
        let process = self.processes;
        self.events.push(named("process_name", process, 0, title));
        for (i, (start, profile)) in runs(cell, inputs, threads)?.iter().enumerate() {
            let place = (process, i + 1);
            self.events.push(named("thread_name", process, i + 1, &format!("run {}", i + 1)));
            self.events.push(event("run", "run", place, *start, profile.total(), json!({})));
            self.events.extend(profile.events().map(|step| step_event(&step, place, *start)));
        }
        Ok(())
    }

    /// Writes the events to a file.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = print::json(&json!({"traceEvents": self.events, "displayTimeUnit": "ns"}));
        save::write(path, |out| out.write_all(text.as_bytes()))
    }
}

/// One run on each thread, with its start after that of the first.
fn runs(cell: &GraphCell, inputs: &[Tensor], threads: usize) -> Result<Vec<(Duration, Profile)>, Failure> {
    let (barrier, origin) = (Barrier::new(threads), Instant::now());
    let one = || {
        barrier.wait();
        let start = origin.elapsed();
        Ok::<_, Failure>((start, cell.profile(inputs)?.1))
    };
    let ended: Result<Vec<_>, _> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut ended = ended?;
    let first = ended.iter().map(|(start, _)| *start).min().unwrap_or_default();
    ended.iter_mut().for_each(|(start, _)| *start -= first);
    Ok(ended)
}

fn step_event(timed: &TimedStep<'_>, place: (usize, usize), start: Duration) -> Value {
    let step = timed.step;
    let facts = |list: &[mindir::Fact]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let details = json!({
        "node": &*step.path,
        "kernel": step.kernel,
        "graph": timed.graph,
        "device": timed.device,
        "flops": step.flops,
        "bytes": step.bytes,
        "ins": facts(&step.ins),
        "outs": facts(&step.outs),
    });
    event(&step.ops, step.family, place, start + timed.start, timed.time, details)
}

/// Something that takes time. Times are in microseconds.
fn event(name: &str, kind: &str, place: (usize, usize), start: Duration, time: Duration, details: Value) -> Value {
    let micros = |d: Duration| d.as_nanos() as f64 / 1e3;
    let (pid, tid) = place;
    json!({
        "name": name, "cat": kind, "ph": "X", "ts": micros(start), "dur": micros(time), "pid": pid, "tid": tid,
        "args": details,
    })
}

fn named(what: &str, process: usize, thread: usize, name: &str) -> Value {
    json!({"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}})
}
