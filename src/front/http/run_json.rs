//! A run on the wire.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::appliance::runs::RunView;
use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::{Attempt, Line};
use crate::model::run::RunError;

/// A run as callers see it. Unknown fields of later versions must be tolerated.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunJson<'a> {
    /// UUIDv7.
    #[schema(value_type = String)]
    id: Id,
    /// `delayed queued executing canceling`, then finally `completed failed canceled expired
    /// system_failure`.
    status: &'static str,
    task: &'a str,
    org: &'a str,
    env: &'a str,
    #[schema(value_type = Object)]
    payload: Option<&'a RawValue>,
    #[schema(value_type = Object)]
    context: Option<&'a RawValue>,
    tags: &'a [String],
    #[schema(value_type = Object)]
    metadata: Option<&'a RawValue>,
    metadata_version: u64,
    idempotency_key: Option<&'a str>,
    priority: i8,
    concurrency_key: Option<&'a str>,
    attempts: u32,
    max_attempts: Option<u32>,
    /// Number of the latest attempt; reports with an older one are kept aside.
    fence: u32,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = String)]
    due_at: Time,
    #[schema(value_type = Option<String>)]
    started_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    finished_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Time>,
    #[schema(value_type = Object)]
    output: Option<&'a RawValue>,
    error: Option<ErrorJson<'a>>,
    /// Why the latest attempt did not succeed, while there will be another.
    last_failure: Option<ErrorJson<'a>>,
    /// The agent's number; 0 is legal.
    remote_id: Option<i64>,
    /// `pending`, `live` or `failed`.
    mirror: &'static str,
    batch: Option<BatchLink>,
    shard: Option<ShardLink>,
    #[schema(value_type = Option<String>)]
    parent: Option<Id>,
    #[schema(value_type = Option<String>)]
    replay_of: Option<Id>,
    steps: &'a [String],
    step: Option<u32>,
    /// It was accepted in a burst, is kept, and waits in the buffer until its turn comes.
    buffered: bool,
    cancel_reason: Option<&'a str>,
    /// One sentence for a run that has not started.
    waiting_because: Option<&'a str>,
    /// True when an earlier request with the same key created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct ErrorJson<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize, ToSchema)]
pub struct BatchLink {
    #[schema(value_type = String)]
    id: Id,
    index: u32,
}

#[derive(Serialize, ToSchema)]
pub struct ShardLink {
    #[schema(value_type = String)]
    sharded_run: Id,
    index: u32,
}

fn error(error: &RunError) -> ErrorJson<'_> {
    ErrorJson { code: &error.code, message: &error.message }
}

/// Stored JSON text.
pub fn raw(text: Option<&[u8]>) -> Option<&RawValue> {
    text.and_then(|text| serde_json::from_slice(text).ok())
}

impl<'a> RunJson<'a> {
    pub fn of(view: &'a RunView, cached: Option<bool>) -> RunJson<'a> {
        let run = &view.run;
        RunJson {
            id: run.id,
            status: run.status.as_str(),
            task: run.task.as_str(),
            org: run.org.as_str(),
            env: run.env.as_str(),
            payload: raw(view.body.payload.as_deref()),
            context: raw(view.body.context.as_deref()),
            tags: &run.tags,
            metadata: raw(run.metadata.as_deref().map(str::as_bytes)),
            metadata_version: run.metadata_version,
            idempotency_key: run.idempotency_key.as_deref(),
            priority: run.priority,
            concurrency_key: run.concurrency_key.as_deref(),
            attempts: run.attempts,
            max_attempts: run.max_attempts,
            fence: run.fence,
            created_at: run.created_at,
            due_at: run.due_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            expires_at: run.expires_at,
            output: raw(view.output.as_deref()),
            error: run.error.as_ref().map(error),
            last_failure: run.last_failure.as_ref().map(error),
            remote_id: run.remote_id,
            mirror: run.mirror.as_str(),
            batch: run.batch.map(|(id, index)| BatchLink { id, index }),
            shard: run.shard.map(|(sharded_run, index)| ShardLink { sharded_run, index }),
            parent: run.parent,
            replay_of: run.replay_of,
            steps: &run.steps,
            step: (!run.steps.is_empty()).then_some(run.step),
            buffered: run.buffered,
            cancel_reason: run.cancel_reason.as_deref(),
            waiting_because: view.waiting_because.as_deref(),
            cached,
        }
    }
}

/// A line of a timeline.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineLine)]
pub struct LineJson<'a> {
    #[schema(value_type = String)]
    pub at: Time,
    /// A stable word, such as `created`, `attempt_started`, `canceled`.
    pub what: &'a str,
    pub detail: &'a str,
    /// `api`, `agent` (of a run that is pushed), `worker` (of one that is pulled), `operator` or
    /// `tidegate`.
    pub by: &'a str,
    pub attempt: Option<u32>,
}

impl<'a> LineJson<'a> {
    pub fn of(line: &'a Line) -> LineJson<'a> {
        LineJson {
            at: line.at,
            what: &line.what,
            detail: &line.detail,
            by: &line.by,
            attempt: line.attempt,
        }
    }
}

/// A line of the attempts log.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptJson<'a> {
    number: u32,
    #[schema(value_type = String)]
    started_at: Time,
    duration_ms: u32,
    /// HTTP status; absent when no response came.
    status: Option<u16>,
    /// `success` or the code of the outcome.
    class: &'a str,
    detail: &'a str,
    /// The first 20 kB of the answer; base64 when it is not text.
    body: String,
    body_base64: bool,
    #[schema(value_type = Option<String>)]
    next_at: Option<Time>,
    /// A result that came too late: kept, not applied.
    late: bool,
}

impl<'a> AttemptJson<'a> {
    pub fn of(attempt: &'a Attempt) -> AttemptJson<'a> {
        use base64::Engine as _;
        let (body, body_base64) = match std::str::from_utf8(&attempt.body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (base64::engine::general_purpose::STANDARD.encode(&attempt.body), true),
        };
        AttemptJson {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.elapsed_ms,
            status: attempt.status,
            class: &attempt.class,
            detail: &attempt.detail,
            body,
            body_base64,
            next_at: attempt.next_at,
            late: attempt.late,
        }
    }
}
