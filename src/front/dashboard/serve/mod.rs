//! The pages over HTTP: which path shows what, and what every page is sent with.
//!
//! A handler reads plain values from the appliance, fills the view struct of its page and hands it
//! to [`html`]. A refusal leaves as the same answer as in the API; `oops` turns it into a page for
//! whoever reads pages. Reads are lookups of microseconds, so they run where they are.

mod actions;
mod attempts;
mod batch;
mod batches;
mod buffer;
mod buffer_concerns;
mod buffer_settings;
mod docs;
mod endpoints;
mod form;
mod history;
mod host;
mod jobs;
mod live;
mod look;
pub mod oops;
mod outbox;
mod outbox_row;
mod overview;
mod run;
mod runs;
mod schedules;
mod sharded;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod workers;

use askama::Template;
use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, Uri, header};

use super::assets;
use crate::front::http::error::{Error, no_route};
use crate::front::http::state::Front;

/// All paths of pages, of the forms on them, and of the files beside them.
pub fn routes() -> Router<Front> {
    Router::new()
        .route("/", get(overview::show))
        .route("/runs", get(runs::show))
        .route("/runs/bulk", post(jobs::preview))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/confirm", post(jobs::confirm))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/runs/{id}", get(run::show))
        .route("/runs/{id}/cancel", post(actions::cancel_run))
        .route("/runs/{id}/retry", post(actions::retry_run))
        .route("/runs/{id}/replay", post(actions::replay_run))
        .route("/batches", get(batches::show))
        .route("/batches/{id}", get(batch::show))
        .route("/batches/{id}/cancel", post(batch::cancel))
        .route("/sharded-runs", get(sharded::list))
        .route("/sharded-runs/{id}", get(sharded::show))
        .route("/sharded-runs/{id}/resume", post(sharded::resume))
        .route("/schedules", get(schedules::list))
        .route("/schedules/{name}", get(schedules::show))
        .route("/schedules/{name}/run", post(schedules::run))
        .route("/schedules/{name}/pause", post(schedules::pause))
        .route("/schedules/{name}/resume", post(schedules::resume))
        .route("/streams", get(streams::show))
        .route("/streams/{name}", get(stream::show))
        .route("/workers", get(workers::show))
        .route("/live", get(live::show))
        .route("/history", get(history::show))
        .route("/buffer", get(buffer::show))
        .route("/outbox", get(outbox::show))
        .route("/outbox/replay", post(outbox::replay))
        .route("/outbox/pauses", post(outbox::pause))
        .route("/outbox/pauses/remove", post(actions::resume))
        .route("/outbox/{id}", get(outbox_row::show))
        .route("/outbox/{id}/retry", post(actions::retry_row))
        .route("/endpoints", get(endpoints::show))
        .route("/endpoints/{name}/enable", post(actions::enable_endpoint))
        .route("/endpoints/{name}/disable", post(actions::disable_endpoint))
        .route("/endpoints/{name}/test", post(endpoints::test))
        .route("/endpoints/{name}/rotate-secret", post(endpoints::rotate_secret))
        .route("/docs", get(docs::show))
        .route_layer(map_response(oops::mark))
        .merge(asset_routes())
}

/// The files beside the pages; they need no store, so the door serves them before it is open.
pub fn asset_routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(uri: Uri) -> Result<Response, Error> {
    let Some((content_type, bytes)) = assets::asset(uri.path()) else {
        return Err(no_route(uri).await);
    };
    let headers =
        [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, assets::CACHE_CONTROL)];
    Ok((headers, bytes).into_response())
}

/// A page as an answer.
fn html(status: u16, page: &impl Template) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match page.render() {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, assets::CONTENT_SECURITY_POLICY),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (status, headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered").into_response()
        }
    }
}

/// Counters are signed, since they are sums of changes; a page shows no count below 0.
fn counted(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
