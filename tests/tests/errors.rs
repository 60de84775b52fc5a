//! Whose fault an operator's complaint is: the model's, or that of the inputs.

use mindir::graph::Model;
use mindir::{DType, Dim, Error, ErrorKind, GraphCell, Options, Spec, Tensor};
use mindir_graph::builder::Builder;

/// The sum of an input of these dimensions and a tensor of three elements.
fn sum(dims: &[Dim]) -> Model {
    let mut b = Builder::new("sum");
    let spec = Spec { dtype: Some(DType::F32), dims: Some(dims.iter().copied().collect()) };
    let x = b.input("x", spec);
    let three = b.constant(Tensor::zeros(DType::F32, &[3]).unwrap());
    let y = b.op("Add", [x.into(), three.into()]).unwrap();
    b.finish(&[y])
}

fn error(model: Model, len: usize) -> Error {
    let cell = GraphCell::new(model, Options::default()).unwrap();
    cell.run(&[Tensor::zeros(DType::F32, &[len]).unwrap()]).unwrap_err()
}

#[test]
fn a_model_that_refuses_what_it_declares_is_damaged() {
    let e = error(sum(&[Dim::Known(4)]), 4);
    assert!(matches!(e, Error::Contradiction(_)), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert!(e.node_path().is_some());
}

#[test]
fn other_shapes_than_declared_are_wrong_usage() {
    let e = error(sum(&[Dim::Known(3)]), 4);
    assert!(matches!(e, Error::Shapes { .. }), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Usage);
}

#[test]
fn shapes_that_the_model_leaves_open_are_wrong_usage() {
    let e = error(sum(&[Dim::Unknown]), 4);
    assert!(matches!(e, Error::Node(_)), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Usage);
}
