use mindir_graph::task::*;
use mindir_graph::{DType, Fact, Tensor, f16, shape};

use super::Finish;
use super::code::BLOCK;
use crate::cpu::Isa;
use crate::cpu::cases::{Bound, Case, EXACT, check, noise, tensor};
use crate::cpu::epilogue::{RowOperand, RowProgram};

/// A few units in the last place of `f32`.
const CLOSE: Bound = Bound { absolute: 2e-8, relative: 8e-7 };
/// A few units in the last place of `f64`.
const DOUBLE: Bound = Bound { absolute: 0.0, relative: 2e-15 };
/// A unit in the last place of `bf16`, which covers `f16`.
const HALF: Bound = Bound { absolute: 1e-6, relative: 8e-3 };

fn case(name: String, program: Program, dims: &[usize], ins: Vec<Tensor>, bound: Bound) -> Case {
    let out = Fact::new(program.dtype().unwrap(), dims);
    Case::new(name, Task::Map(Map { shape: shape(dims), program }), ins, vec![out], bound)
}

fn binary(f: Binary, dtype: DType) -> Program {
    let mut p = Program::new();
    let (a, b) = (p.input(0, dtype), p.input(1, dtype));
    p.binary(f, a, b);
    p
}

fn unary(f: Unary, dtype: DType) -> Program {
    let mut p = Program::new();
    let x = p.input(0, dtype);
    p.unary(f, x);
    p
}

const TYPES: [DType; 12] = [
    DType::Bool,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::F16,
    DType::BF16,
    DType::F32,
    DType::F64,
];

fn bound(dtype: DType) -> Bound {
    match dtype {
        DType::F16 | DType::BF16 => HALF,
        DType::F32 => CLOSE,
        _ => EXACT,
    }
}

#[test]
fn shapes_broadcast() {
    let shapes: [(&[usize], &[usize], &[usize]); 19] = [
        (&[1], &[1], &[1]),
        (&[], &[], &[]),
        (&[7], &[7], &[]),
        (&[0, 3], &[3], &[1]),
        (&[5, 7], &[5, 7], &[7]),
        (&[5, 7], &[5, 1], &[7]),
        (&[5, 7], &[5, 1], &[5, 7]),
        (&[300, 3], &[300, 3], &[3]),
        (&[300, 3], &[300, 1], &[300, 3]),
        (&[3, 700], &[3, 700], &[700]),
        (&[3, 1000], &[3, 1], &[1000]),
        (&[2, 33, 9, 5], &[33, 1, 1], &[2, 33, 9, 5]),
        (&[2, 3, 4, 5], &[2, 1, 4, 1], &[3, 1, 5]),
        (&[2, 3, 400], &[2, 1, 400], &[3, 1]),
        (&[40_000], &[40_000], &[1]),
        (&[90, 513], &[90, 513], &[90, 513]),
        (&[3, 9001], &[3, 9001], &[3, 1]),
        (&[3, 9001], &[3, 1], &[1]),
        (&[3, 261], &[3, 1], &[3, 261]),
    ];
    let mut cases = Vec::new();
    for (dims, a, b) in shapes {
        for dtype in [DType::F32, DType::I64, DType::F16, DType::Bool] {
            let ins = vec![tensor(1, dtype, a, 100.0), tensor(2, dtype, b, 100.0)];
            cases.push(case(format!("{a:?} + {b:?} of {dtype}"), binary(Binary::Add, dtype), dims, ins, bound(dtype)));
        }
    }
    check(&cases);
}

#[test]
fn steps_of_every_kind_read_an_operand_that_repeats() {
    let mut cases = Vec::new();
    for dims in [[3, 7], [3, 700], [2, 9001]] {
        for column in [[dims[0], 1], [1, 1]] {
            let mut p = Program::new();
            let (x, y, z) = (p.input(0, DType::F32), p.input(1, DType::F32), p.input(2, DType::F32));
            let less = p.binary(Binary::Lt, x, y);
            let sum = p.binary(Binary::Add, x, y);
            let scaled = p.binary(Binary::Mul, z, sum);
            p.select(less, scaled, y);
            let ins = [(1, dims), (2, column), (3, column)].map(|(seed, dims)| tensor(seed, DType::F32, &dims, 3.0));
            cases.push(case(format!("choice of {dims:?} and {column:?}"), p, &dims, ins.to_vec(), CLOSE));
            let ins = vec![tensor(1, DType::U8, &dims, 3.0).cast(DType::F32).unwrap(), ins[1].clone()];
            cases.push(case(format!("{dims:?} to {column:?}"), binary(Binary::Pow, DType::F32), &dims, ins, CLOSE));
        }
    }
    check(&cases);
}

