//! How failures are told, and how much is told at all.

use std::fs;

use super::{digits, mindir, mindir_with_bytes, model};

#[test]
fn failures_are_objects_where_json_is_asked_for() {
    let lenet = digits("lenet5.mindir");
    let xelu = super::edited(&tempfile::tempdir().unwrap(), "dense", "ReLU", b"XeLU");
    let failures: [(&[&str], i32, &str, &str); 6] = [
        (&["run", &lenet], 2, "usage", "no value for"),
        (&["run", &lenet, "--frobnicate"], 2, "usage", "--frobnicate"),
        (&["inspect", "/nowhere/m.mindir"], 5, "device", "there is no folder /nowhere"),
        (&["run", "-", "-i", "ones"], 4, "corrupt", "standard input"),
        (&["run", &lenet, "-i", "ones", "--max-memory", "1K"], 6, "limit", "memory"),
        (&["ckpt", "ls", "/nowhere.ckpt"], 5, "device", "nowhere.ckpt"),
    ];
    for (args, code, kind, message) in failures {
        let ended = mindir_with_bytes(b"hello", args.iter().chain(&["--json"])).with(code);
        let error = ended.json()["error"].clone();
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{ended:#?}");
        assert!(error["message"].as_str().unwrap().contains(message), "{ended:#?}");
        assert!(error["causes"].is_array() && ended.stderr.is_empty(), "{ended:#?}");
        // Without it they are text.
        mindir_with_bytes(b"hello", args).with(code).complains(&[message]);
    }
    drop(xelu);
}

#[test]
fn quiet_leaves_results_and_errors() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let lenet = digits("lenet5.mindir");
    let silent = |args: &[&str]| {
        let ended = mindir(args).with(0);
        assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:#?}");
    };
    silent(&["-q", "convert", &lenet, &at("a.mindir")]);
    silent(&["run", &lenet, "-i", "ones", "-o", &at("out"), "--quiet"]);
    silent(&["ckpt", "convert", &lenet, &at("w.ckpt"), "-q"]);
    silent(&["ckpt", "-q", "rm", &at("w.ckpt"), "fc1.bias"]);
    mindir(["run", &lenet, "-i", "ones", "-q"]).with(0).says(&["output 0"]);
    mindir(["convert", &lenet, &at("a.onnx"), "-q", "--json"]).with(0).says(&["a.onnx"]);
    mindir(["run", &lenet, "-q"]).with(2).complains(&["no value for"]);
    assert!(!mindir(["plan", &lenet, "-q"]).with(0).stdout.contains("--why"));
    mindir(["run", &lenet, "-i", "ones", "-q", "-v"]).with(2);
}

