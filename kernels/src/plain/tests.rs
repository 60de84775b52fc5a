use std::sync::Arc;

use mindir_graph::task::*;
use mindir_graph::{DType, Fact, OpError, Tensor, shape};

use super::run;

fn floats(dims: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_slice(dims, data).unwrap()
}

fn one(x: &Tensor) -> &[Tensor] {
    std::slice::from_ref(x)
}

fn count_up(dims: &[usize]) -> Tensor {
    let data: Vec<f32> = (0..dims.iter().product()).map(|i| i as f32).collect();
    floats(dims, &data)
}

#[track_caller]
fn gives(task: Task, ins: &[Tensor], want: &[Tensor]) {
    let facts: Vec<Fact> = want.iter().map(Tensor::fact).collect();
    assert_eq!(run(&task, ins, &facts).unwrap(), want);
}

#[track_caller]
fn refuses(task: Task, ins: &[Tensor], outs: &[Fact]) {
    let found = run(&task, ins, outs);
    assert!(matches!(found, Err(OpError::Invalid(_))), "{found:?}");
}

fn dense(row: usize) -> Matrix {
    Matrix { batch: [].into_iter().collect(), row, col: 1, offset: 0 }
}

fn gemm(m: usize, n: usize, k: usize, dtype: DType, out: DType) -> Gemm {
    Gemm { batch: shape(&[]), m, n, k, a: dense(k), b: dense(n), c: dense(n), dtype, out, tf32: false, epilogue: None }
}

fn add_relu(inputs: usize) -> Program {
    let mut p = Program::new();
    let regs: Vec<Reg> = (0..inputs).map(|i| p.input(i, DType::F32)).collect();
    let sum = regs[1..].iter().fold(regs[0], |s, &r| p.binary(Binary::Add, s, r));
    p.unary(Unary::Relu, sum);
    p
}

#[test]
fn gemm_multiplies() {
    let task = gemm(2, 2, 3, DType::F32, DType::F32);
    let (a, b) = (count_up(&[2, 3]), count_up(&[3, 2]));
    gives(Task::Gemm(task), &[a, b], &[floats(&[2, 2], &[10., 13., 28., 40.])]);
}

#[test]
fn gemm_transposes_and_repeats_by_strides() {
    let mut task = gemm(2, 2, 2, DType::F32, DType::F32);
    task.batch = shape(&[2]);
    task.a = Matrix { batch: [4].into_iter().collect(), row: 1, col: 2, offset: 0 };
    task.b.batch = [0].into_iter().collect();
    task.c.batch = [4].into_iter().collect();
    let b = floats(&[2, 2], &[1., 0., 0., 2.]);
    let want = floats(&[2, 2, 2], &[0., 4., 1., 6., 4., 12., 5., 14.]);
    gives(Task::Gemm(task), &[count_up(&[2, 2, 2]), b], &[want]);
}

#[test]
fn gemm_widens_bytes_and_finishes() {
    let task = gemm(1, 1, 2, DType::I8, DType::I32);
    let (a, b) = (Tensor::from_slice(&[1, 2], &[100i8, -128]), Tensor::from_slice(&[2, 1], &[100i8, -128]));
    gives(Task::Gemm(task), &[a.unwrap(), b.unwrap()], &[Tensor::from_slice(&[1, 1], &[26384i32]).unwrap()]);

    let mut task = gemm(2, 2, 1, DType::F32, DType::F32);
    let inputs = vec![EpilogueInput::Column, EpilogueInput::Row, EpilogueInput::Full, EpilogueInput::Scalar];
    task.epilogue = Some(Epilogue { program: add_relu(5), inputs });
    let ins = [
        floats(&[2, 1], &[1., 2.]),
        floats(&[1, 2], &[1., 10.]),
        floats(&[2], &[100., 200.]),
        floats(&[2], &[0., -1000.]),
        floats(&[2, 2], &[0.5, 0.25, 900., 0.]),
        floats(&[], &[1000.]),
    ];
    gives(Task::Gemm(task), &ins, &[floats(&[2, 2], &[1101.5, 1210.25, 1002., 220.])]);
}