#[test]
fn every_function_of_every_type() {
    let n = 67;
    let mut cases = Vec::new();
    for dtype in TYPES {
        let range = if dtype == DType::Bool { 1.0 } else { 9.0 };
        let (a, b) = (tensor(3, dtype, &[n], range), tensor(4, dtype, &[n], range));
        for &f in Unary::ALL {
            let range = if matches!(f, Unary::Asin | Unary::Acos | Unary::Atanh | Unary::Tan) { 0.99 } else { range };
            let x = tensor(3, dtype, &[n], range);
            let bound = if dtype == DType::F64 { DOUBLE } else { bound(dtype) };
            cases.push(case(format!("{} of {dtype}", f.name()), unary(f, dtype), &[n], vec![x], bound));
        }
        for &f in Binary::ALL {
            let ins = vec![a.clone(), b.clone()];
            let bound =
                if matches!(f, Binary::FloorMod | Binary::Rem) && dtype == DType::F32 { EXACT } else { bound(dtype) };
            cases.push(case(format!("{} of {dtype}", f.name()), binary(f, dtype), &[n], ins, bound));
        }
        for to in TYPES {
            let mut p = Program::new();
            let x = p.input(0, dtype);
            p.cast(x, to);
            let x = tensor(5, dtype, &[n], 400.0);
            cases.push(case(format!("{dtype} to {to}"), p, &[n], vec![x], EXACT));
        }
        let mut p = Program::new();
        let (x, y) = (p.input(0, dtype), p.input(1, dtype));
        let less = p.binary(Binary::Lt, x, y);
        let other = p.unary(Unary::Not, less);
        let smaller = p.select(less, x, y);
        p.select(other, smaller, y);
        cases.push(case(format!("select of {dtype}"), p, &[n], vec![a.clone(), b.clone()], EXACT));
    }
    check(&cases);
}

#[test]
fn odd_numbers() {
    let odd =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0, 1e-40, f32::MAX, f32::MIN, 3.5, -2.5, 0.5];
    let pairs: Vec<(f32, f32)> = odd.iter().flat_map(|&a| odd.iter().map(move |&b| (a, b))).collect();
    let a = Tensor::vector(&pairs.iter().map(|p| p.0).collect::<Vec<f32>>());
    let b = Tensor::vector(&pairs.iter().map(|p| p.1).collect::<Vec<f32>>());
    let mut cases = Vec::new();
    for &f in Binary::ALL {
        let ins = vec![a.clone(), b.clone()];
        cases.push(case(f.name().into(), binary(f, DType::F32), &[pairs.len()], ins, CLOSE));
    }
    for exponent in [0.5, 2.0, -1.0, 3.0, -0.5, 0.0, 1.0] {
        let mut p = Program::new();
        let (x, e) = (p.input(0, DType::F32), p.constant(exponent, DType::F32));
        p.binary(Binary::Pow, x, e);
        cases.push(case(format!("power {exponent}"), p, &[pairs.len()], vec![a.clone()], CLOSE));
    }
    for &f in Unary::ALL {
        cases.push(case(f.name().into(), unary(f, DType::F32), &[pairs.len()], vec![a.clone()], CLOSE));
    }
    for to in TYPES {
        let mut p = Program::new();
        let x = p.input(0, DType::F32);
        p.cast(x, to);
        cases.push(case(format!("odd to {to}"), p, &[pairs.len()], vec![a.clone()], EXACT));
    }
    check(&cases);
}

/// A program that reuses rows: ((x + y) · 2 − y)² and so on.
fn long_program() -> Program {
    let mut p = Program::new();
    let (x, y) = (p.input(0, DType::F32), p.input(1, DType::F32));
    let two = p.constant(2.0, DType::F32);
    let _dead = p.unary(Unary::Exp, y);
    let mut v = p.binary(Binary::Add, x, y);
    for f in [Unary::Square, Unary::Sigmoid, Unary::Relu, Unary::Tanh, Unary::Exp] {
        let w = p.binary(Binary::Mul, v, two);
        let u = p.unary(f, w);
        let d = p.binary(Binary::Sub, u, y);
        v = p.binary(Binary::Max, d, x);
    }
    p.binary(Binary::Add, v, two);
    p
}

