//! MindSpore Serving's form of requests: a list of examples, each with its tensors by name.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use mindir::{Port, Tensor};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::json::{self, Elements};
use super::{Answer, FromPath, body, version};
use crate::RequestError;
use crate::infer::{InferRequest, Results};
use crate::model::Served;
use crate::room::Held;
use crate::server::Shared;

#[derive(Deserialize)]
#[serde(expecting = "an object with `instances`")]
struct InstancesBody<'a> {
    #[serde(borrow)]
    instances: Vec<BTreeMap<String, &'a RawValue>>,
}

/// The model, perhaps a version, and behind a colon the method.
#[derive(Deserialize)]
pub(crate) struct At {
    model: Option<String>,
    target: String,
}

pub(crate) async fn predict(
    State(shared): State<Arc<Shared>>,
    FromPath(at): FromPath<At>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let wrong = || RequestError::NotFound(format!("expected NAME:predict, found {:?}", at.target));
    let (target, method) = at.target.rsplit_once(':').ok_or_else(wrong)?;
    if method != "predict" {
        return Err(wrong());
    }
    let held = Held::default();
    let bytes = body::read(&headers, body, &shared, &held).await?;
    let served = match &at.model {
        Some(model) => shared.repository.get(model, version(Some(target))?)?,
        None => shared.repository.get(target, None)?,
    };
    let model = served.clone();
    let long = body::is_long(bytes.len());
    let requests = body::work(long, move || requests(&model, &bytes)).await?;
    // All wait at the same time, so that they may run together.
    let waiting: Vec<_> = requests
        .into_iter()
        .map(|(request, added)| {
            let served = served.clone();
            (added, Waiting(tokio::spawn(async move { served.infer(request).await })))
        })
        .collect();
    let mut answers = Vec::with_capacity(waiting.len());
    for (added, mut waiting) in waiting {
        answers.push((added, (&mut waiting.0).await.map_err(|e| RequestError::Internal(e.to_string()))??));
    }
    let long = body::is_long(answers.iter().flat_map(|(_, results)| results).map(|(_, t)| t.bytes().len()).sum());
    body::work(long, move || answer(&answers)).await
}

/// The requests of a body, and for each whether a first dimension was added to its tensors.
fn requests(served: &Served, bytes: &[u8]) -> Result<Vec<(InferRequest, bool)>, RequestError> {
    let body: InstancesBody<'_> =
        serde_json::from_slice(bytes).map_err(|e| RequestError::Invalid(format!("the request: {e}")))?;
    let (most, found) = (served.config.queue, body.instances.len());
    if found > most {
        return Err(RequestError::Invalid(format!("instances: expected at most {most}, found {found}")));
    }
    body.instances.iter().map(|instance| request(served, instance)).collect()
}

fn answer(answers: &[(bool, Results)]) -> Answer {
    let instance = |(added, results): &(bool, Results)| {
        let named = |(name, tensor): &(String, Tensor)| {
            let dims = match tensor.shape() {
                [1, rest @ ..] if *added => rest,
                dims => dims,
            };
            let elements = Elements::of(name, tensor)?.nested(dims);
            Ok((name.clone(), serde_json::value::to_raw_value(&elements).map_err(internal)?))
        };
        results.iter().map(named).collect::<Result<BTreeMap<String, Box<RawValue>>, RequestError>>()
    };
    let instances = answers.iter().map(instance).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(BTreeMap::from([("instances", instances)])).into_response())
}

fn internal(e: serde_json::Error) -> RequestError {
    RequestError::Internal(e.to_string())
}

/// A request under way, which ends when nobody waits for it.
struct Waiting<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The request for an example, and whether a first dimension was added to its tensors.
fn request(served: &Served, instance: &BTreeMap<String, &RawValue>) -> Result<(InferRequest, bool), RequestError> {
    let mut added = false;
    let mut inputs = Vec::with_capacity(instance.len());
    for (name, data) in instance {
        let port = served.inputs.iter().find(|port| port.name == *name);
        let names = || served.inputs.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
        let unknown = || RequestError::Invalid(format!("instances: expected {}, found {name:?}", names()));
        let (tensor, one) = tensor(port.ok_or_else(unknown)?, data)?;
        added |= one;
        inputs.push((name.clone(), tensor));
    }
    Ok((InferRequest { inputs, ..InferRequest::default() }, added))
}

/// A tensor of nested lists, with a first dimension of one if it is an example of a batch.
fn tensor(port: &Port, data: &RawValue) -> Result<(Tensor, bool), RequestError> {
    let wrong = |text: String| RequestError::Invalid(format!("instances: {}: {text}", port.name));
    let (Some(dtype), Some(dims)) = (port.spec.dtype, &port.spec.dims) else {
        return Err(wrong("the model does not say its type and rank".into()));
    };
    let value: Value = serde_json::from_str(data.get()).map_err(|e| wrong(e.to_string()))?;
    let mut shape = Vec::new();
    let mut part = Some(&value);
    while let Some(Value::Array(items)) = part {
        shape.push(items.len());
        part = items.first();
    }
    let added = shape.len() + 1 == dims.len();
    if added {
        shape.insert(0, 1);
    }
    json::tensor(dtype, &shape, data).map(|tensor| (tensor, added)).map_err(wrong)
}
