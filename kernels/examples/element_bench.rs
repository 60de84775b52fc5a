//! Speed of everything but products: `element_bench [--threads N] [FILTER]` prints the time and throughput of typical
//! tasks, and how their throughput compares with that of copying memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir_graph::task::*;
use mindir_graph::{DType, Fact, Strides, dense_strides, shape};
use mindir_kernels::cpu::{Block, CpuDevice, Isa, Threads};
use mindir_kernels::device::{Place, Stage, Step, Weights};

const F32: DType = DType::F32;

struct Case {
    name: String,
    task: Task,
    ins: Vec<Fact>,
    outs: Vec<Fact>,
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
    println!("{:34} {:>10} {:>8} {:>8} {:>9}  kernel", "case", "µs", "ns/elem", "GB/s", "of copy");
    for case in cases().into_iter().filter(|c| c.name.contains(&filter)) {
        let bytes = case.ins.iter().chain(&case.outs).map(Fact::bytes).sum::<usize>();
        let copy = bytes as f64 / memcpy(bytes / 2);
        let (kernel, seconds) = time(&device, &case);
        let elements = case.ins.iter().chain(&case.outs).map(Fact::count).max().unwrap_or(1);
        println!(
            "{:34} {:>10.1} {:>8.3} {:>8.2} {:>8.0}%  {kernel}",
            case.name,
            seconds * 1e6,
            seconds * 1e9 / elements as f64,
            bytes as f64 / seconds / 1e9,
            100.0 * bytes as f64 / seconds / copy,
        );
    }
}

/// Best time of `f`.
fn best(mut f: impl FnMut()) -> f64 {
    let (start, mut best) = (Instant::now(), Duration::MAX);
    f();
    while start.elapsed() < Duration::from_millis(200) {
        let round = Instant::now();
        f();
        best = best.min(round.elapsed());
    }
    best.as_secs_f64()
}

/// Seconds that one thread needs to copy `bytes`.
fn memcpy(bytes: usize) -> f64 {
    let (from, mut to) = (Block::<u8>::zeroed(bytes).unwrap(), Block::<u8>::zeroed(bytes).unwrap());
    to.fill(1);
    best(|| to.copy_from_slice(std::hint::black_box(&from)))
}

fn time(device: &CpuDevice, case: &Case) -> (String, f64) {
    let places = |n: usize, f: fn(usize) -> Place| (0..n).map(f).collect();
    let step = Step {
        task: case.task.clone(),
        ins: places(case.ins.len(), Place::Input),
        in_facts: case.ins.clone(),
        outs: places(case.outs.len(), Place::Output),
        out_facts: case.outs.clone(),
        path: "bench".into(),
    };
    let stage = Stage { steps: vec![step], inputs: case.ins.clone(), outputs: case.outs.clone(), ..Stage::default() };
    let program = stage.build(device, &Weights::default()).expect("the task has a kernel");
    let mut session = Arc::clone(&program).session();
    let ins: Vec<Block<u8>> = case.ins.iter().map(noise).collect();
    let mut outs: Vec<Block<u8>> = case.outs.iter().map(|f| Block::zeroed(f.bytes()).unwrap()).collect();
    let ins: Vec<&[u8]> = ins.iter().map(|b| &b[..]).collect();
    let mut outs: Vec<&mut [u8]> = outs.iter_mut().map(|b| &mut b[..]).collect();
    let seconds = best(|| session.run_bytes(&ins, &mut outs).expect("the task runs"));
    (program.kernels().remove(0), seconds)
}

fn noise(fact: &Fact) -> Block<u8> {
    let mut state = 1u64;
    let values: Vec<f64> = (0..fact.count())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 22) - 2.0
        })
        .collect();
    let tensor = mindir_graph::Tensor::from_f64s(fact.dtype, &fact.shape, &values).expect("a real type");
    let mut block = Block::zeroed(tensor.bytes().len()).unwrap();
    block.copy_from_slice(tensor.bytes());
    block
}

fn fact(dims: &[usize]) -> Fact {
    Fact::new(F32, dims)
}

fn map(name: &str, program: Program, dims: &[usize], ins: Vec<Fact>) -> Case {
    let out = Fact::new(program.dtype().unwrap_or(F32), dims);
    Case { name: name.into(), task: Task::Map(Map { shape: shape(dims), program }), ins, outs: vec![out] }
}

