//! ONNX files to models in MindSpore's operators.
//!
//! As for MindIR, the bytes are walked with fixed limits before anything is decoded (`schema`), and tensors are checked
//! against the bytes that exist (`weights`). `walk` visits the nodes (`call`), `flow` those with graphs inside, whose loops are
//! made of a `turn`; `ops` says for each operator of ONNX what it is here, `import` builds that out of values (`val`), `types`
//! is what is known of them, `narrow` says what holds numbers of few bits, and `results` what follows for results. What is wrong is a `problem`.

mod arithmetic;
mod call;
mod flow;
mod function;
mod import;
mod narrow;
mod ops;
mod problem;
mod results;
mod scanning;
mod schema;
mod turn;
mod types;
mod val;
mod walk;
mod weights;

use std::collections::HashSet;

use mindir_graph::graph::Model;
use mindir_proto::onnx::{GraphProto, ModelProto, OperatorSetIdProto};
use mindir_proto::prost::Message;

use crate::Printable;
use crate::error::{LoadError, WireFault, WireProblem};
use crate::foreign::Foreign;
use crate::limits::Limits;
use crate::mindir::Source;
use crate::mindir::scan::{self, ScanError};
use crate::report::{FileRead, LoadReport, Warning};

/// The oldest and the newest operator set that can be read.
const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// Loads the ONNX model from `source`.
///
/// # Errors
/// What is wrong with the file, and where; [`LoadError::Unsupported`] naming every node that cannot be expressed.
pub fn load(source: Source, limits: &Limits) -> Result<(Model, LoadReport), LoadError> {
    let Source { name, bytes, files, .. } = source;
    let mut report = LoadReport::default();
    report.files.push(FileRead { name: name.clone(), bytes: bytes.len() as u64 });
    let budget = limits.decoded_budget(bytes.len() as u64);
    scan::scan(&bytes, &schema::MODEL, limits, budget, &mut report.census).map_err(|e| explain(&name, &bytes, e))?;
    let other = foreign(&name, &bytes);
    let proto = ModelProto::decode(bytes).map_err(|error| {
        let problem = WireProblem::Decode(error.to_string());
        LoadError::Wire {
            file: name.clone(),
            fault: WireFault { offset: 0, message: "ModelProto", field: None, problem },
        }
    })?;
    let missing = || LoadError::Structure { file: name.clone(), what: "there is no graph".into() };
    let graph = proto.graph.as_deref().ok_or_else(|| other.unwrap_or_else(missing))?;
    let opset = opset(&name, &proto)?;
    let weights = weights::Weights::new(&name, files.as_ref(), limits, &mut report);
    let model = walk::model(&name, &proto, graph, opset, weights, limits)?;
    let inputs = defaults(&proto, graph);
    if !inputs.is_empty() {
        report.warnings.push(Warning::Defaults { inputs });
    }
    Ok((model, report))
}

/// Inputs that callers may leave out. Files of the first versions list every weight among the inputs.
fn defaults(proto: &ModelProto, graph: &GraphProto) -> Vec<String> {
    if proto.ir_version.is_none_or(|version| version < 4) {
        return Vec::new();
    }
    let given: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
    let names = graph.input.iter().filter_map(|value| value.name.as_deref());
    names.filter(|name| given.contains(name)).map(str::to_string).collect()
}

fn explain(name: &str, bytes: &[u8], error: ScanError) -> LoadError {
    let file = name.to_string();
    match error {
        ScanError::Excess(excess) => LoadError::Limit { file, excess },
        ScanError::Fault(fault) => foreign(name, bytes).unwrap_or(LoadError::Wire { file, fault }),
    }
}

/// The error for bytes that look like another kind of file.
fn foreign(name: &str, bytes: &[u8]) -> Option<LoadError> {
    let other = Foreign::of(bytes).filter(|kind| *kind != Foreign::Onnx);
    other.map(|looks_like| LoadError::Foreign { file: name.to_string(), expected: "an ONNX file", looks_like })
}

/// The set of ONNX's own operators.
fn own_opset(sets: &[OperatorSetIdProto]) -> Option<&OperatorSetIdProto> {
    sets.iter().find(|s| matches!(s.domain.as_deref(), None | Some("" | "ai.onnx")))
}

/// The version of ONNX's own operators. A model that only calls functions of its own need not have any.
fn opset(name: &str, proto: &ModelProto) -> Result<i64, LoadError> {
    let (file, sets) = (name.to_string(), &proto.opset_import);
    let Some(set) = own_opset(sets) else {
        if !sets.is_empty() && !proto.functions.is_empty() {
            return Ok(*OPSETS.end());
        }
        if sets.is_empty() {
            return Err(LoadError::Structure { file, what: "the file does not name the set of its operators".into() });
        }
        let others: Vec<_> =
            sets.iter().filter_map(|s| s.domain.as_deref()).map(|d| Printable(d).to_string()).collect();
        let what = format!("operators of {}; those of ai.onnx are", others.join(", "));
        return Err(LoadError::Unsupported { file, what });
    };
    match set.version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => {
            let what = format!("operator set {version}; sets {} to {} are", OPSETS.start(), OPSETS.end());
            Err(LoadError::Unsupported { file, what })
        }
        None => Err(LoadError::Structure { file, what: "the set of its operators has no version".into() }),
    }
}
