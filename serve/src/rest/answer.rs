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

/// A class that a result speaks for.
#[derive(Serialize)]
struct Class {
    output: String,
    row: usize,
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    probability: f64,
}

/// The answer with the results that are wanted, which are these in this order.
pub(crate) fn of(served: &Served, wants: &Wants, results: &[(String, Tensor)]) -> Answer {
    let mut outputs = Vec::with_capacity(results.len());
    let mut binary = Vec::new();
    for (i, (name, tensor)) in results.iter().enumerate() {
        let wanted = wants.outputs.get(i);
        let is_binary = wanted.and_then(|w| w.binary).unwrap_or(wants.binary);
        outputs.push(match wanted.and_then(|w| w.classes) {
            Some(most) => classified(name, tensor, most, &served.labels, is_binary.then_some(&mut binary))?,
            None => output(name, tensor, is_binary.then_some(&mut binary))?,
        });
    }
    let classes = match wants.top {
        Some(top) => classes(results, top, &served.labels)?,
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

/// The numbers of a row with their places, the largest first; NaN are last.
fn ranked(row: &[f64], most: usize) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
    let key = |v: f64| if v.is_nan() { f64::NEG_INFINITY } else { v };
    ranked.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0)));
    ranked.truncate(most);
    ranked
}

/// The rows of a result along its last dimension.
fn rows(name: &str, tensor: &Tensor) -> Result<(Vec<usize>, usize, Vec<f64>), RequestError> {
    let numbers = tensor.to_f64s().map_err(|e| RequestError::Invalid(format!("outputs: {name}: {e}")))?;
    let (before, len) = match tensor.shape().split_last() {
        Some((len, before)) => (before.to_vec(), *len),
        None => (Vec::new(), 1),
    };
    Ok((before, len, numbers))
}

/// The best classes of every row as the protocol's texts `number:place:label`.
fn classified<'a>(
    name: &'a str,
    tensor: &Tensor,
    most: usize,
    labels: &[String],
    binary: Option<&mut Vec<u8>>,
) -> Result<Output<'a>, RequestError> {
    let (mut shape, len, numbers) = rows(name, tensor)?;
    let most = most.min(len);
    let text = |(at, v): (usize, f64)| match labels.get(at) {
        Some(label) => format!("{v:.6}:{at}:{label}"),
        None => format!("{v:.6}:{at}"),
    };
    let texts: Vec<String> = numbers.chunks(len.max(1)).flat_map(|row| ranked(row, most)).map(text).collect();
    shape.push(most);
    let (parameters, data) = match binary {
        Some(binary) => {
            let start = binary.len();
            for text in &texts {
                binary.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                binary.extend_from_slice(text.as_bytes());
            }
            (Some(size(binary.len() - start)), None)
        }
        None => (None, Some(Data::Texts(texts))),
    };
    Ok(Output { name, datatype: "BYTES", shape, parameters, data })
}

/// The best classes of every row of every float result, with their probabilities: the softmax of the row.
fn classes(results: &[(String, Tensor)], top: usize, labels: &[String]) -> Result<Vec<Class>, RequestError> {
    let mut classes = Vec::new();
    for (name, tensor) in results.iter().filter(|(_, t)| t.dtype().is_float() && t.shape().len() < 3) {
        let (_, len, numbers) = rows(name, tensor)?;
        for (row, numbers) in numbers.chunks(len.max(1)).enumerate() {
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = numbers.iter().map(|v| (v - most).exp()).sum();
            let class = |(index, v): (usize, f64)| {
                let label = labels.get(index).cloned();
                Class { output: name.clone(), row, index, label, probability: (v - most).exp() / sum }
            };
            classes.extend(ranked(numbers, top).into_iter().map(class));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ranked() {
        assert_eq!(ranked(&[0.5, f64::NAN, 2.0, 2.0], 3), [(2, 2.0), (3, 2.0), (0, 0.5)]);
        let scores = Tensor::from_vec(&[2, 3], vec![1.0f32, 3.0, 2.0, 9.0, 8.0, 7.0]).unwrap();
        let labels = ["a", "b", "c"].map(String::from);
        let out = classified("y", &scores, 2, &labels, None).unwrap();
        assert_eq!((out.datatype, out.shape), ("BYTES", vec![2, 2]));
        let Some(Data::Texts(texts)) = out.data else { panic!() };
        assert_eq!(texts, ["3.000000:1:b", "2.000000:2:c", "9.000000:0:a", "8.000000:1:b"]);
        let best = &classes(&[("y".into(), scores)], 1, &labels).unwrap();
        assert_eq!(best.iter().map(|c| c.index).collect::<Vec<_>>(), [1, 0]);
    }
}
