//! `mindir convert` and `mindir diff`.

use std::fs;
use std::path::Path;

use super::{digits, mindir, model};

fn at(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_string()
}

fn files(dir: &tempfile::TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

#[test]
fn models_are_copied_split_joined_and_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let [copy, split, joined, renamed] = ["a.mindir", "s", "j.mindir", "r.mindir"].map(|name| at(&dir, name));
    mindir(["convert", &lenet, &copy]).with(0).says(&["wrote", "a.mindir", "8 weights, 241 KiB"]);
    assert_eq!(fs::read(&lenet).unwrap(), fs::read(&copy).unwrap());
    mindir(["convert", &lenet, &split, "--split"]).with(0).says(&["s_graph.mindir", "s_variables/data_0"]);
    let graph = at(&dir, "s_graph.mindir");
    mindir(["diff", &lenet, &graph]).with(0);
    mindir(["convert", &graph, &joined]).with(0);
    mindir(["diff", &lenet, &joined]).with(0);
    mindir(["convert", &lenet, &renamed, "--rename", "fc3.weight=head.weight"]).with(0);
    mindir(["diff", &lenet, &renamed]).with(1).says(&["fc3.weight", "head.weight"]);
    let report = mindir(["diff", &lenet, &renamed, "--json"]).with(1).json();
    assert!(report["params"].as_array().unwrap().len() >= 2, "{report:#}");
    mindir(["convert", &lenet, &copy, "--rename", "none=x"]).with(2).complains(&["none"]);
    mindir(["convert", &lenet, &at(&dir, "x.tflite")]).with(2).complains(&[".tflite", ".onnx"]);
}

#[test]
fn dry_runs_say_the_same_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let old = at(&dir, "old.mindir");
    fs::write(&old, "old").unwrap();
    mindir(["convert", &lenet, &old, "--rebuild", "--dry-run"]).with(0).says(&["would write", "241 KiB"]);
    for (name, options) in [("s.mindir", vec!["--split"]), ("x.onnx", vec![]), ("x.air", vec![])] {
        let out = at(&dir, name);
        let args = |more: &'static [&'static str]| {
            ["convert", &lenet, &out].into_iter().chain(options.iter().copied()).chain(more.iter().copied())
        };
        let dry = mindir(args(&["--dry-run", "--json"])).with(0).json();
        assert_eq!(files(&dir), 1, "{name}");
        let mut real = mindir(args(&["--json"])).with(0).json();
        real["dry_run"] = true.into();
        assert_eq!(dry, real);
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p != Path::new(&old)).for_each(
            |path| if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() },
        );
    }
    assert_eq!(fs::read(&old).unwrap(), b"old");
    mindir(["convert", &lenet, &at(&dir, "none/x.mindir"), "--dry-run"]).with(5);
}

#[test]
fn what_has_no_form_is_named_and_the_old_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = at(&dir, "x.onnx");
    fs::write(&out, "old").unwrap();
    mindir(["convert", &model("train_momentum"), &out]).with(3).complains(&["writes"]);
    assert_eq!((fs::read(&out).unwrap().as_slice(), files(&dir)), (&b"old"[..], 1));
}

#[test]
fn a_checkpoint_fills_a_model_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let [weights, back, rebuilt] = ["w.ckpt", "b.mindir", "r.mindir"].map(|name| at(&dir, name));
    mindir(["ckpt", "convert", &lenet, &weights]).with(0).says(&["8 entries"]);
    // A value of another shape.
    mindir(["ckpt", "set", &weights, "fc1.bias", "0", "--dtype", "f32"]).with(0);
    mindir(["convert", &lenet, &back, "--ckpt", &weights]).with(2).complains(&["fc1.bias"]);
    mindir(["ckpt", "rm", &weights, "fc1.bias", "fc3.*"]).with(0);
    mindir(["ckpt", "rename", &weights, "fc2.bias", "backbone.fc2.bias"]).with(0);
    let said = ["parameters have values", "no value for: ", "fc3.weight", "not used: backbone.fc2.bias"];
    mindir(["convert", &lenet, &back, "--ckpt", &weights]).with(0).says(&said);
    mindir(["diff", &lenet, &back]).with(0);
    let strict = mindir(["convert", &lenet, &back, "--ckpt", &weights, "--strict", "--json"]).with(0).json();
    assert!(strict["ckpt"]["param_not_load"].as_array().unwrap().iter().any(|name| name == "fc2.bias"), "{strict:#}");
    mindir(["convert", &lenet, &rebuilt, "--rebuild", "--ckpt", &weights]).with(0).says(&said);
    mindir(["diff", &lenet, &rebuilt]).with(0);
}
