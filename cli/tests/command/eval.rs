use std::fs;
use std::path::Path;

use mindir::builder::Builder;
use mindir::{DType, Dim, Spec, Tensor, npy};
use serde_json::Value;
use tempfile::TempDir;

use super::{Ended, digits, mindir, written};

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn eval(args: &[&str]) -> Ended {
    mindir(["eval"].iter().chain(args))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file in a folder.
fn put(dir: &TempDir, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, contents).unwrap();
    text(&path).into()
}

/// The ten pictures of digits, each in the folder of its class.
fn pictures(dir: &TempDir) -> String {
    for digit in DIGITS {
        put(dir, &format!("set/{digit}/a.png"), fs::read(digits(&format!("{digit}.png"))).unwrap());
    }
    text(&dir.path().join("set")).into()
}

/// A model that changes the sign of two numbers for each sample.
fn minus(dir: &TempDir) -> String {
    let mut b = Builder::new("net");
    let dims = [Dim::Unknown, Dim::Known(2)].into_iter().collect();
    let x = b.input("x", Spec { dtype: Some(DType::F32), dims: Some(dims) });
    let y = b.op("Neg", [x.into()]).unwrap();
    written(dir, &b.finish(&[y]))
}

fn is_near(x: &Value, expected: f64) -> bool {
    (x.as_f64().unwrap() - expected).abs() < 1e-9
}

#[test]
fn batches_fixed_and_open_count_every_digit_once() {
    let (images, labels) = (digits("test_images.npy"), digits("test_labels.npy"));
    let mut seen = Vec::new();
    for (model, batch, batches) in
        [("lenet5_dynamic_batch.mindir", &[][..], 12), ("lenet5.mindir", &["--batch", "7"], 52)]
    {
        let model = digits(model);
        let args = [&[&*model, "--data", &images, "--labels", &labels, "--json"], batch].concat();
        let mut json = eval(&args).with(0).json();
        assert_eq!((&json["right"], &json["samples"]), (&353.into(), &360.into()));
        assert_eq!(json["batches"], batches);
        assert!(is_near(&json["accuracy"], 353.0 / 360.0));
        let all: u64 = json["confusion"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|r| r.as_array().unwrap())
            .map(|n| n.as_u64().unwrap())
            .sum();
        assert_eq!(all, 360);
        for (i, class) in json["classes"].as_array().unwrap().iter().enumerate() {
            let right = json["confusion"][i][i].as_f64().unwrap();
            assert!(is_near(&class["recall"], right / class["samples"].as_f64().unwrap()));
            assert!(is_near(&class["precision"], right / class["answers"].as_f64().unwrap()));
        }
        json.as_object_mut().unwrap().retain(|key, _| key != "nanoseconds" && key != "batches");
        seen.push(json);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn text_names_what_json_has() {
    let (images, labels, names) = (digits("test_images.npy"), digits("test_labels.npy"), digits("labels.txt"));
    let model = digits("lenet5_dynamic_batch.mindir");
    let ended = eval(&[&model, "--data", &images, "--labels", &labels, "--labels", &names]).with(0);
    let ended =
        ended.says(&["accuracy   0.980556  353 of 360 right\n", "top5 ", "class", "\nseven ", "labels in rows"]);
    assert_eq!(ended.stderr, "");
    let one = eval(&[&model, "--data", &images, "--labels", &labels, "--metrics", "accuracy"]).with(0);
    assert_eq!(one.stdout, "accuracy   0.980556  353 of 360 right\n");
}

#[test]
fn folders_and_lists_of_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let (model, set, names) = (digits("lenet5_dynamic_batch.mindir"), pictures(&dir), digits("labels.txt"));
    put(&dir, "set/one/notes.txt", "no picture");
    let right = |args: &[&str]| {
        let json = eval(&[&[&*model, "--json"], args].concat()).with(0).json();
        (json["right"].as_u64().unwrap(), json["samples"].as_u64().unwrap())
    };
    assert_eq!(right(&["--data", &set, "--labels", &names]), (10, 10));
    // In the order of their names eight is 0, …; the network says eight to the picture of an eight.
    let mut sorted = DIGITS.to_vec();
    sorted.sort();
    let fixed = (0..10).filter(|i| sorted[*i] == DIGITS[*i]).count() as u64;
    assert_eq!(right(&["--data", &set]), (fixed, 10));

    let lines = |line: fn(usize) -> String| (0..10).map(line).collect::<String>();
    let csv = put(&dir, "list.csv", lines(|i| format!("\"set/{}/a.png\",{i}\n", DIGITS[i])));
    assert_eq!(right(&["--data", &csv]), (10, 10));
    let tsv = put(&dir, "list.tsv", format!("path\tlabel\n{}", lines(|i| format!("set/{0}/a.png\t{0}\n", DIGITS[i]))));
    assert_eq!(right(&["--data", &tsv, "--labels", &names]), (10, 10));
    let lst = put(&dir, "list.lst", lines(|i| format!("set/{}/a.png {i}\n", DIGITS[9 - i])));
    assert_eq!(right(&["--data", &lst]).1, 10);
    // What is done to pixels is as in `run`: black pictures are all alike.
    let black = eval(&[&model, "--data", &csv, "--scale", "0", "--json"]).with(0).json();
    assert_eq!(black["right"], 1);
}

#[test]
fn archives_have_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, keys: [&str; 2]| {
        let path = dir.path().join(name);
        let arrays = [digits("test_images.npy"), digits("test_labels.npy")].map(|path| npy::read(path).unwrap());
        let named: Vec<_> = keys.map(str::to_string).into_iter().zip(arrays).collect();
        npy::write_npz(&path, &named).unwrap();
        path
    };
    let model = digits("lenet5_dynamic_batch.mindir");
    let (usual, own) = (archive("a.npz", ["x", "y"]), archive("b.npz", ["images", "labels"]));
    for args in [&["--data", text(&usual)][..], &["--data", text(&own), "--keys", "images,labels"]] {
        eval(&[&[&*model], args].concat()).with(0).says(&["353 of 360"]);
    }
    let labels = digits("test_labels.npy");
    eval(&[&model, "--data", text(&own), "--keys", "images", "--labels", &labels]).with(0).says(&["353 of 360"]);
    eval(&[&model, "--data", text(&own)]).with(2).complains(&["expected an array \"x\", found images, labels"]);
    eval(&[&model, "--data", text(&own), "--keys", "images"]).with(2).complains(&["found one"]);
}

