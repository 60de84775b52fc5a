//! Products by a cuBLASLt that computes on the processor, in processes of their own: elsewhere there is none.

use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Gemm, Matrix, Program, Task, Unary};
use mindir_graph::{DType, Fact, Strides, dense_strides, shape};
use mindir_kernels::device::Weights;

use super::{BF16, Case, F16, F32, F64, Noise, alone, close, device, left, single};

fn matrix(row: usize, col: usize, batch: &[isize]) -> Matrix {
    Matrix { batch: Strides::from_slice(batch), row, col, offset: 0 }
}

fn product(dtype: DType, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, epilogue: Option<Epilogue>) -> Gemm {
    Gemm { batch: shape(&[]), m, n, k, a, b, c: matrix(n, 1, &[]), dtype, out: dtype, tf32: false, epilogue }
}

/// A function of the product and of operands.
fn epilogue(inputs: &[(EpilogueInput, DType)], of: impl Fn(&mut Program, &[usize])) -> Option<Epilogue> {
    let mut program = Program::new();
    let mut registers = vec![program.input(0, inputs[0].1)];
    registers.extend(inputs[1..].iter().enumerate().map(|(i, (_, dtype))| program.input(i + 1, *dtype)));
    of(&mut program, &registers);
    Some(Epilogue { program, inputs: inputs[1..].iter().map(|(input, _)| *input).collect() })
}

/// Products with what computes them: `cublaslt`, or nothing of it.
fn cases() -> Vec<(bool, Case)> {
    use EpilogueInput::{Column, Full, Row, Scalar};
    let mut noise = Noise(SplitMix(20));
    let mut cases = Vec::new();
    let [m, n, k] = [33, 17, 40];
    for dtype in [F32, F16, BF16] {
        let mut put = |lt, name: &str, task: Gemm, more: &[&[usize]], out: Option<DType>| {
            let dims = [vec![task.a_elements(), 1], vec![task.b_elements(), 1]];
            let all = dims.iter().map(Vec::as_slice).chain(more.iter().copied());
            let ins = all.map(|dims| noise.tensor(dtype, dims, -2.0, 2.0)).collect();
            let outs = vec![Fact::new(out.unwrap_or(dtype), &[task.batch_count() * task.m, task.n])];
            let (absolute, relative) = close(dtype);
            let near = (40.0 * absolute + 40.0 * relative, 4.0 * relative);
            cases.push((lt, Case::new(format!("{name} of {dtype}"), Task::Gemm(task), ins, outs).near(near)));
        };
        for (name, a, b) in [
            ("plain", matrix(k, 1, &[]), matrix(n, 1, &[])),
            ("a along m", matrix(1, m, &[]), matrix(n, 1, &[])),
            ("b along k", matrix(k, 1, &[]), matrix(1, k, &[])),
            ("both", matrix(1, m, &[]), matrix(1, k, &[])),
            ("long rows", matrix(k + 5, 1, &[]), matrix(n + 3, 1, &[])),
            ("offsets", Matrix { offset: 3, ..matrix(k, 1, &[]) }, Matrix { offset: 8, ..matrix(n, 1, &[]) }),
        ] {
            put(true, name, product(dtype, [m, n, k], a, b, None), &[], None);
        }
        for [m, n, k] in [[1, 9, 30], [30, 1, 9], [9, 30, 1], [1, 1, 1]] {
            let task = product(dtype, [m, n, k], matrix(k, 1, &[]), matrix(n, 1, &[]), None);
            put(true, &format!("{m} {n} {k}"), task, &[], None);
        }
        let (a, b) = (|| matrix(k, 1, &[]), || matrix(n, 1, &[]));
        let bias = epilogue(&[(Full, dtype), (Column, dtype)], |p, r| {
            p.binary(Binary::Add, r[0], r[1]);
        });
        put(true, "bias", product(dtype, [m, n, k], a(), b(), bias.clone()), &[&[n]], None);
        // The same number for each row is no bias.
        let of_rows = bias.map(|e| Epilogue { inputs: vec![Row], ..e });
        put(dtype == F32, "rows", product(dtype, [m, n, k], a(), b(), of_rows), &[&[m]], None);
        let all = [(Full, dtype), (Scalar, dtype), (Column, dtype), (Row, dtype), (Full, dtype)];
        let sum = epilogue(&all, |p, r| {
            let total = r[1..].iter().fold(r[0], |sum, x| p.binary(Binary::Add, sum, *x));
            p.unary(Unary::Tanh, total);
        });
        put(dtype == F32, "all", product(dtype, [m, n, k], a(), b(), sum), &[&[1], &[n], &[m], &[m, n]], None);
        let positive = epilogue(&[(Full, dtype)], |p, r| {
            let zero = p.constant(0.0, dtype);
            p.binary(Binary::Gt, r[0], zero);
        });
        put(dtype == F32, "signs", product(dtype, [m, n, k], a(), b(), positive), &[], Some(DType::Bool));
        let batch = |c: Matrix, b: isize, dims: &[usize]| Gemm {
            batch: shape(dims),
            c,
            ..product(
                dtype,
                [m, n, k],
                matrix(k, 1, &dense_strides(dims).iter().map(|s| s * (m * k) as isize).collect::<Vec<_>>()),
                matrix(n, 1, &dense_strides(dims).iter().map(|s| s * b).collect::<Vec<_>>()),
                None,
            )
        };
        let dense: Vec<isize> = dense_strides(&[2, 3]).iter().map(|s| s * (m * n) as isize).collect();
        put(true, "batches", batch(matrix(n, 1, &dense), (k * n) as isize, &[2, 3]), &[], None);
        put(true, "one b", batch(matrix(n, 1, &dense), 0, &[2, 3]), &[], None);
        // Batches of a product of heads lie between the rows of each other.
        put(true, "heads", batch(matrix(3 * n, 1, &[n as isize]), (k * n) as isize, &[3]), &[], None);
        let uneven = [(3 * m * n) as isize, n as isize];
        put(false, "two distances", batch(matrix(3 * n, 1, &uneven), (k * n) as isize, &[2, 3]), &[], None);
    }
    // Factors of tf32 and results of f32 from halves.
    for (name, dtype, tf32, near) in
        [("tf32", F32, true, 1e-3), ("wide", F16, false, 1e-5), ("wide", BF16, false, 1e-5)]
    {
        let task = Gemm { tf32, out: F32, ..product(dtype, [m, n, k], matrix(k, 1, &[]), matrix(n, 1, &[]), None) };
        let ins = vec![noise.tensor(dtype, &[m, k], -2.0, 2.0), noise.tensor(dtype, &[k, n], -2.0, 2.0)];
        let case = Case::new(format!("{name} {dtype}"), Task::Gemm(task), ins, vec![Fact::new(F32, &[m, n])]);
        cases.push((true, case.near((40.0 * near, near))));
    }
    let doubles = product(F64, [m, n, k], matrix(k, 1, &[]), matrix(n, 1, &[]), None);
    let ins = vec![noise.tensor(F64, &[m, k], -2.0, 2.0), noise.tensor(F64, &[k, n], -2.0, 2.0)];
    let case = Case::new("doubles", Task::Gemm(doubles), ins, vec![Fact::new(F64, &[m, n])]);
    cases.push((false, case.near((1e-11, 1e-12))));
    cases
}

