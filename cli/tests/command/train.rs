use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mindir::builder::Builder;
use mindir::ckpt::{self, Checkpoint, ReadOptions};
use mindir::{DType, Spec, Tensor, npy};
use serde_json::Value;
use tempfile::TempDir;

use super::{Ended, digits, mindir, mindir_with_bytes, written};

/// Steps of an epoch here.
const STEPS: usize = 10;

/// The first samples that MindSpore trained with, as it saw them, and a folder to work in.
struct Data {
    dir: TempDir,
    images: String,
    labels: String,
}

impl Data {
    fn new() -> Data {
        let dir = tempfile::tempdir().unwrap();
        let count = 32 * STEPS;
        let small = npy::read(digits("train_images.npy")).unwrap();
        let pixel = |image: &[u8], at: usize| f32::from(image[at / 128 * 8 + at % 32 / 4]) / 16.0;
        let images = small.view::<u8>().unwrap().chunks_exact(64).take(count);
        let large: Vec<f32> = images.flat_map(|image| (0..1024).map(move |at| pixel(image, at))).collect();
        let labels = npy::read(digits("train_labels.npy")).unwrap().view::<u8>().unwrap()[..count].to_vec();
        let put = |name: &str, tensor: &Tensor| {
            let path = dir.path().join(name);
            npy::write(&path, tensor).unwrap();
            path.to_str().unwrap().to_string()
        };
        let images = put("x.npy", &Tensor::from_vec(&[count, 1, 32, 32], large).unwrap());
        let labels = put("y.npy", &Tensor::from_vec(&[count], labels).unwrap());
        Data { dir, images, labels }
    }

    fn folder(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().into()
    }

    /// Arguments that train with checkpoints in a folder.
    fn args(&self, folder: &str, more: &[&str]) -> Vec<String> {
        let step = digits("train_step.mindir");
        let args = ["train", &step, "--data", &self.images, "--labels", &self.labels, "--prefix", "net", "-o", folder];
        args.iter().chain(more).map(|arg| arg.to_string()).collect()
    }

    fn train(&self, folder: &str, more: &[&str]) -> Ended {
        mindir(self.args(folder, more))
    }

    /// The same in the background.
    fn start(&self, folder: &str, more: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mindir"));
        command.args(self.args(folder, more)).env("MINDIR_THREADS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Names of checkpoints in a folder.
fn saved(folder: &str) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".ckpt")).collect();
    names.sort();
    names
}

fn read(path: impl AsRef<Path>) -> Checkpoint {
    ckpt::read(path, &ReadOptions::default()).unwrap()
}

fn numbers(checkpoint: &Checkpoint, name: &str) -> Vec<f64> {
    checkpoint.get(name).unwrap().array().unwrap().tensor().unwrap().to_f64s().unwrap()
}

/// Waits for checkpoints, and returns their names.
fn wait_for(folder: &str, count: usize) -> Vec<String> {
    let start = Instant::now();
    while saved(folder).len() < count {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint in {folder}");
        std::thread::sleep(Duration::from_millis(5));
    }
    saved(folder)
}

fn losses(json: &Value) -> Vec<f64> {
    json["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

#[test]
fn samples_in_order_give_mindspores_losses_and_weights() {
    let data = Data::new();
    let (folder, plot) = (data.folder("kept"), data.folder("loss.svg"));
    let more = ["--in-order", "--save-every-steps", "4", "--keep-max", "2", "--plot", &plot, "--json"];
    let json = data.train(&folder, &more).with(0).json();
    assert_eq!(saved(&folder), ["net-1_10.ckpt", "net-1_8.ckpt"]);
    assert!(json["checkpoint"].as_str().unwrap().ends_with("net-1_10.ckpt"));
    let facts: Value = serde_json::from_slice(&fs::read(digits("trained.json")).unwrap()).unwrap();
    let (ours, theirs) = (losses(&json), losses(&facts));
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-5 * b), "{ours:?} {theirs:?}");

    let (ours, theirs) = (read(Path::new(&folder).join("net-1_10.ckpt")), read(digits("trained_10.ckpt")));
    for name in theirs.names() {
        let (a, b) = (numbers(&ours, name), numbers(&theirs, name));
        let largest = b.iter().fold(0f64, |m, x| m.max(x.abs()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * largest), "{name}");
    }
    assert_eq!((numbers(&ours, "step_num"), numbers(&ours, "epoch_num")), (vec![10.0], vec![1.0]));
    let svg = fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg ") && svg.split("points=\"").nth(1).unwrap().split(' ').count() == STEPS, "{svg}");
}

