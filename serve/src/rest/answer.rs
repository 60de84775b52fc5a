//! Answers with results.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use mindir::Tensor;
use serde::Serialize;
use serde_json::Value;

use super::Answer;
use super::infer::JSON_LENGTH;
use super::json::Elements;
use crate::classes::{self, Class, Texts};
use crate::model::Served;
use crate::{RequestError, datatype};

/// What a client wants of the results.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// What it calls the request.
    pub id: String,
    /// The results that it wants, all if it names none.
    pub outputs: Vec<Wanted>,
    /// Whether it wants elements as they are in memory.
    pub binary: bool,
    /// How many classes the answer has besides.
    pub top: Option<usize>,
}

/// What a client wants of one result.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub name: String,
    /// What it says instead of [`Wants::binary`].
    pub binary: Option<bool>,
    /// It wants the so many best classes instead of the elements.
    pub classes: Option<usize>,
}

#[derive(Serialize)]
struct AnswerBody<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    outputs: Vec<Output<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<Class>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Elements(Elements<'a>),
    Texts(Vec<String>),
}

/// The answer with the results that are wanted, which are these in this order.
pub(crate) fn of(served: &Served, wants: &Wants, results: &[(String, Tensor)]) -> Answer {
    let mut outputs = Vec::with_capacity(results.len());
    let mut binary = Vec::new();
    for (i, (name, tensor)) in results.iter().enumerate() {
        let wanted = wants.outputs.get(i);
        let is_binary = wanted.and_then(|w| w.binary).unwrap_or(wants.binary);
        outputs.push(match wanted.and_then(|w| w.classes) {
            Some(most) => {
                let texts = Texts::of(name, tensor, most, &served.labels)?;
                classified(name, texts, is_binary.then_some(&mut binary))
            }
            None => output(name, tensor, is_binary.then_some(&mut binary))?,
        });
    }
    let classes = match wants.top {
        Some(top) => classes::best(results, top, &served.labels)?,
        None => Vec::new(),
    };
    let is_binary = outputs.iter().any(|output| output.data.is_none());
    let version = served.version.to_string();
    let body = AnswerBody { model_name: &served.name, model_version: version, id: &wants.id, outputs, classes };
    let mut bytes = serde_json::to_vec(&body).map_err(|e| RequestError::Internal(e.to_string()))?;
    if !is_binary {
        return Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response());
    }
    let length = HeaderValue::from(bytes.len());
    bytes.append(&mut binary);
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(HeaderName::from_static(JSON_LENGTH), length);
    Ok(response)
}

/// A result, whose elements go to `binary`, if there is one.
fn output<'a>(name: &'a str, tensor: &'a Tensor, binary: Option<&mut Vec<u8>>) -> Result<Output<'a>, RequestError> {
    let unnamed = || RequestError::Unsupported(format!("outputs: {name}: the protocol has no {}", tensor.dtype()));
    let datatype = datatype::name(tensor.dtype()).ok_or_else(unnamed)?;
    let shape = tensor.shape().to_vec();
    let (parameters, data) = match binary {
        Some(binary) => {
            binary.extend_from_slice(tensor.bytes());
            (Some(size(tensor.bytes().len())), None)
        }
        None => (None, Some(Data::Elements(Elements::of(name, tensor)?))),
    };
    Ok(Output { name, datatype, shape, parameters, data })
}

fn size(bytes: usize) -> Value {
    serde_json::json!({"binary_data_size": bytes})
}

/// The best classes of every row of a result, which go to `binary`, if there is one.
fn classified<'a>(name: &'a str, texts: Texts, binary: Option<&mut Vec<u8>>) -> Output<'a> {
    let (parameters, data) = match binary {
        Some(binary) => {
            let bytes = texts.bytes();
            binary.extend_from_slice(&bytes);
            (Some(size(bytes.len())), None)
        }
        None => (None, Some(Data::Texts(texts.texts))),
    };
    Output { name, datatype: "BYTES", shape: texts.shape, parameters, data }
}
