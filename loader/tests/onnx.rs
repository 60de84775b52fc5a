//! ONNX files: damaged, contradictory and hostile ones are refused with a reason; what is written is read again.

use std::collections::BTreeMap;

use bytes::Bytes;
use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Def, Format, Model, Value, ValueId};
use mindir_graph::{DType, Dim, Spec, Tensor};
use mindir_loader::mindir::Source;
use mindir_loader::{ErrorKind, Limits, LoadError, NoFiles, Warning, load_bytes, onnx};
use mindir_proto::onnx::*;
use mindir_proto::prost::Message;

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&n: &i64| DimensionProto { dim_value: (n >= 0).then_some(n), dim_param: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(1), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }) }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    let (input, output) = (list(inputs), list(outputs));
    NodeProto { input, output, op_type: Some(op.into()), name: Some(format!("my {op}")), ..NodeProto::default() }
}

fn weight(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (name, raw_data) = (Some(name.to_string()), Some(raw.into()));
    TensorProto { dims: dims.to_vec(), data_type: Some(1), name, raw_data, ..TensorProto::default() }
}

/// `y = x + w`.
fn sum() -> ModelProto {
    let graph = GraphProto {
        name: Some("sum".into()),
        node: vec![node("Add", &["x", "w"], &["y"])],
        initializer: vec![weight("w", &[2], &[1.0, -2.0])],
        input: vec![value("x", &[3, 2])],
        output: vec![value("y", &[3, 2])],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
    ModelProto { ir_version: Some(8), graph: Some(Box::new(graph)), opset_import, ..ModelProto::default() }
}

fn load(model: &ModelProto) -> Result<Model, LoadError> {
    load_bytes("net.onnx", model.encode_to_vec(), NoFiles).map(|l| l.model)
}

fn changed(change: impl FnOnce(&mut GraphProto)) -> Result<Model, LoadError> {
    let mut model = sum();
    change(model.graph.as_mut().unwrap());
    load(&model)
}

#[track_caller]
fn refused(outcome: Result<Model, LoadError>, kind: ErrorKind, words: &[&str]) {
    let error = outcome.expect_err("the model is wrong");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.starts_with("net.onnx: "), "{text}");
    words.iter().for_each(|w| assert!(text.contains(w), "{w} is missing in: {text}"));
}

#[test]
fn a_sum_is_read() {
    let model = load(&sum()).unwrap();
    assert_eq!(model.entry().nodes.len(), 1);
    assert!(model.entry().nodes[0].is("Add"));
    assert_eq!(&*model.entry().nodes[0].path, "my Add/Add_0");
}

#[test]
fn cut_and_changed_files_never_panic() {
    let bytes = sum().encode_to_vec();
    for len in 0..bytes.len() {
        let _ = load_bytes("net.onnx", bytes[..len].to_vec(), NoFiles);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let _ = load_bytes("net.onnx", bytes, NoFiles);
        }
    }
}

#[test]
fn contradictory_tensors_are_refused() {
    let tensor = |change: fn(&mut TensorProto)| changed(|g| change(&mut g.initializer[0]));
    refused(tensor(|t| t.dims = vec![3]), ErrorKind::Corrupt, &["tensor w", "8 bytes", "12"]);
    refused(tensor(|t| t.dims = vec![-1]), ErrorKind::Corrupt, &["tensor w", "dimension 0 is -1"]);
    refused(tensor(|t| t.dims = vec![i64::MAX; 3]), ErrorKind::Corrupt, &["tensor w", "overflow"]);
    refused(tensor(|t| t.dims = vec![1; 40]), ErrorKind::Limit, &["40 dimensions"]);
    refused(tensor(|t| t.float_data = vec![1.0, 2.0]), ErrorKind::Corrupt, &["twice", "raw_data", "float_data"]);
    refused(tensor(|t| t.raw_data = None), ErrorKind::Corrupt, &["no contents"]);
    refused(tensor(|t| t.data_type = Some(99)), ErrorKind::Corrupt, &["unknown element type 99"]);
    refused(tensor(|t| t.data_type = Some(8)), ErrorKind::Unsupported, &["string"]);
    let bools = |t: &mut TensorProto| (t.data_type, t.raw_data) = (Some(9), Some(Bytes::from_static(&[1, 7])));
    refused(changed(|g| bools(&mut g.initializer[0])), ErrorKind::Corrupt, &["truth value 1 is 7"]);
    refused(tensor(|t| t.name = None), ErrorKind::Corrupt, &["no name"]);
    refused(changed(|g| g.initializer.push(weight("w", &[1], &[0.0]))), ErrorKind::Corrupt, &["two parameters"]);
}

#[test]
fn numbers_in_lists_are_tensors_too() {
    type Fill = fn(&mut TensorProto);
    let kinds: [(i32, Fill); 4] = [
        (1, |t| t.float_data = vec![1.0, 2.0]),
        (7, |t| t.int64_data = vec![1, 2]),
        (10, |t| t.int32_data = vec![0x3c00, 0x4000]),
        (12, |t| t.uint64_data = vec![1, 2]),
    ];
    for (data_type, fill) in kinds {
        let outcome = changed(|g| {
            let t = &mut g.initializer[0];
            (t.raw_data, t.data_type) = (None, Some(data_type));
            fill(t);
            g.output[0].r#type = None;
            g.node = vec![node("Identity", &["w"], &["y"])];
        });
        let model = outcome.unwrap();
        let held = |value: &Value| match &value.def {
            Def::Const(t) => Some(t.clone()),
            Def::Param(p) => Some(model.params[*p].tensor.clone()),
            _ => None,
        };
        let held: Vec<Tensor> = model.entry().values.iter().filter_map(held).collect();
        assert_eq!(held[0].to_f64s().unwrap(), [1.0, 2.0]);
    }
}

