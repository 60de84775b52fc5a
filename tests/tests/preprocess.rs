//! Recorded preprocessing gives what MindSpore's dataset operators give.
//!
//! `MINDIR_PREPROCESS` names another folder, as `tests/oracle/preprocess.py` makes it.

use std::path::{Path, PathBuf};

use mindir::{ExportOptions, GraphCell, Options, Tensor, npy, picture};

/// Largest difference of one number, and the mean over all, in steps of 8-bit pixels: PNG files decode to the same pixels
/// everywhere, JPEG decoders round differently.
fn allowed(picture: &Path) -> (f64, f64) {
    if picture.extension().is_some_and(|e| e == "jpg") { (6.0, 0.5) } else { (0.0, 0.0) }
}

/// Steps of 8-bit pixels in the numbers of a pipeline.
fn step(name: &str) -> f64 {
    match name {
        "resnet" => 1.0 / 57.0,
        _ => 1.0,
    }
}

fn check(folder: &Path) -> Result<(), String> {
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let model = mindir::load(folder.join("model.mindir")).map_err(|e| e.to_string())?;
    let file = ["picture.png", "picture.jpg"].map(|f| folder.join(f)).into_iter().find(|p| p.exists());
    let file = file.ok_or("no picture")?;
    let pixels = picture::read(&file).map_err(|e| e.to_string())?;
    let got = picture::input(&model, pixels).map_err(|e| e.to_string())?;
    let want = npy::read(folder.join("expected.npy")).map_err(|e| e.to_string())?;
    if got.fact() != want.fact() {
        return Err(format!("expected {}, found {}", want.fact(), got.fact()));
    }
    let numbers = |t: &Tensor| t.to_f64s().map_err(|e| e.to_string());
    let differences: Vec<f64> = numbers(&got)?.iter().zip(numbers(&want)?).map(|(a, b)| (a - b).abs()).collect();
    let most = differences.iter().copied().fold(0.0, f64::max);
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let (most_allowed, mean_allowed) = allowed(&file);
    // Computations on floats are rounded in another order.
    let rounding = 1e-6 * numbers(&want)?.iter().map(|x| x.abs()).fold(1.0, f64::max);
    println!("{name:12} largest difference {most:.3e}, mean {mean:.3e}");
    if most > most_allowed * step(name) + rounding || mean > mean_allowed * step(name) + rounding {
        return Err(format!("differs by {most:.3e} at most and {mean:.3e} in the mean"));
    }
    let exported = tempfile::tempdir().map_err(|e| e.to_string())?;
    let again = exported.path().join("again.mindir");
    mindir::export(&model, &again, &ExportOptions::default()).map_err(|e| e.to_string())?;
    let again = mindir::load(&again).map_err(|e| e.to_string())?;
    if again.preprocess != model.preprocess {
        return Err(format!("an export records {:?}", again.preprocess));
    }
    let cell = GraphCell::new(model, Options::default()).map_err(|e| e.to_string())?;
    cell.run(&[got]).map(drop).map_err(|e| e.to_string())
}

#[test]
fn pictures_are_prepared_as_by_mindspore() {
    let root = std::env::var_os("MINDIR_PREPROCESS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("preprocess"), PathBuf::from);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 10, "no pipelines in {}", root.display());
    let failures: Vec<String> =
        folders.iter().filter_map(|f| check(f).err().map(|e| format!("{}: {e}", f.display()))).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
