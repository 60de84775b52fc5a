//! Writes every case of every operator as an ONNX model with inputs and expected results, for `tests/oracle/onnx_out.py`.
//!
//! `onnx_cases FOLDER [OPSET]` makes `FOLDER/cases.json`, `FOLDER/data.bin` and `FOLDER/N.onnx`. Each case comes twice: with
//! the shapes of its inputs, and with all their dimensions open.
//!
//! `onnx_cases FOLDER OPSET SEED COUNT` writes random models over open dimensions and of random control flow in their place,
//! each with several inputs.

use std::path::{Path, PathBuf};

use mindir::onnx::{self, Options};
use mindir_graph::graph::Model;
use mindir_graph::{Dim, Tensor};
use mindir_tests::compare::unit;
use mindir_tests::suite::{Call, Case, operators};
use mindir_tests::{flows, shapes};
use serde_json::{Value, json};

struct Writer {
    folder: PathBuf,
    data: Vec<u8>,
    rows: Vec<Value>,
    opset: i64,
}

impl Writer {
    fn tensors(&mut self, tensors: &[Tensor]) -> Value {
        let mut one = |t: &Tensor| {
            let offset = self.data.len();
            self.data.extend_from_slice(t.bytes());
            json!({"dtype": t.dtype().name(), "shape": t.shape(), "offset": offset, "bytes": t.bytes().len()})
        };
        tensors.iter().map(&mut one).collect()
    }

    fn row(&mut self, case: &Case, open: bool, model: &Model, call: &Call) {
        let (file, outcome) = self.write(model);
        let wants: Vec<Tensor> = call.wants.iter().flatten().cloned().collect();
        let (inputs, outputs) = (self.tensors(&call.inputs), self.tensors(&wants));
        let (op, name) = case.name.trim_start_matches("operator/").split_once('/').unwrap_or(("", &case.name));
        self.rows.push(json!({
            "op": op, "case": name, "open": open, "file": file, "tolerance": tolerance(case, &wants),
            "inputs": inputs, "outputs": outputs, "reason": outcome,
        }));
    }

    /// The file with `model`, and why there is none.
    fn write(&mut self, model: &Model) -> (String, Option<String>) {
        let file = format!("{}.onnx", self.rows.len());
        let outcome =
            onnx::export(model, self.folder.join(&file), &Options { opset: self.opset, ..Options::default() });
        (file, outcome.err().map(|e| e.to_string()))
    }

    fn random(&mut self, seed: u64) {
        let Some(sample) = (if seed.is_multiple_of(2) { shapes::sample(seed) } else { flows::sample(seed) }) else {
            return;
        };
        let (file, outcome) = self.write(&sample.model);
        for (inputs, outputs) in &sample.runs {
            let (inputs, outputs) = (self.tensors(inputs), self.tensors(outputs));
            self.rows.push(json!({
                "op": "random", "case": format!("seed {seed}"), "open": true, "file": file, "tolerance": 1e-5,
                "inputs": inputs, "outputs": outputs, "reason": outcome,
            }));
        }
    }

    fn case(&mut self, case: &Case) -> Result<(), String> {
        let content = case.content()?;
        for call in &content.calls {
            self.row(case, false, &content.model, call);
            let mut open = Model::clone(&content.model);
            for value in open.graphs[0].values.iter_mut() {
                value.spec.dims.iter_mut().flatten().for_each(|d| *d = Dim::Unknown);
            }
            if call.inputs.iter().any(|t| !t.shape().is_empty()) {
                self.row(case, true, &open, call);
            }
        }
        Ok(())
    }
}

/// How far another runtime may be off: some units in the last place of the shortest type among the results.
fn tolerance(case: &Case, wants: &[Tensor]) -> f64 {
    let units = |t: &Tensor| 16.0 * unit(t.dtype());
    if case.exact { 0.0 } else { wants.iter().filter(|t| t.dtype().is_float()).map(units).fold(0.0, f64::max) }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: onnx_cases FOLDER [OPSET [SEED COUNT]]")?;
    let opset = args.next().map_or(Ok(Options::default().opset), |o| o.parse())?;
    std::fs::create_dir_all(&folder)?;
    let mut writer = Writer { folder: Path::new(&folder).into(), data: Vec::new(), rows: Vec::new(), opset };
    match (args.next(), args.next()) {
        (Some(seed), Some(count)) => {
            let seed: u64 = seed.parse()?;
            (seed..seed + count.parse::<u64>()?).for_each(|seed| writer.random(seed));
        }
        _ => {
            for case in operators() {
                writer.case(&case)?;
            }
        }
    }
    std::fs::write(writer.folder.join("data.bin"), &writer.data)?;
    std::fs::write(writer.folder.join("cases.json"), serde_json::to_vec(&writer.rows)?)?;
    println!("{} cases", writer.rows.len());
    Ok(())
}