#[test]
fn gemm_refuses_what_does_not_fit() {
    let task = gemm(2, 2, 3, DType::F32, DType::F32);
    let out = [Fact::new(DType::F32, &[2, 2])];
    let (a, b) = (count_up(&[2, 3]), count_up(&[3, 2]));
    refuses(Task::Gemm(task.clone()), one(&a), &out);
    refuses(Task::Gemm(task.clone()), &[a.clone(), count_up(&[3, 1])], &out);
    refuses(Task::Gemm(task.clone()), &[a.clone(), b.clone()], &[Fact::new(DType::F32, &[2])]);
    refuses(Task::Gemm(task.clone()), &[a.clone(), b.clone()], &[Fact::new(DType::F64, &[2, 2])]);
    let mut program = add_relu(2);
    program.instrs[2].0 = Instr::Binary(Binary::Add, 0, 7);
    let epilogue = Some(Epilogue { program, inputs: vec![EpilogueInput::Column] });
    refuses(Task::Gemm(Gemm { epilogue, ..task }), &[a, b, count_up(&[2])], &out);
}

fn conv(c_in: usize, c_out: usize, groups: usize, layout: Layout) -> Conv {
    Conv {
        n: 1,
        c_in,
        h: 3,
        w: 3,
        c_out,
        out_h: 2,
        out_w: 2,
        kernel: [2, 2],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [0; 4],
        groups,
        layout,
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        scaled: false,
        epilogue: None,
    }
}

#[test]
fn conv_correlates() {
    let w = floats(&[1, 1, 2, 2], &[1., 10., 100., 1000.]);
    let want = floats(&[1, 1, 2, 2], &[4310., 5421., 7643., 8754.]);
    gives(Task::Conv(conv(1, 1, 1, Layout::Nchw)), &[count_up(&[1, 1, 3, 3]), w.clone()], &[want]);

    let strided = Conv { stride: [2, 2], pads: [1, 0, 1, 0], ..conv(1, 1, 1, Layout::Nchw) };
    let want = floats(&[1, 1, 2, 2], &[0., 2100., 6030., 8754.]);
    gives(Task::Conv(strided), &[count_up(&[1, 1, 3, 3]), w.clone()], &[want]);

    let dilated = Conv { dilation: [2, 2], out_h: 1, out_w: 1, ..conv(1, 1, 1, Layout::Nchw) };
    gives(Task::Conv(dilated), &[count_up(&[1, 1, 3, 3]), w], &[floats(&[1, 1, 1, 1], &[8620.])]);
}

#[test]
fn conv_groups_scales_and_finishes() {
    let task = Conv {
        scaled: true,
        kernel: [1, 1],
        out_h: 1,
        out_w: 2,
        h: 1,
        w: 2,
        epilogue: Some(Epilogue { program: add_relu(2), inputs: vec![EpilogueInput::Column] }),
        ..conv(2, 2, 2, Layout::Nhwc)
    };
    let x = floats(&[1, 1, 2, 2], &[1., 2., 3., 4.]);
    let ins = [x, floats(&[2, 1, 1, 1], &[5., 7.]), floats(&[2], &[2., -1.]), floats(&[2], &[1., 20.])];
    gives(Task::Conv(task.clone()), &ins, &[floats(&[1, 1, 2, 2], &[11., 6., 31., 0.])]);
    refuses(Task::Conv(Conv { groups: 0, ..task.clone() }), &ins, &[Fact::new(DType::F32, &[1, 1, 2, 2])]);
    refuses(Task::Conv(Conv { c_in: usize::MAX, ..task }), &ins, &[Fact::new(DType::F32, &[1, 1, 2, 2])]);
}

