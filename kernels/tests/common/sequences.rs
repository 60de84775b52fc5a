//! Scans, sorting and recurrent layers.

use mindir_graph::DType::{self, BF16, Bool, F16, F32, I8, I32, I64, U16, U64};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Cell, Recurrent, Scan, ScanKind, Sort, Squash, Task, Ties};
use mindir_graph::{Fact, Tensor};

use super::{Case, Noise, check, check_narrow, device};

const TYPES: [DType; 9] = [F32, F16, BF16, I32, I8, U16, I64, U64, Bool];

fn scan(
    noise: &mut Noise,
    [outer, len, inner]: [usize; 3],
    (kind, exclusive, reverse): (ScanKind, bool, bool),
    dtype: DType,
) -> Case {
    let (low, high) = match kind {
        ScanKind::Prod if dtype.is_float() => (0.95, 1.05),
        _ => (-9.0, 9.0),
    };
    let x = noise.tensor(dtype, &[outer, len, inner], low, high);
    let name = format!("{kind:?} of {} exclusive {exclusive} reverse {reverse}", x.fact());
    let task = Task::Scan(Scan { kind, outer, len, inner, exclusive, reverse, dtype });
    let y = Fact::new(dtype, &[outer, len, inner]);
    let room = match dtype {
        F32 => 1e-6 * (len as f64).sqrt(),
        F16 => 2e-3,
        BF16 => 1e-2,
        _ => 0.0,
    };
    Case::new(name, task, vec![x], vec![y]).within(10.0 * room, room)
}

#[test]
fn lines_accumulate() {
    use ScanKind::{Prod, Sum};
    let mut noise = Noise(SplitMix(40));
    let mut cases = Vec::new();
    for dims in [[1, 1, 1], [3, 50, 1], [2, 9, 5], [2, 30, 150], [1, 1000, 1], [2, 256, 1], [0, 3, 2], [2, 0, 3]] {
        for kind in [Sum, Prod] {
            for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
                cases.extend(TYPES.map(|dtype| scan(&mut noise, dims, (kind, exclusive, reverse), dtype)));
            }
        }
    }
    check(&cases);
    let large = [[40, 60, 1], [9, 20, 30]];
    check_narrow(&large.map(|dims| scan(&mut noise, dims, (Sum, false, true), F32)), 2);
}

fn sort(
    noise: &mut Noise,
    [outer, len, inner]: [usize; 3],
    k: usize,
    (descending, ties): (bool, Ties),
    dtype: DType,
) -> Case {
    // Few numbers, of which many are equal, or many.
    let reach = if k.is_multiple_of(2) { 9.0 } else { 100.0 };
    let x = noise.tensor(dtype, &[outer, len, inner], -reach, reach);
    let (values, index) = (ties == Ties::Selected || !descending, if descending { I32 } else { I64 });
    let name = format!("{k} of {} descending {descending} {ties:?}", x.fact());
    let mut outs = vec![Fact::new(index, &[outer, k, inner])];
    if values {
        outs.insert(0, Fact::new(dtype, &[outer, k, inner]));
    }
    Case::new(name, Task::Sort(Sort { outer, len, inner, k, descending, ties, values, dtype, index }), vec![x], outs)
}

/// Whether the device takes the case: software adapters end long loops.
fn taken(case: &Case) -> bool {
    device().is_none_or(|device| match case.offer(device) {
        Ok(_) => true,
        Err(reason) => {
            assert!(reason.0.contains("its loops turn"), "{}: {reason}", case.name);
            false
        }
    })
}

const ORDERS: [(bool, Ties); 3] = [(false, Ties::Stable), (true, Ties::Stable), (true, Ties::Selected)];

