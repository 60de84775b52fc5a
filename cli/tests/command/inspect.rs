use super::{digits, edited, golden, mindir, model};

#[test]
fn the_summary_names_what_matters() {
    mindir(["inspect", &digits("lenet5.mindir")]).with(0).says(&[
        "lenet5.mindir",
        "MindIR version",
        "f32 [1,1,32,32]",
        "Conv2D 2",
        "work",
        "supported   yes",
    ]);
}

#[test]
fn json_has_everything() {
    let json = mindir(["inspect", &digits("lenet5.mindir"), "--json"]).with(0).json();
    assert_eq!(json["ops"]["Conv2D"], 2);
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!([1, 1, 32, 32]));
    assert_eq!(json["parameter_totals"][0]["dtype"], "f32");
    assert!(json["flops"].as_u64().unwrap() > 100_000);
    assert!(json["unsupported"].as_array().unwrap().is_empty());
}

#[test]
fn open_dimensions_are_question_marks() {
    mindir(["inspect", &model("cnn_dynamic")]).with(0).says(&["f32 [?,3,?,?]"]);
    let json = mindir(["inspect", &model("cnn_dynamic"), "--json"]).with(0).json();
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!([null, 3, null, null]));
}

#[test]
fn lists_and_graphs() {
    let lenet = digits("lenet5.mindir");
    mindir(["inspect", &lenet, "--ops", "--params"]).with(0).says(&["operator", "parameter", "[6, 1, 5, 5]"]);
    mindir(["inspect", &lenet, "--graph"]).with(0).says(&["graph ", " = Conv2D(", "return"]);
    let one = mindir(["inspect", &model("cf_while"), "--graph"]).with(0).stdout;
    let all = mindir(["inspect", &model("cf_while"), "--functions"]).with(0).stdout;
    assert!(all.matches("\nreturn").count() > one.matches("\nreturn").count());
}

#[test]
fn unknown_operators_are_listed_with_their_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let path = edited(&dir, "dense", "ReLU", b"XeLU");
    mindir(["inspect", &path]).with(0).says(&["no: 1 node of 1 unknown operator", "XeLU at "]);
    mindir(["inspect", &path, "--strict"]).with(3).says(&["XeLU at "]);
    let json = mindir(["inspect", &path, "--json"]).with(0).json();
    assert_eq!(json["unsupported"][0]["op"], "XeLU");
    assert!(json["flops"].is_null());
}

#[test]
fn names_from_files_cannot_control_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = edited(&dir, "dense", "Default", b"Def\x1b[1m");
    for flags in [["--graph", "--ops"], ["--params", "--json"]] {
        let ended = mindir(["inspect", &path, flags[0], flags[1]]).with(0);
        assert!(!ended.stdout.contains('\x1b'), "{ended:#?}");
    }
    mindir(["inspect", &path, "--graph"]).says(&["Def\\u{1b}[1m"]);
}

#[test]
fn split_models_name_their_files() {
    let path = format!("{}/net_graph.mindir", golden("split_one"));
    mindir(["inspect", &path]).with(0).says(&["net_graph.mindir", "net_variables/data_0"]);
}

#[test]
fn onnx_files_say_their_versions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lenet.onnx").to_str().unwrap().to_string();
    mindir(["convert", &digits("lenet5.mindir"), &path, "--opset", "19"]).with(0);
    let shown = mindir(["inspect", &path]).with(0).says(&["made by     mindir ", "ONNX version 9, operator set 19"]);
    assert!(!shown.stdout.contains("MindIR"), "{shown:#?}");
    let types = |port: &str| shown.stdout.lines().find(|line| line.starts_with(port)).unwrap().to_string();
    assert!(types("input").ends_with("f32 [1,1,32,32]") && types("output").ends_with("f32 [1,10]"), "{shown:#?}");
    let json = mindir(["inspect", &path, "--json"]).with(0).json();
    assert_eq!((&json["mind_ir_version"], &json["onnx_ir_version"]), (&serde_json::Value::Null, &9.into()));
    assert_eq!(json["operator_sets"], serde_json::json!([["", 19]]));
    let json = mindir(["inspect", &digits("lenet5.mindir"), "--json"]).with(0).json();
    assert_eq!((&json["mind_ir_version"], &json["operator_sets"]), (&3.into(), &serde_json::Value::Null));
}

#[test]
fn graphs_are_drawn_for_graphviz_and_mermaid() {
    let lenet = digits("lenet5.mindir");
    let dot = mindir(["inspect", &lenet, "--dot"]).with(0).stdout;
    assert!(dot.starts_with("digraph model {") && dot.ends_with("}\n"), "{dot}");
    for part in ["Conv2D\\nDefault/network-WithLossCell", "g0i0 -> g0n0 [label=\"f32 [1,1,32,32]\"]", "-> g0o0"] {
        assert!(dot.contains(part), "no {part:?} in {dot}");
    }
    let mermaid = mindir(["inspect", &lenet, "--mermaid"]).with(0).stdout;
    assert!(mermaid.starts_with("flowchart TD\n  subgraph g0["), "{mermaid}");
    assert!(mermaid.contains("g0i0 -->|\"f32 [1,1,32,32]\"| g0n0") && mermaid.contains("Conv2D<br/>"), "{mermaid}");
    let loops = mindir(["inspect", &model("cf_while"), "--dot"]).with(0).stdout;
    assert!(loops.contains("subgraph cluster_1") && loops.contains("style=dashed"), "{loops}");
    assert_eq!(loops.matches('{').count(), loops.matches('}').count(), "{loops}");
    mindir(["inspect", &lenet, "--dot", "--json"]).with(2);
    mindir(["inspect", &lenet, "--dot", "--mermaid"]).with(2);
}
