//! Contents of weights and constants: fetched and checked.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use mindir_proto::mindir::*;

use super::source::contents;
use super::tensor::{Facts, check_description};
use crate::crypto::{CryptoFault, Decryption};
use crate::element::is_aligned;
use crate::error::{ExternalFault, FileFault, LoadError, TensorFault};
use crate::files::{DataFiles, check_location};
use crate::limits::Limits;
use crate::report::{FileRead, LoadReport};

/// Bytes before the first weight of a data file; the first one tells the byte order.
const HEADER: u64 = 64;

/// Fills in and checks the contents of every tensor of `model`.
pub(super) fn settle(
    file: &str,
    model: &mut ModelProto,
    files: &dyn DataFiles,
    decryption: Option<&Decryption>,
    limits: &Limits,
    report: &mut LoadReport,
) -> Result<(), LoadError> {
    let mut weights = Weights { file, files, decryption, limits, report, opened: BTreeMap::new(), ranges: Vec::new() };
    if let Some(graph) = &mut model.graph {
        weights.parameters(graph)?;
    }
    weights.model(model)?;
    weights.check_overlaps()
}

struct Weights<'a> {
    file: &'a str,
    files: &'a dyn DataFiles,
    decryption: Option<&'a Decryption>,
    limits: &'a Limits,
    report: &'a mut LoadReport,
    /// Data files by name, numbered in order of first use.
    opened: BTreeMap<String, (usize, Bytes)>,
    /// Ranges taken from data files.
    ranges: Vec<Taken>,
}

/// A range of a data file, given by its number, and the tensor that uses it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    data_file: usize,
    offset: u64,
    end: u64,
    tensor: String,
}

/// Why a data file cannot be used.
enum Closed {
    Fault(ExternalFault),
    Contents(LoadError),
}

impl<F: Into<ExternalFault>> From<F> for Closed {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl Weights<'_> {
    fn parameters(&mut self, graph: &mut GraphProto) -> Result<(), LoadError> {
        let mut names = HashSet::new();
        for tensor in &graph.parameter {
            let name = tensor.name.as_deref().unwrap_or_default();
            if name.is_empty() {
                return Err(self.fault(name, TensorFault::NoName));
            }
            if !names.insert(name) {
                return Err(self.fault(name, TensorFault::SameName));
            }
        }
        for tensor in &mut graph.parameter {
            let name = tensor.name.clone().unwrap_or_default();
            one_source(tensor).map_err(|fault| self.fault(&name, fault))?;
            if !has_contents(tensor) {
                let facts = Facts::of(tensor, self.limits.max_rank).map_err(|fault| self.fault(&name, fault))?;
                if facts.elements > 0 {
                    return Err(self.fault(&name, TensorFault::NoData));
                }
                tensor.raw_data = Some(Bytes::new());
            }
            let len = self.tensor(tensor, &name)?;
            self.report.parameters += 1;
            self.report.parameter_bytes += len as u64;
        }
        Ok(())
    }

    /// Settles one tensor and returns how many bytes of contents it has.
    fn tensor(&mut self, tensor: &mut TensorProto, name: &str) -> Result<usize, LoadError> {
        for quantisation in &mut tensor.quant_params {
            self.attributes(&mut quantisation.attribute, name)?;
        }
        one_source(tensor).map_err(|fault| self.fault(name, fault))?;
        if !has_contents(tensor) {
            check_description(tensor, self.limits.max_rank).map_err(|fault| self.fault(name, fault))?;
            return Ok(0);
        }
        let facts = Facts::of(tensor, self.limits.max_rank).map_err(|fault| self.fault(name, fault))?;
        let bytes = match tensor.external_data.take() {
            Some(external) => self.external(&external, &facts, name)?,
            None => tensor.raw_data.take().unwrap_or_default(),
        };
        facts.check(&bytes).map_err(|fault| self.fault(name, fault))?;
        self.count(&bytes, facts.element.align());
        let len = bytes.len();
        tensor.raw_data = Some(bytes);
        Ok(len)
    }

    fn count(&mut self, bytes: &Bytes, align: usize) {
        let len = bytes.len() as u64;
        if is_aligned(bytes, align) {
            self.report.in_place_tensors += 1;
            self.report.in_place_bytes += len;
        } else {
            self.report.misaligned_tensors += 1;
            self.report.misaligned_bytes += len;
        }
    }