#[test]
fn numbers_have_errors() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    npy::write(&x, &Tensor::from_slice(&[3, 2], &[-1f32, -2.0, -3.0, -4.0, -5.0, -6.0]).unwrap()).unwrap();
    npy::write(&y, &Tensor::from_slice(&[3, 2], &[1f32, 2.0, 3.0, 4.0, 5.0, 9.0]).unwrap()).unwrap();
    let model = minus(&dir);
    let args = [&*model, "--data", text(&x), "--labels", text(&y), "--batch", "2", "--json"];
    let json = eval(&args).with(0).json();
    assert!(
        is_near(&json["mae"], 0.5) && is_near(&json["mse"], 1.5) && is_near(&json["r2"], 1.0 - 9.0 / 40.0),
        "{json}"
    );
    assert_eq!((json.get("accuracy"), json.get("classes")), (None, None));
    eval(&[&args[..], &["--metrics", "mae,top5"]].concat()).with(2);
    eval(&[&args[..5], &["--metrics", "top5"]].concat()).with(2).complains(&["top5 is about classes"]);
    // One number a sample is not two.
    npy::write(&y, &Tensor::vector(&[1f32, 2.0, 3.0])).unwrap();
    eval(&args[..5]).with(2).complains(&["expected numbers for the labels f32 [3], found f32 [3, 2]"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, images, labels) =
        (digits("lenet5_dynamic_batch.mindir"), digits("test_images.npy"), digits("test_labels.npy"));
    let with = |args: &[&str]| eval(&[&[&*model], args].concat());
    with(&["--data", &images]).with(2).complains(&["its labels are missing"]);
    with(&["--data", "/nowhere/x.npy", "--labels", &labels]).with(5).complains(&["/nowhere"]);
    with(&["--data", &model, "--labels", &labels])
        .with(2)
        .complains(&["expected a folder, a .npy or .npz file or a list"]);
    with(&["--data", &images, "--labels", &labels, "--labels", &labels]).with(2).complains(&["given already"]);
    with(&["--data", &images, "--labels", &labels, "--keys", "a"]).with(2).complains(&["--keys is about .npz files"]);
    with(&["--data", &images, "--labels", &labels, "--cast"]).with(2).complains(&["--cast is about arrays"]);
    with(&["--data", &images, "--labels", &labels, "--result", "1"]).with(2).complains(&["the model has 1 result"]);
    let few = dir.path().join("few.npy");
    npy::write(&few, &Tensor::vector(&[1i64, 2])).unwrap();
    with(&["--data", &images, "--labels", text(&few)]).with(2).complains(&["expected 2 samples", "found 360"]);
    let csv = put(&dir, "list.csv", "a.png,1\nb.png\n");
    with(&["--data", &csv]).with(4).complains(&["list.csv: line 2: expected PICTURE,LABEL, found only \"b.png\""]);
    let empty = put(&dir, "empty.csv", "path,label\n");
    with(&["--data", &empty]).with(2).complains(&["expected samples, found none"]);
    let twice = put(&dir, "twice.txt", "a\nb\na\n");
    with(&["--data", &images, "--labels", &labels, "--labels", &twice]).with(4).complains(&["line 3", "\"a\""]);
    let ten = put(&dir, "ten.csv", format!("{},10\n", digits("one.png")));
    with(&["--data", &ten]).with(2).complains(&["sample 0: expected a class from 0 to 9, found 10"]);
    let below = put(&dir, "below.csv", format!("{},-1\n", digits("one.png")));
    with(&["--data", &below]).with(2).complains(&["found -1 for sample 0"]);
    let large = dir.path().join("large.npy");
    npy::write(&large, &Tensor::vector(&[u64::MAX; 360])).unwrap();
    with(&["--data", &images, "--labels", text(&large)]).with(2).complains(&["found 18446744073709551615"]);
    let with_two = [digits("train_step.mindir"), images.clone(), labels.clone()];
    let two = eval(&[&with_two[0], "--data", &with_two[1], "--labels", &with_two[2]]).with(2);
    two.complains(&["expected 2 arrays for the inputs", "found 1\n"]);
    let folder = pictures(&dir);
    let names = digits("labels.txt");
    let two = eval(&[&with_two[0], "--data", &folder, "--labels", &names]).with(2);
    assert!(!two.stderr.contains("--keys"), "{two:#?}");
    let plain = minus(&dir);
    eval(&[&plain, "--data", &images, "--labels", &labels, "--params", "any.ckpt"])
        .with(2)
        .complains(&["--params any.ckpt: the model has no parameters"]);
}

