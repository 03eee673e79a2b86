//! Answers that runs wait for from outside, over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::run_json::raw;
use super::runs::Target;
use super::state::Front;
use crate::appliance::callbacks::{Answered, Callback, not_found};
use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};

/// Longest body of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// An answer that is waited for.
#[derive(Serialize, ToSchema)]
#[schema(as = Callback)]
pub struct CallbackJson {
    #[schema(value_type = String)]
    callback_id: Id,
    /// Where the answer is to be sent.
    url: String,
    #[schema(value_type = String)]
    created_at: Time,
    age_ms: i64,
}

impl CallbackJson {
    fn of(callback: &Callback, base: &str, now: Time) -> CallbackJson {
        CallbackJson {
            callback_id: callback.id,
            url: format!("{base}/v1/callbacks/{}", callback.id),
            created_at: callback.created_at,
            age_ms: now.since(callback.created_at).as_millis(),
        }
    }
}

/// Under which address the caller knows the appliance; only names that are ours get this far.
fn base(front: &Front, headers: &HeaderMap) -> String {
    match headers.get(header::HOST).and_then(|host| host.to_str().ok()) {
        Some(host) => {
            let scheme = front.about.address.split("://").next().unwrap_or("http");
            format!("{scheme}://{host}")
        }
        None => front.about.address.clone(),
    }
}

/// A new answer to wait for.
pub async fn expect(
    State(front): State<Front>,
    Target { id, scope }: Target,
    headers: HeaderMap,
) -> Answer {
    let callback = front.appliance.expect_callback(id, &scope).await?;
    let json = CallbackJson::of(&callback, &base(&front, &headers), front.appliance.now());
    Ok((StatusCode::CREATED, Json(json)).into_response())
}

/// An answer that came.
#[derive(Serialize, ToSchema)]
#[schema(as = AnsweredCallback)]
struct AnsweredJson<'a> {
    #[schema(value_type = String)]
    callback_id: Id,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = String)]
    answered_at: Time,
    #[schema(value_type = Object)]
    body: Option<&'a RawValue>,
}

impl<'a> AnsweredJson<'a> {
    fn of(answer: &'a Answered) -> AnsweredJson<'a> {
        AnsweredJson {
            callback_id: answer.id,
            created_at: answer.created_at,
            answered_at: answer.answered_at,
            body: raw(Some(answer.body.as_bytes())),
        }
    }
}

/// What a run waits for, and what it was told.
#[derive(Serialize, ToSchema)]
#[schema(as = Callbacks)]
pub struct ListJson<'a> {
    /// Outstanding ones, oldest first.
    callbacks: Vec<CallbackJson>,
    answered: Vec<AnsweredJson<'a>>,
}

/// The callbacks of a run.
pub async fn list(
    State(front): State<Front>,
    Target { id, scope }: Target,
    headers: HeaderMap,
) -> Answer {
    let found = front.appliance.callbacks(id, &scope)?;
    let (base, now) = (base(&front, &headers), front.appliance.now());
    let json = ListJson {
        callbacks: found.open.iter().map(|open| CallbackJson::of(open, &base, now)).collect(),
        answered: found.answered.iter().map(AnsweredJson::of).collect(),
    };
    Ok(Json(json).into_response())
}

/// What the run stands at after an answer.
#[derive(Serialize, ToSchema)]
#[schema(as = CallbackTaken)]
pub struct TakenJson {
    #[schema(value_type = String)]
    run: Id,
    status: &'static str,
    /// Answers that the run still waits for.
    outstanding: u32,
}

/// An answer from outside.
pub async fn answer(
    State(front): State<Front>,
    Path(id): Path,
    mut query: Query,
    JsonBody(body): JsonBody<Box<RawValue>>,
) -> Answer {
    let scope = query.scope()?;
    query.end()?;
    // What is no id is no callback either.
    let callback = id.parse::<Id>().map_err(|()| not_found(&id))?;
    let body: Box<str> = body.into();
    if body.len() > ANSWER_BYTES_MAX {
        let message =
            format!("the answer has {} bytes, at most {ANSWER_BYTES_MAX} are taken", body.len());
        let details = serde_json::json!({ "bytes_max": ANSWER_BYTES_MAX });
        return Err(Refusal::new(Code::TooLarge, message).with_details(details).into());
    }
    let run = front.appliance.answer_callback(callback, body.into_string(), &scope).await?;
    let (status, outstanding) = (run.status.as_str(), run.callbacks);
    Ok(Json(TakenJson { run: run.id, status, outstanding }).into_response())
}
