//! The router before and after the store is open: `/healthz` and the files of pages are there at
//! once, everything else says `not_ready` until the routes are.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tower::ServiceExt;

use super::error::Error;
use super::health;
use crate::base::time::Span;
use crate::front::dashboard;
use crate::model::refusal::{Code, Refusal};

/// A router that can be filled in later.
#[derive(Clone, Default)]
pub struct Door(Arc<OnceLock<Router>>);

impl Door {
    /// From now on requests reach `router`.
    pub fn open(&self, router: Router) {
        if self.0.set(router).is_err() {
            tracing::error!("the door was opened twice; the second router is ignored");
        }
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(health::healthz))
            .merge(dashboard::asset_routes())
            .fallback(any(through))
            .with_state(self.clone())
    }
}

async fn through(State(door): State<Door>, request: Request) -> Response {
    match door.0.get() {
        Some(router) => router.clone().oneshot(request).await.into_response(),
        None if request.uri().path() == "/readyz" => health::not_ready("the store is being opened"),
        None => {
            let refusal =
                Refusal::new(Code::NotReady, "the store is being opened; try again in a moment")
                    .retry_after(Span::from_secs(1));
            dashboard::before_opening(request.uri().path(), request.headers(), &refusal)
                .unwrap_or_else(|| Error(refusal).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;

    use super::*;

    /// Upstream said ready while its store was still being loaded.
    #[tokio::test]
    async fn s15_nothing_is_ready_before_the_store_is_open() {
        let door = Door::default();
        let status = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            door.router().oneshot(request).await.unwrap().status()
        };
        assert_eq!(status("/healthz").await, StatusCode::OK);
        for path in ["/readyz", "/v1/status", "/v1/runs", "/metrics", "/"] {
            assert_eq!(status(path).await, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        }
        door.open(Router::new().route("/readyz", get(async || "ready")));
        assert_eq!(status("/readyz").await, StatusCode::OK);
        assert_eq!(status("/healthz").await, StatusCode::OK);
    }
}
