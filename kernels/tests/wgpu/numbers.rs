//! Functions of numbers, one by one.

use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Instr, Program, Reduce, ReduceKind, Softmax, Task, Unary};
use mindir_graph::{DType, Fact, Tensor};
use mindir_kernels::plain;

use crate::common::maps::map_of;
use crate::common::{Case, Noise, check, run, single};
use crate::device;

const WHOLE: [DType; 9] =
    [DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64, DType::Bool];
const HALVES: [DType; 2] = [DType::F16, DType::BF16];

fn unary_of(f: Unary, x: Tensor) -> Case {
    let mut p = Program::new();
    let r = p.input(0, x.dtype());
    p.unary(f, r);
    map_of(&[x.count()], p, vec![x.clone()], &format!("{} of {}", f.name(), x.dtype()))
}

fn binary_of(f: Binary, a: Tensor, b: Tensor) -> Case {
    let mut p = Program::new();
    let (x, y) = (p.input(0, a.dtype()), p.input(1, b.dtype()));
    p.binary(f, x, y);
    map_of(&[a.count()], p, vec![a.clone(), b], &format!("{} of {}", f.name(), a.dtype()))
}

#[test]
fn functions_of_one_float() {
    let mut noise = Noise(SplitMix(1));
    let cases: Vec<Case> = Unary::ALL
        .iter()
        .filter(|&&f| f != Unary::Not)
        .map(|&f| {
            let mut data = noise.tensor(DType::F32, &[500], -4.0, 4.0).to_f64s().expect("numbers");
            data.extend(noise.tensor(DType::F32, &[500], -30.0, 30.0).to_f64s().expect("numbers"));
            data.extend(noise.tensor(DType::F32, &[200], -1.0, 1.0).to_f64s().expect("numbers"));
            data.extend([0.0, 1.0, -1.0, 0.5, 1e-6, -1e-6, 2.5, 3.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
            // Rounding of the argument grows with its size where the function is steep.
            let (absolute, relative) = match f {
                Unary::Exp | Unary::Expm1 | Unary::Sinh | Unary::Cosh => (1e-7, 1e-6),
                Unary::Tan => (1e-5, 1e-4),
                Unary::Erfc | Unary::Gelu | Unary::GeluTanh | Unary::Silu | Unary::Sigmoid => (2e-7, 3e-6),
                _ => (5e-7, 2e-6),
            };
            unary_of(f, Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor"))
                .within(absolute, relative)
        })
        .collect();
    check(&cases);
}

/// Zeros of both signs, infinities, NaN, and numbers at which functions overflow or have edges. Subnormal numbers are left out: WGSL
/// lets devices take them for 0.
const SPECIAL: [f64; 31] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    6.0,
    0.9999999,
    1.5,
    -1.5,
    -2.5,
    20.5,
    -20.5,
    88.0,
    89.0,
    -87.0,
    -150.0,
    300.0,
    -300.0,
    1e19,
    -1e19,
    1e-30,
    3e38,
    -3e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Whether `got` is `want` as far as special values go: NaN, infinities and zeros of the same sign. What is no larger than
/// `room` may be any zero.
fn same_kind(want: &Tensor, got: &Tensor, room: f64) -> Result<(), String> {
    let (want, got) = (want.to_f64s().expect("numbers"), got.to_f64s().expect("numbers"));
    for (i, (&w, &g)) in want.iter().zip(&got).enumerate() {
        let exact = w == 0.0 && g == 0.0 && w.is_sign_negative() == g.is_sign_negative();
        let small = |x: f64| x.abs() < f64::from(f32::MIN_POSITIVE);
        let flushed = w != 0.0 && small(w) && small(g) || room > 0.0 && w.abs() <= room && g == 0.0;
        // A sum may be too large before it is divided.
        let large = w.abs() > 2.9e38 && g.is_infinite() && w.signum() == g.signum();
        let finite = w.is_finite() && g.is_finite() && w != 0.0 && g != 0.0 && w.signum() == g.signum();
        let edge = w == g && w.is_infinite() || w.is_nan() && g.is_nan();
        if !(exact || flushed || finite || edge || large) {
            return Err(format!("element {i} is {g}, expected {w}"));
        }
    }
    Ok(())
}

fn check_special(cases: &[Case]) {
    let Some(device) = device() else { return };
    let failure = |case: &Case| {
        let want = plain::run(&case.task, &case.ins, &case.outs).expect("a reference");
        let got = run(device, &single(case), &case.ins).expect("a run");
        want.iter()
            .zip(&got)
            .find_map(|(w, g)| same_kind(w, g, case.absolute).err())
            .map(|e| format!("{}: {e}", case.name))
    };
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn special_values() {
    use ReduceKind::{ArgMax, ArgMin, Max, Mean, Min, Prod, Sum};
    let mut cases = Vec::new();
    let n = SPECIAL.len();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let x = Tensor::from_f64s(dtype, &[n], &SPECIAL).expect("a tensor");
        let pairs = |f: fn(usize, usize) -> usize| {
            let data: Vec<f64> = (0..n * n).map(|i| SPECIAL[f(i / n, i % n)]).collect();
            Tensor::from_f64s(dtype, &[n * n], &data).expect("a tensor")
        };
        cases.extend(Unary::ALL.iter().filter(|f| **f != Unary::Not).map(|&f| unary_of(f, x.clone())));
        for &f in Binary::ALL.iter().filter(|f| !matches!(f, Binary::And | Binary::Or | Binary::Xor)) {
            cases.push(binary_of(f, pairs(|i, _| i), pairs(|_, j| j)));
        }
        for kind in [Sum, Mean, Prod, Max, Min, ArgMax, ArgMin] {
            let out = if matches!(kind, ArgMax | ArgMin) { DType::I32 } else { dtype };
            for (len, inner) in [(2, 1), (2, n), (31, 31), (31, 1)] {
                let outer = n * n / (len * inner);
                let data: Vec<f64> = (0..outer * len * inner).map(|i| SPECIAL[i * 7 % n]).collect();
                let x = Tensor::from_f64s(dtype, &[outer, len, inner], &data).expect("a tensor");
                let task = Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
                cases.push(Case::new(
                    format!("{kind:?} {len} {dtype}"),
                    task,
                    vec![x],
                    vec![Fact::new(out, &[outer, inner])],
                ));
            }
        }
        for log in [false, true] {
            for (len, inner) in [(1, 1), (2, 1), (3, 2), (40, 1)] {
                let outer = 60;
                let data: Vec<f64> = (0..outer * len * inner).map(|i| SPECIAL[(i * 13 + i / 31) % n]).collect();
                let x = Tensor::from_f64s(dtype, &[outer, len, inner], &data).expect("a tensor");
                let task = Task::Softmax(Softmax { outer, len, inner, log, dtype });
                let case = Case::new(format!("softmax {log} {len} {dtype}"), task, vec![x.clone()], vec![x.fact()]);
                cases.push(case.within(1e-7, 0.0));
            }
        }
    }
    check_special(&cases);
}

#[test]
fn angles_and_remainders_of_every_size() {
    let mut noise = Noise(SplitMix(15));
    let mut cases = Vec::new();
    let mut data: Vec<f64> = (0..3000).map(|_| f64::from(f32::from_bits(noise.0.bits() as u32))).collect();
    data.retain(|x| x.is_finite() && x.abs() >= f64::from(f32::MIN_POSITIVE));
    data.extend((0..60).flat_map(|i| [1.0, -1.5].map(|x| x * 2f64.powi(2 * i - 20))));
    let x = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
    for f in [Unary::Sin, Unary::Cos] {
        cases.push(unary_of(f, x.clone()).within(2e-7, 1e-6));
    }
    cases.push(unary_of(Unary::Tan, x.clone()).within(1e-6, 4e-6));
    data.reverse();
    let y = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
    cases.push(binary_of(Binary::Rem, x.clone(), y.clone()).within(1.2e-38, 0.0));
    cases.push(binary_of(Binary::FloorMod, x, y).within(1.2e-38, 1e-7));
    check(&cases);
}

#[test]
fn functions_of_two_floats() {
    let mut noise = Noise(SplitMix(2));
    let mut cases = Vec::new();
    for &f in Binary::ALL {
        if matches!(f, Binary::And | Binary::Or | Binary::Xor) {
            continue;
        }
        let (a, b) = (noise.tensor(DType::F32, &[700], -5.0, 5.0), noise.tensor(DType::F32, &[700], -5.0, 5.0));
        let relative = if f == Binary::Pow { 1e-5 } else { 1e-6 };
        cases.push(binary_of(f, a, b).within(2e-6, relative));
        let grid: Vec<f64> = (0..81).map(|i| f64::from(i % 9 - 4)).collect();
        let other: Vec<f64> = (0..81).map(|i| f64::from(i / 9 - 4)).collect();
        let [a, b] = [grid, other].map(|v| Tensor::from_f64s(DType::F32, &[81], &v).expect("a tensor"));
        cases.push(binary_of(f, a, b).within(1e-6, 1e-6));
        let special = [0.5, f64::NAN, 2.0, f64::NAN, f64::NEG_INFINITY, f64::INFINITY];
        let a = Tensor::from_f64s(DType::F32, &[6], &special).expect("a tensor");
        let b = Tensor::from_f64s(DType::F32, &[6], &[f64::NAN, 1.0, 1.0, f64::NAN, 2.0, 2.0]).expect("a tensor");
        if !matches!(f, Binary::FloorDiv | Binary::FloorMod | Binary::Rem) {
            cases.push(binary_of(f, a, b).within(1e-6, 1e-6));
        }
    }
    check(&cases);
}

/// `(x ∘ y) ∘' y` in one program, where the second step undoes the first but for its rounding.
fn undone(f: Binary, g: Binary, x: &Tensor, y: &Tensor) -> Case {
    let mut p = Program::new();
    let (a, b) = (p.input(0, DType::F32), p.input(1, DType::F32));
    let there = p.binary(f, a, b);
    p.binary(g, there, b);
    map_of(&[x.count()], p, vec![x.clone(), y.clone()], &format!("{} then {}", f.name(), g.name()))
}

#[test]
fn every_step_of_a_program_is_rounded() {
    let mut noise = Noise(SplitMix(11));
    let (x, y) = (noise.tensor(DType::F32, &[500], -4.0, 4.0), noise.tensor(DType::F32, &[500], 3e4, 4e4));
    check(&[
        undone(Binary::Add, Binary::Sub, &x, &y),
        undone(Binary::Sub, Binary::Add, &x, &y),
        // A product that joins the sum after it is not rounded before it.
        undone(Binary::Mul, Binary::Sub, &x, &y),
        undone(Binary::Mul, Binary::Add, &x, &y),
    ]);
}

#[test]
fn functions_of_integers_and_bools() {
    let mut noise = Noise(SplitMix(3));
    let mut cases = Vec::new();
    for dtype in WHOLE {
        let mut take = |case: Case| {
            if device().is_some_and(|device| case.offer(device).is_ok()) {
                cases.push(case);
            }
        };
        for &f in Unary::ALL {
            take(unary_of(f, noise.tensor(dtype, &[99], -300.0, 300.0)));
            take(unary_of(f, noise.whole(dtype, &[99])));
        }
        for &f in Binary::ALL {
            take(binary_of(f, noise.tensor(dtype, &[99], -300.0, 300.0), noise.tensor(dtype, &[99], -4.0, 4.0)));
            take(binary_of(f, noise.whole(dtype, &[600]), noise.whole(dtype, &[600])));
        }
    }
    assert!(device().is_none() || cases.len() > 420, "{} cases", cases.len());
    check(&cases);
}

/// The conversion of `x`, by way of other types before `to`.
fn cast_of(x: Tensor, through: &[DType], to: DType) -> Case {
    let mut p = Program::new();
    let from = p.input(0, x.dtype());
    let reg = through.iter().fold(from, |reg, &dtype| p.cast(reg, dtype));
    p.push(Instr::Cast(reg), to);
    let name = format!("{} through {through:?} to {to}", x.dtype());
    map_of(&[x.count()], p, vec![x], &name)
}

#[test]
fn casts() {
    let mut noise = Noise(SplitMix(4));
    let mut cases = Vec::new();
    let all: Vec<DType> = WHOLE.into_iter().chain([DType::F32]).chain(HALVES).collect();
    for &from in &all {
        let high = if from == DType::F32 { 1e10 } else { 70000.0 };
        let mut data = noise.tensor(from, &[50], -high, high).to_f64s().expect("numbers");
        data.extend([0.0, -0.0, 1.0, 0.5, 200.7, -200.7, 4294967296.0, 9.3e18, -9.3e18, 1.8e19, 2e19]);
        if from.is_float() {
            data.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        }
        let numbers = Tensor::from_f64s(from, &[data.len()], &data).expect("a tensor");
        for &to in &all {
            // The reference rounds large integers to f64 first.
            let room = if from.is_float() { 0.0 } else { 1e-6 };
            cases.push(cast_of(numbers.clone(), &[], to));
            if from != DType::Bool && !from.is_float() {
                let case = cast_of(noise.whole(from, &[500]), &[], to);
                cases.push(if to == DType::F32 { case.within(0.0, room) } else { case });
            }
        }
    }
    check(&cases);
}

#[test]
fn halves_are_rounded_where_the_program_says() {
    let mut noise = Noise(SplitMix(14));
    let mut cases = Vec::new();
    for half in HALVES {
        // Every exponent, and what lies around a rounding.
        let mut data: Vec<f64> = (0..2000).map(|_| f64::from(f32::from_bits(noise.0.bits() as u32))).collect();
        data.extend((0..2000).map(|_| f64::from(noise.0.even()) * 2f64.powi(noise.0.below(60) as i32 - 40)));
        data.extend([65504.0, 65519.0, 65520.0, 65536.0, 5.96e-8, 2.98e-8, 2.99e-8, 6.1e-5, -0.0, 1.0009765625]);
        let normal = data.into_iter().filter(|x| x.abs() as f32 >= f32::MIN_POSITIVE || *x == 0.0);
        let data: Vec<f64> = normal.collect();
        let x = Tensor::from_f64s(DType::F32, &[data.len()], &data).expect("a tensor");
        cases.push(cast_of(x.clone(), &[], half));
        cases.push(cast_of(x, &[half], DType::F32));
        let [a, b] = [0, 1].map(|_| noise.tensor(half, &[500], -3.0, 3.0));
        for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min, Binary::Lt] {
            cases.push(binary_of(f, a.clone(), b.clone()));
        }
        for f in [Unary::Neg, Unary::Abs, Unary::Square, Unary::Relu, Unary::Round, Unary::IsNan] {
            cases.push(unary_of(f, a.clone()));
        }
        let mut p = Program::new();
        let (x, y) = (p.input(0, half), p.input(1, half));
        let sum = p.binary(Binary::Add, x, y);
        p.binary(Binary::Sub, sum, y);
        cases.push(map_of(&[500], p, vec![a, b], "there and back"));
    }
    check(&cases);
}

#[test]
fn the_largest_numbers_stay_what_they_are() {
    let x = Tensor::from_f64s(DType::F32, &[3], &[3.4e38, 1e30, -3.4e38]).expect("a tensor");
    check(&[Unary::Gelu, Unary::GeluTanh, Unary::Silu].map(|f| unary_of(f, x.clone()).within(0.0, 1e-6)));
}
