use mindir::npy;

use super::{digits, golden, mindir, model};

#[test]
fn digits_are_recognised() {
    let (lenet, labels) = (digits("lenet5.mindir"), digits("labels.txt"));
    for digit in ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"] {
        let picture = digits(&format!("{digit}.png"));
        let ended = mindir(["run", &lenet, "-i", &picture, "--labels", &labels, "--top", "1"]).with(0);
        assert!(ended.stdout.starts_with(digit), "{ended:#?}");
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:#?}");
    }
}

#[test]
fn results_are_summed_up() {
    let ended = mindir(["run", &digits("lenet5.mindir"), "-i", "rand:7"]).with(0);
    ended.says(&["output 0", "f32 [1, 10]", "min ", "max ", "mean "]);
    let json = mindir(["run", &digits("lenet5.mindir"), "-i", "rand:7", "--top", "3", "--json"]).with(0).json();
    assert_eq!(json["outputs"][0]["shape"], serde_json::json!([1, 10]));
    assert_eq!(json["top"][0]["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn seeds_repeat() {
    let run = |seed: &str| mindir(["run", &digits("lenet5.mindir"), "-i", seed]).with(0).stdout;
    assert_eq!(run("rand:7"), run("rand:7"));
    assert_ne!(run("rand:7"), run("rand:8"));
    assert_ne!(run("ones"), run("zeros"));
}

#[test]
fn results_are_stored_as_npy_and_npz() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, archive) = (dir.path().join("out"), dir.path().join("out.npz"));
    let input = format!("{}/in_0.npy", golden("dense"));
    for to in [&folder, &archive] {
        mindir(["run", &model("dense"), "-i", &input, "-o", to.to_str().unwrap()]).with(0).says(&["written to"]);
    }
    let one = dir.path().join("one.npy");
    let to = one.to_str().unwrap();
    mindir(["run", &model("dense"), "-i", &input, "-o", to]).with(2).complains(&["one.npy", "4 results", ".npz"]);
    assert!(!one.exists());
    let lenet = digits("lenet5.mindir");
    for nameless in [".npz", ".NPY"].map(|name| dir.path().join(name)) {
        let args = ["run", &lenet, "-i", "ones", "-o", nameless.to_str().unwrap()];
        mindir(args).with(2).complains(&["the name has nothing before its ending"]);
        assert!(!nameless.exists());
    }
    mindir(["run", &lenet, "-i", "ones", "-o", to]).with(0).says(&["1 file written to"]);
    assert_eq!(npy::read(&one).unwrap().shape(), [1, 10]);
    mindir(["run", &model("dense"), "-i", to, "-o", to]).with(2).complains(&["4 results"]);
    mindir(["run", &lenet, "-i", to, "-o", to]).with(2).complains(&["this command reads it and would replace it"]);
    assert!((0..4).all(|i| folder.join(format!("out_{i}.npy")).exists()));
    // The archive's arrays as inputs: out_0 has the wrong shape for the model's only input, and there are too many.
    mindir(["run", &model("dense"), "-i", archive.to_str().unwrap()]).with(2).complains(&["4 arrays for the inputs"]);
}

#[test]
fn a_step_runs_several_times_and_its_parameters_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (step, path) = (digits("train_step.mindir"), dir.path().join("after.ckpt"));
    let to = path.to_str().unwrap();
    let run = |more: &[&str]| mindir([&["run", &step, "-i", "zeros"], more].concat());
    run(&["--steps", "3", "--save-params", to]).with(0).says(&["output 0", "f32 []"]);
    let after = mindir::ckpt::read(&path, &mindir::ckpt::ReadOptions::default()).unwrap();
    let steps = after.get("global_step").unwrap().array().unwrap().tensor().unwrap();
    assert_eq!(steps.to_i64s().unwrap(), [3]);
    run(&["--save-params", "weights.bin"]).with(2).complains(&["cannot write .bin files"]);
    run(&["--save-params", &step]).with(2).complains(&["cannot write .mindir files"]);
    run(&["--save-params", "/nowhere/a.ckpt"]).with(5).complains(&["there is no folder"]);
    run(&["--steps", "0"]).with(2);
    // The parameters go into another run.
    let more = dir.path().join("more.ckpt");
    run(&["--steps", "2", "--params", to, "--save-params", more.to_str().unwrap()]).with(0);
    let after = mindir::ckpt::read(&more, &mindir::ckpt::ReadOptions::default()).unwrap();
    let steps = after.get("global_step").unwrap().array().unwrap().tensor().unwrap();
    assert_eq!(steps.to_i64s().unwrap(), [5]);
    let plain = model("binary_int32");
    for flag in ["--params", "--save-params"] {
        mindir(["run", &plain, "-i", "ones", flag, to]).with(2).complains(&[flag, "the model has no parameters"]);
    }
}

