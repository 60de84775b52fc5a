use super::{digits, mindir, model};

#[test]
fn steps_name_kernels_and_places() {
    mindir(["plan", &digits("lenet5.mindir")]).with(0).says(&[
        "stage 0 on cpu",
        "kernel",
        "Conv2D",
        "scratch",
        "result",
    ]);
}

#[test]
fn passes_explain_themselves() {
    let text = mindir(["plan", &digits("lenet5.mindir"), "--why"]).with(0).stdout;
    assert!(text.contains("applied"), "{text}");
}

#[test]
fn json_has_steps_and_notes() {
    let json = mindir(["plan", &digits("lenet5.mindir"), "--json"]).with(0).json();
    let steps = json["stages"][0]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|s| s["family"] == "conv"), "{json:#}");
    assert_eq!(json["inputs"][0], "f32 [1, 1, 32, 32]");
    assert!(!json["notes"].as_array().unwrap().is_empty());
    let flops: u64 = steps.iter().map(|s| s["flops"].as_u64().unwrap()).sum();
    assert_eq!(json["flops"].as_u64().unwrap(), flops);
}

#[test]
fn open_shapes_must_be_given() {
    mindir(["plan", &model("cnn_dynamic")]).with(2).complains(&["--shape"]);
    mindir(["plan", &model("cnn_dynamic"), "--shape", "2,3,16,16"]).with(0).says(&["f32 [2,"]);
}

#[test]
fn plans_say_where_they_stop() {
    mindir(["plan", &model("cf_while")]).with(0).says(&["planned 0 of 1 nodes: Call ", "calls a graph"]);
    let json = mindir(["plan", &model("cf_while"), "--json"]).with(0).json();
    assert_eq!(json["stops"]["nodes"], 1);
}
