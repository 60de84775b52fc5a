//! The results of all nodes: what `run --dump` stores.

use mindir::graph::Model;
use mindir::{DType, Fact, GraphCell, Options, Spec, Tensor};
use mindir_graph::builder::Builder;

/// `(a - b, c, relu(b), a)` of inputs that are declared as b, unread, a and c.
fn model() -> Model {
    let mut b = Builder::new("out of order");
    let [second, _unread, first, third] =
        [("b", 2), ("unread", 7), ("a", 2), ("c", 3)].map(|(name, len)| b.input(name, Spec::fixed(DType::F32, &[len])));
    let difference = b.op("Sub", [first.into(), second.into()]).unwrap();
    let relu = b.op("ReLU", [second.into()]).unwrap();
    b.finish(&[difference, third, relu, first])
}

fn inputs() -> Vec<Tensor> {
    [&[1.0f32, -2.0][..], &[0.0; 7], &[10.0, 20.0], &[7.0, 8.0, 9.0]].map(Tensor::vector).to_vec()
}

fn cell() -> GraphCell {
    GraphCell::new(model(), Options::default()).unwrap()
}

#[test]
fn inputs_keep_their_places_whatever_reads_them_first() {
    let expected = [vec![9.0f32, 22.0], vec![1.0, 0.0]].map(|x| Tensor::vector(&x));
    let traced: Vec<Tensor> = cell().trace(&inputs()).unwrap().into_iter().map(|(_, _, t)| t).collect();
    assert_eq!(traced, expected);
}

#[test]
fn nodes_are_traced_in_execution_order() {
    let cell = cell();
    let traced = cell.trace(&inputs()).unwrap();
    let paths: Vec<&str> = traced.iter().map(|(_, path, _)| path.as_str()).collect();
    let nodes: Vec<&str> = cell.model().entry().nodes.iter().map(|n| &*n.path).collect();
    assert_eq!(paths, nodes);
}

#[test]
fn sessions_agree_with_runs() {
    let (cell, inputs) = (cell(), inputs());
    let expected = cell.run(&inputs).unwrap();
    let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
    let mut session = cell.session(&facts).unwrap();
    session.run_bytes(&inputs.iter().map(|t| t.bytes().as_ref()).collect::<Vec<_>>()).unwrap();
    assert_eq!(session.output_count(), expected.len());
    for (i, t) in expected.iter().enumerate() {
        assert_eq!((session.output_fact(i), session.output_bytes(i)), (Some(&t.fact()), Some(t.bytes().as_ref())));
    }
}
