//! What agents deliver of runs, over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs::Target;
use super::runs_create as checks;
use super::sharded_json::DeliveryJson;
use super::state::Front;
use crate::appliance::deliveries::{Delivery, RESULT_BYTES_MAX, Reported};
use crate::base::json::clean;
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::ITEM_DEPTH_MAX;

/// Longest kind and key of a delivery, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A result or an error of a run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deliver {
    /// What kind of thing it is, in words of the agent.
    kind: String,
    /// Which one of its kind.
    key: String,
    /// An object or an array that is not empty, of at most 256 KiB.
    #[schema(value_type = Option<Object>)]
    result: Option<Box<RawValue>>,
    /// A text, or `{code, message}`. What is left out gets a default.
    #[schema(value_type = Option<Object>)]
    error: Option<ErrorBody>,
}

/// An error as agents write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Text(String),
    Parts(ErrorParts),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorParts {
    code: Option<String>,
    message: Option<String>,
}

impl From<ErrorBody> for Reported {
    fn from(body: ErrorBody) -> Reported {
        match body {
            ErrorBody::Text(message) => Reported { code: None, message: Some(message) },
            ErrorBody::Parts(ErrorParts { code, message }) => Reported { code, message },
        }
    }
}

/// A delivery that names no run of its sender.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryWarning)]
pub struct WarningJson {
    accepted: bool,
    warning: Warning,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Warning)]
struct Warning {
    code: &'static str,
    message: &'static str,
}

/// A delivery of an agent.
pub async fn deliver(
    State(front): State<Front>,
    Path(reference): Path,
    mut query: Query,
    JsonBody(body): JsonBody<Deliver>,
) -> Answer {
    let scope = query.scope()?;
    query.end()?;
    let delivery = Delivery {
        kind: checks::text("kind", body.kind, NAME_BYTES_MAX)?,
        key: checks::text("key", body.key, NAME_BYTES_MAX)?,
        result: result(body.result)?,
        error: body.error.map(Reported::from),
    };
    let Some(taken) = front.appliance.deliver(&reference, delivery, &scope).await? else {
        let warning = Warning {
            code: "missing_run",
            message: "no such run: it was removed, or never was; nothing was changed",
        };
        let json = WarningJson { accepted: false, warning };
        return Ok((StatusCode::ACCEPTED, Json(json)).into_response());
    };
    let status = if taken.cached { StatusCode::OK } else { StatusCode::CREATED };
    let json = DeliveryJson::of(&taken.delivered).answer(taken.shard, taken.cached);
    Ok((status, Json(json)).into_response())
}

fn result(given: Option<Box<RawValue>>) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(raw) = given else { return Ok(None) };
    let mut text = checks::bounded("result", raw, RESULT_BYTES_MAX)?;
    if !clean(&mut text, ITEM_DEPTH_MAX) {
        let message = format!("nested deeper than {ITEM_DEPTH_MAX} levels");
        return Err(Refusal::new(Code::InvalidField, format!("`result`: {message}"))
            .with_details(serde_json::json!({ "field": "result" })));
    }
    Ok(Some(text))
}

/// What was delivered of a run.
#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub struct ListJson<'a> {
    deliveries: Vec<DeliveryJson<'a>>,
}

/// The deliveries of a run, by kind and key.
pub async fn list(State(front): State<Front>, Target { id, scope }: Target) -> Answer {
    let found = front.appliance.deliveries(id, &scope)?;
    let deliveries = found.iter().map(DeliveryJson::of).collect();
    Ok(Json(ListJson { deliveries }).into_response())
}
