use std::fs;
use std::path::{Path, PathBuf};

use mindir::builder::Builder;
use mindir::{DType, Spec, Tensor, npy};

use super::{copy, digits, golden, mindir, model, written};

/// A copy of a golden in a folder of its own.
fn copied(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(&golden(name)), dir.path());
    dir
}

fn compared(name: &str, dir: &tempfile::TempDir) -> super::Ended {
    mindir(["compare", &model(name), dir.path().to_str().unwrap()])
}

#[test]
fn results_without_file_and_files_without_result_differ() {
    let dir = copied("dense");
    let at = |name: &str| dir.path().join(name);
    fs::copy(at("out_3.npy"), at("out_4.npy")).unwrap();
    compared("dense", &dir).with(1).says(&["out_4", "no such result", "1 of 5 differ"]);
    fs::remove_file(at("out_4.npy")).unwrap();
    fs::remove_file(at("out_1.npy")).unwrap();
    compared("dense", &dir).with(1).says(&["out_1", "there is no file for this result", "1 of 4 differ"]);
    (0..4).for_each(|i| drop(fs::remove_file(at(&format!("out_{i}.npy")))));
    compared("dense", &dir).with(2).complains(&["there is no out_0.npy"]);
}

#[test]
fn inputs_are_those_of_the_model() {
    let dir = copied("dense");
    let at = |name: &str| dir.path().join(name);
    fs::copy(at("in_0.npy"), at("in_1.npy")).unwrap();
    compared("dense", &dir).with(2).complains(&["expected 1 inputs", "in_0.npy, in_1.npy"]);
    fs::remove_file(at("in_0.npy")).unwrap();
    compared("dense", &dir).with(2).complains(&["expected 1 inputs", "found in_1.npy"]);
}

#[test]
fn no_set_is_passed_over() {
    let dir = copied("cf_while");
    let at = |name: &str| dir.path().join(name);
    copy(&at("case_2"), &at("case_3"));
    compared("cf_while", &dir).with(2).complains(&["meta.json does not list case_3"]);
    fs::remove_dir_all(at("case_3")).unwrap();
    fs::remove_dir_all(at("case_1")).unwrap();
    compared("cf_while", &dir).with(2).complains(&["case_1 is missing"]);
    fs::remove_dir_all(at("case_2")).unwrap();
    compared("cf_while", &dir).with(2).complains(&["meta.json lists case_1"]);
    fs::remove_file(at("meta.json")).unwrap();
    compared("cf_while", &dir).with(0);
}

#[test]
fn what_is_nearly_a_set_is_named() {
    for odd in ["case_01", "case-1", "case_x", "Case_1", "more"] {
        let dir = copied("cf_while");
        copy(&dir.path().join("case_1"), &dir.path().join(odd));
        compared("cf_while", &dir).with(2).complains(&["expected in_0.npy", "folders case_1", &format!("found {odd}")]);
    }
    for odd in ["out_01.npy", "out_x.npy", "OUT_0.NPY", "case_1/in-0.npy", "case_1/out.npz"] {
        let dir = copied("cf_while");
        fs::copy(dir.path().join("out_0.npy"), dir.path().join(odd)).unwrap();
        let file = odd.strip_prefix("case_1/").unwrap_or(odd);
        compared("cf_while", &dir).with(2).complains(&[&format!("found {file}")]);
    }
    let dir = copied("cf_while");
    fs::write(dir.path().join("README.txt"), "about these").unwrap();
    compared("cf_while", &dir).with(0);
}

#[test]
fn tuples_of_numbers_have_a_file_for_each() {
    mindir(["compare", &model("dyn_len_tuple"), &golden("dyn_len_tuple")]).with(0).says(&["case_1", "equal"]);
    let dir = copied("dyn_len_tuple");
    fs::remove_file(dir.path().join("in_2.npy")).unwrap();
    compared("dyn_len_tuple", &dir).with(2).complains(&["expected 3 inputs", "found in_0.npy, in_1.npy;"]);
    npy::write(dir.path().join("in_2.npy"), &Tensor::scalar(1.5f32)).unwrap();
    compared("dyn_len_tuple", &dir).with(2).complains(&["in_2.npy", "expected an integer"]);
}

