//! Random ONNX models: those with open dimensions give the same as those that declare them, for several sizes, and every way
//! to run them gives the same.
//!
//! `MINDIR_RANDOM_SECONDS` runs them for that long from a fresh seed, which is printed; `MINDIR_RANDOM_SEED` says where to
//! start. What fails is made smaller and printed. `MINDIR_RANDOM_OUT` keeps all models with inputs and results, for ONNX
//! Runtime to judge.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir::check::{self, agreement};
use mindir::graph::Model;
use mindir::{GraphCell, Source, Tensor};
use mindir_tests::random::keep::{folder, keep};
use mindir_tests::random::onnx::{OnnxModel, SIZES, model};
use mindir_tests::random::{kind, message, persists, seeds};

fn load(model: &OnnxModel, size: Option<usize>) -> Result<Model, String> {
    let source = Source::from_bytes("random.onnx", model.bytes(size));
    Ok(mindir::load_source(source).map_err(|e| e.to_string())?.model)
}

fn run(model: Model, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let cell = GraphCell::new(model, mindir::Options::default()).map_err(|e| e.to_string())?;
    cell.run(inputs).map_err(|e| e.to_string())
}

/// What is wrong with a model.
fn fault(model: &OnnxModel) -> Option<String> {
    let run = || -> Result<(), String> {
        let open = load(model, None).map_err(|e| format!("loading: {e}"))?;
        for size in 0..SIZES {
            let inputs = &model.contents[size];
            let declared = load(model, Some(size)).map_err(|e| format!("loading with declared dimensions: {e}"))?;
            let want = run(declared, inputs).map_err(|e| format!("with declared dimensions: {e}"))?;
            let got = run(open.clone(), inputs).map_err(|e| format!("with open dimensions: {e}"))?;
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                agreement(got, want, 1e-4).map_err(|e| format!("open dimensions: output {i}: {e}"))?;
            }
        }
        let options = check::Options { threads: 2, ..check::Options::default() };
        let (open, inputs) = (Arc::new(open), &model.contents[0]);
        let report = mindir::check(open.clone(), inputs, &options).map_err(|e| format!("fails: {e}"))?;
        let fault = report.faults().next().filter(|(_, fault)| persists(&open, inputs, &fault.what));
        fault.map_or(Ok(()), |(run, fault)| Err(format!("{run}: {fault}")))
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.err(),
        Err(panic) => Some(format!("panic: {}", message(&*panic))),
    }
}

fn shrunk(model: &OnnxModel, text: &str) -> OnnxModel {
    let end = Instant::now() + Duration::from_secs(20);
    model.shrunk(|small| Instant::now() < end && fault(small).is_some_and(|found| kind(&found) == kind(text)))
}

/// Keeps the model with what is computed from it here.
fn kept(seed: u64, model: &OnnxModel) -> Option<()> {
    let folder = folder()?.join(format!("onnx_{seed}"));
    let open = load(model, None).ok()?;
    let results = |inputs: &Vec<Tensor>| Some((inputs.clone(), run(open.clone(), inputs).ok()?));
    let sets = model.contents.iter().map(results).collect::<Option<Vec<_>>>()?;
    keep(&folder, &model.bytes(None), &sets, 1e-4).ok()
}

#[test]
fn open_dimensions_and_declared_ones_give_the_same() {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut models, mut nodes, mut failures) = (0, 0, Vec::new());
    for seed in seeds(60) {
        let Ok(random) = catch_unwind(|| model(seed)) else {
            failures.push(format!("{seed}: no model"));
            continue;
        };
        models += 1;
        nodes += random.len();
        if let Some(text) = fault(&random) {
            let small = shrunk(&random, &text);
            let text = fault(&small).unwrap_or(text);
            println!("seed {seed}: {text}\n{small}");
            failures.push(format!("{seed}: {text}"));
        } else {
            kept(seed, &random);
        }
    }
    println!("{models} models of {nodes} nodes, {} failures", failures.len());
    let shown = &failures[..failures.len().min(20)];
    assert!(failures.is_empty(), "{} of {models} models failed:\n{}", failures.len(), shown.join("\n"));
    assert!(models > 0);
}