#[test]
fn long_programs_reuse_rows() {
    let code = super::Code::new(&long_program(), &[DType::F32; 2]).unwrap();
    assert!(code.rows <= 4, "{} rows", code.rows);
    let bound = Bound { absolute: 1e-5, relative: 1e-5 };
    let mut cases = Vec::new();
    for dims in [&[1000][..], &[3, 7], &[130, 130]] {
        let ins = vec![tensor(6, DType::F32, dims, 1.0), tensor(7, DType::F32, &dims[dims.len() - 1..], 1.0)];
        cases.push(case(format!("long {dims:?}"), long_program(), dims, ins, bound));
    }
    let mut identity = Program::new();
    identity.input(0, DType::F16);
    cases.push(case("identity".into(), identity, &[700], vec![tensor(8, DType::F16, &[700], 2.0)], EXACT));
    let mut constant = Program::new();
    constant.constant(2.5, DType::F32);
    cases.push(case("constant".into(), constant, &[700], vec![], EXACT));
    check(&cases);
}

#[test]
fn unsigned_long_integers_are_left_to_the_plain_form() {
    let n = [40];
    let ins = vec![tensor(1, DType::U64, &n, 100.0), tensor(2, DType::U64, &n, 100.0)];
    let case = case("u64".into(), binary(Binary::Max, DType::U64), &n, ins, EXACT);
    check(&[Case { fast: false, ..case }]);
}

fn epilogue(operands: usize, last: &[Unary], dtype: DType) -> Program {
    let mut program = Program::new();
    let mut v = program.input(0, dtype);
    for i in 1..=operands {
        let x = program.input(i, dtype);
        v = program.binary(Binary::Add, x, v);
    }
    last.iter().for_each(|&f| v = program.unary(f, v));
    program
}

#[test]
fn epilogues_finish_rows() {
    use Unary::*;
    let lasts: [&[Unary]; 11] =
        [&[], &[Relu], &[Relu6], &[Gelu], &[GeluTanh], &[Silu], &[HSwish], &[Sigmoid], &[Tanh], &[Mish], &[Relu, Exp]];
    let mut programs = Vec::new();
    for last in lasts {
        for operands in 0..=3 {
            programs.push(epilogue(operands, last, if operands == 1 { DType::F16 } else { DType::F32 }));
        }
    }
    let mut scaled = epilogue(2, &[], DType::F32);
    let (last, two) = (scaled.instrs.len() - 1, scaled.constant(2.0, DType::F32));
    let less = scaled.binary(Binary::Lt, last, two);
    scaled.select(less, last, two);
    programs.push(scaled);
    let mut bad = Vec::new();
    for program in &programs {
        for isa in Isa::all() {
            let rows = [
                [1, 1],
                [9, 1],
                [8, 5],
                [1, 40],
                [3, 9],
                [70, 16],
                [200, 7],
                [1, BLOCK + 70],
                [3, BLOCK - 1],
                [2, 600],
            ];
            for [rows, width] in rows {
                bad.extend(finish_errors(program, isa, rows * width, width));
            }
        }
    }
    assert!(bad.is_empty(), "{} failures\n{}", bad.len(), bad[..bad.len().min(10)].join("\n"));
}

/// The kinds of operands in turn, over rows of `width` elements.
fn finish_errors(program: &Program, isa: Isa, n: usize, width: usize) -> Option<String> {
    let count = program.input_count() - 1;
    let operands: Vec<Vec<f32>> = (0..count).map(|i| noise((i + width) as u64, n)).collect();
    let finish = Finish::new(isa, program, count).unwrap();
    let half = |x: f32| f16::from_f32(x).to_f32();
    let acc: Vec<f32> = noise(9, n).iter().map(|x| half(3.0 * x)).collect();
    let mut got = acc.clone();
    let kind = |o: usize| (o + n) % 4;
    let row_operand = |o: usize| match kind(o) {
        0 => RowOperand::Each(&operands[o]),
        1 => RowOperand::Column(&operands[o][..width]),
        2 => RowOperand::Row(&operands[o][..n / width]),
        _ => RowOperand::Same(operands[o][0]),
    };
    let rows: Vec<RowOperand<'_>> = (0..count).map(row_operand).collect();
    finish.run(&mut got, width, &rows);
    for i in 0..n {
        let at = |o: usize| [i, i % width, i / width, 0][kind(o)];
        let inputs = operands.iter().enumerate().map(|(o, x)| x[at(o)]);
        let ins: Vec<Scalar> = [acc[i]].into_iter().chain(inputs).map(|x| Scalar::Float(f64::from(x))).collect();
        let want = program.eval(&ins).as_f64();
        // The plain form rounds sums of halves.
        let (absolute, relative) = if program.instrs[0].1 == DType::F32 { (1e-6, 2e-6) } else { (1e-2, 4e-3) };
        if (f64::from(got[i]) - want).abs() > absolute + relative * want.abs() {
            return Some(format!("{isa} {program:?} {n}/{width}: element {i} is {}, expected {want}", got[i]));
        }
    }
    None
}
