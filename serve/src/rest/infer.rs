//! Requests for results.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use mindir::{DType, Tensor};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::{Wanted, Wants};
use super::{Answer, At, answer, body, json, picture};
use crate::infer::{InferRequest, Sequence};
use crate::model::Served;
use crate::server::Shared;
use crate::{RequestError, datatype};

/// The header that says how much of a body is JSON; what follows are the elements of tensors.
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";

type Parameters = Map<String, Value>;

#[derive(Deserialize)]
#[serde(expecting = "expected an object with `inputs`")]
struct InferBody<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
#[serde(expecting = "expected an input with `name`, `shape` and `datatype`")]
struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "expected an output with `name`")]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// What an address may say besides.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// How many classes a picture's answer has.
    top: Option<usize>,
}

pub(crate) async fn infer(
    State(shared): State<Arc<Shared>>,
    Path(target): At,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let served = target.served(&shared)?;
    let (bytes, _room) = body::read(&headers, body, &shared).await?;
    let (request, wants) = read(&served, &headers, bytes, &asked)?;
    let results = served.infer(request).await?;
    answer::of(&served, &wants, &results)
}

fn read(
    served: &Served,
    headers: &HeaderMap,
    bytes: Bytes,
    asked: &Asked,
) -> Result<(InferRequest, Wants), RequestError> {
    match headers.get(JSON_LENGTH) {
        Some(length) => {
            let length = length.to_str().ok().and_then(|n| n.parse::<usize>().ok());
            let most = bytes.len();
            let expected = || invalid(format!("{JSON_LENGTH}: expected a number of bytes, at most {most}"));
            let length = length.filter(|n| *n <= most).ok_or_else(expected)?;
            if length == 0 { raw(served, bytes) } else { structured(&bytes.slice(..length), bytes.slice(length..)) }
        }
        None if picture::is_one(&bytes) => {
            let request = InferRequest { inputs: vec![picture::input(served, &bytes)?], ..InferRequest::default() };
            Ok((request, Wants { top: Some(asked.top.unwrap_or(5)), ..Wants::default() }))
        }
        None => structured(&bytes, Bytes::new()),
    }
}

fn invalid(text: impl Into<String>) -> RequestError {
    RequestError::Invalid(text.into())
}

/// The elements of the only input, and nothing else.
fn raw(served: &Served, bytes: Bytes) -> Result<(InferRequest, Wants), RequestError> {
    let [port] = served.inputs.as_slice() else {
        return Err(invalid(format!(
            "a body without JSON is for a model with one input, this has {}",
            served.inputs.len()
        )));
    };
    let (Some(dtype), Some(dims)) = (port.spec.dtype, &port.spec.dims) else {
        return Err(invalid(format!("inputs: {}: the model does not say its type and dimensions", port.name)));
    };
    let open = dims.iter().filter(|d| d.size().is_none()).count();
    let known = dims.iter().filter_map(|d| d.size()).try_fold(dtype.size(), usize::checked_mul).unwrap_or(usize::MAX);
    if open > 1 || (open == 1 && (known == 0 || !bytes.len().is_multiple_of(known))) {
        let text = format!("inputs: {}: {} bytes do not say its open dimensions", port.name, bytes.len());
        return Err(invalid(text));
    }
    let shape: Vec<usize> = dims.iter().map(|d| d.size().unwrap_or(bytes.len() / known.max(1))).collect();
    let tensor = elements(&port.name, dtype, &shape, bytes)?;
    let request = InferRequest { inputs: vec![(port.name.clone(), tensor)], ..InferRequest::default() };
    Ok((request, Wants { binary: true, ..Wants::default() }))
}

fn elements(name: &str, dtype: DType, shape: &[usize], bytes: Bytes) -> Result<Tensor, RequestError> {
    Tensor::from_bytes(dtype, shape, bytes).map_err(|e| invalid(format!("inputs: {name}: {e}")))
}