#[test]
fn a_dump_is_of_the_last_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let step = digits("train_step.mindir");
    let run = |name: &str, steps: &str| {
        mindir(["run", &step, "-i", "ones", "--steps", steps, "--dump", &at(name), "-o", &at(&format!("{name}.npy"))])
            .with(0);
        std::fs::read_to_string(format!("{}/index.tsv", at(name))).unwrap()
    };
    let index = run("one", "1");
    assert_eq!(run("three", "3"), index);
    let loss = npy::read(at("three.npy")).unwrap();
    let files = index.lines().skip(1).filter_map(|line| line.split('\t').next());
    assert!(files.clone().any(|file| npy::read(format!("{}/{file}", at("three"))).unwrap() == loss));
    assert!(!files.clone().any(|file| npy::read(format!("{}/{file}", at("one"))).unwrap() == loss));
}

/// A cache of keys, and a counter, as inputs and results of ONNX files: given by hand, by parameters, and carried along.
#[test]
fn state_in_a_file_without_state_goes_from_run_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let onnx = |golden: &str| {
        let path = at(&format!("{golden}.onnx"));
        mindir(["convert", &model(golden), &path, "--state-as-io"]).with(0);
        path
    };
    let kv = onnx("state_kv");
    let golden = golden("state_kv");
    let inputs = |step: usize| [0, 1].map(|i| format!("{golden}/step_{step}/in_{i}.npy"));
    let is_right = |out: &str, step: usize| {
        let [ours, theirs] = [format!("{out}/out_0.npy"), format!("{golden}/step_{step}/out_0.npy")]
            .map(|path| npy::read(path).unwrap().to_f64s().unwrap());
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{step}: {ours:?} {theirs:?}");
    };
    let mut last: Option<String> = None;
    for step in 0..4 {
        let [x, i] = inputs(step);
        let (out, kept) = (at(&format!("by_hand_{step}")), at("kept.ckpt"));
        let own = last.iter().map(|last| format!("kcache={last}/out_1.npy")).collect::<Vec<_>>();
        let own = own.iter().flat_map(|own| ["-i", own]);
        mindir(["run", &kv, "-i", &x, "-i", &i, "-o", &out].into_iter().chain(own)).with(0);
        is_right(&out, step);
        last = Some(out.clone());
        let before = if step > 0 { vec!["--params", &kept] } else { vec![] };
        let run = ["run", &kv, "-i", &x, "-i", &i, "-o", &out, "--carry", "kcache_out=kcache", "--save-params", &kept];
        mindir(run.into_iter().chain(before)).with(0);
        is_right(&out, step);
    }
    let after = |path: String| npy::read(path).unwrap();
    assert_eq!(after(format!("{}/out_1.npy", last.unwrap())), after(format!("{golden}/after/kcache.npy")));

    let counter = onnx("state_counter");
    let steps = |model: &str, more: &[&str]| {
        let out = at("out");
        mindir([&["run", model, "-i", "ones", "--steps", "3", "-o", &out], more].concat()).with(0);
        after(format!("{out}/out_0.npy"))
    };
    let results = mindir(["inspect", &counter, "--json"]).json();
    let state = results["outputs"].as_array().unwrap().last().unwrap()["name"].as_str().unwrap().to_string();
    let pair = format!("{state}={}", state.strip_suffix("_out").unwrap());
    assert_eq!(steps(&counter, &["--carry", &pair]), steps(&model("state_counter"), &[]));
    assert_ne!(steps(&counter, &[]), steps(&model("state_counter"), &[]));
}

