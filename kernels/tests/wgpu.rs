//! The wgpu device against the plain references, family by family, with odd shapes.
//!
//! Drivers that run on the processor will do. Without any adapter these tests print why and pass, unless the environment
//! variable `MINDIR_REQUIRE` contains `wgpu`: then they fail.

#[path = "wgpu/attention.rs"]
mod attention;
#[path = "wgpu/images.rs"]
mod images;
#[path = "wgpu/indices.rs"]
mod indices;
#[path = "wgpu/sequences.rs"]
mod sequences;

use std::sync::{Arc, OnceLock};

use mindir_graph::random::SplitMix;
use mindir_graph::task::{
    Binary, Copy, Epilogue, EpilogueInput, Gemm, Instr, Map, Matrix, Norm, NormKind, Part, Program, Reduce, ReduceKind,
    Softmax, Task, Unary,
};
use mindir_graph::{DType, Fact, Shape, Strides, Tensor, dense_strides, shape};
use mindir_kernels::device::{Device, DeviceError, Input, Output, Place, Run, Slot, Stage, Step, TaskView, Weights};
use mindir_kernels::plain;
use mindir_kernels::wgpu::{Limits, Options, WgpuDevice};

fn device() -> Option<&'static WgpuDevice> {
    static DEVICE: OnceLock<Option<WgpuDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(None)).as_ref()
}

/// A device that binds no more than 4 KiB, so that it takes tensors in parts.
fn narrow() -> Option<&'static WgpuDevice> {
    static DEVICE: OnceLock<Option<WgpuDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(Some(Limits { binding: 4096, ..Limits::default() }))).as_ref()
}

