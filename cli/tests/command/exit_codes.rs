use super::{digits, edited, golden, mindir, model};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n";

#[test]
fn usage_is_2() {
    for args in [
        &["frobnicate"][..],
        &["run"],
        &["run", "m", "--device", "tpu"],
        &["run", "m", "--disable-pass", "nothing"],
        &["run", "m", "--precision", "f64"],
        &["run", "m", "--threads", "0"],
        &["bench", "m", "--time", "1parsec"],
    ] {
        mindir(args).with(2);
    }
    mindir(["--help"]).with(0).says(&["Exit codes:", "inspect", "bench"]);
    mindir(["--version"]).with(0).says(&["mindir 0."]);
}

#[test]
fn missing_files_are_5() {
    for command in ["inspect", "run", "plan", "bench"] {
        mindir([command, "/nowhere/m.mindir"]).with(5).complains(&["m.mindir"]);
    }
    mindir(["run", &digits("lenet5.mindir"), "-i", "/nowhere/x.npy"]).with(5).complains(&["x.npy"]);
}

#[test]
fn files_that_are_no_models_are_4() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(digits("lenet5.mindir")).unwrap();
    for (name, bytes) in [("empty", &b""[..]), ("pointer", POINTER.as_bytes()), ("short", &whole[..whole.len() / 2])] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for command in ["inspect", "run"] {
            mindir([command, path.to_str().unwrap()]).with(4).complains(&[name]);
        }
    }
    mindir(["inspect", dir.path().join("pointer").to_str().unwrap()]).complains(&["git-lfs"]);
}

#[test]
fn files_that_are_no_arrays_are_4() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.npy", "x.png"] {
        let path = dir.path().join(name);
        std::fs::write(&path, b"nothing of the kind").unwrap();
        mindir(["run", &digits("lenet5.mindir"), "-i", path.to_str().unwrap()]).with(4).complains(&[name]);
    }
}

#[test]
fn arrays_and_pictures_that_are_not_supported_are_3() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        mindir(["run", &digits("lenet5.mindir"), "-i", path.to_str().unwrap()])
    };
    let header = |kind: &str| format!("{{'descr': {kind}, 'fortran_order': False, 'shape': (1,), }}\n");
    for (kind, found) in [("'<U8'", "type <U8"), ("'<f16'", "type <f16"), ("[('a', '<f4')]", "structured")] {
        let text = header(kind);
        let bytes = [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &[0; 32]].concat();
        run("x.npy", &bytes).with(3).complains(&["x.npy: expected numbers or truth values", found]);
    }
    let icon = b"\0\0\x01\0\x01\0\0\0";
    for name in ["x.png", "x.ico"] {
        run(name, icon).with(3).complains(&[&format!("{name}: expected a picture (png"), "format ico"]);
    }
    let cut = &std::fs::read(digits("two.png")).unwrap()[..60];
    run("x.png", cut).with(4).complains(&["x.png: expected a picture", "format png, found one", "caused by: "]);
}

#[test]
fn what_is_no_input_says_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.npy");
    std::fs::write(&path, b"").unwrap();
    let (dense, empty) = (model("dense"), path.to_str().unwrap());
    mindir(["run", &dense, "-i", empty])
        .with(4)
        .complains(&["expected an array of NumPy", "ends inside of its header"]);
    mindir(["run", &dense, "-i", ""]).with(2).complains(&["expected a .npy", "found nothing"]);
    mindir(["run", &dense, "-i", "x="]).with(2).complains(&["expected a .npy", "found nothing"]);
    mindir(["run", &dense, "--mean", "0,a"]).with(2).complains(&["--mean", "expected a finite number, found \"a\""]);
    mindir(["run", &dense, "--mean", "inf"]).with(2).complains(&["--mean", "expected a finite number"]);
}

#[test]
fn threads_are_bounded() {
    mindir(["run", &model("dense"), "-i", "ones", "--threads", "4097"]).with(2).complains(&["from 1 to 4096"]);
    mindir(["run", &model("dense"), "-i", "ones", "--threads", "4096"]).with(0);
}

/// A message of ONNX's format: its fields with their numbers, those of bytes alone.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let field = |(number, bytes): &(u8, &[u8])| {
        let head = [number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        head.into_iter().chain(bytes.iter().copied()).collect::<Vec<u8>>()
    };
    fields.iter().flat_map(field).collect()
}

/// A number as a field.
fn number(field: u8, value: u8) -> [u8; 2] {
    [field << 3, value]
}

