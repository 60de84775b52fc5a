//! The CUDA device against the plain references, on a driver and a compiler that run kernels on the processor.
//!
//! Without g++ these tests print why and pass, unless the environment variable `MINDIR_REQUIRE` contains `cuda`: then they
//! fail.

#[path = "cuda/address.rs"]
mod address;
mod common;
#[path = "cuda/mod.rs"]
mod emulation;
#[path = "cuda/left.rs"]
mod left;
#[path = "cuda/lt.rs"]
mod lt;
#[path = "cuda/memory.rs"]
mod memory;

use std::process::Command;
use std::sync::{Arc, OnceLock};

use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Gemm, Instr, Map, Program, Task, Unary};
use mindir_graph::{DType, Fact, Tensor, shape};
use mindir_kernels::cuda::{CudaDevice, Limits, Options};
use mindir_kernels::device::{
    Device, DeviceError, DeviceTensor, Input, Output, Place, Slot, Stage, Step, TaskView, Weights,
};

use common::products::product;
use common::{Case, Noise, check, close, run, single, tensor};

use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};

/// Element types that the device computes.
const TYPES: &[DType] = &[F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];
const FLOATS: &[DType] = &[F32, F64, F16, BF16];
/// Whether subnormal floats are what they are.
const SUBNORMAL: bool = true;

fn device() -> Option<&'static CudaDevice> {
    static DEVICE: OnceLock<Option<CudaDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(None)).as_ref()
}

fn plain() -> Option<&'static CudaDevice> {
    None
}

fn narrow() -> Option<&'static CudaDevice> {
    static DEVICE: OnceLock<Option<CudaDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(Some(Limits { binding: 4096, ..Limits::default() }))).as_ref()
}

fn open(within: Option<Limits>) -> Option<CudaDevice> {
    let opened = emulation::load().and_then(|folder| {
        let own_products = !emulation::has_products();
        let options = Options { cache: Some(folder), within, own_products, ..Options::default() };
        CudaDevice::new(&options).map_err(|e| e.to_string())
    });
    common::opened("cuda", opened)
}

/// Appends a function of registers to a program.
type Function = Box<dyn Fn(&mut Program, &[usize]) -> usize>;

/// A program that computes `functions[k]` for its operand `k`, the last one; each gets the program and the other operands, of
/// type `dtype`.
fn one_of(dtype: DType, operands: usize, functions: &[Function]) -> Program {
    let mut p = Program::new();
    let xs: Vec<usize> = (0..operands).map(|i| p.input(i, dtype)).collect();
    let which = p.input(operands, I32);
    let mut result = p.constant(0.0, dtype);
    for (k, f) in functions.iter().enumerate() {
        let value = f(&mut p, &xs);
        let value = p.cast(value, dtype);
        let number = p.push(Instr::Int(k as i64), I32);
        let chosen = p.binary(Binary::Eq, which, number);
        result = p.select(chosen, value, result);
    }
    p
}

/// All `functions` of the same operands, one row for each.
fn rows(name: &str, dtype: DType, ins: Vec<Tensor>, functions: &[Function]) -> Case {
    let (rows, cols) = (functions.len(), ins[0].count());
    let program = one_of(dtype, ins.len(), functions);
    let numbers: Vec<f64> = (0..rows).map(|k| k as f64).collect();
    let mut ins = ins;
    ins.push(tensor(I32, &[rows, 1], &numbers));
    let task = Task::Map(Map { shape: shape(&[rows, cols]), program });
    Case::new(format!("{name} of {dtype}"), task, ins, vec![Fact::new(dtype, &[rows, cols])])
}

#[test]
fn functions_of_one_number() {
    let mut noise = Noise(SplitMix(1));
    let mut cases = Vec::new();
    for &dtype in TYPES {
        let mut data = noise.tensor(F64, &[50], -4.0, 4.0).to_f64s().expect("numbers");
        data.extend(noise.tensor(F64, &[50], -30.0, 30.0).to_f64s().expect("numbers"));
        data.extend([0.0, -0.0, 1.0, -1.0, 0.5, 1e-6, -1e-6, 2.5, 3.5, 88.0, 127.0, 200.0, 40000.0, 3e9, 1e19]);
        data.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -129.0, -40000.0, -3e9, -1e19]);
        let x = tensor(dtype, &[data.len()], &data);
        let mut functions: Vec<Function> = Vec::new();
        for &f in Unary::ALL {
            functions.push(Box::new(move |p, xs| p.unary(f, xs[0])));
        }
        cases.push(rows("functions", dtype, vec![x], &functions).near(close(dtype)));
    }
    check(&cases);
}

