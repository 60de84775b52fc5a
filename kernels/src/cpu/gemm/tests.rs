use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Gemm, Matrix, Program, Task, Unary};
use mindir_graph::{DType, Fact, Strides, Tensor, shape};

use crate::cpu::cases::{Case, EXACT, check, magnitudes, tensor};

const F32: DType = DType::F32;

fn dense(batch: &[isize], row: usize, col: usize) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

fn gemm(m: usize, n: usize, k: usize) -> Gemm {
    let (a, b, c) = (dense(&[], k, 1), dense(&[], n, 1), dense(&[], n, 1));
    Gemm { batch: shape(&[]), m, n, k, a, b, c, dtype: F32, out: F32, tf32: false, epilogue: None }
}

fn transposed_b(mut g: Gemm) -> Gemm {
    (g.b.row, g.b.col) = (1, g.k);
    g
}

fn transposed_a(mut g: Gemm) -> Gemm {
    (g.a.row, g.a.col) = (1, g.m);
    g
}

fn batched(mut g: Gemm, dims: &[usize], repeat_b: bool) -> Gemm {
    let strides = |size: usize| mindir_graph::dense_strides(dims).iter().map(|s| s * size as isize).collect();
    g.batch = shape(dims);
    g.a.batch = strides(g.m * g.k);
    g.b.batch = if repeat_b { dims.iter().map(|_| 0).collect() } else { strides(g.k * g.n) };
    g.c.batch = strides(g.m * g.n);
    g
}

fn typed(mut g: Gemm, dtype: DType) -> Gemm {
    (g.dtype, g.out) = (dtype, dtype);
    g
}

/// Factors of 16 bits; the sums, and what is done to them, are `f32`.
fn mixed(mut g: Gemm, dtype: DType) -> Gemm {
    (g.dtype, g.out) = (dtype, F32);
    g
}

/// The result rounded to another type.
fn rounded(mut g: Gemm, dtype: DType) -> Gemm {
    let identity = || Epilogue { program: Program::new(), inputs: Vec::new() };
    let Epilogue { program, .. } = g.epilogue.get_or_insert_with(identity);
    let x = program.instrs.len().checked_sub(1).unwrap_or_else(|| program.input(0, g.out));
    program.cast(x, dtype);
    g
}

fn with(mut g: Gemm, inputs: &[EpilogueInput], last: &[Unary]) -> Gemm {
    let mut program = Program::new();
    let regs: Vec<usize> = (0..=inputs.len()).map(|i| program.input(i, g.out)).collect();
    let mut x = regs[1..].iter().fold(regs[0], |x, &r| program.binary(Binary::Add, x, r));
    for &f in last {
        x = program.unary(f, x);
    }
    g.epilogue = Some(Epilogue { program, inputs: inputs.to_vec() });
    g
}

fn elements(g: &Gemm, x: &Matrix, rows: usize, cols: usize) -> usize {
    let dims = g.batch.iter().copied().zip(x.batch.iter().map(|s| s.unsigned_abs()));
    let last: usize = dims.chain([(rows, x.row), (cols, x.col)]).map(|(n, s)| n.saturating_sub(1) * s).sum();
    x.offset + last + 1
}

fn noise(dtype: DType, dims: &[usize], seed: u64) -> Tensor {
    tensor(seed, dtype, dims, if dtype.is_float() { 1.0 } else { 5.0 })
}

