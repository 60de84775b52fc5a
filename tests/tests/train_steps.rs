//! Training steps as MindSpore exports them: the weights after some steps are MindSpore's, and an interruption changes nothing.

use std::path::Path;

use mindir::ckpt::{self, LoadOptions, ReadOptions, WriteOptions};
use mindir::{GraphCell, Options};
use mindir_tests::compare::difference;
use mindir_tests::golden::{self, Golden, RunSet};

fn cell(golden: &Golden) -> GraphCell {
    GraphCell::new(mindir::load(&golden.graph).unwrap(), Options::default()).unwrap()
}

fn train(cell: &GraphCell, steps: &[RunSet]) {
    for step in steps {
        cell.run(&step.inputs(cell.inputs().len())).unwrap();
    }
}

/// The largest difference of a weight from MindSpore's, relative to the largest weight of its tensor.
fn apart(golden: &Golden, cell: &GraphCell) -> (f64, String) {
    let one = |(name, want): &(String, mindir::Tensor)| {
        let got = cell.param(name).unwrap_or_else(|| panic!("{}: no parameter {name}", golden.name));
        (difference(&got, want).unwrap().relative(), name.clone())
    };
    golden.after.iter().map(one).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// Trains at one go, and again with the parameters stored and read in between.
fn check(golden: &Golden) {
    let whole = cell(golden);
    train(&whole, &golden.runs);
    let (worst, name) = apart(golden, &whole);
    println!("{:24} {:3} steps, weights differ by {worst:.2e} at most ({name})", golden.name, golden.runs.len());
    assert!(worst <= 1e-4, "{}: {name} differs by {worst:e}", golden.name);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.ckpt");
    let (before, after) = golden.runs.split_at(golden.runs.len() / 2);
    let first = cell(golden);
    train(&first, before);
    ckpt::write(&path, &first.checkpoint(), &WriteOptions::default()).unwrap();
    let mut second = cell(golden);
    let saved = ckpt::read(&path, &ReadOptions::default()).unwrap();
    second.load_param_into_net(&saved, LoadOptions { strict: true }).unwrap();
    train(&second, after);
    assert_eq!(second.checkpoint(), whole.checkpoint(), "{}: an interruption changes the result", golden.name);
}

/// The goldens in `folder` that train.
fn steps(folder: &Path) -> Vec<Golden> {
    let trains = |golden: &Golden| golden.name.starts_with("train_") && golden.steps;
    let list: Vec<Golden> = golden::all(folder).into_iter().filter(trains).collect();
    assert!(!list.is_empty(), "no training steps in {}", folder.display());
    list
}

#[test]
fn steps_may_be_interrupted() {
    steps(&golden::folder()).iter().for_each(check);
}

#[test]
#[ignore = "MINDIR_GOLDENS has to name a folder that the oracle made"]
fn steps_of_the_oracle_may_be_interrupted() {
    let folder = std::env::var("MINDIR_GOLDENS").expect("MINDIR_GOLDENS names a folder");
    steps(Path::new(&folder)).iter().for_each(check);
}
