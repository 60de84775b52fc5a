//! From files to graphs.

mod common;

use std::path::{Path, PathBuf};

use mindir_graph::graph::{Graph, Model, Nest, NodeKind};
use mindir_loader::{ErrorKind, GraphFault, LoadError, NoFiles, load, load_bytes};
use mindir_proto::mindir::*;
use mindir_proto::prost::Message;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens")
}

fn golden(name: &str) -> Model {
    load(goldens().join(name).join("model.mindir")).unwrap().model
}

/// The operators of a graph in their order.
fn ops(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op_name()).collect()
}

/// The printed graph, without its name and the paths of nodes.
fn text(graph: &Graph) -> Vec<String> {
    let lines = graph.to_string();
    let clean = |line: &str| line.split("  # ").next().unwrap_or_default().trim().to_string();
    lines
        .lines()
        .map(clean)
        .map(|line| {
            line.split_once('(')
                .filter(|(head, _)| head.starts_with("graph "))
                .map_or(line.clone(), |(_, rest)| format!("({rest}"))
        })
        .collect()
}

/// Whether the last node's results are the graph's, so that a call there is a jump.
fn ends_in_jump(graph: &Graph) -> bool {
    graph.nodes.last().is_some_and(|node| !matches!(node.kind, NodeKind::Op(_)) && node.outputs == graph.outputs)
}

