//! Results that are inputs of the next run of a session.

use mindir::builder::Builder;
use mindir::graph::{Arg, Model};
use mindir::op::Const;
use mindir::{DType, Error, Fact, GraphCell, InputError, Options, Session, Spec, Tensor};

/// `h' = tanh(h + x)` and `y = 2 · h'`, which are results 0 and 1.
fn recurrent() -> Model {
    let mut b = Builder::new("recurrent");
    let spec = Spec::fixed(DType::F32, &[2, 3]);
    let (x, h) = (b.input("x", spec.clone()), b.input("h", spec));
    let sum = b.op("Add", [h.into(), x.into()]).unwrap();
    let h = b.op("Tanh", [sum.into()]).unwrap();
    let y = b.op("Add", [h.into(), h.into()]).unwrap();
    b.finish(&[y, h])
}

/// A cache `[4, 3]` whose row `at` becomes `row`, and the sum of its rows.
fn cache() -> Model {
    let mut b = Builder::new("cache");
    let cache = b.input("cache", Spec::fixed(DType::F32, &[4, 3]));
    let (at, row) = (b.input("at", Spec::fixed(DType::I32, &[1, 1])), b.input("row", Spec::fixed(DType::F32, &[1, 3])));
    let new = b.op("TensorScatterUpdate", [cache.into(), at.into(), row.into()]).unwrap();
    let axes = Arg::Const(Const::Tuple(vec![Const::Int(0)]));
    let sum = b.op("ReduceSum", [new.into(), axes]).unwrap();
    b.finish(&[new, sum])
}

fn session(model: Model) -> (GraphCell, Session) {
    let cell = GraphCell::new(model, Options { threads: Some(1), ..Options::default() }).unwrap();
    let session = cell.session(&cell.exported_facts().unwrap()).unwrap();
    (cell, session)
}

#[test]
fn states_go_from_run_to_run() {
    let (cell, mut session) = session(recurrent());
    session.carry(1, 1).unwrap();
    let mut h = Tensor::from_vec(&[2, 3], vec![0.5f32; 6]).unwrap();
    session.input_mut::<f32>(1).unwrap().fill(0.5);
    for step in 0..5 {
        let x = Tensor::from_vec(&[2, 3], (0..6).map(|i| (i + step) as f32 / 10.0).collect::<Vec<_>>()).unwrap();
        session.input_mut::<f32>(0).unwrap().copy_from_slice(x.view().unwrap());
        session.run_filled().unwrap();
        let want = cell.run(&[x, h]).unwrap();
        assert_eq!(session.output::<f32>(0).unwrap(), want[0].view::<f32>().unwrap());
        assert_eq!(session.output::<f32>(1).unwrap(), want[1].view::<f32>().unwrap());
        h = want[1].clone();
    }
    // Inputs that are given count, whatever is carried.
    let (x, h) = ([0.25f32; 6], [0.75f32; 6]);
    session.run(&[&x[..], &h[..]]).unwrap();
    assert_eq!(session.output::<f32>(1).unwrap(), [1f32.tanh(); 6]);
}

#[test]
fn caches_are_replaced_where_they_lie() {
    let (cell, mut session) = session(cache());
    session.carry(0, 0).unwrap();
    let place = session.input_mut::<f32>(0).unwrap().as_ptr();
    let mut cache = Tensor::zeros(DType::F32, &[4, 3]).unwrap();
    for step in [2i32, 0, 3, 2] {
        let (at, row) = (
            Tensor::from_vec(&[1, 1], vec![step]).unwrap(),
            Tensor::from_vec(&[1, 3], vec![step as f32 + 0.5; 3]).unwrap(),
        );
        session.input_mut::<i32>(1).unwrap().copy_from_slice(at.view().unwrap());
        session.input_mut::<f32>(2).unwrap().copy_from_slice(row.view().unwrap());
        session.run_filled().unwrap();
        let want = cell.run(&[cache, at, row]).unwrap();
        assert_eq!(session.output::<f32>(0).unwrap(), want[0].view::<f32>().unwrap());
        assert_eq!(session.output::<f32>(1).unwrap(), want[1].view::<f32>().unwrap());
        cache = want[0].clone();
        assert_eq!(session.output::<f32>(0).unwrap().as_ptr(), place, "nothing is copied");
    }
}

#[test]
fn what_does_not_fit_is_not_carried() {
    let (_, mut session) = session(cache());
    let wrong = |result: Result<(), Error>| match result {
        Err(Error::Input(error)) => error,
        other => panic!("{other:?}"),
    };
    let fact = |dims| Fact::new(DType::F32, dims);
    let expected = InputError::Carried { name: "row".into(), output: 0, expected: fact(&[1, 3]), found: fact(&[4, 3]) };
    assert_eq!(wrong(session.carry(0, 2)), expected);
    assert_eq!(wrong(session.carry(7, 0)), InputError::Output { index: 7, count: 2 });
    assert_eq!(wrong(session.carry(0, 7)), InputError::Input { index: 7, count: 3 });
    session.carry(0, 0).unwrap();
    assert_eq!(wrong(session.carry(0, 0)), InputError::CarriedTwice { name: "cache".into(), output: 0 });
}
