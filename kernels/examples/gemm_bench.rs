//! Speed of products and convolutions: `gemm_bench [--threads N] [FILTER]` prints GFLOP/s, GB/s and the share of the
//! processor's multiply-add peak for typical shapes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir_graph::task::{Binary, Conv, Epilogue, EpilogueInput, Gemm, Layout, Matrix, Program, Task, Unary};
use mindir_graph::{DType, Fact, Strides, Tensor, shape};
use mindir_kernels::cpu::simd::{Kernel, Simd};
use mindir_kernels::cpu::{Block, CpuDevice, Isa, Threads};
use mindir_kernels::device::{Place, Run, Stage, Step, Weights};

struct Case {
    name: String,
    task: Task,
    ins: Vec<Fact>,
    constant: Vec<usize>,
    out: Fact,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut threads, mut filter) = (1, String::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" => threads = args.next().and_then(|n| n.parse().ok()).unwrap_or(1),
            _ => filter = arg,
        }
    }
    let device = CpuDevice::new(Isa::detect().expect("an instruction set"), Threads::new(threads));
    let peak = threads as f64 * device.isa().run(Peak);
    println!("{} × {threads}: peak {peak:.0} GFLOP/s", device.isa());
    println!("{:34} {:>10} {:>8} {:>6} {:>7}  kernel", "case", "µs", "GFLOP/s", "peak%", "GB/s");
    for case in cases().into_iter().filter(|c| c.name.contains(&filter)) {
        let (kernel, seconds) = time(&device, &case);
        let flops = case.task.flops(std::slice::from_ref(&case.out)) as f64 / seconds / 1e9;
        let bytes = case.ins.iter().map(Fact::bytes).sum::<usize>() + case.out.bytes();
        println!(
            "{:34} {:>10.1} {:>8.1} {:>6.1} {:>7.1}  {kernel}",
            case.name,
            seconds * 1e6,
            flops,
            100.0 * flops / peak,
            bytes as f64 / seconds / 1e9
        );
    }
}

/// GFLOP/s of one thread without memory.
struct Peak;

impl Kernel for Peak {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        const ROUNDS: usize = 2_000_000;
        let (x, mut best) = (s.splat(std::hint::black_box(0.999)), f64::MAX);
        for _ in 0..10 {
            let mut acc = [s.splat(1.0); 10];
            let start = Instant::now();
            for _ in 0..ROUNDS {
                for a in &mut acc {
                    *a = s.fma(*a, x, x);
                }
            }
            let seconds = start.elapsed().as_secs_f64();
            std::hint::black_box(acc.map(|a| s.reduce_sum(a)));
            best = best.min(seconds);
        }
        (2 * 10 * S::LANES * ROUNDS) as f64 / best / 1e9
    }
}

fn time(device: &CpuDevice, case: &Case) -> (String, f64) {
    let mut inputs = Vec::new();
    let mut ins = Vec::new();
    for (i, fact) in case.ins.iter().enumerate() {
        let values: Vec<f32> = (0..fact.count()).map(|j| ((j * 7 + i) % 13) as f32 * 0.1 - 0.6).collect();
        let tensor = Tensor::from_vec(&fact.shape, values).expect("the shape fits");
        if case.constant.contains(&i) {
            ins.push(Place::Const(tensor));
        } else {
            ins.push(Place::Input(inputs.len()));
            inputs.push(tensor);
        }
    }
    let step = Step {
        task: case.task.clone(),
        ins,
        in_facts: case.ins.clone(),
        outs: vec![Place::Output(0)],
        out_facts: vec![case.out.clone()],
        path: "bench".into(),
    };
    let stage = Stage {
        steps: vec![step],
        inputs: inputs.iter().map(Tensor::fact).collect(),
        outputs: vec![case.out.clone()],
        ..Stage::default()
    };
    let program = stage.build(device, &Weights::default()).expect("the cpu takes every case");
    let kernel = program.kernels().join(" ");
    let mut session = Arc::clone(&program).session();
    let aligned: Vec<Block<u8>> = inputs
        .iter()
        .map(|t| {
            let mut block = Block::zeroed(t.bytes().len()).unwrap();
            block.copy_from_slice(t.bytes());
            block
        })
        .collect();
    let ins: Vec<&[u8]> = aligned.iter().map(|b| &b[..]).collect();
    let mut out = Block::<u8>::zeroed(case.out.bytes()).unwrap();
    (kernel, fastest(&mut *session, &ins, &mut out))
}