fn maps(cases: &mut Vec<Case>) {
    let size = [197, 3072];
    for &f in Unary::ALL {
        let mut p = Program::new();
        let x = p.input(0, F32);
        p.unary(f, x);
        if f != Unary::Not {
            cases.push(map(&format!("map {}", f.name()), p, &size, vec![fact(&size)]));
        }
    }
    for dtype in [F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8] {
        let mut p = Program::new();
        let (x, y) = (p.input(0, dtype), p.input(1, dtype));
        p.binary(Binary::Add, x, y);
        let both = |y: &[usize]| vec![Fact::new(dtype, &size), Fact::new(dtype, y)];
        cases.push(map(&format!("map x + y {dtype}"), p.clone(), &size, both(&size)));
        if dtype == F32 {
            cases.push(map("map x + bias", p.clone(), &size, both(&[3072])));
            cases.push(map(
                "map x + small",
                p.clone(),
                &[16, 16, 56, 56],
                vec![fact(&[16, 16, 56, 56]), fact(&[16, 1, 1])],
            ));
            cases.push(map("map x + 7×7", p.clone(), &[64, 64, 7, 7], vec![fact(&[64, 64, 7, 7]), fact(&[64, 1, 1])]));
            cases.push(map("map x + column", p.clone(), &size, both(&[197, 1])));
            cases.push(map("map tiny", p, &[64], vec![fact(&[64]), fact(&[64])]));
        }
    }
    let mut p = Program::new();
    let (x, y) = (p.input(0, DType::Bool), p.input(1, DType::Bool));
    p.binary(Binary::And, x, y);
    let truths = Fact::new(DType::Bool, &[1 << 20]);
    cases.push(map("map x and y", p, &[1 << 20], vec![truths.clone(), truths]));
    let mut p = Program::new();
    let (x, y) = (p.input(0, F32), p.input(1, F32));
    let (half, one) = (p.constant(0.5, F32), p.constant(1.0, F32));
    let scaled = p.binary(Binary::Mul, x, half);
    let sum = p.binary(Binary::Add, scaled, one);
    let product = p.binary(Binary::Mul, sum, y);
    p.binary(Binary::Sub, product, x);
    cases.push(map("map (x / 2 + 1) y - x", p, &size, vec![fact(&size), fact(&size)]));
}

fn rows(cases: &mut Vec<Case>) {
    for (outer, len, inner) in [(2304, 197, 1), (12 * 128, 128, 1), (64, 100, 49)] {
        for dtype in [F32, DType::F16] {
            let x = Fact::new(dtype, &[outer, len, inner]);
            let task = Task::Softmax(Softmax { outer, len, inner, log: false, dtype });
            let name = format!("softmax {outer}×{len}×{inner} {dtype}");
            cases.push(Case { name, task, ins: vec![x.clone()], outs: vec![x] });
        }
    }
    for (rows, cols) in [(197, 768), (3136, 96)] {
        let norm =
            Norm { kind: NormKind::Layer, rows, cols, eps: 1e-5, gamma: true, beta: true, stats: false, dtype: F32 };
        let ins = vec![fact(&[rows, cols]), fact(&[cols]), fact(&[cols])];
        cases.push(Case {
            name: format!("norm {rows}×{cols}"),
            task: Task::Norm(norm),
            ins,
            outs: vec![fact(&[rows, cols])],
        });
    }
    for (outer, len, inner) in [(1, 49, 2048), (1, 12544, 32), (2048, 49, 1), (4096, 512, 1), (1, 1 << 20, 1)] {
        for kind in [ReduceKind::Mean, ReduceKind::Max, ReduceKind::ArgMax] {
            let out = if kind == ReduceKind::ArgMax { DType::I32 } else { F32 };
            let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype: F32, out });
            let (ins, outs) = (vec![fact(&[outer, len, inner])], vec![Fact::new(out, &[outer, inner])]);
            cases.push(Case { name: format!("reduce {kind:?} {outer}×{len}×{inner}"), task, ins, outs });
        }
    }
    let (outer, len, inner, dtype) = (4096, 512, 1, DType::I64);
    let task = Task::Reduce(Reduce { kind: ReduceKind::Sum, outer, len, inner, dtype, out: dtype });
    let (ins, outs) = (vec![Fact::new(dtype, &[outer, len])], vec![Fact::new(dtype, &[outer])]);
    cases.push(Case { name: format!("reduce Sum {outer}×{len} {dtype}"), task, ins, outs });
    let scan =
        Scan { kind: ScanKind::Sum, outer: 64, len: 1000, inner: 1, exclusive: false, reverse: false, dtype: F32 };
    cases.push(Case {
        name: "scan 64×1000".into(),
        task: Task::Scan(scan),
        ins: vec![fact(&[64, 1000])],
        outs: vec![fact(&[64, 1000])],
    });
}

