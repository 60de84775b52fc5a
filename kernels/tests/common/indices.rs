//! Slices picked and updated by index.

use std::sync::Arc;

use mindir_graph::DType::{self, BF16, Bool, F16, F32, I8, I32, I64, U16, U64};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Gather, Scatter, ScatterKind, Task};
use mindir_graph::{Fact, Tensor};
use mindir_kernels::device::{DeviceError, Input, Output, Place, Run, Stage, Weights};
use mindir_kernels::plain as reference;

use super::{Case, Noise, check, check_narrow, device, narrow, plain, run, run_bytes, single};

const TYPES: [DType; 9] = [F32, F16, BF16, I32, I8, U16, I64, U64, Bool];

fn integers(dtype: DType, data: &[i64]) -> Tensor {
    Tensor::from_i64s(dtype, &[data.len()], data).expect("a tensor")
}

fn gather(
    noise: &mut Noise,
    [outer, axis, inner, count]: [usize; 4],
    (batch, zeros): (bool, bool),
    (dtype, index): (DType, DType),
) -> Case {
    let n = if batch { outer * count } else { count };
    // Some are out of range if that gives zeros.
    let reach = axis as i64 + i64::from(zeros);
    let picks: Vec<i64> = (0..n as i64).map(|i| (i * i + 3 * i) % (2 * reach).max(1) - reach).collect();
    let ins = vec![noise.tensor(dtype, &[outer, axis, inner], -90.0, 90.0), integers(index, &picks)];
    let task = Gather { outer, axis, inner, count, batch, zeros, dtype, index };
    let name = format!("{dtype} {index} {outer} {axis} {inner} {count} {batch} {zeros}");
    Case::new(name, Task::Gather(task), ins, vec![Fact::new(dtype, &[outer, count, inner])])
}

#[test]
fn slices_are_picked() {
    let mut noise = Noise(SplitMix(30));
    let mut cases = Vec::new();
    for dims in [[1, 1, 1, 1], [1, 7, 5, 4], [3, 4, 1, 9], [2, 5, 70, 3], [4, 300, 3, 2], [3, 4, 5, 0], [0, 4, 5, 3]] {
        for flags in [(false, false), (true, false), (false, true), (true, true)] {
            for index in [I32, I64] {
                cases.extend(TYPES.map(|dtype| gather(&mut noise, dims, flags, (dtype, index))));
            }
        }
    }
    for index in [I32, I64] {
        cases.push(gather(&mut noise, [2, 0, 3, 4], (false, true), (F32, index)));
        cases.push(gather(&mut noise, [2, 3, 0, 4], (true, false), (F32, index)));
    }
    check(&cases);
    let large = [[1, 700, 9, 50], [5, 90, 20, 300], [3, 2000, 1, 1700]];
    let cases = large.map(|dims| {
        [(false, false), (true, true)]
            .map(|flags| [(F32, I32), (I64, I64), (Bool, I64)].map(|types| gather(&mut noise, dims, flags, types)))
    });
    check_narrow(cases.as_flattened().as_flattened(), cases.len());
}

/// The case as a stage whose first operand is a constant, and the second one an input.
fn from_constant(case: &Case) -> Stage {
    let mut stage = single(case);
    stage.steps[0].ins = vec![Place::Const(case.ins[0].clone()), Place::Input(0)];
    stage.inputs = vec![case.ins[1].fact()];
    stage
}

