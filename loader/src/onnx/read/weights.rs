//! Contents of tensors: from the message, or from a file beside the model.

use std::collections::BTreeMap;

use bytes::Bytes;
use mindir_graph::onnx::from_data_type;
use mindir_graph::{DType, Tensor};
use mindir_proto::onnx::{DataLocation, GraphProto, TensorProto};

use super::narrow::Narrow;
use crate::element::{ElementType, is_aligned};
use crate::error::{ExternalFault, FileFault, LoadError, TensorFault};
use crate::files::{DataFiles, check_location};
use crate::limits::Limits;
use crate::report::{FileRead, LoadReport};

/// ONNX's number for texts.
pub(super) const STRING: i32 = 8;

pub(super) struct Weights<'a> {
    file: &'a str,
    files: &'a dyn DataFiles,
    limits: &'a Limits,
    report: &'a mut LoadReport,
    opened: BTreeMap<String, Bytes>,
}

impl<'a> Weights<'a> {
    pub fn new(file: &'a str, files: &'a dyn DataFiles, limits: &'a Limits, report: &'a mut LoadReport) -> Weights<'a> {
        Weights { file, files, limits, report, opened: BTreeMap::new() }
    }

    /// The graph's constants by name.
    pub fn initializers(&mut self, graph: &GraphProto) -> Result<BTreeMap<String, Tensor>, LoadError> {
        let mut out = BTreeMap::new();
        for proto in &graph.initializer {
            let name = proto.name.clone().unwrap_or_default();
            let fail = |fault| LoadError::Tensor { file: self.file.to_string(), tensor: name.clone(), fault };
            if name.is_empty() {
                return Err(fail(TensorFault::NoName));
            }
            if out.contains_key(&name) {
                return Err(fail(TensorFault::SameName));
            }
            let tensor = self.tensor(proto, &name)?;
            self.report.parameters += 1;
            self.report.parameter_bytes += tensor.bytes().len() as u64;
            out.insert(name, tensor);
        }
        Ok(out)
    }

    /// One tensor of the file, under `name`.
    pub fn tensor(&mut self, proto: &TensorProto, name: &str) -> Result<Tensor, LoadError> {
        let fail = |fault| LoadError::Tensor { file: self.file.to_string(), tensor: name.to_string(), fault };
        if proto.data_location != Some(DataLocation::External as i32) {
            let tensor = contents(proto, self.limits.max_rank).map_err(fail)?;
            let raw = proto.raw_data.as_ref().is_some_and(|raw| raw.as_ptr() == tensor.bytes().as_ptr());
            self.count(raw, &tensor);
            return Ok(tensor);
        }
        if let Some(source) = sources(proto).first() {
            return Err(fail(TensorFault::TwoSources("external_data", source)));
        }
        if let Some(narrow) = proto.data_type.and_then(Narrow::of) {
            let (dims, count) = shape(proto, self.limits.max_rank).map_err(fail)?;
            let len = narrow.packed(count).ok_or(fail(TensorFault::Overflow))?;
            let bytes = self.external(proto, name, len)?;
            let fail = |fault| LoadError::Tensor { file: self.file.to_string(), tensor: name.to_string(), fault };
            let tensor = narrow.tensor(&dims, &bytes).map_err(fail)?;
            self.count(false, &tensor);
            return Ok(tensor);
        }
        let (dtype, dims, len) = facts(proto, self.limits.max_rank).map_err(fail)?;
        let bytes = self.external(proto, name, len)?;
        let tensor = Tensor::over(dtype, &dims, bytes).map_err(|_| {
            let fault = TensorFault::Overflow;
            LoadError::Tensor { file: self.file.to_string(), tensor: name.to_string(), fault }
        })?;
        self.count(true, &tensor);
        Ok(tensor)
    }

    /// Counts a tensor, whose bytes are a slice of a file if it is `raw`.
    fn count(&mut self, raw: bool, tensor: &Tensor) {
        let len = tensor.bytes().len() as u64;
        if raw && is_aligned(tensor.bytes(), tensor.dtype().align()) {
            self.report.in_place_tensors += 1;
            self.report.in_place_bytes += len;
        } else {
            self.report.misaligned_tensors += 1;
            self.report.misaligned_bytes += len;
        }
    }

    /// `len` bytes of the data file that the tensor names.
    fn external(&mut self, proto: &TensorProto, name: &str, len: usize) -> Result<Bytes, LoadError> {
        let entry = |key: &str| {
            let found = proto.external_data.iter().find(|e| e.key.as_deref() == Some(key));
            found.and_then(|e| e.value.as_deref())
        };
        let location = entry("location").unwrap_or_default();
        let fail = |fault| LoadError::External {
            file: self.file.to_string(),
            tensor: name.to_string(),
            location: location.to_string(),
            fault,
        };
        let number = |key: &'static str, otherwise: u64| match entry(key) {
            None => Ok(otherwise),
            Some(text) => text.parse::<u64>().map_err(|_| fail(ExternalFault::Number(key))),
        };
        let (offset, length) = (number("offset", 0)?, number("length", len as u64)?);
        if length != len as u64 {
            let outside = ExternalFault::Outside { offset, length, file_len: len as u64 };
            return Err(fail(outside));
        }
        if !self.opened.contains_key(location) {
            let bytes = self.open(location).map_err(|fault| fail(fault.into()))?;
            self.report.files.push(FileRead { name: location.to_string(), bytes: bytes.len() as u64 });
            self.opened.insert(location.to_string(), bytes);
        }
        let bytes = self.opened.get(location).cloned().unwrap_or_default();
        let file_len = bytes.len() as u64;
        let outside = || fail(ExternalFault::Outside { offset, length, file_len });
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let end = start.checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(outside)?;
        Ok(bytes.slice(start..end))
    }

    fn open(&self, location: &str) -> Result<Bytes, FileFault> {
        if self.opened.len() >= self.limits.max_data_files {
            return Err(FileFault::TooMany(self.limits.max_data_files));
        }
        check_location(location)?;
        self.files.open(location)
    }
}

