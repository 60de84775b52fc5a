//! ONNX files to models in MindSpore's operators.
//!
//! As for MindIR, the bytes are walked with fixed limits before anything is decoded (`schema`), and tensors are checked
//! against the bytes that exist (`weights`). `walk` visits the nodes, `flow` those with graphs inside; `ops` says for each
//! operator of ONNX what it is here, `import` builds that, and `types` says what is known of its results.

mod flow;
mod import;
mod ops;
mod schema;
mod types;
mod walk;
mod weights;

use mindir_graph::graph::Model;
use mindir_proto::{onnx::ModelProto, prost::Message};

use crate::{
    error::{LoadError, WireFault, WireProblem},
    limits::Limits,
    mindir::{
        Source,
        scan::{self, ScanError},
    },
    report::{FileRead, LoadReport},
};

/// The oldest and the newest operator set that can be read.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// Whether a file starts as ONNX files do: with the version of the format, which MindIR has as text.
pub fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=0x7f, ..])
}

/// Loads the ONNX model from `source`.
///
/// # Errors
/// What is wrong with the file, and where; [`LoadError::Unsupported`] naming every node that cannot be expressed.
pub fn load(source: Source, limits: &Limits) -> Result<(Model, LoadReport), LoadError> {
    let Source { name, bytes, files, .. } = source;
    let mut report = LoadReport::default();
    report.files.push(FileRead { name: name.clone(), bytes: bytes.len() as u64 });
    let budget = limits.decoded_budget(bytes.len() as u64);
    scan::scan(&bytes, &schema::MODEL, limits, budget, &mut report.census).map_err(|e| explain(&name, e))?;
    let proto = ModelProto::decode(bytes).map_err(|error| {
        let problem = WireProblem::Decode(error.to_string());
        LoadError::Wire {
            file: name.clone(),
            fault: WireFault { offset: 0, message: "ModelProto", field: None, problem },
        }
    })?;
    let opset = opset(&name, &proto)?;
    let graph = proto.graph.as_deref();
    let graph = graph.ok_or_else(|| LoadError::Structure { file: name.clone(), what: "there is no graph".into() })?;
    let mut weights = weights::Weights::new(&name, files.as_ref(), limits, &mut report);
    let initializers = weights.initializers(graph)?;
    let model = walk::model(&name, &proto, graph, opset, initializers, limits)?;
    Ok((model, report))
}

fn explain(name: &str, error: ScanError) -> LoadError {
    let file = name.to_string();
    match error {
        ScanError::Excess(excess) => LoadError::Limit { file, excess },
        ScanError::Fault(fault) => LoadError::Wire { file, fault },
    }
}

/// The version of ONNX's own operators.
fn opset(name: &str, proto: &ModelProto) -> Result<i64, LoadError> {
    let own = |s: &&mindir_proto::onnx::OperatorSetIdProto| matches!(s.domain.as_deref(), None | Some("" | "ai.onnx"));
    let version = proto.opset_import.iter().find(own).and_then(|s| s.version);
    let version = version.ok_or_else(|| LoadError::Structure {
        file: name.to_string(),
        what: "the file does not name the set of its operators".into(),
    })?;
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    let what = format!("operator set {version}; sets {} to {} are", OPSETS.start(), OPSETS.end());
    Err(LoadError::Unsupported { file: name.to_string(), what })
}
