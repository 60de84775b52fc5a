//! Attention in one launch.

use mindir_graph::DType::{self, Bool, F32, I32};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Attention, Binary, Epilogue, Gemm, Map, Matrix, Program, Task, Unary};
use mindir_graph::{Fact, Strides, Tensor, dense_strides, shape};
use mindir_kernels::device::TaskView;

use super::{Case, Noise, check, check_narrow, device};

/// Queries, keys, elements of each and columns of the values.
type Sizes = [usize; 4];

/// A matrix in a tensor of `dims`, whose dimensions `[.., row, col]` are the last of `order`, and batches those before them.
fn view(dims: &[usize], order: &[usize], offset: usize) -> Matrix {
    let dense = dense_strides(dims);
    let strides: Vec<isize> = order.iter().map(|&d| dense[d]).collect();
    let (batch, last) = strides.split_at(order.len() - 2);
    Matrix { batch: Strides::from_slice(batch), row: last[0] as usize, col: last[1] as usize, offset }
}

fn gemm(batch: &[usize], [m, n, k]: [usize; 3], [a, b, c]: [Matrix; 3]) -> Gemm {
    Gemm { batch: shape(batch), m, n, k, a, b, c, dtype: F32, out: F32, tf32: false, epilogue: None }
}

/// Heads of `[images, rows, heads, elements]`, as networks have them.
fn heads(images: usize, heads: usize, [m, n, k, e]: Sizes) -> Attention {
    let (order, batch) = ([0, 2, 1, 3], [images, heads]);
    let q = view(&[images, m, heads, k], &order, 0);
    let keys = view(&[images, n, heads, k], &[0, 2, 3, 1], 0);
    let s = view(&[images, heads, m, n], &[0, 1, 2, 3], 0);
    let v = view(&[images, n, heads, e], &order, 0);
    let y = view(&[images, m, heads, e], &order, 0);
    Attention {
        scores: gemm(&batch, [m, n, k], [q, keys, s.clone()]),
        map: None,
        values: gemm(&batch, [m, e, n], [s, v, y]),
    }
}

fn operands(noise: &mut Noise, images: usize, heads: usize, [m, n, k, e]: Sizes) -> [Tensor; 3] {
    [[m, k], [n, k], [n, e]].map(|[rows, cols]| noise.tensor(F32, &[images, rows, heads, cols], -2.0, 2.0))
}

fn case(name: String, task: Attention, [q, k, v]: [Tensor; 3], others: Vec<Tensor>) -> Case {
    let (m, e) = (task.values.m, task.values.n);
    let y = Fact::new(F32, &[task.values.batch_count(), m, e]);
    let ins = [q, k].into_iter().chain(others).chain([v]).collect();
    Case::new(name, Task::Attention(task.into()), ins, vec![y]).within(1e-5, 1e-5)
}

/// Scores times a scale, plus a bias, of keys that a mask allows: the others are minus infinity.
fn masked() -> Program {
    let mut p = Program::new();
    let (x, bias, mask) = (p.input(0, F32), p.input(1, F32), p.input(2, Bool));
    let scale = p.constant(0.25, F32);
    let scaled = p.binary(Binary::Mul, x, scale);
    let sum = p.binary(Binary::Add, scaled, bias);
    let never = p.constant(f64::NEG_INFINITY, F32);
    p.select(mask, sum, never);
    p
}

const SIZES: [Sizes; 11] = [
    [1, 1, 1, 1],
    [1, 300, 64, 64],
    [2, 513, 70, 20],
    [3, 40, 5, 130],
    [4, 70, 64, 64],
    [5, 33, 7, 3],
    [8, 32, 16, 32],
    [33, 65, 20, 40],
    [40, 100, 64, 64],
    [9, 31, 33, 130],
    [70, 17, 3, 33],
];

#[test]
fn heads_of_every_size() {
    let mut noise = Noise(SplitMix(70));
    let cases = SIZES.map(|sizes| {
        let ins = operands(&mut noise, 2, 3, sizes);
        case(format!("{sizes:?}"), heads(2, 3, sizes), ins, Vec::new())
    });
    check(&cases);
    check_narrow(&cases, 2);
}