#[cfg(unix)]
#[test]
fn killed_or_interrupted_and_resumed_it_ends_with_the_same_bytes() {
    let data = Data::new();
    let rate = ["--epochs", "2", "--seed", "7", "--lr", "0.03", "--lr-schedule", "cosine"];
    let whole = data.folder("whole");
    data.train(&whole, &rate).with(0).says(&[
        "epoch 1  loss ",
        "  lr 0.03\n",
        "epoch 2  loss ",
        "  lr 0.015\n",
        "net-2_10.ckpt",
    ]);
    let expected = fs::read(Path::new(&whole).join("net-2_10.ckpt")).unwrap();
    let resumed = |folder: &str, from: &str| {
        let from = Path::new(folder).join(from);
        let json =
            data.train(folder, &[&rate[..], &["--json", "--resume", from.to_str().unwrap()]].concat()).with(0).json();
        let last = PathBuf::from(json["checkpoint"].as_str().unwrap());
        assert!(last.ends_with("net_1-2_10.ckpt"), "{}", last.display());
        assert!(fs::read(last).unwrap() == expected, "an interruption of {folder} changes the bytes");
        json
    };

    let killed = data.folder("killed");
    let mut child = data.start(&killed, &[&rate[..], &["--save-every-steps", "1", "--keep-max", "100"]].concat());
    wait_for(&killed, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(saved(&killed).len() < 2 * STEPS, "it was not killed in the middle");
    let json = resumed(&killed, "net-1_3.ckpt");
    assert_eq!(losses(&json).len(), 2 * STEPS - 3);

    let stopped = data.folder("stopped");
    let child = data.start(&stopped, &[&rate[..], &["--save-every-steps", "1", "--keep-max", "1"]].concat());
    wait_for(&stopped, 1);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{out:?}");
    let text = String::from_utf8(out.stdout).unwrap();
    let left: Vec<String> = saved(&stopped).into_iter().filter(|name| name.contains("_breakpoint")).collect();
    assert!(left.len() == 1 && text.contains(&left[0]), "{text} {left:?}");
    resumed(&stopped, &left[0]);

    let from = Path::new(&whole).join("net-2_10.ckpt");
    let from = from.to_str().unwrap();
    data.train(&whole, &[&rate[..], &["--resume", from]].concat()).with(0).says(&["nothing is left to do"]);
    data.train(&whole, &["--resume", from, "--seed", "8"]).with(2).complains(&["--seed 7, not of --seed 8"]);
    data.train(&whole, &["--resume", from, "--in-order"]).with(2).complains(&["--seed 7, not of --in-order"]);
}

#[test]
fn a_loss_that_is_no_number_leaves_no_breakpoint() {
    let data = Data::new();
    let folder = data.folder("kept");
    let ended = data.train(&folder, &["--lr", "1e38"]).with(2);
    assert!(
        ended.stderr.contains("expected a finite loss, found ") && ended.stderr.contains("not saved"),
        "{ended:#?}"
    );
    assert!(saved(&folder).is_empty(), "{:?}", saved(&folder));
}

#[test]
fn a_model_is_judged_between_epochs() {
    let data = Data::new();
    let model = digits("lenet5_dynamic_batch.mindir");
    let more = ["--epochs", "2", "--eval", &model, "--eval-data", &data.images, "--eval-labels", &data.labels];
    let json =
        data.train(&data.folder("kept"), &[&more[..], &["--metrics", "accuracy", "--json"]].concat()).with(0).json();
    let accuracy = |i: usize| json["epochs"][i]["eval"]["accuracy"].as_f64().unwrap();
    // After so few steps it knows little yet, and the file's own weights know nearly all.
    assert!(accuracy(0) < 0.5 && accuracy(1) < 0.5, "{json}");
    for (i, name) in ["net-1_10.ckpt", "net-2_10.ckpt"].into_iter().enumerate() {
        let path = format!("{}/{name}", data.folder("kept"));
        let args = ["eval", &model, "--params", &path, "--data", &data.images, "--labels", &data.labels, "--json"];
        assert_eq!(mindir(args).with(0).json()["accuracy"], accuracy(i), "{name}");
    }
    let step = digits("train_step.mindir");
    let other = data
        .train(&data.folder("other"), &["--eval", &step, "--eval-data", &data.images, "--eval-labels", &data.labels]);
    other.with(2).complains(&["expected 2 arrays for the inputs", "found 1"]);
}

/// Whatever is wrong is found before the first step, and nothing is left of it.
#[cfg(target_os = "linux")]
#[test]
fn nothing_is_trained_that_could_not_be_kept_or_judged() {
    let data = Data::new();
    let folder = data.folder("kept");
    let late = |folder: &str, more: &[&str], code: i32, what: &str| {
        let ended = data.train(folder, more).with(code);
        assert!(ended.stdout.is_empty() && ended.stderr.contains(what), "no {what:?} in {ended:#?}");
    };
    late("/proc", &[], 5, "/proc");
    late("/proc/nowhere", &[], 5, "/proc/nowhere");
    late(&folder, &["--plot", "/proc/loss.svg"], 5, "/proc/loss.svg");
    late(&folder, &["--lr", "1e300"], 2, "expected a rate that f32 can hold, found 1e300");
    late(&folder, &["--lr", "1", "--lr-schedule", "step:1:1e30", "--epochs", "3"], 2, "epoch 3");
    late(&folder, &["--metrics", "accuracy"], 2, "--metrics is about the model of --eval");
    late(&folder, &["--result", "0"], 2, "--result is about the model of --eval");

    let (model, odd, small) = (digits("lenet5_dynamic_batch.mindir"), data.folder("odd.npy"), data.folder("small.npy"));
    let mut labels = vec![0u64; 32 * STEPS];
    labels[32 * STEPS - 1] = 1 << 63;
    npy::write(&odd, &Tensor::vector(&labels)).unwrap();
    npy::write(&small, &Tensor::zeros(DType::F32, &[32 * STEPS, 1, 8, 8]).unwrap()).unwrap();
    let eval = |images: &str, labels: &str, what: &str| {
        late(&folder, &["--eval", &model, "--eval-data", images, "--eval-labels", labels], 2, what);
    };
    eval(&data.images, &odd, "--eval: ");
    eval(&data.images, &odd, "sample 319: expected a class from 0 to 9, found 9223372036854775808");
    eval(&small, &data.labels, "--eval: ");
    assert!(!Path::new(&folder).exists());
    data.train(&folder, &["--json", "--log-every", "2"]).with(2);
}

#[test]
fn a_training_goes_on_with_the_samples_it_had() {
    let data = Data::new();
    let folder = data.folder("kept");
    let every = ["--save-every-steps", "4"];
    data.train(&folder, &every).with(0);
    assert_eq!(saved(&folder), ["net-1_10.ckpt", "net-1_4.ckpt", "net-1_8.ckpt"]);
    let from = format!("{folder}/net-1_8.ckpt");
    let resume = |more: &[&str]| data.train(&folder, &[&["--resume", &from, "--epochs", "2"], more].concat());
    resume(&["--batch", "16"]).with(2).complains(&["batches of 32 samples", "found 16"]);
    resume(&["--in-order"]).with(2).complains(&["--seed 0, not of --in-order"]);
    let few = data.folder("few.npy");
    npy::write(&few, &Tensor::zeros(DType::F32, &[64, 1, 32, 32]).unwrap()).unwrap();
    let labels = data.folder("few_labels.npy");
    npy::write(&labels, &Tensor::zeros(DType::U8, &[64]).unwrap()).unwrap();
    let step = digits("train_step.mindir");
    let args = ["train", &step, "--data", &few, "--labels", &labels, "-o", &folder, "--resume", &from];
    mindir(args).with(2).complains(&["data of 320 samples", "found 64"]);
    let in_order = data.folder("in_order");
    data.train(&in_order, &["--in-order"]).with(0);
    let from = format!("{in_order}/net-1_10.ckpt");
    data.train(&in_order, &["--resume", &from]).with(2).complains(&["--in-order, not of --seed 0"]);
    // Checkpoints come after the same steps as without an interruption.
    resume(&every).with(0);
    assert_eq!(saved(&folder)[3..], ["net_1-2_10.ckpt", "net_1-2_2.ckpt", "net_1-2_6.ckpt"]);
}

#[cfg(unix)]
#[test]
fn other_signals_leave_a_breakpoint_too() {
    let data = Data::new();
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        let folder = data.folder(signal);
        let child = data.start(&folder, &["--epochs", "100", "--save-every-steps", "1", "--keep-max", "1"]);
        wait_for(&folder, 1);
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(code), "{out:?}");
        assert!(saved(&folder).iter().any(|name| name.ends_with("_breakpoint.ckpt")), "{:?}", saved(&folder));
    }
}