fn open(within: Option<Limits>) -> Option<WgpuDevice> {
    match WgpuDevice::new(&Options { software: true, within, ..Options::default() }) {
        Ok(device) => {
            println!("wgpu on {}", device.adapter());
            Some(device)
        }
        Err(reason) => {
            let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("wgpu"));
            assert!(!required, "MINDIR_REQUIRE asks for wgpu: {reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

/// How far a float of the type may be off, relative to its size, because it is rounded.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 0.0,
    }
}

/// Tensors that look random.
struct Noise(SplitMix);

impl Noise {
    fn tensor(&mut self, dtype: DType, dims: &[usize], low: f64, high: f64) -> Tensor {
        let count: usize = dims.iter().product();
        let data: Vec<f64> = (0..count).map(|_| low + (high - low) * (f64::from(self.0.even()) + 1.0) / 2.0).collect();
        match dtype {
            DType::Bool => Tensor::from_bools(dims, &data.iter().map(|&x| x > 0.0).collect::<Vec<_>>()),
            _ => Tensor::from_f64s(dtype, dims, &data),
        }
        .expect("a tensor")
    }

    /// Numbers of every size: of 64 random bits as many as a random shift leaves.
    fn whole(&mut self, dtype: DType, count: usize) -> Tensor {
        let data: Vec<i64> = (0..count)
            .map(|_| {
                let (bits, shift) = (self.0.bits() as i64, self.0.below(64));
                bits >> shift
            })
            .chain([0, 1, -1, 2, -2, i64::MIN, i64::MAX, i64::from(i32::MIN), 1 << 32, (1 << 32) - 1])
            .collect();
        Tensor::from_i64s(dtype, &[count + 10], &data).expect("a tensor")
    }

    fn f32(&mut self, dims: &[usize]) -> Tensor {
        self.tensor(DType::F32, dims, -2.0, 2.0)
    }
}

/// A task with operands, results and how far the results may be off: absolutely and relative to the size.
struct Case {
    name: String,
    task: Task,
    ins: Vec<Tensor>,
    outs: Vec<Fact>,
    absolute: f64,
    relative: f64,
}

impl Case {
    fn new(name: impl Into<String>, task: Task, ins: Vec<Tensor>, outs: Vec<Fact>) -> Case {
        Case { name: name.into(), task, ins, outs, absolute: 0.0, relative: 0.0 }
    }

    fn within(mut self, absolute: f64, relative: f64) -> Case {
        (self.absolute, self.relative) = (absolute, relative);
        self
    }

    fn check(&self, device: &WgpuDevice) -> Result<(), String> {
        let want = plain::run(&self.task, &self.ins, &self.outs).map_err(|e| format!("reference: {e}"))?;
        let got = run(device, &single(self), &self.ins).map_err(|e| e.to_string())?;
        for (want, got) in want.iter().zip(&got) {
            if !want.dtype().is_float() && self.absolute == 0.0 && want.bytes() != got.bytes() {
                return Err(format!("{got:?}, expected {want:?}"));
            }
            let (want, got) = (want.to_f64s().expect("numbers"), got.to_f64s().expect("numbers"));
            for (i, (&w, &g)) in want.iter().zip(&got).enumerate() {
                let same = w == g || (w.is_nan() && g.is_nan());
                let near = (w - g).abs() <= self.absolute + self.relative * w.abs();
                if !same && !near {
                    return Err(format!("element {i} is {g}, expected {w}"));
                }
            }
        }
        Ok(())
    }
}

/// The case as a stage: operands with even index are inputs, the others constants.
fn single(case: &Case) -> Stage {
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
fn run_bytes(
    device: &WgpuDevice,
    session: &mut dyn Run,
    stage: &Stage,
    ins: &[&[u8]],
    outs: &mut [&mut [u8]],
) -> Result<(), DeviceError> {
    let memory = device.own_memory().expect("memory of its own");
    memory.run_bytes(session, (&stage.inputs, &stage.outputs), ins, outs)
}

/// Runs a stage twice in one session; `ins` are the operands of [`single`], of which even ones are inputs.
fn run(device: &WgpuDevice, stage: &Stage, ins: &[Tensor]) -> Result<Vec<Tensor>, DeviceError> {
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

/// Runs all cases and reports every one that fails.
fn check(cases: &[Case]) {
    let Some(device) = device() else { return };
    let failures: Vec<String> =
        cases.iter().filter_map(|c| c.check(device).err().map(|e| format!("{}: {e}", c.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Runs those cases on the narrow device that it takes at all, which are `least` of them or more.
fn check_narrow(cases: &[Case], least: usize) {
    let Some(device) = narrow() else { return };
    let takes = |case: &&Case| {
        let known = vec![false; case.ins.len()];
        let view = TaskView { task: &case.task, ins: &facts(&case.ins), known: &known, outs: &case.outs };
        match device.offer(view) {
            Ok(_) => true,
            Err(reason) => {
                assert!(reason.0.contains("binding of") || reason.0.contains("buffers"), "{}: {reason}", case.name);
                false
            }
        }
    };
    let taken: Vec<&Case> = cases.iter().filter(takes).collect();
    assert!(taken.len() >= least, "{} of {}", taken.len(), cases.len());
    let failures: Vec<String> =
        taken.iter().filter_map(|c| c.check(device).err().map(|e| format!("{}: {e}", c.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), taken.len(), failures.join("\n"));
}

fn map_of(dims: &[usize], program: Program, ins: Vec<Tensor>, name: &str) -> Case {
    let out = Fact::new(program.dtype().expect("a program"), dims);
    Case::new(name, Task::Map(Map { shape: shape(dims), program }), ins, vec![out])
}

fn unary_of(f: Unary, x: Tensor) -> Case {
    let mut p = Program::new();
    let r = p.input(0, x.dtype());
    p.unary(f, r);
    map_of(&[x.count()], p, vec![x.clone()], &format!("{} of {}", f.name(), x.dtype()))
}

fn binary_of(f: Binary, a: Tensor, b: Tensor) -> Case {
    let mut p = Program::new();
    let (x, y) = (p.input(0, a.dtype()), p.input(1, b.dtype()));
    p.binary(f, x, y);
    map_of(&[a.count()], p, vec![a.clone(), b], &format!("{} of {}", f.name(), a.dtype()))
}

const WHOLE: [DType; 9] =
    [DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64, DType::Bool];
const HALVES: [DType; 2] = [DType::F16, DType::BF16];

#[test]
fn functions_of_one_float() {
    let mut noise = Noise(SplitMix(1));
    let cases: Vec<Case> = Unary::ALL
        .iter()
        .filter(|&&f| f != Unary::Not)
        .map(|&f| {
            let mut data = noise.tensor(DType::F32, &[500], -4.0, 4.0).to_f64s().expect("numbers");
            data.extend(noise.tensor(DType::F32, &[500], -30.0, 30.0).to_f64s().expect("numbers"));
            data.extend(noise.tensor(DType::F32, &[200], -1.0, 1.0).to_f64s().expect("numbers"));
            data.extend([0.0, 1.0, -1.0, 0.5, 1e-6, -1e-6, 2.5, 3.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
            // Rounding of the argument grows with its size where the function is steep.
            let (absolute, relative) = match f {
                Unary::Exp | Unary::Expm1 | Unary::Sinh | Unary::Cosh => (1e-7, 1e-6),
                Unary::Tan => (1e-5, 1e-4),
                Unary::Erfc | Unary::Gelu | Unary::GeluTanh | Unary::Silu | Unary::Sigmoid => (2e-7, 3e-6),
                _ => (5e-7, 2e-6),
            };
            unary_of(f, Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor"))
                .within(absolute, relative)
        })
        .collect();
    check(&cases);
}

/// Zeros of both signs, infinities, NaN, and numbers at which functions overflow or have edges. Subnormal numbers are left out: WGSL
/// lets devices take them for 0.
const SPECIAL: [f64; 31] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    6.0,
    0.9999999,
    1.5,
    -1.5,
    -2.5,
    20.5,
    -20.5,
    88.0,
    89.0,
    -87.0,
    -150.0,
    300.0,
    -300.0,
    1e19,
    -1e19,
    1e-30,
    3e38,
    -3e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Whether `got` is `want` as far as special values go: NaN, infinities and zeros of the same sign. What is no larger than
/// `room` may be any zero.
fn same_kind(want: &Tensor, got: &Tensor, room: f64) -> Result<(), String> {
    let (want, got) = (want.to_f64s().expect("numbers"), got.to_f64s().expect("numbers"));
    for (i, (&w, &g)) in want.iter().zip(&got).enumerate() {
        let exact = w == 0.0 && g == 0.0 && w.is_sign_negative() == g.is_sign_negative();
        let small = |x: f64| x.abs() < f64::from(f32::MIN_POSITIVE);
        let flushed = w != 0.0 && small(w) && small(g) || room > 0.0 && w.abs() <= room && g == 0.0;
        // A sum may be too large before it is divided.
        let large = w.abs() > 2.9e38 && g.is_infinite() && w.signum() == g.signum();
        let finite = w.is_finite() && g.is_finite() && w != 0.0 && g != 0.0 && w.signum() == g.signum();
        let edge = w == g && w.is_infinite() || w.is_nan() && g.is_nan();
        if !(exact || flushed || finite || edge || large) {
            return Err(format!("element {i} is {g}, expected {w}"));
        }
    }
    Ok(())
}

fn check_special(cases: &[Case]) {
    let Some(device) = device() else { return };
    let failure = |case: &Case| {
        let want = plain::run(&case.task, &case.ins, &case.outs).expect("a reference");
        let got = run(device, &single(case), &case.ins).expect("a run");
        want.iter()
            .zip(&got)
            .find_map(|(w, g)| same_kind(w, g, case.absolute).err())
            .map(|e| format!("{}: {e}", case.name))
    };
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn special_values() {
    use ReduceKind::{ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    let mut cases = Vec::new();
    let n = SPECIAL.len();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let x = Tensor::from_f64s(dtype, &[n], &SPECIAL).expect("a tensor");
        let pairs = |f: fn(usize, usize) -> usize| {
            let data: Vec<f64> = (0..n * n).map(|i| SPECIAL[f(i / n, i % n)]).collect();
            Tensor::from_f64s(dtype, &[n * n], &data).expect("a tensor")
        };
        cases.extend(Unary::ALL.iter().filter(|f| **f != Unary::Not).map(|&f| unary_of(f, x.clone())));
        for &f in Binary::ALL.iter().filter(|f| !matches!(f, Binary::And | Binary::Or | Binary::Xor)) {
            cases.push(binary_of(f, pairs(|i, _| i), pairs(|_, j| j)));
        }
        for kind in [Sum, Mean, Prod, Max, Min, ArgMax, ArgMin] {
            let out = if matches!(kind, ArgMax | ArgMin) { DType::I32 } else { dtype };
            for (len, inner) in [(2, 1), (2, n), (31, 31), (31, 1)] {
                let outer = n * n / (len * inner);
                let data: Vec<f64> = (0..outer * len * inner).map(|i| SPECIAL[i * 7 % n]).collect();
                let x = Tensor::from_f64s(dtype, &[outer, len, inner], &data).expect("a tensor");
                let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
                cases.push(Case::new(
                    format!("{kind:?} {len} {dtype}"),
                    task,
                    vec![x],
                    vec![Fact::new(out, &[outer, inner])],
                ));
            }
        }
        for log in [false, true] {
            for (len, inner) in [(1, 1), (2, 1), (3, 2), (40, 1)] {
                let outer = 60;
                let data: Vec<f64> = (0..outer * len * inner).map(|i| SPECIAL[(i * 13 + i / 31) % n]).collect();
                let x = Tensor::from_f64s(dtype, &[outer, len, inner], &data).expect("a tensor");
                let task = Task::Softmax(Softmax { outer, len, inner, log, dtype });
                let case = Case::new(format!("softmax {log} {len} {dtype}"), task, vec![x.clone()], vec![x.fact()]);
                cases.push(case.within(1e-7, 0.0));
            }
        }
    }
    check_special(&cases);
}

#[test]
fn angles_and_remainders_of_every_size() {
    let mut noise = Noise(SplitMix(15));
    let mut cases = Vec::new();
    let mut data: Vec<f64> = (0..3000).map(|_| f64::from(f32::from_bits(noise.0.bits() as u32))).collect();
    data.retain(|x| x.is_finite() && x.abs() >= f64::from(f32::MIN_POSITIVE));
    data.extend((0..60).flat_map(|i| [1.0, -1.5].map(|x| x * 2f64.powi(2 * i - 20))));
    let x = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
    for f in [Unary::Sin, Unary::Cos] {
        cases.push(unary_of(f, x.clone()).within(2e-7, 1e-6));
    }
    cases.push(unary_of(Unary::Tan, x.clone()).within(1e-6, 4e-6));
    data.reverse();
    let y = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
    cases.push(binary_of(Binary::Rem, x.clone(), y.clone()).within(1.2e-38, 0.0));
    cases.push(binary_of(Binary::FloorMod, x, y).within(1.2e-38, 1e-7));
    check(&cases);
}

#[test]
fn functions_of_two_floats() {
    let mut noise = Noise(SplitMix(2));
    let mut cases = Vec::new();
    for &f in Binary::ALL {
        if matches!(f, Binary::And | Binary::Or | Binary::Xor) {
            continue;
        }
        let (a, b) = (noise.tensor(DType::F32, &[700], -5.0, 5.0), noise.tensor(DType::F32, &[700], -5.0, 5.0));
        let relative = if f == Binary::Pow { 1e-5 } else { 1e-6 };
        cases.push(binary_of(f, a, b).within(2e-6, relative));
        let grid: Vec<f64> = (0..81).map(|i| f64::from(i % 9 - 4)).collect();
        let other: Vec<f64> = (0..81).map(|i| f64::from(i / 9 - 4)).collect();
        let [a, b] = [grid, other].map(|v| Tensor::from_f64s(DType::F32, &[81], &v).expect("a tensor"));
        cases.push(binary_of(f, a, b).within(1e-6, 1e-6));
        let special = [0.5, f64::NAN, 2.0, f64::NAN, f64::NEG_INFINITY, f64::INFINITY];
        let a = Tensor::from_f64s(DType::F32, &[6], &special).expect("a tensor");
        let b = Tensor::from_f64s(DType::F32, &[6], &[f64::NAN, 1.0, 1.0, f64::NAN, 2.0, 2.0]).expect("a tensor");
        if !matches!(f, Binary::FloorDiv | Binary::FloorMod | Binary::Rem) {
            cases.push(binary_of(f, a, b).within(1e-6, 1e-6));
        }
    }
    check(&cases);
}

/// `(x ∘ y) ∘' y` in one program, where the second step undoes the first but for its rounding.
fn undone(f: Binary, g: Binary, x: &Tensor, y: &Tensor) -> Case {
    let mut p = Program::new();
    let (a, b) = (p.input(0, DType::F32), p.input(1, DType::F32));
    let there = p.binary(f, a, b);
    p.binary(g, there, b);
    map_of(&[x.count()], p, vec![x.clone(), y.clone()], &format!("{} then {}", f.name(), g.name()))
}

#[test]
fn every_step_of_a_program_is_rounded() {
    let mut noise = Noise(SplitMix(11));
    let (x, y) = (noise.tensor(DType::F32, &[500], -4.0, 4.0), noise.tensor(DType::F32, &[500], 3e4, 4e4));
    check(&[
        undone(Binary::Add, Binary::Sub, &x, &y),
        undone(Binary::Sub, Binary::Add, &x, &y),
        // A product that joins the sum after it is not rounded before it.
        undone(Binary::Mul, Binary::Sub, &x, &y),
        undone(Binary::Mul, Binary::Add, &x, &y),
    ]);
}

#[test]
fn functions_of_integers_and_bools() {
    let mut noise = Noise(SplitMix(3));
    let mut cases = Vec::new();
    for dtype in WHOLE {
        let mut take = |case: Case| {
            let view = TaskView { task: &case.task, ins: &facts(&case.ins), known: &[false; 2], outs: &case.outs };
            if device().is_some_and(|d| d.offer(view).is_ok()) {
                cases.push(case);
            }
        };
        for &f in Unary::ALL {
            take(unary_of(f, noise.tensor(dtype, &[99], -300.0, 300.0)));
            take(unary_of(f, noise.whole(dtype, 99)));
        }
        for &f in Binary::ALL {
            take(binary_of(f, noise.tensor(dtype, &[99], -300.0, 300.0), noise.tensor(dtype, &[99], -4.0, 4.0)));
            take(binary_of(f, noise.whole(dtype, 600), noise.whole(dtype, 600)));
        }
    }
    assert!(device().is_none() || cases.len() > 420, "{} cases", cases.len());
    check(&cases);
}

fn facts(ins: &[Tensor]) -> Vec<Fact> {
    ins.iter().map(Tensor::fact).collect()
}

/// The conversion of `x`, by way of other types before `to`.
fn cast_of(x: Tensor, through: &[DType], to: DType) -> Case {
    let mut p = Program::new();
    let from = p.input(0, x.dtype());
    let reg = through.iter().fold(from, |reg, &dtype| p.cast(reg, dtype));
    p.push(Instr::Cast(reg), to);
    let name = format!("{} through {through:?} to {to}", x.dtype());
    map_of(&[x.count()], p, vec![x], &name)
}

#[test]
fn casts() {
    let mut noise = Noise(SplitMix(4));
    let mut cases = Vec::new();
    let all: Vec<DType> = WHOLE.into_iter().chain([DType::F32]).chain(HALVES).collect();
    for &from in &all {
        let high = if from == DType::F32 { 1e10 } else { 70000.0 };
        let mut data = noise.tensor(from, &[50], -high, high).to_f64s().expect("numbers");
        data.extend([0.0, -0.0, 1.0, 0.5, 200.7, -200.7, 4294967296.0, 9.3e18, -9.3e18, 1.8e19, 2e19]);
        if from.is_float() {
            data.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        }
        let numbers = Tensor::from_f64s(from, &[data.len()], &data).expect("a tensor");
        for &to in &all {
            // The reference rounds large integers to f64 first.
            let room = if from.is_float() { 0.0 } else { 1e-6 };
            cases.push(cast_of(numbers.clone(), &[], to));
            if from != DType::Bool && !from.is_float() {
                let case = cast_of(noise.whole(from, 500), &[], to);
                cases.push(if to == DType::F32 { case.within(0.0, room) } else { case });
            }
        }
    }
    check(&cases);
}

#[test]
fn halves_are_rounded_where_the_program_says() {
    let mut noise = Noise(SplitMix(14));
    let mut cases = Vec::new();
    for half in HALVES {
        // Every exponent, and what lies around a rounding.
        let mut data: Vec<f64> = (0..2000).map(|_| f64::from(f32::from_bits(noise.0.bits() as u32))).collect();
        data.extend((0..2000).map(|_| f64::from(noise.0.even()) * 2f64.powi(noise.0.below(60) as i32 - 40)));
        data.extend([65504.0, 65519.0, 65520.0, 65536.0, 5.96e-8, 2.98e-8, 2.99e-8, 6.1e-5, -0.0, 1.0009765625]);
        let normal = data.into_iter().filter(|x| x.abs() as f32 >= f32::MIN_POSITIVE || *x == 0.0);
        let data: Vec<f64> = normal.collect();
        let x = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
        cases.push(cast_of(x.clone(), &[], half));
        cases.push(cast_of(x, &[half], DType::F32));
        let [a, b] = [0, 1].map(|_| noise.tensor(half, &[500], -3.0, 3.0));
        for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min, Binary::Lt] {
            cases.push(binary_of(f, a.clone(), b.clone()));
        }
        for f in [Unary::Neg, Unary::Abs, Unary::Square, Unary::Relu, Unary::Round, Unary::IsNan] {
            cases.push(unary_of(f, a.clone()));
        }
        let mut p = Program::new();
        let (x, y) = (p.input(0, half), p.input(1, half));
        let sum = p.binary(Binary::Add, x, y);
        p.binary(Binary::Sub, sum, y);
        cases.push(map_of(&[500], p, vec![a, b], "there and back"));
    }
    check(&cases);
}

fn broadcast_maps_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(5));
    let mut cases = Vec::new();
    let shapes: [(&[usize], &[usize], &[usize]); 8] = [
        (&[3, 5, 7], &[3, 5, 7], &[7]),
        (&[3, 5, 7], &[5, 1], &[3, 1, 7]),
        (&[2, 3, 1, 5], &[1, 1, 4, 1], &[]),
        (&[], &[], &[]),
        (&[1], &[13], &[1, 1]),
        (&[2, 1, 3, 1, 2, 1, 3], &[1, 2, 1, 3, 1, 2, 1], &[3]),
        (&[0, 4], &[4], &[1, 1]),
        (&[300, 257], &[300, 1], &[257]),
    ];
    for (a, b, c) in shapes {
        let mut p = Program::new();
        let (x, y, z) = (p.input(0, DType::F32), p.input(1, DType::F32), p.input(2, DType::Bool));
        let (sum, product) = (p.binary(Binary::Add, x, y), p.binary(Binary::Mul, x, y));
        p.select(z, sum, product);
        let dims = mindir_graph::broadcast(a, b).and_then(|s| mindir_graph::broadcast(&s, c)).expect("shapes that fit");
        let ins = vec![noise.f32(a), noise.f32(b), noise.tensor(DType::Bool, c, -1.0, 1.0)];
        cases.push(map_of(&dims, p, ins, &format!("{a:?} {b:?} {c:?}")).within(0.0, 1e-6));
    }
    let mut p = Program::new();
    let (x, y) = (p.input(0, DType::I64), p.input(1, DType::BF16));
    let x = p.cast(x, DType::BF16);
    p.binary(Binary::Mul, x, y);
    let (a, b) = ([2, 1, 3, 1, 2, 1, 2, 1, 2, 1, 3, 1], [1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    let dims: Vec<usize> = a.iter().zip(b).map(|(x, y)| x * y).collect();
    let ins = vec![noise.tensor(DType::I64, &a, -9.0, 9.0), noise.tensor(DType::BF16, &b, -9.0, 9.0)];
    cases.push(map_of(&dims, p, ins, "twelve dimensions"));
    let mut p = Program::new();
    p.constant(2.5, DType::F32);
    cases.push(map_of(&[17], p, Vec::new(), "constant"));
    cases
}

#[test]
fn broadcast_maps() {
    check(&broadcast_maps_cases());
    check_narrow(&broadcast_maps_cases(), 3);
}

fn copy_of(
    name: &str,
    dtype: DType,
    dims: &[usize],
    parts: Vec<Part>,
    ins: Vec<Tensor>,
    fill: Option<Vec<u8>>,
) -> Case {
    Case::new(name, Task::Copy(Copy { dtype, fill, parts }), ins, vec![Fact::new(dtype, dims)])
}

fn part(input: usize, dims: &[usize], src: (usize, &[isize]), dst: (usize, &[isize])) -> Part {
    Part {
        input,
        shape: shape(dims),
        src_offset: src.0,
        src: Strides::from_slice(src.1),
        dst_offset: dst.0,
        dst: Strides::from_slice(dst.1),
    }
}

fn copies_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(6));
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::Bool, DType::I8, DType::U16, DType::I64, DType::F16] {
        let x = noise.tensor(dtype, &[3, 4, 5], -90.0, 90.0);
        let dense = dense_strides(&[5, 4, 3]);
        let transpose = part(0, &[5, 4, 3], (0, &[1, 5, 20]), (0, &dense));
        cases.push(copy_of("transpose", dtype, &[5, 4, 3], vec![transpose], vec![x.clone()], None));
        let reversed = part(0, &[60], (59, &[-1]), (0, &[1]));
        cases.push(copy_of("reverse", dtype, &[60], vec![reversed], vec![x.clone()], None));
        let pad = part(0, &[12, 5], (0, &[5, 1]), (8, &[7, 1]));
        let fill = Some(vec![1; dtype.size()]);
        if dtype != DType::F32 {
            cases.push(copy_of("pad", dtype, &[14, 7], vec![pad], vec![x.clone()], fill));
        }
        let other = noise.tensor(dtype, &[3, 2, 5], -90.0, 90.0);
        let parts =
            vec![part(0, &[3, 20], (0, &[20, 1]), (0, &[30, 1])), part(1, &[3, 10], (0, &[10, 1]), (20, &[30, 1]))];
        cases.push(copy_of("concatenate", dtype, &[3, 6, 5], parts, vec![x.clone(), other], None));
        let tile = part(0, &[2, 60], (0, &[0, 1]), (0, &[60, 1]));
        cases.push(copy_of("repeat", dtype, &[2, 60], vec![tile], vec![x], None));
    }
    let dims = [2, 3, 2, 3, 2, 3, 2];
    let mut order = dims;
    order.reverse();
    let mut strides = dense_strides(&dims);
    strides.reverse();
    let parts = vec![part(0, &order, (0, &strides), (0, &dense_strides(&order)))];
    cases.push(copy_of("seven dimensions", DType::F32, &order, parts, vec![noise.f32(&dims)], None));
    let mut order = [2; 12];
    (order[3], order[7]) = (3, 5);
    let mut strides = dense_strides(&order);
    strides.reverse();
    let mut dims = order;
    dims.reverse();
    let parts = vec![part(0, &dims, (0, &strides), (0, &dense_strides(&dims)))];
    cases.push(copy_of("twelve dimensions", DType::I64, &dims, parts, vec![noise.whole(DType::I64, 15350)], None));
    cases.push(copy_of("nothing", DType::F32, &[0, 3], Vec::new(), vec![noise.f32(&[0])], Some(vec![0; 4])));
    cases.push(copy_of("only fill", DType::F32, &[700], Vec::new(), Vec::new(), Some(1.5f32.to_le_bytes().to_vec())));
    cases
}

#[test]
fn copies() {
    check(&copies_cases());
    check_narrow(&copies_cases(), 3);
}

fn matrix(batch: &[isize], row: usize, col: usize) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

fn gemm_of(noise: &mut Noise, m: usize, n: usize, k: usize, transposed: (bool, bool)) -> Case {
    typed_gemm(noise, [m, n, k], transposed, DType::F32, DType::F32)
}

fn typed_gemm(noise: &mut Noise, [m, n, k]: [usize; 3], transposed: (bool, bool), dtype: DType, out: DType) -> Case {
    let task = Gemm {
        batch: Shape::new(),
        m,
        n,
        k,
        a: if transposed.0 { matrix(&[], 1, m) } else { matrix(&[], k, 1) },
        b: if transposed.1 { matrix(&[], 1, k) } else { matrix(&[], n, 1) },
        c: matrix(&[], n, 1),
        dtype,
        out,
        tf32: false,
        epilogue: None,
    };
    let mut factor = |count: usize| match dtype {
        d if d.is_float() => noise.tensor(d, &[count], -2.0, 2.0),
        d => {
            let whole = noise.whole(d, count);
            Tensor::from_bytes(d, &[count], whole.bytes().slice(..count * d.size())).expect("fewer elements")
        }
    };
    let ins = vec![factor(m * k), factor(k * n)];
    let name = format!("{m}x{n}x{k} {transposed:?} {dtype}");
    let case = Case::new(name, Task::Gemm(task), ins, vec![Fact::new(out, &[m, n])]);
    if !dtype.is_float() {
        return case;
    }
    let room = (k as f64).sqrt();
    case.within(2e-6 * room + rounding(out) / 10.0, 1e-5 + rounding(out))
}

fn matrix_products_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(7));
    let mut cases = Vec::new();
    for (m, n, k) in
        [(1, 1, 1), (1, 130, 33), (5, 7, 3), (16, 64, 16), (17, 65, 15), (64, 64, 64), (67, 129, 100), (3, 4, 0)]
    {
        for transposed in [(false, false), (false, true), (true, false), (true, true)] {
            cases.push(gemm_of(&mut noise, m, n, k, transposed));
        }
    }
    let types = WHOLE.into_iter().filter(|d| *d != DType::Bool).chain(HALVES).map(|d| (d, d));
    let mixed = HALVES.map(|d| (d, DType::F32));
    for (dtype, out) in types.chain(mixed).chain([(DType::I8, DType::I32)]) {
        for size in [[1, 1, 1], [5, 70, 19], [70, 9, 33], [3, 4, 0], [0, 3, 3]] {
            cases.push(typed_gemm(&mut noise, size, (false, true), dtype, out));
        }
    }
    cases
}

#[test]
fn matrix_products() {
    check(&matrix_products_cases());
    check_narrow(&matrix_products_cases(), 3);
}

fn batched_products_with_epilogues_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(8));
    let mut cases = Vec::new();
    let (m, n, k) = (19, 23, 9);
    // Heads of attention: strided rows, a repeated right-hand side, an epilogue that reads in every way.
    let mut p = Program::new();
    let sum = p.input(0, DType::F32);
    let others: Vec<usize> = (1..5).map(|i| p.input(i, DType::F32)).collect();
    let total = others.into_iter().fold(sum, |t, x| p.binary(Binary::Add, t, x));
    p.unary(Unary::Tanh, total);
    use EpilogueInput::{Column, Full, Row, Scalar};
    let task = Gemm {
        batch: shape(&[2, 3]),
        m,
        n,
        k,
        a: matrix(&[(m * 3 * k) as isize, k as isize], 3 * k, 1),
        b: matrix(&[0, (k * n) as isize], n, 1),
        c: matrix(&[(3 * m * n) as isize, (m * n) as isize], n, 1),
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        epilogue: Some(Epilogue { program: p, inputs: vec![Scalar, Column, Row, Full] }),
    };
    let dims: [&[usize]; 6] = [&[2, m, 3, k], &[3, k, n], &[1], &[n], &[6, m], &[2, 3, m, n]];
    let ins = dims.iter().map(|d| noise.f32(d)).collect();
    let outs = vec![Fact::new(DType::F32, &[2, 3, m, n])];
    cases.push(Case::new("heads", Task::Gemm(task.clone()), ins, outs).within(1e-5, 1e-5));
    let mut p = Program::new();
    let (x, limit) = (p.input(0, DType::F32), p.constant(0.0, DType::F32));
    p.binary(Binary::Gt, x, limit);
    let epilogue = Some(Epilogue { program: p, inputs: Vec::new() });
    // The result has more elements than the product writes.
    let c = Matrix { offset: 5, ..matrix(&[(2 * m * n) as isize], 2 * n, 1) };
    let a = matrix(&[(m * k) as isize], k, 1);
    let b = matrix(&[0], n, 1);
    let sparse = Gemm { batch: shape(&[2]), a, b, c, epilogue, ..task };
    let ins = vec![noise.f32(&[2, m, k]), noise.f32(&[k, n])];
    let outs = vec![Fact::new(DType::Bool, &[2, m, 2, n])];
    cases.push(Case::new("signs", Task::Gemm(sparse.clone()), ins, outs));
    // Batch dimensions that do not merge, and the sum in a type of 16 bits.
    let mut p = Program::new();
    let (sum, row) = (p.input(0, DType::F16), p.input(1, DType::F32));
    let wide = p.cast(sum, DType::F32);
    let total = p.binary(Binary::Add, wide, row);
    p.cast(total, DType::F16);
    let dims = [2, 3, 2, 3, 2, 3];
    let steps: Vec<isize> = dense_strides(&dims).iter().map(|s| s * 4).collect();
    let mut turned = steps.clone();
    turned.reverse();
    turned[1] = 0;
    let task = Gemm {
        batch: shape(&dims),
        m: 2,
        n: 2,
        k: 2,
        a: matrix(&steps, 2, 1),
        b: matrix(&turned, 1, 2),
        c: matrix(&steps, 2, 1),
        dtype: DType::F16,
        out: DType::F16,
        tf32: false,
        epilogue: Some(Epilogue { program: p, inputs: vec![Row] }),
    };
    let ins = vec![
        noise.tensor(DType::F16, &[216, 2, 2], -2.0, 2.0),
        noise.tensor(DType::F16, &[3000], -2.0, 2.0),
        noise.f32(&[216, 2]),
    ];
    let outs = vec![Fact::new(DType::F16, &[216, 2, 2])];
    cases.push(Case::new("many batches", Task::Gemm(task.clone()), ins.clone(), outs).within(4e-3, 2e-3));
    // The sum in f32, and only the factors in 16 bits.
    let mut p = Program::new();
    let (sum, row) = (p.input(0, DType::F32), p.input(1, DType::F32));
    p.binary(Binary::Add, sum, row);
    let mixed = Gemm { out: DType::F32, epilogue: Some(Epilogue { program: p, inputs: vec![Row] }), ..task };
    let outs = vec![Fact::new(DType::F32, &[216, 2, 2])];
    cases.push(Case::new("many mixed batches", Task::Gemm(mixed), ins, outs).within(1e-6, 1e-6));
    cases
}

#[test]
fn batched_products_with_epilogues() {
    check(&batched_products_with_epilogues_cases());
    check_narrow(&batched_products_with_epilogues_cases(), 2);
}

fn softmaxes_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(9));
    let mut cases = Vec::new();
    for (outer, len, inner) in [(1, 1, 1), (5, 10, 1), (3, 33, 1), (7, 1000, 1), (2, 9, 6), (4, 100, 3), (70, 257, 1)] {
        for log in [false, true] {
            let x = noise.tensor(DType::F32, &[outer, len, inner], -20.0, 20.0);
            let task = Task::Softmax(Softmax { outer, len, inner, log, dtype: DType::F32 });
            let outs = vec![x.fact()];
            cases.push(Case::new(format!("{outer} {len} {inner} {log}"), task, vec![x], outs).within(2e-7, 1e-5));
        }
    }
    for dtype in HALVES {
        for (outer, len, inner, log) in
            [(3, 70, 1, false), (3, 70, 1, true), (2, 9, 6, false), (0, 3, 1, true), (2, 0, 3, true)]
        {
            let x = noise.tensor(dtype, &[outer, len, inner], -9.0, 9.0);
            let task = Task::Softmax(Softmax { outer, len, inner, log, dtype });
            let outs = vec![x.fact()];
            let case = Case::new(format!("{outer} {len} {inner} {log} {dtype}"), task, vec![x], outs);
            cases.push(case.within(1e-6, 1e-5 + rounding(dtype)));
        }
    }
    let masked = [0.5, f64::NEG_INFINITY, 1.5, 0.0].repeat(20);
    let x = Tensor::from_f64s(DType::F32, &[2, 40], &masked).expect("a tensor");
    let task = Task::Softmax(Softmax { outer: 2, len: 40, inner: 1, log: false, dtype: DType::F32 });
    cases.push(Case::new("masked", task, vec![x.clone()], vec![x.fact()]).within(1e-7, 1e-5));
    cases
}

#[test]
fn softmaxes() {
    check(&softmaxes_cases());
    check_narrow(&softmaxes_cases(), 3);
}

fn norms_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(10));
    let mut cases = Vec::new();
    let sizes = [(1, 1), (3, 7), (5, 768), (2, 1025)].map(|s| (s, DType::F32));
    let others = [((3, 300), DType::F16), ((3, 300), DType::BF16), ((3, 0), DType::F32), ((0, 5), DType::F32)];
    for ((rows, cols), dtype) in sizes.into_iter().chain(others) {
        for bits in 0..16 {
            let [rms, gamma, beta, stats] = [0, 1, 2, 3].map(|b| bits >> b & 1 == 1);
            let kind = if rms { NormKind::Rms } else { NormKind::Layer };
            let task = Norm { kind, rows, cols, eps: 1e-5, gamma, beta, stats, dtype };
            let mut ins = vec![noise.tensor(dtype, &[rows, cols], 1.0, 5.0)];
            ins.extend((0..usize::from(gamma) + usize::from(beta)).map(|_| noise.tensor(dtype, &[cols], -2.0, 2.0)));
            let mut outs = vec![ins[0].fact()];
            outs.extend((0..if stats { 2 - usize::from(rms) } else { 0 }).map(|_| Fact::new(DType::F32, &[rows])));
            let case = Case::new(format!("{rows} {cols} {bits:04b} {dtype}"), Task::Norm(task), ins, outs);
            cases.push(case.within(4e-6 + rounding(dtype) / 10.0, 4e-6 + rounding(dtype)));
        }
    }
    cases
}