#[test]
fn functions_of_two_numbers() {
    let mut noise = Noise(SplitMix(2));
    let mut cases = Vec::new();
    for &dtype in TYPES {
        let values = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, 5.0, -7.0, 100.0, 3e9, -3e9, 1e19, -1e19];
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let values: Vec<f64> = values.into_iter().chain(special.into_iter().filter(|_| dtype.is_float())).collect();
        let [mut a, mut b] = [Vec::new(), Vec::new()];
        for &x in &values {
            a.extend(values.iter().map(|_| x));
            b.extend(&values);
        }
        let smooth = dtype.is_float();
        a.extend(noise.tensor(F64, &[100], -5.0, 5.0).to_f64s().expect("numbers"));
        b.extend(noise.tensor(F64, &[100], -5.0, 5.0).to_f64s().expect("numbers"));
        let mut functions: Vec<Function> = Vec::new();
        for &f in Binary::ALL {
            if !(smooth && matches!(f, Binary::And | Binary::Or | Binary::Xor)) {
                functions.push(Box::new(move |p, xs| p.binary(f, xs[0], xs[1])));
            }
        }
        let ins = vec![tensor(dtype, &[a.len()], &a), tensor(dtype, &[b.len()], &b)];
        cases.push(rows("pairs", dtype, ins, &functions).near(close(dtype)));
    }
    check(&cases);
}

