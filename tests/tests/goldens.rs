//! Every golden runs and gives MindSpore's numbers.
//!
//! `MINDIR_GOLDENS` names another folder of goldens, as the oracle makes them; `MINDIR_GOLDEN` only those whose name contains
//! it.

use std::path::PathBuf;

use mindir::{GraphCell, Options, Tensor};
use mindir_tests::compare::difference;
use mindir_tests::golden::{self, Golden, RunSet};

fn goldens() -> Vec<Golden> {
    let folder = std::env::var_os("MINDIR_GOLDENS").map_or_else(golden::folder, PathBuf::from);
    let only = std::env::var("MINDIR_GOLDEN").unwrap_or_default();
    let list: Vec<Golden> = golden::all(&folder).into_iter().filter(|g| g.name.contains(&only)).collect();
    assert!(!list.is_empty(), "no goldens in {}", folder.display());
    list
}

/// What went wrong with one golden; the largest relative difference if nothing.
fn check(golden: &Golden, options: &Options) -> Result<f64, String> {
    let load = || {
        let model = mindir::load(&golden.graph).map_err(|e| format!("load: {e}"))?;
        GraphCell::new(model, options.clone()).map_err(|e| format!("cell: {e}"))
    };
    let mut cell = load()?;
    let mut worst = 0f64;
    for (i, set) in golden.runs.iter().enumerate() {
        if i > 0 && !golden.steps {
            cell = load()?;
        }
        let got = cell.run(&set.inputs(cell.inputs().len())).map_err(|e| format!("{}: {e}", set.name))?;
        worst = worst.max(compare_all(&got, set, golden.tolerance)?);
        if let Some(reference) = &golden.reference {
            compare_direction(&got[0], reference, i)?;
        }
    }
    for (name, want) in &golden.after {
        let got = cell.param(name).ok_or_else(|| format!("no parameter {name}"))?;
        let d = difference(&got, want).map_err(|e| format!("parameter {name}: {e}"))?;
        if d.relative() > golden.tolerance {
            return Err(format!("parameter {name} differs by {:.3e}", d.relative()));
        }
    }
    Ok(worst)
}

fn compare_all(got: &[Tensor], set: &RunSet, tolerance: f64) -> Result<f64, String> {
    if got.len() != set.outputs.len() {
        return Err(format!("{}: expected {} outputs, found {}", set.name, set.outputs.len(), got.len()));
    }
    let mut worst = 0f64;
    for (i, (got, want)) in got.iter().zip(&set.outputs).enumerate() {
        let Some(want) = want else { continue };
        let d = difference(got, want).map_err(|e| format!("{} output {i}: {e}", set.name))?;
        if d.relative() > tolerance {
            return Err(format!("{} output {i}: differs by {:.3e}, allowed {tolerance:.1e}", set.name, d.relative()));
        }
        worst = worst.max(d.relative());
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

fn run_all(options: &Options) {
    let list = goldens();
    let mut failures = Vec::new();
    for g in &list {
        match check(g, options) {
            Ok(worst) => println!("{:28} {worst:.2e}", g.name),
            Err(e) => failures.push(format!("{}: {e}", g.name)),
        }
    }
    println!("{} of {} goldens agree", list.len() - failures.len(), list.len());
    assert!(failures.is_empty(), "{} goldens differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cpu() {
    run_all(&Options { threads: Some(2), ..Options::default() });
}

#[test]
fn without_passes() {
    run_all(&Options { threads: Some(1), disabled_passes: vec!["all".into()], ..Options::default() });
}