#[test]
fn what_is_meant_to_differ_is_shown_and_does_not_count() {
    let told = mindir(["compare", &model("special_values"), &golden("special_values")]);
    told.with(0).says(&["meant", "Sign(NaN)", "equal"]);
    let dir = copied("special_values");
    fs::remove_file(dir.path().join("out_8.npy")).unwrap();
    compared("special_values", &dir).with(1).says(&["there is no file for this result", "1 of 12 differ"]);
    fs::write(dir.path().join("meta.json"), r#"{"differs": [8]}"#).unwrap();
    compared("special_values", &dir).with(4).complains(&["meta.json", "differs"]);
}

#[test]
fn parameters_without_file_differ() {
    let dir = copied("counter");
    fs::remove_file(dir.path().join("after/total.npy")).unwrap();
    compared("counter", &dir).with(1).says(&["after", "total", "there is no file"]);
}

#[test]
fn tolerances_are_numbers_from_0_on() {
    for wrong in ["-1", "nan", "inf", "x"] {
        for option in ["--tolerance", "--atol", "--rtol"] {
            mindir(["compare", &model("dense"), &golden("dense"), &format!("{option}={wrong}")]).with(2);
        }
    }
    let dir = copied("dense");
    fs::write(dir.path().join("meta.json"), r#"{"tolerance": "small"}"#).unwrap();
    compared("dense", &dir).with(4).complains(&["meta.json", "tolerance"]);
}

/// A folder with the model `(a − b, relu(b))` of inputs that are declared as b, unread and a, with inputs and results.
fn out_of_order() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut b = Builder::new("out of order");
    let [second, _unread, first] = ["b", "unread", "a"].map(|name| b.input(name, Spec::fixed(DType::F32, &[2])));
    let difference = b.op("Sub", [first.into(), second.into()]).unwrap();
    let negative = b.op("Neg", [difference.into()]).unwrap();
    let relu = b.op("ReLU", [second.into()]).unwrap();
    let model = written(&dir, &b.finish(&[negative, relu]));
    let arrays = [("in_0", [1.0f32, -2.0]), ("in_1", [0.0; 2]), ("in_2", [10.0, 20.0]), ("out_0", [-9.0, -22.0])];
    for (name, x) in arrays.into_iter().chain([("out_1", [1.0, 0.0])]) {
        npy::write(dir.path().join(format!("{name}.npy")), &Tensor::vector(&x)).unwrap();
    }
    (dir, model)
}

fn dump(dir: &tempfile::TempDir, model: &str) {
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let inputs = ["in_0.npy", "in_1.npy", "in_2.npy"].map(at);
    let [a, b, c] = &inputs;
    mindir(["run", model, "-i", a, "-i", b, "-i", c, "--dump", &at("nodes")]).with(0);
}

/// Files of the dump in execution order.
fn dumped(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let nodes = dir.path().join("nodes");
    let index = fs::read_to_string(nodes.join("index.tsv")).unwrap();
    index.lines().skip(1).map(|line| nodes.join(line.split('\t').next().unwrap())).collect()
}

#[test]
fn dumps_hold_the_results_of_nodes_in_order_whatever_inputs_are_read_first() {
    let (dir, model) = out_of_order();
    dump(&dir, &model);
    let got: Vec<Tensor> = dumped(&dir).iter().map(|path| npy::read(path).unwrap()).collect();
    let expected = [[9.0f32, 22.0], [-9.0, -22.0], [1.0, 0.0]].map(|x| Tensor::vector(&x));
    assert_eq!(got, expected);
    let path = dir.path().to_str().unwrap();
    mindir(["compare", &model, path, "--bisect"]).with(0).says(&["equal: 3 nodes agree"]);
    // A wrong first node is found before the result that it makes wrong.
    let wrong = Tensor::vector(&[0.0f32, 0.0]);
    dumped(&dir).iter().take(2).for_each(|path| npy::write(path, &wrong).unwrap());
    let found = mindir(["compare", &model, path, "--bisect", "--json"]).with(1).json();
    assert_eq!(found["nodes"]["first_difference"]["difference"]["max_abs"], 22.0);
}

#[test]
fn bisection_does_not_pass_over_what_it_cannot_compare() {
    let (dir, model) = out_of_order();
    dump(&dir, &model);
    let path = dir.path().to_str().unwrap();
    // Nodes agree, but the results that are expected are others.
    npy::write(dir.path().join("out_1.npy"), &Tensor::vector(&[5.0f32, 0.0])).unwrap();
    let said = ["3 nodes agree; the results of the whole do not", "out_1", "1 of 2 differ"];
    mindir(["compare", &model, path, "--bisect"]).with(1).says(&said);
    let files = dumped(&dir);
    fs::remove_file(&files[1]).unwrap();
    mindir(["compare", &model, path, "--bisect"]).with(5).complains(&[files[1].to_str().unwrap()]);
    let index = dir.path().join("nodes/index.tsv");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    mindir(["compare", &model, path, "--bisect"]).with(2).complains(&["a model with other nodes"]);
    fs::remove_file(&index).unwrap();
    mindir(["compare", &model, path, "--bisect"]).with(1).says(&["2 nodes agree, 1 have no file"]);
}

/// Calls `run` with the inputs of a golden's set, and these options.
fn run_set(name: &str, set: &str, options: &[&str]) -> super::Ended {
    let folder = PathBuf::from(golden(name)).join(set);
    let inputs = (0..).map(|i| folder.join(format!("in_{i}.npy"))).take_while(|path| path.exists());
    let inputs = inputs.flat_map(|path| ["-i".to_string(), path.to_str().unwrap().to_string()]);
    let options = options.iter().map(|option| option.to_string());
    mindir(["run".to_string(), model(name)].into_iter().chain(inputs).chain(options))
}

#[test]
fn what_has_no_single_line_of_nodes_is_not_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let [out, to] = ["out", "nodes"].map(|name| dir.path().join(name));
    let places = ["-o", out.to_str().unwrap(), "--dump", to.to_str().unwrap()];
    run_set("cf_while", "", &places).with(2).complains(&[]);
    assert!(!out.exists() && !to.exists());
}

