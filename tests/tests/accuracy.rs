//! The error of whole networks against their own `f64` run is no larger than twice MindSpore's.
//!
//! `MINDIR_GOLDENS` names another folder of goldens. Networks with control flow or state, and those that compute in other
//! types than `f32`, are left out: they have no plain `f64` twin.

use std::path::PathBuf;

use mindir::{DType, GraphCell, Options};
use mindir_tests::golden::{self, Golden};
use mindir_tests::{compare, precise};

/// Errors below this, relative to the largest output, are rounding noise of either side.
const NOISE: f64 = 2e-7;

/// Small networks of the committed goldens.
const NETWORKS: &[&str] = &[
    "lenet5",
    "mlp_small",
    "resnet_basic_small",
    "mobilenet_small",
    "vit_small",
    "bert_small",
    "gpt2_kv_small",
    "yolo_small",
];

fn chosen() -> Vec<Golden> {
    match std::env::var_os("MINDIR_GOLDENS") {
        Some(folder) => golden::all(&PathBuf::from(folder)),
        None => NETWORKS.iter().map(|n| golden::read(&golden::folder().join(n))).collect(),
    }
}

/// Largest errors of ours and of MindSpore's outputs against `f64`, relative to the largest output.
fn errors(golden: &Golden) -> Result<(f64, f64), String> {
    let model = mindir::load(&golden.graph).map_err(|e| e.to_string())?;
    let set = &golden.runs[0];
    let exact = precise::run(&model, &set.inputs)?;
    let cell = GraphCell::new(model, Options::default()).map_err(|e| e.to_string())?;
    let got = cell.run(&set.inputs).map_err(|e| e.to_string())?;
    let (mut ours, mut theirs) = (0f64, 0f64);
    for ((got, want), exact) in got.iter().zip(&set.outputs).zip(&exact) {
        let Some(want) = want.as_ref().filter(|w| w.dtype() == DType::F32) else { continue };
        let error = |t: &mindir::Tensor| {
            let wide = t.cast(DType::F64).map_err(|e| e.to_string())?;
            let d = compare::difference(&wide, exact)?;
            Ok::<f64, String>(d.max_abs / d.scale.max(f64::MIN_POSITIVE))
        };
        ours = ours.max(error(got)?);
        theirs = theirs.max(error(want)?);
    }
    Ok((ours, theirs))
}

#[test]
fn no_worse_than_twice_mindspore() {
    let mut failures = Vec::new();
    for g in chosen() {
        match errors(&g) {
            Ok((ours, theirs)) => {
                println!("{:24} ours {ours:.2e}  MindSpore {theirs:.2e}", g.name);
                if ours > 2.0 * theirs + NOISE {
                    failures.push(format!("{}: ours {ours:.2e}, MindSpore {theirs:.2e}", g.name));
                }
            }
            Err(e) => failures.push(format!("{}: {e}", g.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
