//! `mindir convert` and `mindir diff`.

use std::fs;
use std::path::Path;

use mindir::builder::Builder;
use mindir::graph::Model;
use mindir::{DType, Spec, Tensor};

use super::{digits, mindir, model, written};

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
fn names_are_swapped_and_must_be_free() {
    let dir = tempfile::tempdir().unwrap();
    let [net, out] = ["net.mindir", "out.mindir"].map(|name| at(&dir, name));
    fs::copy(digits("lenet5.mindir"), &net).unwrap();
    let before = fs::read(&net).unwrap();
    let long = format!("fc1.bias={}", "x".repeat(70_000));
    let renamed = |names: &[&str], more: &[&str]| {
        let names = names.iter().flat_map(|pair| ["--rename", pair]);
        mindir(["convert", &net, &out].into_iter().chain(names).chain(more.iter().copied()))
    };
    for (names, why) in [
        (&["fc1.bias=x"][..], "an input, a node or a graph"),
        (&["fc1.bias=fc2.bias"], "another parameter"),
        (&["fc1.bias="], "empty"),
        (&[&long], "70"),
        (&["fc1.bias=a", "fc1.bias=b"], "given twice"),
    ] {
        renamed(names, &[]).with(2).complains(&[why]);
        renamed(names, &["--dry-run"]).with(2).complains(&[why]);
        assert!(!Path::new(&out).exists() && fs::read(&net).unwrap() == before);
    }
    renamed(&["fc1.bias=fc1.bias"], &[]).with(0);
    assert_eq!(fs::read(&out).unwrap(), before);
    renamed(&["fc1.bias=fc2.bias", "fc2.bias=fc1.bias"], &[]).with(0);
    mindir(["inspect", &out]).with(0);
    mindir(["convert", &net, &out, "--info", "a=b", "--info", "a=c"]).with(2).complains(&["a is given twice"]);
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
    let skipped = mindir(["convert", &lenet, &back, "--ckpt", &weights, "--skip-shapes"]).with(0);
    assert!(skipped.stderr.contains("left out fc1.bias: the shapes differ"), "{skipped:#?}");
    mindir(["ckpt", "rm", &weights, "fc1.bias", "fc3.*"]).with(0);
    mindir(["ckpt", "rename", &weights, "fc2.bias", "backbone.fc2.bias"]).with(0);
    let said = ["parameters have values", "by the prefix backbone.: fc2.bias", "no value for: ", "fc3.weight"];
    mindir(["convert", &lenet, &back, "--ckpt", &weights]).with(0).says(&said);
    mindir(["diff", &lenet, &back]).with(0);
    let strict = mindir(["convert", &lenet, &back, "--ckpt", &weights, "--strict", "--json"]).with(0).json();
    assert!(strict["ckpt"]["param_not_load"].as_array().unwrap().iter().any(|name| name == "fc2.bias"), "{strict:#}");
    mindir(["convert", &lenet, &rebuilt, "--rebuild", "--ckpt", &weights]).with(0).says(&said);
    mindir(["diff", &lenet, &rebuilt]).with(0);
}

/// The sum of an input and parameters of these names and tensors, each of one element.
fn sum(params: &[(&str, Tensor)]) -> Model {
    let mut b = Builder::new("sum");
    let mut all = b.input("x", Spec::fixed(DType::F32, &[1]));
    for (name, tensor) in params {
        let param = b.param(name, tensor.clone());
        all = b.op("Add", [all.into(), param.into()]).unwrap();
    }
    b.finish(&[all])
}

fn one() -> Tensor {
    Tensor::vector(&[1.0f32])
}

#[test]
fn a_checkpoint_that_fits_nowhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = written(&dir, &sum(&[("weight", one())]));
    let [weights, out] = ["w.ckpt", "out.mindir"].map(|name| at(&dir, name));
    mindir(["ckpt", "convert", &model, &weights]).with(0);
    mindir(["ckpt", "rename", &weights, "weight", "net.weight"]).with(0);
    mindir(["convert", &model, &out, "--ckpt", &weights]).with(0);
    fs::remove_file(&out).unwrap();
    let said = ["no parameter", "entries are net.weight", "parameters are weight"];
    mindir(["convert", &model, &out, "--ckpt", &weights, "--strict"]).with(2).complains(&said);
    mindir(["ckpt", "rename", &weights, "net.weight", "bias"]).with(0);
    for out in ["out.mindir", "out.onnx", "out.air"].map(|name| at(&dir, name)) {
        for more in [&[][..], &["--strict"], &["--dry-run"]] {
            let args = ["convert", &model, &out, "--ckpt", &weights];
            mindir(args.iter().chain(more)).with(2).complains(&["no parameter", "entries are bias"]);
        }
    }
    assert_eq!(files(&dir), 2);
}