/// Seconds of the fastest run.
fn fastest(session: &mut dyn Run, ins: &[&[u8]], out: &mut [u8]) -> f64 {
    let (mut best, start) = (f64::MAX, Instant::now());
    let mut runs = 0;
    while runs < 10 || start.elapsed() < Duration::from_millis(400) {
        let at = Instant::now();
        session.run_bytes(ins, &mut [&mut *out]).expect("the case runs");
        best = best.min(at.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

fn f32s(dims: &[usize]) -> Fact {
    Fact::new(DType::F32, dims)
}

fn matrix(batch: &[isize], row: usize, col: usize) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

fn gemm(m: usize, n: usize, k: usize, transposed: bool) -> Case {
    let b = if transposed { matrix(&[], 1, k) } else { matrix(&[], n, 1) };
    let (a, c) = (matrix(&[], k, 1), matrix(&[], n, 1));
    let (dtype, out) = (DType::F32, DType::F32);
    let task = Gemm { batch: shape(&[]), m, n, k, a, b, c, dtype, out, tf32: false, epilogue: Some(bias(false)) };
    let name = format!("gemm {m}x{n}x{k}{}", if transposed { " bT" } else { "" });
    Case {
        name,
        task: Task::Gemm(task),
        ins: vec![f32s(&[m, k]), f32s(&[k, n]), f32s(&[n])],
        constant: vec![1, 2],
        out: f32s(&[m, n]),
    }
}

/// `heads` products of `m × k × n`, both operands computed.
fn heads(heads: usize, m: usize, n: usize, k: usize, transposed: bool) -> Case {
    let (batch, suffix) = ([(n * k) as isize], if transposed { " bT" } else { "" });
    let b = if transposed { matrix(&batch, 1, k) } else { matrix(&batch, n, 1) };
    products(heads, [m, n, k], matrix(&[(m * k) as isize], k, 1), b, &[heads, m, k], suffix)
}

/// `heads` products with one transposed `m × k`, both operands computed.
fn heads_of_one(heads: usize, m: usize, n: usize, k: usize) -> Case {
    products(heads, [m, n, k], matrix(&[0], 1, m), matrix(&[(n * k) as isize], n, 1), &[k, m], " aT")
}

fn products(heads: usize, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, a_dims: &[usize], suffix: &str) -> Case {
    let c = matrix(&[(m * n) as isize], n, 1);
    let (dtype, out) = (DType::F32, DType::F32);
    let task = Gemm { batch: shape(&[heads]), m, n, k, a, b, c, dtype, out, tf32: false, epilogue: None };
    Case {
        name: format!("heads {heads} {m}x{n}x{k}{suffix}"),
        task: Task::Gemm(task),
        ins: vec![f32s(a_dims), f32s(&[heads, k, n])],
        constant: vec![],
        out: f32s(&[heads, m, n]),
    }
}

fn bias(relu: bool) -> Epilogue {
    let mut program = Program::new();
    let (x, b) = (program.input(0, DType::F32), program.input(1, DType::F32));
    let sum = program.binary(Binary::Add, x, b);
    if relu {
        program.unary(Unary::Relu, sum);
    }
    Epilogue { program, inputs: vec![EpilogueInput::Column] }
}

fn conv(size: usize, c_in: usize, c_out: usize, kernel: usize, stride: usize, groups: usize, layout: Layout) -> Case {
    let pad = kernel / 2;
    let out = (size + 2 * pad - kernel) / stride + 1;
    let task = Conv {
        n: 1,
        c_in,
        h: size,
        w: size,
        c_out,
        out_h: out,
        out_w: out,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pads: [pad; 4],
        groups,
        layout,
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        scaled: false,
        epilogue: Some(bias(true)),
    };
    let order = if layout == Layout::Nhwc { "nhwc" } else { "nchw" };
    let group = if groups > 1 { format!(" g{groups}") } else { String::new() };
    Case {
        name: format!("conv {size} {c_in}->{c_out} {kernel}x{kernel}/{stride}{group} {order}"),
        task: Task::Conv(task),
        ins: vec![
            f32s(&layout.dims([1, c_in, size, size])),
            f32s(&[c_out, c_in / groups, kernel, kernel]),
            f32s(&[c_out]),
        ],
        constant: vec![1, 2],
        out: f32s(&layout.dims([1, c_out, out, out])),
    }
}

fn cases() -> Vec<Case> {
    let (nhwc, nchw) = (Layout::Nhwc, Layout::Nchw);
    vec![
        gemm(512, 512, 512, false),
        gemm(512, 512, 512, true),
        gemm(1024, 1024, 1024, false),
        gemm(128, 768, 768, true),
        gemm(128, 3072, 768, true),
        gemm(128, 768, 3072, true),
        gemm(197, 192, 192, true),
        gemm(8, 512, 784, true),
        gemm(1, 512, 784, true),
        gemm(1, 512, 784, false),
        gemm(1, 3072, 768, true),
        gemm(1, 1000, 2048, false),
        heads(1, 64, 576, 25088, true),
        heads(1, 576, 64, 25088, true),
        heads(1, 64, 576, 25088, false),
        heads(1, 512, 4608, 392, true),
        heads(1, 4608, 512, 392, true),
        heads(1, 4608, 392, 512, false),
        heads(1, 392, 4608, 512, false),
        heads(8, 4608, 49, 512, false),
        heads_of_one(8, 4608, 49, 512),
        heads_of_one(1, 4608, 392, 512),
        heads_of_one(8, 576, 3136, 64),
        heads(8, 576, 3136, 64, false),
        heads(12, 128, 128, 64, true),
        heads(12, 128, 64, 128, false),
        heads(12, 1, 256, 64, true),
        heads(12, 1, 64, 256, false),
        conv(224, 3, 64, 7, 2, 1, nhwc),
        conv(224, 3, 32, 3, 2, 1, nhwc),
        conv(56, 64, 64, 1, 1, 1, nhwc),
        conv(56, 64, 64, 3, 1, 1, nhwc),
        conv(56, 64, 256, 1, 1, 1, nhwc),
        conv(56, 256, 64, 1, 1, 1, nhwc),
        conv(28, 128, 128, 3, 1, 1, nhwc),
        conv(28, 512, 128, 1, 1, 1, nhwc),
        conv(14, 256, 256, 3, 1, 1, nhwc),
        conv(14, 256, 1024, 1, 1, 1, nhwc),
        conv(14, 1024, 256, 1, 1, 1, nhwc),
        conv(14, 1024, 2048, 1, 2, 1, nhwc),
        conv(7, 512, 512, 3, 1, 1, nhwc),
        conv(7, 512, 2048, 1, 1, 1, nhwc),
        conv(7, 2048, 512, 1, 1, 1, nhwc),
        conv(112, 32, 32, 3, 1, 32, nhwc),
        conv(112, 96, 96, 3, 2, 96, nhwc),
        conv(56, 144, 144, 3, 1, 144, nhwc),
        conv(14, 384, 384, 3, 1, 384, nhwc),
        conv(7, 960, 960, 3, 1, 960, nhwc),
        conv(28, 120, 120, 5, 1, 120, nhwc),
        conv(224, 3, 64, 7, 2, 1, nchw),
        conv(28, 1, 6, 5, 1, 1, nchw),
        conv(14, 6, 16, 5, 1, 1, nchw),
        conv(56, 64, 64, 3, 1, 1, nchw),
        conv(56, 144, 144, 3, 1, 144, nchw),
    ]
}
