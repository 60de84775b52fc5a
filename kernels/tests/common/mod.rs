//! Cases of tasks, which each GPU's tests run against the plain references, family by family, with odd shapes.
//!
//! A test file has `device()`; `plain()`, one without what only some adapters have; and `narrow()`, one that binds no more than
//! 4 KiB and so takes tensors in parts; all of them `None` where there is none. It has `TYPES`, the element types that it computes; and `FLOATS`, the floats among them.

mod attention;
mod copies;
mod images;
mod indices;
mod lines;
pub mod maps;
pub mod products;
mod sequences;

use std::sync::Arc;

use mindir_graph::random::SplitMix;
use mindir_graph::task::Task;
use mindir_graph::{DType, Fact, Tensor};
use mindir_kernels::device::{Declined, Device, DeviceError, Offer, Place, Run, Stage, Step, TaskView, Weights};
use mindir_kernels::plain as reference;

use crate::{FLOATS, TYPES};

fn device() -> Option<&'static dyn Device> {
    crate::device().map(|device| device as &dyn Device)
}

fn plain() -> Option<&'static dyn Device> {
    crate::plain().map(|device| device as &dyn Device)
}

fn narrow() -> Option<&'static dyn Device> {
    crate::narrow().map(|device| device as &dyn Device)
}

/// What `open` returns; a failure if the environment variable `MINDIR_REQUIRE` contains `name`.
pub fn opened<T>(name: &str, open: Result<T, String>) -> Option<T> {
    let reason = match open {
        Ok(device) => return Some(device),
        Err(reason) => reason,
    };
    let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains(name));
    assert!(!required, "MINDIR_REQUIRE asks for {name}: {reason}");
    println!("skipped: {reason}");
    None
}

/// Tensors that look random.
pub struct Noise(pub SplitMix);

impl Noise {
    pub fn tensor(&mut self, dtype: DType, dims: &[usize], low: f64, high: f64) -> Tensor {
        let count: usize = dims.iter().product();
        let data: Vec<f64> = (0..count).map(|_| low + (high - low) * (f64::from(self.0.even()) + 1.0) / 2.0).collect();
        tensor(dtype, dims, &data)
    }

    /// Integers of every size: of 64 random bits as many as a random shift leaves. Behind the first 20 come edges.
    pub fn whole(&mut self, dtype: DType, dims: &[usize]) -> Tensor {
        const EDGES: [i64; 10] = [0, 1, -1, 2, -2, i64::MIN, i64::MAX, i32::MIN as i64, 1 << 32, (1 << 32) - 1];
        let element = |i: usize| {
            let (bits, shift) = (self.0.bits() as i64, self.0.below(64));
            EDGES.get(i.wrapping_sub(20)).copied().unwrap_or(bits >> shift)
        };
        let data: Vec<i64> = (0..dims.iter().product()).map(element).collect();
        Tensor::from_i64s(dtype, dims, &data).expect("a tensor")
    }

    /// Numbers between `low` and `high` for floats and truth values, of every size for integers.
    fn any(&mut self, dtype: DType, dims: &[usize], low: f64, high: f64) -> Tensor {
        if dtype.is_float() || dtype == DType::Bool {
            return self.tensor(dtype, dims, low, high);
        }
        self.whole(dtype, dims)
    }
}

/// The tensor of these numbers, of which the positive ones are true.
pub fn tensor(dtype: DType, dims: &[usize], data: &[f64]) -> Tensor {
    match dtype {
        DType::Bool => Tensor::from_bools(dims, &data.iter().map(|&x| x > 0.0).collect::<Vec<_>>()),
        _ => Tensor::from_f64s(dtype, dims, data),
    }
    .expect("a tensor")
}

/// How far results of a type may be off, where they are not exact: absolutely and relative to the size.
pub fn close(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F32 => (1e-6, 4e-6),
        DType::F64 => (1e-14, 1e-13),
        DType::F16 => (1e-6, 2e-3),
        DType::BF16 => (1e-6, 1.6e-2),
        _ => (0.0, 0.0),
    }
}

/// A task with operands, results and how far the results may be off: absolutely and relative to the size.
pub struct Case {
    pub name: String,
    pub task: Task,
    pub ins: Vec<Tensor>,
    pub outs: Vec<Fact>,
    pub absolute: f64,
    pub relative: f64,
}

impl Case {
    pub fn new(name: impl Into<String>, task: Task, ins: Vec<Tensor>, outs: Vec<Fact>) -> Case {
        Case { name: name.into(), task, ins, outs, absolute: 0.0, relative: 0.0 }
    }

    pub fn within(mut self, absolute: f64, relative: f64) -> Case {
        (self.absolute, self.relative) = (absolute, relative);
        self
    }

    pub fn near(self, (absolute, relative): (f64, f64)) -> Case {
        self.within(absolute, relative)
    }

    /// What the device offers for it, with all operands as inputs.
    pub fn offer(&self, device: &dyn Device) -> Result<Offer, Declined> {
        let ins: Vec<Fact> = self.ins.iter().map(Tensor::fact).collect();
        let known = vec![false; ins.len()];
        device.offer(TaskView { task: &self.task, ins: &ins, known: &known, outs: &self.outs })
    }

    fn holds(&self, dtype: DType) -> bool {
        self.ins.iter().map(Tensor::dtype).chain(self.outs.iter().map(|fact| fact.dtype)).any(|d| d == dtype)
    }

