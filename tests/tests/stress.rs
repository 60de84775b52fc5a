//! One long process: shapes that change from thread to thread, clones and drops, checkpoints loaded into clones, sessions, and
//! calls that fail in between. Every result has the bits of a fresh cell, and memory, threads and open files stay flat.
//!
//! `MINDIR_STRESS_SECONDS` says how long, with a seed of its own; without it the run is short and always the same.
//! `MINDIR_GOLDENS` names another folder of goldens, `MINDIR_GOLDEN` only those whose name contains it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mindir::ckpt::{Checkpoint, LoadOptions};
use mindir::graph::Model;
use mindir::{DType, Error, Fact, GraphCell, Options, Tensor};
use mindir_graph::random::SplitMix;
use mindir_tests::golden::{self, Golden};

const THREADS: usize = 4;

/// Slower models wait for a longer run.
const SHORT_RUN: Duration = Duration::from_millis(20);

/// What a fresh cell answers.
type Answer = Result<Vec<Tensor>, String>;

/// A model with inputs of several shapes, what they give, and what they give with other parameters.
struct Subject {
    name: String,
    model: Arc<Model>,
    cell: GraphCell,
    tuned: Checkpoint,
    calls: Vec<Call>,
    stateful: bool,
}

struct Call {
    inputs: Vec<Tensor>,
    want: Answer,
    tuned: Answer,
}

fn options() -> Options {
    Options { threads: Some(2), plan_memory: 1 << 20, ..Options::default() }
}

fn answer(cell: &GraphCell, inputs: &[Tensor]) -> Answer {
    cell.run(inputs).map_err(|e| e.to_string())
}

impl Subject {
    /// `None` if the model takes one shape only, if two fresh cells answer differently, or if it is slow and time is short.
    fn new(golden: &Golden, short: bool) -> Option<Subject> {
        let fresh = || GraphCell::new(mindir::load(&golden.graph).ok()?, options()).ok();
        let cell = fresh()?;
        let base = golden.runs.first()?.inputs(cell.inputs().len());
        let start = Instant::now();
        answer(&cell, &base).ok()?;
        if short && start.elapsed() > SHORT_RUN {
            return None;
        }
        let tuned = halved(&cell);
        let mut calls = Vec::new();
        for inputs in shapes(&cell, &base) {
            let want = answer(&fresh()?, &inputs);
            if want != answer(&fresh()?, &inputs) {
                return None;
            }
            let mut other = fresh()?;
            other.load_param_into_net(&tuned, LoadOptions::default()).ok()?;
            calls.push(Call { tuned: answer(&other, &inputs), inputs, want });
        }
        let model = Arc::new(mindir::load(&golden.graph).ok()?);
        let stateful = model.params.iter().any(|p| p.mutable);
        let cell = GraphCell::new(model.clone(), options()).ok()?;
        let takes_more = calls.iter().filter(|c| c.want.is_ok()).count() > 1;
        takes_more.then_some(Subject { name: golden.name.clone(), model, cell, tuned, calls, stateful })
    }

    /// Does one thing at random, and says what was wrong.
    fn step(&self, random: &mut SplitMix) -> Result<(), String> {
        let call = &self.calls[random.below(self.calls.len() as u64) as usize];
        let cell = if self.stateful { self.fresh()? } else { self.cell.clone() };
        match random.below(8) {
            0 => self.tuned(cell, call),
            1 => self.session(&cell, call),
            2 => self.wrong(&cell, call),
            3 => same(&answer(&self.fresh()?, &call.inputs), &call.want, "a new cell of the model"),
            _ => same(&answer(&cell, &call.inputs), &call.want, "a call"),
        }
    }

    fn fresh(&self) -> Result<GraphCell, String> {
        GraphCell::new(self.model.clone(), options()).map_err(|e| e.to_string())
    }

    fn tuned(&self, mut cell: GraphCell, call: &Call) -> Result<(), String> {
        let before = cell.clone();
        cell.load_param_into_net(&self.tuned, LoadOptions::default()).map_err(|e| e.to_string())?;
        same(&answer(&cell, &call.inputs), &call.tuned, "a clone with other parameters")?;
        same(&answer(&before, &call.inputs), &call.want, "the cell that it was cloned from")
    }

