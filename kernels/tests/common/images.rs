//! Convolutions, pooling and resizing.

use mindir_graph::DType::{self, BF16, Bool, F16, F32, I8, I32, I64, U16, U64};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{
    Binary, Conv, Coordinates, Epilogue, EpilogueInput, Layout, Pool, PoolKind, Program, Resize, ResizeMode, Task,
    Unary,
};
use mindir_graph::{Fact, Tensor};

use super::{Case, Noise, check, check_narrow, device};

/// An image and a kernel: n, c_in, h, w, c_out, kernel, stride, dilation, pads, groups.
type Shape = (usize, usize, usize, usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 4], usize);

const CONVS: [Shape; 15] = [
    (1, 1, 1, 1, 1, [1, 1], [1, 1], [1, 1], [0; 4], 1),
    (1, 3, 8, 8, 4, [3, 3], [1, 1], [1, 1], [1; 4], 1),
    (2, 3, 9, 7, 5, [3, 2], [2, 1], [1, 2], [2, 1, 0, 3], 1),
    (1, 17, 5, 6, 70, [1, 1], [1, 1], [1, 1], [0; 4], 1),
    (3, 20, 12, 11, 33, [3, 3], [2, 2], [1, 1], [0, 1, 0, 1], 1),
    (2, 8, 10, 10, 12, [3, 3], [1, 1], [2, 3], [2, 2, 3, 3], 2),
    (1, 12, 7, 9, 12, [5, 3], [1, 2], [1, 1], [2, 2, 1, 1], 12),
    (2, 6, 7, 9, 12, [3, 3], [2, 1], [1, 1], [1; 4], 6),
    (1, 10, 3, 3, 20, [3, 3], [1, 1], [1, 1], [9, 9, 9, 9], 5),
    (1, 3, 20, 21, 16, [7, 7], [2, 2], [1, 1], [3; 4], 1),
    (1, 4, 1, 50, 6, [1, 5], [1, 3], [1, 4], [0, 0, 7, 2], 1),
    (5, 2, 3, 3, 9, [3, 3], [1, 1], [1, 1], [0; 4], 1),
    (0, 3, 4, 4, 2, [3, 3], [1, 1], [1, 1], [1; 4], 1),
    (1, 3, 0, 4, 5, [3, 3], [1, 1], [1, 1], [2; 4], 1),
    (2, 0, 4, 4, 6, [1, 1], [1, 1], [1, 1], [0; 4], 1),
];

/// Enough tiles for large ones, of 64, 32 and 16 channels.
const LARGE: [Shape; 3] = [
    (2, 2, 70, 72, 48, [3, 3], [1, 1], [1, 1], [1; 4], 1),
    (2, 2, 70, 72, 23, [3, 3], [1, 1], [1, 1], [1; 4], 1),
    (2, 2, 70, 72, 24, [3, 3], [1, 1], [1, 1], [1; 4], 2),
];

/// Element types, one of every word and narrow ones.
const TYPES: [DType; 9] = [F32, F16, BF16, I32, I8, U16, I64, U64, Bool];

/// How far results that are rounded to `dtype` may be off, if they may be off by `f32` otherwise.
fn fine(dtype: DType, f32: f64) -> f64 {
    match dtype {
        F16 => 1e-3,
        BF16 => 8e-3,
        F32 => f32,
        _ => 0.0,
    }
}

/// Many small images.
const MANY: Shape = (9, 3, 9, 8, 5, [2, 3], [1, 1], [1, 1], [1; 4], 1);

const LAYOUTS: [Layout; 2] = [Layout::Nchw, Layout::Nhwc];

fn out(size: usize, kernel: usize, stride: usize, dilation: usize, pads: &[usize]) -> usize {
    (size + pads[0] + pads[1] + stride - 1).saturating_sub(dilation * (kernel - 1)) / stride
}

fn conv((n, c_in, h, w, c_out, kernel, stride, dilation, pads, groups): Shape, layout: Layout, dtype: DType) -> Conv {
    Conv {
        n,
        c_in,
        h,
        w,
        c_out,
        out_h: out(h, kernel[0], stride[0], dilation[0], &pads[..2]),
        out_w: out(w, kernel[1], stride[1], dilation[1], &pads[2..]),
        kernel,
        stride,
        dilation,
        pads,
        groups,
        layout,
        dtype,
        out: dtype,
        tf32: false,
        scaled: false,
        epilogue: None,
    }
}

