use mindir_graph::task::{Binary, Conv, Epilogue, EpilogueInput, Layout, Program, Task, Unary};
use mindir_graph::{DType, Fact, Tensor};

use crate::cpu::cases::{Case, EXACT, check, magnitudes, run, tensor};
use crate::cpu::{CpuDevice, Isa, Threads};
use crate::plain;

const F32: DType = DType::F32;

/// Input size, channels, kernel, stride, dilation, pads, groups.
#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    size: [usize; 2],
    c: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pads: [usize; 4],
    groups: usize,
}

const BASE: Shape =
    Shape { n: 1, size: [7, 6], c: [5, 9], kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pads: [1; 4], groups: 1 };

fn conv(s: Shape, layout: Layout) -> Conv {
    let out = |i: usize| {
        let reach = (s.kernel[i] - 1) * s.dilation[i] + 1;
        (s.size[i] + s.pads[2 * i] + s.pads[2 * i + 1] - reach) / s.stride[i] + 1
    };
    Conv {
        n: s.n,
        c_in: s.c[0],
        h: s.size[0],
        w: s.size[1],
        c_out: s.c[1],
        out_h: out(0),
        out_w: out(1),
        kernel: s.kernel,
        stride: s.stride,
        dilation: s.dilation,
        pads: s.pads,
        groups: s.groups,
        layout,
        dtype: F32,
        out: F32,
        tf32: false,
        scaled: false,
        epilogue: None,
    }
}

fn with(mut c: Conv, inputs: &[EpilogueInput], last: &[Unary]) -> Conv {
    let mut program = Program::new();
    let regs: Vec<usize> = (0..=inputs.len()).map(|i| program.input(i, F32)).collect();
    let mut x = regs[1..].iter().fold(regs[0], |x, &r| program.binary(Binary::Add, x, r));
    for &f in last {
        x = program.unary(f, x);
    }
    c.epilogue = Some(Epilogue { program, inputs: inputs.to_vec() });
    c
}

fn noise(dtype: DType, dims: &[usize], seed: u64) -> Tensor {
    tensor(seed, dtype, dims, if dtype.is_float() { 1.0 } else { 5.0 })
}

fn case(c: &Conv, known: bool) -> Case {
    let mut ins = vec![
        noise(c.dtype, &c.layout.dims([c.n, c.c_in, c.h, c.w]), 1),
        noise(c.dtype, &[c.c_out, c.c_in / c.groups, c.kernel[0], c.kernel[1]], 2),
    ];
    if c.scaled {
        ins.push(noise(c.out, &[c.c_out], 3));
    }
    let weights = (1..ins.len()).collect();
    let pixels = c.n * c.out_h * c.out_w;
    for (i, input) in c.epilogue.iter().flat_map(|e| &e.inputs).enumerate() {
        let len = match input {
            EpilogueInput::Scalar => 1,
            EpilogueInput::Column => c.c_out,
            EpilogueInput::Row => pixels,
            EpilogueInput::Full => pixels * c.c_out,
        };
        ins.push(noise(c.out, &[len], 4 + i as u64));
    }
    let out = c.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(c.out);
    let outs = vec![Fact::new(out, &c.layout.dims([c.n, c.c_out, c.out_h, c.out_w]))];
    let limits = limits(c, &ins, &outs);
    let case = Case::new(format!("{c:?}, weights known: {known}"), Task::Conv(c.clone()), ins, outs, EXACT);
    Case { known: if known { weights } else { vec![] }, limits, fast: false, ..case }
}

/// Rounding errors of sums of `|x| · |w|`, operands of the epilogue and the result itself.
fn limits(c: &Conv, ins: &[Tensor], outs: &[Fact]) -> Vec<f64> {
    let sum = Fact::new(c.out, &outs[0].shape);
    let sums = magnitudes(&Task::Conv(Conv { epilogue: None, ..c.clone() }), ins, &[sum]);
    let (eps, k) = match outs[0].dtype {
        DType::F16 => (1e-3, 0),
        DType::BF16 => (8e-3, 0),
        DType::F64 => (2e-16, c.c_in * c.kernel[0] * c.kernel[1]),
        _ => (1.2e-7, c.c_in * c.kernel[0] * c.kernel[1]),
    };
    sums.iter().map(|s| eps * (6.0 + k as f64 / 8.0) * (s + 2.0)).collect()
}