#[test]
fn weights_of_types_without_tensors_are_3() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.onnx");
    let run = |element: u8, bytes: &[u8]| {
        let weight = [&number(1, 2)[..], &number(2, element), &message(&[(8, b"w"), (9, bytes)])].concat();
        let node = message(&[(1, b"w"), (2, b"y"), (4, b"Identity")]);
        let graph = message(&[(1, &node), (2, b"net"), (5, &weight), (12, &message(&[(1, b"y")]))]);
        let model = [&number(1, 10)[..], &message(&[(7, &graph), (8, &number(2, 21))])].concat();
        std::fs::write(&path, model).unwrap();
        mindir(["run", path.to_str().unwrap()])
    };
    // Those of few bits are held in types that have all their numbers.
    for (element, bytes) in [(3, 2), (17, 2), (20, 2), (22, 1), (23, 1)] {
        run(element, &vec![0; bytes]).with(0);
    }
    run(8, &[0; 2]).with(3).complains(&["string"]);
    run(99, &[0; 2]).with(4);
}

#[test]
fn unknown_operators_are_3() {
    let dir = tempfile::tempdir().unwrap();
    let path = edited(&dir, "dense", "ReLU", b"XeLU");
    for command in ["run", "plan", "bench"] {
        mindir([command, &path, "-i", "ones"].iter().take(if command == "plan" { 2 } else { 4 }))
            .with(3)
            .complains(&["1 operator not supported", "XeLU at "]);
    }
}

#[test]
fn operators_that_refuse_what_the_model_declares_are_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refused.mindir");
    let mut b = mindir::builder::Builder::new("refused");
    let x = b.input("x", mindir::Spec::fixed(mindir::DType::C64, &[2]));
    let y = ["Floor", "Exp", "Ceil"].map(|op| b.op(op, [x.into()]).unwrap());
    mindir::export(&b.finish(&y), &path, &mindir::ExportOptions::default()).unwrap();
    let path = path.to_str().unwrap();
    for command in [&["run", path, "-i", "zeros"][..], &["plan", path]] {
        mindir(command).with(3).complains(&["2 operators refuse", "Floor(c64 [2])", "Ceil(c64 [2])"]);
    }
    mindir(["inspect", path, "--strict"])
        .with(3)
        .says(&["no: 2 nodes of 2 operators", "expected a real type, found c64"]);
}

#[test]
fn wrong_inputs_are_2_and_name_the_expected() {
    let lenet = digits("lenet5.mindir");
    mindir(["run", &lenet]).with(2).complains(&["no value for", "f32 [1,1,32,32]"]);
    let ints = format!("{}/in_0.npy", golden("binary_int32"));
    mindir(["run", &lenet, "-i", &ints]).with(2).complains(&["expected f32", "found i32"]);
    mindir(["run", &lenet, "-i", "ones", "--shape", "1,1,30,30"]).with(2).complains(&["[1, 1, 30, 30]"]);
    mindir(["run", &lenet, "-i", "ones", "--shape", "32,32"]).with(2).complains(&["f32 [32, 32]"]);
    mindir(["run", &lenet, "-i", &digits("two.png"), "-i", &ints]).with(2).complains(&["no input left"]);
    mindir(["run", &lenet, "-i", "rand:-1"]).with(2).complains(&["rand:-1", "the seed"]);
    mindir(["run", &lenet, "-i", "nobody=ones"]).with(2).complains(&["no input is called nobody", "f32 [1,1,32,32]"]);
    let (a, b) = (format!("{}/in_0.npy", golden("dense")), model("binary_int32"));
    mindir(["run", &b, "-i", &a]).with(2);
}

#[test]
fn limits_are_6() {
    let (loops, lenet) = (model("cf_while"), digits("lenet5.mindir"));
    for command in ["run", "bench", "check"] {
        for limit in [["--max-memory", "16K"], ["--deadline", "0"], ["--max-plan-nodes", "1"]] {
            mindir([command, &lenet, "-i", "ones", limit[0], limit[1]]).with(6).complains(&[]);
        }
    }
    mindir(["plan", &lenet, "--max-memory", "16K"]).with(6).complains(&["memory", "the limit is 16384"]);
    mindir(["plan", &lenet, "--max-plan-nodes", "1"]).with(6).complains(&["nodes of a plan", "the limit is 1"]);
    mindir(["plan", &lenet, "--deadline", "0s"]).with(6).complains(&["time"]);
    let inputs = [0, 1].map(|i| format!("{}/in_{i}.npy", golden("cf_while")));
    let calls = ["run", &loops, "-i", &inputs[0], "-i", &inputs[1], "--max-calls"];
    mindir(calls.iter().chain(&["1"])).with(6).complains(&["calls", "the limit is 1"]);
    mindir(calls.iter().chain(&["1000"])).with(0);
    mindir(["compare", &lenet, &golden("lenet5"), "--deadline", "0"]).with(6).complains(&["time"]);
    mindir(["run", &lenet, "-i", "ones", "--max-memory", "1GiB", "--deadline", "1min"]).with(0);
}

