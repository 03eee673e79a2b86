//! `/healthz` and `/readyz`: alive, and ready to take runs.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::state::Front;

/// The process answers.
pub async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// The store is open, recovered and takes writes.
pub async fn readyz(State(front): State<Front>) -> Response {
    if front.stop.is_cancelled() {
        return not_ready("stopping");
    }
    if front.appliance.writer_figures().read_only {
        return not_ready("the disk is full: read-only until there is room");
    }
    match front.appliance.totals() {
        Ok(_) => Json(json!({ "status": "ready" })).into_response(),
        Err(refusal) => not_ready(&refusal.message),
    }
}

pub fn not_ready(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not_ready", "reason": why })))
        .into_response()
}