#[test]
fn lines_are_sorted() {
    let mut noise = Noise(SplitMix(44));
    let mut cases = Vec::new();
    for (dims, k) in [
        ([1, 1, 1], 1),
        ([3, 50, 1], 50),
        ([2, 90, 5], 7),
        ([2, 301, 1], 150),
        ([2, 1000, 2], 1000),
        ([1, 1025, 3], 500),
        ([2, 5000, 1], 300),
        ([1, 3000, 2], 1200),
        ([0, 3, 2], 2),
        ([2, 3, 2], 0),
        ([2, 0, 3], 0),
    ] {
        for order in ORDERS {
            cases.extend(TYPES.map(|dtype| sort(&mut noise, dims, k, order, dtype)));
        }
    }
    cases.push(sort(&mut noise, [1, 9000, 1], 9000, ORDERS[0], F32));
    cases.push(sort(&mut noise, [1, 8400, 1], 301, ORDERS[2], F32));
    cases.retain(taken);
    check(&cases);
    let large = [[1, 900, 1], [2, 200, 2]];
    check_narrow(&large.map(|dims| sort(&mut noise, dims, 8, ORDERS[1], F32)), 1);
}

#[test]
fn zeros_are_equal_and_nan_comes_last() {
    let values = [0.0, f64::NAN, -0.0, f64::INFINITY, -f64::NAN, f64::NEG_INFINITY, 0.0, -1.0, 1.0, f64::NAN, -0.0];
    let mut cases = Vec::new();
    for dtype in [F32, F16, BF16] {
        let x = Tensor::from_f64s(dtype, &[11], &values).unwrap();
        for ((descending, ties), k) in ORDERS.into_iter().flat_map(|order| [2, 5, 11].map(|k| (order, k))) {
            let (dims, index) = ([1, k, 1], I64);
            let task = Sort { outer: 1, len: 11, inner: 1, k, descending, ties, values: true, dtype, index };
            let outs = vec![Fact::new(dtype, &dims), Fact::new(index, &dims)];
            cases.push(Case::new(format!("{k} of {dtype} {ties:?}"), Task::Sort(task), vec![x.clone()], outs));
        }
    }
    check(&cases);
}

fn recurrent(noise: &mut Noise, cell: Cell, [seq, batch, hidden]: [usize; 3], (reverse, dtype): (bool, DType)) -> Case {
    let rows = cell.gates() * hidden;
    let mut dims = vec![vec![seq, batch, rows], vec![rows, hidden], vec![batch, hidden]];
    match cell {
        Cell::Lstm { .. } => dims.push(vec![batch, hidden]),
        Cell::Gru { inner: true, .. } => dims.push(vec![hidden]),
        _ => {}
    }
    let reach = 2.0 / (hidden as f64).sqrt();
    let ins = dims.iter().enumerate().map(|(i, d)| {
        let high = if i == 1 { reach } else { 2.0 };
        noise.tensor(dtype, d, -high, high)
    });
    let ins = ins.collect();
    let state = Fact::new(dtype, &[batch, hidden]);
    let mut outs = vec![Fact::new(dtype, &[seq, batch, hidden]), state.clone()];
    outs.extend(matches!(cell, Cell::Lstm { .. }).then_some(state));
    let name = format!("{cell:?} {dtype} {seq} {batch} {hidden} reverse {reverse}");
    let room = match dtype {
        F16 => 2e-3,
        BF16 => 2e-2,
        _ => 1e-5,
    };
    let task = Task::Recurrent(Recurrent { cell, seq, batch, hidden, reverse, dtype });
    Case::new(name, task, ins, outs).within(room, room)
}

#[test]
fn layers_go_step_by_step() {
    use Squash::{Relu, Sigmoid, Softplus, Softsign, Tanh};
    let mut noise = Noise(SplitMix(41));
    let mut cases = Vec::new();
    for cell in [
        Cell::Plain(Tanh),
        Cell::Plain(Softsign),
        Cell::Gru { squash: [Sigmoid, Tanh], inner: true },
        Cell::Gru { squash: [Sigmoid, Softplus], inner: false },
        Cell::Lstm { squash: [Sigmoid, Tanh, Tanh], order: [0, 1, 2, 3] },
        Cell::Lstm { squash: [Softsign, Relu, Tanh], order: [2, 3, 0, 1] },
    ] {
        for dims in [[1, 1, 1], [5, 2, 3], [4, 3, 70], [3, 1, 200], [0, 2, 3], [2, 0, 3], [2, 3, 0]] {
            for dtype in [F32, F16, BF16] {
                for reverse in [false, true] {
                    cases.push(recurrent(&mut noise, cell, dims, (reverse, dtype)));
                }
            }
        }
    }
    check(&cases);
}