#[track_caller]
fn all_pass(cases: Vec<Conv>) -> Vec<String> {
    check(&cases.iter().flat_map(|c| [true, false].map(|known| case(c, known))).collect::<Vec<_>>())
}

fn both(shapes: &[Shape]) -> Vec<Conv> {
    let layouts = [Layout::Nhwc, Layout::Nchw];
    shapes.iter().flat_map(|&s| layouts.map(|l| conv(s, l))).collect()
}

#[test]
fn shapes() {
    let names = all_pass(both(&[
        BASE,
        Shape { kernel: [1, 1], pads: [0; 4], ..BASE },
        Shape { kernel: [1, 1], pads: [0; 4], stride: [2, 2], c: [33, 20], ..BASE },
        Shape { c: [1, 6], kernel: [5, 5], size: [12, 11], pads: [0; 4], ..BASE },
        Shape { c: [3, 34], kernel: [7, 7], size: [17, 16], pads: [3; 4], stride: [2, 2], n: 2, ..BASE },
        Shape { c: [17, 70], ..BASE },
        Shape { c: [40, 3], n: 3, ..BASE },
        Shape { c: [16, 16], pads: [0, 2, 1, 3], stride: [2, 1], ..BASE },
        Shape { c: [16, 16], dilation: [2, 1], pads: [2, 2, 1, 1], ..BASE },
        Shape { c: [4, 5], dilation: [1, 2], pads: [1, 1, 2, 2], ..BASE },
        Shape { c: [4, 5], dilation: [2, 1], size: [9, 9], pads: [2, 2, 0, 0], ..BASE },
        Shape { kernel: [2, 2], stride: [3, 4], pads: [0; 4], ..BASE },
        Shape { kernel: [1, 4], pads: [0, 0, 2, 1], ..BASE },
        Shape { kernel: [3, 1], pads: [4, 4, 0, 0], c: [20, 8], ..BASE },
        Shape { size: [1, 1], pads: [1; 4], c: [18, 12], ..BASE },
        Shape { c: [200, 8], size: [3, 3], ..BASE },
        Shape { c: [400, 10], size: [3, 2], ..BASE },
        Shape {
            c: [3, 8],
            kernel: [3, 6],
            stride: [2, 3],
            dilation: [1, 2],
            pads: [1, 0, 4, 5],
            size: [9, 40],
            n: 2,
            ..BASE
        },
        Shape { n: 0, ..BASE },
        Shape { size: [14, 15], c: [16, 100], ..BASE },
    ]));
    assert!(names.iter().any(|n| n == "wide-f32-planes"));
    assert!(names.iter().any(|n| n == "wide-f32-igemm6x64") && names.iter().any(|n| n == "scalar-f32-igemm6x8"));
}

#[test]
fn groups() {
    let names = all_pass(both(&[
        Shape { c: [6, 9], groups: 3, ..BASE },
        Shape { c: [32, 64], groups: 2, n: 2, ..BASE },
        Shape { c: [4, 12], groups: 4, ..BASE },
        Shape { c: [7, 7], groups: 7, ..BASE },
        Shape { c: [6, 6], groups: 3, ..BASE },
        Shape { c: [40, 40], groups: 10, size: [13, 21], n: 2, ..BASE },
        Shape { c: [24, 24], groups: 3, stride: [2, 2], size: [9, 25], pads: [0, 1, 0, 1], ..BASE },
        Shape { c: [72, 72], groups: 18, dilation: [2, 3], pads: [3; 4], size: [8, 12], ..BASE },
        Shape { c: [40, 40], groups: 40, size: [13, 21], n: 2, ..BASE },
        Shape { c: [19, 19], groups: 19, stride: [2, 2], size: [9, 25], pads: [0, 1, 0, 1], ..BASE },
        Shape { c: [8, 8], groups: 8, kernel: [5, 5], pads: [2; 4], size: [6, 12], ..BASE },
        Shape { c: [8, 8], groups: 8, dilation: [2, 3], pads: [3; 4], size: [8, 12], ..BASE },
        Shape { c: [5, 5], groups: 5, size: [2, 2], pads: [5, 0, 0, 5], ..BASE },
        Shape { c: [16, 16], groups: 16, kernel: [1, 1], pads: [0; 4], ..BASE },
    ]));
    assert!(names.iter().any(|n| n == "scalar-f32-dw"));
}

