//! The protocol over HTTP.
//!
//! Addresses below `/v2` are the Open Inference Protocol's with the extensions that [`EXTENSIONS`] names; `/model/NAME:predict`
//! is MindSpore Serving's form. Errors are `{"error": "…"}` with a status that says whose fault it is.

mod admin;
mod answer;
mod body;
mod describe;
mod infer;
mod instances;
mod json;
mod picture;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::model::Served;
use crate::repository::number;
use crate::server::Shared;
use crate::{RequestError, grpc};

/// Extensions of the protocol that are there.
pub(crate) const EXTENSIONS: [&str; 8] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "sequence",
    "statistics",
];

/// The page at `/`.
const PAGE: &str = include_str!("page.html");

pub(crate) use admin::change;

pub(crate) type Answer = Result<Response, RequestError>;

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!({"error": self.message()}))).into_response();
        if matches!(self.status(), 401 | 403 | 404 | 408 | 413) {
            // The body may not have been read.
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// All addresses.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let open = Router::new()
        .route("/", get(page))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .merge(grpc::health(&shared));
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/v2", get(describe::server))
        .route("/v2/", get(describe::server))
        .route("/v2/models/{model}", get(describe::model))
        .route("/v2/models/{model}/versions/{version}", get(describe::model))
        .route("/v2/models/{model}/ready", get(describe::ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(describe::ready))
        .route("/v2/models/{model}/config", get(describe::config))
        .route("/v2/models/{model}/versions/{version}/config", get(describe::config))
        .route("/v2/models/{model}/stats", get(describe::statistics))
        .route("/v2/models/{model}/versions/{version}/stats", get(describe::statistics))
        .route("/v2/models/stats", get(describe::all_statistics))
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer))
        .route("/v2/repository/index", post(admin::index))
        .route("/v2/repository/models/{model}/load", post(admin::load))
        .route("/v2/repository/models/{model}/unload", post(admin::unload))
        .route("/model/{target}", post(instances::predict))
        .route("/model/{model}/version/{target}", post(instances::predict))
        .merge(grpc::router(&shared))
        .route_layer(middleware::from_fn_with_state(shared.clone(), authorized));
    let all = open.merge(guarded);
    let all = all.layer(middleware::from_fn(told));
    all.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(shared)
}

/// What stands before a token.
const SCHEME: &[u8] = b"Bearer ";

/// Lets requests pass that carry the server's token, if it has one.
async fn authorized(State(shared): State<Arc<Shared>>, headers: HeaderMap, request: Request, next: Next) -> Answer {
    let Some(token) = &shared.options.token else { return Ok(next.run(request).await) };
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| value.split_at_checked(SCHEME.len()));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, token)| token);
    if given.is_some_and(|given| token.is(given)) {
        Ok(next.run(request).await)
    } else {
        Err(RequestError::Unauthorized)
    }
}

/// Tells of each request that has an address.
async fn told(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::INFO) {
        return next.run(request).await;
    }
    let (start, line) = (Instant::now(), format!("{} {}", request.method(), request.uri().path().escape_debug()));
    let response = next.run(request).await;
    tracing::info!("{line} {} {:?}", response.status().as_u16(), start.elapsed());
    response
}

async fn live() -> Response {
    Json(json!({"live": true})).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let ready = shared.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready}))).into_response()
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    for served in shared.repository.served() {
        served.metrics.wait(served.waiting());
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.repository.metrics.text()).into_response()
}

async fn unknown(request: Request) -> RequestError {
    RequestError::NotFound(format!("there is nothing at {:?}", request.uri().path()))
}

async fn wrong_method(request: Request) -> Response {
    let text = format!("{} {:?} is no request", request.method(), request.uri().path());
    (StatusCode::METHOD_NOT_ALLOWED, [(header::CONNECTION, "close")], Json(json!({"error": text}))).into_response()
}

/// The model and version of an address.
#[derive(serde::Deserialize)]
pub(crate) struct Target {
    model: String,
    version: Option<String>,
}

impl Target {
    fn served(&self, shared: &Shared) -> Result<Arc<Served>, RequestError> {
        shared.repository.get(&self.model, version(self.version.as_deref())?)
    }
}

pub(crate) fn version(text: Option<&str>) -> Result<Option<u64>, RequestError> {
    let known = |text: &str| {
        let wrong = || RequestError::Invalid(format!("version: expected a number, found {text:?}"));
        number(text).ok_or_else(wrong)
    };
    text.filter(|text| !text.is_empty()).map(known).transpose()
}

type At = Path<Target>;