/// The nodes are those of the run whose results are shown, not of one that follows it.
#[test]
fn state_is_dumped_as_the_run_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let [out, to] = ["out", "nodes"].map(|name| dir.path().join(name));
    run_set("counter", "step_0", &["-o", out.to_str().unwrap(), "--dump", to.to_str().unwrap()]).with(0);
    let dumped: Vec<Tensor> = dumped(&dir).iter().map(|path| npy::read(path).unwrap()).collect();
    for i in (0..).map(|i| out.join(format!("out_{i}.npy"))).take_while(|path| path.exists()) {
        let result = npy::read(&i).unwrap();
        assert!(dumped.contains(&result), "{result:?} is none of {dumped:?}");
    }
}

#[test]
fn small_results_are_compared_at_their_scale() {
    let dir = tempfile::tempdir().unwrap();
    let mut b = Builder::new("small");
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let y = b.op("Mul", [x.into(), 1e-15f32.into()]).unwrap();
    let model = written(&dir, &b.finish(&[y]));
    let put = |name: &str, x: [f32; 2]| npy::write(dir.path().join(name), &Tensor::vector(&x)).unwrap();
    let compare = || mindir(["compare", &model, dir.path().to_str().unwrap()]);
    put("in_0.npy", [1.0, 2.0]);
    put("out_0.npy", [1e-15, 2e-15]);
    compare().with(0);
    put("out_0.npy", [2e-15, 1e-15]);
    compare().with(1).says(&["2/2"]);
    put("out_0.npy", [0.0, 0.0]);
    compare().with(1).says(&["2/2"]);
    put("in_0.npy", [0.0, 0.0]);
    compare().with(0);
}