/// Large enough for transforms to pay.
const TILED: [Shape; 6] = [
    Shape { c: [64, 64], size: [10, 10], ..BASE },
    Shape { c: [64, 80], size: [11, 13], ..BASE },
    Shape { c: [65, 70], size: [10, 12], n: 2, ..BASE },
    Shape { c: [40, 300], size: [12, 12], pads: [0; 4], ..BASE },
    Shape { c: [64, 72], size: [9, 6], pads: [3, 0, 2, 4], ..BASE },
    Shape { c: [390, 40], size: [10, 10], ..BASE },
];

/// Whether every case had its tiles transformed.
#[track_caller]
fn all_transformed(cases: &[Case]) {
    let names = check(cases);
    assert!(names.iter().all(|n| n.ends_with("-f32-winograd")), "{names:?}");
}

#[test]
fn tiles_are_transformed() {
    use EpilogueInput::{Column, Full, Row};
    let mut cases = Vec::new();
    for (i, shape) in TILED.into_iter().enumerate() {
        let c = conv(shape, if i == 1 { Layout::Nchw } else { Layout::Nhwc });
        let c = match i % 3 {
            0 => c,
            1 => with(Conv { scaled: true, ..c }, &[Column, Full], &[Unary::Relu]),
            _ => with(c, &[Column, Row, Full], &[Unary::Silu]),
        };
        cases.push(case(&c, true));
    }
    all_transformed(&cases);
}

/// Only what reads an infinity, NaN or a number near the largest is itself infinite or NaN, and has the sign that it has plainly.
#[test]
fn transforms_keep_infinities_apart() {
    let mut cases = Vec::new();
    for (i, shape) in [TILED[1], TILED[3]].iter().enumerate() {
        for which in 0..4 {
            let c = conv(*shape, Layout::Nhwc);
            let c = if i == 0 { with(c, &[EpilogueInput::Column], &[Unary::Relu6]) } else { c };
            let c = Conv { scaled: which == 1, ..c };
            let mut case = case(&c, true);
            let infinite = [f64::INFINITY, f64::NAN, f64::NEG_INFINITY];
            let (operand, every, special) = match which {
                0 => (0, 301, &infinite[..]),
                1 => (0, 7, &infinite[..]),
                2 => (1, 577, &infinite[..]),
                _ => (0, 9 * c.c_in + 5, &[3e38][..]),
            };
            let mut values = case.ins[operand].to_f64s().unwrap();
            values.iter_mut().step_by(every).zip(special.iter().cycle()).for_each(|(v, s)| *v = *s);
            case.ins[operand] = Tensor::from_f64s(F32, case.ins[operand].shape(), &values).unwrap();
            // Errors are those of the largest weight.
            let mut ins = case.ins.clone();
            ins[1] = Tensor::from_f64s(F32, ins[1].shape(), &vec![1.0; ins[1].count()]).unwrap();
            case.limits = limits(&c, &ins, &case.outs);
            cases.push(case);
        }
    }
    all_transformed(&cases);
}

/// Pixels at the border do not read what a filter holds for those beside them.
#[test]
fn large_weights_stay_where_they_are_read() {
    let mut cases = Vec::new();
    for (shape, large) in [(TILED[1], 1e9), (TILED[4], 1e30), (TILED[0], 1e-42)] {
        let c = conv(shape, Layout::Nhwc);
        let mut case = case(&c, true);
        let mut weights = case.ins[1].to_f64s().unwrap();
        match large {
            1e-42 => weights.iter_mut().for_each(|w| *w *= large),
            _ => (0..9).for_each(|tap| weights[(3 * tap + 2) * c.c_in * 9 + 5 * 9 + tap] = large),
        }
        case.ins[1] = Tensor::from_f64s(F32, case.ins[1].shape(), &weights).unwrap();
        let size = if large < 1.0 { 1e30 } else { 1.0 };
        let x: Vec<f64> = case.ins[0].to_f64s().unwrap().iter().map(|x| x * size).collect();
        case.ins[0] = Tensor::from_f64s(F32, case.ins[0].shape(), &x).unwrap();
        let sums = magnitudes(&case.task, &case.ins, &case.outs);
        // Inside, errors are those of the largest weight that an output channel has.
        let channel = |i: usize| sums.iter().skip(i % c.c_out).step_by(c.c_out).fold(0.0, |most: f64, s| most.max(*s));
        let limit = |(i, sum): (usize, &f64)| 1e-5 * if sum * 1e6 < channel(i) { *sum } else { channel(i) };
        case.limits = sums.iter().enumerate().map(limit).collect();
        cases.push(case);
    }
    all_transformed(&cases);
}

