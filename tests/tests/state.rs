//! Parameters that models write, apart from the cell: conversations and sessions.

use std::sync::Arc;

use mindir::builder::Builder;
use mindir::graph::Model;
use mindir::{DType, Error, Fact, GraphCell, InputError, Options, Spec, Tensor, inputs};
use mindir_tests::golden::{self, Golden};

fn cell(model: Model) -> GraphCell {
    GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).unwrap()
}

fn goldens() -> Vec<(Golden, GraphCell)> {
    let all = golden::all(&golden::folder()).into_iter().map(|g| (mindir::load(&g.graph).unwrap(), g));
    all.filter(|(m, _)| m.params.iter().any(|p| p.mutable)).map(|(m, g)| (g, cell(m))).collect()
}

/// What a golden's runs give, one after the other, and its parameters afterwards.
fn steps(golden: &Golden, cell: &GraphCell, run: &mut dyn FnMut(&[Tensor]) -> Vec<Tensor>) -> Vec<Tensor> {
    golden.runs.iter().flat_map(|set| run(&set.inputs(cell.inputs().len()))).collect()
}

#[test]
fn conversations_are_apart_and_share_weights() {
    let mut seen = 0;
    for (golden, cell) in goldens() {
        let name = &golden.name;
        let before = cell.checkpoint();
        let (mut a, mut b) = (cell.new_state(), cell.new_state());
        let with_a = steps(&golden, &cell, &mut |x| cell.run_in(&mut a, x).unwrap());
        assert_eq!(cell.checkpoint(), before, "{name}: the cell's own parameters stay");
        let with_b = steps(&golden, &cell, &mut |x| cell.run_in(&mut b, x).unwrap());
        let own = steps(&golden, &cell, &mut |x| cell.run(x).unwrap());
        assert!(with_a == own && with_b == own, "{name}");
        assert_eq!(a.checkpoint(), cell.checkpoint(), "{name}");
        for p in cell.model().params.iter().filter(|p| !p.mutable) {
            let (ours, theirs) = (a.param(&p.name).unwrap(), cell.param(&p.name).unwrap());
            assert_eq!(ours.bytes().as_ptr(), theirs.bytes().as_ptr(), "{name}: {} is shared", p.name);
        }
        seen += 1;
    }
    assert!(seen > 5, "{seen} goldens write parameters");
}

#[test]
fn sessions_have_a_state_of_their_own() {
    let mut seen = 0;
    for (golden, cell) in goldens() {
        let facts: Vec<Fact> = golden.runs[0].inputs(cell.inputs().len()).iter().map(Tensor::fact).collect();
        let same =
            |set: &golden::RunSet| set.inputs(cell.inputs().len()).iter().map(Tensor::fact).eq(facts.iter().cloned());
        let Ok(mut session) = cell.session(&facts) else { continue };
        if !golden.runs.iter().all(same) {
            continue;
        }
        let name = &golden.name;
        let mut run = |x: &[Tensor]| {
            session.run_bytes(&x.iter().map(|t| t.bytes().as_ref()).collect::<Vec<_>>()).unwrap();
            let result = |i| {
                let fact = session.output_fact(i).unwrap();
                Tensor::from_bytes(fact.dtype, &fact.shape, session.output_bytes(i).unwrap().to_vec().into()).unwrap()
            };
            (0..session.output_count()).map(result).collect()
        };
        let got = steps(&golden, &cell, &mut run);
        let mut state = cell.new_state();
        let want = steps(&golden, &cell, &mut |x| cell.run_in(&mut state, x).unwrap());
        assert_eq!(got, want, "{name}");
        assert_eq!(session.state().unwrap().checkpoint(), state.checkpoint(), "{name}");
        seen += 1;
    }
    assert!(seen > 3, "{seen} goldens have sessions");
}

/// Gives the parameter before and after `x` was added to it.
fn adding() -> Model {
    let mut b = Builder::new("adding");
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let sum = b.param("sum", Tensor::vector(&[10.0f32, 20.0]));
    let before = b.op("Mul", [sum.into(), 1.0f32.into()]).unwrap();
    let after = b.op("AssignAdd", [sum.into(), x.into()]).unwrap();
    b.finish(&[before, after])
}

