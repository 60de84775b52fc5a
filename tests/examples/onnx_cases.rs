//! Writes every case of every operator as an ONNX model with inputs and expected results, for `tests/oracle/onnx_out.py`.
//!
//! `onnx_cases FOLDER [OPSET]` makes `FOLDER/cases.json`, `FOLDER/data.bin` and `FOLDER/N.onnx`. Each case comes twice: with
//! the shapes of its inputs, and with all their dimensions open.
//!
//! `onnx_cases FOLDER OPSET SEED COUNT` writes random models over open dimensions and of random control flow in their place,
//! each with several inputs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mindir::onnx::{self, Options};
use mindir_graph::builder::single;
use mindir_graph::graph::{Model, ValueId};
use mindir_graph::lower::run_node;
use mindir_graph::op::{Case, OpDef};
use mindir_graph::ops::OPS;
use mindir_graph::{Dim, Tensor};
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

    fn row(&mut self, def: &OpDef, case: &Case, open: bool, model: &Model, inputs: &[Tensor], want: &[Tensor]) {
        let (file, outcome) = self.write(model);
        let (inputs, outputs) = (self.tensors(inputs), self.tensors(want));
        self.rows.push(json!({
            "op": def.name, "case": case.name, "open": open, "file": file, "tolerance": case.tolerance,
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

    fn case(&mut self, def: &'static OpDef, case: &Case) -> Result<(), Box<dyn std::error::Error>> {
        let (model, inputs) = single(def, case, 1);
        let tensors: HashMap<ValueId, Tensor> = model.entry().inputs.iter().copied().zip(inputs).collect();
        let want = run_node(&model, model.entry(), &model.entry().nodes[0], &tensors)?;
        let (mut model, inputs) = single(def, case, want.len());
        self.row(def, case, false, &model, &inputs, &want);
        for value in &mut model.graphs[0].values {
            value.spec.dims.iter_mut().flatten().for_each(|d| *d = Dim::Unknown);
        }
        if inputs.iter().any(|t| !t.shape().is_empty()) {
            self.row(def, case, true, &model, &inputs, &want);
        }
        Ok(())
    }
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
            for def in OPS {
                for case in (def.cases)() {
                    writer.case(def, &case)?;
                }
            }
        }
    }
    std::fs::write(writer.folder.join("data.bin"), &writer.data)?;
    std::fs::write(writer.folder.join("cases.json"), serde_json::to_vec(&writer.rows)?)?;
    println!("{} cases", writer.rows.len());
    Ok(())
}