#[test]
fn slices_are_picked_from_tables_of_halves() {
    for (dtype, infinity) in [(F16, 0x7c00), (BF16, 0x7f80)] {
        let quiet = (0..=u16::MAX).filter(|bits| bits & 0x7fff <= infinity);
        let bytes: Vec<u8> = quiet.flat_map(u16::to_le_bytes).collect();
        for ([axis, inner], narrow) in
            [([bytes.len() / 2, 1], None), ([bytes.len() / 6, 3], None), ([999, 3], narrow())]
        {
            let x = Tensor::from_bytes(dtype, &[axis, inner], bytes[..2 * axis * inner].to_vec().into());
            let picks: Vec<i64> = (0..axis as i64).rev().collect();
            let ins = vec![x.expect("a tensor"), integers(I32, &picks)];
            let (outer, count, batch, zeros, index) = (1, axis, false, false, I32);
            let task = Gather { outer, axis, inner, count, batch, zeros, dtype, index };
            let case = Case::new("a table", Task::Gather(task), ins, vec![Fact::new(dtype, &[count, inner])]);
            let want = reference::run(&case.task, &case.ins, &case.outs).expect("a reference");
            for device in [device(), plain(), narrow].into_iter().flatten() {
                let got = run(device, &from_constant(&case), &case.ins[1..]).expect("a run");
                assert!(want[0].bytes() == got[0].bytes(), "{axis} slices of {inner} {dtype}");
            }
        }
    }
}

fn scatter(
    noise: &mut Noise,
    kind: ScatterKind,
    (axes, inner, count): (&[usize], usize, usize),
    (dtype, index): (DType, DType),
) -> Case {
    let coordinate = |i: usize| {
        let len = axes[i % axes.len()] as i64;
        (i * i + 3 * i) as i64 % (2 * len) - len
    };
    let picks: Vec<i64> = (0..count * axes.len()).map(coordinate).collect();
    let dims: Vec<usize> = axes.iter().copied().chain([inner]).collect();
    let mut values = |dims: &[usize]| noise.tensor(dtype, dims, -9.0, 9.0);
    let ins = vec![values(&dims), integers(index, &picks), values(&[count, inner])];
    let task = Scatter { kind, axes: axes.iter().copied().collect(), inner, count, dtype, index };
    let name = format!("{kind:?} {dtype} {index} {dims:?} {count}");
    let room = match dtype {
        F32 => 1e-6 * count as f64,
        F16 | BF16 => 1e-3,
        _ => 0.0,
    };
    Case::new(name, Task::Scatter(task), ins, vec![Fact::new(dtype, &dims)]).within(room, 10.0 * room)
}

#[test]
fn slices_are_updated() {
    use ScatterKind::{Add, Replace};
    let mut noise = Noise(SplitMix(31));
    let mut cases = Vec::new();
    let shapes: [(&[usize], usize, usize); 9] = [
        (&[5], 3, 4),
        (&[3, 4], 1, 70),
        (&[2, 3, 2], 40, 9),
        (&[4], 900, 3),
        (&[6], 2, 0),
        (&[4], 0, 3),
        (&[], 5, 2),
        (&[2], 1, 700),
        (&[2, 1, 2, 1, 2, 1, 2, 1, 2], 2, 5),
    ];
    for shape in shapes {
        for kind in [Replace, Add] {
            for index in [I32, I64] {
                cases.extend(TYPES.map(|dtype| scatter(&mut noise, kind, shape, (dtype, index))));
            }
        }
    }
    check(&cases);
    let large =
        [Replace, Add].map(|kind| [F32, I64].map(|dtype| scatter(&mut noise, kind, (&[40, 20], 7, 50), (dtype, I32))));
    check_narrow(large.as_flattened(), 4);
}

#[test]
fn the_last_update_counts_and_sums_keep_their_order() {
    let values = |dims: &[usize], data: &[f64]| Tensor::from_f64s(F32, dims, data).expect("a tensor");
    // Only in this order the large numbers cancel before the small one is lost.
    let updates = [1e8, -1e8, 1.0];
    let case = |kind, data: &[f64]| {
        let task = Scatter { kind, axes: [2].into_iter().collect(), inner: 1, count: 3, dtype: F32, index: I32 };
        let ins = vec![values(&[2], &[0.0, 5.0]), integers(I32, &[0, 0, 0]), values(&[3], data)];
        Case::new(format!("{kind:?}"), Task::Scatter(task), ins, vec![Fact::new(F32, &[2])])
    };
    check(&[case(ScatterKind::Add, &updates), case(ScatterKind::Replace, &updates)]);
}

fn failure(case: &Case, picks: &[i64]) -> Result<Vec<Tensor>, DeviceError> {
    let device = device().expect("a device");
    let mut ins = case.ins.clone();
    ins[1] = integers(ins[1].dtype(), picks);
    let case = Case { ins, ..Case::new(&case.name, case.task.clone(), Vec::new(), case.outs.clone()) };
    run(device, &single(&case), &case.ins)
}