/// Factors of 16 bits whose sums are not rounded to their type.
#[test]
fn sums_of_halves_may_be_f32() {
    for dtype in [DType::F16, DType::BF16] {
        let halves = |dims: &[usize], data: &[f64]| Tensor::from_f64s(dtype, dims, data).unwrap();
        let (a, b) = (halves(&[1, 2], &[256.0, 1.0]), halves(&[2, 1], &[16.0, 1.0]));
        let product = Task::Gemm(gemm(1, 1, 2, dtype, DType::F32));
        gives(product, &[a, b], &[floats(&[1, 1], &[4097.0])]);
        let scaled =
            Conv { dtype, scaled: true, kernel: [1, 1], out_h: 1, out_w: 1, h: 1, w: 1, ..conv(2, 1, 1, Layout::Nchw) };
        let (x, w) = (halves(&[1, 2, 1, 1], &[256.0, 1.0]), halves(&[1, 2, 1, 1], &[16.0, 1.0]));
        gives(Task::Conv(scaled), &[x, w, floats(&[1], &[0.5])], &[floats(&[1, 1, 1, 1], &[2048.5])]);
    }
}

fn pool(kind: PoolKind, layout: Layout) -> Pool {
    Pool {
        kind,
        n: 1,
        c: 1,
        h: 3,
        w: 3,
        out_h: 2,
        out_w: 2,
        kernel: [2, 2],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [0, 1, 0, 1],
        layout,
        dtype: DType::F32,
    }
}

#[test]
fn pool_takes_maxima_and_means() {
    let x = count_up(&[1, 1, 3, 3]);
    let cases = [
        (PoolKind::Max, [4., 5., 7., 8.]),
        (PoolKind::Avg { count_pads: false }, [2., 3.5, 6.5, 8.]),
        (PoolKind::Avg { count_pads: true }, [2., 1.75, 3.25, 2.]),
    ];
    for (kind, want) in cases {
        gives(Task::Pool(pool(kind, Layout::Nchw)), one(&x), &[floats(&[1, 1, 2, 2], &want)]);
    }
    let beyond = Pool { pads: [0; 4], ..pool(PoolKind::Avg { count_pads: true }, Layout::Nhwc) };
    gives(Task::Pool(beyond), &[x.reshape(&[1, 3, 3, 1]).unwrap()], &[floats(&[1, 2, 2, 1], &[2., 3.5, 6.5, 8.])]);
    let bytes = Pool { dtype: DType::I8, ..pool(PoolKind::Max, Layout::Nchw) };
    let x = Tensor::from_slice(&[1, 1, 3, 3], &[-9i8, -8, -7, -6, -5, -4, -3, -2, -1]).unwrap();
    gives(Task::Pool(bytes), &[x], &[Tensor::from_slice(&[1, 1, 2, 2], &[-5i8, -4, -2, -1]).unwrap()]);
}

#[test]
fn map_broadcasts_and_compares() {
    let task = Map { shape: shape(&[2, 3]), program: add_relu(2) };
    let ins = [floats(&[2, 1], &[0., -3.]), floats(&[3], &[1., 2., 4.])];
    gives(Task::Map(task.clone()), &ins, &[floats(&[2, 3], &[1., 2., 4., 0., 0., 1.])]);
    refuses(Task::Map(task.clone()), &[ins[0].clone(), count_up(&[2])], &[Fact::new(DType::F32, &[2, 3])]);
    refuses(Task::Map(task), &ins, &[Fact::new(DType::F16, &[2, 3])]);

    let mut p = Program::new();
    let (a, b) = (p.input(0, DType::I64), p.input(1, DType::I64));
    let less = p.binary(Binary::Lt, a, b);
    p.select(less, a, b);
    let ins = [Tensor::vector(&[1i64, i64::MAX, -5]), Tensor::scalar(7i64)];
    gives(Task::Map(Map { shape: shape(&[3]), program: p }), &ins, &[Tensor::vector(&[1i64, 7, -5])]);
}

