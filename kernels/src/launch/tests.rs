use mindir_graph::task::{
    Binary, Cell, Conv, Coordinates, Copy, Epilogue, Gather, Gemm, Layout, Map, Matrix, Part, Pool, PoolKind, Program,
    Recurrent, Reduce, ReduceKind, Resize, ResizeMode, Scan, ScanKind, Scatter, ScatterKind, Softmax, Squash, Unary,
};
use mindir_graph::{Shape, Strides, shape};
use mindir_shaders::Access;
use mindir_shaders::spread::INVOCATIONS;

use super::*;

fn map(dims: &[usize], f: Unary, dtype: DType) -> (Task, Vec<Fact>, Vec<Fact>) {
    let mut program = Program::new();
    let x = program.input(0, dtype);
    program.unary(f, x);
    let fact = Fact::new(dtype, dims);
    (Task::Map(Map { shape: shape(dims), program }), vec![fact.clone()], vec![fact])
}

fn gemm(m: usize, n: usize, k: usize, batch: usize) -> (Task, Vec<Fact>, Vec<Fact>) {
    let matrix = |rows: usize, cols: usize| Matrix {
        batch: Strides::from_slice(&[(rows * cols) as isize]),
        row: cols,
        col: 1,
        offset: 0,
    };
    let task = Gemm {
        batch: shape(&[batch]),
        m,
        n,
        k,
        a: matrix(m, k),
        b: matrix(k, n),
        c: matrix(m, n),
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        epilogue: None,
    };
    let fact = |rows: usize, cols: usize| Fact::new(DType::F32, &[batch, rows, cols]);
    (Task::Gemm(task), vec![fact(m, k), fact(k, n)], vec![fact(m, n)])
}

fn softmax(outer: usize, len: usize, inner: usize) -> (Task, Vec<Fact>, Vec<Fact>) {
    let fact = Fact::new(DType::F32, &[outer, len, inner]);
    let task = Softmax { outer, len, inner, log: false, dtype: DType::F32 };
    (Task::Softmax(task), vec![fact.clone()], vec![fact])
}

fn kernel_of((task, ins, outs): &(Task, Vec<Fact>, Vec<Fact>), limits: &Limits) -> Result<GpuKernel, Declined> {
    let known = vec![false; ins.len()];
    let on = Target { limits: *limits, ..Target::default() };
    let kernel = kernel(TaskView { task, ins, known: &known, outs }, &on)?;
    for launch in &kernel.launches {
        assert_eq!(launch.bound.len(), launch.module.bindings.len());
        assert!(launch.grid.iter().all(|&g| g > 0 && g <= limits.groups), "{:?}", launch.grid);
        assert!(launch.module.shared <= limits.shared && launch.module.invocations <= limits.invocations);
        for (i, (v, access)) in launch.bound.iter().zip(&launch.module.bindings).enumerate() {
            let all = View::from(v.of).bytes(TaskView { task, ins, known: &known, outs }, &on).expect("a tensor");
            let (start, bytes) = v.window.unwrap_or((0, all));
            assert!(bytes <= limits.binding && start + bytes <= all, "{v:?} of {all}");
            assert!(start % limits.alignment == 0, "{v:?}");
            let once = launch.bound.iter().enumerate().all(|(j, w)| j == i || w.of != v.of);
            assert!(*access == Access::Read || once && !matches!(v.of, Bound::In(_)), "{v:?}");
        }
    }
    Ok(kernel)
}

fn reason(of: &(Task, Vec<Fact>, Vec<Fact>)) -> String {
    kernel_of(of, &Limits::default()).expect_err("a reason").0
}

fn invocations(launch: &Launch) -> u64 {
    launch.grid.iter().map(|&g| u64::from(g)).product::<u64>() * u64::from(launch.module.invocations)
}

#[test]
fn grids_cover_the_results() {
    for limit in [3, 17, 65535] {
        let limits = Limits { groups: limit, ..Limits::default() };
        for count in [1, 255, 256, 257, 2000] {
            let kernel = kernel_of(&map(&[count], Unary::Exp, DType::F32), &limits).expect("a kernel");
            assert!(invocations(&kernel.launches[0]) >= count as u64);
            assert!(invocations(&kernel.launches[0]) < count as u64 + 256 * 3);
        }
        let kernel = kernel_of(&softmax(8, 100, 1), &limits).expect("a kernel");
        assert!(kernel.launches[0].grid.iter().product::<u32>() >= 8);
        let kernel = kernel_of(&softmax(8, 100, 9), &limits).expect("a kernel");
        assert!(invocations(&kernel.launches[0]) >= 72);
    }
    let kernel =
        kernel_of(&gemm(130, 65, 7, 70000), &Limits { binding: u64::MAX, ..Limits::default() }).expect("a kernel");
    assert_eq!(kernel.launches[0].grid, [2, 3, 65535]);
}