    pub fn check(&self, device: &dyn Device) -> Result<(), String> {
        let want = reference::run(&self.task, &self.ins, &self.outs).map_err(|e| format!("reference: {e}"))?;
        let got = run(device, &single(self), &self.ins).map_err(|e| e.to_string())?;
        want.iter().zip(&got).try_for_each(|(want, got)| self.compare(want, got))
    }

    fn compare(&self, want: &Tensor, got: &Tensor) -> Result<(), String> {
        let same = |w: f64, g: f64| w == g && (w != 0.0 || w.is_sign_negative() == g.is_sign_negative());
        let near = |w: f64, g: f64| {
            let room = self.absolute + self.relative * w.abs();
            room > 0.0 && (w == g || (w - g).abs() <= room) || w.is_nan() && g.is_nan()
        };
        let exact = !want.dtype().is_float() && self.absolute == 0.0;
        if exact && want.bytes() != got.bytes() {
            return Err(format!("{got:?}, expected {want:?}"));
        }
        let (want, got) = (want.to_f64s().expect("numbers"), got.to_f64s().expect("numbers"));
        let wrong = want.iter().zip(&got).enumerate().find(|(_, (w, g))| !same(**w, **g) && !near(**w, **g));
        wrong.map_or(Ok(()), |(i, (w, g))| Err(format!("element {i} is {g}, expected {w}")))
    }
}

/// The case as a stage: operands with even index are inputs, the others constants.
pub fn single(case: &Case) -> Stage {
    let inputs: Vec<usize> = (0..case.ins.len()).filter(|i| i.is_multiple_of(2)).collect();
    let place = |i: usize| if i.is_multiple_of(2) { Place::Input(i / 2) } else { Place::Const(case.ins[i].clone()) };
    let step = Step {
        task: case.task.clone(),
        ins: (0..case.ins.len()).map(place).collect(),
        in_facts: case.ins.iter().map(Tensor::fact).collect(),
        outs: (0..case.outs.len()).map(Place::Output).collect(),
        out_facts: case.outs.clone(),
        path: Arc::from(case.name.as_str()),
    };
    Stage {
        steps: vec![step],
        inputs: inputs.iter().map(|&i| case.ins[i].fact()).collect(),
        outputs: case.outs.clone(),
        ..Stage::default()
    }
}

/// Runs a session of `stage` on bytes.
pub fn run_bytes(
    device: &dyn Device,
    session: &mut dyn Run,
    stage: &Stage,
    ins: &[&[u8]],
    outs: &mut [&mut [u8]],
) -> Result<(), DeviceError> {
    let memory = device.own_memory().expect("memory of its own");
    memory.run_bytes(session, (&stage.inputs, &stage.outputs), ins, outs)
}

/// Runs a stage twice in one session; `ins` are the operands of [`single`], of which even ones are inputs.
pub fn run(device: &dyn Device, stage: &Stage, ins: &[Tensor]) -> Result<Vec<Tensor>, DeviceError> {
    let inputs: Vec<&[u8]> = ins.iter().step_by(2).map(|t| t.bytes().as_ref()).collect();
    let program = stage.clone().build(device, &Weights::default())?;
    let mut session = program.session();
    let mut bytes: Vec<Vec<u8>> = stage.outputs.iter().map(|f| vec![0; f.bytes()]).collect();
    for _ in 0..2 {
        let mut outs: Vec<&mut [u8]> = bytes.iter_mut().map(Vec::as_mut_slice).collect();
        run_bytes(device, session.as_mut(), stage, &inputs, &mut outs)?;
    }
    let tensors = stage.outputs.iter().zip(bytes);
    Ok(tensors.map(|(f, b)| Tensor::from_bytes(f.dtype, &f.shape, b.into()).expect("a tensor")).collect())
}

/// Runs all cases, those of `f16` on the plain device too, and reports every one that fails.
pub fn check(cases: &[Case]) {
    if let Some(device) = device() {
        check_on(device, &cases.iter().collect::<Vec<_>>());
    }
    if let Some(device) = plain() {
        check_on(device, &cases.iter().filter(|case| case.holds(DType::F16)).collect::<Vec<_>>());
    }
}

/// Where a sanitizer looks at addresses, which takes long, types of one size stand for all.
fn stands_for_all(case: &Case) -> bool {
    let only = [DType::F32, DType::F16, DType::I32, DType::I64];
    let types = || case.ins.iter().map(Tensor::dtype).chain(case.outs.iter().map(|fact| fact.dtype));
    std::env::var_os("MINDIR_SANITIZE").is_none() || types().all(|dtype| only.contains(&dtype))
}

fn check_on(device: &dyn Device, cases: &[&Case]) {
    let cases: Vec<&Case> = cases.iter().copied().filter(|case| stands_for_all(case)).collect();
    let failures: Vec<String> =
        cases.iter().filter_map(|c| c.check(device).err().map(|e| format!("{}: {e}", c.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Runs those cases on the narrow device that it takes at all, which are `least` of them or more.
pub fn check_narrow(cases: &[Case], least: usize) {
    let Some(device) = narrow() else { return };
    let takes = |case: &&Case| match case.offer(device) {
        Ok(_) => true,
        Err(reason) => {
            assert!(reason.0.contains("the adapter's limit of"), "{}: {reason}", case.name);
            false
        }
    };
    let taken: Vec<&Case> = cases.iter().filter(takes).collect();
    assert!(taken.len() >= least, "{} of {} cases", taken.len(), cases.len());
    check_on(device, &taken);
}