fn case(g: &Gemm, known: &[usize]) -> Case {
    let mut ins =
        vec![noise(g.dtype, &[elements(g, &g.a, g.m, g.k)], 1), noise(g.dtype, &[elements(g, &g.b, g.k, g.n)], 2)];
    let (rows, count) = (g.batch_count() * g.m, g.batch_count() * g.m * g.n);
    for (i, input) in g.epilogue.iter().flat_map(|e| &e.inputs).enumerate() {
        let len = match input {
            EpilogueInput::Scalar => 1,
            EpilogueInput::Column => g.n,
            EpilogueInput::Row => rows,
            EpilogueInput::Full => count,
        };
        ins.push(noise(g.out, &[len], 3 + i as u64));
    }
    let name = format!("{}x{}x{} {:?} {:?} known {known:?}", g.m, g.n, g.k, g.batch, g.dtype);
    let out = g.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(g.out);
    let outs = vec![Fact::new(out, &[rows, g.n])];
    let limits = limits(g, &ins[..2], &outs);
    let case = Case::new(name, Task::Gemm(g.clone()), ins, outs, EXACT);
    Case { known: known.to_vec(), limits, fast: false, ..case }
}

/// Rounding errors of sums of `|a| · |b|`, operands of the epilogue and the result itself.
fn limits(g: &Gemm, ins: &[Tensor], outs: &[Fact]) -> Vec<f64> {
    let sum = Fact::new(g.out, &outs[0].shape);
    let sums = magnitudes(&Task::Gemm(Gemm { epilogue: None, ..g.clone() }), ins, &[sum]);
    let eps = match outs[0].dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::F64 => 2e-16,
        d if d.is_float() => 1.2e-7,
        _ => 0.0,
    };
    let steps = if outs[0].dtype == F32 || g.dtype == DType::F64 { 4.0 + g.k as f64 / 8.0 } else { 6.0 };
    sums.iter().map(|s| eps * steps * (s + 2.0)).collect()
}

#[track_caller]
fn all_pass(cases: Vec<(Gemm, Vec<usize>)>) -> Vec<String> {
    check(&cases.iter().map(|(g, known)| case(g, known)).collect::<Vec<_>>())
}

#[test]
fn odd_sizes() {
    let sizes = [
        (1, 1, 1),
        (1, 17, 3),
        (2, 1, 5),
        (3, 8, 1),
        (5, 9, 2),
        (6, 16, 8),
        (7, 33, 40),
        (12, 15, 7),
        (13, 31, 17),
        (14, 50, 29),
        (25, 70, 64),
        (40, 64, 11),
        (97, 129, 33),
        (1, 100, 50),
        (4, 130, 65),
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
    ];
    let mut cases = Vec::new();
    for (m, n, k) in sizes {
        for known in [vec![], vec![1]] {
            cases.push((gemm(m, n, k), known.clone()));
            cases.push((transposed_b(gemm(m, n, k)), known.clone()));
            cases.push((transposed_a(gemm(m, n, k)), known));
        }
    }
    let names = all_pass(cases);
    assert!(names.iter().any(|n| n == "wide-f32-6x64") && names.iter().any(|n| n == "scalar-f32-gemv"));
}

#[test]
fn long_sums_and_many_blocks() {
    let cases = [(7, 20, 2000), (130, 40, 400), (30, 600, 385), (1, 300, 800), (2, 40, 1000)];
    all_pass(
        cases.iter().flat_map(|&(m, n, k)| [(gemm(m, n, k), vec![1]), (transposed_b(gemm(m, n, k)), vec![])]).collect(),
    );
}

#[test]
fn batches() {
    let mut cases = Vec::new();
    for (m, n, k) in [(1, 5, 8), (9, 20, 16), (33, 17, 12)] {
        for dims in [&[2][..], &[3, 2], &[1, 5], &[0]] {
            for repeat in [false, true] {
                cases.push((batched(gemm(m, n, k), dims, repeat), vec![]));
                cases.push((batched(transposed_b(gemm(m, n, k)), dims, repeat), vec![1]));
                cases.push((batched(transposed_a(gemm(m, n, k)), dims, repeat), vec![]));
            }
        }
    }
    all_pass(cases);
}