#[test]
fn goldens_agree() {
    for name in ["dense", "binary_int32", "cf_while", "counter", "cnn_dynamic", "bfloat16_weights"] {
        mindir(["compare", &model(name), &golden(name)]).with(0).says(&["equal", "max abs"]);
    }
}

#[test]
fn all_sets_count() {
    let json = mindir(["compare", &model("cf_while"), &golden("cf_while"), "--json"]).with(0).json();
    let sets: Vec<&str> = json["outputs"].as_array().unwrap().iter().map(|o| o["set"].as_str().unwrap()).collect();
    assert!([".", "case_1", "case_2"].iter().all(|s| sets.contains(s)), "{sets:?}");
    let steps = mindir(["compare", &model("counter"), &golden("counter"), "--json"]).with(0).json();
    assert!(steps["outputs"].as_array().unwrap().iter().any(|o| o["set"] == "after"));
}

#[test]
fn differences_are_shown_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let golden = golden("dense");
    for file in ["in_0.npy", "out_0.npy", "out_1.npy", "out_2.npy", "out_3.npy"] {
        fs::copy(format!("{golden}/{file}"), dir.path().join(file)).unwrap();
    }
    let path = dir.path().to_str().unwrap();
    mindir(["compare", &model("dense"), path]).with(0);
    let out = dir.path().join("out_1.npy");
    let mut bytes = fs::read(&out).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&9f32.to_le_bytes());
    fs::write(&out, bytes).unwrap();
    mindir(["compare", &model("dense"), path]).with(1).says(&["out_1", "DIFFERS", "1 of 4 differ", "1/18"]);
    let json = mindir(["compare", &model("dense"), path, "--json"]).with(1).json();
    assert_eq!(json["equal"], false);
    assert_eq!(json["outputs"][1]["difference"]["wrong"], 1);
    mindir(["compare", &model("dense"), path, "--atol", "100"]).with(0);
    mindir(["compare", &model("dense"), path, "--tolerance", "100"]).with(0);
}

#[test]
fn bisection_finds_the_first_node() {
    let dir = tempfile::tempdir().unwrap();
    let lenet = digits("lenet5.mindir");
    let nodes = dir.path().join("nodes");
    let path = dir.path().to_str().unwrap();
    mindir(["run", &lenet, "-i", &digits("two.png"), "-o", path, "--dump", nodes.to_str().unwrap()]).with(0);
    // The picture as an array: compare takes arrays only.
    fs::copy(dir.path().join("out_0.npy"), dir.path().join("in_0.npy")).unwrap();
    mindir(["compare", &lenet, path, "--bisect"]).with(2).complains(&["expected f32 [1,1,32,32]"]);
    picture_as_array(&dir.path().join("in_0.npy"));
    mindir(["compare", &lenet, path, "--bisect"]).with(0).says(&["equal:", "nodes agree"]);
    let index = fs::read_to_string(nodes.join("index.tsv")).unwrap();
    let victim: Vec<&str> = index.lines().nth(3).unwrap().split('\t').collect();
    let file = nodes.join(victim[0]);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&1e3f32.to_le_bytes());
    fs::write(&file, bytes).unwrap();
    mindir(["compare", &lenet, path, "--bisect"]).with(1).says(&["first difference: ", victim[1]]);
}

