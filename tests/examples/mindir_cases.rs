//! Writes every case of every operator as a MindIR file with inputs and expected results, for `tests/oracle/roundtrip.py --own`.
//!
//! `mindir_cases FOLDER` makes `FOLDER/OPERATOR_NUMBER/` with `model.mindir`, `in_N.npy`, `out_N.npy`, and `after_NAME.npy` for
//! parameters that the operator writes. Operators are left out that draw random numbers, talk to the outside or end the run.

use std::path::{Path, PathBuf};

use mindir::{ExportOptions, Tensor, npy};
use mindir_graph::op::Effect;
use mindir_graph::ops::{OPS, find};
use mindir_tests::suite::{self, Case};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The operator of a case.
fn operator(case: &Case) -> &str {
    case.name.split('/').nth(1).unwrap_or_default()
}

fn is_told(name: &str) -> bool {
    let silent = |effect: Effect| matches!(effect, Effect::Random | Effect::Io | Effect::Raises);
    name != "Load" && find(name).is_some_and(|def| !silent(def.effect))
}

fn write(case: &Case, folder: &Path) -> Outcome {
    let content = case.content()?;
    std::fs::create_dir_all(folder)?;
    mindir::export(&content.model, folder.join("model.mindir"), &ExportOptions::default())?;
    let store = |name: String, tensor: &Tensor| npy::write(folder.join(name), tensor);
    for call in &content.calls {
        for (i, tensor) in call.inputs.iter().enumerate() {
            store(format!("in_{i}.npy"), tensor)?;
        }
        for (i, tensor) in call.wants.iter().enumerate().filter_map(|(i, want)| Some((i, want.as_ref()?))) {
            store(format!("out_{i}.npy"), tensor)?;
        }
    }
    for (name, tensor) in &content.after {
        store(format!("after_{name}.npy"), tensor)?;
    }
    Ok(())
}

fn main() -> Outcome {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: mindir_cases FOLDER")?);
    let cases: Vec<Case> = suite::operators().collect();
    for def in OPS.iter().filter(|def| is_told(def.name)) {
        for (number, case) in cases.iter().filter(|case| operator(case) == def.name).enumerate() {
            write(case, &folder.join(format!("{}_{number}", def.name)))?;
        }
    }
    Ok(())
}