/// How often the invocations of a grid meet each element of a table, as the shader walks it.
fn visits(rows: usize, cols: usize, width: u32, [x, y, z]: [u32; 3]) -> Vec<u32> {
    assert!(width.is_power_of_two() && width <= INVOCATIONS && z == 1);
    let [width, height, x, y] = [width, INVOCATIONS / width, x, y].map(|n| n as usize);
    let mut met = vec![0; rows * cols];
    for first in 0..y * height {
        for row in (first..rows).step_by(y * height) {
            for col in (0..x * width).flat_map(|first| (first..cols).step_by(x * width)) {
                met[row * cols + col] += 1;
            }
        }
    }
    met
}

#[test]
fn every_element_of_a_table_has_one_invocation() {
    for groups in [1, 2, 7, 65535] {
        let on = Target { limits: Limits { groups, ..Limits::default() }, ..Target::default() };
        for rows in [1, 2, 3, 7, 8, 9, 100] {
            for cols in [1, 2, 5, 31, 32, 33, 255, 256, 700] {
                let (width, grid) = spread::spread(rows, cols, &on);
                assert!(grid.iter().all(|&g| g <= groups));
                assert!(visits(rows, cols, width, grid).iter().all(|&n| n == 1), "{rows} {cols} {groups}");
            }
        }
    }
}

fn conv(n: usize, c_in: usize, c_out: usize, size: usize, groups: usize) -> (Task, Vec<Fact>, Vec<Fact>) {
    let task = Conv {
        n,
        c_in,
        h: size,
        w: size,
        c_out,
        out_h: size,
        out_w: size,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [1; 4],
        groups,
        layout: Layout::Nchw,
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        scaled: false,
        epilogue: None,
    };
    let fact = |dims: &[usize]| Fact::new(DType::F32, dims);
    let ins = vec![fact(&[n, c_in, size, size]), fact(&[c_out, c_in / groups, 3, 3])];
    (Task::Conv(task), ins, vec![fact(&[n, c_out, size, size])])
}

#[test]
fn convolutions_have_a_tile_for_every_output() {
    let tiles = |of, groups| {
        let kernel = kernel_of(&of, &Limits { groups, ..Limits::default() }).expect("a kernel");
        let count = kernel.launches[0].grid.iter().product::<u32>();
        (kernel.name, count)
    };
    let named = |n, c_out, name: &str, count| {
        assert_eq!(tiles(conv(n, 3, c_out, 28, 1), 65535), (format!("f32-conv-tile{name}x64x16"), count));
    };
    named(1, 65, "8", 9 * 13);
    named(8, 65, "32", 3 * 98);
    named(32, 128, "64", 2 * 392);
    named(32, 48, "64", 392);
    named(32, 33, "16", 3 * 392);
    named(32, 22, "32", 392);
    named(32, 17, "8", 3 * 392);
    named(32, 4, "8", 392);
    let (name, count) = tiles(conv(32, 6, 256, 28, 2), 10 * 28);
    assert_eq!(name, "f32-conv-tile64x64x16");
    assert!((4 * 392..4 * 392 + 280).contains(&count), "{count}");
    assert_eq!(tiles(conv(1, 16, 16, 28, 16), 65535).0, "f32-conv-direct");
    let far = conv(1, 1, 8, 1 << 12, 1);
    assert_eq!(reason(&far), "binding of 512 MiB exceeds the adapter's limit of 128 MiB");
}

/// How often each step is in a part.
fn shares(steps: usize, each: usize, limits: &Limits) -> Vec<u32> {
    let task = Task::Copy(Copy { dtype: DType::F32, fill: None, parts: Vec::new() });
    let (ins, outs) = ([Fact::new(DType::F32, &[10])], [Fact::new(DType::F32, &[steps, each])]);
    let view = TaskView { task: &task, ins: &ins, known: &[false], outs: &outs };
    let on = Target { limits: *limits, ..Target::default() };
    let tensors = [(Bound::In(0), parts::Share::All), (Bound::Out(0), parts::Share::Each(each))];
    let mut met = vec![0; steps];
    for piece in parts::parts(steps, &tensors, view, &on).expect("parts") {
        (piece.origin[0]..piece.origin[0] + piece.dims[0]).for_each(|step| met[step] += 1);
        let first = piece.views[1].window.map_or(0, |(start, _)| start / 4) + u64::from(piece.firsts[1]);
        assert_eq!(first, (piece.origin[0] * each) as u64);
    }
    met
}