#[test]
fn copy_moves_blocks() {
    let transpose = Part {
        input: 0,
        shape: shape(&[3, 2]),
        src_offset: 0,
        src: [1, 3].into_iter().collect(),
        dst_offset: 1,
        dst: [3, 1].into_iter().collect(),
    };
    let fill = Some(9f32.to_le_bytes().to_vec());
    let task = Copy { dtype: DType::F32, fill, parts: vec![transpose.clone()] };
    let want = floats(&[3, 3], &[9., 0., 3., 9., 1., 4., 9., 2., 5.]);
    gives(Task::Copy(task.clone()), &[count_up(&[2, 3])], &[want]);
    let out = [Fact::new(DType::F32, &[2, 2])];
    refuses(Task::Copy(task), &[count_up(&[2, 3])], &out);
    let before = Part { src_offset: 2, src: [-1, -3].into_iter().collect(), ..transpose };
    let task = Copy { dtype: DType::F32, fill: None, parts: vec![before] };
    refuses(Task::Copy(task), &[count_up(&[2, 3])], &[Fact::new(DType::F32, &[3, 3])]);
}

fn reduce(kind: ReduceKind, dtype: DType, out: DType) -> Task {
    Task::Reduce(Reduce { kind, outer: 1, len: 4, inner: 2, dtype, out })
}

#[test]
fn reduce_folds_the_middle() {
    use ReduceKind::*;
    let x = floats(&[1, 4, 2], &[1., -1., 4., -4., 4., -4., 2., -2.]);
    for (kind, want) in
        [(Sum, [11., -11.]), (Mean, [2.75, -2.75]), (Prod, [32., 32.]), (Max, [4., -1.]), (Min, [1., -4.])]
    {
        gives(reduce(kind, DType::F32, DType::F32), one(&x), &[floats(&[1, 2], &want)]);
    }
    let first = Tensor::from_slice(&[1, 2], &[1i32, 0]).unwrap();
    gives(reduce(ArgMax, DType::F32, DType::I32), one(&x), &[first]);
    let first = Tensor::from_slice(&[1, 2], &[0i64, 1]).unwrap();
    gives(reduce(ArgMin, DType::F32, DType::I64), one(&x), &[first]);
    refuses(reduce(Sum, DType::F32, DType::F64), &[x], &[Fact::new(DType::F64, &[1, 2])]);

    let b = Tensor::from_bools(&[1, 4, 2], &[true, false, true, false, true, true, true, false]).unwrap();
    gives(reduce(All, DType::Bool, DType::Bool), one(&b), &[Tensor::from_bools(&[1, 2], &[true, false]).unwrap()]);
    gives(reduce(Any, DType::Bool, DType::Bool), &[b], &[Tensor::from_bools(&[1, 2], &[true, true]).unwrap()]);
    let bytes = Tensor::from_slice(&[1, 4, 2], &[200u8, 1, 200, 1, 0, 1, 0, 1]).unwrap();
    gives(reduce(Sum, DType::U8, DType::U8), one(&bytes), &[Tensor::from_slice(&[1, 2], &[144u8, 4]).unwrap()]);
    gives(reduce(Mean, DType::U8, DType::U8), &[bytes], &[Tensor::from_slice(&[1, 2], &[100u8, 1]).unwrap()]);
}

#[test]
fn reduce_sees_nan_and_nothing() {
    let x = floats(&[1, 4, 2], &[1., 2., f32::NAN, 3., 5., 1., 2., 2.]);
    let out = [Fact::new(DType::F32, &[1, 2])];
    let max = run(&reduce(ReduceKind::Max, DType::F32, DType::F32), one(&x), &out).unwrap();
    assert!(max[0].view::<f32>().unwrap()[0].is_nan());
    let place = Tensor::from_slice(&[1, 2], &[1i32, 1]).unwrap();
    gives(reduce(ReduceKind::ArgMax, DType::F32, DType::I32), &[x], &[place]);
    let none = Reduce { kind: ReduceKind::Max, outer: 1, len: 0, inner: 2, dtype: DType::F32, out: DType::F32 };
    refuses(Task::Reduce(none), &[count_up(&[0])], &out);
}

