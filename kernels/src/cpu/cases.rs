//! Tables of tasks, run on every instruction set and number of threads against the plain form.

use std::sync::Arc;

use mindir_graph::random::SplitMix;
use mindir_graph::task::Task;
use mindir_graph::{Buffer, DType, Fact, Tensor};

use super::{CpuDevice, Isa, Threads};
use crate::device::{Device, Offer, Place, Stage, Step, TaskView, Weights};
use crate::plain;

/// How far a result may be from the plain one.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Absolute error.
    pub absolute: f64,
    /// Error relative to the plain result.
    pub relative: f64,
}

/// Results are the same bits, NaN apart.
pub const EXACT: Bound = Bound { absolute: 0.0, relative: 0.0 };

/// A task with operands.
pub struct Case {
    /// What a message calls it.
    pub name: String,
    pub task: Task,
    pub ins: Vec<Tensor>,
    /// Which operands are known before the run.
    pub known: Vec<usize>,
    pub outs: Vec<Fact>,
    pub bound: Bound,
    /// Absolute errors that the elements of the first result may have instead, where there are any.
    pub limits: Vec<f64>,
    /// Whether it must have a kernel of its own.
    pub fast: bool,
}

impl Case {
    pub fn new(name: impl Into<String>, task: Task, ins: Vec<Tensor>, outs: Vec<Fact>, bound: Bound) -> Case {
        Case { name: name.into(), task, ins, known: Vec::new(), outs, bound, limits: Vec::new(), fast: true }
    }
}

/// Numbers between −1 and 1 that look random, the same for the same seed.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut random = SplitMix(seed);
    (0..n).map(|_| random.even()).collect()
}

/// A tensor of noise: between −`range` and `range`, for unsigned types between 0 and `range`.
pub fn tensor(seed: u64, dtype: DType, dims: &[usize], range: f64) -> Tensor {
    let values: Vec<f64> = noise(seed, dims.iter().product()).iter().map(|&x| f64::from(x) * range).collect();
    match dtype {
        DType::Bool => Tensor::from_bools(dims, &values.iter().map(|&x| x > 0.0).collect::<Vec<_>>()).unwrap(),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => {
            Tensor::from_f64s(dtype, dims, &values.iter().map(|x| x.abs()).collect::<Vec<_>>()).unwrap()
        }
        _ if dtype.is_complex() => {
            let bytes: Vec<u8> = noise(seed, dims.iter().product::<usize>() * dtype.size() / 4)
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect();
            Tensor::from_bytes(dtype, dims, mindir_graph::aligned_copy(&bytes).unwrap()).unwrap()
        }
        _ => Tensor::from_f64s(dtype, dims, &values).unwrap(),
    }
}

/// The task with its operands replaced by their magnitudes: how large the terms are that it sums.
pub fn magnitudes(task: &Task, ins: &[Tensor], outs: &[Fact]) -> Vec<f64> {
    let magnitude = |t: &Tensor| {
        let values: Vec<f64> = t.to_f64s().unwrap().iter().map(|v| v.abs()).collect();
        Tensor::from_f64s(t.dtype(), t.shape(), &values).unwrap()
    };
    let ins: Vec<Tensor> = ins.iter().map(magnitude).collect();
    plain::run(task, &ins, outs).unwrap()[0].to_f64s().unwrap()
}

/// Runs every case and fails with all that went wrong. Gives the names of the kernels that ran.
#[track_caller]
pub fn check(cases: &[Case]) -> Vec<String> {
    let (mut bad, mut kernels) = (Vec::new(), Vec::new());
    let threads = [Threads::new(1), Threads::new(2)];
    for case in cases {
        let want = match plain::run(&case.task, &case.ins, &case.outs) {
            Ok(want) => want,
            Err(e) => {
                bad.push(format!("{}: {e}", case.name));
                continue;
            }
        };
        for isa in Isa::all() {
            let mut first: Option<Vec<Vec<u8>>> = None;
            for threads in &threads {
                let label = format!("{} on {isa} with {} threads", case.name, threads.count());
                match run(case, &CpuDevice::new(isa, threads.clone()), None) {
                    Ok((got, kernel)) => {
                        kernels.push(kernel);
                        bad.extend(compare(case, &got, &want).into_iter().map(|e| format!("{label}: {e}")));
                        if first.get_or_insert_with(|| got.clone()) != &got {
                            bad.push(format!("{label}: other bits than with one thread"));
                        }
                    }
                    Err(e) => bad.push(format!("{label}: {e}")),
                }
            }
            bad.extend(in_place(case, isa, first.as_deref().unwrap_or(&[])));
        }
    }
    assert!(bad.is_empty(), "{} failures\n{}", bad.len(), bad[..bad.len().min(20)].join("\n"));
    kernels
}