/// The sums of a convolution without epilogue over images stored pixel by pixel: one after the other, each rounded once.
fn chained(c: &Conv, x: &[f32], w: &[f32]) -> Vec<f32> {
    let mut y = Vec::new();
    for pixel in 0..c.out_h * c.out_w {
        for o in 0..c.c_out {
            let mut sum = 0f32;
            for tap in 0..9 {
                let iy = (pixel / c.out_w + tap / 3).wrapping_sub(c.pads[0]);
                let ix = (pixel % c.out_w + tap % 3).wrapping_sub(c.pads[2]);
                for i in (0..c.c_in).filter(|_| iy < c.h && ix < c.w) {
                    sum = x[(iy * c.w + ix) * c.c_in + i].mul_add(w[(o * c.c_in + i) * 9 + tap], sum);
                }
            }
            y.push(sum);
        }
    }
    y
}

/// Of the scale of the result, errors are not twice those of plain sums in `f32`.
#[test]
fn transforms_are_as_exact_as_plain_sums() {
    let device = CpuDevice::new(Isa::detect().unwrap(), Threads::new(1));
    type Field = fn(f64, usize) -> f64;
    let fields: [(&str, Field); 5] = [
        ("between -1 and 1", |x, _| x),
        ("not negative", |x, _| x.max(0.0)),
        ("from 1e-4 to 1e4", |x, i| x * 10f64.powi(i as i32 * 7 % 9 - 4)),
        ("near 100", |x, _| x + 100.0),
        ("denormal", |x, _| x * 1e-39),
    ];
    for c in [TILED[1], TILED[5]].map(|shape| conv(shape, Layout::Nhwc)) {
        for (name, field) in fields {
            let mut case = case(&c, true);
            let x: Vec<f64> = case.ins[0].to_f64s().unwrap().iter().enumerate().map(|(i, x)| field(*x, i)).collect();
            case.ins[0] = Tensor::from_f64s(F32, case.ins[0].shape(), &x).unwrap();
            let ins: Vec<Tensor> = case.ins.iter().map(|t| t.cast(DType::F64).unwrap()).collect();
            let exact = Task::Conv(Conv { dtype: DType::F64, out: DType::F64, ..c.clone() });
            let want =
                plain::run(&exact, &ins, &[Fact::new(DType::F64, &case.outs[0].shape)]).unwrap()[0].to_f64s().unwrap();
            let scale = want.iter().fold(0.0, |most: f64, y| most.max(y.abs()));
            let error = |got: &[f32]| {
                let errors = || got.iter().zip(&want).map(|(y, w)| (f64::from(*y) - w).abs() / scale);
                let mean = (errors().map(|e| e * e).sum::<f64>() / want.len() as f64).sqrt();
                (errors().fold(0.0, f64::max), mean)
            };
            let (got, kernel) = run(&case, &device, None).unwrap();
            let got = mindir_graph::aligned_copy(&got[0]).unwrap();
            let (most, mean) = error(bytemuck::cast_slice(&got));
            let (plain_most, plain_mean) =
                error(&chained(&c, case.ins[0].view().unwrap(), case.ins[1].view().unwrap()));
            let channels = c.c_in;
            println!(
                "{kernel}, {channels} channels {name}: {most:.2e}, {mean:.2e}; plain {plain_most:.2e}, {plain_mean:.2e}"
            );
            assert!(kernel.ends_with("-winograd") && most <= 2.0 * plain_most && mean <= 2.0 * plain_mean);
        }
    }
}