    fn session(&self, cell: &GraphCell, call: &Call) -> Result<(), String> {
        let facts: Vec<Fact> = call.inputs.iter().map(Tensor::fact).collect();
        let mut session = match (cell.session(&facts), &call.want) {
            (Ok(session), Ok(_)) => session,
            (Err(Error::NotStraight(_)), _) | (Err(_), Err(_)) => return Ok(()),
            (Err(e), Ok(_)) => return Err(format!("a session: {e}")),
            (Ok(_), Err(e)) => return Err(format!("a session where a call says: {e}")),
        };
        let bytes: Vec<&[u8]> = call.inputs.iter().map(|t| t.bytes().as_ref()).collect();
        let want = call.want.as_ref().map_err(Clone::clone)?;
        for _ in 0..2 {
            session.set_state(&cell.new_state()).map_err(|e| format!("a session: {e}"))?;
            session.run_bytes(&bytes).map_err(|e| format!("a session: {e}"))?;
            let equal = |(i, t): (usize, &Tensor)| session.output_bytes(i) == Some(t.bytes().as_ref());
            if !want.iter().enumerate().all(equal) {
                return Err("a session gives other results".into());
            }
        }
        Ok(())
    }

    /// Calls that fail and change nothing.
    fn wrong(&self, cell: &GraphCell, call: &Call) -> Result<(), String> {
        if cell.run(&call.inputs[1..]).is_ok() {
            return Err("a call without its first input succeeds".into());
        }
        let first = &call.inputs[0];
        let other = if first.dtype() == DType::F64 { DType::I16 } else { DType::F64 };
        if let Ok(other) = first.cast(other) {
            let declared = cell.inputs()[0].spec.dtype.is_some();
            let inputs: Vec<Tensor> = std::iter::once(other).chain(call.inputs[1..].iter().cloned()).collect();
            if declared && cell.run(&inputs).is_ok() {
                return Err("a call with another element type succeeds".into());
            }
        }
        same(&answer(cell, &call.inputs), &call.want, "a call after wrong ones")
    }
}

fn same(got: &Answer, want: &Answer, who: &str) -> Result<(), String> {
    match (got, want) {
        (Ok(got), Ok(want)) if bits(got) == bits(want) => Ok(()),
        (Err(got), Err(want)) if got == want => Ok(()),
        (Ok(_), Ok(_)) => Err(format!("{who} gives other results")),
        (got, want) => Err(format!("{who} answers {:?}, expected {:?}", got.as_ref().err(), want.as_ref().err())),
    }
}

fn bits(tensors: &[Tensor]) -> Vec<(Fact, &[u8])> {
    tensors.iter().map(|t| (t.fact(), t.bytes().as_ref())).collect()
}

/// The parameters of `f32` halved.
fn halved(cell: &GraphCell) -> Checkpoint {
    let params = cell.model().params.iter().filter_map(|p| {
        let halves: Vec<f32> = p.tensor.view::<f32>().ok()?.iter().map(|x| x / 2.0).collect();
        Some((p.name.to_string(), Tensor::from_vec(p.tensor.shape(), halves).ok()?))
    });
    params.collect()
}

/// The inputs as they are, and with other dimensions: those that the file leaves open, the first one, those of images.
fn shapes(cell: &GraphCell, base: &[Tensor]) -> Vec<Vec<Tensor>> {
    let ports = cell.inputs();
    let open = |i: usize, d: usize| match ports[i].spec.dims.as_ref() {
        Some(dims) => dims.get(d).is_some_and(|d| d.size().is_none()),
        None => true,
    };
    let batch = base.first().and_then(|t| t.shape().first().copied()).unwrap_or(0);
    let resized = |change: &dyn Fn(usize, usize, usize) -> usize| -> Option<Vec<Tensor>> {
        let one = |(i, t): (usize, &Tensor)| {
            let dims: Vec<usize> = t.shape().iter().enumerate().map(|(d, &n)| change(i, d, n)).collect();
            repeated(t, &dims)
        };
        base.iter().enumerate().map(one).collect()
    };
    let mut list = vec![Some(base.to_vec())];
    for more in 1..4 {
        list.push(resized(&|i, d, n| if open(i, d) { n + more } else { n }));
        list.push(resized(&|_, d, n| if d == 0 && n == batch { n + more } else { n }));
        list.push(resized(&|i, d, n| if base[i].shape().len() == 4 && d >= 2 { n + 8 * more } else { n }));
    }
    let mut distinct: Vec<Vec<Tensor>> = Vec::new();
    for inputs in list.into_iter().flatten() {
        if !distinct.contains(&inputs) {
            distinct.push(inputs);
        }
    }
    distinct
}

