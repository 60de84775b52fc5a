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
    adds_up(&json["runs"][0]);
}

/// Asserts that steps and what is between them are a whole run.
#[track_caller]
fn adds_up(run: &serde_json::Value) {
    let ns = |key: &str| run[key].as_u64().unwrap();
    let steps = run["steps"].as_array().unwrap();
    let inside: u64 = steps.iter().map(|s| s["mean_ns"].as_u64().unwrap()).sum();
    assert!(!steps.is_empty() && inside > 0);
    assert_eq!(inside + ns("between_steps_ns"), ns("profiled_run_ns"), "{run:#}");
    let shares: f64 = steps.iter().map(|s| s["share"].as_f64().unwrap()).sum();
    assert!((0.0..=1.0 + 1e-9).contains(&shares), "{run:#}");
}

#[test]
fn loops_and_branches_are_profiled_too() {
    let bench = ["bench", &model("cf_while"), "-i", "ones", "--time", "50ms", "--profile"];
    mindir(bench).with(0).says(&["p50", "profile with", "between steps"]);
    let json = mindir(bench.iter().chain(&["--json"])).with(0).json();
    adds_up(&json["runs"][0]);
    let runs = json["runs"][0]["steps"].as_array().unwrap().iter().map(|s| s["runs"].as_u64().unwrap());
    assert!(runs.max().unwrap() > 1, "{json:#}");
}

/// The rows that are done stay when a later one fails.
#[test]
fn rows_appear_as_they_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    mindir::npy::write(&path, &mindir::Tensor::zeros(mindir::DType::F32, &[1, 1, 32, 32]).unwrap()).unwrap();
    let (dynamic, given) = (digits("lenet5_dynamic_batch.mindir"), path.to_str().unwrap());
    let ended = mindir(["bench", &dynamic, "-i", given, "--batch", "1,3", "--time", "5ms"]);
    let rows: Vec<&str> = ended.stdout.lines().collect();
    assert!(rows[1].trim_start().starts_with("batch"), "{ended:#?}");
    assert!(rows[2].trim_start().starts_with('1') && rows.len() == 3, "{ended:#?}");
    ended.with(2).complains(&[]);
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

#[test]
fn runs_at_the_same_time_are_counted_together() {
    let lenet = digits("lenet5.mindir");
    let measure = ["bench", &lenet, "--time", "50ms", "--warmup", "0", "--threads", "1"];
    let json = mindir(measure.iter().chain(&["--concurrency", "1,3", "--json"])).with(0).json();
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|r| r["concurrency"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    for r in runs {
        assert!(r["count"].as_u64().unwrap() >= 5 * r["concurrency"].as_u64().unwrap(), "{r:#}");
        assert!(r["runs_per_second"].as_f64().unwrap() > 0.0 && r["p99_ns"].as_u64() >= r["p50_ns"].as_u64(), "{r:#}");
    }
    mindir(measure.iter().chain(&["--concurrency", "2"])).with(0).says(&["at once"]);
    mindir(measure.iter().chain(&["--concurrency", "0"])).with(2);
    // Models with control flow and state run at the same time, too.
    let loops = ["bench", &model("cf_while"), "--time", "5ms", "--concurrency", "2", "-i", "ones"];
    mindir(loops).with(0);
}

/// Asserts that a file holds trace events; returns those that take time.
fn trace_events(path: &std::path::Path) -> Vec<serde_json::Value> {
    let trace: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap().clone();
    assert!(events.iter().any(|e| e["ph"] == "M" && e["name"] == "thread_name"), "{trace:#}");
    let events: Vec<_> = events.into_iter().filter(|e| e["ph"] == "X").collect();
    for e in &events {
        assert!(e["ts"].as_f64().unwrap() >= 0.0 && e["dur"].as_f64().unwrap() >= 0.0, "{e:#}");
        assert!(e["pid"].is_u64() && e["tid"].is_u64() && e["name"].is_string(), "{e:#}");
    }
    events
}

#[test]
fn steps_are_traced_as_events_inside_of_their_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let file = path.to_str().unwrap();
    let lenet = digits("lenet5.mindir");
    mindir(["bench", &lenet, "--time", "5ms", "--trace", file, "--concurrency", "2"]).with(0);
    let events = trace_events(&path);
    for thread in [1, 2] {
        let mine: Vec<_> = events.iter().filter(|e| e["tid"] == thread).collect();
        let end = |e: &serde_json::Value| e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap();
        let (run, steps) = mine.split_first().unwrap();
        assert!(run["name"] == "run" && steps.len() == 8, "{mine:#?}");
        assert!(steps.iter().all(|s| s["ts"].as_f64() >= run["ts"].as_f64() && end(s) <= end(run) + 1.0), "{mine:#?}");
        assert!(steps.windows(2).all(|w| end(w[0]) <= w[1]["ts"].as_f64().unwrap() + 0.01), "{mine:#?}");
        assert_eq!(steps[0]["name"], "Conv2D+ReLU");
        assert!(steps[0]["args"]["node"].as_str().unwrap().contains("conv1") && steps[0]["args"]["kernel"].is_string());
    }
    mindir(["bench", &model("cf_while"), "-i", "ones", "--time", "5ms", "--trace", file]).with(0);
    let graphs: std::collections::BTreeSet<String> =
        trace_events(&path).iter().filter_map(|e| e["args"]["graph"].as_str().map(str::to_string)).collect();
    assert!(!graphs.is_empty());
}

