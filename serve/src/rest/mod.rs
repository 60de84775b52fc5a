//! The protocol over HTTP.
//!
//! Addresses below `/v2` are the Open Inference Protocol's with the extensions that [`EXTENSIONS`] names; `/model/NAME:predict`
//! is MindSpore Serving's form. Errors are `{"error": "…"}` with a status that says whose fault it is.

mod admin;
mod answer;
mod body;
mod describe;
#[cfg(test)]
mod description;
mod infer;
mod instances;
mod json;
mod multipart;
mod picture;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::model::Served;
use crate::repository::number;
use crate::server::{MetricsForm, Shared};
use crate::{RequestError, grpc, metrics};

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

/// What is at which address, as OpenAPI describes it.
const DESCRIPTION: &str = include_str!("openapi.json");

pub(crate) use admin::change;
#[cfg(feature = "fuzzing")]
pub(crate) use infer::read_body;

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

/// An address: its method, its path, and what answers.
type Place = (&'static str, &'static str, MethodRouter<Arc<Shared>>);

/// Addresses for everybody.
fn open() -> Vec<Place> {
    vec![("get", "/", get(page)), ("get", "/v2/health/live", get(live)), ("get", "/v2/health/ready", get(ready))]
}

/// Addresses for those who show the server's token, if it has one.
fn guarded() -> Vec<Place> {
    vec![
        ("get", "/metrics", get(figures)),
        ("get", "/v2", get(describe::server)),
        ("get", "/v2/", get(describe::server)),
        ("get", "/v2/openapi.json", get(description)),
        ("get", "/v2/models/{model}", get(describe::model)),
        ("get", "/v2/models/{model}/versions/{version}", get(describe::model)),
        ("get", "/v2/models/{model}/ready", get(describe::ready)),
        ("get", "/v2/models/{model}/versions/{version}/ready", get(describe::ready)),
        ("get", "/v2/models/{model}/config", get(describe::config)),
        ("get", "/v2/models/{model}/versions/{version}/config", get(describe::config)),
        ("get", "/v2/models/{model}/stats", get(describe::statistics)),
        ("get", "/v2/models/{model}/versions/{version}/stats", get(describe::statistics)),
        ("get", "/v2/models/stats", get(describe::all_statistics)),
        ("post", "/v2/models/{model}/infer", post(infer::infer)),
        ("post", "/v2/models/{model}/versions/{version}/infer", post(infer::infer)),
        ("post", "/v2/repository/index", post(admin::index)),
        ("post", "/v2/repository/models/{model}/load", post(admin::load)),
        ("post", "/v2/repository/models/{model}/unload", post(admin::unload)),
        ("post", "/model/{target}", post(instances::predict)),
        ("post", "/model/{model}/version/{target}", post(instances::predict)),
    ]
}

/// All addresses.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let routed = |places: Vec<Place>| {
        places.into_iter().fold(Router::new(), |router, (_, path, answers)| router.route(path, answers))
    };
    let open = routed(open()).merge(grpc::health(&shared));
    let guarded = routed(guarded())
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

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

async fn figures(State(shared): State<Arc<Shared>>) -> Response {
    for served in shared.repository.served() {
        served.metrics.wait(served.waiting());
    }
    let (kind, text) = match shared.options.metrics {
        MetricsForm::Own => {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", shared.repository.metrics.text())
        }
        MetricsForm::Triton => {
            ("text/plain; version=0.0.4; charset=utf-8", metrics::triton(&shared.repository.served()))
        }
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
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

type At = FromPath<Target>;

/// What an address says; what is wrong with it is told as everything else that is wrong.
pub(crate) struct FromPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for FromPath<T> {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<FromPath<T>, RequestError> {
        let said = Path::from_request_parts(parts, state).await;
        said.map(|Path(said)| FromPath(said))
            .map_err(|e| RequestError::Invalid(format!("the address: {}", e.body_text())))
    }
}

/// What stands behind the question mark of an address.
pub(crate) struct FromQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for FromQuery<T> {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<FromQuery<T>, RequestError> {
        let said = Query::from_request_parts(parts, state).await;
        said.map(|Query(said)| FromQuery(said))
            .map_err(|e| RequestError::Invalid(format!("the address: {}", e.body_text())))
    }
}