    fn external(&mut self, external: &ExternalDataProto, facts: &Facts, name: &str) -> Result<Bytes, LoadError> {
        let location = external.location.as_deref().unwrap_or_default();
        let fail = |fault| LoadError::External {
            file: self.file.to_string(),
            tensor: name.to_string(),
            location: location.to_string(),
            fault,
        };
        let number = |what, value: Option<i64>| {
            value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| fail(ExternalFault::Number(what)))
        };
        let offset = number("offset", external.offset)?;
        let length = number("length", external.length)?;
        facts.check_len(length).map_err(|fault| self.fault(name, fault))?;
        let (data_file, bytes) = match self.opened.get(location) {
            Some(found) => found.clone(),
            None => self.open(location).map_err(|fault| match fault {
                Closed::Fault(fault) => fail(fault),
                Closed::Contents(error) => error,
            })?,
        };
        let range = range(offset, length, bytes.len() as u64).map_err(fail)?;
        self.ranges.push(Taken { data_file, offset, end: offset.saturating_add(length), tensor: name.to_string() });
        Ok(bytes.slice(range))
    }

    /// Opens a data file that was not used before.
    fn open(&mut self, location: &str) -> Result<(usize, Bytes), Closed> {
        let number = self.opened.len();
        if number >= self.limits.max_data_files {
            return Err(FileFault::TooMany(self.limits.max_data_files).into());
        }
        check_location(location)?;
        let bytes = self.files.open(location)?;
        let bytes = contents(location, bytes, self.decryption).map_err(|error| Closed::Contents(known_key(error)))?;
        check_header(&bytes)?;
        self.report.files.push(FileRead { name: location.to_string(), bytes: bytes.len() as u64 });
        self.opened.insert(location.to_string(), (number, bytes.clone()));
        Ok((number, bytes))
    }

    fn check_overlaps(&mut self) -> Result<(), LoadError> {
        self.ranges.retain(|range| range.offset < range.end);
        self.ranges.sort_unstable();
        let mut neighbours = self.ranges.iter().zip(self.ranges.iter().skip(1));
        let clash = neighbours.find(|(a, b)| a.data_file == b.data_file && b.offset < a.end);
        let Some((a, b)) = clash else { return Ok(()) };
        let location = self.opened.iter().find(|(_, (number, _))| *number == b.data_file);
        Err(LoadError::External {
            file: self.file.to_string(),
            tensor: b.tensor.clone(),
            location: location.map(|(name, _)| name.clone()).unwrap_or_default(),
            fault: ExternalFault::Overlap { offset: b.offset, other: a.tensor.clone() },
        })
    }

    fn fault(&self, tensor: &str, fault: TensorFault) -> LoadError {
        LoadError::Tensor { file: self.file.to_string(), tensor: tensor.to_string(), fault }
    }
}

