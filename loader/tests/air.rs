//! Models to `.air` files.

use std::collections::HashMap;

use mindir_graph::{
    DType, Spec,
    builder::Builder,
    graph::{Arg, Model},
    op::Const,
};
use mindir_loader::air::{self, AirError};
use mindir_proto::{
    ge::{AttrValue, ModelDef, OpDef},
    prost::Message,
};

fn path(name: &str) -> String {
    format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))
}

fn written(name: &str) -> ModelDef {
    encoded(&mindir_loader::load(path(name)).unwrap().model)
}

fn encoded(model: &Model) -> ModelDef {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.air");
    let written = air::export(model, &file, &Default::default()).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(written.bytes, bytes.len());
    ModelDef::decode(bytes.as_slice()).unwrap()
}

fn value<'a>(op: &'a OpDef, name: &str) -> &'a AttrValue {
    op.attr[name].value.as_ref().unwrap()
}

#[test]
fn nodes_edges_and_weights_are_those_of_the_model() {
    let model = mindir_loader::load(path("examples/digits/lenet5.mindir")).unwrap().model;
    let air = written("examples/digits/lenet5.mindir");
    let graph = &air.graph[0];
    let ops: Vec<&str> = graph.op.iter().map(|op| op.r#type.as_str()).filter(|op| *op != "Const").collect();
    let expected = "Data Conv2D Relu MaxPool Conv2D Relu MaxPool Flatten MatMulV2 BiasAdd";
    assert!(ops.join(" ").starts_with(expected), "{ops:?}");
    let outputs: HashMap<&str, usize> = graph.op.iter().map(|op| (op.name.as_str(), op.output_desc.len())).collect();
    for edge in graph.op.iter().flat_map(|op| &op.input).chain(&graph.output) {
        let (producer, index) = edge.rsplit_once(':').unwrap();
        assert!(index.parse::<usize>().unwrap() < outputs[producer], "{edge}");
    }
    for param in &model.params {
        let op = graph.op.iter().find(|op| op.name == format!("{}_const", param.name)).unwrap();
        let AttrValue::T(tensor) = value(op, "value") else { panic!("{op:?}") };
        assert_eq!(tensor.data, param.tensor.bytes());
    }
    let conv = graph.op.iter().find(|op| op.r#type == "Conv2D").unwrap();
    let AttrValue::List(pads) = value(conv, "pads") else { panic!("{conv:?}") };
    assert_eq!((pads.i.as_slice(), pads.val_type), (&[0i64; 4][..], 2));
    assert_eq!(value(conv, "data_format"), &AttrValue::S("NCHW".into()));
}

#[test]
fn attributes_number_element_types_otherwise_than_descriptions() {
    let mut b = Builder::new("types");
    let x = b.input("x", Spec::fixed(DType::F32, &[1, 2, 3, 4, 4]));
    let three = || Arg::from(&[1i64, 2, 2][..]);
    let pooled = b.op_n("MaxPool3DWithArgmax", [x.into(), three(), three()], 2).unwrap();
    let cast = b.op("Cast", [x.into(), Arg::Const(Const::DType(DType::I32))]).unwrap();
    let place = b.op("Argmax", [x.into(), (-1i64).into(), Arg::Const(Const::DType(DType::I32))]).unwrap();
    let air = encoded(&b.finish(&[pooled[0], cast, place]));
    let op = |kind: &str| air.graph[0].op.iter().find(|op| op.r#type == kind).unwrap();
    assert_eq!(value(op("Cast"), "dst_type"), &AttrValue::I(3));
    assert_eq!(value(op("ArgMaxD"), "dtype"), &AttrValue::Dt(3));
    let pool = op("MaxPool3DWithArgmaxV2");
    assert_eq!(value(pool, "dtype"), &AttrValue::I(9));
    assert_eq!(value(pool, "data_format"), &AttrValue::S("NCDHW".into()));
    let AttrValue::List(pads) = value(pool, "pads") else { panic!("{pool:?}") };
    assert_eq!(pads.i, [0, 0, 0]);
    assert_eq!(op("Data").output_desc[0].dtype, 1);
}

#[test]
fn values_written_in_place_are_new_values() {
    let air = written("tests/goldens/inplace_copy/model.mindir");
    let ops: Vec<&str> = air.graph[0].op.iter().map(|op| op.r#type.as_str()).collect();
    assert!(ops.contains(&"BroadcastTo") && ops.contains(&"Cast"), "{ops:?}");
}

#[test]
fn numbers_have_the_type_of_what_they_meet() {
    let mut b = Builder::new("numbers");
    let x = b.input("x", Spec::fixed(DType::F16, &[2]));
    let y = b.op("AddScalar", [x.into(), Arg::Const(Const::Int(2))]).unwrap();
    let air = encoded(&b.finish(&[y]));
    let number = air.graph[0].op.iter().find(|op| op.r#type == "Const").unwrap();
    assert_eq!(number.output_desc[0].dtype, air.graph[0].op[0].output_desc[0].dtype);
}

#[test]
fn every_node_without_a_form_is_named() {
    let model = mindir_loader::load(path("tests/goldens/cf_while/model.mindir")).unwrap().model;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.air");
    let error = air::export(&model, &file, &Default::default()).unwrap_err();
    let AirError::Nodes(nodes) = &error else { panic!("{error}") };
    assert!(!nodes.is_empty());
    let text = error.to_string();
    assert!(nodes.iter().all(|n| text.contains(&n.op) && text.contains(&n.why)), "{text}");
    assert!(!file.exists());
}