#[test]
fn every_step_is_in_one_part() {
    for (binding, alignment) in [(256, 4), (4096, 256), (8192, 32)] {
        let limits = Limits { binding, alignment, ..Limits::default() };
        for steps in [0, 1, 2, 7, 100] {
            for each in [0, 1, 5, 30] {
                assert_eq!(shares(steps, each, &limits), vec![1; steps], "{binding} {steps} {each}");
            }
        }
    }
}

/// A table of 256 MiB.
fn gather() -> (Task, Vec<Fact>, Vec<Fact>) {
    let (axis, inner, count, dtype, index) = (1 << 16, 1 << 10, 50, DType::F32, DType::I64);
    let task = Gather { outer: 1, axis, inner, count, batch: false, zeros: false, dtype, index };
    let ins = vec![Fact::new(dtype, &[axis, inner]), Fact::new(index, &[count])];
    (Task::Gather(task), ins, vec![Fact::new(dtype, &[count, inner])])
}

#[test]
fn large_images_and_tables_are_taken_in_windows() {
    let launches = |of| kernel_of(&of, &Limits::default()).expect("a kernel").launches;
    let images = launches(conv(40, 3, 4, 512, 1));
    let pixels = |l: &Launch| bytemuck::pod_read_unaligned::<u32>(&l.params[..4]);
    assert!(images.len() > 1);
    assert_eq!(images.iter().map(pixels).sum::<u32>(), 40 * 512 * 512);
    let windows: Vec<[u32; 2]> =
        launches(gather()).iter().map(|l| bytemuck::pod_read_unaligned(&l.params[20..28])).collect();
    assert_eq!(windows, [[0, 1 << 15], [1 << 15, 1 << 16]]);
}

#[test]
fn kernels_have_names() {
    let name = |of| kernel_of(&of, &Limits::default()).expect("a kernel").name;
    assert_eq!(name(gemm(100, 10, 10, 1)), "f32-gemm64x64x16");
    assert_eq!(name(gemm(1, 10, 10, 1)), "f32-gemm8x64x16");
    assert_eq!(name(softmax(1, 1000, 1)), "f32-softmax-group");
    assert_eq!(name(map(&[3, 4], Unary::Relu, DType::I8)), "i8-map");
}

#[test]
fn refusals_say_why() {
    assert_eq!(reason(&map(&[4], Unary::Exp, DType::F64)), "f64 is not supported by WGSL");
    assert_eq!(reason(&map(&[4], Unary::Exp, DType::I32)), "there is no Exp of i32");
    let large = softmax(2, 300 << 18, 1);
    assert_eq!(reason(&large), "binding of 300 MiB exceeds the adapter's limit of 128 MiB");
    let huge = map(&[1 << 50], Unary::Exp, DType::F32);
    assert_eq!(reason(&huge), "more than 4096 launches");
    let (_, ins, outs) = softmax(1, 4, 1);
    let conv = Conv {
        n: 1,
        c_in: 1,
        h: 2,
        w: 2,
        c_out: 1,
        out_h: 2,
        out_w: 2,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [0; 4],
        groups: 0,
        layout: Layout::Nchw,
        dtype: DType::F32,
        out: DType::F32,
        tf32: false,
        scaled: false,
        epilogue: None,
    };
    assert_eq!(reason(&(Task::Conv(conv), ins, outs)), "0 groups of 1 and 1 channels");
}

#[test]
fn many_operands_meet_the_limit() {
    let mut program = Program::new();
    let first = program.input(0, DType::F32);
    (1..9).fold(first, |sum, i| {
        let x = program.input(i, DType::F32);
        program.binary(Binary::Add, sum, x)
    });
    let fact = Fact::new(DType::F32, &[4]);
    let task = (Task::Map(Map { shape: shape(&[4]), program }), vec![fact.clone(); 9], vec![fact]);
    assert_eq!(reason(&task), "10 storage buffers exceed the adapter's limit of 8");
}

