//! Goldens: files exported by MindSpore with inputs and expected outputs; `tests/goldens/README.md` describes the layout.

use std::path::{Path, PathBuf};

use mindir::{DType, Tensor, npy};
use serde_json::Value;

/// A folder under `tests/goldens`, or one made by the oracle.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Name of the folder.
    pub name: String,
    /// The graph file.
    pub graph: PathBuf,
    /// Largest allowed difference, relative to the largest magnitude expected.
    pub tolerance: f64,
    /// Input sets, each for a freshly loaded model; or the steps of one.
    pub runs: Vec<RunSet>,
    /// Whether the runs are steps of one model.
    pub steps: bool,
    /// Another implementation's results: row `i` belongs to output 0 of run `i`.
    pub reference: Option<Tensor>,
    /// Parameters after the last step.
    pub after: Vec<(String, Tensor)>,
}

/// Inputs with expected outputs.
#[derive(Clone, Debug)]
pub struct RunSet {
    /// `.`, `case_1`, `step_0`, …
    pub name: String,
    /// Inputs, flattened.
    pub inputs: Vec<Tensor>,
    /// Numbers of tensors in the arguments.
    pub groups: Vec<usize>,
    /// Outputs, flattened, without text; `None` for those that are not compared.
    pub outputs: Vec<Option<Tensor>>,
}

impl RunSet {
    /// The inputs for a model that has `count`: a model with one for each argument takes tuples of numbers as tensors.
    pub fn inputs(&self, count: usize) -> Vec<Tensor> {
        if self.inputs.len() == count || self.groups.len() != count {
            return self.inputs.clone();
        }
        let mut rest = self.inputs.iter();
        let mut argument = |len: &usize| {
            let parts: Vec<&Tensor> = rest.by_ref().take(*len).collect();
            match parts.as_slice() {
                [one] if *len == 1 => (*one).clone(),
                parts => {
                    Tensor::vector(&parts.iter().flat_map(|t| t.to_i64s().unwrap_or_default()).collect::<Vec<_>>())
                }
            }
        };
        self.groups.iter().map(&mut argument).collect()
    }
}

/// What the leaves of a nest are.
fn leaves(nest: &Value) -> Vec<&str> {
    match nest.as_array() {
        Some(items) => items.iter().flat_map(leaves).collect(),
        None => vec![nest.as_str().unwrap_or("tensor")],
    }
}

/// The folder of the committed goldens.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

/// The folders of all goldens in a folder, by name. One whose `meta.json` is missing is among them.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs
}

/// All goldens in a folder, by name.
pub fn all(folder: &Path) -> Vec<Golden> {
    folders(folder).iter().map(|d| read(d)).collect()
}

/// The golden in `dir`, of which every file must be there.
pub fn read(dir: &Path) -> Golden {
    open(dir).unwrap_or_else(|e| panic!("{e}"))
}

/// The golden in `dir`.
///
/// # Errors
/// A file that is missing, damaged, or one too many.
pub fn open(dir: &Path) -> Result<Golden, String> {
    let text =
        std::fs::read_to_string(dir.join("meta.json")).map_err(|e| format!("{}/meta.json: {e}", dir.display()))?;
    let meta: Value = serde_json::from_str(&text).map_err(|e| format!("{}/meta.json: {e}", dir.display()))?;
    let steps = meta.get("steps").is_some();
    let sets = meta.get(if steps { "steps" } else { "cases" }).and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Golden {
        name: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        graph: dir.join(meta["graph"].as_str().unwrap_or("model.mindir")),
        tolerance: meta["tolerance"].as_f64().unwrap_or(1e-4),
        runs: sets.iter().map(|s| run_set(dir, s, &meta["differs"])).collect::<Result<_, _>>()?,
        steps,
        reference: npy::read(dir.join("reference.npy")).ok(),
        after: after(dir)?,
    })
}

fn array(path: &Path) -> Result<Tensor, String> {
    npy::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn run_set(dir: &Path, set: &Value, differs: &Value) -> Result<RunSet, String> {
    let name = set["dir"].as_str().unwrap_or(".").to_string();
    let load = |kind: &str, i: usize, v: &Value| Ok(typed(array(&dir.join(&name).join(format!("{kind}_{i}.npy")))?, v));
    let list = |key: &str| set[key].as_array().cloned().unwrap_or_default();
    for (kind, key) in [("in", "inputs"), ("out", "outputs")] {
        let path = dir.join(&name).join(format!("{kind}_{}.npy", list(key).len()));
        if path.exists() {
            return Err(format!("{}: meta.json does not know it", path.display()));
        }
    }
    let output = |i: usize, v: &Value, kind: &str| {
        let compared = differs.get(i.to_string()).is_none();
        compared.then(|| Ok(number(load("out", i, v)?, kind))).transpose()
    };
    Ok(RunSet {
        inputs: list("inputs").iter().enumerate().map(|(i, v)| load("in", i, v)).collect::<Result<_, String>>()?,
        groups: list("in_nest").iter().map(|nest| leaves(nest).len()).collect(),
        outputs: list("outputs")
            .iter()
            .zip(leaves(&set["nest"]))
            .enumerate()
            .filter(|(_, (_, kind))| *kind != "str")
            .map(|(i, (v, kind))| output(i, v, kind))
            .collect::<Result<_, String>>()?,
        name,
    })
}

/// A Python float is `f32` in a graph.
fn number(t: Tensor, kind: &str) -> Tensor {
    if kind == "float" { t.cast(DType::F32).unwrap_or(t) } else { t }
}

/// bfloat16 is stored as `f32`.
fn typed(t: Tensor, v: &Value) -> Tensor {
    let bf16 = v["dtype"].as_str() == Some("bfloat16");
    if bf16 { t.cast(DType::BF16).unwrap_or(t) } else { t }
}

fn after(dir: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let Ok(entries) = std::fs::read_dir(dir.join("after")) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let name = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|p| Ok((name(p), array(p)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a copy of a golden after `change` was made to it.
    fn changed(change: impl FnOnce(&Path)) -> Golden {
        let dir = tempfile::tempdir().unwrap();
        let from = folder().join("dense");
        for file in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        change(dir.path());
        read(dir.path())
    }

    #[test]
    fn whole_goldens_are_read() {
        let golden = changed(|_| {});
        assert!(golden.runs[0].outputs.len() == 4 && golden.runs[0].outputs.iter().all(Option::is_some));
    }

    #[test]
    #[should_panic(expected = "out_1.npy")]
    fn a_missing_result_is_noticed() {
        changed(|dir| std::fs::remove_file(dir.join("out_1.npy")).unwrap());
    }

    #[test]
    #[should_panic(expected = "out_4.npy")]
    fn a_result_too_many_is_noticed() {
        changed(|dir| {
            std::fs::copy(dir.join("out_3.npy"), dir.join("out_4.npy")).unwrap();
        });
    }
}
