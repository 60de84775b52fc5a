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
    assert_eq!(mindir::npy::read(&one).unwrap().shape(), [1, 10]);
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
    let [a, b] = [0, 1].map(|i| mindir::npy::read(format!("{}/in_{i}.npy", golden("binary_int32"))).unwrap());
    let run = |names: [&str; 2], swapped: bool| {
        let arrays = if swapped { [b.clone(), a.clone()] } else { [a.clone(), b.clone()] };
        let named: Vec<_> = names.iter().map(|n| n.to_string()).zip(arrays).collect();
        mindir::npy::write_npz(&archive, &named).unwrap();
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