#[test]
fn norms() {
    check(&norms_cases());
    check_narrow(&norms_cases(), 3);
}

fn reductions_cases() -> Vec<Case> {
    use ReduceKind::{All, Any, ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    let mut noise = Noise(SplitMix(11));
    let mut cases = Vec::new();
    for (outer, len, inner) in [(1, 1, 1), (3, 20, 1), (5, 255, 1), (2, 1000, 1), (3, 11, 7), (2, 1300, 2), (4, 0, 3)] {
        for kind in [Sum, Mean, Prod, Max, Min, All, Any, ArgMax, ArgMin] {
            for dtype in WHOLE.into_iter().chain(HALVES).chain([DType::F32]) {
                let position = matches!(kind, ArgMax | ArgMin);
                if len == 0 && (position || matches!(kind, Max | Min)) {
                    continue;
                }
                let out = match dtype {
                    DType::I8 if position => DType::I64,
                    _ if position => DType::I32,
                    _ => dtype,
                };
                let (low, high) = if kind == Prod { (0.95, 1.05) } else { (-9.0, 9.0) };
                let count = outer * len * inner;
                let x = match dtype {
                    d if d.is_float() || d == DType::Bool => noise.tensor(d, &[count], low, high),
                    d => {
                        let whole = noise.whole(d, count);
                        Tensor::from_bytes(d, &[count], whole.bytes().slice(..count * d.size()))
                            .expect("fewer elements")
                    }
                };
                let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
                let name = format!("{kind:?} of {dtype} {outer} {len} {inner}");
                let case = Case::new(name, task, vec![x], vec![Fact::new(out, &[outer, inner])]);
                // Sums of 64 bits wrap before they are divided.
                let wraps = kind == Mean && dtype.size() == 8;
                if dtype.is_float() {
                    cases.push(case.within(1e-6 * len as f64, 2e-5 + rounding(dtype)));
                } else if !wraps {
                    cases.push(case);
                }
            }
        }
    }
    let x = Tensor::from_f64s(DType::F32, &[4], &[1.0, f64::NAN, 7.0, f64::NAN]).expect("a tensor");
    for (kind, out) in [(Max, DType::F32), (Min, DType::F32), (ArgMax, DType::I32), (ArgMin, DType::I32)] {
        let task = Task::Reduce(Reduce { kind, outer: 1, len: 4, inner: 1, dtype: DType::F32, out });
        cases.push(Case::new(format!("{kind:?} with NaN"), task, vec![x.clone()], vec![Fact::new(out, &[1])]));
    }
    cases
}

#[test]
fn reductions() {
    check(&reductions_cases());
    check_narrow(&reductions_cases(), 3);
}

/// A small network: product with bias and relu into a slot, a comparison of it in the same slot's neighbour, a softmax.
fn network(noise: &mut Noise) -> (Stage, Vec<Tensor>, Vec<Task>) {
    let (m, n, k) = (6, 10, 12);
    let [x, w, bias] = [noise.f32(&[m, k]), noise.f32(&[k, n]), noise.f32(&[n])];
    let mut p = Program::new();
    let (sum, b) = (p.input(0, DType::F32), p.input(1, DType::F32));
    let biased = p.binary(Binary::Add, sum, b);
    p.unary(Unary::Relu, biased);
    let Task::Gemm(gemm) = gemm_of(noise, m, n, k, (false, false)).task else { unreachable!("a product") };
    let gemm = Gemm { epilogue: Some(Epilogue { program: p, inputs: vec![EpilogueInput::Column] }), ..gemm };
    let mut p = Program::new();
    let (y, one) = (p.input(0, DType::F32), p.constant(1.0, DType::F32));
    p.binary(Binary::Lt, y, one);
    let below = Map { shape: shape(&[m, n]), program: p };
    let mut p = Program::new();
    let (y, small) = (p.input(0, DType::F32), p.input(1, DType::Bool));
    let zero = p.constant(0.0, DType::F32);
    p.select(small, zero, y);
    let masked = Map { shape: shape(&[m, n]), program: p };
    let softmax = Softmax { outer: m, len: n, inner: 1, log: false, dtype: DType::F32 };
    let [f, b] = [DType::F32, DType::Bool].map(|d| Fact::new(d, &[m, n]));
    let tasks = vec![Task::Gemm(gemm), Task::Map(below), Task::Map(masked), Task::Softmax(softmax)];
    let step = |task: &Task, ins: Vec<(Place, Fact)>, out: (Place, &Fact)| {
        let (ins, in_facts) = ins.into_iter().unzip();
        let (outs, out_facts) = (vec![out.0], vec![out.1.clone()]);
        Step { task: task.clone(), ins, in_facts, outs, out_facts, path: Arc::from("network") }
    };
    let slot = |i: usize, f: &Fact| (Place::Slot(i), f.clone());
    let constant = |t: &Tensor| (Place::Const(t.clone()), t.fact());
    let steps = vec![
        step(&tasks[0], vec![(Place::Input(0), x.fact()), constant(&w), constant(&bias)], (Place::Slot(0), &f)),
        step(&tasks[1], vec![slot(0, &f)], (Place::Slot(1), &b)),
        step(&tasks[2], vec![slot(0, &f), slot(1, &b)], (Place::Slot(2), &f)),
        step(&tasks[3], vec![slot(2, &f)], (Place::Output(0), &f)),
    ];
    let slots = [f.bytes(), b.bytes(), f.bytes()].map(|bytes| Slot { offset: 0, bytes }).to_vec();
    (Stage { steps, slots, arena: 0, inputs: vec![x.fact()], outputs: vec![f] }, vec![x, w, bias], tasks)
}

#[test]
fn stages_run_from_many_threads_and_are_timed() {
    let Some(device) = device() else { return };
    let (stage, ins, tasks) = network(&mut Noise(SplitMix(12)));
    let mut values = plain::run(&tasks[0], &ins, &stage.steps[0].out_facts).expect("a product");
    let below = plain::run(&tasks[1], &values, &stage.steps[1].out_facts).expect("a mask");
    values.extend(below);
    let masked = plain::run(&tasks[2], &values, &stage.steps[2].out_facts).expect("a choice");
    let want = plain::run(&tasks[3], &masked, &stage.outputs).expect("a softmax")[0].to_f64s().expect("numbers");
    let program = stage.clone().build(device, &Weights::default()).expect("a program");
    assert_eq!(program.kernels(), ["wgpu-f32-gemm8x64x16", "wgpu-bool-map", "wgpu-f32-map", "wgpu-f32-softmax-single"]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut session = program.clone().session();
                let mut bytes = vec![0; 4 * want.len()];
                let mut nanos = [0; 4];
                for _ in 0..5 {
                    let outs = &mut [&mut bytes[..]];
                    run_bytes(device, session.as_mut(), &stage, &[ins[0].bytes()], outs).expect("a run");
                }
                let memory = device.own_memory().expect("memory of its own");
                let [x, y] = [&stage.inputs[0], &stage.outputs[0]].map(|f| memory.alloc(f).expect("a tensor"));
                memory.upload(&[(ins[0].bytes(), &*x)]).expect("an upload");
                let outs = &mut [Output::Device(&*y)];
                session.run(&[Input::Device(&*x)], outs, Some(&mut nanos)).expect("a timed run");
                memory.download(&mut [(&*y, &mut bytes[..])]).expect("a download");
                assert!(nanos[3] > 0, "{nanos:?}");
                let got: Vec<f32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
                for (w, g) in want.iter().zip(got) {
                    assert!((w - f64::from(g)).abs() < 1e-5, "{w} {g}");
                }
            });
        }
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    let Some(device) = device() else { return };
    let (stage, ins, _) = network(&mut Noise(SplitMix(13)));
    let program = stage.clone().build(device, &Weights::default()).expect("a program");
    let mut session = program.session();
    let mut bytes = vec![0; stage.outputs[0].bytes()];
    let error = run_bytes(device, session.as_mut(), &stage, &[&ins[0].bytes()[4..]], &mut [&mut bytes[..]]);
    let error = error.expect_err("a short input");
    assert_eq!(error.to_string(), "wgpu: 284 bytes for a tensor of f32 [6, 12], which has 288");
    let mut overlapping = stage.clone();
    overlapping.steps[2].outs = vec![Place::Slot(0)];
    let error = overlapping.build(device, &Weights::default()).err().expect("a shared buffer");
    assert_eq!(error.to_string(), "wgpu: network: an operand and a result share a buffer");
    let mut missing = stage.clone();
    missing.steps[2].outs = vec![Place::Slot(9)];
    let program = missing.build(device, &Weights::default()).expect("a program");
    let outs = &mut [&mut bytes[..]];
    let error = run_bytes(device, program.session().as_mut(), &stage, &[ins[0].bytes()], outs);
    let error = error.expect_err("a missing slot");
    assert_eq!(error.to_string(), "wgpu: a step names a place that the stage lacks");
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let Some(device) = device() else { return };
    let (mut stage, ins, _) = network(&mut Noise(SplitMix(14)));
    stage.slots.push(Slot { offset: 0, bytes: 1 << 50 });
    let program = stage.clone().build(device, &Weights::default()).expect("a program");
    let mut bytes = vec![0; stage.outputs[0].bytes()];
    let outs = &mut [&mut bytes[..]];
    let error = run_bytes(device, program.session().as_mut(), &stage, &[ins[0].bytes()], outs);
    assert!(matches!(error, Err(DeviceError::Memory { bytes, .. }) if bytes > 1 << 50), "{error:?}");
}