#[test]
fn indices_out_of_range_are_errors() {
    if device().is_none() {
        return;
    }
    let mut noise = Noise(SplitMix(32));
    let expect = |case: &Case, picks: &[i64], message: &str| {
        let error = failure(case, picks).expect_err(message);
        assert_eq!(error, DeviceError::Step { path: Arc::from(&*case.name), message: message.into() });
    };
    for index in [I32, I64] {
        let case = gather(&mut noise, [2, 4, 3, 3], (false, false), (F32, index));
        expect(&case, &[0, 4, -4], "index 4 is out of range for 4 elements");
        expect(&case, &[0, 3, -5], "index -5 is out of range for 4 elements");
        let empty = gather(&mut noise, [2, 4, 0, 3], (false, false), (F32, index));
        expect(&empty, &[0, 3, -5], "index -5 is out of range for 4 elements");
        for kind in [ScatterKind::Replace, ScatterKind::Add] {
            let case = scatter(&mut noise, kind, (&[3, 2], 2, 2), (F32, index));
            expect(&case, &[0, 0, -3, 2], "index 2 is out of range for 2 elements");
            expect(&case, &[0, 0, -4, 1], "index -4 is out of range for 3 elements");
        }
    }
    let case = gather(&mut noise, [1, 4, 3, 2], (false, false), (F32, I64));
    expect(&case, &[1, 1 << 40], "index 1099511627776 is out of range for 4 elements");
    expect(&case, &[Gather::OUTSIDE, 0], "an index is out of range");
}

#[test]
fn a_run_after_a_failed_one_is_right() {
    let Some(device) = device() else { return };
    let case = gather(&mut Noise(SplitMix(33)), [1, 4, 3, 2], (false, false), (F32, I32));
    let stage = from_constant(&case);
    let program = stage.clone().build(device, &Weights::default()).expect("a program");
    let mut session = program.session();
    let mut bytes = vec![0; 24];
    let mut at = |picks: [i32; 2]| {
        let picks: Vec<u8> = picks.into_iter().flat_map(i32::to_le_bytes).collect();
        run_bytes(device, session.as_mut(), &stage, &[&picks], &mut [&mut bytes])
    };
    assert!(at([0, 1]).is_ok());
    assert_eq!(
        at([9, 1]).expect_err("a failure").to_string(),
        format!("{}: index 9 is out of range for 4 elements", case.name)
    );
    assert!(at([3, -1]).is_ok());
}

#[test]
fn waiting_tells_of_every_run_before_it() {
    let Some(device) = device() else { return };
    let case = gather(&mut Noise(SplitMix(34)), [1, 4, 3, 2], (false, false), (F32, I32));
    let stage = from_constant(&case);
    let mut session = stage.clone().build(device, &Weights::default()).expect("a program").session();
    let memory = device.own_memory().expect("memory of its own");
    let tensors: Vec<_> = [[9, 1], [0, 1]].iter().map(|picks| integers(I32, picks)).collect();
    let inputs: Vec<_> = tensors.iter().map(|t| memory.alloc(&t.fact()).expect("a tensor")).collect();
    let uploads: Vec<_> = tensors.iter().zip(&inputs).map(|(t, to)| (t.bytes().as_ref(), to.as_ref())).collect();
    memory.upload(&uploads).expect("an upload");
    let output = memory.alloc(&stage.outputs[0]).expect("a tensor");
    let start = |input: usize, session: &mut dyn Run| {
        session.run(&[Input::Device(&*inputs[input])], &mut [Output::Device(&*output)], None).expect("a run");
    };
    start(0, session.as_mut());
    start(1, session.as_mut());
    let error = session.wait().expect_err("an index out of range").to_string();
    assert_eq!(error, format!("{}: index 9 is out of range for 4 elements", case.name));
    assert_eq!(session.wait(), Ok(()));
    start(1, session.as_mut());
    assert_eq!(session.wait(), Ok(()));
}
