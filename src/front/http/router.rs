//! All routes, out of the table of operations, and the layers around them.

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::header::{self, HeaderName, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::describe::{Reach, openapi};
use super::error::{no_method, no_route, respond};
use super::host;
use super::state::Front;
use super::table::OPERATIONS;
use super::who::{Gate, guard};
use crate::front::dashboard;
use crate::model::access::Needs;
use crate::model::refusal::{Code, Refusal};

/// The whole HTTP surface, as those hold it who only hand it on.
pub type Routes = Router;

/// The whole HTTP surface.
pub fn router(front: Front) -> Routes {
    let mut routes = Router::new();
    for operation in OPERATIONS {
        let gate = Gate {
            front: front.clone(),
            needs: operation.needs(),
            reach: operation.reach,
            method: operation.method,
            path: operation.path,
        };
        routes = routes.route(operation.path, guarded((operation.handler)(), gate));
    }
    let document_gate = Gate {
        front: front.clone(),
        needs: Needs::Read,
        reach: Reach::Shared,
        method: "GET",
        path: "/openapi.json",
    };
    routes
        .route("/openapi.json", guarded(get(document), document_gate))
        .merge(dashboard::routes(&front))
        .method_not_allowed_fallback(no_method)
        .fallback(no_route)
        .layer(middleware::from_fn_with_state(front.clone(), host::known))
        .layer(CsrfLayer::new().with_rejection_response(cross_site))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(front.clone(), dashboard::dress))
        .layer(middleware::map_response(harden))
        .with_state(front)
}

/// A route behind its gate.
pub fn guarded(route: MethodRouter<Front>, gate: Gate) -> MethodRouter<Front> {
    route.route_layer(middleware::from_fn_with_state(gate, guard))
}

async fn document(State(front): State<Front>) -> Response {
    axum::Json(openapi(OPERATIONS, front.about.version)).into_response()
}

/// Headers that every answer carries.
async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A form or a script of another site.
fn cross_site(_: ProtectionError) -> Response {
    let message = "the request comes from another site, so it changes nothing here";
    respond(&Refusal::new(Code::Forbidden, message), None)
}

/// A defect in a handler: told to the caller without its insides, and to the log with them.
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(panic = said, "a handler panicked");
    respond(&Refusal::new(Code::Internal, "a defect of tidegate; its log says more"), None)
}