#[test]
fn buffers_of_the_caller_are_tensors() {
    let Some(device) = device() else { return };
    let fact = Fact::new(DType::F32, &[5]);
    let mut program = Program::new();
    let x = program.input(0, DType::F32);
    program.unary(Unary::Square, x);
    let step = Step {
        task: Task::Map(Map { shape: shape(&[5]), program }),
        ins: vec![Place::Input(0)],
        in_facts: vec![fact.clone()],
        outs: vec![Place::Output(0)],
        out_facts: vec![fact.clone()],
        path: "square".into(),
    };
    let stage =
        Stage { steps: vec![step], inputs: vec![fact.clone()], outputs: vec![fact.clone()], ..Stage::default() };
    let (driver, queue) = device.device_and_queue();
    let buffer = |usage| {
        driver.create_buffer(&wgpu::BufferDescriptor { label: None, size: 20, usage, mapped_at_creation: false })
    };
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let given = buffer(usage);
    queue.write_buffer(&given, 0, bytemuck::cast_slice(&[1.0f32, -2.0, 3.0, -4.0, 0.5]));
    let (x, y) = (
        device.tensor(fact.clone(), given).expect("a tensor"),
        device.tensor(fact.clone(), buffer(usage)).expect("another"),
    );
    let mut session = stage.build(device, &Weights::default()).expect("a program").session();
    session.run(&[Input::Device(&x)], &mut [Output::Device(&y)], None).expect("a run");
    let mut bytes = [0; 20];
    let memory = device.own_memory().expect("memory of its own");
    memory.download(&mut [(&y, &mut bytes[..])]).expect("a download");
    assert_eq!(bytemuck::cast_slice::<u8, [u8; 4]>(&bytes), [1.0f32, 4.0, 9.0, 16.0, 0.25].map(f32::to_le_bytes));
    let small = device.tensor(Fact::new(DType::F32, &[6]), y.buffer().clone()).expect_err("a small buffer");
    assert_eq!(small.to_string(), "wgpu: a buffer of 20 bytes for f32 [6], which needs 24");
    let mute = device.tensor(fact.clone(), buffer(wgpu::BufferUsages::STORAGE)).expect_err("no copies");
    assert!(mute.to_string().contains("expected one for"), "{mute}");
    let elsewhere =
        Arc::new(WgpuDevice::new(&Options { software: true, ..Options::default() }).expect("another device"));
    let foreign = elsewhere.own_memory().expect("memory").alloc(&fact).expect("a tensor");
    let error =
        session.run(&[Input::Device(&*foreign)], &mut [Output::Device(&y)], None).expect_err("a foreign tensor");
    assert_eq!(error.to_string(), "wgpu: a tensor (f32 [5]) of another device");
}

#[test]
fn a_lost_device_is_an_error() {
    let Some(_) = device() else { return };
    let lost = WgpuDevice::new(&Options { software: true, ..Options::default() }).expect("a device of its own");
    let (stage, ins, _) = network(&mut Noise(SplitMix(15)));
    let program = stage.clone().build(&lost, &Weights::default()).expect("a program");
    let mut session = program.session();
    let mut bytes = vec![0; stage.outputs[0].bytes()];
    run_bytes(&lost, session.as_mut(), &stage, &[ins[0].bytes()], &mut [&mut bytes[..]]).expect("a run");
    lost.device_and_queue().0.destroy();
    for _ in 0..2 {
        let error = run_bytes(&lost, session.as_mut(), &stage, &[ins[0].bytes()], &mut [&mut bytes[..]]);
        let error = error.expect_err("a device that is lost").to_string();
        assert!(error.starts_with("wgpu: ") && error.contains("lost"), "{error}");
    }
    assert!(stage.build(&lost, &Weights::default()).is_err());
}