#[test]
fn what_became_of_a_checkpoint_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let model = written(&dir, &sum(&[("a", one()), ("b", one()), ("c", one()), ("d", one())]));
    let [weights, out] = ["w.ckpt", "out.mindir"].map(|name| at(&dir, name));
    let entries = [("a", one()), ("net.b", Tensor::from_vec(&[1, 1], vec![2.0f64]).unwrap()), ("other", one())];
    let mut checkpoint: mindir::ckpt::Checkpoint = entries.into_iter().collect();
    checkpoint.insert("c", "a text");
    mindir::ckpt::write(&weights, &checkpoint, &mindir::ckpt::WriteOptions::default()).unwrap();
    let said = [
        "2 parameters have values",
        "by the prefix net.: b",
        "converted from f64 to f32: b",
        "reshaped from [1, 1] to [1]: b",
        "no value for: c, d\n",
        "not used: other, c\n",
    ];
    mindir(["convert", &model, &out, "--ckpt", &weights]).with(0).says(&said);
    let report = mindir(["convert", &model, &out, "--ckpt", &weights, "--json"]).with(0).json();
    let expected = serde_json::json!({
        "loaded": [
            {"param": "a", "entry": "a"},
            {"param": "b", "entry": "net.b", "prefix": "net.", "converted": ["f64", "f32"], "reshaped": [[1, 1], [1]]},
        ],
        "param_not_load": ["c", "d"],
        "ckpt_not_load": ["other", "c"],
    });
    assert_eq!(report["ckpt"], expected);
    let strict = mindir(["convert", &model, &out, "--ckpt", &weights, "--strict", "--json"]).with(0).json();
    assert_eq!(strict["ckpt"]["param_not_load"], serde_json::json!(["b", "c", "d"]));
    // Values are put in before parameters are renamed.
    mindir(["convert", &model, &out, "--ckpt", &weights, "--rename", "a=z"]).with(0).says(&said);
    let back = at(&dir, "back.ckpt");
    mindir(["ckpt", "convert", &out, &back]).with(0);
    mindir(["ckpt", "get", &back, "b"]).with(0).says(&["2\n"]);
    mindir(["ckpt", "get", &back, "z"]).with(0).says(&["1\n"]);
}