#[test]
fn malformed_tasks_are_refused() {
    let (task, _, outs) = map(&[4], Unary::Exp, DType::F32);
    assert_eq!(reason(&(task.clone(), Vec::new(), outs)), "operand 0 is missing");
    let (_, ins, outs) = map(&[5], Unary::Exp, DType::F32);
    assert!(reason(&(task, ins, outs)).contains("expected 4 elements"));
    let huge = Softmax { outer: usize::MAX, len: 2, inner: 2, log: false, dtype: DType::F32 };
    assert!(reason(&(Task::Softmax(huge), Vec::new(), Vec::new())).contains("too many elements"));
    let copy = Copy { dtype: DType::F32, fill: Some(vec![0]), parts: Vec::new() };
    let out = Fact { dtype: DType::F32, shape: Shape::from_slice(&[2]) };
    assert_eq!(reason(&(Task::Copy(copy), Vec::new(), vec![out])), "fill of 1 bytes for f32");
}

#[test]
fn huge_sizes_are_refused() {
    let big = 1 << 40;
    let (layout, dtype) = (Layout::Nhwc, DType::F32);
    let (n, c, h, w, out_h, out_w) = (0, big, big, 7, 3, big);
    let ([kernel, stride, dilation], pads) = ([[big, 2]; 3], [usize::MAX; 4]);
    let pool = Pool { kind: PoolKind::Max, n, c, h, w, out_h, out_w, kernel, stride, dilation, pads, layout, dtype };
    let (mode, coordinates) = (ResizeMode::Nearest, Coordinates::HalfPixel);
    let resize = Resize { mode, coordinates, n, c, h, w, out_h, out_w, layout, dtype };
    let (c_in, c_out, groups, epilogue) = (big, big, 1, None);
    let conv = Conv {
        n,
        c_in,
        h,
        w,
        c_out,
        out_h,
        out_w,
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
        epilogue,
    };
    let (outer, len, axis, inner, count, index) = (0, big, big, big, big, DType::I64);
    let scan = Scan { kind: ScanKind::Sum, outer, len, inner, exclusive: false, reverse: false, dtype };
    let gather = Gather { outer, axis, inner, count, batch: true, zeros: false, dtype, index };
    let axes = [0, big, big].into_iter().collect();
    let scatter = Scatter { kind: ScatterKind::Add, axes, inner, count, dtype, index };
    let (cell, seq, batch) = (Cell::Plain(Squash::Tanh), big, 0);
    let recurrent = Recurrent { cell, seq, batch, hidden: big, reverse: false, dtype };
    let tasks = [
        Task::Pool(pool),
        Task::Resize(resize),
        Task::Conv(conv),
        Task::Scan(scan),
        Task::Gather(gather),
        Task::Scatter(scatter),
        Task::Recurrent(recurrent),
    ];
    for task in tasks {
        let nothing = vec![Fact::new(dtype, &[0]); 4];
        let reason = reason(&(task, nothing.clone(), nothing));
        assert!(reason.contains("too many elements") || reason.contains("30 bits"), "{reason}");
    }
    let facts = |dims: &[&[usize]]| dims.iter().map(|d| Fact::new(dtype, d)).collect();
    let recurrent = Recurrent { cell, seq: 1 << 20, batch: 1, hidden: 1, reverse: false, dtype };
    let ins = facts(&[&[1 << 20, 1, 1], &[1, 1], &[1, 1]]);
    let steps = (Task::Recurrent(recurrent), ins, facts(&[&[1 << 20, 1, 1], &[1, 1]]));
    assert_eq!(reason(&steps), "shaders take sequences of 65536 steps, not 1048576");
}

/// The product with weights that lie by columns.
fn by_columns(mut of: (Task, Vec<Fact>, Vec<Fact>)) -> (Task, Vec<Fact>, Vec<Fact>) {
    if let Task::Gemm(g) = &mut of.0 {
        (g.b.row, g.b.col) = (1, g.k);
    }
    of
}

