//! The CUDA device against the plain references, on a driver and a compiler that run kernels on the processor.
//!
//! Without g++ these tests print why and pass, unless the environment variable `MINDIR_REQUIRE` contains `cuda`: then they
//! fail.

#[path = "cuda/address.rs"]
mod address;
#[path = "wgpu/attention.rs"]
mod attention;
#[path = "cuda/mod.rs"]
mod emulation;
#[path = "wgpu/images.rs"]
mod images;
#[path = "wgpu/indices.rs"]
mod indices;
#[path = "cuda/left.rs"]
mod left;
#[path = "cuda/lt.rs"]
mod lt;
#[path = "cuda/memory.rs"]
mod memory;
#[path = "wgpu/sequences.rs"]
mod sequences;

use std::process::Command;
use std::sync::{Arc, OnceLock};

use mindir_graph::random::SplitMix;
use mindir_graph::task::{
    Binary, Copy, Epilogue, EpilogueInput, Gemm, Instr, Map, Matrix, Norm, NormKind, Part, Program, Reduce, ReduceKind,
    Softmax, Task, Unary,
};
use mindir_graph::{DType, Fact, Strides, Tensor, dense_strides, shape};
use mindir_kernels::cuda::{CudaDevice, Limits, Options};
use mindir_kernels::device::{
    Device, DeviceError, DeviceTensor, Input, Output, Place, Run, Slot, Stage, Step, TaskView, Weights,
};
use mindir_kernels::plain;

use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};

const ALL: [DType; 13] = [F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

fn device() -> Option<&'static CudaDevice> {
    static DEVICE: OnceLock<Option<CudaDevice>> = OnceLock::new();
    DEVICE.get_or_init(|| open(None)).as_ref()
}

