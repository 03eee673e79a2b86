//! Endpoints over HTTP: how receivers are doing, and what operators do about it.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::OptionalBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::state::Front;
use crate::appliance::outbox::EndpointView;
use crate::base::name::Name;
use crate::base::text::{cut, quote};
use crate::base::time::{Span, Time};
use crate::model::breaker::Allow;
use crate::model::outcome::Answer as Received;
use crate::model::refusal::{Code, Refusal};
use crate::model::signature::{OVERLAP_DEFAULT, OVERLAP_MAX};

/// Endpoints of one answer.
pub const ENDPOINTS_MAX: usize = 1_000;

/// An endpoint on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub struct EndpointJson {
    id: String,
    task: String,
    url: String,
    /// `closed`, `open`, `half_open`, `paused` or `disabled`.
    state: &'static str,
    reason: Option<&'static str>,
    /// When deliveries may go on, if that is known.
    #[schema(value_type = Option<String>)]
    until: Option<Time>,
    /// Share of the deliveries of the last five minutes that succeeded; null without any.
    success_rate: Option<f64>,
    recent: u32,
    delivered: u64,
    failed: u64,
    #[schema(value_type = Option<String>)]
    last_success_at: Option<Time>,
    last_error: Option<LastError>,
}

#[derive(Serialize, ToSchema)]
struct LastError {
    #[schema(value_type = String)]
    at: Time,
    code: String,
    detail: String,
}

impl EndpointJson {
    pub fn of(view: &EndpointView) -> EndpointJson {
        let (reason, until) = match view.allow {
            Allow::No { until, why } => (Some(why), until),
            Allow::Yes | Allow::Probe => (None, None),
        };
        let (ok, failed) = view.window;
        let recent = ok + failed;
        EndpointJson {
            id: view.endpoint.name.to_string(),
            task: view.endpoint.name.to_string(),
            url: view.task.push().map_or(String::new(), |push| push.url.clone()),
            state: view.state_word(),
            reason,
            until,
            success_rate: (recent > 0).then(|| f64::from(ok) / f64::from(recent)),
            recent,
            delivered: view.endpoint.delivered,
            failed: view.endpoint.failed,
            last_success_at: view.endpoint.last_success_at,
            last_error: view.endpoint.last_error.clone().map(|(at, code, detail)| LastError {
                at,
                code,
                detail,
            }),
        }
    }
}

pub fn endpoint_name(text: &str) -> Result<Name, Refusal> {
    Name::new(text)
        .map_err(|_| Refusal::new(Code::EndpointNotFound, format!("no endpoint {}", quote(text))))
}

/// All endpoints.
pub async fn list(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let views = front.appliance.endpoints(ENDPOINTS_MAX)?;
    let endpoints: Vec<EndpointJson> = views.iter().map(EndpointJson::of).collect();
    Ok(Json(serde_json::json!({ "endpoints": endpoints })).into_response())
}

/// Let a disabled endpoint try again.
pub async fn enable(State(front): State<Front>, Path(id): Path) -> Answer {
    let view = front.appliance.enable_endpoint(endpoint_name(&id)?).await?;
    Ok(Json(EndpointJson::of(&view)).into_response())
}

/// Send nothing to an endpoint until it is enabled.
pub async fn disable(State(front): State<Front>, Path(id): Path) -> Answer {
    let view = front.appliance.disable_endpoint(endpoint_name(&id)?).await?;
    Ok(Json(EndpointJson::of(&view)).into_response())
}

/// What a test call came to.
#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
pub struct TestJson {
    pub ok: bool,
    /// HTTP status; null when no response came.
    pub status: Option<u16>,
    pub detail: String,
    pub duration_ms: u32,
    /// The first bytes of the answer.
    pub body: String,
}

/// Sends a test call and tells what came back.
pub async fn probe(front: &Front, name: Name) -> Result<TestJson, Refusal> {
    let view = front.appliance.endpoint(&name)?;
    let probed = (front.probe)(view.task, view.endpoint).await;
    Ok(match probed.answer {
        Received::Response { status, body, .. } => TestJson {
            ok: (200..300).contains(&status),
            status: Some(status),
            detail: format!("the endpoint answered {status}"),
            duration_ms: probed.elapsed_ms,
            body: cut(&String::from_utf8_lossy(&body), 2_000).to_owned(),
        },
        Received::Failure { detail, .. } => TestJson {
            ok: false,
            status: None,
            detail,
            duration_ms: probed.elapsed_ms,
            body: String::new(),
        },
    })
}

/// Send a signed test call: `{"test": true}` under an id of its own.
pub async fn test(State(front): State<Front>, Path(id): Path) -> Answer {
    Ok(Json(probe(&front, endpoint_name(&id)?).await?).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSecret {
    /// How long the old secret signs beside the new one: 0 to 7 days, 24 h unless given.
    #[schema(value_type = Option<String>)]
    overlap: Option<Span>,
}

/// A fresh signing secret; the answer is the only time it is shown.
pub async fn rotate_secret(
    State(front): State<Front>,
    Path(id): Path,
    OptionalBody(body): OptionalBody<RotateSecret>,
) -> Answer {
    let overlap = body.overlap.unwrap_or(OVERLAP_DEFAULT);
    if overlap > OVERLAP_MAX {
        return Err(
            Refusal::field("overlap", format!("at most {OVERLAP_MAX}, got {overlap}")).into()
        );
    }
    let endpoint = front.appliance.rotate_secret(endpoint_name(&id)?, overlap).await?;
    let body = serde_json::json!({
        "id": endpoint.name,
        "secret": endpoint.secrets.current.reveal(),
        "previous_valid_until": endpoint.secrets.previous.is_some()
            .then_some(endpoint.secrets.previous_until),
    });
    let no_store = [(http::header::CACHE_CONTROL, "no-store")];
    Ok((no_store, Json(body)).into_response())
}