#[test]
fn nodes_come_in_any_order_but_not_in_a_circle() {
    let later = |g: &mut GraphProto| g.node.insert(0, node("Neg", &["y"], &["z"]));
    assert_eq!(ops(&changed(later).unwrap()), ["Add", "Neg"]);
    let words = ["my Add: Add: it reads what follows from its own result"];
    refused(changed(|g| g.node[0].input[1] = "y".into()), ErrorKind::Corrupt, &words);
    // The nodes before and behind the cycle are not on it.
    let wide = |g: &mut GraphProto| {
        g.node = vec![
            node("Abs", &["b"], &["behind"]),
            node("Neg", &["x"], &["before"]),
            node("Exp", &["b"], &["a"]),
            node("Mul", &["a", "before"], &["b"]),
            node("Add", &["behind", "w"], &["y"]),
        ];
    };
    let text = changed(wide).expect_err("a cycle").to_string();
    assert!(text.contains("my Exp: ") || text.contains("my Mul: "), "{text}");
    // A cycle that goes through a branch.
    let through = |g: &mut GraphProto| {
        condition(node("Neg", &["back"], &["b"]))(g);
        g.node.push(node("Exp", &["y"], &["back"]));
    };
    refused(changed(through), ErrorKind::Corrupt, &["follows from its own result"]);
}

#[test]
fn results_have_the_names_of_the_file() {
    let names = |model: &Model| {
        let name = |id: &ValueId| model.entry().value(*id).name.to_string();
        model.entry().outputs.iter().map(name).collect::<Vec<_>>()
    };
    let outcome = changed(|g| {
        g.node = vec![node("Neg", &["x"], &["probs:0"]), node("Add", &["probs:0", "w"], &["Neg_0.0"])];
        g.output = vec![value("Neg_0.0", &[3, 2]), value("probs:0", &[3, 2])];
    });
    let model = outcome.unwrap();
    mindir_graph::verify(&model).unwrap();
    assert_eq!(names(&model), ["Neg_0.0", "probs:0"]);
    let again = load_bytes("again.onnx", onnx::to_bytes(&load(&sum()).unwrap(), 17).unwrap(), NoFiles).unwrap().model;
    assert_eq!(names(&again), ["y"]);
    let stored = mindir_loader::mindir::to_bytes(&load(&sum()).unwrap()).unwrap();
    let stored = load_bytes("y.mindir", stored, NoFiles).unwrap().model;
    let again = load_bytes("again.onnx", onnx::to_bytes(&stored, 17).unwrap(), NoFiles).unwrap().model;
    assert_eq!(names(&again), ["y"]);
    // What nobody named is called by its place.
    let again = load_bytes("again.onnx", onnx::to_bytes(&network(), 17).unwrap(), NoFiles).unwrap().model;
    assert_eq!(names(&again), ["output"]);
}