#[test]
fn casts() {
    let mut noise = Noise(SplitMix(4));
    let mut cases = Vec::new();
    for &from in TYPES {
        for &to in TYPES {
            let mut p = Program::new();
            let x = p.input(0, from);
            p.push(Instr::Cast(x), to);
            let mut data = noise.tensor(F64, &[50], -300.0, 300.0).to_f64s().expect("numbers");
            data.extend(noise.tensor(F64, &[20], -1e10, 1e10).to_f64s().expect("numbers"));
            data.extend([0.0, -0.0, 1.0, 0.5, 200.7, -200.7, 1e20, -1e20, 65519.0, 65520.0, 1e-7, 6e-8, 1e-40, 3e38]);
            data.extend([9007199254740993.0, 16777217.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
            let x = tensor(from, &[data.len()], &data);
            let out = vec![Fact::new(to, &[data.len()])];
            let task = Task::Map(Map { shape: shape(&[data.len()]), program: p });
            cases.push(Case::new(format!("{from} to {to}"), task, vec![x], out));
        }
    }
    check(&cases);
}

/// Where it may, a product of many rows rounds its factors to 10 bits of mantissa, and its sums to nothing less than `f32`.
#[test]
fn tf32_products() {
    let Some(device) = device() else { return };
    let mut noise = Noise(SplitMix(13));
    let mut cases = Vec::new();
    for (m, n, k) in [(64, 64, 64), (67, 129, 100), (33, 3, 5), (40, 8, 0)] {
        for transposed in [(false, false), (true, true)] {
            let task = Task::Gemm(Gemm { tf32: true, ..product([m, n, k], transposed, (F32, F32)) });
            let ins = [m * k, k * n].map(|count| noise.tensor(F32, &[count], -3.0, 3.0)).to_vec();
            let rounding = 2.0 * 9.0 * 2f64.powi(-11) + 1e-5;
            let case = Case::new(format!("{m}x{n}x{k} {transposed:?}"), task, ins, vec![Fact::new(F32, &[m, n])]);
            cases.push(case.within(rounding * k as f64, 0.0));
        }
    }
    check(&cases);
    let last = 2f64.powi(-10);
    let (a, b) = ([1.0 + last / 4.0, 1.0 + last / 2.0, -1.0 - last, 3.0], [1.0, 1.0, 1.0, last / 8.0]);
    let sum = [1.0, 1.0 + last, -1.0 - last, 3.0 * last / 8.0].iter().sum::<f64>();
    let ins = vec![tensor(F32, &[64, 4], &a.repeat(64)), tensor(F32, &[4, 1], &b)];
    let facts: Vec<Fact> = ins.iter().map(Tensor::fact).collect();
    let outs = [Fact::new(F32, &[64, 1])];
    for (tf32, kernel, want) in [
        (true, "cuda-tf32-gemm64x64x16", sum),
        (false, "cuda-f32-gemm64x64x16", a.iter().zip(b).map(|(a, b)| a * b).sum()),
    ] {
        let task = Task::Gemm(Gemm { tf32, ..product([64, 1, 4], (false, false), (F32, F32)) });
        let view = TaskView { task: &task, ins: &facts, known: &[false; 2], outs: &outs };
        assert_eq!(device.offer(view).map(|offer| offer.kernel), Ok(kernel.to_string()));
        let case = Case::new(kernel, task, ins.clone(), outs.to_vec());
        let got = run(device, &single(&case), &case.ins).expect("a result");
        assert_eq!(got[0].to_f64s().expect("numbers"), [want; 64], "tf32 {tf32}");
    }
}

/// A copy of `x` into a slot, then a function of it.
fn two_steps(x: &Tensor, bytes: usize) -> Stage {
    let fact = x.fact();
    let dims = shape(&[x.count()]);
    let step = |f: Unary, from: Place, to: Place| {
        let mut p = Program::new();
        let r = p.input(0, F32);
        p.unary(f, r);
        Step {
            task: Task::Map(Map { shape: dims.clone(), program: p }),
            ins: vec![from],
            in_facts: vec![fact.clone()],
            outs: vec![to],
            out_facts: vec![fact.clone()],
            path: Arc::from(format!("net/{}", f.name())),
        }
    };
    Stage {
        steps: vec![
            step(Unary::Square, Place::Input(0), Place::Slot(0)),
            step(Unary::Neg, Place::Slot(0), Place::Output(0)),
        ],
        slots: vec![Slot { offset: 0, bytes }],
        inputs: vec![fact.clone()],
        outputs: vec![fact.clone()],
        ..Stage::default()
    }
}

#[test]
fn stages_run_from_many_threads_and_are_timed() {
    let Some(device) = device() else { return };
    let x = Noise(SplitMix(7)).tensor(F32, &[1000], -2.0, 2.0);
    let program = two_steps(&x, 4000).build(device, &Weights::default()).expect("a program");
    assert_eq!(program.kernels(), ["cuda-f32-map", "cuda-f32-map"]);
    assert_eq!(program.session_bytes(), 4000);
    let check = |bytes: &[u8]| {
        let got: Vec<f32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        let want: Vec<f32> = x.to_f64s().expect("numbers").iter().map(|&x| -(x * x) as f32).collect();
        assert!(got == want);
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let memory = device.own_memory().expect("memory of its own");
                let mut session = program.clone().session();
                // More pairs of tensors than a session keeps graphs of.
                let facts = (0..6).map(|_| x.fact());
                let tensors: Vec<_> = facts.map(|f| [0, 1].map(|_| memory.alloc(&f).expect("a tensor"))).collect();
                for _ in 0..3 {
                    for [from, to] in &tensors {
                        let mut bytes = vec![0; 4000];
                        memory.upload(&[(x.bytes(), &**from)]).expect("an upload");
                        let outs = &mut [Output::Device(&**to)];
                        session.run(&[Input::Device(&**from)], outs, None).expect("a run");
                        memory.download(&mut [(&**to, &mut bytes[..])]).expect("a download");
                        check(&bytes);
                    }
                }
                let [from, to] = &tensors[0];
                let mut nanos = [0; 2];
                let outs = &mut [Output::Device(&**to)];
                session.run(&[Input::Device(&**from)], outs, Some(&mut nanos)).expect("a timed run");
                assert!(nanos[0] > 0 && nanos[1] > 0, "{nanos:?}");
                session.wait().expect("an end");
            });
        }
    });
}