#[cfg(unix)]
#[test]
fn the_first_error_is_told_when_a_second_follows() {
    let data = Data::new();
    let folder = data.folder("kept");
    let child = data.start(&folder, &["--epochs", "100", "--save-every-steps", "1"]);
    wait_for(&folder, 1);
    // A file where the folder was: neither the next checkpoint nor the breakpoint can be written.
    fs::rename(&folder, data.folder("gone")).unwrap();
    fs::write(&folder, "").unwrap();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(5), "{text}");
    assert!(text.contains(" is not saved: ") && text.lines().any(|line| line.starts_with("error: ")), "{text}");
}

#[test]
fn checkpoints_of_a_model_from_standard_input_are_called_model() {
    let data = Data::new();
    let folder = data.folder("kept");
    let step = fs::read(digits("train_step.mindir")).unwrap();
    let args = ["train", "-", "--data", &data.images, "--labels", &data.labels, "-o", &folder];
    mindir_with_bytes(&step, args).with(0);
    assert_eq!(saved(&folder), ["model-1_10.ckpt"]);
}

#[test]
fn a_rate_may_be_an_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut b = Builder::new("step");
    b.input("x", Spec::fixed(DType::F32, &[2, 1]));
    b.input("y", Spec::fixed(DType::F32, &[2]));
    let rate = b.input("rate", Spec::fixed(DType::F32, &[]));
    let loss = b.op("Neg", [rate.into()]).unwrap();
    let model = written(&dir, &b.finish(&[loss]));
    let (x, y, out) = (dir.path().join("x.npy"), dir.path().join("y.npy"), dir.path().join("out"));
    npy::write(&x, &Tensor::zeros(DType::F32, &[5, 1]).unwrap()).unwrap();
    npy::write(&y, &Tensor::zeros(DType::F32, &[5]).unwrap()).unwrap();
    let paths = [&x, &y, &out].map(|path| path.to_str().unwrap());
    let args = ["train", &model, "--data", paths[0], "--labels", paths[1], "-o", paths[2], "--epochs", "3", "--json"];
    let with = |more: &[&str]| mindir(args.iter().chain(more));
    let json = with(&["--lr", "0.5", "--lr-schedule", "step:2:0.1"]).with(0).json();
    assert_eq!(json["steps_per_epoch"], 2);
    let expected = [-0.5, -0.5, -0.5, -0.5, -0.05, -0.05];
    assert!(losses(&json).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{json}");
    with(&[]).with(2).complains_in_json("no value for rate f32 []; --lr gives the learning rate");
    with(&["--batch", "6", "--lr", "1"]).with(2).complains_in_json("expected 6 samples for a batch, found 5");
    with(&["--lr-schedule", "cosine"]).with(2);
    with(&["--lr", "1", "--plot", "/nowhere/loss.svg"]).with(5);
}

impl Ended {
    /// Asserts that stdout is JSON of an error with this message.
    #[track_caller]
    fn complains_in_json(&self, part: &str) {
        let message = self.json()["error"]["message"].as_str().unwrap().to_string();
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}