#[test]
fn sizes_beyond_all_memory_are_6() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exp.mindir");
    let mut b = mindir::builder::Builder::new("exp");
    let open = mindir::Spec {
        dtype: Some(mindir::DType::F32),
        dims: Some([const { mindir::Dim::Unknown }; 2].into_iter().collect()),
    };
    let x = b.input("x", open);
    let y = b.op("Exp", [x.into()]).unwrap();
    let z = b.op("ReduceSum", [y.into()]).unwrap();
    mindir::export(&b.finish(&[y, z]), &path, &mindir::ExportOptions::default()).unwrap();
    let path = path.to_str().unwrap();
    for shape in ["8388608,8388608", "1000000000,1000000000", "4000000000,4000000000"] {
        for fill in ["zeros", "ones", "rand"] {
            mindir(["run", path, "-i", fill, "--shape", shape]).with(6).complains(&["memory"]);
        }
        mindir(["run", path, "-i", "zeros", "--shape", shape, "--max-memory", "1G"]).with(6).complains(&["memory"]);
        mindir(["plan", path, "--shape", shape, "--max-memory", "1G"]).with(6).complains(&["memory"]);
        mindir(["bench", path, "--shape", shape]).with(6).complains(&["memory"]);
        let planned = mindir(["plan", path, "--shape", shape]);
        assert!([0, 6].contains(&planned.code), "{planned:#?}");
    }
}

/// A file that no memory holds is a limit, whatever it is read for.
#[cfg(target_os = "linux")]
#[test]
fn files_beyond_all_memory_are_6() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.png");
    if std::fs::File::create(&large).unwrap().set_len(8 << 40).is_err() {
        // A file system without files of this length.
        return;
    }
    let large = large.to_str().unwrap();
    let lenet = digits("lenet5.mindir");
    mindir(["run", &lenet, "-i", large]).with(6).complains(&["large.png: out of memory"]);
    mindir(["run", &lenet, "-i", "ones", "--labels", large]).with(6).complains(&["large.png: out of memory"]);
}

#[test]
fn pictures_must_fit_or_be_resized() {
    let (model, picture) = (model("cnn_static"), digits("two.png"));
    mindir(["run", &model, "-i", &picture]).with(2).complains(&["32×32", "16×16", "--resize"]);
    mindir(["run", &model, "-i", &picture, "--resize"]).with(0);
    mindir(["run", &model, "-i", &picture, "--resize", "--gray"]).with(2).complains(&["3 channels, 1"]);
    let three = ["--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2", "--bgr", "--scale", "1/127.5"];
    mindir(["run", &model, "-i", &picture, "--resize"].iter().chain(&three)).with(0);
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn devices_that_are_not_built_say_how_to_get_them() {
    mindir(["run", &digits("lenet5.mindir"), "-i", "ones", "--device", "wgpu"]).with(5).complains(&["feature `wgpu`"]);
}

#[test]
fn labels_must_fit() {
    let labels = digits("labels.txt");
    mindir(["run", &model("cnn_static"), "-i", "ones", "--labels", &labels]).with(2).complains(&["10 columns"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_5() {
    let (lenet, dense) = (digits("lenet5.mindir"), golden("dense"));
    let checkpoint = format!("{}/../loader/tests/data/ckpt/append.ckpt", env!("CARGO_MANIFEST_DIR"));
    for args in [
        &["inspect", &lenet][..],
        &["inspect", &lenet, "--json"],
        &["run", &lenet, "-i", "ones"],
        &["compare", &model("dense"), &dense, "--json"],
        &["diff", &lenet, &model("dense")],
        &["plan", &lenet],
        &["bench", &lenet, "--time", "10ms"],
        &["ckpt", "ls", &checkpoint],
        &["ckpt", "get", &checkpoint, "step_num"],
        &["ops"],
        &["doctor", "--quick"],
        &["completions", "bash"],
        &["--help"],
        &["run", "--help"],
        &["--version"],
    ] {
        super::mindir_on_full_disk(args).with(5).complains(&["standard output"]);
    }
}

/// One message, and none of what writes archives.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_an_archive_is_5() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.npz");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let ended = mindir(["run", &model("dense"), "-i", "ones", "-o", path.to_str().unwrap()]).with(5);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    ended.complains(&["out.npz", "No space left"]);
}