#[test]
fn every_golden_becomes_a_model() {
    let mut count = 0;
    for folder in std::fs::read_dir(goldens()).unwrap().flatten() {
        for name in ["model.mindir", "net_graph.mindir"] {
            let file = folder.path().join(name);
            if file.exists() {
                load(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count} goldens");
}

#[test]
fn loops_are_jumps() {
    let model = golden("cf_while");
    assert_eq!(model.graphs.len(), 4);
    assert_eq!(
        text(model.entry()),
        [
            "(%0 x: f32 [2], %1 n: i32 [])",
            "%3: f32 [2], %4: i32 [] = Call(%1, i32 [] [0.0], %0) graph 1",
            "return %3 %4",
        ]
    );
    assert_eq!(
        text(&model.graphs[1])[1..],
        [
            "%3: bool [] = Less(%1, %0)",
            "%4: f32 [2], %5: i32 [] = If(%3) graph 2(%2, %1, %0) graph 3(%2, %1)",
            "return %4 %5",
        ]
    );
    assert_eq!(ops(&model.graphs[2]), ["Add", "Muls", "Add", "Call"]);
    assert_eq!(text(&model.graphs[3])[1..], ["return %0 %1"]);
    assert_eq!(model.entry().nest, Nest::Tuple(vec![Nest::Leaf, Nest::Leaf]));
    for graph in &model.graphs[..3] {
        assert!(ends_in_jump(graph), "{graph}");
    }
}

#[test]
fn effect_tokens_do_not_hide_jumps() {
    let model = golden("cf_nested_while");
    assert_eq!(model.graphs.len(), 9);
    for graph in model.graphs.iter().filter(|graph| !graph.nodes.is_empty()) {
        assert!(ends_in_jump(graph), "{graph}");
    }
    let body = model.graphs.iter().find(|graph| graph.to_string().contains("@w")).unwrap();
    assert_eq!(text(body)[1], "%5: f32 [2] = Add(%1, @w)");
}

#[test]
fn branches_take_what_they_need() {
    let model = golden("cf_if");
    assert_eq!(
        text(model.entry())[1..],
        [
            "%3: bool [] = Greater(%1, i32 [] [0.0])",
            "%4: f32 [2] = If(%3) graph 1(%0) graph 2(%0)",
            "%6: f32 [2] = Add(%4, f32 [] [1.0])",
            "return %6",
        ]
    );
    assert_eq!(text(&model.graphs[1])[1], "%2: f32 [2] = Mul(%0, @w)");
    assert!(!model.params[0].mutable);
    let closures = golden("cf_closure");
    assert_eq!(ops(closures.entry()), ["Greater", "If", "Add", "If", "Add"]);
    assert_eq!(closures.graphs.len(), 3);
    let layers = golden("cf_switch_layer");
    assert_eq!(text(layers.entry())[1], "%2: f32 [2] = Select(%1) graph 1(%0) graph 2(%0) graph 3(%0)");
}

#[test]
fn called_graphs_become_part_of_the_caller() {
    let model = golden("cf_lazy_inline");
    assert_eq!(model.graphs.len(), 1);
    assert_eq!(ops(model.entry()), ["MatMul", "BiasAdd", "ReLU", "Add"].repeat(3));
    let printed = model.entry().to_string();
    for name in ["bs.0.d.weight", "bs.1.d.weight", "bs.2.d.bias"] {
        assert_eq!(printed.matches(&format!("@{name}")).count(), 1, "{name}");
    }
}

#[test]
fn writes_and_reads_keep_their_order() {
    let model = golden("cf_if_assign");
    assert!(model.params[0].mutable);
    assert_eq!(ops(&model.graphs[1]), ["Load", "TensorMove", "Add", "Assign", "Load", "TensorMove", "Add"]);
    assert_eq!(text(&model.graphs[1])[4], "%5: f32 [2] = Assign(@cnt, %4)");
    assert_eq!(ops(&model.graphs[2]), ["Load", "Add"]);
    assert_eq!(ops(golden("state_counter").entry()), ["InplaceAddsExt", "Assign", "Load", "Mul"]);
}

#[test]
fn optimizers_run_though_nobody_reads_their_results() {
    let model = golden("train_momentum");
    let entry = model.entry();
    let names = ops(entry);
    assert_eq!(names.iter().filter(|name| **name == "ApplyMomentum").count(), 2);
    let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
    let last_load = names.iter().rposition(|name| *name == "Load").unwrap();
    assert!(last_load < at("AssignAdd") && at("AssignAdd") < at("ApplyMomentum"));
    for name in ["weight", "bias", "global_step", "moments.weight", "moments.bias"] {
        assert!(model.params.iter().any(|param| &*param.name == name && param.mutable), "{name}");
    }
}

#[test]
fn inputs_and_results_nest() {
    let nested = golden("io_mutable_in");
    let names: Vec<_> = nested.entry().inputs.iter().map(|v| &*nested.entry().value(*v).name).collect();
    assert_eq!(names, ["t.0", "t.1.0", "t.1.1", "k"]);
    let leaf = || Nest::Leaf;
    let list = Nest::List(vec![leaf(), leaf()]);
    assert_eq!(golden("io_tuple_out").entry().nest, Nest::Tuple(vec![leaf(), Nest::Tuple(vec![leaf(), list])]));
    let scalars = golden("io_scalar_out");
    let number = || Nest::Number;
    let numbers = Nest::Tuple(vec![number(), number()]);
    let expected = vec![leaf(), number(), number(), number(), Nest::Text("s".into()), numbers];
    assert_eq!(scalars.entry().nest, Nest::Tuple(expected));
    assert_eq!(text(golden("io_param_out").entry())[1..], ["return @w"]);
    assert_eq!(text(golden("io_identity").entry())[1..], ["return %0"]);
    assert_eq!(golden("io_const_dtypes").entry().outputs.len(), 16);
    assert_eq!(ops(golden("io_print").entry()), ["Print", "Add"]);
}

#[test]
fn tuples_of_numbers_are_tensors() {
    assert_eq!(
        text(golden("dyn_len_tuple").entry()),
        ["(%0 x: f32 [2,2], %1 s: i64 [?])", "%2: f32 [..] = Reshape(%0, %1)", "return %2",]
    );
    assert_eq!(text(golden("dyn_shape_input").entry())[1], "%3: f32 [?,?] = Reshape(%0, (%1, %2))");
    assert_eq!(
        text(golden("dyn_rank").entry())[1..4],
        ["%1: i64 [?] = Shape(%0)", "%2: i64 [] = TupleGetItem(%1, 0)", "%3: f32 [?,?] = Reshape(%0, (%2, -1))",]
    );
}

fn node(name: &str, op: &str, inputs: &[&str]) -> NodeProto {
    NodeProto {
        name: Some(name.to_string()),
        output: vec![name.to_string()],
        op_type: Some(op.to_string()),
        input: inputs.iter().map(|input| input.to_string()).collect(),
        ..Default::default()
    }
}

fn constant(name: &str, value: i64) -> NodeProto {
    let kind = AttributeType::Int64 as i32;
    let value = AttributeProto { name: Some("value".into()), r#type: Some(kind), i: Some(value), ..Default::default() };
    NodeProto { attribute: vec![value], ..node(name, "Constant", &[]) }
}

fn info(name: &str) -> ValueInfoProto {
    let tensor = TensorProto { data_type: Some(DataType::Float as i32), dims: vec![2], ..Default::default() };
    ValueInfoProto { name: Some(name.to_string()), tensor: vec![tensor], ..Default::default() }
}

fn graph(name: &str, inputs: &[&str], nodes: Vec<NodeProto>, output: &str) -> GraphProto {
    GraphProto {
        name: Some(name.to_string()),
        input: inputs.iter().map(|input| info(input)).collect(),
        node: nodes,
        output: vec![info(output)],
        ..Default::default()
    }
}

fn read(entry: GraphProto, functions: Vec<GraphProto>) -> Result<Model, LoadError> {
    let model = ModelProto { graph: Some(Box::new(entry)), functions, ..common::model(vec![]) };
    load_bytes("net.mindir", model.encode_to_vec(), NoFiles).map(|loaded| loaded.model)
}

fn fault(entry: GraphProto, functions: Vec<GraphProto>) -> GraphFault {
    match read(entry, functions) {
        Err(LoadError::Graph { fault, .. }) => *fault,
        Err(other) => panic!("{other}"),
        Ok(model) => panic!("{}", model.entry()),
    }
}

#[test]
fn the_shortest_files_are_understood() {
    let model = read(graph("g", &["x"], vec![node("y", "ReLU", &["x"])], "y"), vec![]).unwrap();
    assert_eq!(text(model.entry()), ["(%0 x: f32 [2])", "%1: ? [..] = ReLU(%0)", "return %1"]);
    let late = vec![node("z", "ReLU", &["y"]), node("y", "ReLU", &["x"])];
    assert_eq!(ops(read(graph("g", &["x"], late, "z"), vec![]).unwrap().entry()), ["ReLU", "ReLU"]);
}

#[test]
fn attributes_of_old_files_are_arguments() {
    let kind = Some(AttributeType::Int64 as i32);
    let axis = AttributeProto { name: Some("axis".into()), r#type: kind, i: Some(0), ..Default::default() };
    let softmax = NodeProto { attribute: vec![axis], ..node("y", "Softmax", &["x"]) };
    let model = read(graph("g", &["x"], vec![softmax], "y"), vec![]).unwrap();
    assert_eq!(text(model.entry())[1], "%1: ? [..] = Softmax(%0, 0)");
}

#[test]
fn wrong_names_are_refused() {
    let relu = |name: &str, input: &str| node(name, "ReLU", &[input]);
    let same = graph("g", &["x"], vec![relu("y", "x"), relu("y", "x")], "y");
    assert_eq!(fault(same, vec![]), GraphFault::SameName("y".into()));
    assert_eq!(fault(graph("g", &["x"], vec![relu("y", "w")], "y"), vec![]), GraphFault::Unknown("w".into()));
    assert_eq!(fault(graph("g", &["x"], vec![], "y"), vec![]), GraphFault::Unknown("y".into()));
    let circle = vec![relu("a", "b"), relu("b", "a")];
    assert_eq!(fault(graph("g", &["x"], circle, "b"), vec![]), GraphFault::Cycle);
    let other = graph("f", &["v"], vec![relu("w", "v")], "w");
    assert_eq!(fault(graph("g", &["x"], vec![relu("y", "w")], "y"), vec![other]), GraphFault::Foreign("w".into()));
}

#[test]
fn messages_name_graph_and_node() {
    let error = read(graph("g\u{202e}", &["x"], vec![node("y\n", "ReLU", &["w"])], "y\n"), vec![]).unwrap_err();
    assert_eq!(error.to_string(), r"net.mindir: graph g\u{202e}: node y\n: there is nothing called w");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn operators_that_run_foreign_code_are_refused() {
    for name in ["PyExecute", "PyInterpret", "PyFunc", "S-Prim-PyFunc"] {
        let error = read(graph("g", &["x"], vec![node("y", name, &["x"])], "y"), vec![]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

#[test]
fn unknown_operators_stay_what_they_are() {
    let model = read(graph("g", &["x"], vec![node("y", "Frobnicate", &["x"])], "y"), vec![]).unwrap();
    assert_eq!(model.opaque_nodes().count(), 1);
    assert_eq!(ops(model.entry()), ["Frobnicate"]);
}

#[test]
fn misuse_of_functions_and_tuples_is_refused() {
    let one = |op: &str, inputs: &[&str]| graph("g", &["x"], vec![constant("five", 5), node("y", op, inputs)], "y");
    assert!(matches!(fault(one("REF::x", &[]), vec![]), GraphFault::Kind { expected: "a function", .. }));
    assert!(matches!(fault(one("Switch", &["x", "x", "x"]), vec![]), GraphFault::Kind { .. }));
    assert!(matches!(fault(one("Partial", &["g"]), vec![]), GraphFault::Kind { .. }));
    let function = || graph("f", &["v"], vec![], "v");
    let arity = GraphFault::Arity { name: "f".into(), expected: 1, found: 2 };
    assert_eq!(fault(one("REF::f", &["x", "x"]), vec![function()]), arity);
    let tuple = vec![constant("five", 5), node("t", "MakeTuple", &["x"]), node("y", "TupleGetItem", &["t", "five"])];
    assert_eq!(fault(graph("g", &["x"], tuple, "y"), vec![]), GraphFault::Index { index: 5, len: 1 });
    assert!(matches!(fault(one("ReLU", &["x", "x"]), vec![]), GraphFault::Arity { .. }));
}

#[test]
fn long_chains_do_not_overflow_the_stack() {
    let count = 20_000;
    let name = |i: usize| if i == 0 { "x".to_string() } else { format!("n{i}") };
    let chain = (1..=count).rev().map(|i| node(&name(i), "ReLU", &[&name(i - 1)])).collect();
    let model = read(graph("g", &["x"], chain, &name(count)), vec![]).unwrap();
    assert_eq!(model.entry().nodes.len(), count);
    let tuples = (1..=count).map(|i| node(&name(i), "MakeTuple", &[&name(i - 1)])).collect();
    assert_eq!(fault(graph("g", &["x"], tuples, &name(count)), vec![]), GraphFault::Excess("tuples"));
    let graphs = |i: usize| {
        graph(
            &name(i),
            &[&format!("v{i}")],
            vec![node(&format!("r{i}"), &format!("REF::{}", name(i + 1)), &[&format!("v{i}")])],
            &format!("r{i}"),
        )
    };
    let mut calls: Vec<_> = (1..5_000).map(graphs).collect();
    calls.push(graph(&name(5_000), &["last"], vec![], "last"));
    read(graph("g", &["x"], vec![node("y", "REF::n1", &["x"])], "y"), calls).unwrap();
}

#[test]
fn what_doubles_at_every_step_is_refused_or_shared() {
    let name = |i: usize| if i == 0 { "x".to_string() } else { format!("n{i}") };
    let double = |op: &'static str| move |i: usize| node(&name(i), op, &[&name(i - 1), &name(i - 1)]);
    let tuples = (1..=60).map(double("MakeTuple")).collect();
    assert_eq!(fault(graph("g", &["x"], tuples, "n60"), vec![]), GraphFault::Excess("tuples"));
    let call = |i: usize| {
        let (graph_name, v, a, b) = (name(i), format!("v{i}"), format!("a{i}"), format!("b{i}"));
        let next = format!("REF::{}", name(i + 1));
        graph(&graph_name, &[&v], vec![node(&a, &next, &[&v]), node(&b, &next, &[&a])], &b)
    };
    let mut calls: Vec<_> = (1..60).map(call).collect();
    calls.push(graph("n60", &["v60"], vec![node("r", "ReLU", &["v60"])], "r"));
    let model = read(graph("g", &["x"], vec![node("y", "REF::n1", &["x"])], "y"), calls).unwrap();
    assert!(model.graphs.iter().map(|graph| graph.nodes.len()).sum::<usize>() < 100_000);
}

#[test]
fn functions_that_grow_with_every_call_are_refused() {
    let grow =
        vec![node("p", "Partial", &["f", "v"]), node("c", "Partial", &["k", "p"]), node("r", "REF::f", &["c", "w"])];
    let f = graph("f", &["v", "w"], grow, "r");
    let k = graph("k", &["q", "u"], vec![], "u");
    let entry = graph("g", &["x"], vec![node("y", "REF::f", &["x", "x"])], "y");
    assert!(matches!(fault(entry, vec![f, k]), GraphFault::Excess(_)));
}

#[test]
fn endless_recursion_is_a_loop() {
    let f = graph("f", &["v"], vec![node("r", "REF::f", &["v"])], "r");
    let model = read(graph("g", &["x"], vec![node("y", "REF::f", &["x"])], "y"), vec![f]).unwrap();
    assert_eq!(model.graphs.len(), 2);
    assert!(model.graphs.iter().all(ends_in_jump));
}

#[test]
fn functions_chosen_twice_are_branches_of_branches() {
    let nodes = vec![
        node("inner", "Switch", &["a", "f", "h"]),
        node("outer", "Switch", &["b", "inner", "f"]),
        node("y", "REF::outer", &["x"]),
    ];
    let function = |name: &str, op: &str| {
        let (input, result) = (format!("{name}_v"), format!("{name}_r"));
        graph(name, &[&input], vec![node(&result, op, &[&input])], &result)
    };
    let entry = graph("g", &["x", "a", "b"], nodes, "y");
    let model = read(entry, vec![function("f", "ReLU"), function("h", "Softmax")]).unwrap();
    assert_eq!(model.graphs.len(), 4);
    assert_eq!(text(model.entry())[1], "%3: f32 [2] = If(%2) graph 1(%1, %0) graph 2(%0)");
    assert_eq!(text(&model.graphs[1])[1], "%2: f32 [2] = If(%0) graph 2(%1) graph 3(%1)");
}

/// Models that write in place what may be another tensor, which is read later: `z = x * 1; a = z`, then
/// - `alias_nested`: `if n > 0: (if n > 1: a = x + y)`, then `a.add_(y)`, and both are returned;
/// - `alias_view`: `v = unsqueeze(z, 0)` before a loop that writes `z` and reads `v`;
/// - `alias_parameter`: `a` is a parameter if `n > 0`, then `a.add_(y)`.
#[test]
fn writes_to_what_may_be_another_tensor_are_refused() {
    let cases = [
        ("alias_nested", "InplaceAddExt-op0 writes in place a value that may be the same tensor as x,"),
        ("alias_view", "writes in place a value that may be the same tensor as "),
        ("alias_parameter", "InplaceAddExt-op0 writes in place a value that may be the same tensor as a parameter,"),
    ];
    for (name, wanted) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("{name}.mindir"));
        let error = load(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

/// `if n > 0: a = x + y`, where `a` was `z` before: what is written to `a` is picked for `z` if the condition does not hold.
#[test]
fn a_result_that_is_another_tensor_on_one_path_shares_its_writes() {
    let model = golden("inplace_alias_function");
    let [entry, ..] = model.graphs.as_slice() else { panic!("no graphs") };
    let picks = entry.nodes.iter().filter(|node| {
        let NodeKind::If { then, otherwise } = &node.kind else { return false };
        then.graph == otherwise.graph && then.args != otherwise.args
    });
    assert_eq!(picks.count(), 1);
}
