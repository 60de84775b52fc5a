use super::{digits, golden, mindir, model};

#[test]
fn networks_are_the_same_in_every_way() {
    let said = mindir(["check", &digits("lenet5.mindir"), "--threads", "2"]).with(0);
    said.says(&[
        "scalar, no passes, 1 thread",
        "reference",
        "through MindIR",
        "through ONNX",
        "equal, tolerance 0.0001",
    ]);
}

#[test]
fn open_dimensions_get_several_lengths() {
    let json = mindir(["check", &model("mlp_dynamic"), "--json"]).with(0).json();
    assert_eq!(json["equal"], true);
    let sets = json["sets"].as_array().unwrap();
    let inputs: std::collections::BTreeSet<&str> = sets.iter().map(|s| s["inputs"][0].as_str().unwrap()).collect();
    assert!(inputs.len() >= 3, "{inputs:?}");
    assert!(sets.iter().any(|s| s["name"].as_str().unwrap().starts_with("special")), "{json}");
}

#[test]
fn state_is_checked_and_has_no_onnx_form() {
    let said = mindir(["check", &model("counter")]).with(0);
    said.says(&["no form", "through ONNX: no form: ", "equal"]);
}

#[test]
fn inputs_may_be_given() {
    let input = format!("{}/in_0.npy", golden("dense"));
    let json = mindir(["check", &model("dense"), "-i", &input, "--json"]).with(0).json();
    assert_eq!(json["sets"][0]["name"], "given");
    mindir(["check", &model("dense"), "-i", "missing.npy"]).with(5);
    mindir(["check", &digits("lenet5.mindir"), "--shape", "1,1,7,7"]).with(2).complains(&["exported for"]);
}

/// A tolerance that nothing meets makes instruction sets differ, and the first node that does is named.
#[test]
fn differences_are_named() {
    let network = model("bert_small");
    let said = mindir(["check", &network, "--tolerance", "1e-12"]).with(1);
    said.says(&["DIFFERS", "element ", "; first at ", " differ, tolerance"]);
    let json = mindir(["check", &network, "--tolerance", "1e-12", "--json"]).with(1).json();
    assert_eq!(json["equal"], false);
    let runs = json["sets"][0]["runs"].as_array().unwrap();
    assert!(runs.iter().any(|r| r["outcome"] == "differs" && r["node"].is_string()), "{json:#}");
}
