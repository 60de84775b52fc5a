//! Requests for results.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use mindir::{DType, Tensor};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::{Wanted, Wants};
use super::{Answer, At, answer, body, json, picture};
use crate::infer::InferRequest;
use crate::model::Served;
use crate::parameters::Parameters;
use crate::room::Held;
use crate::server::Shared;
use crate::{RequestError, datatype};

/// The header that says how much of a body is JSON; what follows are the elements of tensors.
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";

#[derive(Deserialize)]
#[serde(expecting = "an object with `inputs`")]
struct InferBody<'a> {
    id: Option<String>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    outputs: Option<Vec<Output>>,
}

#[derive(Deserialize)]
#[serde(expecting = "an input with `name`, `shape` and `datatype`")]
struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an output with `name`")]
struct Output {
    name: String,
    parameters: Option<Parameters>,
}

/// What an address may say besides.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// How many classes a picture's answer has.
    top: Option<String>,
}

pub(crate) async fn infer(
    State(shared): State<Arc<Shared>>,
    Path(target): At,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let held = Held::default();
    let bytes = body::read(&headers, body, &shared, &held).await?;
    let served = target.served(&shared)?;
    let picture = picture::is_one(&bytes) && !headers.contains_key(JSON_LENGTH);
    if picture {
        let memory = picture::memory(&bytes)?;
        shared.room.take(&held, memory, Instant::now() + shared.options.body_time).await?;
    }
    let model = served.clone();
    let long = picture || body::is_long(bytes.len());
    let (request, wants) = body::work(long, move || read(&model, &headers, bytes, &asked)).await?;
    let results = served.infer(request).await?;
    let long = body::is_long(results.iter().map(|(_, tensor)| tensor.bytes().len()).sum());
    body::work(long, move || answer::of(&served, &wants, &results)).await
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
            let wrong = || invalid("top: expected a number of classes");
            let top = asked.top.as_ref().map(|top| top.parse().map_err(|_| wrong())).transpose()?;
            let request = InferRequest { inputs: vec![picture::input(served, &bytes)?], ..InferRequest::default() };
            Ok((request, Wants { top: Some(top.unwrap_or(5)), ..Wants::default() }))
        }
        None => structured(&bytes, Bytes::new()),
    }
}

/// Most bytes of what a client calls its request.
const LONGEST: usize = 1024;

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
    let p = &body.parameters.unwrap_or_default();
    let id = body.id.unwrap_or_default();
    if id.len() > LONGEST {
        return Err(invalid(format!("id: expected at most {LONGEST} bytes, found {}", id.len())));
    }
    let wants = Wants {
        id,
        outputs: body.outputs.iter().flatten().map(wanted).collect::<Result<_, _>>()?,
        binary: p.flag("binary_data_output")?.unwrap_or(false),
        top: None,
    };
    let request = InferRequest {
        inputs,
        outputs: wants.outputs.iter().map(|w| w.name.clone()).collect(),
        timeout: p.timeout()?,
        priority: p.priority()?,
        sequence: p.sequence()?,
    };
    Ok((request, wants))
}

fn tensor(input: &Input<'_>, binary: &mut Bytes) -> Result<Tensor, RequestError> {
    let Input { name, shape, datatype, .. } = input;
    let wrong = |text: String| invalid(format!("inputs: {name}: {text}"));
    let dtype = datatype::wanted(name, datatype, shape.len())?;
    let none = Parameters::default();
    let p = input.parameters.as_ref().unwrap_or(&none);
    p.unshared("inputs", name)?;
    match (p.number("binary_data_size")?, input.data) {
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

fn wanted(output: &Output) -> Result<Wanted, RequestError> {
    let Output { name, parameters } = output;
    let none = Parameters::default();
    let p = parameters.as_ref().unwrap_or(&none);
    p.unshared("outputs", name)?;
    Ok(Wanted { name: name.clone(), binary: p.flag("binary_data")?, classes: p.classes()? })
}
