//! Refusals as HTTP answers: one shape, one place.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::json;

use crate::model::refusal::{Code, Refusal};

/// A refusal on its way out.
#[derive(Debug)]
pub struct Error(pub Refusal);

/// What handlers return.
pub type Answer<T = Response> = Result<T, Error>;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error(refusal)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond(&self.0, None)
    }
}

/// `{"error": {code, message, details}}`, with a field beside it when the contract has one.
pub fn respond(refusal: &Refusal, beside: Option<(&str, serde_json::Value)>) -> Response {
    let mut error = json!({ "code": refusal.code.as_str(), "message": refusal.message });
    if let Some(details) = &refusal.details {
        error["details"] = details.clone();
    }
    let mut body = json!({ "error": error });
    if let Some((name, value)) = beside {
        body[name] = value;
    }
    let status = StatusCode::from_u16(refusal.code.class().http_status())
        .expect("the table of classes holds only valid statuses");
    let mut response = (status, Json(body)).into_response();
    // Whoever reads pages gets the refusal as one; see `dashboard::dress`.
    response.extensions_mut().insert(refusal.clone());
    if let Some(span) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(span.as_secs_ceil().max(1)));
    }
    response
}

/// No such path.
pub async fn no_route(uri: http::Uri) -> Error {
    let path = crate::base::text::quote(uri.path());
    Error(Refusal::new(Code::NotFound, format!("no path {path}; `/docs` lists them all")))
}

/// The path exists, the method does not.
pub async fn no_method(method: http::Method, uri: http::Uri) -> Error {
    let path = crate::base::text::quote(uri.path());
    Error(Refusal::new(Code::MethodNotAllowed, format!("{path} does not take {method}")))
}
