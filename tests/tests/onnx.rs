//! Random control flow written as ONNX and read again gives the same bits; other models do so in the suite, and
//! `tests/oracle/onnx_out.py` asks ONNX Runtime.

use std::sync::Arc;

use mindir::onnx::{self, Options};
use mindir::{GraphCell, check};
use mindir_tests::shapes::Sample;
use mindir_tests::{flows, golden};

/// A layer that MindIR has as a loop, so that more than one plan covers it, is held to the tolerance only.
#[test]
fn layers_that_become_loops_pass_the_check() {
    let path = golden::folder().join("../onnx/rnn_fixed/model.onnx");
    let model = Arc::new(mindir::load(path).unwrap());
    let sets = check::inputs(&model, &[], &mindir::Options::default()).unwrap();
    assert!(sets.len() > 1);
    for set in sets {
        let report = check(model.clone(), &set.inputs, &check::Options::default()).unwrap();
        assert!(report.is_equal(), "{}: {:?}", set.name, report.faults().collect::<Vec<_>>());
    }
}

/// Random control flow; most of it comes back to where it was from inside of conditions and other loops.
#[test]
fn flows_survive_onnx() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    let (mut failures, mut count) = (Vec::new(), 0);
    for seed in 0..120 {
        let Some(sample) = flows::sample(seed) else { continue };
        count += 1;
        // What may never end has no form.
        let outcome = flow(&sample, &path).err().filter(|e| !e.contains("nothing ends the loop"));
        failures.extend(outcome.map(|e| format!("seed {seed}: {e}")));
    }
    assert!(count > 30, "only {count} models end");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

fn flow(sample: &Sample, path: &std::path::Path) -> Result<(), String> {
    onnx::export(&sample.model, path, &Options::default()).map_err(|e| e.to_string())?;
    let model = mindir::load(path).map_err(|e| format!("import: {e}"))?;
    let cell = GraphCell::new(model, Default::default()).map_err(|e| format!("cell: {e}"))?;
    for (inputs, want) in &sample.runs {
        let got = cell.run(inputs).map_err(|e| e.to_string())?;
        for (got, want) in got.iter().zip(want) {
            if got.shape() != want.shape() || got.bytes() != want.bytes() {
                return Err(format!("expected {want:?}, found {got:?}"));
            }
        }
    }
    Ok(())
}
