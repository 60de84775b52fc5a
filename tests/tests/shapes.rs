//! Random shape arithmetic over open dimensions, written as ONNX and read again, gives the same results at every size;
//! `tests/oracle/onnx_out.py` asks ONNX Runtime.

use mindir::onnx::{self, Options};
use mindir::{Error, GraphCell};
use mindir_tests::compare::difference;
use mindir_tests::shapes::{Sample, sample};

/// How many seeds are tried.
const SEEDS: u64 = 300;

fn through(sample: &Sample, path: &std::path::Path) -> Result<(), String> {
    let model = mindir::load(path).map_err(|e| format!("import: {e}"))?;
    let cell = GraphCell::new(model, Default::default()).map_err(|e| format!("cell: {e}"))?;
    for (inputs, outputs) in &sample.runs {
        let shapes: Vec<_> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        let got = cell.run(inputs).map_err(|e: Error| format!("{shapes:?}: {e}"))?;
        for (i, (got, want)) in got.iter().zip(outputs).enumerate() {
            let d = difference(got, want).map_err(|e| format!("{shapes:?} output {i}: {e}"))?;
            if d.relative() > 1e-5 {
                return Err(format!("{shapes:?} output {i}: differs by {:.1e}", d.relative()));
            }
        }
    }
    Ok(())
}

#[test]
fn shape_arithmetic_survives_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let (mut written, mut made, mut failures) = (0, 0, Vec::new());
    for seed in 0..SEEDS {
        let Some(sample) = sample(seed) else { continue };
        made += 1;
        if onnx::export(&sample.model, &path, &Options::default()).is_err() {
            continue;
        }
        written += 1;
        failures.extend(through(&sample, &path).err().map(|e| format!("seed {seed}: {e}")));
    }
    assert!(failures.is_empty(), "{} of {written}:\n{}", failures.len(), failures.join("\n"));
    assert!(made > SEEDS / 2 && written > made / 2, "{made} models of {SEEDS} seeds, {written} written");
}
