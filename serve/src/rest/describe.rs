//! What the server and its models are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mindir::Port;
use serde_json::{Value, json};

use super::{Answer, At, EXTENSIONS, FromPath};
use crate::datatype;
use crate::metrics::Sum;
use crate::model::Served;
use crate::server::Shared;

pub(crate) async fn server() -> Response {
    Json(json!({"name": "mindir", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS})).into_response()
}

pub(crate) async fn ready(State(shared): State<Arc<Shared>>, FromPath(target): At) -> Answer {
    match target.served(&shared) {
        Ok(served) => Ok(Json(json!({"name": served.name, "ready": true})).into_response()),
        Err(e) if e.status() == 503 => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Ok((status, Json(json!({"name": target.model, "ready": false, "error": e.to_string()}))).into_response())
        }
        Err(e) => Err(e),
    }
}

pub(crate) async fn model(State(shared): State<Arc<Shared>>, FromPath(target): At) -> Answer {
    let served = target.served(&shared)?;
    let versions: Vec<String> = shared.repository.versions(&served.name).iter().map(u64::to_string).collect();
    Ok(Json(json!({
        "name": served.name,
        "versions": versions,
        "platform": "mindspore_mindir",
        "inputs": served.inputs.iter().map(port).collect::<Vec<_>>(),
        "outputs": served.outputs.iter().map(port).collect::<Vec<_>>(),
    }))
    .into_response())
}

fn port(port: &Port) -> Value {
    json!({"name": port.name, "datatype": port.spec.dtype.and_then(datatype::name), "shape": datatype::dims(port)})
}

pub(crate) async fn config(State(shared): State<Arc<Shared>>, FromPath(target): At) -> Answer {
    let served = target.served(&shared)?;
    let port = |port: &Port| {
        let kind = port.spec.dtype.and_then(datatype::name).map(|name| format!("TYPE_{name}"));
        json!({"name": port.name, "data_type": kind, "dims": datatype::dims(port)})
    };
    let mut config = json!({
        "name": served.name,
        "platform": "mindspore_mindir",
        "backend": "mindir",
        "max_batch_size": 0,
        "input": served.inputs.iter().map(port).collect::<Vec<_>>(),
        "output": served.outputs.iter().map(port).collect::<Vec<_>>(),
        "instance_group": [{"count": served.config.instances, "kind": "KIND_CPU"}],
        "parameters": {"device": {"string_value": served.config.device.as_deref().unwrap_or("cpu")}},
    });
    if served.max_batch() > 1 {
        config["dynamic_batching"] = json!({
            "preferred_batch_size": [served.max_batch()],
            "max_queue_delay_microseconds": u64::from(served.config.batch_delay_ms) * 1000,
            "preserve_ordering": false,
            "default_queue_policy": {"max_queue_size": served.config.queue},
        });
    }
    if let Some(why) = &served.alone {
        config["parameters"]["no_batching"] = json!({"string_value": why});
    }
    Ok(Json(config).into_response())
}

pub(crate) async fn statistics(State(shared): State<Arc<Shared>>, FromPath(target): At) -> Answer {
    let served = target.served(&shared)?;
    Ok(Json(json!({"model_stats": [of(&served)]})).into_response())
}

pub(crate) async fn all_statistics(State(shared): State<Arc<Shared>>) -> Response {
    let served = shared.repository.served();
    Json(json!({"model_stats": served.iter().map(|s| of(s)).collect::<Vec<_>>()})).into_response()
}

fn of(served: &Served) -> Value {
    let statistics = served.metrics.statistics();
    let sum = |sum: &Sum| json!({"count": sum.count, "ns": u64::try_from(sum.time.as_nanos()).unwrap_or(u64::MAX)});
    let none = Sum::default();
    let batch = |(rows, runs): (&usize, &Sum)| json!({"batch_size": rows, "compute_input": sum(&none), "compute_infer": sum(runs), "compute_output": sum(&none)});
    json!({
        "name": served.name,
        "version": served.version.to_string(),
        "last_inference": served.metrics.last(),
        "inference_count": statistics.rows,
        "execution_count": statistics.runs,
        "inference_stats": {
            "success": sum(&statistics.success),
            "fail": sum(&statistics.fail),
            "queue": sum(&statistics.queue),
            "compute_input": sum(&none),
            "compute_infer": sum(&statistics.run),
            "compute_output": sum(&none),
            "cache_hit": sum(&statistics.hit),
            "cache_miss": sum(&statistics.miss),
        },
        "batch_stats": statistics.batches.iter().map(batch).collect::<Vec<_>>(),
    })
}