#[test]
fn scores_are_scaled_shifted_and_masked() {
    let mut noise = Noise(SplitMix(71));
    let mut cases = Vec::new();
    for sizes @ [m, n, ..] in SIZES {
        // By image and key; by query and key, as causal masks are.
        let causal: Vec<bool> = (0..m * n).map(|i| i % n <= i / n + n / 2).collect();
        let others =
            vec![noise.tensor(F32, &[2, 1, 1, n], -1.0, 1.0), Tensor::from_bools(&[m, n], &causal).expect("a mask")];
        let mut task = heads(2, 3, sizes);
        task.map = Some(Map { shape: shape(&[2, 3, m, n]), program: masked() });
        let ins = operands(&mut noise, 2, 3, sizes);
        cases.push(case(format!("{sizes:?}"), task.clone(), ins, others));
        // The map walks all batches as one dimension; one number for each query, and an integer for everything.
        let mut p = Program::new();
        let (x, row, all) = (p.input(0, F32), p.input(1, F32), p.input(2, I32));
        let all = p.cast(all, F32);
        let product = p.binary(Binary::Mul, x, all);
        p.binary(Binary::Add, product, row);
        task.map = Some(Map { shape: shape(&[6, m, n]), program: p });
        let mut p = Program::new();
        let x = p.input(0, F32);
        p.unary(Unary::Tanh, x);
        task.scores.epilogue = Some(Epilogue { program: p, inputs: Vec::new() });
        let others = vec![noise.tensor(F32, &[6, m, 1], -1.0, 1.0), noise.tensor(I32, &[1], 2.0, 3.0)];
        let ins = operands(&mut noise, 2, 3, sizes);
        cases.push(case(format!("{sizes:?} by query"), task, ins, others));
    }
    check(&cases);
}

#[test]
fn several_heads_read_the_same_keys() {
    let mut noise = Noise(SplitMix(72));
    let (m, n, k, e) = (11, 37, 12, 20);
    // Two images, two heads of keys, each read by three of queries; queries lie the other way round.
    let (batch, order) = ([2, 2, 3], [0, 1, 2, 3, 4]);
    let q = view(&[2, 2, 3, k, m], &[0, 1, 2, 4, 3], 0);
    let mut keys = view(&[2, 2, 1, n, k], &[0, 1, 2, 4, 3], 0);
    let mut v = view(&[2, n, 2, e], &[0, 2, 1, 3], 0);
    keys.batch[2] = 0;
    v.batch.push(0);
    let s = view(&[2, 2, 3, m, n], &order, 0);
    let y = view(&[2, 2, 3, m, e], &order, 0);
    let task = Attention {
        scores: gemm(&batch, [m, n, k], [q, keys, s.clone()]),
        map: None,
        values: gemm(&batch, [m, e, n], [s, v, y]),
    };
    let dims: [&[usize]; 3] = [&[2, 2, 3, k, m], &[2, 2, n, k], &[2, n, 2, e]];
    let ins = dims.map(|dims| noise.tensor(F32, dims, -2.0, 2.0));
    // All of one tensor, as a product of queries, keys and values leaves them.
    let (m, d) = (40, 16);
    let mut whole = heads(1, 4, [m, m, d, d]);
    let dims = [1, m, 12, d];
    let parts = [&mut whole.scores.a, &mut whole.scores.b, &mut whole.values.b];
    for (i, (part, order)) in parts.into_iter().zip([[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]]).enumerate() {
        *part = view(&dims, &order, i * 4 * d);
    }
    let x = noise.tensor(F32, &dims, -2.0, 2.0);
    let cases = [
        case("groups".into(), task, ins, Vec::new()),
        case("parts".into(), whole, [x.clone(), x.clone(), x], Vec::new()),
    ];
    check(&cases);
}

/// Sizes, groups of heads and what the map reads, as a seed says.
fn random(seed: u64) -> Case {
    let mut noise = Noise(SplitMix(seed));
    let mut below = |n: u64| noise.0.below(n) as usize;
    let [most, n, k, e] = [50, 90, 40, 70].map(|most| 1 + below(most));
    let m = if most % 3 == 0 { 1 + most % 4 } else { most };
    let [images, groups, each] = [1 + below(2), 1 + below(2), 1 + below(3)];
    let [turned, map, scalar] = [below(2), below(3), below(2)];
    let kept: Vec<usize> =
        [images, groups, each, m, n].iter().map(|&size| if below(2) == 0 { 1 } else { size }).collect();
    let (batch, all) = ([images, groups, each], [0, 1, 2, 3, 4]);
    let rows = view(&[images, m, groups, each, k], &[0, 2, 3, 1, 4], 0);
    let columns = view(&[images, groups, each, k, m], &[0, 1, 2, 4, 3], 0);
    let q = if turned == 0 { rows } else { columns };
    // Heads of a group read the same keys and values.
    let mut keys = view(&[images, n, groups, 1, k], &[0, 2, 3, 4, 1], 0);
    let mut v = view(&[images, groups, 1, n, e], &all, 0);
    (keys.batch[2], v.batch[2]) = (0, 0);
    let s = view(&[images, groups, each, m, n], &all, 0);
    let y = view(&[images, m, groups, each, e], &[0, 2, 3, 1, 4], 0);
    let mut p = Program::new();
    let (x, by) = (p.input(0, F32), p.input(1, F32));
    p.binary(if map == 1 { Binary::Add } else { Binary::Mul }, x, by);
    let lead = [images, groups, each, m, n];
    let task = Attention {
        scores: gemm(&batch, [m, n, k], [q, keys, s.clone()]),
        map: (map > 0).then(|| Map { shape: shape(&lead), program: p }),
        values: gemm(&batch, [m, e, n], [s, v, y]),
    };
    let ins = [images * m * groups * each * k, images * n * groups * k, images * groups * n * e];
    let ins = ins.map(|count| noise.tensor(F32, &[count], -1.5, 1.5));
    let other = noise.tensor(F32, if scalar == 1 { &[1] } else { &kept }, -2.0, 2.0);
    case(format!("seed {seed}"), task, ins, if map > 0 { vec![other] } else { Vec::new() })
}