#[test]
fn what_cannot_be_carried_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let kv = dir.path().join("kv.onnx");
    let kv = kv.to_str().unwrap();
    mindir(["convert", &model("state_kv"), kv, "--state-as-io"]).with(0);
    let carry = |pairs: &str| mindir(["run", kv, "-i", "ones", "--steps", "2", "--carry", pairs]);
    carry("kcache_out=kcache").with(0);
    carry("1=kcache").with(0);
    carry("kcache_out=nobody").with(2).complains(&["no input is called nobody", "kcache f32 [4,2]"]);
    carry("nobody=kcache").with(2).complains(&["no result is called nobody"]);
    carry("kcache_out").with(2).complains(&["expected OUT=IN"]);
    carry("output=i").with(2).complains(&["expected i32 [] for input i, found f32 [2]"]);
    carry("output=kcache").with(2).complains(&["expected f32 [4,2] for input kcache, found f32 [2]"]);
    carry("1=kcache,1=kcache").with(2).complains(&["has a result already"]);
    mindir(["run", kv, "-i", "ones", "--carry", "1=kcache"]).with(2).complains(&["no effect on one run"]);
    let x = format!("kcache={}/step_0/in_0.npy", golden("state_kv"));
    mindir(["run", kv, "-i", "ones", "-i", &x])
        .with(2)
        .complains(&["input kcache: expected f32 [4,2], found f32 [1, 2]"]);
    // A cell whose state is an input like others.
    let mut b = mindir::builder::Builder::new("sum");
    let [x, s] = ["x", "s"].map(|name| b.input(name, mindir::Spec::fixed(mindir::DType::F32, &[2])));
    let sum = b.op("Add", [x.into(), s.into()]).unwrap();
    let sum = super::written(&dir, &b.finish(&[sum]));
    let args = ["run", &sum, "-i", "x=ones", "-i", "s=zeros", "--steps", "4", "--carry", "0=s", "--json"];
    assert_eq!(mindir(args).with(0).json()["outputs"][0]["mean"], 4.0);
}

/// Also the folders and files of results are tried before anything runs.
#[cfg(target_os = "linux")]
#[test]
fn files_that_cannot_be_written_are_found_before_the_run() {
    let lenet = digits("lenet5.mindir");
    for flags in [
        ["-o", "/proc"],
        ["-o", "/proc/out.npy"],
        ["-o", "/proc/out"],
        ["--dump", "/proc"],
        ["--save-params", "/proc/a.ckpt"],
    ] {
        // The deadline would end the run.
        let args = ["run", &lenet, "-i", "ones", "--deadline", "0"];
        mindir(args.into_iter().chain(flags)).with(5).complains(&["/proc"]);
    }
}

#[test]
fn inputs_go_by_order_or_name() {
    let dir = golden("binary_int32");
    let (a, b) = (format!("{dir}/in_0.npy"), format!("{dir}/in_1.npy"));
    let ordered = mindir(["run", &model("binary_int32"), "-i", &a, "-i", &b]).with(0).stdout;
    let json = mindir(["inspect", &model("binary_int32"), "--json"]).json();
    let name = |i: usize| json["inputs"][i]["name"].as_str().unwrap().to_string();
    let named = [format!("{}={b}", name(1)), format!("{}={a}", name(0))];
    assert_eq!(mindir(["run", &model("binary_int32"), "-i", &named[0], "-i", &named[1]]).with(0).stdout, ordered);
    let short = format!("args1={b}");
    assert_eq!(mindir(["run", &model("binary_int32"), "-i", &short, "-i", &a]).with(0).stdout, ordered);
}