#[test]
fn softmax_normalises() {
    let x = floats(&[1, 2, 2], &[0., 1000., 3f32.ln(), 1000.]);
    let task = Softmax { outer: 1, len: 2, inner: 2, log: false, dtype: DType::F32 };
    gives(Task::Softmax(task.clone()), one(&x), &[floats(&[1, 2, 2], &[0.25, 0.5, 0.75, 0.5])]);
    let log = Task::Softmax(Softmax { log: true, ..task });
    let want = [0.25f64.ln() as f32, 0.5f64.ln() as f32, 0.75f64.ln() as f32, 0.5f64.ln() as f32];
    let found = run(&log, &[x], &[Fact::new(DType::F32, &[1, 2, 2])]).unwrap();
    for (a, b) in found[0].view::<f32>().unwrap().iter().zip(want) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn norm_centres_and_scales() {
    let x = floats(&[2, 2], &[1., 3., 4., 4.]);
    let mut task = Norm {
        kind: NormKind::Layer,
        rows: 2,
        cols: 2,
        eps: 0.0,
        gamma: true,
        beta: true,
        stats: true,
        dtype: DType::F32,
    };
    task.eps = 3.0;
    let ins = [x, floats(&[2], &[2., 4.]), floats(&[2], &[10., 20.])];
    let scale = floats(&[2], &[0.5, (1.0 / 3f64.sqrt()) as f32]);
    let want = [floats(&[2, 2], &[9., 22., 10., 20.]), floats(&[2], &[2., 4.]), scale];
    gives(Task::Norm(task.clone()), &ins, &want);
    task = Norm { kind: NormKind::Rms, eps: 4.0, gamma: false, beta: false, stats: false, ..task };
    let x = floats(&[2, 2], &[0., 0., 4., 28f32.sqrt() * 0.0 + 2. * 5f32.sqrt()]);
    let found = run(&Task::Norm(task), &[x], &[Fact::new(DType::F32, &[2, 2])]).unwrap();
    assert_eq!(found[0].view::<f32>().unwrap()[..2], [0., 0.]);
    assert!((found[0].view::<f32>().unwrap()[2] - 4.0 / 22f32.sqrt()).abs() < 1e-6);
}

#[test]
fn gather_picks_slices() {
    let (dtype, index) = (DType::F32, DType::I32);
    let task = Gather { outer: 1, axis: 3, inner: 2, count: 4, batch: false, zeros: true, dtype, index };
    let index = Tensor::vector(&[2i32, -3, 3, -4]);
    let strict = Task::Gather(Gather { zeros: false, ..task.clone() });
    refuses(strict, &[count_up(&[1, 3, 2]), index.clone()], &[Fact::new(DType::F32, &[1, 4, 2])]);
    let want = floats(&[1, 4, 2], &[4., 5., 0., 1., 0., 0., 0., 0.]);
    gives(Task::Gather(task.clone()), &[count_up(&[1, 3, 2]), index.clone()], &[want]);
    let own = Gather { outer: 2, axis: 3, inner: 1, count: 1, batch: true, index: DType::I64, ..task.clone() };
    let index = Tensor::from_slice(&[2, 1], &[1i64, i64::MIN]).unwrap();
    gives(Task::Gather(own), &[count_up(&[2, 3]), index.clone()], &[floats(&[2, 1], &[1., 0.])]);
    refuses(Task::Gather(task), &[count_up(&[1, 3, 2]), index], &[Fact::new(DType::F32, &[1, 4, 2])]);
}

#[test]
fn scatter_updates_slices() {
    let task = Scatter {
        kind: ScatterKind::Replace,
        axes: [2, 2].into_iter().collect(),
        inner: 2,
        count: 3,
        dtype: DType::F32,
        index: DType::I32,
    };
    let index = Tensor::from_slice(&[3, 2], &[1i32, 0, 0, -1, 1, 0]).unwrap();
    let updates = floats(&[3, 2], &[10., 20., 30., 40., 50., 60.]);
    let ins = [count_up(&[2, 2, 2]), index, updates];
    gives(Task::Scatter(task.clone()), &ins, &[floats(&[2, 2, 2], &[0., 1., 30., 40., 50., 60., 6., 7.])]);
    let add = Scatter { kind: ScatterKind::Add, ..task.clone() };
    gives(Task::Scatter(add), &ins, &[floats(&[2, 2, 2], &[0., 1., 32., 43., 64., 85., 6., 7.])]);
    let outside = Tensor::from_slice(&[3, 2], &[0i32, 0, 0, 2, 0, 0]).unwrap();
    let [x, _, updates] = ins;
    refuses(Task::Scatter(task), &[x, outside, updates], &[Fact::new(DType::F32, &[2, 2, 2])]);
}

fn resize(mode: ResizeMode, coordinates: Coordinates, w: usize, out_w: usize) -> Task {
    let layout = Layout::Nchw;
    Task::Resize(Resize { mode, coordinates, n: 1, c: 1, h: 1, w, out_h: 1, out_w, layout, dtype: DType::F32 })
}

#[test]
fn resize_samples() {
    use {Coordinates::*, ResizeMode::*};
    let x = floats(&[1, 1, 1, 2], &[0., 4.]);
    let cases: [(ResizeMode, Coordinates, &[f32]); 6] = [
        (Nearest, Asymmetric, &[0., 0., 4., 4.]),
        (Nearest, HalfPixel, &[0., 0., 4., 4.]),
        (Nearest, AlignCorners, &[0., 0., 4., 4.]),
        (Bilinear, Asymmetric, &[0., 2., 4., 4.]),
        (Bilinear, HalfPixel, &[0., 1., 3., 4.]),
        (Bilinear, AlignCorners, &[0., 4., 8., 12.]),
    ];
    for (mode, coordinates, want) in cases {
        let want: Vec<f32> = if coordinates == AlignCorners && mode == Bilinear {
            want.iter().map(|v| (*v as f64 / 3.0) as f32).collect()
        } else {
            want.to_vec()
        };
        gives(resize(mode, coordinates, 2, 4), one(&x), &[floats(&[1, 1, 1, 4], &want)]);
    }
    let x = floats(&[1, 1, 1, 5], &[0., 1., 2., 3., 4.]);
    gives(resize(Nearest, Asymmetric, 5, 2), one(&x), &[floats(&[1, 1, 1, 2], &[0., 2.])]);
    gives(resize(Nearest, HalfPixel, 5, 2), one(&x), &[floats(&[1, 1, 1, 2], &[1., 3.])]);
    gives(resize(Nearest, AlignCorners, 5, 3), one(&x), &[floats(&[1, 1, 1, 3], &[0., 2., 4.])]);
    gives(resize(Nearest, AlignCorners, 5, 1), &[x], &[floats(&[1, 1, 1, 1], &[0.])]);
}

#[test]
fn scan_accumulates() {
    let x = floats(&[1, 3, 2], &[1., 2., 3., 4., 5., 6.]);
    let sum =
        Scan { kind: ScanKind::Sum, outer: 1, len: 3, inner: 2, exclusive: false, reverse: false, dtype: DType::F32 };
    let cases = [
        (sum.clone(), [1., 2., 4., 6., 9., 12.]),
        (Scan { exclusive: true, ..sum.clone() }, [0., 0., 1., 2., 4., 6.]),
        (Scan { reverse: true, ..sum.clone() }, [9., 12., 8., 10., 5., 6.]),
        (Scan { kind: ScanKind::Prod, exclusive: true, reverse: true, ..sum }, [15., 24., 5., 6., 1., 1.]),
    ];
    for (task, want) in cases {
        gives(Task::Scan(task), one(&x), &[floats(&[1, 3, 2], &want)]);
    }
}

#[test]
fn host_runs_its_function() {
    let host = Host::new("Twice", vec![Fact::new(DType::F32, &[1])], |ins| Ok(vec![ins[0].clone()]));
    assert_eq!(host.name, Arc::from("Twice"));
    gives(Task::Host(host), &[floats(&[1], &[2.])], &[floats(&[1], &[2.])]);
}

/// Calls `change` with a task and each of some numbers that do not fit it.
fn misfits<T: Clone>(task: &T, change: &[fn(&mut T) -> &mut usize], wrap: fn(T) -> Task) -> Vec<Task> {
    let numbers = [0, 1, 7, 1 << 40, usize::MAX];
    let with = |field: &fn(&mut T) -> &mut usize, n: usize| {
        let mut task = task.clone();
        *field(&mut task) = n;
        wrap(task)
    };
    change.iter().flat_map(|field| numbers.iter().map(move |&n| with(field, n))).collect()
}

#[test]
fn tasks_that_do_not_fit_do_not_panic() {
    let mut product = gemm(3, 4, 3, DType::F32, DType::F32);
    product.epilogue = Some(Epilogue { program: add_relu(2), inputs: vec![EpilogueInput::Column] });
    let rows = Reduce { kind: ReduceKind::Max, outer: 3, len: 4, inner: 1, dtype: DType::F32, out: DType::F32 };
    let put = Scatter {
        kind: ScatterKind::Add,
        axes: [3].into_iter().collect(),
        inner: 4,
        count: 4,
        dtype: DType::F32,
        index: DType::I32,
    };
    let (dtype, index) = (DType::F32, DType::I32);
    let pick = Gather { outer: 3, axis: 4, inner: 1, count: 4, batch: true, zeros: true, dtype, index };
    let (mode, coordinates, layout, dtype) = (ResizeMode::Bilinear, Coordinates::HalfPixel, Layout::Nchw, DType::F32);
    let resize = Resize { mode, coordinates, n: 1, c: 1, h: 3, w: 4, out_h: 3, out_w: 4, layout, dtype };
    let norm = Norm { kind: NormKind::Rms, rows: 3, cols: 4, eps: 0.0, gamma: false, beta: false, stats: false, dtype };
    let mut tasks = misfits(
        &product,
        &[|t| &mut t.m, |t| &mut t.n, |t| &mut t.k, |t| &mut t.a.row, |t| &mut t.b.col, |t| &mut t.c.offset],
        Task::Gemm,
    );
    tasks.extend(misfits(&rows, &[|t| &mut t.outer, |t| &mut t.len, |t| &mut t.inner], Task::Reduce));
    tasks.extend(misfits(
        &pick,
        &[|t| &mut t.outer, |t| &mut t.axis, |t| &mut t.inner, |t| &mut t.count],
        Task::Gather,
    ));
    tasks.extend(misfits(&put, &[|t| &mut t.axes[0], |t| &mut t.inner, |t| &mut t.count], Task::Scatter));
    tasks.extend(misfits(&resize, &[|t| &mut t.n, |t| &mut t.h, |t| &mut t.w, |t| &mut t.out_w], Task::Resize));
    tasks.extend(misfits(&norm, &[|t| &mut t.rows, |t| &mut t.cols], Task::Norm));
    tasks.extend(misfits(
        &conv(1, 1, 1, Layout::Nchw),
        &[|t| &mut t.c_in, |t| &mut t.h, |t| &mut t.out_h, |t| &mut t.pads[0], |t| &mut t.stride[0], |t| &mut t.groups],
        Task::Conv,
    ));
    tasks.extend(misfits(
        &pool(PoolKind::Max, Layout::Nchw),
        &[
            |t| &mut t.c,
            |t| &mut t.h,
            |t| &mut t.out_w,
            |t| &mut t.pads[3],
            |t| &mut t.stride[1],
            |t| &mut t.dilation[0],
        ],
        Task::Pool,
    ));
    let small = [floats(&[3, 3], &[0.0; 9]), count_up(&[1, 1, 2, 2])];
    let large = [count_up(&[3, 4]), Tensor::from_slice(&[3, 4], &[0i32; 12]).unwrap(), count_up(&[4])];
    for task in &tasks {
        for ins in [&small[..], &small[..1], &large, &large[..1], &[]] {
            for dims in [&[2, 2][..], &[3, 4], &[3], &[0], &[usize::MAX, 2]] {
                let _ = run(task, ins, &[Fact::new(DType::F32, dims)]);
            }
            let _ = run(task, ins, &[]);
        }
    }
}