#[test]
fn random_attention() {
    let cases: Vec<Case> = (0..24).map(random).collect();
    check(&cases);
    check_narrow(&cases, 1);
}

#[test]
fn numbers_that_are_not_finite() {
    let (m, n, d) = (10, 75, 4);
    let mut noise = Noise(SplitMix(73));
    let mut task = heads(1, 1, [m, n, d, d]);
    let mut p = Program::new();
    let (x, bias) = (p.input(0, F32), p.input(1, F32));
    p.binary(Binary::Add, x, bias);
    task.map = Some(Map { shape: shape(&[1, 1, m, n]), program: p });
    // Rows: plain; the first keys hidden; the last hidden; all hidden; one left; NaN; infinity; huge; tiny; all but the first.
    let bias = |i: usize| {
        let (row, key) = (i / n, i % n);
        match row {
            1 if key < 40 => f64::NEG_INFINITY,
            2 if key > 30 => f64::NEG_INFINITY,
            3 => f64::NEG_INFINITY,
            4 if key != 70 => f64::NEG_INFINITY,
            5 if key == 33 => f64::NAN,
            6 if key == 3 => f64::INFINITY,
            7 if key == 64 => 1e30,
            8 => -1e30,
            9 if key > 0 => f64::NEG_INFINITY,
            _ => 0.0,
        }
    };
    let bias: Vec<f64> = (0..m * n).map(bias).collect();
    let bias = Tensor::from_f64s(F32, &[m, n], &bias).expect("numbers");
    let ins = operands(&mut noise, 1, 1, [m, n, d, d]);
    // Infinite values of keys that most rows hide.
    let mut values = ins[2].to_f64s().expect("numbers");
    values[2 * d + 1] = f64::INFINITY;
    values[73 * d] = f64::NAN;
    let other = [ins[0].clone(), ins[1].clone(), Tensor::from_f64s(F32, &[1, n, 1, d], &values).expect("numbers")];
    let cases =
        [case("scores".into(), task.clone(), ins, vec![bias.clone()]), case("values".into(), task, other, vec![bias])];
    check(&cases);
}

#[test]
fn what_shaders_do_not_take_is_declined() {
    let Some(device) = device() else { return };
    let sizes = [4, 5, 6, 7];
    let reason = |task: Attention, others: &[Fact]| {
        let [q, k, v] = [[4, 6], [5, 6], [5, 7]].map(|[rows, cols]| Fact::new(F32, &[2, rows, 3, cols]));
        let ins: Vec<Fact> = [q, k].into_iter().chain(others.iter().cloned()).chain([v]).collect();
        let (known, outs) = (vec![false; ins.len()], [Fact::new(F32, &[2, 4, 3, 7])]);
        let view = TaskView { task: &Task::Attention(task.into()), ins: &ins, known: &known, outs: &outs };
        device.offer(view).map(|offer| offer.kernel).map_err(|declined| declined.0)
    };
    let name = format!("{}-f32-attention8x32", device.name());
    assert_eq!(reason(heads(2, 3, sizes), &[]), Ok(name));
    let mut halves = heads(2, 3, sizes);
    halves.scores.dtype = DType::F16;
    assert_eq!(reason(halves, &[]), Err("shaders compute attention of f32, not f16".into()));
    let mut beyond = heads(2, 3, sizes);
    beyond.values.b.offset = 1;
    assert_eq!(reason(beyond, &[]), Err("In(2) has 210 elements, and 1 to 210 are walked".into()));
    let mut program = Program::new();
    (0..10).fold(program.input(0, F32), |sum, i| {
        let x = program.input(i + 1, F32);
        program.binary(Binary::Add, sum, x)
    });
    let mut many = heads(2, 3, sizes);
    many.map = Some(Map { shape: shape(&[2, 3, 4, 5]), program });
    let others = vec![Fact::new(F32, &[5]); 10];
    assert_eq!(reason(many, &others), Err("shaders take attention with 8 more operands, not 10".into()));
    let mut odd = heads(2, 3, sizes);
    (odd.values.batch, odd.values.b.batch, odd.values.c.batch) =
        (shape(&[6]), Strides::from_slice(&[7]), Strides::from_slice(&[7]));
    odd.map = Some(Map {
        shape: shape(&[3, 2, 4, 5]),
        program: Program { instrs: vec![(mindir_graph::task::Instr::Input(0), F32)] },
    });
    assert_eq!(reason(odd, &[]), Err("batches divide differently: [[2, 3], [6], [3, 2]]".into()));
}
