//! The repository of models.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Json, http::StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, FromPath, body};
use crate::RequestError;
use crate::room::Held;
use crate::server::Shared;

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    ready: bool,
}

pub(crate) async fn index(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Answer {
    let held = Held::default();
    let bytes = body::read(&headers, body, &shared, &held).await?;
    let asked: Asked = match bytes.is_empty() {
        true => Asked::default(),
        false => serde_json::from_slice(&bytes).map_err(|e| RequestError::Invalid(format!("the request: {e}")))?,
    };
    let lines = shared.repository.index();
    let lines = lines.into_iter().filter(|line| !asked.ready || line.state == "READY");
    let line = |line: crate::repository::IndexLine| json!({"name": line.name, "version": line.version.to_string(), "state": line.state, "reason": line.reason});
    Ok(Json(lines.map(line).collect::<Vec<_>>()).into_response())
}

pub(crate) async fn load(State(shared): State<Arc<Shared>>, FromPath(model): FromPath<String>) -> Answer {
    change(shared, move |shared| shared.repository.load(&model)).await?;
    Ok(StatusCode::OK.into_response())
}

pub(crate) async fn unload(State(shared): State<Arc<Shared>>, FromPath(model): FromPath<String>) -> Answer {
    change(shared, move |shared| shared.repository.unload(&model)).await?;
    Ok(StatusCode::OK.into_response())
}

/// Changes what is served, which takes a while.
pub(crate) async fn change(
    shared: Arc<Shared>,
    change: impl FnOnce(&Shared) -> Result<(), RequestError> + Send + 'static,
) -> Result<(), RequestError> {
    if !shared.options.admin {
        let text = "models are not loaded and unloaded on request: the server was started without that";
        return Err(RequestError::Forbidden(text.into()));
    }
    let changed = tokio::task::spawn_blocking(move || change(&shared)).await;
    changed.map_err(|e| RequestError::Internal(e.to_string()))?
}
