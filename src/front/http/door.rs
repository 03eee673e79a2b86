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
