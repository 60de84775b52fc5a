//! Random networks: every way to run them gives the same, and the same as the plain definitions of their operators.
//!
//! `MINDIR_RANDOM_SECONDS` runs them for that long from a fresh seed, which is printed; `MINDIR_RANDOM_SEED` says where to
//! start. What fails is made smaller, printed and, once mended, belongs into `tests/found`: `MINDIR_RANDOM_OUT` names the folder
//! that it is written to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir::check::{self, agreement};
use mindir::{GraphCell, OpError};
use mindir_tests::random::grow::network;
use mindir_tests::random::keep::{self, Kept};
use mindir_tests::random::network::Network;
use mindir_tests::random::{kind, message, persists, seeds};

/// What is wrong with a network.
fn fault(net: &Network) -> Option<String> {
    let kept = match catch_unwind(AssertUnwindSafe(|| kept(net))) {
        Ok(Ok(kept)) => kept,
        Ok(Err(e)) => return Some(format!("building: {e}")),
        Err(panic) => return Some(format!("panic: {}", message(&*panic))),
    };
    fault_of(&kept)
}

fn kept(net: &Network) -> Result<Kept, OpError> {
    let results = net.outputs.iter().map(|v| net.tensor(*v).clone()).collect();
    Ok(Kept { model: net.model()?, inputs: net.contents(), results })
}

/// What is wrong with a model: where two ways to run it differ, or its results from those that it is said to have.
fn fault_of(kept: &Kept) -> Option<String> {
    let run = || -> Result<(), String> {
        let model = Arc::new(kept.model.clone());
        let options = check::Options { threads: 2, ..check::Options::default() };
        let report = mindir::check(model.clone(), &kept.inputs, &options).map_err(|e| format!("fails: {e}"))?;
        if let Some((run, fault)) = report.faults().next()
            && persists(&model, &kept.inputs, &fault.what)
        {
            return Err(format!("{run}: {fault}"));
        }
        let cell = GraphCell::new(model, mindir::Options::default()).map_err(|e| e.to_string())?;
        let results = cell.run(&kept.inputs).map_err(|e| e.to_string())?;
        for (i, (got, want)) in results.iter().zip(&kept.results).enumerate() {
            let apart = agreement(got, want, report.tolerance.max(1e-3));
            apart.map_err(|e| format!("against the definitions: output {i}: {e}"))?;
        }
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.err(),
        Err(panic) => Some(format!("panic: {}", message(&*panic))),
    }
}

fn shrunk(net: &Network, text: &str) -> Network {
    let end = Instant::now() + Duration::from_secs(20);
    net.shrunk(|small| Instant::now() < end && fault(small).is_some_and(|found| kind(&found) == kind(text)))
}

fn describe(seed: u64, net: &Network) -> String {
    let mut text = String::new();
    if let Ok(kept) = kept(net) {
        kept.model.graphs.iter().for_each(|g| text += &g.to_string());
        for (v, t) in net.inputs().iter().zip(&kept.inputs) {
            text += &format!("x{v} = {} {:?}\n", t.fact(), t.to_f64s().unwrap_or_default());
        }
        if let Some(folder) = keep::folder()
            && let Err(e) = kept.write(&folder, &seed.to_string())
        {
            text += &format!("cannot be kept: {e}\n");
        }
    }
    text
}

/// Keeps the network as ONNX, if it has such a form, with what is computed from it here.
fn keep_onnx(seed: u64, net: &Network) -> Option<()> {
    let folder = keep::folder()?;
    std::fs::create_dir_all(&folder).ok()?;
    let path = folder.join(format!("model_{seed}.onnx"));
    let model = net.model().ok()?;
    mindir::onnx::export(&model, &path, &mindir::onnx::Options::default()).ok()?;
    let bytes = std::fs::read(&path).ok()?;
    std::fs::remove_file(&path).ok()?;
    let inputs = net.contents();
    let results = GraphCell::new(model, mindir::Options::default()).ok()?.run(&inputs).ok()?;
    keep::keep(&folder.join(format!("mindir_{seed}")), &bytes, &[(inputs, results)], 1e-3).ok()
}

/// Networks that once were wrong, as `describe` kept them.
#[test]
fn networks_that_were_wrong_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    let mut names: Vec<String> = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.strip_suffix(".mindir").map(String::from));
    }
    assert!(!names.is_empty());
    for name in names {
        let kept = Kept::read(&folder, &name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(fault_of(&kept), None, "{name}");
    }
}

#[test]
fn random_networks_are_the_same_in_every_way() {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut networks, mut nodes, mut failures) = (0, 0, Vec::new());
    for seed in seeds(60) {
        let net = match catch_unwind(|| network(seed)) {
            Ok(net) => net,
            Err(panic) => {
                println!("seed {seed}: panic while the definitions were computed: {}", message(&*panic));
                failures.push(format!("{seed}: panic while the definitions were computed: {}", message(&*panic)));
                continue;
            }
        };
        networks += 1;
        nodes += net.steps.len();
        if let Some(text) = fault(&net) {
            let small = shrunk(&net, &text);
            let text = fault(&small).unwrap_or(text);
            println!("seed {seed}: {text}\n{}", describe(seed, &small));
            failures.push(format!("{seed}: {text}"));
        } else {
            keep_onnx(seed, &net);
        }
    }
    println!("{networks} networks of {nodes} nodes, {} failures", failures.len());
    let shown = &failures[..failures.len().min(20)];
    assert!(failures.is_empty(), "{} of {networks} networks failed:\n{}", failures.len(), shown.join("\n"));
    assert!(networks > 0);
}
