//! Requests for results.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use bytes::Bytes;
use mindir::{DType, Tensor};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::{Wanted, Wants};
use super::multipart::{self, Part};
use super::{Answer, At, FromPath, FromQuery, answer, body, json, picture};
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
    FromPath(target): At,
    FromQuery(asked): FromQuery<Asked>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let held = Held::default();
    let bytes = body::read(&headers, body, &shared, &held).await?;
    let served = target.served(&shared)?;
    let sent = Sent::of(&headers, bytes)?;
    let pixels = sent.pixels(shared.options.max_bodies)?;
    if pixels > 0 {
        shared.room.take(&held, pixels, Instant::now() + shared.options.body_time).await?;
    }
    let model = served.clone();
    let (request, wants) = body::work(sent.is_long(), move || read(&model, sent, &asked)).await?;
    let results = served.infer(request).await?;
    let long = body::is_long(results.iter().map(|(_, tensor)| tensor.bytes().len()).sum());
    body::work(long, move || answer::of(&served, &wants, &results)).await
}

/// The body of a request.
enum Sent {
    /// Pictures, a row for each.
    Pictures(Vec<Bytes>),
    /// JSON, and the elements of tensors that follow it.
    Structured(Bytes, Bytes),
    /// The elements of the only input.
    Raw(Bytes),
}

impl Sent {
    fn of(headers: &HeaderMap, bytes: Bytes) -> Result<Sent, RequestError> {
        if let Some(length) = headers.get(JSON_LENGTH) {
            let length = length.to_str().ok().and_then(|n| n.parse::<usize>().ok());
            let most = bytes.len();
            let expected = || invalid(format!("{JSON_LENGTH}: expected a number of bytes, at most {most}"));
            return Ok(match length.filter(|n| *n <= most).ok_or_else(expected)? {
                0 => Sent::Raw(bytes),
                length => Sent::Structured(bytes.slice(..length), bytes.slice(length..)),
            });
        }
        if let Some(boundary) = multipart::boundary(headers)? {
            return Ok(Sent::Pictures(pictures(multipart::parts(&bytes, &boundary)?)?));
        }
        Ok(match picture::is_one(&bytes) {
            true => Sent::Pictures(vec![bytes]),
            false => Sent::Structured(bytes, Bytes::new()),
        })
    }

    fn pictures(&self) -> &[Bytes] {
        if let Sent::Pictures(pictures) = self { pictures } else { &[] }
    }

    /// Bytes of the pixels of all pictures, of which several may not have more than `most`.
    fn pixels(&self, most: u64) -> Result<u64, RequestError> {
        let memory = self.pictures().iter().map(|picture| picture::memory(picture)).collect::<Result<Vec<_>, _>>()?;
        let sum = memory.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        match memory.len() > 1 && sum > most {
            true => Err(RequestError::TooLarge { what: "the pixels of all pictures", most }),
            false => Ok(sum),
        }
    }

    fn is_long(&self) -> bool {
        match self {
            Sent::Pictures(_) => true,
            Sent::Structured(text, binary) => body::is_long(text.len() + binary.len()),
            Sent::Raw(bytes) => body::is_long(bytes.len()),
        }
    }
}

/// The pictures of a form, whose files all have to be such. Other fields say nothing.
fn pictures(parts: Vec<Part>) -> Result<Vec<Bytes>, RequestError> {
    if let Some(other) = parts.iter().find(|part| part.is_file && !picture::is_one(&part.contents)) {
        return Err(invalid(format!("the form: {}: expected a picture, found another file", other.field)));
    }
    Ok(parts.into_iter().map(|part| part.contents).filter(|contents| picture::is_one(contents)).collect())
}

fn read(served: &Served, sent: Sent, asked: &Asked) -> Result<(InferRequest, Wants), RequestError> {
    match sent {
        Sent::Structured(text, binary) => structured(&text, binary),
        Sent::Raw(bytes) => raw(served, bytes),
        Sent::Pictures(pictures) => {
            let wrong = || invalid("top: expected a number of classes");
            let top = asked.top.as_ref().map(|top| top.parse().map_err(|_| wrong())).transpose()?;
            let request = InferRequest { inputs: vec![picture::input(served, &pictures)?], ..InferRequest::default() };
            Ok((request, Wants { top: Some(top.unwrap_or(5)), ..Wants::default() }))
        }
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

/// Reads a body of which so many bytes are JSON; 0 is all, 255 a form.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_body(kind: u8, body: Bytes) {
    let mut headers = HeaderMap::new();
    match kind {
        0 => {}
        255 => {
            let form = axum::http::HeaderValue::from_static("multipart/form-data; boundary=b");
            drop(headers.insert(axum::http::header::CONTENT_TYPE, form));
        }
        length => drop(headers.insert(JSON_LENGTH, u64::from(length).into())),
    }
    match Sent::of(&headers, body) {
        Ok(Sent::Structured(text, binary)) => drop(structured(&text, binary)),
        Ok(sent) => sent.pictures().iter().for_each(|picture| drop(picture::memory(picture))),
        Err(e) => drop(e.message()),
    }
}