fn sorts(cases: &mut Vec<Case>) {
    for [outer, len, k] in [
        [1, 8400, 300],
        [80, 8400, 100],
        [1000, 1000, 10],
        [1, 1_000_000, 1000],
        [1, 8400, 8400],
        [1, 1_000_000, 1_000_000],
    ] {
        for ties in [Ties::Stable, Ties::Selected] {
            let (values, dtype, index) = (true, F32, DType::I64);
            let task = Sort { outer, len, inner: 1, k, descending: true, ties, values, dtype, index };
            let outs = vec![fact(&[outer, k]), Fact::new(index, &[outer, k])];
            let name = format!("sort {k} of {outer}×{len} {ties:?}");
            cases.push(Case { name, task: Task::Sort(task), ins: vec![fact(&[outer, len])], outs });
        }
    }
}

fn images(cases: &mut Vec<Case>) {
    for layout in [Layout::Nhwc, Layout::Nchw] {
        for (kind, c, h, k, stride) in [
            (PoolKind::Max, 64, 112, 3, 2),
            (PoolKind::Max, 64, 112, 2, 2),
            (PoolKind::Avg { count_pads: false }, 256, 28, 2, 2),
            (PoolKind::Max, 128, 20, 5, 1),
        ] {
            let pad = if k % 2 == 1 { k / 2 } else { 0 };
            let out = (h + 2 * pad - k) / stride + 1;
            let (kernel, stride, dilation, pads) = ([k; 2], [stride; 2], [1; 2], [pad; 4]);
            let p = Pool {
                kind,
                n: 1,
                c,
                h,
                w: h,
                out_h: out,
                out_w: out,
                kernel,
                stride,
                dilation,
                pads,
                layout,
                dtype: F32,
            };
            let name =
                format!("pool {} {k}×{k}/{} {layout:?}", if kind == PoolKind::Max { "max" } else { "mean" }, stride[0]);
            let (x, y) = (fact(&layout.dims([1, c, h, h])), fact(&layout.dims([1, c, out, out])));
            cases.push(Case { name, task: Task::Pool(p), ins: vec![x], outs: vec![y] });
        }
        for mode in [ResizeMode::Nearest, ResizeMode::Bilinear] {
            let (n, c, h, w, out_h, out_w) = (1, 128, 20, 20, 40, 40);
            let r = Resize { mode, coordinates: Coordinates::HalfPixel, n, c, h, w, out_h, out_w, layout, dtype: F32 };
            let (x, y) = (fact(&layout.dims([n, c, h, w])), fact(&layout.dims([n, c, out_h, out_w])));
            cases.push(Case {
                name: format!("resize {mode:?} {layout:?}"),
                task: Task::Resize(r),
                ins: vec![x],
                outs: vec![y],
            });
        }
    }
}

fn copies(cases: &mut Vec<Case>) {
    let forms: [(&str, &[usize], &[usize]); 6] = [
        ("copy transpose", &[1024, 1024], &[1, 0]),
        ("copy transpose odd", &[197, 771], &[1, 0]),
        ("copy heads", &[1, 197, 12, 64], &[0, 2, 1, 3]),
        ("copy keys", &[1, 197, 12, 64], &[0, 2, 3, 1]),
        ("copy nchw to nhwc", &[1, 64, 56, 56], &[0, 2, 3, 1]),
        ("copy all", &[1 << 20], &[0]),
    ];
    for (name, dims, order) in forms {
        for dtype in [F32, DType::F16] {
            let out: Vec<usize> = order.iter().map(|&d| dims[d]).collect();
            let strides = dense_strides(dims);
            let src: Strides = order.iter().map(|&d| strides[d]).collect();
            let part =
                Part { input: 0, shape: shape(&out), src_offset: 0, src, dst_offset: 0, dst: dense_strides(&out) };
            let task = Task::Copy(Copy { dtype, fill: None, parts: vec![part] });
            let (ins, outs) = (vec![Fact::new(dtype, dims)], vec![Fact::new(dtype, &out)]);
            cases.push(Case { name: format!("{name} {dtype}"), task, ins, outs });
        }
    }
    let (axis, inner, count) = (30_000, 768, 512);
    let gather = Gather { outer: 1, axis, inner, count, batch: false, zeros: false, dtype: F32, index: DType::I32 };
    let ins = vec![fact(&[axis, inner]), Fact::new(DType::I32, &[count])];
    cases.push(Case {
        name: "gather 512 × 768".into(),
        task: Task::Gather(gather),
        ins,
        outs: vec![fact(&[count, inner])],
    });
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    maps(&mut cases);
    rows(&mut cases);
    sorts(&mut cases);
    images(&mut cases);
    copies(&mut cases);
    cases
}