fn case(noise: &mut Noise, c: Conv, more: &[&[usize]]) -> Case {
    let x = c.layout.dims([c.n, c.c_in, c.h, c.w]);
    let w = [c.c_out, c.c_in / c.groups, c.kernel[0], c.kernel[1]];
    let factors = [&x[..], &w].map(|dims| noise.tensor(c.dtype, dims, -3.0, 3.0));
    let ins = factors.into_iter().chain(more.iter().map(|dims| noise.tensor(c.out, dims, -3.0, 3.0))).collect();
    let dtype = c.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(c.out);
    let out = Fact::new(dtype, &c.layout.dims([c.n, c.c_out, c.out_h, c.out_w]));
    let terms = (w[1] * w[2] * w[3]) as f64;
    let room = if c.dtype.is_float() { 8e-6 * terms.sqrt() } else { 0.0 };
    let relative = fine(dtype, 1e-5).max(fine(c.out, 1e-5));
    let name = format!("{x:?} {w:?} {:?} {:?} {:?} {:?} {}", c.stride, c.dilation, c.pads, c.layout, c.dtype);
    Case::new(name, Task::Conv(c), ins, vec![out]).within(room, relative)
}

#[test]
fn convolutions() {
    let mut noise = Noise(SplitMix(20));
    let mut cases = Vec::new();
    for shape in CONVS {
        for layout in LAYOUTS {
            for dtype in TYPES {
                cases.push(case(&mut noise, conv(shape, layout, dtype), &[]));
            }
        }
    }
    cases.extend(LARGE.map(|shape| case(&mut noise, conv(shape, Layout::Nchw, F32), &[])));
    check(&cases);
    let many: Vec<Case> =
        LAYOUTS.iter().flat_map(|&l| [F32, I64].map(|d| case(&mut noise, conv(MANY, l, d), &[]))).collect();
    check_narrow(&many, 4);
}

/// A convolution with a scale and an epilogue that reads in every way.
fn finished(noise: &mut Noise, shape: Shape, layout: Layout) -> Case {
    mixed(noise, shape, layout, [F32; 2])
}

/// The same of factors and with a result of other types than `f32`.
fn mixed(noise: &mut Noise, shape: Shape, layout: Layout, [dtype, result]: [DType; 2]) -> Case {
    let mut p = Program::new();
    let sum = p.input(0, F32);
    let others: Vec<usize> = (1..5).map(|i| p.input(i, F32)).collect();
    let total = others.into_iter().fold(sum, |t, x| p.binary(Binary::Add, t, x));
    let relu = p.unary(Unary::Relu, total);
    p.cast(relu, result);
    use EpilogueInput::{Column, Full, Row, Scalar};
    let epilogue = Some(Epilogue { program: p, inputs: vec![Full, Column, Row, Scalar] });
    let c = Conv { scaled: true, epilogue, dtype, ..conv(shape, layout, F32) };
    let (y, pixels) = (layout.dims([c.n, c.c_out, c.out_h, c.out_w]), c.n * c.out_h * c.out_w);
    let (scale, column, row) = ([c.c_out], [c.c_out], [pixels]);
    case(noise, c, &[&scale, &y, &column, &row, &[1]])
}

#[test]
fn convolutions_with_scales_and_epilogues() {
    let mut noise = Noise(SplitMix(21));
    let mut cases = Vec::new();
    for shape in [CONVS[1], CONVS[2], CONVS[6]] {
        for layout in LAYOUTS {
            cases.push(finished(&mut noise, shape, layout));
            let mut p = Program::new();
            let (sum, zero) = (p.input(0, F32), p.constant(0.0, F32));
            p.binary(Binary::Gt, sum, zero);
            let epilogue = Some(Epilogue { program: p, inputs: Vec::new() });
            cases.push(case(&mut noise, Conv { epilogue, ..conv(shape, layout, F32) }, &[]));
        }
    }
    cases.extend(LARGE.map(|shape| finished(&mut noise, shape, Layout::Nhwc)));
    check(&cases);
    check_narrow(&LAYOUTS.map(|layout| finished(&mut noise, MANY, layout)), 2);
}