#[test]
fn results_are_what_the_file_declares() {
    let declare = |change: fn(&mut TypeProto)| changed(|g| change(g.output[0].r#type.as_mut().unwrap()));
    refused(
        declare(|t| t.tensor_type.as_mut().unwrap().elem_type = Some(7)),
        ErrorKind::Corrupt,
        &["result y", "i64 is declared", "f32 is computed"],
    );
    refused(declare(|t| t.tensor_type.as_mut().unwrap().elem_type = Some(8)), ErrorKind::Corrupt, &["result y", "8"]);
    let list = |t: &mut TypeProto| *t = TypeProto { sequence_type: Some(Bytes::new()), ..TypeProto::default() };
    refused(declare(list), ErrorKind::Corrupt, &["result y", "a sequence is declared"]);
    // ONNX Runtime warns of another size, or of none.
    assert!(changed(|g| g.output[0] = value("y", &[5, 2])).is_ok());
    assert!(changed(|g| g.output[0] = value("y", &[])).is_ok());
    assert!(changed(|g| g.output[0].r#type = None).is_ok());
}

#[test]
fn inputs_that_are_no_tensors_are_named() {
    let some = || Some(Bytes::new());
    let kinds = [
        ("sequence", TypeProto { sequence_type: some(), ..TypeProto::default() }),
        ("map", TypeProto { map_type: some(), ..TypeProto::default() }),
        ("sparse tensor", TypeProto { sparse_tensor_type: some(), ..TypeProto::default() }),
        ("optional", TypeProto { optional_type: some(), ..TypeProto::default() }),
    ];
    for (name, ty) in kinds {
        refused(changed(|g| g.input[0].r#type = Some(ty)), ErrorKind::Unsupported, &["input x", name]);
    }
    let strings = |g: &mut GraphProto| {
        g.input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = Some(8);
    };
    refused(changed(strings), ErrorKind::Unsupported, &["input x", "string"]);
}

/// Inputs with a value in the file are parameters; those that may be left out on purpose are told.
#[test]
fn inputs_with_defaults_are_told() {
    let with = |version| {
        let mut model = sum();
        model.ir_version = version;
        model.graph.as_mut().unwrap().input.push(value("w", &[2]));
        let loaded = load_bytes("net.onnx", model.encode_to_vec(), NoFiles).unwrap();
        assert_eq!((loaded.model.entry().inputs.len(), params(&loaded.model)), (1, vec!["w"]));
        loaded.report.warnings
    };
    assert_eq!(with(Some(3)), []);
    assert_eq!(with(Some(8)), [Warning::Defaults { inputs: vec!["w".into()] }]);
    assert!(with(Some(8))[0].to_string().ends_with(": w"));
}

#[test]
fn files_named_onnx_are_judged_as_such() {
    let read = |bytes: &[u8]| load_bytes("net.onnx", bytes.to_vec(), NoFiles).map(|l| l.model);
    for (bytes, found) in [(&b""[..], "an empty file"), (b"\x1f\x8b\x08\0\0\0", "gzip")] {
        refused(read(bytes), ErrorKind::Foreign, &["expected an ONNX file", found]);
    }
    refused(read(b"\x08\x08"), ErrorKind::Corrupt, &["there is no graph"]);
    // A file that does not begin with its version.
    let mut model = sum();
    model.ir_version = None;
    load(&model).unwrap();
    let format = load(&sum()).unwrap().origin.format;
    assert_eq!(format, Format::Onnx { ir_version: 8, opsets: vec![(String::new(), 17)] });
    // A name does not make an ONNX file of MindIR.
    let stored = mindir_loader::mindir::to_bytes(&network()).unwrap();
    assert!(matches!(read(&stored).unwrap().origin.format, Format::MindIr { version: 3 }));
}

fn params(model: &Model) -> Vec<&str> {
    model.params.iter().map(|p| &*p.name).collect()
}

fn ops(model: &Model) -> Vec<&str> {
    model.entry().nodes.iter().map(|n| n.op_name()).collect()
}

/// Floats with dimensions are weights whatever their number; what operators make of them follows them.
#[test]
fn small_weights_are_parameters_of_their_names() {
    assert_eq!(params(&load(&sum()).unwrap()), ["w"]);
    let outcome = changed(|g| {
        g.initializer.extend([weight("half", &[], &[0.5]), weight("unread", &[1], &[0.0])]);
        g.node = vec![
            node("Mul", &["w", "half"], &["v"]),
            node("Exp", &["v"], &["e"]),
            node("Add", &["x", "e"], &["z"]),
            node("Sub", &["z", "v"], &["y"]),
        ];
    });
    let model = outcome.unwrap();
    assert_eq!((params(&model), ops(&model)), (vec!["w"], vec!["Mul", "Exp", "Add", "Sub"]));

    // In a branch, and in one of its own.
    let model = changed(|g| {
        condition(node("Mul", &["x", "v"], &["b"]))(g);
        let own = |at: &mut AttributeProto| at.g.as_mut().unwrap().initializer.push(weight("v", &[1], &[3.0]));
        own(&mut g.node[2].attribute[1]);
    });
    let model = model.unwrap();
    assert_eq!(params(&model), ["w", "v"]);
    let inputs: Vec<usize> = model.graphs.iter().map(|g| g.inputs.len()).collect();
    assert_eq!(inputs, [1, 1, 1]);
}

/// Numbers that say how an operator works are none of the weights.
#[test]
fn settings_of_operators_are_no_parameters() {
    let resize = node("Resize", &["x", "", "scales"], &["y"]);
    let outcome = changed(|g| {
        g.input = vec![value("x", &[1, 1, -1, -1])];
        g.initializer = vec![weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0])];
        g.node = vec![resize];
    });
    let model = outcome.unwrap();
    assert!(params(&model).is_empty(), "{:?}", params(&model));
}

#[test]
fn contradictory_graphs_are_refused() {
    let twice = |g: &mut GraphProto| g.node.push(node("Neg", &["x"], &["y"]));
    refused(changed(twice), ErrorKind::Corrupt, &["my Neg", "two values are called y"]);
    refused(changed(|g| g.output[0].name = Some("z".into())), ErrorKind::Corrupt, &["result z"]);
    refused(changed(|g| g.input.push(value("x", &[1]))), ErrorKind::Corrupt, &["two inputs are called x"]);
    refused(changed(|g| g.input[0].r#type = None), ErrorKind::Corrupt, &["input x", "no tensor"]);
    refused(changed(|g| g.node[0].input[1] = "q".into()), ErrorKind::Corrupt, &["my Add", "nothing gives value q"]);
    let odd = weight("w", &[5], &[0.0; 5]);
    refused(changed(|g| g.initializer[0] = odd), ErrorKind::Unsupported, &["my Add", "does not broadcast"]);
}

#[test]
fn all_nodes_that_are_not_supported_are_named() {
    let outcome = changed(|g| {
        g.node = vec![
            node("Frobnicate", &["x"], &["a"]),
            node("Neg", &["a"], &["b"]),
            NodeProto { domain: Some("com.example".into()), ..node("Add", &["b", "w"], &["c"]) },
            node("Add", &["c", "w"], &["y"]),
        ];
    });
    refused(outcome, ErrorKind::Unsupported, &["2 nodes", "my Frobnicate", "my Add: Add: this operator"]);
}

#[test]
fn operator_sets_are_checked() {
    let with = |version: Option<i64>| {
        let mut model = sum();
        model.opset_import[0].version = version;
        load(&model)
    };
    refused(with(None), ErrorKind::Corrupt, &["has no version"]);
    refused(with(Some(1)), ErrorKind::Unsupported, &["operator set 1"]);
    refused(with(Some(i64::MAX)), ErrorKind::Unsupported, &["operator set"]);
    let mut model = sum();
    model.opset_import[0].domain = Some("ai.onnx.ml".into());
    refused(load(&model), ErrorKind::Unsupported, &["operators of ai.onnx.ml"]);
    model.opset_import.clear();
    refused(load(&model), ErrorKind::Corrupt, &["does not name the set"]);
    model.graph = None;
    refused(load(&model), ErrorKind::Corrupt, &["there is no graph"]);
}

fn external(location: &str, offset: &str, length: &str) -> ModelProto {
    let mut model = sum();
    let t = &mut model.graph.as_mut().unwrap().initializer[0];
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    t.raw_data = None;
    t.data_location = Some(DataLocation::External as i32);
    t.external_data = vec![entry("location", location), entry("offset", offset), entry("length", length)];
    model
}

#[test]
fn data_files_are_read_within_their_bounds() {
    let files = || BTreeMap::from([("w.bin".to_string(), Bytes::from(vec![0u8; 16]))]);
    let read = |location: &str, offset: &str, length: &str| {
        load_bytes("net.onnx", external(location, offset, length).encode_to_vec(), files()).map(|l| l.model)
    };
    assert!(read("w.bin", "8", "8").is_ok());
    refused(read("w.bin", "9", "8"), ErrorKind::Corrupt, &["w.bin", "outside"]);
    refused(read("w.bin", "18446744073709551615", "8"), ErrorKind::Corrupt, &["outside"]);
    refused(read("w.bin", "0", "4"), ErrorKind::Corrupt, &["outside"]);
    refused(read("w.bin", "x", "8"), ErrorKind::Corrupt, &["offset"]);
    for location in ["../w.bin", "/etc/passwd", "a/../w.bin", "", "C:\\w.bin"] {
        refused(read(location, "0", "8"), ErrorKind::Corrupt, &["refused"]);
    }
    refused(read("other.bin", "0", "8"), ErrorKind::NotFound, &["other.bin"]);
}

fn graph_attribute(name: &str, graph: GraphProto) -> AttributeProto {
    let r#type = Some(AttributeType::Graph as i32);
    AttributeProto { name: Some(name.into()), g: Some(Box::new(graph)), r#type, ..AttributeProto::default() }
}

fn graph(nodes: Vec<NodeProto>, inputs: &[&str], outputs: &[&str]) -> GraphProto {
    let ports = |names: &[&str]| names.iter().map(|n| value(n, &[])).collect();
    GraphProto { node: nodes, input: ports(inputs), output: ports(outputs), ..GraphProto::default() }
}

/// An integer or truth value of rank 0.
fn number(name: &str, data_type: i32, value: i64) -> TensorProto {
    let raw: Vec<u8> = value.to_le_bytes()[..if data_type == 9 { 1 } else { 8 }].to_vec();
    TensorProto {
        data_type: Some(data_type),
        name: Some(name.into()),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}

/// `if sum(x) < limit { x + w } else { -x }`; the branch `otherwise` may be another.
fn condition(otherwise: NodeProto) -> impl FnOnce(&mut GraphProto) {
    |g| {
        let mut choice = node("If", &["c"], &["y"]);
        choice.attribute = vec![
            graph_attribute("then_branch", graph(vec![node("Add", &["x", "w"], &["a"])], &[], &["a"])),
            graph_attribute("else_branch", graph(vec![otherwise], &[], &["b"])),
        ];
        let mut sum = node("ReduceSum", &["x"], &["s"]);
        sum.attribute = vec![AttributeProto { name: Some("keepdims".into()), i: Some(0), ..AttributeProto::default() }];
        g.initializer.push(weight("limit", &[], &[1.0]));
        g.node = vec![sum, node("Less", &["s", "limit"], &["c"]), choice];
    }
}

#[test]
fn conditions_are_graphs_that_take_what_they_read() {
    let model = changed(condition(node("Neg", &["x"], &["b"]))).unwrap();
    mindir_graph::verify(&model).unwrap();
    let names: Vec<Vec<&str>> = model.graphs.iter().map(|g| g.nodes.iter().map(|n| n.op_name()).collect()).collect();
    assert_eq!(names, [vec!["ReduceSum", "Less", "If"], vec!["Add"], vec!["Neg"]]);
    let inputs: Vec<usize> = model.graphs.iter().map(|g| g.inputs.len()).collect();
    assert_eq!(inputs, [1, 1, 1]);
    // Branches may differ in shape, not in their element types.
    let model = changed(condition(node("Neg", &["s"], &["b"]))).unwrap();
    let spec = model.entry().value(model.entry().outputs[0]).spec.clone();
    assert_eq!(spec.dims, None);
    let other = changed(condition(node("IsNaN", &["x"], &["b"])));
    refused(other, ErrorKind::Unsupported, &["my If", "different types"]);
    refused(changed(condition(node("Neg", &["q"], &["b"]))), ErrorKind::Corrupt, &["my Neg", "value q"]);
    refused(changed(condition(node("Odd", &["x"], &["b"]))), ErrorKind::Unsupported, &["1 nodes", "my Odd"]);
}

#[test]
fn constants_of_inner_graphs_may_be_in_data_files() {
    let far = external("w.bin", "8", "8").graph.unwrap().initializer.remove(0);
    let with = |far: TensorProto| {
        let mut model = sum();
        let g = model.graph.as_mut().unwrap();
        condition(node("Neg", &["x"], &["b"]))(g);
        g.initializer.remove(0);
        g.node[2].attribute[0].g.as_mut().unwrap().initializer.push(far);
        let files = BTreeMap::from([("w.bin".to_string(), Bytes::from(vec![0u8; 16]))]);
        load_bytes("net.onnx", model.encode_to_vec(), files).map(|l| l.model)
    };
    assert_eq!(params(&with(far.clone()).unwrap()), ["w"]);
    let mut short = far;
    short.external_data[1].value = Some("9".into());
    refused(with(short), ErrorKind::Corrupt, &["tensor w", "w.bin", "outside"]);
}

#[test]
fn a_condition_that_is_known_is_its_branch() {
    let outcome = changed(|g| {
        condition(node("Neg", &["x"], &["b"]))(g);
        g.initializer.push(number("c", 9, 0));
        g.node.drain(..2);
    });
    let model = outcome.unwrap();
    assert_eq!(model.graphs.len(), 1);
    assert!(model.entry().nodes[0].is("Neg"));
}

/// `y` is `x` after `turns` of `body`, whose state is `a` and then `b`; `r` collects `row`.
fn counted(turns: TensorProto, body: Vec<NodeProto>, row: Option<&str>) -> impl FnOnce(&mut GraphProto) {
    let results: Vec<&str> = ["go", "b"].into_iter().chain(row).collect();
    let body = graph(body, &["i", "go", "a"], &results);
    let names: &[&str] = if row.is_some() { &["y", "r"] } else { &["y"] };
    let mut turn = node("Loop", &["turns", "", "x"], names);
    turn.attribute = vec![graph_attribute("body", body)];
    |g| {
        g.initializer.push(turns);
        g.node = vec![turn];
    }
}

#[test]
fn loops_are_graphs_that_jump_back() {
    let add = || vec![node("Add", &["a", "w"], &["b"])];
    let model = changed(counted(number("turns", 7, 3), add(), None)).unwrap();
    mindir_graph::verify(&model).unwrap();
    let names: Vec<&str> = model.graphs.iter().filter_map(|g| g.nodes.last().map(|n| n.op_name())).collect();
    assert_eq!(names, ["Call", "If", "Call"]);
    let model = changed(counted(number("turns", 7, 3), add(), Some("b"))).unwrap();
    mindir_graph::verify(&model).unwrap();

    // A state may grow, and results be collected however often the loop turns.
    let mut grown = node("Concat", &["a", "a"], &["b"]);
    grown.attribute = vec![AttributeProto { name: Some("axis".into()), i: Some(0), ..AttributeProto::default() }];
    mindir_graph::verify(&changed(counted(number("turns", 7, 3), vec![grown], None)).unwrap()).unwrap();
    let long = changed(counted(number("turns", 7, i64::MAX), add(), Some("b"))).unwrap();
    mindir_graph::verify(&long).unwrap();
    // A rank that changes is unknown in every turn.
    let deeper = NodeProto { input: vec!["a".into(), "zero".into()], ..node("Unsqueeze", &[], &["b"]) };
    let outcome = changed(|g| {
        counted(number("turns", 7, 3), vec![deeper], None)(g);
        g.initializer.push(TensorProto { dims: vec![1], ..number("zero", 7, 0) });
    });
    let model = outcome.unwrap();
    mindir_graph::verify(&model).unwrap();
    assert_eq!(model.graphs.len(), 4);

    let refused = |turns, body, row, words: &[&str]| {
        refused(changed(counted(turns, body, row)), ErrorKind::Unsupported, words);
    };
    let typed = vec![node("IsNaN", &["a"], &["b"])];
    refused(number("turns", 7, 3), typed, None, &["my Loop", "changes its element type"]);
    refused(number("turns", 11, 3), add(), None, &["my Loop", "expected i64"]);
    refused(number("turns", 7, 3), vec![node("Neg", &["x"], &["c"])], None, &["my Loop", "result b"]);
}

/// A large result is an error of the run, not of reading; nothing is computed while reading that is larger than a few KiB.
/// A model whose function `name` has these nodes, called once.
fn calling(functions: Vec<(&str, Vec<NodeProto>)>, called: &str) -> ModelProto {
    let mut model = sum();
    let own = |op: &str| NodeProto { domain: Some("own".into()), ..node(op, &["x"], &["y"]) };
    let function = |(name, node): (&str, Vec<NodeProto>)| FunctionProto {
        name: Some(name.into()),
        domain: Some("own".into()),
        input: vec!["x".into()],
        output: vec!["y".into()],
        node,
        opset_import: model.opset_import.clone(),
        ..FunctionProto::default()
    };
    let functions = functions.into_iter().map(function).collect();
    model.functions = functions;
    model.graph.as_mut().unwrap().node = vec![own(called)];
    model
}

fn own(op: &str, input: &str, output: &str) -> NodeProto {
    NodeProto { domain: Some("own".into()), ..node(op, &[input], &[output]) }
}

#[test]
fn functions_become_their_nodes() {
    let double = vec![node("Add", &["x", "x"], &["y"])];
    let four = vec![own("Double", "x", "t"), own("Double", "t", "y")];
    let model = load(&calling(vec![("Double", double), ("Four", four)], "Four")).unwrap();
    assert_eq!(ops(&model), ["Add", "Add"]);
    assert_eq!(&*model.entry().nodes[1].path, "my Four/my Double/my Add/Add_1");
}

#[test]
fn functions_end_and_stay_small() {
    let around = calling(vec![("F", vec![own("G", "x", "y")]), ("G", vec![own("F", "x", "y")])], "F");
    refused(load(&around), ErrorKind::Unsupported, &["deep"]);
    // Each function calls the one before it twice.
    let names: Vec<String> = (0..30).map(|i| format!("f{i}")).collect();
    let twice = |i: usize| match i {
        0 => vec![node("Neg", &["x"], &["y"])],
        _ => vec![own(&names[i - 1], "x", "t"), own(&names[i - 1], "t", "y")],
    };
    let all = (0..names.len()).map(|i| (names[i].as_str(), twice(i))).collect();
    refused(load(&calling(all, "f29")), ErrorKind::Unsupported, &["too many nodes"]);
    let mut old = calling(vec![("F", vec![node("Neg", &["x"], &["y"])])], "F");
    old.functions[0].opset_import[0].version = Some(3);
    refused(load(&old), ErrorKind::Unsupported, &["operator set 3 of a function"]);
    let none = calling(vec![("F", vec![node("Neg", &["x"], &["z"])])], "F");
    refused(load(&none), ErrorKind::Corrupt, &["no value for result y"]);
    let unknown = calling(vec![("F", vec![node("Nothing", &["x"], &["y"])])], "F");
    refused(load(&unknown), ErrorKind::Unsupported, &["my F/my Nothing", "not supported"]);
}

#[test]
fn bombs_are_not_unpacked_while_reading() {
    let outcome = changed(|g| {
        let shape = TensorProto {
            dims: vec![4],
            data_type: Some(7),
            name: Some("s".into()),
            int64_data: vec![1 << 20; 4],
            ..TensorProto::default()
        };
        g.initializer.push(shape);
        g.node = vec![node("ConstantOfShape", &["s"], &["b"]), node("Add", &["b", "x"], &["y"])];
    });
    refused(outcome, ErrorKind::Unsupported, &["my ConstantOfShape"]);
}

/// A model of a few operators, with an open dimension.
fn network() -> Model {
    let mut b = Builder::new("net");
    let dims = Some([Dim::Unknown, Dim::Known(8)].into_iter().collect());
    let x = b.input("x", Spec { dtype: Some(DType::F32), dims });
    let w = b.param("fc.weight", Tensor::from_vec(&[4, 8], (0..32).map(|i| i as f32).collect()).unwrap());
    let y = b.op("MatMul", [x.into(), w.into(), Arg::from(false), Arg::from(true)]).unwrap();
    let y = b.op("ReLU", [y.into()]).unwrap();
    let y = b.op("Reshape", [y.into(), Arg::from(&[-1i64, 2, 2][..])]).unwrap();
    b.finish(&[y])
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let written = onnx::export(&network(), &path, &Default::default()).unwrap();
    assert_eq!((written.constants, written.data_file), (2, None));
    let model = mindir_loader::load(&path).unwrap().model;
    assert_eq!(model.params.len(), 1);
    assert_eq!((&*model.params[0].name, model.params[0].tensor.shape()), ("fc.weight", &[4, 8][..]));
    let entry = model.entry();
    assert_eq!(entry.value(entry.inputs[0]).spec.to_string(), "f32 [x_dim_0,8]");
    let ops: Vec<&str> = entry.nodes.iter().map(|n| n.op_name()).collect();
    assert_eq!(ops, ["MatMul", "ReLU", "Reshape"]);
}

#[test]
fn names_of_dimensions_and_results_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let node = |op: &str, from: &str, to: &str| node(op, &[from], &[to]);
    let model = changed(|g| {
        g.node.extend([node("Identity", "x", "same"), node("Identity", "y", "again")]);
        let names = |value: &mut ValueInfoProto, names: &[&str]| {
            let tensor = value.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()).unwrap();
            let dim = |name: &&str| DimensionProto { dim_value: None, dim_param: Some(name.to_string()) };
            tensor.shape = Some(TensorShapeProto { dim: names.iter().map(dim).collect() });
        };
        g.output.extend(["same", "again"].map(|name| value(name, &[-1, 2])));
        names(&mut g.input[0], &["batch", "two"]);
        names(&mut g.output[0], &["other", "two"]);
    });
    let shown = |model: &Model| {
        let entry = model.entry();
        let one = |id: &ValueId| format!("{} {}", entry.value(*id).name, entry.value(*id).spec);
        entry.inputs.iter().chain(&entry.outputs).map(one).collect::<Vec<_>>()
    };
    let model = model.unwrap();
    let names = ["x f32 [batch,two]", "y f32 [batch,2]", "same f32 [batch,two]", "again f32 [batch,2]"];
    assert_eq!(shown(&model), names);
    onnx::export(&model, &path, &Default::default()).unwrap();
    assert_eq!(shown(&mindir_loader::load(&path).unwrap().model), names);
    mindir_loader::mindir::export(&model, folder.path().join("net.mindir"), &Default::default()).unwrap();
    let back = mindir_loader::load(folder.path().join("net.mindir")).unwrap().model;
    assert_eq!(shown(&back), names.map(|text| text.replace("batch", "?").replace("two", "?")));
}

#[test]
fn names_that_readers_refuse_are_not_written() {
    let mut b = Builder::new("net");
    let x = b.input(&"x".repeat(70_000), Spec::fixed(DType::F32, &[2]));
    let y = b.op("Neg", [x.into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.onnx");
    let refused = onnx::export(&b.finish(&[y]), &path, &onnx::Options::default());
    assert!(matches!(refused, Err(onnx::WriteError::TooLong(_))), "{refused:?}");
    assert!(!path.exists());
}

#[test]
fn results_keep_names_whatever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let model = changed(|g| {
        g.node = vec![
            NodeProto { attribute: Vec::new(), ..node("Split", &["x"], &["a", "b", "c"]) },
            node("Neg", &["x"], &["output_1"]),
            node("Identity", &["w"], &["v"]),
        ];
        let data_type = Some(7);
        let name = Some("n".into());
        g.initializer.push(TensorProto {
            dims: vec![1, 1],
            data_type,
            name,
            int64_data: vec![5],
            ..Default::default()
        });
        // Results of one node, an input, a weight, a constant, and a name that might be made up for one that has none.
        g.output = ["b", "x", "a", "w", "v", "output_1", "n"].map(|name| value(name, &[-1, -1])).to_vec();
        let constant = g.output[6].r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
        constant.unwrap().elem_type = data_type;
    });
    let model = model.unwrap();
    let names = |model: &Model| {
        let entry = model.entry();
        entry.outputs.iter().map(|id| entry.value(*id).name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&model), ["b", "x", "a", "w", "v", "output_1", "n"]);
    onnx::export(&model, folder.path().join("net.onnx"), &Default::default()).unwrap();
    let back = mindir_loader::load(folder.path().join("net.onnx")).unwrap().model;
    // A result that is an input has another name than the input in ONNX files.
    assert_eq!(names(&back), ["b", "output_1_1", "a", "output_3", "v", "output_1", "n"]);
    mindir_loader::mindir::export(&model, folder.path().join("net.mindir"), &Default::default()).unwrap();
    let back = mindir_loader::load(folder.path().join("net.mindir")).unwrap().model;
    assert_eq!(names(&back), ["b", "x", "a", "w", "v", "output_1", "n"]);
    assert_eq!(back.result_names(), ["b", "x", "a", "w", "v", "output_1", "n"].map(Some));
}

/// `count` grows by `x`; `y` is twice what it is then.
fn counter() -> Model {
    let mut b = Builder::new("counter");
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let count = b.param("count", Tensor::vector(&[1.0f32, 2.0]));
    b.op("AssignAdd", [count.into(), x.into()]).unwrap();
    let now = b.op("Load", [count.into()]).unwrap();
    let y = b.op("Add", [now.into(), now.into()]).unwrap();
    b.finish(&[y])
}

#[test]
fn state_goes_in_and_out_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.onnx");
    let refused = onnx::export(&counter(), &path, &onnx::Options::default());
    assert!(refused.unwrap_err().to_string().contains("ONNX models keep no state"));
    onnx::export(&counter(), &path, &onnx::Options { state_as_io: true, ..Default::default() }).unwrap();
    let proto = ModelProto::decode(Bytes::from(std::fs::read(&path).unwrap())).unwrap();
    let graph = proto.graph.unwrap();
    let names = |values: &[ValueInfoProto]| values.iter().filter_map(|v| v.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&graph.input), names(&graph.output)),
        (vec!["x".into(), "count".into()], vec!["output".to_string(), "count_out".into()])
    );
    assert!(graph.initializer.iter().any(|t| t.name.as_deref() == Some("count")));
}

/// Whatever its type and rank, for callers may give another value.
#[test]
fn what_callers_may_leave_out_is_a_parameter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.onnx");
    let mut b = Builder::new("counter");
    let count = b.param("count", Tensor::scalar(3i32));
    let one = b.constant(Tensor::scalar(1i32));
    b.op("AssignAdd", [count.into(), one.into()]).unwrap();
    let now = b.op("Load", [count.into()]).unwrap();
    let y = b.op("Neg", [now.into()]).unwrap();
    let model = b.finish(&[y]);
    onnx::export(&model, &path, &onnx::Options { state_as_io: true, ..Default::default() }).unwrap();
    let params = mindir_loader::load(&path).unwrap().model.params;
    let found: Vec<_> = params.iter().map(|p| (&*p.name, p.tensor.to_i64s().unwrap())).collect();
    assert_eq!(found, [("count", vec![3])]);
}

#[test]
fn elements_of_few_bits_are_not_taken_for_what_holds_them() {
    let bits = || TensorProto {
        dims: vec![2],
        data_type: Some(22),
        name: Some("bits".into()),
        raw_data: Some(vec![0x8f].into()),
        ..TensorProto::default()
    };
    let wrong = changed(|g| {
        g.initializer.push(bits());
        g.node = vec![node("Add", &["bits", "bits"], &["y"])];
    });
    refused(wrong, ErrorKind::Unsupported, &["Add", "elements of int4 are not supported"]);
    let right = changed(|g| {
        g.initializer.push(bits());
        g.initializer.push(weight("scale", &[], &[0.5]));
        g.node = vec![node("DequantizeLinear", &["bits", "scale"], &["z"]), node("Add", &["x", "z"], &["y"])];
    });
    assert_eq!(right.unwrap().entry().outputs.len(), 1);
}

/// `y = x · w`, with weights of 2 KiB.
fn product() -> Model {
    let mut b = Builder::new("product");
    let x = b.input("x", Spec::fixed(DType::F32, &[3, 32]));
    let w = b.param("w", Tensor::from_vec(&[32, 16], (0..512).map(|i| i as f32).collect()).unwrap());
    let y = b.op("MatMul", [x.into(), w.into(), Arg::from(false), Arg::from(false)]).unwrap();
    b.finish(&[y])
}

#[test]
fn constants_beyond_the_bound_go_to_a_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let split = |split_above| {
        let options = onnx::Options { split_above, ..onnx::Options::default() };
        onnx::export(&product(), &path, &options).unwrap().data_file
    };
    assert_eq!(split(2048), None);
    assert_eq!(split(2047).as_deref(), Some("net.onnx.data_0"));
    let model = std::fs::metadata(&path).unwrap().len();
    assert!(model < 1024, "{model} bytes beside the data file");
    let loaded = mindir_loader::load(&path).unwrap();
    assert_eq!(loaded.model.params[0].tensor, product().params[0].tensor);
    assert_eq!((loaded.report.in_place_bytes, loaded.report.misaligned_bytes), (2048, 0));
    let files: Vec<_> = loaded.report.files.iter().map(|f| (&*f.name, f.bytes)).collect();
    assert_eq!(files, [(&*path.display().to_string(), model), ("net.onnx.data_0", 2048)]);
}

#[test]
fn data_files_lie_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("model");
    std::fs::create_dir(&inner).unwrap();
    for name in ["secret.bin", "model/w.bin"] {
        std::fs::write(folder.path().join(name), [0u8; 16]).unwrap();
    }
    std::fs::write(inner.join("short.bin"), [0u8; 7]).unwrap();
    std::fs::create_dir(inner.join("folder")).unwrap();
    let path = inner.join("net.onnx");
    let read = |location: &str| {
        std::fs::write(&path, external(location, "0", "8").encode_to_vec()).unwrap();
        mindir_loader::load(&path).map(|l| l.model)
    };
    assert!(read("w.bin").is_ok());
    let absolute = folder.path().join("secret.bin").display().to_string();
    let mut odd = vec!["../secret.bin", "folder/../../secret.bin", &absolute, "folder", "short.bin"];
    if cfg!(unix) {
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("secret.bin"), inner.join("link.bin")).unwrap();
        odd.push("link.bin");
    }
    for location in odd {
        let error = read(location).expect_err(location).to_string();
        assert!(error.contains("tensor w") && error.contains(location), "{error}");
    }
}