#[test]
fn numbers_that_a_parameter_cannot_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = written(&dir, &sum(&[("a", one())]));
    let [weights, out] = ["w.ckpt", "out.mindir"].map(|name| at(&dir, name));
    let checkpoint: mindir::ckpt::Checkpoint = [("a", Tensor::vector(&[1e300f64]))].into_iter().collect();
    mindir::ckpt::write(&weights, &checkpoint, &mindir::ckpt::WriteOptions::default()).unwrap();
    mindir(["convert", &model, &out, "--ckpt", &weights]).with(2).complains(&["a: ", "which is no f32"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn what_is_encrypted_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let plain = written(&dir, &sum(&[("weight", one())]));
    let [key, secret, out, ckpt] = ["key", "secret.mindir", "out.mindir", "w.ckpt"].map(|name| at(&dir, name));
    fs::write(&key, "0123456789ABCDEF").unwrap();
    mindir(["convert", &plain, &secret, "--encrypt", "AES-CBC", "--encrypt-key-file", &key]).with(0);
    let is = |path: &str, mode: &str| {
        let bytes = fs::read(path).unwrap();
        assert_eq!(mindir::Cipher::of(&bytes).map(|c| c.to_string()).unwrap_or_default(), mode, "{path}");
    };
    let unlocked = ["--key-file", &key];
    let with = |args: &[&str]| mindir(args.iter().chain(&unlocked));
    is(&secret, "AES-CBC");
    for more in [&[][..], &["--split"], &["--rebuild"], &["--rename", "weight=w"], &["--info", "a=b"]] {
        let to = if more.contains(&"--split") { at(&dir, "out_graph.mindir") } else { out.clone() };
        let args = ["convert", &secret, &out].into_iter().chain(more.iter().copied()).collect::<Vec<_>>();
        with(&args).with(0);
        is(&to, "AES-CBC");
        with(&["inspect", &to]).with(0);
    }
    is(&at(&dir, "out_variables/data_0"), "AES-CBC");
    with(&["convert", &secret, &secret, "--rename", "weight=w", "--force"]).with(0);
    is(&secret, "AES-CBC");
    with(&["convert", &secret, &out, "--encrypt", "sm4-cbc"]).with(0);
    is(&out, "SM4-CBC");
    with(&["convert", &secret, &out, "--decrypt"]).with(0);
    is(&out, "");
    with(&["convert", &secret, &out, "--decrypt", "--encrypt", "AES-GCM"]).with(2);
    for to in ["out.onnx", "out.air"].map(|name| at(&dir, name)) {
        with(&["convert", &secret, &to]).with(2).complains(&["encrypted with AES-CBC", "--decrypt"]);
        assert!(!Path::new(&to).exists());
        with(&["convert", &secret, &to, "--decrypt"]).with(0);
    }
    // The values of an encrypted checkpoint are a secret too.
    with(&["ckpt", "convert", &secret, &ckpt]).with(0);
    is(&ckpt, "AES-CBC");
    let named = at(&dir, "named.mindir");
    mindir(["convert", &plain, &named, "--rename", "weight=w"]).with(0);
    for more in [&[][..], &["--rebuild"]] {
        let args =
            ["convert", &named, &out, "--ckpt", &ckpt].into_iter().chain(more.iter().copied()).collect::<Vec<_>>();
        with(&args).with(0);
        is(&out, "AES-CBC");
    }
    with(&["convert", &named, &at(&dir, "out2.onnx"), "--ckpt", &ckpt]).with(2).complains(&["--decrypt"]);
}

#[test]
fn options_that_do_not_apply_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    for (out, option, value) in [
        ("x.onnx", "--rename", "fc3.weight=w"),
        ("x.onnx", "--info", "a=b"),
        ("x.onnx", "--encrypt", "AES-GCM"),
        ("x.onnx", "--data-file-size", "1M"),
        ("x.air", "--opset", "18"),
        ("x.air", "--split-above", "1"),
        ("x.mindir", "--opset", "18"),
        ("x.onnx", "--rebuild", ""),
        ("x.air", "--rebuild", ""),
    ] {
        let ending = &out[1..];
        let args = ["convert", &lenet, &at(&dir, out), option, value].map(str::to_string);
        let args = args.into_iter().filter(|a| !a.is_empty());
        mindir(args).with(2).complains(&["does not apply", ending]);
    }
    let onnx = at(&dir, "x.onnx");
    mindir(["convert", &lenet, &onnx]).with(0);
    mindir(["convert", &onnx, &at(&dir, "y.mindir"), "--rename", "fc3.weight=w"]).with(2).complains(&["--rename"]);
    assert_eq!(files(&dir), 1);
}

/// `y = x + b` with four numbers `b`.
fn biased() -> Model {
    let mut builder = Builder::new("biased");
    let x = builder.input("x", Spec::fixed(DType::F32, &[2, 4]));
    let b = builder.param("b", Tensor::vector(&[1f32, 2.0, 3.0, 4.0]));
    let y = builder.op("Add", [x.into(), b.into()]).unwrap();
    builder.finish(&[y])
}

#[test]
fn checkpoints_have_the_small_weights_of_onnx_files() {
    let dir = tempfile::tempdir().unwrap();
    let [onnx, weights, tuned] = ["m.onnx", "w.ckpt", "t.onnx"].map(|name| at(&dir, name));
    let plain = written(&dir, &biased());
    mindir(["convert", &plain, &onnx]).with(0);
    mindir(["inspect", &onnx, "--params"]).with(0).says(&["b", "f32 [4]"]);
    mindir(["ckpt", "convert", &onnx, &weights]).with(0).says(&["1 entry"]);
    let npy = at(&dir, "b.npy");
    mindir::npy::write(&npy, &Tensor::vector(&[5f32, 6.0, 7.0, 8.0])).unwrap();
    mindir(["ckpt", "set", &weights, "b", &format!("@{npy}")]).with(0);
    mindir(["convert", &onnx, &tuned, "--ckpt", &weights]).with(0).says(&["1 parameter has a value"]);
    mindir(["run", &tuned, "-i", "zeros"]).with(0).says(&["[5, 6, 7, 8, 5, 6"]);
}