/// The walk to every tensor that is not a parameter. `owner` names the node, value or graph that a tensor belongs to.
impl Weights<'_> {
    fn model(&mut self, model: &mut ModelProto) -> Result<(), LoadError> {
        for graph in model.graph.as_deref_mut().into_iter().chain(&mut model.functions) {
            self.graph(graph)?;
        }
        for primitive in &mut model.primitives {
            let owner = primitive.name.as_deref().unwrap_or_default();
            self.attributes(&mut primitive.attribute, owner)?;
        }
        Ok(())
    }

    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), LoadError> {
        let owner = graph.name.as_deref().unwrap_or_default();
        self.attributes(&mut graph.attribute, owner)?;
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            let owner = value.name.as_deref().unwrap_or_default();
            self.tensors(&mut value.tensor, owner)?;
            self.attributes(value.attr_info.as_deref_mut(), owner)?;
        }
        for node in &mut graph.node {
            let owner = node.name.as_deref().unwrap_or_default();
            for list in [&mut node.attribute, &mut node.node_attr, &mut node.primal_attr] {
                self.attributes(list, owner)?;
            }
        }
        for map in &mut graph.map_parameter {
            let owner = map.name.as_str();
            self.attributes(map.default_value.as_deref_mut(), owner)?;
            let tensors = [&mut map.key_tensor, &mut map.value_tensor, &mut map.status_tensor];
            self.tensors(tensors.into_iter().flatten().map(|tensor| &mut **tensor), owner)?;
        }
        Ok(())
    }

    fn attributes<'m>(
        &mut self,
        list: impl IntoIterator<Item = &'m mut AttributeProto>,
        owner: &str,
    ) -> Result<(), LoadError> {
        list.into_iter().try_for_each(|attribute| self.attribute(attribute, owner))
    }

    fn tensors<'m>(
        &mut self,
        list: impl IntoIterator<Item = &'m mut TensorProto>,
        owner: &str,
    ) -> Result<(), LoadError> {
        list.into_iter().try_for_each(|tensor| self.tensor(tensor, owner).map(drop))
    }

    fn attribute(&mut self, attribute: &mut AttributeProto, owner: &str) -> Result<(), LoadError> {
        self.tensors(attribute.t.as_deref_mut().into_iter().chain(&mut attribute.tensors), owner)?;
        for value in &mut attribute.values {
            self.attribute(value, owner)?;
        }
        if let Some(element) = attribute.seq_info.as_deref_mut().and_then(|info| info.tuple_elem_item.as_deref_mut()) {
            self.attribute(element, owner)?;
        }
        for value in attribute.functor.iter_mut().flat_map(|functor| &mut functor.values) {
            self.attribute(value, owner)?;
        }
        for graph in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
            if !graph.parameter.is_empty() {
                return Err(self.unexpected_parameters(graph));
            }
            self.graph(graph)?;
        }
        Ok(())
    }

    fn unexpected_parameters(&self, graph: &GraphProto) -> LoadError {
        let name = crate::Printable(graph.name.as_deref().unwrap_or_default());
        let what = format!("graph {name} has parameters, which only the entry graph can have");
        LoadError::Structure { file: self.file.to_string(), what }
    }
}

/// The graph file has shown that the key is right, so that a data file which does not fit it is damaged.
fn known_key(error: LoadError) -> LoadError {
    match error {
        LoadError::Decrypt { file, fault: CryptoFault::KeyOrDamage } => {
            LoadError::Decrypt { file, fault: CryptoFault::Damaged { block: 0, offset: 0 } }
        }
        other => other,
    }
}

fn has_contents(tensor: &TensorProto) -> bool {
    tensor.raw_data.is_some() || tensor.external_data.is_some()
}

/// Checks that contents are given at most once, and not in a typed list.
fn one_source(tensor: &TensorProto) -> Result<(), TensorFault> {
    let lists = [
        ("float_data", !tensor.float_data.is_empty()),
        ("int32_data", !tensor.int32_data.is_empty()),
        ("string_data", !tensor.string_data.is_empty()),
        ("int64_data", !tensor.int64_data.is_empty()),
        ("double_data", !tensor.double_data.is_empty()),
        ("uint64_data", !tensor.uint64_data.is_empty()),
    ];
    let list = lists.iter().find(|(_, given)| *given).map(|(name, _)| *name);
    match (tensor.raw_data.is_some(), tensor.external_data.is_some(), list) {
        (true, true, _) => Err(TensorFault::TwoSources("raw_data", "external_data")),
        (true, false, Some(list)) => Err(TensorFault::TwoSources("raw_data", list)),
        (false, true, Some(list)) => Err(TensorFault::TwoSources("external_data", list)),
        (false, false, Some(list)) => Err(TensorFault::TypedData(list)),
        (_, _, None) => Ok(()),
    }
}

fn check_header(bytes: &[u8]) -> Result<(), ExternalFault> {
    match bytes.first() {
        Some(1) if bytes.len() as u64 >= HEADER => Ok(()),
        None | Some(1) => Err(ExternalFault::TooShort(bytes.len() as u64)),
        Some(0) => Err(ExternalFault::BigEndian),
        Some(&found) => Err(ExternalFault::Header { found }),
    }
}

/// The range of a data file, checked against its size.
fn range(offset: u64, length: u64, file_len: u64) -> Result<std::ops::Range<usize>, ExternalFault> {
    let end = offset.checked_add(length).filter(|end| *end <= file_len);
    let ends = end.and_then(|end| Some((usize::try_from(offset).ok()?, usize::try_from(end).ok()?)));
    let (start, end) = ends.ok_or(ExternalFault::Outside { offset, length, file_len })?;
    if offset < HEADER { Err(ExternalFault::InHeader(offset)) } else { Ok(start..end) }
}
