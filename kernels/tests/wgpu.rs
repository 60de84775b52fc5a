//! The wgpu device against the plain references, family by family, with odd shapes.
//!
//! Drivers that run on the processor will do. Without any adapter these tests print why and pass, unless the environment
//! variable `MINDIR_REQUIRE` contains `wgpu`: then they fail.

mod common;
#[path = "wgpu/numbers.rs"]
mod numbers;

use std::any::Any;
use std::sync::{Arc, OnceLock};

use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Gemm, Map, Matrix, Program, Softmax, Task, Unary};
use mindir_graph::{DType, Fact, Tensor, shape};
use mindir_kernels::device::{Device, DeviceError, Input, Output, Place, Slot, Stage, Step, Weights};
use mindir_kernels::plain as reference;
use mindir_kernels::wgpu::{Limits, Options, WgpuDevice, WgpuTensor};

use common::{Noise, run_bytes};

use DType::{BF16, Bool, F16, F32, I8, I16, I32, I64, U8, U16, U32, U64};

/// Element types that the device computes.
const TYPES: &[DType] = &[F32, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];
const FLOATS: &[DType] = &[F32, F16, BF16];
/// Whether subnormal floats are what they are.
const SUBNORMAL: bool = false;

fn device() -> Option<&'static WgpuDevice> {
    static DEVICE: OnceLock<Option<WgpuDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(None)).as_ref()
}

fn plain() -> Option<&'static WgpuDevice> {
    static DEVICE: OnceLock<Option<WgpuDevice>> = OnceLock::new();
    let limits = || Some(Limits { halves: false, ..device()?.limits() });
    DEVICE.get_or_init(|| open(Some(limits()?))).as_ref()
}

fn narrow() -> Option<&'static WgpuDevice> {
    static DEVICE: OnceLock<Option<WgpuDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(Some(Limits { binding: 4096, halves: true, ..Limits::default() }))).as_ref()
}

fn open(within: Option<Limits>) -> Option<WgpuDevice> {
    let opened = WgpuDevice::new(&Options { software: true, within, ..Options::default() });
    let device = common::opened("wgpu", opened.map_err(|e| e.to_string()))?;
    println!("wgpu on {}", device.adapter());
    Some(device)
}

/// A small network: product with bias and relu into a slot, a comparison of it in the same slot's neighbour, a softmax.
fn network(noise: &mut Noise) -> (Stage, Vec<Tensor>, Vec<Task>) {
    let (m, n, k) = (6, 10, 12);
    let [x, w, bias] = [&[m, k][..], &[k, n], &[n]].map(|dims| noise.tensor(F32, dims, -2.0, 2.0));
    let mut p = Program::new();
    let (sum, b) = (p.input(0, F32), p.input(1, F32));
    let biased = p.binary(Binary::Add, sum, b);
    p.unary(Unary::Relu, biased);
    let rows = |cols: usize| Matrix { batch: Default::default(), row: cols, col: 1, offset: 0 };
    let epilogue = Some(Epilogue { program: p, inputs: vec![EpilogueInput::Column] });
    let gemm = Gemm {
        batch: shape(&[]),
        m,
        n,
        k,
        a: rows(k),
        b: rows(n),
        c: rows(n),
        dtype: F32,
        out: F32,
        tf32: false,
        epilogue,
    };
    let mut p = Program::new();
    let (y, one) = (p.input(0, F32), p.constant(1.0, F32));
    p.binary(Binary::Lt, y, one);
    let below = Map { shape: shape(&[m, n]), program: p };
    let mut p = Program::new();
    let (y, small) = (p.input(0, F32), p.input(1, Bool));
    let zero = p.constant(0.0, F32);
    p.select(small, zero, y);
    let masked = Map { shape: shape(&[m, n]), program: p };
    let softmax = Softmax { outer: m, len: n, inner: 1, log: false, dtype: F32 };
    let [f, b] = [F32, Bool].map(|d| Fact::new(d, &[m, n]));
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
    let mut values = reference::run(&tasks[0], &ins, &stage.steps[0].out_facts).expect("a product");
    let below = reference::run(&tasks[1], &values, &stage.steps[1].out_facts).expect("a mask");
    values.extend(below);
    let masked = reference::run(&tasks[2], &values, &stage.steps[2].out_facts).expect("a choice");
    let want = reference::run(&tasks[3], &masked, &stage.outputs).expect("a softmax")[0].to_f64s().expect("numbers");
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
    let fact = Fact::new(F32, &[5]);
    let mut program = Program::new();
    let x = program.input(0, F32);
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
    let small = device.tensor(Fact::new(F32, &[6]), y.buffer().clone()).expect_err("a small buffer");
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
fn halves_take_half_the_memory() {
    let (Some(device), Some(plain)) = (device(), plain()) else { return };
    let bytes = |device: &WgpuDevice| {
        let memory = device.own_memory().expect("memory of its own");
        let tensor = memory.alloc(&Fact::new(F16, &[1000])).expect("a tensor");
        let tensor: &dyn Any = tensor.as_ref();
        tensor.downcast_ref::<WgpuTensor>().expect("a tensor of wgpu").buffer().size()
    };
    assert_eq!(bytes(plain), 4000);
    assert_eq!(bytes(device), if device.limits().halves { 2000 } else { 4000 });
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

/// The sum of so many equal products, relative to what it should be.
fn sum_of(device: &WgpuDevice, k: usize, x: f64) -> f64 {
    let gemm = common::products::product([1, 1, k], (false, false), (F32, F32));
    let ins = [common::tensor(F32, &[k], &vec![x; k]), common::tensor(F32, &[k], &vec![1.0; k])].to_vec();
    let case = common::Case::new("a sum", Task::Gemm(gemm), ins, vec![Fact::new(F32, &[1, 1])]);
    let sum = common::run(device, &common::single(&case), &case.ins).expect("a run").remove(0);
    sum.to_f64s().expect("a number")[0] / (f64::from(x as f32) * k as f64)
}

#[test]
fn long_sums_are_cut_so_that_errors_grow_slowly() {
    let Some(device) = device() else { return };
    for k in [1 << 14, 1 << 16] {
        let worst = [0.1, 0.3, 0.7, 1.1].map(|x| (sum_of(device, k, x) - 1.0).abs()).into_iter().fold(0.0, f64::max);
        assert!(worst < 4e-5, "{worst:e} for {k}");
    }
}
