//! Models to `.air` files.

use std::collections::HashMap;

use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Model};
use mindir_graph::op::Const;
use mindir_graph::{DType, Spec};
use mindir_loader::air::{self, AirError};
use mindir_proto::ge::{AttrValue, ModelDef, OpDef};
use mindir_proto::prost::Message;

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

/// The nodes that compute, in order.
fn computing(air: &ModelDef) -> Vec<&OpDef> {
    air.graph[0].op.iter().filter(|op| !["Const", "Data"].contains(&op.r#type.as_str())).collect()
}

fn kinds(air: &ModelDef) -> Vec<&str> {
    computing(air).iter().map(|op| op.r#type.as_str()).collect()
}

/// The integers of the constant that is input `place` of a node.
fn constant(air: &ModelDef, op: &OpDef, place: usize) -> Vec<i64> {
    let name = op.input[place].strip_suffix(":0").unwrap();
    let AttrValue::T(tensor) = value(air.graph[0].op.iter().find(|op| op.name == name).unwrap(), "value") else {
        panic!("{name} is no constant")
    };
    tensor.data.chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn layers_of_mint_are_operators_of_the_graph_engine() {
    let mut b = Builder::new("layers");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3, 4]));
    let w = b.input("w", Spec::fixed(DType::F32, &[5, 4]));
    let bias = b.input("b", Spec::fixed(DType::F32, &[5]));
    let none = || Arg::Const(Const::None);
    let y = b.op_n("LayerNormExt", [x.into(), Arg::from(&[3i64, 4][..]), none(), none(), 1e-3f32.into()], 3).unwrap();
    let y = b.op("Dense", [y[0].into(), w.into(), bias.into()]).unwrap();
    let y = b.op("GeluExt", [y.into(), Arg::Const(Const::Str("tanh".into()))]).unwrap();
    let z = b.op("Dense", [w.into(), w.into()]).unwrap();
    let air = encoded(&b.finish(&[y, z]));
    assert_eq!(kinds(&air), ["LayerNormV3", "BatchMatMulV2", "GeluV2", "MatMulV2"]);
    let [norm, dense, gelu, matrices] = computing(&air).try_into().unwrap();
    assert_eq!(value(norm, "begin_norm_axis"), &AttrValue::I(1));
    assert_eq!(value(norm, "begin_params_axis"), &AttrValue::I(1));
    assert_eq!(value(norm, "epsilon"), &AttrValue::F(1e-3));
    assert!(norm.input_desc[1..].iter().all(|desc| desc.shape.as_ref().unwrap().dim == [3, 4]), "{norm:?}");
    assert_eq!(value(dense, "adj_x2"), &AttrValue::B(true));
    assert_eq!(value(gelu, "approximate"), &AttrValue::S("tanh".into()));
    assert_eq!(value(matrices, "transpose_x2"), &AttrValue::B(true));
    assert_eq!(matrices.input[2], "");
}

#[test]
fn sums_of_integers_are_wide() {
    let mut b = Builder::new("sums");
    let x = b.input("x", Spec::fixed(DType::I32, &[2, 3]));
    let running = b.op("CumsumExt", [x.into(), 1i64.into()]).unwrap();
    let none = || Arg::Const(Const::None);
    let floats = b.op("SumExt", [x.into(), none(), false.into(), Arg::Const(Const::DType(DType::F32))]).unwrap();
    let same = b.op("ProdExt", [running.into(), 0i64.into()]).unwrap();
    let air = encoded(&b.finish(&[floats, same]));
    assert_eq!(kinds(&air), ["Cast", "Cumsum", "Cast", "ReduceSum", "ReduceProd"]);
    let [wide, running, float, sum, _] = computing(&air).try_into().unwrap();
    assert_eq!((value(wide, "dst_type"), value(float, "dst_type")), (&AttrValue::I(9), &AttrValue::I(0)));
    assert_eq!(running.input[0], format!("{}:0", wide.name));
    assert_eq!(constant(&air, running, 1), [1]);
    assert_eq!(constant(&air, sum, 1), [0, 1], "no dimensions stand for all");
}

#[test]
fn shapes_that_are_known_are_written() {
    let mut b = Builder::new("shapes");
    let x = b.input("x", Spec::fixed(DType::F16, &[2, 3, 4]));
    let full = b.op("FullLike", [x.into(), Arg::Const(Const::Int(7))]).unwrap();
    let turned = b.op("TransposeExtView", [x.into(), 0i64.into(), (-1i64).into()]).unwrap();
    let last = b.op("SelectExtView", [x.into(), 2i64.into(), (-1i64).into()]).unwrap();
    let air = encoded(&b.finish(&[full, turned, last]));
    assert_eq!(kinds(&air), ["Fill", "Transpose", "GatherV2"]);
    let [fill, turn, select] = computing(&air).try_into().unwrap();
    assert_eq!((constant(&air, fill, 0), fill.input_desc[1].dtype), (vec![2, 3, 4], fill.output_desc[0].dtype));
    assert_eq!(constant(&air, turn, 1), [2, 1, 0]);
    assert_eq!((constant(&air, select, 1), constant(&air, select, 2)), (vec![3], vec![2]));
}

#[test]
fn ports_have_the_names_of_the_graph_engine() {
    let mut b = Builder::new("ports");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
    let at = b.input("at", Spec::fixed(DType::I64, &[1, 1]));
    let row = b.input("row", Spec::fixed(DType::F32, &[1, 3]));
    let largest = b.op("TensorScatterMax", [x.into(), at.into(), row.into()]).unwrap();
    let log = b.op("LogSoftmax", [x.into(), 1i64.into()]).unwrap();
    let best = b.op_n("TopK", [x.into(), 2i64.into(), true.into()], 2).unwrap();
    let air = encoded(&b.finish(&[largest, log, best[0], best[1]]));
    let [scatter, log, best] = computing(&air).try_into().unwrap();
    let names = |descs: &[mindir_proto::ge::TensorDescriptor]| -> Vec<String> {
        descs.iter().map(|desc| desc.name.clone()).collect()
    };
    assert_eq!(names(&scatter.input_desc), ["input", "indices", "updates"]);
    assert_eq!(
        (names(&scatter.output_desc), names(&log.output_desc)),
        (vec!["output".into()], vec!["logsoftmax".into()])
    );
    assert_eq!(names(&best.output_desc), ["values", "indices"]);
    assert_eq!(best.input_desc[1].dtype, mindir_proto::ge::data_type::INT32);
}

#[test]
fn numbers_that_change_the_type_of_the_result_are_refused() {
    let refused = |dtype, number| {
        let mut b = Builder::new("numbers");
        let x = b.input("x", Spec::fixed(dtype, &[2]));
        let y = b.op("LessScalar", [x.into(), Arg::Const(number)]).unwrap();
        let file = tempfile::tempdir().unwrap();
        air::export(&b.finish(&[y]), file.path().join("model.air"), &Default::default()).is_err()
    };
    assert!(!refused(DType::I32, Const::Int(2)) && !refused(DType::F32, Const::Float(0.5)));
    assert!(refused(DType::I32, Const::Float(0.5)) && refused(DType::Bool, Const::Int(1)));
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
