//! From a source to a checked model.

use std::path::PathBuf;

use bytes::Bytes;
use mindir_proto::mindir::{MAX_MIND_IR_VERSION, ModelProto};

use super::schema::MODEL;
use super::source::{Source, contents, doubt};
use super::{legacy, weights, wire};
use crate::error::LoadError;
use crate::foreign::Cipher;
use crate::limits::Limits;
use crate::report::{LoadReport, Warning};

/// A decoded model whose tensors are checked and whose weights are at hand.
///
/// Every weight, and every constant that has contents, has them in `raw_data`: as many bytes as shape and element type need.
/// No tensor refers to a data file any more. Names, references between nodes and the meaning of attributes are as in the file.
#[derive(Clone, Debug)]
pub struct WireModel {
    /// The message of the file.
    pub model: ModelProto,
    /// What reading it took.
    pub report: LoadReport,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file in errors.
    pub name: String,
    /// Path of the file, unless the model was given in memory.
    pub path: Option<PathBuf>,
    /// Where its weights were.
    pub layout: Layout,
}

/// Where the weights of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// In the model file.
    Single,
    /// In data files that the model refers to.
    Split,
    /// In files that are graphs of weights only, as the first releases wrote them.
    SplitGraphs,
}

impl WireModel {
    /// Reads, decodes and checks a model.
    pub fn read(source: Source, limits: &Limits) -> Result<Self, LoadError> {
        let bytes = contents(&source.name, source.bytes.clone(), source.decryption.as_ref())?;
        Self::of_contents(source, bytes, limits)
    }

    /// The model that `contents`, the decrypted bytes of `source`, hold.
    pub(super) fn of_contents(source: Source, contents: Bytes, limits: &Limits) -> Result<Self, LoadError> {
        let Source { name, path, bytes, files, decryption, .. } = source;
        let (files, decryption) = (files.as_ref(), decryption.as_ref());
        let encrypted = Cipher::of(&bytes);
        let bytes = contents;
        let mut report = LoadReport { encrypted, ..LoadReport::default() };
        let decoded: Result<ModelProto, _> = wire::decode(&name, &bytes, &MODEL, limits, &mut report);
        let mut model = decoded.map_err(|error| doubt(error, encrypted))?;
        if model.graph.is_none() {
            return Err(wire::foreign(&name, &bytes).unwrap_or_else(|| structure(&name, "the model has no graph")));
        }
        drop(bytes);
        check_header(&name, &model, &mut report)?;
        let mut layout = Layout::Single;
        if let Some(graph) = model.graph.as_deref_mut()
            && graph.parameter.is_empty()
            && legacy::gather(&name, graph, files, decryption, limits, &mut report)?
        {
            layout = Layout::SplitGraphs;
        }
        let structure_files = report.files.len();
        weights::settle(&name, &mut model, files, decryption, limits, &mut report)?;
        if report.files.len() > structure_files {
            layout = Layout::Split;
        }
        Ok(Self { model, report, origin: Origin { name, path, layout } })
    }
}

fn structure(name: &str, what: &str) -> LoadError {
    LoadError::Structure { file: name.to_string(), what: what.to_string() }
}

fn check_header(name: &str, model: &ModelProto, report: &mut LoadReport) -> Result<(), LoadError> {
    let unsupported = |what| Err(LoadError::Unsupported { file: name.to_string(), what });
    let version = model.mind_ir_version.unwrap_or_default();
    if version > MAX_MIND_IR_VERSION {
        return unsupported(format!("mind_ir_version {version}; versions up to {MAX_MIND_IR_VERSION} are known"));
    }
    if version < 0 {
        return Err(structure(name, &format!("mind_ir_version is {version}")));
    }
    if model.little_endian == Some(false) {
        return unsupported("the model is big-endian".to_string());
    }
    if model.producer_name.as_deref().unwrap_or_default().is_empty() {
        report.warnings.push(Warning::NoProducer);
    }
    if model.functions.iter().any(|function| !function.parameter.is_empty()) {
        return Err(structure(name, "a function has parameters, which only the entry graph can have"));
    }
    Ok(())
}
