//! What a session, and a cell's options, do not accept.

use std::collections::HashMap;

use mindir::builder::Builder;
use mindir::graph::Model;
use mindir::{DType, Error, ErrorKind, GraphCell, InputError, OptionError, Options, Session, Spec, Tensor};

/// `a − b` of two numbers each.
fn model() -> Model {
    let mut b = Builder::new("difference");
    let pair = Spec::fixed(DType::F32, &[2]);
    let (x, y) = (b.input("a", pair.clone()), b.input("b", pair));
    let w = b.param("w", Tensor::vector(&[1.0f32, 1.0]));
    let z = b.op("Sub", [x.into(), y.into()]).unwrap();
    let z = b.op("Mul", [z.into(), w.into()]).unwrap();
    b.finish(&[z])
}

fn not() -> Model {
    let mut b = Builder::new("not");
    let x = b.input("flag", Spec::fixed(DType::Bool, &[2]));
    let y = b.op("LogicalNot", [x.into()]).unwrap();
    b.finish(&[y])
}

fn session(model: Model) -> Session {
    let cell = GraphCell::new(model, Options::default()).unwrap();
    cell.session(&cell.exported_facts().unwrap()).unwrap()
}

fn wrong(result: Result<(), Error>) -> InputError {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let Error::Input(error) = error else { panic!("{error:?}") };
    error
}

#[test]
fn other_element_types_are_refused() {
    let mut s = session(model());
    let error = wrong(s.run(&[&[1i32, 2][..], &[3, 4]]));
    assert_eq!(error, InputError::DType { name: "a".into(), expected: DType::F32, found: DType::I32 });
    assert_eq!(error.to_string(), "input a: expected f32, found i32");
    wrong(s.run(&[&[0u8; 8][..], &[0; 8]]));
    s.run(&[&[5.0f32, 6.0][..], &[1.0, 1.5]]).unwrap();
    assert_eq!(s.output::<f32>(0).unwrap(), [4.0, 4.5]);
    let error = s.output::<i32>(0).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, "tensor of f32 viewed as i32"));
}

#[test]
fn bytes_of_another_length_or_alignment_are_named() {
    let mut s = session(model());
    let good = Tensor::vector(&[1.0f32, 2.0, 3.0]);
    let bytes = good.bytes();
    let error = wrong(s.run_bytes(&[&bytes[..8], &bytes[..7]]));
    assert_eq!(error.to_string(), "input b: the session was made for f32 [2], 8 bytes; found 7 bytes");
    let error = wrong(s.run_bytes(&[&bytes[1..9], &bytes[..8]]));
    assert_eq!(error.to_string(), "input a: f32 [2] must start at a multiple of 4 bytes in memory");
    let error = wrong(s.run_bytes(&[&bytes[..8]]));
    assert!(matches!(error, InputError::Count { expected: 2, found: 1, .. }), "{error:?}");
    s.run_bytes(&[&bytes[..8], &bytes[4..]]).unwrap();
    assert_eq!(s.output::<f32>(0).unwrap(), [-1.0, -1.0]);
}

#[test]
fn bools_are_0_or_1() {
    let mut s = session(not());
    let error = wrong(s.run(&[&[1u8, 2][..]]));
    assert_eq!(error, InputError::Bool { name: "flag".into(), index: 1, value: 2 });
    s.run(&[&[1u8, 0][..]]).unwrap();
    assert_eq!(s.output_bytes(0), Some(&[0u8, 1][..]));
}

#[test]
fn results_that_are_not_there_are_no_panic() {
    let mut s = session(model());
    assert_eq!((s.output_fact(1), s.output_bytes(5)), (None, None));
    let error = s.output::<f32>(5).unwrap_err();
    assert_eq!(error.to_string(), "there is no result 5, the model has 1");
    assert_eq!(error.kind(), ErrorKind::Usage);
    let x = [0u8; 64];
    let error = wrong(s.profile(&[&x[..8], &x[..8]], &mut []));
    assert!(matches!(error, InputError::Steps { found: 0, .. }), "{error:?}");
}

#[test]
fn a_name_is_given_once() {
    let cell = GraphCell::new(model(), Options::default()).unwrap();
    let x = Tensor::vector(&[1.0f32, 2.0]);
    let error = cell.run_named(&[("a", x.clone()), ("b", x.clone()), ("a", x.clone())]).unwrap_err();
    assert_eq!(error.to_string(), "input \"a\" is given twice");
    assert_eq!(cell.run_named(&[("b", x.clone()), ("a", x)]).unwrap()[0].to_f64s().unwrap(), [0.0, 0.0]);
}

#[test]
fn options_that_cannot_be_followed_are_errors() {
    let refused = |options: Options| {
        let error = GraphCell::new(model(), options).err().expect("wrong options");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let Error::Options(error) = error else { panic!("{error:?}") };
        error
    };
    for found in [0, Options::MOST_THREADS + 1] {
        assert_eq!(refused(Options { threads: Some(found), ..Options::default() }), OptionError::Threads { found });
    }
    let passes = vec!["all".to_string(), "layuot".into(), "layout".into()];
    let error = refused(Options { disabled_passes: passes, ..Options::default() });
    assert!(error.to_string().starts_with("disabled_passes: there is no layuot; the passes are all, "), "{error}");
    let t = Tensor::vector(&[1.0f32, 1.0]);
    let params_init: HashMap<_, _> = ["w", "v", "u"].map(|name| (name.to_string(), t.clone())).into();
    let error = refused(Options { params_init, ..Options::default() });
    assert_eq!(error, OptionError::Params(vec!["u".into(), "v".into()]));
}

#[test]
fn data_that_an_operator_refuses_is_the_callers() {
    let mut b = Builder::new("scatter");
    let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    let index = b.input("index", Spec::fixed(DType::I32, &[1, 1]));
    let update = b.constant(Tensor::vector(&[7.0f32]));
    let y = b.op("TensorScatterUpdate", [x.into(), index.into(), update.into()]).unwrap();
    let cell = GraphCell::new(b.finish(&[y]), Options::default()).unwrap();
    let index = Tensor::from_vec(&[1, 1], vec![9i32]).unwrap();
    let error = cell.run(&[Tensor::vector(&[1.0f32, 2.0, 3.0]), index]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.node_path().is_some());
}