/// JSON, and the elements of tensors that follow it.
fn structured(text: &[u8], mut binary: Bytes) -> Result<(InferRequest, Wants), RequestError> {
    let body: InferBody<'_> = serde_json::from_slice(text).map_err(|e| invalid(format!("the request: {e}")))?;
    let mut inputs = Vec::with_capacity(body.inputs.len());
    for input in &body.inputs {
        let tensor = tensor(input, &mut binary)?;
        inputs.push((input.name.clone(), tensor));
    }
    if !binary.is_empty() {
        return Err(invalid(format!("{} bytes follow the last input", binary.len())));
    }
    let p = &body.parameters;
    let wants = Wants {
        id: body.id,
        outputs: body.outputs.iter().map(wanted).collect::<Result<_, _>>()?,
        binary: flag(p, "binary_data_output")?.unwrap_or(false),
        top: None,
    };
    let request = InferRequest {
        inputs,
        outputs: wants.outputs.iter().map(|w| w.name.clone()).collect(),
        timeout: number(p, "timeout")?.filter(|us| *us > 0).map(Duration::from_micros),
        priority: number(p, "priority")?.unwrap_or(0),
        sequence: sequence(p)?,
    };
    Ok((request, wants))
}

fn tensor(input: &Input<'_>, binary: &mut Bytes) -> Result<Tensor, RequestError> {
    let Input { name, shape, datatype, .. } = input;
    let wrong = |text: String| invalid(format!("inputs: {name}: {text}"));
    if datatype == "BYTES" {
        return Err(wrong("BYTES are no numbers; models compute with numbers".into()));
    }
    let dtype = datatype::of(datatype).ok_or_else(|| wrong(format!("{datatype:?} is no datatype of the protocol")))?;
    if shape.len() > RANKS {
        return Err(wrong(format!("expected at most {} dimensions, found {}", RANKS, shape.len())));
    }
    if input.parameters.contains_key("shared_memory_region") {
        return Err(RequestError::Unsupported(format!("inputs: {name}: shared memory is not supported")));
    }
    match (number(&input.parameters, "binary_data_size")?, input.data) {
        (Some(_), Some(_)) => Err(wrong("expected data or binary_data_size, found both".into())),
        (None, None) => Err(wrong("expected data, or binary_data_size".into())),
        (None, Some(data)) => json::tensor(dtype, shape, data).map_err(wrong),
        (Some(size), None) => {
            let size = usize::try_from(size).ok().filter(|n| *n <= binary.len());
            let size =
                size.ok_or_else(|| wrong(format!("binary_data_size is beyond the {} bytes left", binary.len())))?;
            elements(name, dtype, shape, binary.split_to(size))
        }
    }
}

/// Most dimensions of a tensor.
const RANKS: usize = 32;

fn wanted(output: &Output) -> Result<Wanted, RequestError> {
    let p = &output.parameters;
    if p.contains_key("shared_memory_region") {
        return Err(RequestError::Unsupported(format!("outputs: {}: shared memory is not supported", output.name)));
    }
    let classes = number(p, "classification")?.filter(|n| *n > 0).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    Ok(Wanted { name: output.name.clone(), binary: flag(p, "binary_data")?, classes })
}

fn flag(p: &Parameters, name: &str) -> Result<Option<bool>, RequestError> {
    let wrong = |found: &Value| invalid(format!("parameters: {name}: expected true or false, found {found}"));
    p.get(name).map(|v| v.as_bool().ok_or_else(|| wrong(v))).transpose()
}

fn number(p: &Parameters, name: &str) -> Result<Option<u64>, RequestError> {
    let wrong =
        |found: &Value| invalid(format!("parameters: {name}: expected a number that is not negative, found {found}"));
    p.get(name).map(|v| v.as_u64().ok_or_else(|| wrong(v))).transpose()
}

fn sequence(p: &Parameters) -> Result<Option<Sequence>, RequestError> {
    let id = match p.get("sequence_id") {
        None => return Ok(None),
        Some(Value::String(id)) if id.len() <= 256 => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        Some(found) => {
            let text =
                format!("parameters: sequence_id: expected a number, or a text of at most 256 bytes, found {found}");
            return Err(invalid(text));
        }
    };
    if id.is_empty() || id == "0" {
        return Ok(None);
    }
    let flag = |name| flag(p, name).map(|flag| flag.unwrap_or(false));
    Ok(Some(Sequence { id, start: flag("sequence_start")?, end: flag("sequence_end")? }))
}