#[test]
fn a_failed_export_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, b"old").unwrap();
    let mut b = Builder::new("no");
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let y = b.op("Lgamma", [x.into()]).unwrap();
    assert!(onnx::export(&b.finish(&[y]), &path, &Default::default()).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn limits_hold_for_onnx_too() {
    let bytes = sum().encode_to_vec();
    let limits = Limits { max_nodes: 0, ..Limits::default() };
    let error = onnx::load(Source::from_bytes("net.onnx", bytes.clone()), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let limits = Limits { decoded_base: 16, decoded_per_byte: 0, ..Limits::default() };
    assert!(onnx::load(Source::from_bytes("net.onnx", bytes), &limits).is_err());
}

#[test]
fn lengths_and_factors_below_zero_are_refused() {
    let refuses = |op: &str, data_type: i32, values: &[f64], words: &[&str]| {
        let data = |v: &f64| {
            if data_type == 7 { (*v as i64).to_le_bytes().to_vec() } else { (*v as f32).to_le_bytes().to_vec() }
        };
        let raw: Vec<u8> = values.iter().flat_map(data).collect();
        let settings = TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(data_type),
            name: Some("s".into()),
            raw_data: Some(raw.into()),
            ..TensorProto::default()
        };
        let inputs: &[&str] = if op == "Resize" { &["x", "", "s"] } else { &["x", "s"] };
        let mut node = node(op, inputs, &["y"]);
        if op == "Pad" {
            node.attribute.push(AttributeProto {
                name: Some("mode".into()),
                r#type: Some(3),
                s: Some("edge".into()),
                ..AttributeProto::default()
            });
        }
        let model = changed(|g| {
            g.node = vec![node];
            g.initializer = vec![settings];
            g.output = vec![ValueInfoProto { name: Some("y".into()), ..ValueInfoProto::default() }];
        });
        refused(model, ErrorKind::Unsupported, words);
    };
    refuses("Expand", 7, &[-1.0], &["at least 0", "-1"]);
    refuses("Resize", 1, &[-2.0, 1.0], &["above 0", "-2"]);
    refuses("Resize", 1, &[f64::NAN, 1.0], &["above 0", "NaN"]);
    refuses("Pad", 7, &[-2.0, 0.0, -2.0, 0.0], &["remove more than dimension 0, which is 3"]);
}