#[test]
fn strides_and_offsets() {
    let mut heads = gemm(6, 10, 8);
    // Operands that interleave 3 heads row by row, as attention leaves them.
    heads.batch = shape(&[3]);
    heads.a = Matrix { batch: Strides::from_slice(&[8]), row: 24, col: 1, offset: 5 };
    heads.b = Matrix { batch: Strides::from_slice(&[8]), row: 1, col: 24, offset: 2 };
    heads.c = Matrix { batch: Strides::from_slice(&[10]), row: 30, col: 1, offset: 0 };
    let mut backwards = gemm(4, 4, 4);
    backwards.batch = shape(&[2]);
    backwards.a = Matrix { batch: Strides::from_slice(&[-16]), row: 4, col: 1, offset: 16 };
    backwards.b.batch = Strides::from_slice(&[0]);
    backwards.c.batch = Strides::from_slice(&[16]);
    let cases = [heads, backwards];
    all_pass(cases.into_iter().flat_map(|g| [(g.clone(), vec![]), (g, vec![1])]).collect());
}

#[test]
fn epilogues() {
    use EpilogueInput::{Column, Full, Row, Scalar};
    let tails: [(&[EpilogueInput], &[Unary]); 9] = [
        (&[], &[Unary::Relu]),
        (&[Column], &[]),
        (&[Column], &[Unary::Relu]),
        (&[Column], &[Unary::Relu6]),
        (&[Column, Full], &[]),
        (&[Full, Column], &[Unary::Relu]),
        (&[Column], &[Unary::Gelu]),
        (&[Row, Scalar], &[Unary::Sigmoid]),
        (&[Column, Full, Row], &[Unary::HSwish, Unary::Neg]),
    ];
    let mut cases = Vec::new();
    for (inputs, last) in tails {
        for (m, n, k) in [(13, 37, 20), (1, 30, 12), (3, 9, 500)] {
            cases.push((with(gemm(m, n, k), inputs, last), vec![1]));
            cases.push((with(transposed_b(gemm(m, n, k)), inputs, last), vec![]));
            cases.push((batched(with(gemm(m, n, k), inputs, last), &[3], false), vec![]));
        }
    }
    all_pass(cases);
}

#[test]
fn mixed_types() {
    use EpilogueInput::{Column, Full};
    let mut cases = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        for (m, n, k) in [(13, 37, 20), (1, 30, 64), (6, 16, 100)] {
            for known in [vec![], vec![1]] {
                let plain = mixed(transposed_b(gemm(m, n, k)), dtype);
                let finished = with(mixed(gemm(m, n, k), dtype), &[Column, Full], &[Unary::Relu]);
                let gelu = with(mixed(gemm(m, n, k), dtype), &[Column], &[Unary::Gelu]);
                // The factors are f32 there, and only the result is narrow.
                let narrowed = rounded(with(gemm(m, n, k), &[Column], &[]), dtype);
                let all = [plain.clone(), rounded(plain, dtype), rounded(finished.clone(), dtype), finished, gelu];
                cases.extend(all.into_iter().chain([narrowed]).map(|g| (g, known.clone())));
            }
        }
    }
    let mut cases: Vec<Case> = cases.iter().map(|(g, known)| case(g, known)).collect();
    cases.iter_mut().for_each(|case| case.fast = true);
    check(&cases);
}

#[test]
fn other_types() {
    let mut cases = Vec::new();
    for dtype in [DType::F64, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8] {
        for known in [vec![], vec![1]] {
            cases.push((typed(gemm(5, 7, 6), dtype), known.clone()));
            cases.push((batched(typed(transposed_b(gemm(1, 7, 30)), dtype), &[2], false), known.clone()));
            cases.push((with(typed(gemm(5, 7, 6), dtype), &[EpilogueInput::Column], &[Unary::Relu]), known));
        }
    }
    let mut bytes = typed(gemm(3, 4, 5), DType::I8);
    bytes.out = DType::I32;
    cases.push((bytes, vec![]));
    let names = all_pass(cases);
    assert!(names.iter().any(|n| n.starts_with("wide-f16-")) && names.iter().any(|n| n == "plain-f64"));
}