/// A tensor with these dimensions and the elements of `t` again and again.
fn repeated(t: &Tensor, dims: &[usize]) -> Option<Tensor> {
    let bytes: Vec<u8> =
        t.bytes().iter().copied().cycle().take(dims.iter().product::<usize>() * t.dtype().size()).collect();
    Tensor::from_bytes(t.dtype(), dims, bytes.into()).ok()
}

/// What the process takes of the system.
#[derive(Clone, Copy, Debug)]
struct Usage {
    resident: usize,
    threads: usize,
    files: usize,
}

impl Usage {
    /// `None` where the system does not tell.
    fn now() -> Option<Usage> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let number = |key: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<usize>().ok()
        };
        let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Usage { resident: number("VmRSS:")? << 10, threads: number("Threads:")?, files })
    }

    /// The usage once the threads of dropped cells have ended.
    fn settled(threads: Option<usize>) -> Option<Usage> {
        let start = Instant::now();
        loop {
            let now = Usage::now()?;
            if threads.is_none_or(|n| now.threads <= n) || start.elapsed() > Duration::from_secs(10) {
                return Some(now);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Steps of all threads at once; returns what was wrong.
fn round(subjects: &[Subject], seed: u64, steps: usize, deadline: Option<Instant>, done: &AtomicUsize) -> Vec<String> {
    let work = |thread: u64| {
        let mut random = SplitMix(seed + thread);
        let mut wrong = Vec::new();
        for _ in 0..steps {
            if deadline.is_some_and(|end| Instant::now() > end) {
                break;
            }
            let subject = &subjects[random.below(subjects.len() as u64) as usize];
            done.fetch_add(1, Ordering::Relaxed);
            if let Err(e) = subject.step(&mut random) {
                wrong.push(format!("{}: {e}", subject.name));
            }
        }
        wrong
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS as u64).map(|t| s.spawn(move || work(t))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|_| vec!["a thread panicked".into()])).collect()
    })
}

fn subjects(short: bool) -> Vec<Subject> {
    let folder = std::env::var_os("MINDIR_GOLDENS").map_or_else(golden::folder, PathBuf::from);
    let only = std::env::var("MINDIR_GOLDEN").unwrap_or_default();
    let goldens: Vec<Golden> = golden::all(Path::new(&folder)).into_iter().filter(|g| g.name.contains(&only)).collect();
    goldens.iter().filter_map(|g| Subject::new(g, short)).collect()
}

#[test]
fn a_long_process_answers_like_a_fresh_one() {
    let seconds = std::env::var("MINDIR_STRESS_SECONDS").ok().map(|s| s.parse::<u64>().expect("a number of seconds"));
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let seed = if seconds.is_some() { clock } else { 1 };
    let subjects = subjects(seconds.is_none());
    println!("seed {seed}, {} goldens take other shapes", subjects.len());
    assert!(!subjects.is_empty());
    let done = AtomicUsize::new(0);
    let (start, time) = (Instant::now(), seconds.map(Duration::from_secs));
    let (mut warm, mut last) = (None, None);
    for n in 0u64.. {
        let (steps, deadline) = (if time.is_some() { 1000 } else { 60 }, time.map(|t| start + t));
        let wrong = round(&subjects, seed.wrapping_add(n * 1000), steps, deadline, &done);
        assert!(wrong.is_empty(), "seed {seed}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
        let warming = time.map_or(n < 2, |t| start.elapsed() < t / 4);
        let threads = warm.map(|w: Usage| w.threads);
        last = Usage::settled(threads);
        if warming || warm.is_none() {
            warm = last;
        }
        if time.map_or(n == 4, |t| start.elapsed() >= t) {
            break;
        }
    }
    println!("{} steps, {warm:?} after warm-up, {last:?} at the end", done.into_inner());
    let (Some(warm), Some(last)) = (warm, last) else { return };
    assert!(last.threads <= warm.threads, "threads grow: {warm:?} {last:?}");
    assert!(last.files <= warm.files, "open files grow: {warm:?} {last:?}");
    assert!(last.resident <= warm.resident + warm.resident / 10 + (32 << 20), "memory grows: {warm:?} {last:?}");
}
