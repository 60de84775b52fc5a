use super::{digits, mindir, mindir_with, model};

#[test]
fn times_are_in_order() {
    let lenet = digits("lenet5.mindir");
    let json =
        mindir(["bench", &lenet, "--time", "20ms", "--warmup", "0", "--threads", "1,2", "--json"]).with(0).json();
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for r in runs {
        let ns = |key: &str| r[key].as_u64().unwrap();
        assert!(ns("min_ns") <= ns("p50_ns") && ns("p50_ns") <= ns("p90_ns") && ns("p90_ns") <= ns("p99_ns"));
        assert!(ns("first_run_ns") > 0 && r["gflops_per_second"].as_f64().unwrap() > 0.0);
    }
    assert!(json["load_ns"].as_u64().unwrap() > 0);
    mindir(["bench", &lenet, "--time", "5ms"]).with(0).says(&["p50", "p99", "runs/s", "load "]);
}

#[test]
fn steps_can_be_profiled() {
    let lenet = digits("lenet5.mindir");
    mindir(["bench", &lenet, "--time", "5ms", "--profile"]).with(0).says(&["profile with", "share", "Conv2D", "%"]);
    let json = mindir(["bench", &lenet, "--time", "5ms", "--profile", "--json"]).with(0).json();
    let share: f64 = json["runs"][0]["steps"].as_array().unwrap().iter().map(|s| s["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-6);
}

#[test]
fn batches_replace_the_first_dimension() {
    let dynamic = digits("lenet5_dynamic_batch.mindir");
    let json = mindir(["bench", &dynamic, "--batch", "1,4", "--time", "5ms", "--json"]).with(0).json();
    assert_eq!(json["runs"][1]["inputs"][0], "f32 [4, 1, 32, 32]");
}

#[test]
fn given_inputs_must_have_the_batch_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    mindir::npy::write(&path, &mindir::Tensor::zeros(mindir::DType::F32, &[2, 1, 32, 32]).unwrap()).unwrap();
    let (dynamic, given) = (digits("lenet5_dynamic_batch.mindir"), path.to_str().unwrap());
    mindir(["bench", &dynamic, "-i", given, "--batch", "2", "--time", "5ms"]).with(0);
    mindir(["bench", &dynamic, "-i", given, "--batch", "2,4", "--time", "5ms"])
        .with(2)
        .complains(&["--batch 4", "is given as f32 [2, 1, 32, 32]"]);
}

#[test]
fn control_flow_runs_too() {
    mindir(["bench", &model("cf_while"), "-i", "ones", "--time", "5ms"]).with(0).says(&["p50"]);
    mindir(["bench", &model("cf_while"), "-i", "ones", "--time", "5ms", "--profile"]).with(2).complains(&["--profile"]);
}

#[test]
fn workers_take_turns() {
    let ended = mindir_with("r 3\nr 1\nq\nr 9\n", ["bench", &digits("lenet5.mindir"), "--worker"]).with(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let numbers = |line: &str| line.split(' ').map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>();
    assert_eq!(lines.len(), 3, "{ended:#?}");
    assert_eq!(numbers(lines[0].strip_prefix("READY ").unwrap()).len(), 2);
    assert_eq!((numbers(lines[1]).len(), numbers(lines[2]).len()), (3, 1));
    mindir_with("hello\n", ["bench", &digits("lenet5.mindir"), "--worker"]).with(2).complains(&["expected `r N`"]);
}