#[test]
fn what_is_larger_than_a_binding_is_taken_in_windows() {
    let launches = |of| kernel_of(&of, &Limits::default()).expect("a kernel").launches;
    // 256 MiB of weights: by columns each launch has its own, by rows the sums go on from one launch to the next.
    let columns = launches(by_columns(gemm(3, 1 << 15, 1 << 11, 1)));
    assert!(columns.iter().all(|l| l.bound.len() == 3 && l.module.source.contains("return Number();")));
    let rows = launches(gemm(3, 1 << 15, 1 << 11, 1));
    let adds = |l: &Launch| l.module.source.contains("return Number(y[params.c_first + place]);");
    assert_eq!(rows.iter().map(adds).collect::<Vec<_>>(), [false, true]);
    // Long sums of floats are cut, those of integers are not.
    let cut = launches(gemm(3, 5, 1 << 12, 1));
    assert_eq!(cut.iter().map(adds).collect::<Vec<_>>(), [false, true]);
    let (Task::Gemm(of), ..) = gemm(3, 5, 1 << 12, 1) else { unreachable!("a product") };
    let whole = Gemm { dtype: DType::I32, out: DType::I32, ..of };
    let fact = |rows: usize, cols: usize| Fact::new(DType::I32, &[rows, cols]);
    assert_eq!(launches((Task::Gemm(whole), vec![fact(3, 1 << 12), fact(1 << 12, 5)], vec![fact(3, 5)])).len(), 1);
    // A transposed map of 160 MiB, a copy, a softmax and a sum of as much.
    assert!(launches(map(&[5 << 13, 1 << 10], Unary::Exp, DType::F16)).len() > 1);
    assert!(launches(softmax(5 << 13, 1 << 10, 1)).len() > 1);
    let (outer, len, inner) = (5, 1 << 12, 1 << 11);
    let sum = Reduce { kind: ReduceKind::Sum, outer, len, inner, dtype: DType::F32, out: DType::F32 };
    let facts = |dims: &[usize]| vec![Fact::new(DType::F32, dims)];
    assert!(launches((Task::Reduce(sum), facts(&[outer, len, inner]), facts(&[outer, inner]))).len() > 1);
    // One line of 160 MiB: its sum goes on in the result, a position does not.
    let line = |kind, out| {
        let len = 40 << 20;
        let of = Reduce { kind, outer: 1, len, inner: 1, dtype: DType::F32, out };
        (Task::Reduce(of), facts(&[len]), vec![Fact::new(out, &[1])])
    };
    assert_eq!(launches(line(ReduceKind::Mean, DType::F32)).len(), 2);
    assert!(reason(&line(ReduceKind::ArgMax, DType::I64)).contains("binding of 160 MiB"));
    let (a, b) = (1 << 13, 5 << 10);
    let part = Part {
        input: 0,
        shape: shape(&[b, a]),
        src_offset: 0,
        src: Strides::from_slice(&[1, b as isize]),
        dst_offset: 0,
        dst: Strides::from_slice(&[a as isize, 1]),
    };
    let copy = Copy { dtype: DType::F32, fill: None, parts: vec![part] };
    assert_eq!(launches((Task::Copy(copy), facts(&[a, b]), facts(&[b, a]))).len(), 4);
}

#[test]
fn sums_that_the_result_cannot_hold_are_not_parted() {
    let (task, ins, _) = gemm(3, 1 << 14, 1 << 12, 1);
    let Task::Gemm(mut g) = task else { unreachable!("a product") };
    let mut p = Program::new();
    let sum = p.input(0, DType::F32);
    p.unary(Unary::IsNan, sum);
    g.epilogue = Some(Epilogue { program: p, inputs: Vec::new() });
    let of = (Task::Gemm(g), ins, vec![Fact::new(DType::Bool, &[1, 3, 1 << 14])]);
    // By rows no part of the columns takes less.
    assert!(reason(&of).contains("exceeds the adapter's limit of 128 MiB"));
}

#[test]
fn dimensions_beyond_those_of_the_shaders_are_walked_one_by_one() {
    let dims = [2; 12];
    let mut strides: Vec<isize> = mindir_graph::dense_strides(&dims).to_vec();
    strides.reverse();
    let part = Part {
        input: 0,
        shape: shape(&dims),
        src_offset: 0,
        src: Strides::from_slice(&strides),
        dst_offset: 0,
        dst: mindir_graph::dense_strides(&dims),
    };
    let copy = Copy { dtype: DType::U8, fill: None, parts: vec![part] };
    let facts = vec![Fact::new(DType::U8, &dims)];
    let kernel = kernel_of(&(Task::Copy(copy), facts.clone(), facts), &Limits::default()).expect("a kernel");
    assert_eq!((kernel.launches.len(), kernel.name.as_str()), (16, "u8-copy12"));
}
