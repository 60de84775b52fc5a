use std::sync::Arc;

use mindir_graph::task::{Binary, Host, Map, Program, Task, Unary};
use mindir_graph::{DType, Fact, OpError, Tensor, aligned_copy, shape};

use super::{Block, CpuDevice, Isa, Threads};
use crate::device::{DeviceError, Input, Output, Place, Slot, Stage, Step, Weights};

const F32: DType = DType::F32;

fn fact() -> Fact {
    Fact::new(F32, &[20])
}

fn unary(f: Unary) -> Task {
    let mut program = Program::new();
    let x = program.input(0, F32);
    program.unary(f, x);
    Task::Map(Map { shape: shape(&[20]), program })
}

fn add() -> Task {
    let mut program = Program::new();
    let (a, b) = (program.input(0, F32), program.input(1, F32));
    program.binary(Binary::Add, a, b);
    Task::Map(Map { shape: shape(&[20]), program })
}

fn step(task: Task, ins: &[Place], out: Place) -> Step {
    let in_facts = ins.iter().map(|_| fact()).collect();
    Step { task, ins: ins.to_vec(), in_facts, outs: vec![out], out_facts: vec![fact()], path: "net/step".into() }
}

fn stage(steps: Vec<Step>, slots: &[usize]) -> Stage {
    Stage {
        steps,
        slots: slots.iter().map(|&offset| Slot { offset, bytes: 80 }).collect(),
        arena: 256,
        inputs: vec![fact()],
        outputs: vec![fact()],
    }
}

fn device() -> CpuDevice {
    CpuDevice::new(Isa::detect().unwrap(), Threads::new(2))
}

fn block(values: impl Iterator<Item = f32>) -> Block<f32> {
    let values: Vec<f32> = values.collect();
    let mut block = Block::zeroed(values.len()).unwrap();
    block.copy_from_slice(&values);
    block
}

#[test]
fn steps_share_memory() {
    let offset = Tensor::from_vec(&[20], vec![0.5f32; 20]).unwrap();
    let steps = vec![
        step(unary(Unary::Neg), &[Place::Input(0)], Place::Slot(0)),
        // In place, then over a slot that is free again, then twice through the output.
        step(unary(Unary::Square), &[Place::Slot(0)], Place::Slot(0)),
        step(add(), &[Place::Slot(0), Place::Const(offset)], Place::Slot(1)),
        step(add(), &[Place::Slot(1), Place::Slot(1)], Place::Output(0)),
        step(add(), &[Place::Output(0), Place::Input(0)], Place::Output(0)),
    ];
    let program = stage(steps, &[0, 128]).build(&device(), &Weights::default()).unwrap();
    assert_eq!(program.kernels().len(), 5);
    let mut session = Arc::clone(&program).session();
    let mut nanos = [0; 5];
    for round in 0..3 {
        let x = block((0..20).map(|i| (i + round) as f32));
        let mut y = Block::<f32>::zeroed(20).unwrap();
        let (ins, outs) = (bytemuck::cast_slice(&x), bytemuck::cast_slice_mut(&mut y));
        if round == 1 {
            session.run(&[Input::Host(ins)], &mut [Output::Host(outs)], Some(&mut nanos)).unwrap();
        } else {
            session.run_bytes(&[ins], &mut [outs]).unwrap();
        }
        assert!(x.iter().zip(&*y).all(|(x, y)| *y == 2.0 * (x * x + 0.5) + x), "{:?}", &y[..]);
    }
    assert!(nanos.iter().all(|&n| n > 0));
}

#[test]
fn bad_stages_are_declined() {
    let neg = |from, to| step(unary(Unary::Neg), &[from], to);
    let mut cases = vec![
        ("overlap", vec![neg(Place::Slot(0), Place::Slot(1))], vec![0, 64]),
        ("no slot", vec![neg(Place::Input(0), Place::Slot(2))], vec![0]),
        ("misaligned", vec![neg(Place::Input(0), Place::Slot(0))], vec![4]),
        ("beyond the arena", vec![neg(Place::Input(0), Place::Slot(0))], vec![192]),
        ("no input", vec![neg(Place::Input(1), Place::Slot(0))], vec![0]),
        ("read only", vec![neg(Place::Slot(0), Place::Input(0))], vec![0]),
        ("in place twice", vec![step(add(), &[Place::Slot(0), Place::Slot(1)], Place::Slot(0))], vec![0, 64]),
    ];
    let mut large = neg(Place::Input(0), Place::Slot(0));
    large.out_facts = vec![Fact::new(F32, &[21])];
    cases.push(("too large", vec![large], vec![0]));
    let mut other = neg(Place::Const(Tensor::scalar(1i32)), Place::Slot(0));
    other.in_facts = vec![Fact::new(F32, &[])];
    cases.push(("other type", vec![other], vec![0]));
    for (name, steps, slots) in cases {
        let built = stage(steps, &slots).build(&device(), &Weights::default());
        assert!(matches!(built.err(), Some(DeviceError::Declined { path, .. }) if &*path == "net/step"), "{name}");
    }
}

#[test]
fn wrong_buffers_are_refused() {
    let steps = vec![step(unary(Unary::Neg), &[Place::Input(0)], Place::Output(0))];
    let program = stage(steps, &[]).build(&device(), &Weights::default()).unwrap();
    let mut session = Arc::clone(&program).session();
    let (x, mut y) = (Block::<u8>::zeroed(160).unwrap(), Block::<u8>::zeroed(160).unwrap());
    assert!(session.run_bytes(&[&x[..80]], &mut [&mut y[..80]]).is_ok());
    assert!(session.run_bytes(&[], &mut [&mut y[..80]]).is_err());
    assert!(session.run_bytes(&[&x[..76]], &mut [&mut y[..80]]).is_err());
    assert!(session.run_bytes(&[&x[2..82]], &mut [&mut y[..80]]).is_err());
    assert!(session.run_bytes(&[&x[..80]], &mut [&mut y[..84]]).is_err());
}

#[test]
fn host_tasks_run_and_report() {
    let host = Host::new("Twice", vec![fact()], |ins| {
        let values = ins[0].to_f64s()?;
        mindir_graph::ensure!(values[0] >= 0.0, "negative");
        Ok::<_, OpError>(vec![Tensor::from_f64s(F32, &[20], &values.iter().map(|v| 2.0 * v).collect::<Vec<_>>())?])
    });
    let steps = vec![step(Task::Host(host), &[Place::Input(0)], Place::Output(0))];
    let program = stage(steps, &[]).build(&device(), &Weights::default()).unwrap();
    assert_eq!(program.kernels(), ["host"]);
    let mut session = Arc::clone(&program).session();
    let mut y = Block::<f32>::zeroed(20).unwrap();
    let x = block((0..20).map(|i| i as f32));
    session.run_bytes(&[bytemuck::cast_slice(&x)], &mut [bytemuck::cast_slice_mut(&mut y)]).unwrap();
    assert_eq!(y[19], 38.0);
    let bad = aligned_copy(bytemuck::cast_slice(&[-1.0f32; 20])).unwrap();
    let failed = session.run_bytes(&[&bad], &mut [bytemuck::cast_slice_mut(&mut y)]).unwrap_err();
    assert!(matches!(failed, DeviceError::Step { path, message } if &*path == "net/step" && message == "negative"));
}