trait Elements {
    fn a_elements(&self) -> usize;
    fn b_elements(&self) -> usize;
}

impl Elements for Gemm {
    fn a_elements(&self) -> usize {
        last(&self.a, &self.batch, [self.m, self.k])
    }

    fn b_elements(&self) -> usize {
        last(&self.b, &self.batch, [self.k, self.n])
    }
}

/// Elements up to the last one of a matrix.
fn last(m: &Matrix, batch: &[usize], [rows, cols]: [usize; 2]) -> usize {
    let batches: usize = batch.iter().zip(&m.batch).map(|(n, s)| (n - 1) * s.unsigned_abs()).sum();
    m.offset + batches + (rows - 1) * m.row + (cols - 1) * m.col + 1
}

#[test]
fn products_of_a_library() {
    if std::env::var_os("MINDIR_ALONE").is_none() {
        if device().is_some() {
            for how in ["some", "none"] {
                alone("lt::products_of_a_library", &[("MINDIR_EMULATION_LT", how)]);
                alone("common::products::batched_products_with_epilogues", &[("MINDIR_EMULATION_LT", how)]);
                alone("nothing_is_left", &[("MINDIR_EMULATION_LT", how)]);
            }
        }
        return;
    }
    let how = std::env::var("MINDIR_EMULATION_LT").expect("what the library knows");
    let device = device().expect("a device");
    assert!(device.adapter().ends_with("cuBLASLt 130000"), "{}", device.adapter());
    for (by_library, case) in cases() {
        let program = single(&case).build(device, &Weights::default()).expect("a program");
        let [kernel] = &program.kernels()[..] else { panic!("{}", case.name) };
        assert_eq!(kernel.ends_with("cublaslt"), by_library && how == "some", "{}: {kernel}", case.name);
        drop(program);
        let before = left::left();
        case.check(device).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        // Kernels stay with the device.
        assert!(left::left() <= before + 2, "{}", case.name);
    }
}
