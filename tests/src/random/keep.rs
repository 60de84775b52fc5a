//! Random cases on the disk, for `tests/oracle/random_onnx.py`.

use std::io;
use std::path::{Path, PathBuf};

use mindir_graph::Tensor;
use serde_json::{Value, json};

/// The folder that cases are kept in, if one is asked for.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os("MINDIR_RANDOM_OUT").filter(|f| !f.is_empty()).map(PathBuf::from)
}

/// Writes `model.onnx`, and inputs with results: `case.json` says where in `data.bin` they are.
///
/// # Errors
/// What the file system says.
pub fn keep(folder: &Path, onnx: &[u8], sets: &[(Vec<Tensor>, Vec<Tensor>)], tolerance: f64) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut data: Vec<u8> = Vec::new();
    let mut tensors = |all: &[Tensor]| -> Value {
        let mut one = |t: &Tensor| {
            let offset = data.len();
            data.extend_from_slice(t.bytes());
            json!({"dtype": t.dtype().name(), "shape": t.shape(), "offset": offset, "bytes": t.bytes().len()})
        };
        all.iter().map(&mut one).collect()
    };
    let sets: Vec<Value> =
        sets.iter().map(|(ins, outs)| json!({"inputs": tensors(ins), "outputs": tensors(outs)})).collect();
    let case = json!({"tolerance": tolerance, "sets": sets});
    std::fs::write(folder.join("model.onnx"), onnx)?;
    std::fs::write(folder.join("data.bin"), &data)?;
    std::fs::write(folder.join("case.json"), serde_json::to_vec(&case)?)
}