#[test]
fn verbose_tells_what_goes_on() {
    let lenet = digits("lenet5.mindir");
    let ended = mindir(["run", &lenet, "-i", &digits("two.png"), "-v"]).with(0);
    for part in ["read ", "lenet5.mindir", "was loaded in", "runs on cpu", "1 thread", "two.png", "8 steps planned in"]
    {
        assert!(ended.stderr.contains(part), "no {part:?} in {ended:#?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    for args in [
        &["convert", "-v", &lenet, &at("a.onnx")][..],
        &["diff", "-v", &lenet, &lenet],
        &["ckpt", "convert", &lenet, &at("a.ckpt"), "-v"],
        &["ckpt", "ls", "-v", &at("a.ckpt")],
    ] {
        assert!(mindir(args).with(0).stderr.starts_with("read "), "{args:?}");
    }
    assert_eq!(ended.stdout, mindir(["run", &lenet, "-i", &digits("two.png")]).with(0).stdout);
}

#[test]
fn what_is_piped_is_not_cut() {
    let text = mindir(["plan", &digits("lenet5.mindir")]).with(0).stdout;
    assert!(
        !text.contains('…') && text.contains("Default/network-WithLossCell/_backbone-LeNet5/conv1-Conv2d"),
        "{text}"
    );
}

#[test]
fn every_command_that_takes_a_model_says_that_it_may_be_an_onnx_file() {
    for command in ["inspect", "run", "compare", "check", "convert", "diff", "plan", "bench"] {
        for help in ["-h", "--help"] {
            mindir([command, help]).with(0).says(&["MindIR or ONNX file"]);
        }
    }
    mindir(["ckpt", "convert", "--help"]).with(0).says(&["ONNX"]);
    mindir(["--help"]).with(0).says(&["MindIR and ONNX files", "--quiet", "--verbose"]);
}

#[test]
fn a_number_of_classes_is_at_least_1() {
    for k in ["0", "-1", "x"] {
        let top = format!("--top={k}");
        mindir(["run", &model("dense"), "-i", "ones", &top]).with(2).complains(&["--top", "from 1 on"]);
    }
}

/// Whatever a command reads stays as it is, but where --force says otherwise.
#[test]
fn nothing_is_written_over_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = |name: &str| {
        fs::copy(digits("lenet5.mindir"), at(name)).unwrap();
        at(name)
    };
    let (page, report, array) = (model("m.html"), model("m.json"), model("m.npy"));
    let picture = digits("seven.png");
    let labels = at("labels.npz");
    fs::copy(digits("labels.txt"), &labels).unwrap();
    let lenet5 = digits("lenet5.mindir");
    let once = ["--time", "1ms", "--warmup", "1ms"];
    let commands: [(&str, Vec<&str>); 6] = [
        (&page, vec!["plan", &page, "--html", &page]),
        (&report, [&["bench", &report, "--save", &report][..], &once].concat()),
        (&report, [&["bench", &report, "--trace", &report][..], &once].concat()),
        (&array, vec!["run", &array, "-i", &picture, "-o", &array]),
        (&labels, vec!["run", &lenet5, "-i", &picture, "--labels", &labels, "-o", &labels]),
        (&array, vec!["run", &array, "-i", "rand:1", "-o", "-"]),
    ];
    for (file, command) in commands {
        let before = fs::read(file).unwrap();
        mindir(&command).with(2);
        assert_eq!(fs::read(file).unwrap(), before, "{command:?}");
    }
}

#[test]
fn files_end_in_what_they_are() {
    let lenet5 = digits("lenet5.mindir");
    let picture = digits("seven.png");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (text, plain) = (at("o.txt"), at("o"));
    for command in [
        vec!["run", &lenet5, "-i", &picture, "-o", &text],
        vec!["plan", &lenet5, "--html", &text],
        vec!["plan", &lenet5, "--html", &plain],
        vec!["bench", &lenet5, "--save", &text],
        vec!["bench", &lenet5, "--trace", &plain],
    ] {
        mindir(&command).with(2);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn long_arguments_are_cut() {
    let (lenet, digits) = (digits("lenet5.mindir"), "7".repeat(300));
    for flag in ["--threads", "--max-memory", "--deadline", "--max-calls", "--scale", "--shape", "--top"] {
        let ended = mindir(["run", &lenet, "-i", "ones", flag, &format!("{digits}x")]).with(2);
        assert!(ended.stderr.contains('7') && !ended.stderr.contains(&digits), "{ended:#?}");
    }
}

#[test]
fn what_packed_weights_were_good_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut b = mindir::builder::Builder::new("product");
    let x = b.input("x", mindir::Spec::fixed(mindir::DType::F32, &[8, 512]));
    let w = b.param("w", mindir::Tensor::zeros(mindir::DType::F32, &[512, 512]).unwrap());
    let y = b.op("MatMul", [x.into(), w.into(), false.into(), false.into()]).unwrap();
    let product = super::written(&dir, &b.finish(&[y]));
    let kept = dir.path().join("kept").to_str().unwrap().to_string();
    let run = |folder: &str, more: &[&str]| {
        mindir([&["run", &product, "-i", "ones", "--packed-weights", folder], more].concat()).with(0).stderr
    };
    let (first, second) = (run(&kept, &["-v"]), run(&kept, &["-v"]));
    assert!(first.contains("packed weights: 0 read, 1 written\n"), "{first}");
    assert!(second.contains("packed weights: 1 read, 0 written\n"), "{second}");
    assert_eq!(run(&kept, &[]), "");
    let unfit = run(&product, &[]);
    assert!(unfit.starts_with("warning: --packed-weights: what was packed is not kept: "), "{unfit}");
    assert_eq!(run(&product, &["-q"]), "");
}