#[test]
fn what_does_not_fit_is_an_error() {
    let Some(device) = device() else { return };
    let memory = device.own_memory().expect("memory of its own");
    let x = Noise(SplitMix(8)).tensor(F32, &[10], -2.0, 2.0);
    let build = |stage: Stage| stage.build(device, &Weights::default());
    let error = |stage: Stage| build(stage).err().expect("an error").to_string();
    assert_eq!(error(two_steps(&x, 39)), "net/Square: f32 [10] needs 40 bytes, its place has 39");
    let mut missing = two_steps(&x, 40);
    missing.steps[0].outs = vec![Place::Slot(9)];
    assert_eq!(error(missing), "cuda: a step names a place that the stage lacks");
    let mut shared = two_steps(&x, 40);
    shared.steps[1].outs = vec![Place::Slot(0)];
    assert_eq!(error(shared), "net/Neg: an operand and a result share a buffer");
    let mut session = build(two_steps(&x, 40)).expect("a program").session();
    let [short, right] = [9, 10].map(|n| memory.alloc(&Fact::new(F32, &[n])).expect("a tensor"));
    let mut run = |a: &dyn DeviceTensor, b: &dyn DeviceTensor| {
        let done = session.run(&[Input::Device(a)], &mut [Output::Device(b)], None);
        done.err().map(|e| e.to_string())
    };
    let other = memory.alloc(&Fact::new(F32, &[10])).expect("a tensor");
    assert_eq!(run(&*right, &*other), None);
    assert_eq!(run(&*right, &*right).as_deref(), Some("cuda: an output shares its tensor"));
    assert_eq!(run(&*short, &*right).as_deref(), Some("cuda: a tensor of f32 [9] stands for f32 [10]"));
    let upload = memory.upload(&[(&[0; 40][..], &*short)]).expect_err("a short tensor");
    assert_eq!(upload.to_string(), "cuda: 40 bytes for a tensor of f32 [9], which has 36");
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let Some(device) = device() else { return };
    let x = Noise(SplitMix(9)).tensor(F32, &[10], -2.0, 2.0);
    let stage = two_steps(&x, 1 << 50);
    let program = stage.clone().build(device, &Weights::default()).expect("a program");
    let memory = device.own_memory().expect("memory of its own");
    let mut bytes = [0; 40];
    let facts = (&stage.inputs[..], &stage.outputs[..]);
    let error = memory.run_bytes(program.session().as_mut(), facts, &[x.bytes()], &mut [&mut bytes[..]]);
    let error = error.expect_err("a petabyte");
    assert!(matches!(error, DeviceError::Memory { bytes, .. } if bytes == 1 << 50), "{error}");
    let text = error.to_string();
    assert!(text.contains("out of memory") && text.ends_with("for net/Square"), "{text}");
}

/// Runs the test `name` of this file alone, in a process with these variables.
fn alone(name: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().expect("a path"));
    child.args([name, "--exact", "--test-threads=1"]).env("MINDIR_ALONE", "1");
    let done = child.envs(variables.iter().copied()).output().expect("a process");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{name} {variables:?}: {said}");
}

#[test]
fn nothing_is_left() {
    if std::env::var_os("MINDIR_ALONE").is_none() {
        return if device().is_some() {
            alone("nothing_is_left", &[])
        };
    }
    let folder = emulation::load().expect("an emulation");
    let own_products = !emulation::has_products();
    let options = Options { cache: Some(folder), own_products, ..Options::default() };
    let device = CudaDevice::new(&options).expect("a device");
    let mut p = Program::new();
    let (x, y) = (p.input(0, F32), p.input(1, F32));
    p.binary(Binary::Add, x, y);
    let ins = [1, 2].map(|seed| Noise(SplitMix(seed)).tensor(F32, &[50], -2.0, 2.0)).to_vec();
    let task = Task::Map(Map { shape: shape(&[50]), program: p });
    Case::new("a sum", task, ins, vec![Fact::new(F32, &[50])]).check(&device).expect("a sum");
    assert!(left::left() > 0);
    drop(device);
    assert_eq!(left::left(), 0);
}

#[test]
fn threads_of_a_block_come_in_any_order() {
    if std::env::var_os("MINDIR_ALONE").is_some() || device().is_none() {
        return;
    }
    for order in ["backward", "shuffled"] {
        for test in [
            "common::lines::softmaxes",
            "common::lines::reductions",
            "common::products::batched_products_with_epilogues",
        ] {
            alone(test, &[("MINDIR_EMULATION", order)]);
        }
    }
}

#[test]
fn kernels_are_kept_on_the_disk() {
    let Some(_) = device() else { return };
    let folder = std::env::temp_dir().join(format!("mindir-kernels-{}", std::process::id()));
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).expect("a folder");
        entries.map(|e| e.expect("a file").path()).collect()
    };
    let compute = || {
        let own_products = !emulation::has_products();
        let options = Options { cache: Some(folder.clone()), own_products, ..Options::default() };
        let device = CudaDevice::new(&options).expect("a device");
        let mut p = Program::new();
        let x = p.input(0, F32);
        p.unary(Unary::Neg, x);
        let x = Noise(SplitMix(3)).tensor(F32, &[50], -2.0, 2.0);
        let task = Task::Map(Map { shape: shape(&[50]), program: p });
        Case::new("a negative", task, vec![x], vec![Fact::new(F32, &[50])]).check(&device).expect("a negative");
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(compute);
        }
    });
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let written = std::fs::metadata(file).expect("a file").modified().expect("a time");
    compute();
    assert_eq!(std::fs::metadata(file).expect("a file").modified().expect("a time"), written);
    let whole = std::fs::read(file).expect("a file");
    std::fs::write(file, &whole[..whole.len() / 2]).expect("a file");
    compute();
    assert_eq!(std::fs::read(file).expect("a file").len(), whole.len());
    std::fs::remove_dir_all(&folder).expect("a folder");
}