/// The label of the last sample is looked at before a picture behind the first batch is.
#[test]
fn labels_are_looked_at_before_all_samples_have_run() {
    let dir = tempfile::tempdir().unwrap();
    let one = digits("one.png");
    let broken = put(&dir, "broken.png", "no picture");
    let good = format!("{one},1\n").repeat(32);
    let csv = put(&dir, "list.csv", format!("{good}{broken},1\n{one},10\n"));
    let ended = eval(&[&digits("lenet5_dynamic_batch.mindir"), "--data", &csv]).with(2);
    ended.complains(&["sample 33: expected a class from 0 to 9, found 10"]);
}

#[test]
fn names_of_classes_may_begin_with_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (model, set) = (digits("lenet5_dynamic_batch.mindir"), pictures(&dir));
    let names = put(&dir, "marked.txt", format!("\u{feff}{}", fs::read_to_string(digits("labels.txt")).unwrap()));
    let json = eval(&[&model, "--data", &set, "--labels", &names, "--json"]).with(0).json();
    assert_eq!(json["right"], 10);
}

#[test]
fn a_metric_that_is_not_defined_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    npy::write(&x, &Tensor::zeros(DType::F32, &[3, 2]).unwrap()).unwrap();
    npy::write(&y, &Tensor::zeros(DType::F32, &[3, 2]).unwrap()).unwrap();
    let ended = eval(&[&minus(&dir), "--data", text(&x), "--labels", text(&y)]).with(0).says(&["mae "]);
    assert!(ended.stderr.contains("r2 is not defined: all labels are equal"), "{ended:#?}");
}

#[test]
fn pictures_that_do_not_decode_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (model, set, names) = (digits("lenet5_dynamic_batch.mindir"), pictures(&dir), digits("labels.txt"));
    put(&dir, "set/one/b.png", "no picture");
    put(&dir, "set/two/b.png", &fs::read(digits("two.png")).unwrap()[..60]);
    let ended = eval(&[&model, "--data", &set, "--labels", &names]).with(4);
    ended.complains(&["2 of 12 pictures cannot be read, the first: ", "one/b.png"]);
    let odd = put(&dir, "set/eleven/a.png", "");
    let ended = eval(&[&model, "--data", &set, "--labels", &names]).with(2);
    ended.complains(&["eleven: expected one of zero, one, two, three, four, …"]);
    fs::remove_file(odd).unwrap();
}