#[test]
fn shapes_can_be_given_where_they_are_open() {
    let model = model("cnn_dynamic");
    mindir(["run", &model, "-i", "rand"]).with(2).complains(&["the shape is not known", "--shape"]);
    mindir(["run", &model, "-i", "rand", "--shape", "3,3,20,24"]).with(0).says(&["f32 [3, 5]"]);
}

#[test]
fn every_node_can_be_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = dir.path().join("nodes");
    mindir(["run", &digits("lenet5.mindir"), "-i", "ones", "--dump", nodes.to_str().unwrap()]).with(0);
    let index = std::fs::read_to_string(nodes.join("index.tsv")).unwrap();
    let files: Vec<&str> = index.lines().skip(1).filter_map(|l| l.split('\t').next()).collect();
    assert!(files.len() > 8, "{index}");
    assert!(files.iter().all(|f| nodes.join(f).exists()), "{index}");
    assert!(index.contains("f32 [1, 6, 14, 14]"), "{index}");
}

#[test]
fn passes_can_be_left_out() {
    let run =
        |extra: &[&str]| mindir(["run", &digits("lenet5.mindir"), "-i", "ones"].iter().chain(extra)).with(0).stdout;
    let first = |text: &str| text.split("min ").nth(1).unwrap()[..4].to_string();
    assert_eq!(first(&run(&[])), first(&run(&["--disable-pass", "all", "--threads", "2"])));
}

#[test]
fn recorded_preprocessing_needs_no_flags() {
    let file = |name: &str| format!("{}/../tests/preprocess/shrink/{name}", env!("CARGO_MANIFEST_DIR"));
    let (model, picture, array) = (file("model.mindir"), file("picture.png"), file("expected.npy"));
    mindir(["inspect", &model]).with(0).says(&["prepares", "image: Decode, Resize([9, 13], Linear), HwcToChw"]);
    let by_picture = mindir(["run", &model, "-i", &picture]).with(0).stdout;
    assert_eq!(by_picture, mindir(["run", &model, "-i", &array]).with(0).stdout);
    mindir(["run", &model, "-i", &picture, "--scale", "1"]).with(2).complains(&["--resize"]);
}

#[test]
fn arrays_go_by_name_or_by_order_but_not_by_half() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("in.npz");
    let [a, b] = [0, 1].map(|i| npy::read(format!("{}/in_{i}.npy", golden("binary_int32"))).unwrap());
    let run = |names: [&str; 2], swapped: bool| {
        let arrays = if swapped { [b.clone(), a.clone()] } else { [a.clone(), b.clone()] };
        let named: Vec<_> = names.iter().map(|n| n.to_string()).zip(arrays).collect();
        npy::write_npz(&archive, &named).unwrap();
        mindir(["run", &model("binary_int32"), "-i", archive.to_str().unwrap()])
    };
    let json = mindir(["inspect", &model("binary_int32"), "--json"]).json();
    let full = [0, 1].map(|i| json["inputs"][i]["name"].as_str().unwrap().to_string());
    let short = full.each_ref().map(|n| n.rsplit(':').next().unwrap());
    let expected = run(["arr_0", "arr_1"], false).with(0).stdout;
    assert_eq!(run([&full[1], &full[0]], true).with(0).stdout, expected);
    assert_eq!(run([short[1], short[0]], true).with(0).stdout, expected);
    run([short[1], "typo"], true).with(2).complains(&["typo is none of the inputs"]);
}

#[test]
fn a_shape_is_given_once_and_fits_into_memory() {
    let model = model("cnn_dynamic");
    let twice = ["--shape", "3,3,20,24", "--shape", "1,3,20,24"];
    mindir(["run", &model, "-i", "rand"].iter().chain(&twice)).with(2).complains(&["has a shape already"]);
    for dims in ["4611686018427387904,3,20,24", "9999999999,99999,20,24"] {
        for fill in ["rand", "ones", "zeros"] {
            let ended = mindir(["run", &model, "-i", fill, "--shape", dims]).with(6).complains(&["memory"]);
            assert!(!ended.stderr.contains(&u64::MAX.to_string()), "{ended:#?}");
        }
    }
}