#[test]
fn a_state_goes_from_one_to_another() {
    let cell = cell(adding());
    let x = Tensor::vector(&[1.0f32, 2.0]);
    let mut state = cell.new_state();
    cell.run_in(&mut state, std::slice::from_ref(&x)).unwrap();
    let mut session = cell.session(&[x.fact()]).unwrap();
    session.set_state(&state).unwrap();
    for turn in 1..4u8 {
        session.run(&inputs![x]).unwrap();
        let n = f32::from(turn);
        assert_eq!(session.output::<f32>(0).unwrap(), [10.0 + n, 20.0 + 2.0 * n]);
        assert_eq!(session.output::<f32>(1).unwrap(), [11.0 + n, 22.0 + 2.0 * n]);
    }
    let mut fork = session.state().unwrap().clone();
    assert_eq!(fork.param("sum").unwrap().view::<f32>().unwrap(), [14.0, 28.0]);
    assert_eq!(cell.run_in(&mut fork, &[x]).unwrap()[1].view::<f32>().unwrap(), [15.0, 30.0]);
    assert_eq!(session.state().unwrap().param("sum").unwrap().view::<f32>().unwrap(), [14.0, 28.0]);
}

#[test]
fn a_run_that_fails_leaves_the_state() {
    let (cell, other) = (cell(adding()), cell(adding()));
    let mut state = cell.new_state();
    let wrong = Tensor::vector(&[1.0f32, 2.0, 3.0]);
    assert!(cell.run_in(&mut state, &[wrong]).is_err());
    assert_eq!(state.param("sum").unwrap().view::<f32>().unwrap(), [10.0, 20.0]);
    let error = other.run_in(&mut state, &[Tensor::vector(&[1.0f32, 2.0])]).unwrap_err();
    assert!(matches!(error, Error::Input(InputError::State)), "{error:?}");
}

#[test]
fn conversations_go_on_at_the_same_time() {
    let cell = Arc::new(cell(adding()));
    std::thread::scope(|s| {
        for n in 1..5u8 {
            let cell = &cell;
            s.spawn(move || {
                let x = [Tensor::vector(&[f32::from(n), 0.0])];
                let mut state = cell.new_state();
                for _ in 0..100 {
                    cell.run_in(&mut state, &x).unwrap();
                }
                assert_eq!(state.param("sum").unwrap().view::<f32>().unwrap(), [10.0 + 100.0 * f32::from(n), 20.0]);
            });
        }
    });
}

#[test]
fn inputs_are_filled_in_place() {
    let mut b = Builder::new("masked");
    let ids = b.input("ids", Spec::fixed(DType::I64, &[2]));
    let mask = b.input("mask", Spec::fixed(DType::Bool, &[2]));
    let zero = b.constant(Tensor::vector(&[0i64, 0]));
    let y = b.op("Select", [mask.into(), ids.into(), zero.into()]).unwrap();
    let cell = cell(b.finish(&[y]));
    let mut session = cell.session(&cell.exported_facts().unwrap()).unwrap();
    session.run(&inputs![[5i64, 6], vec![1u8, 0]]).unwrap();
    assert_eq!(session.output::<i64>(0).unwrap(), [5, 0]);
    session.input_mut::<i64>(0).unwrap().copy_from_slice(&[7, 8]);
    session.run_filled().unwrap();
    assert_eq!(session.output::<i64>(0).unwrap(), [0, 0]);
    session.input_mut::<u8>(1).unwrap()[1] = 1;
    session.run_filled().unwrap();
    assert_eq!(session.output::<i64>(0).unwrap(), [0, 8]);
    let error = session.input_mut::<f32>(0).unwrap_err();
    assert_eq!(error.to_string(), "input ids: expected i64, found f32");
    assert_eq!(session.input_mut::<f32>(2).unwrap_err().to_string(), "there is no input 2, the model has 2");
}