#[test]
fn a_file_that_is_there_is_written_under_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    let (lenet, old, folder) = (digits("lenet5.mindir"), at(&dir, "old"), at(&dir, "folder"));
    fs::write(&old, "old").unwrap();
    fs::create_dir(&folder).unwrap();
    mindir(["convert", &lenet, &old]).with(0).says(&["old"]);
    mindir(["convert", &lenet, &folder]).with(0).says(&["folder.mindir"]);
    mindir(["convert", &lenet, &at(&dir, "new")]).with(0).says(&["new.mindir"]);
    assert_eq!(fs::read(&old).unwrap(), fs::read(&lenet).unwrap());
    assert_eq!(files(&dir), 4);
    if cfg!(target_os = "linux") {
        mindir(["convert", &lenet, "/dev/full"]).with(5).complains(&["/dev/full"]);
        assert!(!Path::new("/dev/full.mindir").exists());
    }
}

#[test]
fn a_model_is_not_replaced_by_what_is_made_of_it_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let [one, split, onnx] = ["m.mindir", "s", "m.onnx"].map(|name| at(&dir, name));
    mindir(["convert", &lenet, &one]).with(0);
    mindir(["convert", &lenet, &split, "--split"]).with(0);
    mindir(["convert", &lenet, &onnx]).with(0);
    let stem = at(&dir, "m");
    let graph = at(&dir, "s_graph.mindir");
    let refused: [&[&str]; 6] = [
        &[&one, &one],
        &[&one, &format!("{}/./m.mindir", dir.path().display())],
        &[&stem, &one, "--rebuild"],
        &[&one, &stem],
        &[&graph, &split, "--split"],
        &[&onnx, &onnx, "--opset", "18"],
    ];
    for args in refused {
        let convert = || ["convert"].iter().chain(args);
        mindir(convert()).with(2).complains(&["it would be replaced", "--force"]);
        mindir(convert().chain(&["--dry-run"])).with(0);
        mindir(convert().chain(&["--force"])).with(0);
    }
    // Another file that is there is replaced, as `cp` does; and a split model may be joined under its name.
    mindir(["convert", &lenet, &one]).with(0);
    mindir(["convert", &graph, &at(&dir, "s.mindir")]).with(0);
    mindir(["diff", &lenet, &one]).with(0);
}

#[test]
fn endings_are_known_in_any_case_and_named_where_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    for name in ["A.MINDIR", "B.Onnx", "C.AIR"] {
        mindir(["convert", &lenet, &at(&dir, name)]).with(0).says(&[name]);
        assert!(Path::new(&at(&dir, name)).exists(), "{name}");
    }
    mindir(["run", &at(&dir, "A.MINDIR"), "-i", "ones"]).with(0);
    for name in ["D.CKPT", "E.SafeTensors", "F.NPZ"] {
        mindir(["ckpt", "convert", &at(&dir, "A.MINDIR"), &at(&dir, name)]).with(0).says(&[name]);
        mindir(["ckpt", "ls", &at(&dir, name)]).with(0).says(&[&name[2..].to_lowercase()]);
    }
    let listed = [".foo files", ".mindir", ".onnx", ".air"];
    mindir(["convert", &lenet, &at(&dir, "x.foo")]).with(2).complains(&listed);
    let listed = [".foo files", ".ckpt", ".safetensors", ".npz"];
    mindir(["ckpt", "convert", &lenet, &at(&dir, "x.foo")]).with(2).complains(&listed);
    mindir(["ckpt", "convert", &lenet, &at(&dir, "x.foo"), "--format", "npz"]).with(0);
    mindir(["convert", &lenet, &at(&dir, "none/x.mindir")]).with(5).complains(&["there is no folder"]);
    mindir(["ckpt", "convert", &lenet, &at(&dir, "none/x.npz")]).with(5).complains(&["there is no folder"]);
    mindir(["convert", &lenet, "-"]).with(2).complains(&["not to standard output"]);
}

#[test]
fn flags_without_effect_are_warnings_where_the_file_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let lenet = digits("lenet5.mindir");
    let warns = |args: &[&str], what: &str| {
        let ended = mindir([&["convert", &lenet], args].concat()).with(0);
        assert!(ended.stderr.starts_with(&format!("warning: {what} has no effect: ")), "{ended:#?}");
    };
    warns(&[&at("a.onnx"), "--state-as-io"], "--state-as-io");
    warns(&[&at("a.mindir"), "--data-file-size", "1K"], "--data-file-size");
    let split = mindir(["convert", &lenet, &at("b.mindir"), "--data-file-size", "1K", "--split"]).with(0);
    assert!(split.stderr.is_empty(), "{split:#?}");
}
