//! The pages over HTTP: which path shows what, and what every page is sent with.
//!
//! A handler reads plain values from the appliance, fills the view struct of its page and hands it
//! to [`html`]. A refusal leaves as the same answer as in the API; `oops` turns it into a page for
//! whoever reads pages. Reads are lookups of microseconds, so they run where they are.

mod actions;
mod alerts;
mod attempts;
mod backups;
mod batch;
mod batches;
mod buffer;
mod buffer_concerns;
mod buffer_settings;
mod configuration;
mod docs;
mod endpoints;
mod form;
mod history;
mod host;
mod jobs;
mod live;
mod look;
mod manual;
pub mod oops;
mod outbox;
mod outbox_row;
mod overview;
mod run;
mod runs;
mod schedules;
mod settings;
mod sharded;
mod sign_in;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod workers;

use askama::Template;
use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::{StatusCode, Uri, header};

use super::assets;
use crate::appliance::caller;
use crate::front::http::describe::Reach;
use crate::front::http::error::{Error, no_route};
use crate::front::http::router::guarded;
use crate::front::http::state::Front;
use crate::front::http::who::Gate;
use crate::model::access::Needs;

/// A path of a page or of a form on one.
pub struct Page {
    pub method: &'static str,
    pub path: &'static str,
    pub needs: Needs,
    handler: fn() -> MethodRouter<Front>,
}

/// A page: for those who look.
const fn page(path: &'static str, handler: fn() -> MethodRouter<Front>) -> Page {
    Page { method: "GET", path, needs: Needs::View, handler }
}

/// A form: for operators.
const fn form(path: &'static str, handler: fn() -> MethodRouter<Front>) -> Page {
    Page { method: "POST", path, needs: Needs::Operate, handler }
}

impl Page {
    /// For others than it looks.
    const fn to(mut self, needs: Needs) -> Page {
        self.needs = needs;
        self
    }
}

/// All paths of pages and of the forms on them, and who may.
pub const PAGES: &[Page] = &[
    page("/", || get(overview::show)),
    page("/runs", || get(runs::show)),
    form("/runs/bulk", || post(jobs::preview)),
    page("/jobs", || get(jobs::list)),
    page("/jobs/{id}", || get(jobs::show)),
    form("/jobs/{id}/confirm", || post(jobs::confirm)),
    form("/jobs/{id}/cancel", || post(jobs::cancel)),
    page("/runs/{id}", || get(run::show)),
    form("/runs/{id}/cancel", || post(actions::cancel_run)),
    form("/runs/{id}/retry", || post(actions::retry_run)),
    form("/runs/{id}/replay", || post(actions::replay_run)),
    page("/batches", || get(batches::show)),
    page("/batches/{id}", || get(batch::show)),
    form("/batches/{id}/cancel", || post(batch::cancel)),
    page("/sharded-runs", || get(sharded::list)),
    page("/sharded-runs/{id}", || get(sharded::show)),
    form("/sharded-runs/{id}/resume", || post(sharded::resume)),
    page("/schedules", || get(schedules::list)),
    page("/schedules/{name}", || get(schedules::show)),
    form("/schedules/{name}/run", || post(schedules::run)),
    form("/schedules/{name}/pause", || post(schedules::pause)),
    form("/schedules/{name}/resume", || post(schedules::resume)),
    page("/streams", || get(streams::show)),
    page("/streams/{name}", || get(stream::show)),
    page("/workers", || get(workers::show)),
    page("/buffer", || get(buffer::show)),
    page("/outbox", || get(outbox::show)),
    form("/outbox/replay", || post(outbox::replay)),
    form("/outbox/pauses", || post(outbox::pause)),
    form("/outbox/pauses/remove", || post(actions::resume)),
    page("/outbox/{id}", || get(outbox_row::show)),
    form("/outbox/{id}/retry", || post(actions::retry_row)),
    page("/endpoints", || get(endpoints::show)),
    form("/endpoints/{name}/enable", || post(actions::enable_endpoint)),
    form("/endpoints/{name}/disable", || post(actions::disable_endpoint)),
    form("/endpoints/{name}/test", || post(endpoints::test)),
    form("/endpoints/{name}/rotate-secret", || post(endpoints::rotate_secret)),
    page("/live", || get(live::show)),
    page("/history", || get(history::show)),
    page("/alerts", || get(alerts::show)),
    form("/alerts/test", || post(alerts::test)),
    form("/alerts/messages/{id}/retry", || post(alerts::retry)),
    form("/alerts/silences", || post(alerts::silence)),
    form("/alerts/silences/{id}/end", || post(alerts::end_silence)),
    page("/manual", || get(manual::show)),
    page("/docs", || get(docs::show)),
    page("/login", || get(sign_in::login)).to(Needs::Nothing),
    form("/login", || post(sign_in::sign_in)).to(Needs::Nothing),
    form("/sign-out", || post(sign_in::sign_out)).to(Needs::Nothing),
    page("/setup", || get(sign_in::set_up)).to(Needs::Nothing),
    form("/setup", || post(sign_in::make_admin)).to(Needs::Nothing),
    page("/settings", || get(settings::about)),
    page("/settings/tokens", || get(settings::tokens)).to(Needs::Administer),
    form("/settings/tokens", || post(settings::create_token)).to(Needs::Administer),
    form("/settings/tokens/{id}/revoke", || post(settings::revoke_token)).to(Needs::Administer),
    page("/settings/users", || get(settings::users)).to(Needs::Administer),
    form("/settings/users", || post(settings::add_user)).to(Needs::Administer),
    form("/settings/users/{name}/password", || post(settings::set_password)).to(Needs::Administer),
    form("/settings/users/{name}/remove", || post(settings::remove_user)).to(Needs::Administer),
    page("/settings/backups", || get(backups::show)).to(Needs::Operate),
    form("/settings/backups", || post(backups::make)),
    form("/settings/backups/{name}/verify", || post(backups::verify)),
    page("/settings/configuration", || get(configuration::show)).to(Needs::Operate),
    page("/settings/licences", || get(configuration::licences)),
    page("/settings/you", || get(sign_in::you)),
    form("/settings/you", || post(sign_in::change_password)).to(Needs::View),
    page("/settings/audit", || get(settings::audit)).to(Needs::Administer),
];

/// Whether who asks may open this page.
fn may_open(path: &str) -> bool {
    let page = PAGES.iter().find(|page| page.method == "GET" && page.path == path);
    let caller = caller::current();
    page.zip(caller).is_some_and(|(page, caller)| caller.who.role.may(page.needs))
}

/// All pages behind their gates, and the files beside them.
pub fn routes(front: &Front) -> Router<Front> {
    let mut routes = Router::new();
    for page in PAGES {
        let gate = Gate {
            front: front.clone(),
            needs: page.needs,
            reach: if page.needs == Needs::Nothing { Reach::Shared } else { Reach::House },
            method: page.method,
            path: page.path,
        };
        routes = routes.route(page.path, guarded((page.handler)(), gate));
    }
    routes.route_layer(map_response(oops::mark)).merge(asset_routes())
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