#[test]
fn measurements_are_kept_and_compared_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.json");
    let (file, lenet) = (path.to_str().unwrap(), digits("lenet5.mindir"));
    let bench = |more: &[&str]| {
        let args = ["bench", &lenet, "--time", "20ms", "--threads", "1"].into_iter().chain(more.iter().copied());
        mindir(args)
    };
    bench(&["--save", file]).with(0);
    bench(&["--against", file, "--fail-above", "100000%"]).with(0).says(&["p50 before", "change", "%"]);
    // As if it had taken next to nothing, or forever.
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let set = |ns: u64| {
        let mut changed = kept.clone();
        changed["runs"][0]["p50_ns"] = ns.into();
        std::fs::write(&path, changed.to_string()).unwrap();
    };
    set(1);
    let before = std::fs::read(&path).unwrap();
    for to in ["--save", "--trace"] {
        let ended = bench(&["--against", file, to, file]).with(2).complains(&["b.json", "would replace it"]);
        assert!(ended.stdout.is_empty(), "nothing was measured: {ended:#?}");
        let ended = bench(&[to, "/nowhere/b.json"]).with(5).complains(&["there is no folder /nowhere"]);
        assert!(ended.stdout.is_empty(), "nothing was measured: {ended:#?}");
    }
    assert!(std::fs::read(&path).unwrap() == before);
    bench(&["--against", file, "--fail-above", "5%"]).with(1).says(&["change"]);
    bench(&["--against", file]).with(0);
    let json = bench(&["--against", file, "--fail-above", "5", "--json"]).with(1).json();
    assert!(json["against"][0]["slower"].as_f64().unwrap() > 1.0, "{json:#}");
    set(1 << 50);
    bench(&["--against", file, "--fail-above", "5%"]).with(0).says(&["-100.0 %"]);
    let other = ["bench", &lenet, "--time", "5ms", "--threads", "2", "--against", file];
    let ended = mindir(other).with(2).complains(&["b.json", "no run with these inputs"]);
    assert!(ended.stdout.is_empty(), "nothing was measured: {ended:#?}");
    let renamed = dir.path().join("five.mindir");
    std::fs::copy(&lenet, &renamed).unwrap();
    let ended =
        mindir(["bench", renamed.to_str().unwrap(), "--time", "5ms", "--threads", "1", "--against", file]).with(0);
    assert!(["lenet5.mindir", "five.mindir"].iter().all(|name| ended.stderr.contains(name)), "{ended:#?}");
    assert!(bench(&["--against", file]).with(0).stderr.is_empty());
    bench(&["--fail-above", "5%"]).with(2);
    for wrong in ["x", "-5%", "nan"] {
        bench(&["--against", file, &format!("--fail-above={wrong}")]).with(2);
    }
    std::fs::write(&path, "{}").unwrap();
    bench(&["--against", file]).with(4).complains(&["expected a report of `bench --save`"]);
    bench(&["--against", "/nowhere/b.json"]).with(5).complains(&["there is no folder"]);
}

/// What is measured when the command is interrupted is kept.
#[cfg(unix)]
#[test]
fn rows_are_kept_as_they_are_measured() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.json");
    let lenet = digits("lenet5.mindir");
    let args = ["bench", &lenet, "--time", "20ms", "--warmup", "0", "--threads", "1", "--batch", "1"];
    let later = ["--concurrency", &format!("1{}", ",2".repeat(10_000)), "--save", path.to_str().unwrap()];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mindir"))
        .args(args.iter().chain(&later))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let rows = BufReader::new(child.stdout.take().unwrap()).lines().skip(2);
    assert!(rows.take(1).all(|row| row.unwrap().trim_start().starts_with('1')));
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(!child.wait().unwrap().success());
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(kept["runs"][0]["concurrency"], 1, "{kept:#}");
}

#[test]
fn runs_of_another_precision_are_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept.json");
    let (lenet, kept) = (digits("lenet5.mindir"), kept.to_str().unwrap());
    let bench = |more: &[&str]| {
        mindir([&["bench", &lenet, "--time", "1ms", "--warmup", "1ms", "--threads", "1"], more].concat())
    };
    bench(&["--save", kept]).with(0);
    bench(&["--against", kept]).with(0);
    bench(&["--against", kept, "--precision", "f16"]).with(2).complains(&["no run with these", "precision"]);
    // What says neither is of the CPU, in f32.
    let mut old: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(kept).unwrap()).unwrap();
    for field in ["device", "precision"] {
        old["runs"][0].as_object_mut().unwrap().remove(field).unwrap();
    }
    std::fs::write(kept, old.to_string()).unwrap();
    bench(&["--against", kept]).with(0);
}