#[test]
fn convolutions_of_halves_with_sums_of_f32() {
    let mut noise = Noise(SplitMix(23));
    let mut cases = Vec::new();
    for dtype in [F16, BF16] {
        for layout in LAYOUTS {
            for shape in [CONVS[1], CONVS[2], CONVS[6], LARGE[1]] {
                cases.push(case(&mut noise, Conv { out: F32, ..conv(shape, layout, dtype) }, &[]));
                cases.extend([F32, dtype].map(|result| mixed(&mut noise, shape, layout, [dtype, result])));
            }
        }
    }
    check(&cases);
}

#[test]
fn padding_is_multiplied() {
    let mut cases = Vec::new();
    for groups in [1, 4] {
        for layout in LAYOUTS {
            let c = conv((1, 4, 5, 5, 4, [3, 3], [1, 1], [1, 1], [1; 4], groups), layout, F32);
            let mut case = case(&mut Noise(SplitMix(22)), c, &[]);
            let mut w = case.ins[1].to_f64s().expect("numbers");
            (w[0], w[10]) = (f64::NAN, f64::INFINITY);
            case.ins[1] = Tensor::from_f64s(F32, case.ins[1].shape(), &w).expect("a tensor");
            cases.push(case);
        }
    }
    check(&cases);
}

fn pool(
    noise: &mut Noise,
    [n, c, h, w]: [usize; 4],
    (kernel, stride, dilation, pads): ([usize; 2], [usize; 2], [usize; 2], [usize; 4]),
    (kind, layout, dtype): (PoolKind, Layout, DType),
) -> Case {
    // Room for one more window than there is padding for.
    let out = |d: usize, size| out(size + 1, kernel[d], stride[d], dilation[d], &pads[2 * d..]);
    let (out_h, out_w) = (out(0, h), out(1, w));
    let x = noise.tensor(dtype, &layout.dims([n, c, h, w]), -90.0, 90.0);
    let task = Pool { kind, n, c, h, w, out_h, out_w, kernel, stride, dilation, pads, layout, dtype };
    let y = Fact::new(dtype, &layout.dims([n, c, out_h, out_w]));
    let name = format!("{kind:?} of {} {kernel:?} {stride:?} {dilation:?} {pads:?} {layout:?}", x.fact());
    Case::new(name, Task::Pool(task), vec![x], vec![y]).within(fine(dtype, 1e-5), fine(dtype, 1e-5))
}