/// Element type, dimensions and number of bytes.
fn facts(proto: &TensorProto, max_rank: usize) -> Result<(DType, Vec<usize>, usize), TensorFault> {
    let code = proto.data_type.unwrap_or_default();
    let none = if code == STRING { TensorFault::NoTensors("string") } else { TensorFault::ElementType(code) };
    let dtype = from_data_type(code).ok_or(none)?;
    let (dims, count) = shape(proto, max_rank)?;
    let len = count.checked_mul(dtype.size()).ok_or(TensorFault::Overflow)?;
    Ok((dtype, dims, len))
}

/// Dimensions and their product.
fn shape(proto: &TensorProto, max_rank: usize) -> Result<(Vec<usize>, usize), TensorFault> {
    let rank = proto.dims.len();
    if rank > max_rank {
        return Err(TensorFault::Rank { rank, limit: max_rank });
    }
    let mut dims = Vec::with_capacity(rank);
    for (axis, &value) in proto.dims.iter().enumerate() {
        dims.push(usize::try_from(value).map_err(|_| TensorFault::Dimension { axis, value })?);
    }
    let count = mindir_graph::checked_count(&dims).ok_or(TensorFault::Overflow)?;
    Ok((dims, count))
}

/// The fields with contents.
fn sources(proto: &TensorProto) -> Vec<&'static str> {
    let all = [
        ("raw_data", proto.raw_data.as_ref().is_some_and(|raw| !raw.is_empty())),
        ("float_data", !proto.float_data.is_empty()),
        ("int32_data", !proto.int32_data.is_empty()),
        ("int64_data", !proto.int64_data.is_empty()),
        ("double_data", !proto.double_data.is_empty()),
        ("uint64_data", !proto.uint64_data.is_empty()),
    ];
    all.into_iter().filter(|s| s.1).map(|s| s.0).collect()
}

/// The tensor of a message that holds its contents.
pub(super) fn contents(proto: &TensorProto, max_rank: usize) -> Result<Tensor, TensorFault> {
    let sources = sources(proto);
    if let [first, second, ..] = sources.as_slice() {
        return Err(TensorFault::TwoSources(first, second));
    }
    if let Some(narrow) = proto.data_type.and_then(Narrow::of) {
        let (dims, _) = shape(proto, max_rank)?;
        // A number of the list holds a byte.
        let listed = || proto.int32_data.iter().map(|v| *v as u8).collect::<Vec<u8>>().into();
        let packed = proto.raw_data.clone().filter(|raw| !raw.is_empty()).unwrap_or_else(listed);
        return narrow.tensor(&dims, &packed);
    }
    let (dtype, dims, len) = facts(proto, max_rank)?;
    let bytes = match sources.first() {
        None if len == 0 => Bytes::new(),
        None => return Err(TensorFault::NoData),
        Some(&"raw_data") => proto.raw_data.clone().unwrap_or_default(),
        Some(_) => typed(proto, dtype)?,
    };
    check(dtype, len, &bytes)?;
    Tensor::over(dtype, &dims, bytes).map_err(|_| TensorFault::Overflow)
}

fn check(dtype: DType, len: usize, bytes: &[u8]) -> Result<(), TensorFault> {
    if bytes.len() != len {
        let elements = (len / dtype.size()) as u64;
        let element = ElementType::from(dtype);
        return Err(TensorFault::Length { expected: len as u64, found: bytes.len() as u64, elements, element });
    }
    let odd = || bytes.iter().enumerate().find(|(_, b)| **b > 1);
    match odd().filter(|_| dtype == DType::Bool) {
        Some((index, &value)) => Err(TensorFault::Truth { index: index as u64, value }),
        None => Ok(()),
    }
}

/// Contents in a list of numbers, as bytes. As many numbers as the file has take as much memory at most.
fn typed(proto: &TensorProto, dtype: DType) -> Result<Bytes, TensorFault> {
    let narrow = |size: usize| proto.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect();
    let words = |size: usize| proto.uint64_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect();
    let bytes: Vec<u8> = match dtype {
        DType::F32 | DType::C64 => proto.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F64 | DType::C128 => proto.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U32 | DType::U64 => words(dtype.size()),
        _ => narrow(dtype.size()),
    };
    Ok(bytes.into())
}
