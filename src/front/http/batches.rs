//! The calls on batches but for creating them.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::OptionalBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs::{CancelRun, PAGE_DEFAULT, WAIT_MAX, cursor};
use super::state::Front;
use crate::appliance::batches::{Counted, Filter, PAGE_MAX};
use crate::base::id::Id;
use crate::base::text::quote;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;

/// A batch as callers see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchJson {
    #[schema(value_type = String)]
    id: Id,
    org: String,
    env: String,
    #[schema(value_type = String)]
    created_at: Time,
    /// Null while a run of it is open.
    #[schema(value_type = Option<String>)]
    finished_at: Option<Time>,
    /// Runs that it made or makes; items that stand for earlier runs are not among them.
    total: u32,
    /// How many runs stand in each status.
    #[schema(value_type = Object)]
    counts: Map<String, Value>,
    /// Runs that are kept and still to be made: a moment after the creation, or after a crash in it.
    to_make: u64,
    done: bool,
    /// Its runs went through the burst buffer.
    buffered: bool,
    idempotency_key: Option<String>,
    callback: Option<CallbackJson>,
    cancel: Option<CancelJson>,
}

/// Who hears when a batch is done.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchCallback)]
struct CallbackJson {
    task: String,
    /// The run that carries it, once the batch was done.
    #[schema(value_type = Option<String>)]
    run: Option<Id>,
    /// Why there could be none.
    error: Option<String>,
}

/// How far a cancellation got.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchCancel)]
struct CancelJson {
    #[schema(value_type = String)]
    requested_at: Time,
    reason: Option<String>,
    by: String,
    /// Runs that it canceled, or asked to stop.
    canceled: u32,
    /// Runs that it still has to reach.
    remaining: u64,
    done: bool,
}

impl BatchJson {
    pub fn of(counted: &Counted) -> BatchJson {
        let batch = &counted.batch;
        let mut counts: Map<String, Value> =
            Status::ALL.iter().map(|status| (status.as_str().to_owned(), 0.into())).collect();
        for (status, count) in &counted.counts {
            counts.insert(status.as_str().to_owned(), (*count).into());
        }
        BatchJson {
            id: batch.id,
            org: batch.org.to_string(),
            env: batch.env.to_string(),
            created_at: batch.created_at,
            finished_at: batch.finished_at,
            total: batch.total,
            counts,
            to_make: counted.unmade(),
            done: batch.is_done(),
            buffered: batch.buffered,
            idempotency_key: batch.idempotency_key.clone(),
            callback: batch.callback.as_ref().map(|callback| CallbackJson {
                task: callback.task.to_string(),
                run: callback.run,
                error: callback.error.clone(),
            }),
            cancel: batch.cancel.as_ref().map(|job| CancelJson {
                requested_at: job.requested_at,
                reason: job.reason.clone(),
                by: job.by.clone(),
                canceled: job.canceled,
                remaining: if job.ended_at.is_some() { 0 } else { counted.cancelable() },
                done: job.ended_at.is_some(),
            }),
        }
    }
}

/// A page of batches.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchPage)]
pub struct PageJson {
    batches: Vec<BatchJson>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Id>,
}

/// The id of a batch in a path.
pub fn id_of(text: &str) -> Result<Id, Refusal> {
    let message = || format!("{} is not a UUID", quote(text));
    text.parse().map_err(|()| Refusal::new(Code::InvalidId, message()))
}

/// The filter that URLs of the API and of pages share.
pub fn filter(query: &mut Query) -> Result<(Filter, usize, Option<Id>), Refusal> {
    let done = match query.text("done").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            let message = format!("`done`: expected `true` or `false`, got {}", quote(other));
            return Err(Refusal::new(Code::InvalidQuery, message));
        }
    };
    let filter = Filter { org: query.name("org")?, env: query.name("env")?, done };
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    Ok((filter, limit, cursor(query)?))
}

/// Batches, newest first.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let (filter, limit, before) = filter(&mut query)?;
    query.end()?;
    let page = front.appliance.batches(&filter, limit, before)?;
    let batches = page.batches.iter().map(BatchJson::of).collect();
    Ok(Json(PageJson { batches, next_cursor: page.next }).into_response())
}

/// A batch, at once or when it is done.
pub async fn get(State(front): State<Front>, Path(id): Path, mut query: Query) -> Answer {
    let wait = query.span("wait", WAIT_MAX)?;
    let (id, scope) = (id_of(&id)?, query.scope()?);
    query.end()?;
    let batch = match wait {
        // A wait may be longer than stopping should take: it ends with what is known by then.
        Some(span) => tokio::select! {
            batch = front.appliance.batch_done(id, &scope, span) => batch?,
            () = front.stop.cancelled() => front.appliance.batch(id, &scope)?,
        },
        None => front.appliance.batch(id, &scope)?,
    };
    Ok(Json(BatchJson::of(&batch)).into_response())
}

/// Cancel what is left of a batch.
pub async fn cancel(
    State(front): State<Front>,
    Path(id): Path,
    mut query: Query,
    OptionalBody(body): OptionalBody<CancelRun>,
) -> Answer {
    let (id, scope) = (id_of(&id)?, query.scope()?);
    query.end()?;
    let batch = front.appliance.cancel_batch(id, body.checked()?, "api", &scope).await?;
    Ok(Json(BatchJson::of(&batch)).into_response())
}