#[test]
fn pools() {
    let mut noise = Noise(SplitMix(23));
    let mut cases = Vec::new();
    for (dims, window) in [
        ([1, 1, 1, 1], ([1, 1], [1, 1], [1, 1], [0; 4])),
        ([2, 3, 9, 7], ([3, 2], [2, 1], [1, 2], [1, 1, 0, 2])),
        ([1, 40, 6, 5], ([2, 2], [2, 2], [1, 1], [0; 4])),
        ([3, 2, 7, 7], ([7, 7], [1, 1], [1, 1], [0; 4])),
        ([1, 2, 4, 4], ([2, 2], [3, 3], [1, 1], [5, 0, 4, 5])),
        ([1, 5, 1, 70], ([1, 4], [1, 3], [1, 5], [0, 0, 3, 2])),
        ([0, 5, 4, 4], ([2, 2], [2, 2], [1, 1], [0; 4])),
    ] {
        for kind in [PoolKind::Max, PoolKind::Avg { count_pads: false }, PoolKind::Avg { count_pads: true }] {
            for layout in LAYOUTS {
                let wide = |dtype: &DType| matches!(dtype, I64 | U64);
                for dtype in TYPES.into_iter().filter(|dtype| kind == PoolKind::Max || !wide(dtype)) {
                    cases.push(pool(&mut noise, dims, window, (kind, layout, dtype)));
                }
            }
        }
    }
    for dtype in [I64, U64] {
        let of = (PoolKind::Avg { count_pads: true }, Layout::Nchw, dtype);
        let wide = pool(&mut noise, [1, 1, 4, 4], ([2, 2], [2, 2], [1, 1], [0; 4]), of);
        let reason = device().map(|device| wide.offer(device).expect_err("sums that may wrap").0);
        assert!(reason.is_none_or(|reason| reason.contains("may not fit")));
    }
    let special = [f64::NAN, 1.0, 2.0, f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for kind in [PoolKind::Max, PoolKind::Avg { count_pads: false }] {
        let mut case = pool(&mut noise, [1, 1, 1, 8], ([1, 2], [1, 1], [1, 1], [0; 4]), (kind, Layout::Nchw, F32));
        case.ins = vec![Tensor::from_f64s(F32, &[8], &special).expect("a tensor")];
        cases.push(case);
    }
    check(&cases);
    let window = ([3, 3], [1, 1], [1, 1], [1; 4]);
    let many = LAYOUTS.map(|layout| pool(&mut noise, [9, 4, 9, 12], window, (PoolKind::Max, layout, F32)));
    check_narrow(&many, 2);
}

fn resize(
    noise: &mut Noise,
    ([n, c, h, w], [out_h, out_w]): ([usize; 4], [usize; 2]),
    (mode, coordinates, layout, dtype): (ResizeMode, Coordinates, Layout, DType),
) -> Case {
    let x = noise.tensor(dtype, &layout.dims([n, c, h, w]), -90.0, 90.0);
    let task = Resize { mode, coordinates, n, c, h, w, out_h, out_w, layout, dtype };
    let y = Fact::new(dtype, &layout.dims([n, c, out_h, out_w]));
    let name = format!("{mode:?} {coordinates:?} {} to {out_h} {out_w}, {layout:?}", x.fact());
    let room = if mode == ResizeMode::Nearest { 0.0 } else { fine(dtype, 2e-5) };
    Case::new(name, Task::Resize(task), vec![x], vec![y]).within(room, room)
}

#[test]
fn images_are_resized() {
    use Coordinates::{AlignCorners, Asymmetric, HalfPixel};
    let mut noise = Noise(SplitMix(24));
    let mut cases = Vec::new();
    for sizes in [
        ([1, 1, 1, 1], [1, 1]),
        ([2, 3, 4, 5], [7, 3]),
        ([1, 40, 3, 3], [6, 9]),
        ([1, 2, 10, 9], [5, 1]),
        ([2, 1, 1, 50], [1, 149]),
        ([1, 1, 37, 61], [41, 43]),
        ([0, 2, 4, 4], [2, 2]),
        ([1, 2, 4, 4], [0, 3]),
    ] {
        for coordinates in [Asymmetric, AlignCorners, HalfPixel] {
            for layout in LAYOUTS {
                let nearest = |dtype| (ResizeMode::Nearest, coordinates, layout, dtype);
                cases.extend(TYPES.map(|dtype| resize(&mut noise, sizes, nearest(dtype))));
                let bilinear = |dtype| (ResizeMode::Bilinear, coordinates, layout, dtype);
                cases.extend([F32, F16, BF16].map(|dtype| resize(&mut noise, sizes, bilinear(dtype))));
            }
        }
    }
    for coordinates in [Asymmetric, AlignCorners, HalfPixel] {
        // Coordinates that 32 bits do not count, and infinities that no neighbour may touch.
        for sizes in [([1, 1, 1, 70_000], [1, 70_001]), ([1, 1, 100_000, 1], [33_333, 1])] {
            for mode in [ResizeMode::Nearest, ResizeMode::Bilinear] {
                cases.push(resize(&mut noise, sizes, (mode, coordinates, Layout::Nchw, F32)));
            }
        }
        let sizes = ([1, 1, 2, 4], [3, 7]);
        let mut case = resize(&mut noise, sizes, (ResizeMode::Bilinear, coordinates, Layout::Nchw, F32));
        let special = [f64::INFINITY, 1.0, f64::NAN, 2.0, 3.0, 4.0, 5.0, f64::NEG_INFINITY];
        case.ins = vec![Tensor::from_f64s(F32, &[1, 1, 2, 4], &special).expect("a tensor")];
        cases.push(case);
    }
    check(&cases);
    let many = LAYOUTS.map(|layout| {
        let sizes = ([9, 4, 9, 12], [7, 9]);
        resize(&mut noise, sizes, (ResizeMode::Bilinear, HalfPixel, layout, F32))
    });
    check_narrow(&many, 2);
}
