//! Random networks: every way to run them gives the same, and the same as the plain definitions of their operators.
//!
//! `MINDIR_RANDOM_SECONDS` runs them for that long from a fresh seed, which is printed; `MINDIR_RANDOM_SEED` says where to
//! start. What fails is made smaller and printed, and written to a folder in `MINDIR_RANDOM_OUT`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mindir::check::{self, agreement};
use mindir::{ExportOptions, GraphCell, npy};
use mindir_tests::random::grow::network;
use mindir_tests::random::network::Network;
use mindir_tests::random::{keep, kind, message, seeds};

/// What is wrong with a network.
fn fault(net: &Network) -> Option<String> {
    let run = || -> Result<(), String> {
        let model = net.model().map_err(|e| format!("building: {e}"))?;
        let inputs = net.contents();
        let options = check::Options { threads: 2, tolerance: None };
        let report = mindir::check(model.clone(), &inputs, &options).map_err(|e| format!("fails: {e}"))?;
        if let Some((run, fault)) = report.faults().next() {
            return Err(format!("{run}: {fault}"));
        }
        let cell = GraphCell::new(model, mindir::Options::default()).map_err(|e| e.to_string())?;
        let results = cell.run(&inputs).map_err(|e| e.to_string())?;
        for (i, (got, v)) in results.iter().zip(&net.outputs).enumerate() {
            let apart = agreement(got, net.tensor(*v), report.tolerance.max(1e-3));
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
    if let Ok(model) = net.model() {
        model.graphs.iter().for_each(|g| text += &g.to_string());
        for (v, t) in net.inputs().iter().zip(net.contents()) {
            text += &format!("x{v} = {} {:?}\n", t.fact(), t.to_f64s().unwrap_or_default());
        }
        if let Some(folder) = keep::folder() {
            let folder = folder.join(format!("fault_{seed}"));
            let _ = std::fs::create_dir_all(&folder);
            let _ = mindir::export(&model, folder.join("model.mindir"), &ExportOptions::default());
            for (i, t) in net.contents().iter().enumerate() {
                let _ = npy::write(folder.join(format!("in_{i}.npy")), t);
            }
        }
    }
    text
}

/// Keeps the network as ONNX, if it has such a form, with what is computed from it here.
fn kept(seed: u64, net: &Network) -> Option<()> {
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

/// Networks that once were wrong: a file with another epsilon, statistics of rows in ONNX, infinities in activations, means
/// and padded convolutions, positions of maxima, boxes and padded volumes in ONNX, the largest of nothing, constants behind
/// calls, scalars that are joined, infinities in resized images.
const FOUND: [u64; 17] = [
    1753831982682448,
    1753831982682486,
    1753831982682520,
    1753831982682533,
    1753831982682443,
    1753831982682600,
    1753831982684913,
    1753831982685032,
    1753831982685964,
    1753831982687299,
    1753831982687937,
    1753831982691785,
    1753848105731607,
    1753848105740898,
    1753850615811595,
    1753850615827282,
    1753851366898164,
];

#[test]
fn random_networks_are_the_same_in_every_way() {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut networks, mut nodes, mut failures) = (0, 0, Vec::new());
    for seed in FOUND.into_iter().chain(seeds(60)) {
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
            kept(seed, &net);
        }
    }
    println!("{networks} networks of {nodes} nodes, {} failures", failures.len());
    let shown = &failures[..failures.len().min(20)];
    assert!(failures.is_empty(), "{} of {networks} networks failed:\n{}", failures.len(), shown.join("\n"));
    assert!(networks > 0);
}
