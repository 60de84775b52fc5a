use mindir::builder::Builder;
use mindir::graph::{Arg, ValueId};
use mindir::{DType, OpError, Spec};

use super::{digits, golden, mindir, model, written};

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

/// MindSpore's number of bf16 is 45, which as a factor asks for no type.
#[test]
fn half_types_that_are_asked_for_widen_the_tolerance() {
    let tolerance = |y: fn(&mut Builder, Arg) -> Result<ValueId, OpError>| {
        let mut b = Builder::new("numbers");
        let x = b.input("x", Spec::fixed(DType::F32, &[3]));
        let y = y(&mut b, x.into()).unwrap();
        let y = b.op("Cast", [y.into(), (43i64).into()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = written(&dir, &b.finish(&[y]));
        mindir(["check", &path, "--json"]).with(0).json()["tolerance"].as_f64().unwrap()
    };
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(close(tolerance(|b, x| b.op("Muls", [x, 45i64.into()])), 1e-4));
    assert!(close(tolerance(|b, x| b.op("Cast", [x, 45i64.into()])), 16.0 / 256.0));
    assert!(close(tolerance(|b, x| b.op("Cast", [x, Arg::from(42i64)])), 16.0 / 2048.0));
}

#[test]
fn precision_and_packed_weights_are_ways_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let lenet = digits("lenet5.mindir");
    let check = |more: &[&str]| mindir([&["check", &lenet, "-i", "rand:1"], more].concat());
    let tolerance = |ended: super::Ended| ended.with(0).json()["tolerance"].as_f64().unwrap();
    assert_eq!(tolerance(check(&["--json"])), 1e-4);
    assert_eq!(tolerance(check(&["--json", "--precision", "f16"])), 16.0 * 2f64.powi(-11));
    check(&["--precision", "bf16", "--tolerance", "1e-6"]).with(1).says(&["first in pass precision"]);
    check(&["--packed-weights", kept.to_str().unwrap()]).with(0);
}
