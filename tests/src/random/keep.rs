//! Random cases on the disk: ONNX models for `tests/oracle/random_onnx.py`, networks for later runs.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use mindir::ExportOptions;
use mindir::ckpt::{self, Checkpoint, ReadOptions, WriteOptions};
use mindir::graph::Model;
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

/// A model with inputs and the results that the plain definitions of its operators give.
pub struct Kept {
    /// The model.
    pub model: Model,
    /// Its inputs.
    pub inputs: Vec<Tensor>,
    /// The results.
    pub results: Vec<Tensor>,
}

impl Kept {
    /// Writes `NAME.mindir` and, with inputs `x0`, `x1`, … and results `y0`, `y1`, …, `NAME.safetensors`.
    ///
    /// # Errors
    /// What writing the files says.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
        std::fs::create_dir_all(folder)?;
        mindir::export(&self.model, folder.join(format!("{name}.mindir")), &ExportOptions::default())?;
        let mut values = Checkpoint::new();
        for (kind, tensors) in [("x", &self.inputs), ("y", &self.results)] {
            tensors.iter().enumerate().for_each(|(i, t)| drop(values.insert(format!("{kind}{i}"), t.clone())));
        }
        ckpt::write(folder.join(format!("{name}.safetensors")), &values, &WriteOptions::default())?;
        Ok(())
    }

    /// Reads what [`write`](Kept::write) wrote.
    ///
    /// # Errors
    /// What reading the files says.
    pub fn read(folder: &Path, name: &str) -> Result<Kept, Box<dyn Error>> {
        let model = mindir::load(folder.join(format!("{name}.mindir")))?;
        let values = ckpt::read(folder.join(format!("{name}.safetensors")), &ReadOptions::default())?;
        let tensors = |kind: &str| {
            let value = |i: usize| values.get(&format!("{kind}{i}"));
            let all = (0..).map_while(value).filter_map(|v| v.array());
            all.map(|a| a.tensor()).collect::<Result<Vec<_>, _>>()
        };
        Ok(Kept { model, inputs: tensors("x")?, results: tensors("y")? })
    }
}
