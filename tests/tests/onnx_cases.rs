//! Small ONNX models give what ONNX Runtime gives; `tests/onnx/README.md` describes them.

use std::fs;
use std::path::Path;

use mindir::{GraphCell, Tensor, npy};
use mindir_tests::compare::difference;

const TOLERANCE: f64 = 1e-5;

fn arrays(folder: &Path, name: &str) -> Result<Vec<Tensor>, String> {
    let paths = (0..).map(|i| folder.join(format!("{name}_{i}.npy"))).take_while(|path| path.exists());
    paths.map(|path| npy::read(&path).map_err(|e| e.to_string())).collect()
}

fn check(folder: &Path) -> Result<(), String> {
    let (inputs, wants) = (arrays(folder, "in")?, arrays(folder, "out")?);
    let model = mindir::load(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let cell = GraphCell::new(model, Default::default()).map_err(|e| e.to_string())?;
    let got = cell.run(&inputs).map_err(|e| e.to_string())?;
    if wants.is_empty() || got.len() != wants.len() {
        return Err(format!("{} results, expected {}", got.len(), wants.len()));
    }
    for (i, (got, want)) in got.iter().zip(&wants).enumerate() {
        let d = difference(got, want).map_err(|e| format!("output {i}: {e}"))?;
        if d.relative() > TOLERANCE {
            return Err(format!("output {i} differs by {:.1e}", d.relative()));
        }
    }
    Ok(())
}

#[test]
fn cases_agree_with_onnx_runtime() {
    let mut folders: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let failures: Vec<String> =
        folders.iter().filter_map(|f| Some(format!("{}: {}", f.display(), check(f).err()?))).collect();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), folders.len(), failures.join("\n"));
    assert!(folders.len() >= 191, "only {} cases", folders.len());
}