/// Writes two.png as `[1, 1, 32, 32]` between 0 and 1.
fn picture_as_array(path: &Path) {
    let pixels = image::open(digits("two.png")).unwrap().to_luma8().into_raw();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 32, 32), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:117}\n");
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.bytes());
    pixels.iter().for_each(|p| bytes.extend((f32::from(*p) * (1.0 / 255.0)).to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

/// A model with the inputs `a` and `b`, in this order or the other, and the results `(a − b) · factor` and as many more.
fn difference_of(dir: &tempfile::TempDir, names: [&str; 2], factor: f32, more: usize) -> String {
    let mut builder = Builder::new("difference");
    let inputs = names.map(|name| (name, builder.input(name, Spec::fixed(DType::F32, &[4]))));
    let find = |name: &str| inputs.iter().find(|(n, _)| *n == name).map(|(_, v)| *v).unwrap();
    let (a, b) = (find("a"), find("b"));
    let difference = builder.op("Sub", [a.into(), b.into()]).unwrap();
    let scaled = builder.op("Mul", [difference.into(), factor.into()]).unwrap();
    let results: Vec<_> = std::iter::repeat_n(scaled, 1 + more).collect();
    written(dir, &builder.finish(&results))
}

#[test]
fn two_models_are_compared_on_the_same_inputs() {
    let dirs: [tempfile::TempDir; 4] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let first = difference_of(&dirs[0], ["a", "b"], 2.0, 0);
    let turned = difference_of(&dirs[1], ["b", "a"], 2.0, 0);
    let other = difference_of(&dirs[2], ["a", "b"], 2.5, 0);
    let longer = difference_of(&dirs[3], ["a", "b"], 2.0, 1);
    mindir(["compare", &first, &first]).with(0).says(&["made up", "equal, tolerance 0.0001"]);
    // Inputs of the same names get the same values, whatever their order.
    mindir(["compare", &first, &turned]).with(0).says(&["equal"]);
    mindir(["compare", &first, &other]).with(1).says(&["DIFFERS", "4/4", "1 of 1 differ"]);
    mindir(["compare", &first, &other, "--tolerance", "0.3"]).with(0);
    mindir(["compare", &first, &other, "-i", "zeros"]).with(0).says(&["given", "equal"]);
    mindir(["compare", &first, &longer]).with(1).says(&["only the second model has this result"]);
    mindir(["compare", &longer, &first]).with(1).says(&["only the first model has this result"]);
    mindir(["compare", &first, "--other-device", "cpu"]).with(0).says(&["equal"]);
    let lenet = digits("lenet5.mindir");
    let onnx = dirs[0].path().join("lenet.onnx");
    mindir(["convert", &lenet, onnx.to_str().unwrap()]).with(0);
    let json = mindir(["compare", &lenet, onnx.to_str().unwrap(), "-i", &digits("two.png"), "--json"]).with(0).json();
    assert_eq!((&json["equal"], &json["outputs"][0]["set"]), (&true.into(), &"given".into()));
    mindir(["compare", &first]).with(2);
    mindir(["compare", &first, "--other-device", "tpu"]).with(2);
    mindir(["compare", &first, &other, "--bisect"]).with(2).complains(&["--bisect needs a folder"]);
    mindir(["compare", &first, "/nowhere/x"]).with(5).complains(&["there is no folder /nowhere"]);
    for flag in [["-i", "ones"], ["--shape", "4"], ["--mean", "0"], ["--other-device", "cpu"]] {
        let folder = ["compare", &model("dense"), &golden("dense")];
        mindir(folder.iter().chain(&flag)).with(2).complains(&["is for two models"]);
    }
}

#[test]
fn failures_say_which_of_two_models_they_are_about() {
    let (lenet, dense) = (digits("lenet5.mindir"), model("dense"));
    let about = |model: &str| format!("error: {model}: ");
    mindir(["compare", &lenet, &dense]).with(2).complains(&[&about(&dense)]);
    mindir(["compare", &lenet, &dense, "--shape", "7"]).with(2).complains(&[&about(&lenet)]);
}
