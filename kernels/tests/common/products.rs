//! Products of matrices.

use mindir_graph::DType::{self, BF16, Bool, F16, F32, F64, I8, I32};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Gemm, Matrix, Program, Task, Unary};
use mindir_graph::{Fact, Strides, dense_strides, shape};

use super::{Case, Noise, TYPES, check, check_narrow, close};

fn matrix(batch: &[isize], row: usize, col: usize) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

pub fn product([m, n, k]: [usize; 3], transposed: (bool, bool), (dtype, out): (DType, DType)) -> Gemm {
    Gemm {
        batch: shape(&[]),
        m,
        n,
        k,
        a: if transposed.0 { matrix(&[], 1, m) } else { matrix(&[], k, 1) },
        b: if transposed.1 { matrix(&[], 1, k) } else { matrix(&[], n, 1) },
        c: matrix(&[], n, 1),
        dtype,
        out,
        tf32: false,
        epilogue: None,
    }
}

fn product_of(noise: &mut Noise, size: [usize; 3], transposed: (bool, bool), (dtype, out): (DType, DType)) -> Case {
    let [m, n, k] = size;
    let ins = [m * k, k * n].map(|count| noise.any(dtype, &[count], -3.0, 3.0)).to_vec();
    let task = Task::Gemm(product(size, transposed, (dtype, out)));
    let (absolute, relative) = close(out);
    let name = format!("{m}x{n}x{k} {transposed:?} of {dtype}");
    let case = Case::new(name, task, ins, vec![Fact::new(out, &[m, n])]);
    case.within(absolute * 4.0 * k as f64, relative)
}

const ORDERS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

fn matrix_products_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(7));
    let mut cases = Vec::new();
    let sizes = [[1, 1, 1], [1, 130, 33], [16, 64, 16], [17, 65, 15], [64, 64, 64], [67, 129, 100], [3, 4, 0]];
    for size in sizes {
        cases.extend(ORDERS.map(|transposed| product_of(&mut noise, size, transposed, (F32, F32))));
    }
    let sizes = [[1, 1, 1], [5, 70, 19], [67, 129, 20], [3, 4, 0], [0, 3, 3]];
    for (i, &size) in sizes.iter().enumerate() {
        let types = TYPES.iter().filter(|d| **d != F32).map(|&d| (d, d)).chain([(I8, I32), (F16, F32), (BF16, F32)]);
        cases.extend(types.map(|types| product_of(&mut noise, size, ORDERS[i % 4], types)));
    }
    cases
}

#[test]
fn matrix_products() {
    check(&matrix_products_cases());
    check_narrow(&matrix_products_cases(), 3);
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
                let task = Gemm { out: F32, epilogue, ..product([m, n, k], (false, true), (dtype, F32)) };
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

/// Heads of attention: strided rows, a repeated right-hand side, an epilogue that reads in every way.
fn heads(noise: &mut Noise, dtype: DType, [m, n, k]: [usize; 3]) -> Case {
    use EpilogueInput::{Column, Full, Row, Scalar};
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
        ..product([m, n, k], (false, false), (dtype, dtype))
    };
    let dims: [&[usize]; 6] = [&[2, m, 3, k], &[3, k, n], &[1], &[n], &[6, m], &[2, 3, m, n]];
    let ins = dims.iter().map(|d| noise.tensor(dtype, d, -2.0, 2.0)).collect();
    let (absolute, relative) = close(dtype);
    let case = Case::new(format!("heads of {dtype}"), Task::Gemm(task), ins, vec![Fact::new(dtype, &[2, 3, m, n])]);
    case.within(absolute * 10.0 + relative, relative)
}

/// Signs of products, whose result has more elements than the product writes.
fn signs(noise: &mut Noise, dtype: DType, [m, n, k]: [usize; 3]) -> Case {
    let mut p = Program::new();
    let (x, limit) = (p.input(0, dtype), p.constant(0.0, dtype));
    p.binary(Binary::Gt, x, limit);
    let task = Gemm {
        batch: shape(&[2]),
        a: matrix(&[(m * k) as isize], k, 1),
        b: matrix(&[0], n, 1),
        c: Matrix { offset: 5, ..matrix(&[(2 * m * n) as isize], 2 * n, 1) },
        epilogue: Some(Epilogue { program: p, inputs: Vec::new() }),
        ..product([m, n, k], (false, false), (dtype, dtype))
    };
    let ins = vec![noise.tensor(dtype, &[2, m, k], -2.0, 2.0), noise.tensor(dtype, &[k, n], -2.0, 2.0)];
    Case::new(format!("signs of {dtype}"), Task::Gemm(task), ins, vec![Fact::new(Bool, &[2, m, 2, n])])
}

/// Batch dimensions that do not merge, and the sum in a type of 16 bits.
fn batches(noise: &mut Noise) -> [Case; 2] {
    let mut p = Program::new();
    let (sum, row) = (p.input(0, F16), p.input(1, F32));
    let wide = p.cast(sum, F32);
    let total = p.binary(Binary::Add, wide, row);
    p.cast(total, F16);
    let dims = [2, 3, 2, 3, 2, 3];
    let steps: Vec<isize> = dense_strides(&dims).iter().map(|s| s * 4).collect();
    let mut turned = steps.clone();
    turned.reverse();
    turned[1] = 0;
    let task = Gemm {
        batch: shape(&dims),
        a: matrix(&steps, 2, 1),
        b: matrix(&turned, 1, 2),
        c: matrix(&steps, 2, 1),
        epilogue: Some(Epilogue { program: p, inputs: vec![EpilogueInput::Row] }),
        ..product([2, 2, 2], (false, false), (F16, F16))
    };
    let ins = [(F16, vec![216, 2, 2]), (F16, vec![3000]), (F32, vec![216, 2])];
    let ins: Vec<_> = ins.iter().map(|(dtype, dims)| noise.tensor(*dtype, dims, -2.0, 2.0)).collect();
    // The sum in f32, and only the factors in 16 bits.
    let mut p = Program::new();
    let (sum, row) = (p.input(0, F32), p.input(1, F32));
    p.binary(Binary::Add, sum, row);
    let epilogue = Some(Epilogue { program: p, inputs: vec![EpilogueInput::Row] });
    let mixed = Gemm { out: F32, epilogue, ..task.clone() };
    let outs = [F16, F32].map(|dtype| vec![Fact::new(dtype, &[216, 2, 2])]);
    let [narrow, wide] = outs;
    [
        Case::new("many batches", Task::Gemm(task), ins.clone(), narrow).within(4e-3, 2e-3),
        Case::new("many mixed batches", Task::Gemm(mixed), ins, wide).within(1e-6, 1e-6),
    ]
}

fn batched_products_with_epilogues_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(8));
    let sizes = [(F32, 19), (F16, 19), (F16, 70), (BF16, 70), (F64, 70)];
    let mut cases = Vec::from(batches(&mut noise));
    for (dtype, m) in sizes.into_iter().filter(|(dtype, _)| TYPES.contains(dtype)) {
        cases.push(heads(&mut noise, dtype, [m, 23, 9]));
        cases.push(signs(&mut noise, dtype, [m, 23, 9]));
    }
    cases
}

#[test]
fn batched_products_with_epilogues() {
    check(&batched_products_with_epilogues_cases());
    check_narrow(&batched_products_with_epilogues_cases(), 2);
}
