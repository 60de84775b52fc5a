use std::path::Path;

use super::mindir;

#[test]
fn operators_are_listed() {
    mindir(["ops"]).with(0).says(&["Conv2D", "Softmax", " operators"]);
    mindir(["ops", "--missing"]).with(0).says(&["AllReduce", "machines", " primitives"]);
    let missing = mindir(["ops", "allreduce", "--missing", "--json"]).with(0).json();
    assert_eq!(missing[0]["name"], "AllReduce");
    let json = mindir(["ops", "softmax", "--json"]).with(0).json();
    let names: Vec<&str> = json.as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Softmax") && !names.contains(&"Conv2D"), "{names:?}");
    let softmax = &json[names.iter().position(|n| *n == "Softmax").unwrap()];
    assert!(!softmax["doc"].as_str().unwrap().is_empty());
}

#[test]
fn the_doctor_knows_the_machine() {
    mindir(["doctor", "--quick"]).with(0).says(&[
        "processor",
        "threads used",
        "device      cpu: available",
        "MINDIR_ISA",
    ]);
    let json = mindir(["doctor", "--quick", "--json"]).with(0).json();
    assert_eq!(json["devices"][0]["name"], "cpu");
    assert!(json["threads"].as_u64().unwrap() >= 1);
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        mindir(["completions", shell]).with(0).says(&["inspect", "completions"]);
    }
}

#[test]
fn the_page_of_operators_is_what_the_command_writes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPS.md");
    let written = mindir(["ops", "--markdown"]).with(0).stdout;
    let stale = std::fs::read_to_string(page).unwrap() != written;
    assert!(!stale, "docs/OPS.md is stale: `cargo run -p mindir-cli -- ops --markdown > docs/OPS.md` writes it");
}

#[test]
fn flags_without_effect_are_told_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let checkpoint = super::repository("loader/tests/data/ckpt/append.ckpt");
    let checkpoint = checkpoint.to_str().unwrap();
    mindir(["ckpt", "get", checkpoint, "lr", "--decrypt"]).with(2).complains(&["--output"]);
    let plain = mindir(["ckpt", "get", checkpoint, "lr", "--decrypt", "-o", &at("lr.npy")]).with(0);
    assert!(plain.stderr.starts_with("warning: --decrypt has no effect"), "{plain:#?}");
    let planned = mindir(["plan", &super::digits("lenet5.mindir"), "--packed-weights", &at("kept")]).with(0);
    assert!(planned.stderr.starts_with("warning: --packed-weights has no effect"), "{planned:#?}");
}
