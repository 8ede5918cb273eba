//! Requests → calls of [`JobApi`] → answers.

use crate::{ApiError, Fault, JobApi};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(crate) const JOB: &str = "/v1/job";
pub(crate) const CHECKPOINTS: &str = "/v1/job/checkpoints";
pub(crate) const CHECKPOINT: &str = "/v1/job/checkpoint";
pub(crate) const SAVEPOINTS: &str = "/v1/job/savepoints";
pub(crate) const RATE: &str = "/v1/job/rate";
pub(crate) const WATERMARKS: &str = "/v1/job/watermarks";
pub(crate) const METRICS: &str = "/v1/job/metrics";

type Api = State<Arc<dyn JobApi>>;

/// Everything that can be asked for.
pub(crate) fn router(api: Arc<dyn JobApi>) -> Router {
    Router::new()
        .route(JOB, get(async |State(api): Api| answer(move || api.status()).await))
        .route(CHECKPOINTS, get(async |State(api): Api| answer(move || api.checkpoints()).await))
        .route(
            CHECKPOINT,
            post(async |State(api): Api, body: Bytes| answer(move || api.checkpoint(request(&body)?)).await),
        )
        .route(
            SAVEPOINTS,
            post(async |State(api): Api, body: Bytes| answer(move || api.savepoint(request(&body)?)).await),
        )
        .route(RATE, post(async |State(api): Api, body: Bytes| answer(move || api.rate(request(&body)?)).await))
        .route(WATERMARKS, get(async |State(api): Api| answer(move || api.watermarks()).await))
        .route(METRICS, get(async |State(api): Api| answer(move || api.metrics()).await))
        .fallback(nothing_there)
        .method_not_allowed_fallback(nothing_there)
        .with_state(api)
}

/// Makes the call on a thread where it may block. The call goes on when the one who asked goes away, and this with it.
async fn answer<T: Serialize + Send + 'static>(
    call: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(call).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => error.into_response(),
        Err(panicked) => {
            tracing::error!("a request failed: {panicked}");
            let error = ApiError::new(Fault::Job, "the job panicked over this request");
            error.with_hint("this is a fault in Tidewheel: please report it").into_response()
        }
    }
}

/// The body as JSON; an empty one asks for the defaults.
fn request<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    match body {
        [] => Ok(T::default()),
        body => serde_json::from_slice(body).map_err(|error| ApiError::new(Fault::Request, error.to_string())),
    }
}

async fn nothing_there(method: Method, uri: Uri) -> ApiError {
    let error = ApiError::new(Fault::Missing, format!("there is no {method} {}", uri.path()));
    error.with_hint(format!(
        "ask for GET {JOB}, GET {CHECKPOINTS}, POST {CHECKPOINT}, POST {SAVEPOINTS}, POST {RATE}, GET {WATERMARKS} or \
         GET {METRICS}"
    ))
}