/// Whole numbers have whole sums in any order.
#[test]
fn transforms_are_exact_on_whole_numbers() {
    let mut cases = Vec::new();
    for shape in [TILED[2], TILED[4]] {
        let mut case = case(&conv(shape, Layout::Nhwc), true);
        for t in &mut case.ins {
            let whole: Vec<f64> = t.to_f64s().unwrap().iter().map(|v| (v * 4.0).round() + 0.0).collect();
            *t = Tensor::from_f64s(F32, t.shape(), &whole).unwrap();
        }
        case.limits = Vec::new();
        cases.push(case);
    }
    all_transformed(&cases);
}

/// A zero of the padding times a weight that is not finite is NaN.
#[test]
fn padding_is_multiplied() {
    let shapes = [
        BASE,
        Shape { c: [18, 21], ..BASE },
        Shape { c: [10, 10], groups: 10, ..BASE },
        Shape { c: [40, 40], groups: 40, stride: [2, 1], pads: [2, 1, 1, 0], ..BASE },
        Shape { c: [4, 6], groups: 2, dilation: [2, 2], pads: [2; 4], ..BASE },
        Shape { c: [20, 20], groups: 5, stride: [2, 1], pads: [2, 1, 1, 0], ..BASE },
    ];
    let mut cases = Vec::new();
    for c in both(&shapes) {
        for known in [true, false] {
            let mut case = case(&c, known);
            let mut weights = case.ins[1].to_f64s().unwrap();
            (weights[0], weights[4], weights[17]) = (f64::INFINITY, f64::NAN, f64::NEG_INFINITY);
            case.ins[1] = Tensor::from_f64s(F32, case.ins[1].shape(), &weights).unwrap();
            cases.push(case);
        }
    }
    check(&cases);
}

#[test]
fn epilogues() {
    use EpilogueInput::{Column, Full, Row, Scalar};
    let tails: [(&[EpilogueInput], &[Unary]); 7] = [
        (&[Column], &[]),
        (&[Column], &[Unary::Relu]),
        (&[Column], &[Unary::Relu6]),
        (&[Column, Full], &[Unary::Relu]),
        (&[Column], &[Unary::Silu]),
        (&[Full, Row, Full], &[Unary::HSwish]),
        (&[Scalar], &[Unary::Neg]),
    ];
    let shapes = [
        Shape { c: [18, 21], ..BASE },
        Shape { c: [10, 10], groups: 10, ..BASE },
        Shape { c: [4, 6], groups: 2, ..BASE },
    ];
    let mut cases = Vec::new();
    for c in both(&shapes) {
        for (i, (inputs, last)) in tails.iter().enumerate() {
            let mut c = with(c.clone(), inputs, last);
            c.scaled = i % 2 == 0;
            cases.push(c);
        }
    }
    all_pass(cases);
}

#[test]
fn other_types() {
    let mut cases = both(&[BASE, Shape { c: [4, 4], groups: 4, ..BASE }]);
    cases.extend(cases.clone());
    for (i, c) in cases.iter_mut().enumerate() {
        c.dtype = if i < 4 { DType::F64 } else { DType::F16 };
        c.out = c.dtype;
    }
    let names = all_pass(cases);
    assert!(names.iter().any(|n| n.starts_with("wide-f16-")) && names.iter().any(|n| n == "plain-f64"));
}

/// Image and weights of 16 bits; the sums and what is done to them are `f32`, the results too or rounded.
#[test]
fn mixed_types() {
    let mut cases = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        let shapes = [BASE, Shape { c: [18, 21], ..BASE }, Shape { c: [10, 10], groups: 10, ..BASE }];
        for (i, c) in both(&shapes).into_iter().enumerate() {
            let c = Conv { dtype, scaled: i % 3 == 0, ..c };
            let finished = with(c.clone(), &[EpilogueInput::Column, EpilogueInput::Full], &[Unary::Relu]);
            let mut rounded = finished.clone();
            if let Some(Epilogue { program, .. }) = &mut rounded.epilogue {
                program.cast(program.instrs.len() - 1, dtype);
            }
            cases.extend([c, finished, rounded]);
        }
    }
    let mut cases: Vec<Case> = cases.iter().flat_map(|c| [true, false].map(|known| case(c, known))).collect();
    cases.iter_mut().for_each(|case| case.fast = true);
    check(&cases);
}