/// A device that binds no more than 4 KiB, so that it takes tensors in parts.
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
    match opened {
        Ok(device) => Some(device),
        Err(reason) => {
            let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("cuda"));
            assert!(!required, "MINDIR_REQUIRE asks for cuda: {reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

/// Tensors that look random.
struct Noise(SplitMix);

impl Noise {
    fn tensor(&mut self, dtype: DType, dims: &[usize], low: f64, high: f64) -> Tensor {
        let count: usize = dims.iter().product();
        let data: Vec<f64> = (0..count).map(|_| low + (high - low) * (f64::from(self.0.even()) + 1.0) / 2.0).collect();
        tensor(dtype, dims, &data)
    }
}

fn tensor(dtype: DType, dims: &[usize], data: &[f64]) -> Tensor {
    match dtype {
        Bool => Tensor::from_bools(dims, &data.iter().map(|&x| x > 0.0).collect::<Vec<_>>()),
        _ => Tensor::from_f64s(dtype, dims, data),
    }
    .expect("a tensor")
}

/// How far results of a type may be off, where they are not exact: absolutely and relative to the size.
fn close(dtype: DType) -> (f64, f64) {
    match dtype {
        F32 => (1e-6, 4e-6),
        F64 => (1e-14, 1e-13),
        F16 => (1e-6, 2e-3),
        BF16 => (1e-6, 1.6e-2),
        _ => (0.0, 0.0),
    }
}

/// A task with operands, results and how far the results may be off.
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

    fn near(self, (absolute, relative): (f64, f64)) -> Case {
        self.within(absolute, relative)
    }

    fn check(&self, device: &CudaDevice) -> Result<(), String> {
        let want = plain::run(&self.task, &self.ins, &self.outs).map_err(|e| format!("reference: {e}"))?;
        let got = run(device, &single(self), &self.ins).map_err(|e| e.to_string())?;
        want.iter().zip(&got).try_for_each(|(want, got)| self.compare(want, got))
    }

    fn compare(&self, want: &Tensor, got: &Tensor) -> Result<(), String> {
        if !want.dtype().is_float() {
            let (want, got) = (want.to_i64s().expect("integers"), got.to_i64s().expect("integers"));
            let wrong = want.iter().zip(&got).enumerate().find(|(_, (w, g))| w != g);
            return wrong.map_or(Ok(()), |(i, (w, g))| Err(format!("element {i} is {g}, expected {w}")));
        }
        let (want, got) = (want.to_f64s().expect("numbers"), got.to_f64s().expect("numbers"));
        for (i, (&w, &g)) in want.iter().zip(&got).enumerate() {
            let same = w == g && (w != 0.0 || w.is_sign_negative() == g.is_sign_negative() || self.absolute > 0.0);
            let near = (w - g).abs() <= self.absolute + self.relative * w.abs();
            if !(same || near || w.is_nan() && g.is_nan()) {
                return Err(format!("element {i} is {g}, expected {w}"));
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
    device: &CudaDevice,
    session: &mut dyn Run,
    stage: &Stage,
    ins: &[&[u8]],
    outs: &mut [&mut [u8]],
) -> Result<(), DeviceError> {
    let memory = device.own_memory().expect("memory of its own");
    memory.run_bytes(session, (&stage.inputs, &stage.outputs), ins, outs)
}

/// Runs a stage twice in one session; `ins` are the operands of [`single`], of which even ones are inputs.
fn run(device: &CudaDevice, stage: &Stage, ins: &[Tensor]) -> Result<Vec<Tensor>, DeviceError> {
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
        let ins: Vec<Fact> = case.ins.iter().map(Tensor::fact).collect();
        device.offer(TaskView { task: &case.task, ins: &ins, known: &known, outs: &case.outs }).is_ok()
    };
    let taken: Vec<&Case> = cases.iter().filter(takes).collect();
    assert!(taken.len() >= least, "{} of {} cases", taken.len(), cases.len());
    let failures: Vec<String> =
        taken.iter().filter_map(|c| c.check(device).err().map(|e| format!("{}: {e}", c.name))).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), taken.len(), failures.join("\n"));
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
    for dtype in ALL {
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
    for dtype in ALL {
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
    for from in ALL {
        for to in ALL {
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

#[test]
fn every_half_is_read_and_written() {
    for (dtype, infinity) in [(F16, 0x7c00), (BF16, 0x7f80)] {
        let quiet = (0..=u16::MAX).filter(|bits| bits & 0x7fff <= infinity);
        let bytes: Vec<u8> = quiet.flat_map(u16::to_le_bytes).collect();
        let count = bytes.len() / 2;
        let x = Tensor::from_bytes(dtype, &[count], bytes.into()).expect("a tensor");
        let mut p = Program::new();
        let r = p.input(0, dtype);
        let wide = p.cast(r, F32);
        p.cast(wide, dtype);
        let task = Task::Map(Map { shape: shape(&[count]), program: p });
        check(&[Case::new(format!("{dtype}"), task, vec![x], vec![Fact::new(dtype, &[count])])]);
    }
}

#[test]
fn broadcast_maps() {
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
        let (x, y, z) = (p.input(0, F32), p.input(1, F32), p.input(2, Bool));
        let (sum, product) = (p.binary(Binary::Add, x, y), p.binary(Binary::Mul, x, y));
        p.select(z, sum, product);
        let dims = mindir_graph::broadcast(a, b).and_then(|s| mindir_graph::broadcast(&s, c)).expect("shapes that fit");
        let mut noisy = |dtype, dims: &[usize]| noise.tensor(dtype, dims, -2.0, 2.0);
        let ins = vec![noisy(F32, a), noisy(F32, b), noisy(Bool, c)];
        let task = Task::Map(Map { shape: dims.clone(), program: p });
        cases.push(Case::new(format!("{a:?} {b:?} {c:?}"), task, ins, vec![Fact::new(F32, &dims)]));
    }
    check(&cases);
}

fn part(input: usize, dims: &[usize], src: (usize, &[isize]), dst: (usize, &[isize])) -> Part {
    let strides = Strides::from_slice;
    Part { input, shape: shape(dims), src_offset: src.0, src: strides(src.1), dst_offset: dst.0, dst: strides(dst.1) }
}

#[test]
fn copies() {
    let mut noise = Noise(SplitMix(6));
    let mut cases = Vec::new();
    for dtype in [F32, Bool, I8, U16, F16, F64, I64] {
        let mut copy = |name: &str, dims: &[usize], parts: Vec<Part>, ins: Vec<Tensor>, fill: Option<Vec<u8>>| {
            let task = Task::Copy(Copy { dtype, fill, parts });
            cases.push(Case::new(format!("{name} of {dtype}"), task, ins, vec![Fact::new(dtype, dims)]));
        };
        let x = noise.tensor(dtype, &[3, 4, 5], -90.0, 90.0);
        let dense = dense_strides(&[5, 4, 3]);
        let transpose = part(0, &[5, 4, 3], (0, &[1, 5, 20]), (0, &dense));
        copy("transpose", &[5, 4, 3], vec![transpose], vec![x.clone()], None);
        copy("reverse", &[60], vec![part(0, &[60], (59, &[-1]), (0, &[1]))], vec![x.clone()], None);
        let element = tensor(dtype, &[1], &[1.0]).bytes().to_vec();
        let pad = part(0, &[12, 5], (0, &[5, 1]), (8, &[7, 1]));
        copy("pad", &[14, 7], vec![pad], vec![x.clone()], Some(element.clone()));
        let other = noise.tensor(dtype, &[3, 2, 5], -90.0, 90.0);
        let parts =
            vec![part(0, &[3, 20], (0, &[20, 1]), (0, &[30, 1])), part(1, &[3, 10], (0, &[10, 1]), (20, &[30, 1]))];
        copy("concatenate", &[3, 6, 5], parts, vec![x.clone(), other], None);
        copy("repeat", &[2, 60], vec![part(0, &[2, 60], (0, &[0, 1]), (0, &[60, 1]))], vec![x], None);
        copy("fill", &[700], Vec::new(), Vec::new(), Some(element));
    }
    let dims = [2, 3, 2, 3, 2, 3, 2];
    let mut order = dims;
    order.reverse();
    let mut strides = dense_strides(&dims);
    strides.reverse();
    let parts = vec![part(0, &order, (0, &strides), (0, &dense_strides(&order)))];
    let task = Task::Copy(Copy { dtype: F32, fill: None, parts });
    let x = noise.tensor(F32, &dims, -2.0, 2.0);
    cases.push(Case::new("seven dimensions", task, vec![x], vec![Fact::new(F32, &order)]));
    check(&cases);
}

fn matrix(batch: &[isize], row: usize, col: usize) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

fn product(m: usize, n: usize, k: usize, transposed: (bool, bool), dtype: DType) -> Gemm {
    Gemm {
        batch: shape(&[]),
        m,
        n,
        k,
        a: if transposed.0 { matrix(&[], 1, m) } else { matrix(&[], k, 1) },
        b: if transposed.1 { matrix(&[], 1, k) } else { matrix(&[], n, 1) },
        c: matrix(&[], n, 1),
        dtype,
        out: dtype,
        tf32: false,
        epilogue: None,
    }
}

#[test]
fn matrix_products() {
    let mut noise = Noise(SplitMix(7));
    let mut cases = Vec::new();
    let sizes = [(1, 1, 1), (1, 130, 33), (5, 7, 3), (17, 65, 15), (64, 64, 64), (67, 129, 100), (3, 4, 0), (40, 3, 5)];
    for dtype in ALL {
        for (i, &(m, n, k)) in sizes.iter().enumerate() {
            let transposed = (i % 2 == 1, i / 2 % 2 == 1);
            let task = Task::Gemm(product(m, n, k, transposed, dtype));
            let ins = [m * k, k * n].map(|count| noise.tensor(dtype, &[count], -3.0, 3.0)).to_vec();
            let (absolute, relative) = close(dtype);
            let name = format!("{m}x{n}x{k} {transposed:?} of {dtype}");
            let case = Case::new(name, task, ins, vec![Fact::new(dtype, &[m, n])]);
            cases.push(case.within(absolute * 4.0 * k as f64, relative));
        }
    }
    let mut bytes = product(20, 30, 40, (false, true), I8);
    bytes.out = I32;
    let ins = [800, 1200].map(|count| noise.tensor(I8, &[count], -128.0, 127.0)).to_vec();
    cases.push(Case::new("bytes", Task::Gemm(bytes), ins, vec![Fact::new(I32, &[20, 30])]));
    check(&cases);
}

/// Factors of 16 bits, sums and bias of `f32`, and a result of either.
#[test]
fn mixed_products() {
    let mut noise = Noise(SplitMix(12));
    let mut cases = Vec::new();
    for dtype in [F16, BF16] {
        for (m, n, k) in [(5, 7, 3), (17, 65, 40), (64, 64, 64), (67, 129, 100), (70, 3, 0)] {
            for result in [F32, dtype] {
                let mut p = Program::new();
                let (sum, bias) = (p.input(0, F32), p.input(1, F32));
                let total = p.binary(Binary::Add, sum, bias);
                p.cast(total, result);
                let epilogue = Some(Epilogue { program: p, inputs: vec![EpilogueInput::Column] });
                let task = Gemm { out: F32, epilogue, ..product(m, n, k, (false, true), dtype) };
                let mut ins = [m * k, k * n].map(|count| noise.tensor(dtype, &[count], -3.0, 3.0)).to_vec();
                ins.push(noise.tensor(F32, &[n], -1.0, 1.0));
                let (absolute, relative) = close(result);
                let name = format!("{m}x{n}x{k} of {dtype} to {result}");
                let case = Case::new(name, Task::Gemm(task), ins, vec![Fact::new(result, &[m, n])]);
                cases.push(case.within(absolute * 4.0 * (k + 1) as f64, relative));
            }
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
            let task = Task::Gemm(Gemm { tf32: true, ..product(m, n, k, transposed, F32) });
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
        let task = Task::Gemm(Gemm { tf32, ..product(64, 1, 4, (false, false), F32) });
        let view = TaskView { task: &task, ins: &facts, known: &[false; 2], outs: &outs };
        assert_eq!(device.offer(view).map(|offer| offer.kernel), Ok(kernel.to_string()));
        let case = Case::new(kernel, task, ins.clone(), outs.to_vec());
        let got = run(device, &single(&case), &case.ins).expect("a result");
        assert_eq!(got[0].to_f64s().expect("numbers"), [want; 64], "tf32 {tf32}");
    }
}

#[test]
fn batched_products_with_epilogues() {
    let mut noise = Noise(SplitMix(8));
    let mut cases = Vec::new();
    use EpilogueInput::{Column, Full, Row, Scalar};
    for (dtype, m) in [(F32, 19), (F16, 19), (F16, 70), (BF16, 70), (F64, 70)] {
        let (n, k) = (23, 9);
        // Heads of attention: strided rows, a repeated right-hand side, an epilogue that reads in every way.
        let mut p = Program::new();
        let sum = p.input(0, dtype);
        let others: Vec<usize> = (1..5).map(|i| p.input(i, dtype)).collect();
        let total = others.into_iter().fold(sum, |t, x| p.binary(Binary::Add, t, x));
        p.unary(Unary::Tanh, total);
        let task = Gemm {
            batch: shape(&[2, 3]),
            a: matrix(&[(m * 3 * k) as isize, k as isize], 3 * k, 1),
            b: matrix(&[0, (k * n) as isize], n, 1),
            c: matrix(&[(3 * m * n) as isize, (m * n) as isize], n, 1),
            epilogue: Some(Epilogue { program: p, inputs: vec![Scalar, Column, Row, Full] }),
            ..product(m, n, k, (false, false), dtype)
        };
        let dims: [&[usize]; 6] = [&[2, m, 3, k], &[3, k, n], &[1], &[n], &[6, m], &[2, 3, m, n]];
        let ins = dims.iter().map(|d| noise.tensor(dtype, d, -2.0, 2.0)).collect();
        let outs = vec![Fact::new(dtype, &[2, 3, m, n])];
        let (absolute, relative) = close(dtype);
        let near = (absolute * 10.0 + relative, relative);
        cases.push(Case::new(format!("heads of {dtype}"), Task::Gemm(task.clone()), ins, outs).near(near));
        let mut p = Program::new();
        let (x, limit) = (p.input(0, dtype), p.constant(0.0, dtype));
        p.binary(Binary::Gt, x, limit);
        let epilogue = Some(Epilogue { program: p, inputs: Vec::new() });
        // The result has more elements than the product writes.
        let c = Matrix { offset: 5, ..matrix(&[(2 * m * n) as isize], 2 * n, 1) };
        let a = matrix(&[(m * k) as isize], k, 1);
        let b = matrix(&[0], n, 1);
        let sparse = Gemm { batch: shape(&[2]), a, b, c, epilogue, ..task };
        let ins = vec![noise.tensor(dtype, &[2, m, k], -2.0, 2.0), noise.tensor(dtype, &[k, n], -2.0, 2.0)];
        let outs = vec![Fact::new(Bool, &[2, m, 2, n])];
        cases.push(Case::new(format!("signs of {dtype}"), Task::Gemm(sparse), ins, outs));
    }
    check(&cases);
}

#[test]
fn softmaxes() {
    let mut noise = Noise(SplitMix(9));
    let mut cases = Vec::new();
    let mut softmax = |x: Tensor, [outer, len, inner]: [usize; 3], log: bool| {
        let dtype = x.dtype();
        let task = Task::Softmax(Softmax { outer, len, inner, log, dtype });
        let outs = vec![x.fact()];
        let (absolute, relative) = close(dtype);
        let near = if log { (20.0 * relative, relative) } else { (absolute, 4.0 * relative) };
        cases.push(Case::new(format!("{outer} {len} {inner} {log} of {dtype}"), task, vec![x], outs).near(near));
    };
    for dtype in [F32, F64, F16, BF16] {
        for dims in [[1, 1, 1], [5, 10, 1], [3, 33, 1], [7, 1000, 1], [2, 9, 6], [4, 100, 3], [20, 257, 1], [3, 0, 2]] {
            for log in [false, true] {
                softmax(noise.tensor(dtype, &dims, -20.0, 20.0), dims, log);
            }
        }
        let masked = [0.5, f64::NEG_INFINITY, 1.5, 0.0].repeat(20);
        softmax(tensor(dtype, &[2, 40], &masked), [2, 40, 1], false);
        let mut special = masked;
        special[3] = f64::NAN;
        special[40..].fill(f64::NEG_INFINITY);
        softmax(tensor(dtype, &[2, 40], &special), [2, 40, 1], false);
    }
    check(&cases);
}

#[test]
fn norms() {
    let mut noise = Noise(SplitMix(10));
    let mut cases = Vec::new();
    for dtype in [F32, F64, F16, BF16] {
        for (rows, cols) in [(1, 1), (3, 7), (5, 768), (2, 1025)] {
            for bits in 0..16 {
                let [rms, gamma, beta, stats] = [0, 1, 2, 3].map(|b| bits >> b & 1 == 1);
                let kind = if rms { NormKind::Rms } else { NormKind::Layer };
                let task = Norm { kind, rows, cols, eps: 1e-5, gamma, beta, stats, dtype };
                let mut ins = vec![noise.tensor(dtype, &[rows, cols], 1.0, 5.0)];
                let operands = usize::from(gamma) + usize::from(beta);
                ins.extend((0..operands).map(|_| noise.tensor(dtype, &[cols], -2.0, 2.0)));
                let mut outs = vec![ins[0].fact()];
                outs.extend((0..if stats { 2 - usize::from(rms) } else { 0 }).map(|_| Fact::new(F32, &[rows])));
                let (absolute, relative) = close(dtype);
                let near = (4.0 * absolute + 2.0 * relative, 2.0 * relative);
                let near = if stats { (near.0.max(1e-6), near.1.max(1e-6)) } else { near };
                let name = format!("{rows} {cols} {bits:04b} of {dtype}");
                cases.push(Case::new(name, Task::Norm(task), ins, outs).near(near));
            }
        }
    }
    check(&cases);
}

#[test]
fn reductions() {
    use ReduceKind::{All, Any, ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    let mut noise = Noise(SplitMix(11));
    let mut cases = Vec::new();
    let kinds = [Sum, Mean, Prod, Max, Min, All, Any, ArgMax, ArgMin];
    for (i, dims) in [[1, 1, 1], [3, 20, 1], [5, 255, 1], [2, 1000, 1], [3, 11, 7], [4, 0, 3]].into_iter().enumerate() {
        let [outer, len, inner] = dims;
        for kind in kinds {
            if len == 0 && matches!(kind, Max | Min | ArgMax | ArgMin) {
                continue;
            }
            for dtype in ALL {
                let positions = if i % 2 == 0 { I32 } else { I64 };
                let out = if matches!(kind, ArgMax | ArgMin) { positions } else { dtype };
                let (low, high) = if kind == Prod { (0.95, 1.05) } else { (-9.0, 9.0) };
                let x = noise.tensor(dtype, &dims, low, high);
                let outs = vec![Fact::new(out, &[outer, inner])];
                let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
                let (absolute, relative) = close(dtype);
                let near = (absolute * 4.0 * len as f64, 8.0 * relative);
                cases.push(Case::new(format!("{kind:?} of {dtype} {dims:?}"), task, vec![x], outs).near(near));
            }
        }
    }
    for dtype in [F32, F64, F16, BF16] {
        let x = tensor(dtype, &[4], &[1.0, f64::NAN, 7.0, f64::NAN]);
        for (kind, out) in [(Max, dtype), (Min, dtype), (ArgMax, I32), (ArgMin, I32), (Any, dtype), (All, dtype)] {
            let task = Task::Reduce(Reduce { kind, outer: 1, len: 4, inner: 1, dtype, out });
            let outs = vec![Fact::new(out, &[1])];
            cases.push(Case::new(format!("{kind:?} of {dtype} with NaN"), task, vec![x.clone()], outs));
        }
    }
    check(&cases);
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
        for test in ["softmaxes", "reductions", "batched_products_with_epilogues"] {
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