fn offer(case: &Case, device: &CpuDevice) -> Result<Offer, String> {
    let facts: Vec<Fact> = case.ins.iter().map(Tensor::fact).collect();
    let known: Vec<bool> = (0..facts.len()).map(|i| case.known.contains(&i)).collect();
    let view = TaskView { task: &case.task, ins: &facts, known: &known, outs: &case.outs };
    device.offer(view).map_err(|e| e.to_string())
}

/// Runs the case with the first result in the memory of each operand that the kernel may overwrite.
fn in_place(case: &Case, isa: Isa, want: &[Vec<u8>]) -> Vec<String> {
    let device = CpuDevice::new(isa, Threads::new(1));
    let Ok(offer) = offer(case, &device) else { return Vec::new() };
    let mut bad = Vec::new();
    for i in offer.in_place.into_iter().filter(|i| !case.known.contains(i)) {
        match run(case, &device, Some(i)) {
            Ok((got, _)) if got == want => {}
            Ok(_) => bad.push(format!("{} on {isa} over operand {i}: other bits", case.name)),
            Err(e) => bad.push(format!("{} on {isa} over operand {i}: {e}", case.name)),
        }
    }
    bad
}

/// Runs a case twice in one session, with the first result in the memory of operand `over` if there is one. Gives the results
/// and the kernel's name.
pub fn run(case: &Case, device: &CpuDevice, over: Option<usize>) -> Result<(Vec<Vec<u8>>, String), String> {
    let given: Vec<&Tensor> = (0..case.ins.len()).filter(|i| !case.known.contains(i)).map(|i| &case.ins[i]).collect();
    let place = |i: usize| match i - case.known.iter().filter(|known| **known < i).count() {
        _ if case.known.contains(&i) => Place::Const(case.ins[i].clone()),
        _ if over == Some(i) => Place::Output(0),
        input => Place::Input(input),
    };
    let step = Step {
        task: case.task.clone(),
        ins: (0..case.ins.len()).map(place).collect(),
        in_facts: case.ins.iter().map(Tensor::fact).collect(),
        outs: (0..case.outs.len()).map(Place::Output).collect(),
        out_facts: case.outs.clone(),
        path: Arc::from(case.name.as_str()),
    };
    let inputs = given.iter().map(|t| t.fact()).collect();
    let stage = Stage { steps: vec![step], inputs, outputs: case.outs.clone(), ..Stage::default() };
    let executable = stage.build(device, &Weights::default()).map_err(|e| e.to_string())?;
    let kernel = executable.kernels().remove(0).to_string();
    if case.fast && (kernel == "host" || kernel.starts_with("plain")) {
        return Err(format!("has no kernel but {kernel}"));
    }
    if offer(case, device)?.kernel != kernel {
        return Err(format!("built {kernel}, which was not offered"));
    }
    let mut ins: Vec<Buffer> = given.iter().map(|t| Buffer::new(t.bytes().len()).unwrap()).collect();
    let mut outs: Vec<Buffer> = case.outs.iter().map(|f| Buffer::new(f.bytes()).unwrap()).collect();
    let mut run = executable.session();
    for _ in 0..2 {
        ins.iter_mut().zip(&given).for_each(|(b, t)| b.bytes_mut().copy_from_slice(t.bytes()));
        outs.iter_mut().for_each(|b| b.bytes_mut().fill(0xff));
        if let Some(i) = over {
            outs[0].bytes_mut().copy_from_slice(case.ins[i].bytes());
        }
        let ins: Vec<&[u8]> = ins.iter().map(Buffer::bytes).collect();
        let mut outs: Vec<&mut [u8]> = outs.iter_mut().map(Buffer::bytes_mut).collect();
        run.run_bytes(&ins, &mut outs).map_err(|e| e.to_string())?;
    }
    Ok((outs.iter().map(|b| b.bytes().to_vec()).collect(), kernel))
}

fn compare(case: &Case, got: &[Vec<u8>], want: &[Tensor]) -> Option<String> {
    for (o, (got, want)) in got.iter().zip(want).enumerate() {
        if want.dtype().is_complex() {
            if got != want.bytes() {
                return Some(format!("result {o} has other bytes"));
            }
            continue;
        }
        let got = match Tensor::from_bytes(want.dtype(), want.shape(), mindir_graph::aligned_copy(got).unwrap()) {
            Ok(t) => t.to_f64s().unwrap(),
            Err(e) => return Some(e.to_string()),
        };
        for (i, (&y, &w)) in got.iter().zip(&want.to_f64s().unwrap()).enumerate() {
            let same = y == w || (y.is_nan() && w.is_nan());
            let Bound { absolute, relative } = case.bound;
            let limit = case.limits.get(i).filter(|_| o == 0).copied().unwrap_or(absolute + relative * w.abs());
            if !same && ((y - w).abs() > limit || (y - w).is_nan()) {
                return Some(format!("result {o}, element {i}: {y:e}, expected {w:e}"));
            }
        }
    }
    None
}
