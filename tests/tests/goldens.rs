//! Goldens that the oracle made agree with MindSpore; those of the repository do so in the suite.
//!
//! `MINDIR_GOLDENS` names their folder, `MINDIR_GOLDEN` only those whose name contains it; `MINDIR_DEVICE` the device, which has to
//! compute them wholly.

use std::path::Path;

use mindir::{Fallback, GraphCell, Options, Tensor};
use mindir_tests::compare::difference;
use mindir_tests::golden::{self, Golden};

/// Two threads, or the device that is wanted.
fn options() -> Options {
    let options = Options { threads: Some(2), ..Options::default() };
    match std::env::var("MINDIR_DEVICE") {
        Ok(device) => Options { fallback: Fallback::Deny, ..options }.on(&device).expect("the device that is wanted"),
        Err(_) => options,
    }
}

/// What went wrong with one golden; the largest relative difference if nothing.
fn check(golden: &Golden, options: &Options) -> Result<f64, String> {
    let load = || {
        let model = mindir::load(&golden.graph).map_err(|e| format!("load: {e}"))?;
        GraphCell::new(model, options.clone()).map_err(|e| format!("cell: {e}"))
    };
    let mut cell = load()?;
    let mut pairs = Vec::new();
    for (i, set) in golden.runs.iter().enumerate() {
        if i > 0 && !golden.steps {
            cell = load()?;
        }
        let got = cell.run(&set.inputs(cell.inputs().len())).map_err(|e| format!("{}: {e}", set.name))?;
        if got.len() != set.outputs.len() {
            return Err(format!("{}: expected {} outputs, found {}", set.name, set.outputs.len(), got.len()));
        }
        if let Some(reference) = &golden.reference {
            compare_direction(&got[0], reference, i)?;
        }
        let wants = got.into_iter().zip(&set.outputs).enumerate();
        pairs.extend(
            wants.filter_map(|(i, (got, want))| Some((format!("{} output {i}", set.name), got, want.as_ref()?))),
        );
    }
    for (name, want) in &golden.after {
        let got = cell.param(name).ok_or_else(|| format!("no parameter {name}"))?;
        pairs.push((format!("parameter {name}"), got, want));
    }
    let mut worst = 0f64;
    for (what, got, want) in pairs {
        let apart = difference(&got, want).map_err(|e| format!("{what}: {e}"))?.relative();
        if apart > golden.tolerance {
            return Err(format!("{what} differs by {apart:.3e}, allowed {:.1e}", golden.tolerance));
        }
        worst = worst.max(apart);
    }
    Ok(worst)
}

/// Embeddings point where the reference's row `i` points: cosine at least 0.9999.
fn compare_direction(got: &Tensor, reference: &Tensor, i: usize) -> Result<(), String> {
    let (got, all) = (got.to_f64s().map_err(|e| e.to_string())?, reference.to_f64s().map_err(|e| e.to_string())?);
    let want = all.chunks_exact(got.len()).nth(i).ok_or_else(|| format!("the reference has no row {i}"))?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let cosine = dot(&got, want) / (dot(&got, &got) * dot(want, want)).sqrt();
    if cosine >= 0.9999 { Ok(()) } else { Err(format!("row {i} of the reference: cosine {cosine}")) }
}

#[test]
#[ignore = "MINDIR_GOLDENS has to name a folder that the oracle made"]
fn goldens_of_the_oracle_agree() {
    let folder = std::env::var("MINDIR_GOLDENS").expect("MINDIR_GOLDENS names a folder");
    let only = std::env::var("MINDIR_GOLDEN").unwrap_or_default();
    let goldens = golden::all(Path::new(&folder));
    let list: Vec<&Golden> = goldens.iter().filter(|g| g.name.contains(&only)).collect();
    assert!(!list.is_empty(), "no goldens in {folder}");
    let (mut failures, options) = (Vec::new(), options());
    for golden in &list {
        match check(golden, &options) {
            Ok(worst) => println!("{:28} {worst:.2e}", golden.name),
            Err(e) => failures.push(format!("{}: {e}", golden.name)),
        }
    }
    println!("{} of {} goldens agree", list.len() - failures.len(), list.len());
    assert!(failures.is_empty(), "{} goldens differ:\n{}", failures.len(), failures.join("\n"));
}
