//! The task registry over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs_create as checks;
use super::state::Front;
use crate::appliance::tasks::TASKS_MAX;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::refusal::{Code, Refusal};
use crate::model::retry::RetryPolicy;
use crate::model::target::{AllowList, check_url};
use crate::model::task::{
    Delivery, Flush, KeyRule, LEASE_DEFAULT, MAX_DURATION_DEFAULT, Ordering, PUSH_TIMEOUT_DEFAULT,
    Push, Source, Task,
};

const TIMEOUT_MIN: Span = Span::from_secs(1);
const TIMEOUT_MAX: Span = Span::from_secs(120);
const DURATION_MAX: Span = Span::from_days(30);
const CONCURRENCY_MAX: u32 = 100_000;
const SHARD_SIZE_MAX: u32 = 10_000;
const DELIVERIES_MAX: u32 = 1_000;
const STREAM_BYTES_MAX: usize = 255;
const MALFORMED_MAX: u32 = 10;
/// Why a limit is refused that nothing would hold.
const PULL_IS_UNLIMITED: &str = "limits push delivery only; of a pull task as many runs execute \
    as its workers take: leave it out, and limit how many workers read and how much each takes";

/// A task as it is registered.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutTask {
    delivery: PutDelivery,
    /// `{"preset": "interactive" | "webhook"}` or `{"max_attempts": 5, "delays": ["1s", "5s"]}`.
    #[schema(value_type = Option<Object>)]
    retry: Option<RetryPolicy>,
    /// Longest time from the start of an attempt to the end of its work; 1 h unless given.
    #[schema(value_type = Option<String>)]
    max_duration: Option<Span>,
    #[schema(value_type = Option<String>)]
    ttl: Option<Span>,
    /// Runs that may execute at once: of the task, or of each concurrency key when there are keys.
    /// For push only: of a pull task as many execute as its workers take.
    concurrency: Option<u32>,
    /// `org` or `env`: every org, or every env, has the limit for itself.
    concurrency_key: Option<String>,
    shard_size: Option<u32>,
    max_deliveries: Option<u32>,
    /// Answers 2xx without a usable body that are tried again before they are final.
    retry_malformed_2xx: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutDelivery {
    push: Option<PutPush>,
    pull: Option<PutPull>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutPush {
    url: String,
    /// `sync` or `async`, which is the default.
    flush: Option<String>,
    /// 1 s to 120 s; 30 s unless given.
    #[schema(value_type = Option<String>)]
    timeout: Option<Span>,
    /// `none`, which is the default, `key` or `strict`.
    ordering: Option<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutPull {
    stream: String,
    #[schema(value_type = Option<String>)]
    lease: Option<Span>,
}

/// A task from its written form, checked.
pub fn check(
    name: Name,
    body: PutTask,
    source: Source,
    allow: &AllowList,
    now: Time,
) -> Result<Task, Refusal> {
    let delivery = match (body.delivery.push, body.delivery.pull) {
        (Some(push), None) => Delivery::Push(check_push(push, allow)?),
        (None, Some(pull)) => Delivery::Pull {
            stream: checks::text("delivery.pull.stream", pull.stream, STREAM_BYTES_MAX)?,
            lease: between(
                "delivery.pull.lease",
                pull.lease,
                LEASE_DEFAULT,
                TIMEOUT_MIN,
                DURATION_MAX,
            )?,
        },
        _ => return Err(Refusal::field("delivery", "expected exactly one of `push` and `pull`")),
    };
    let max_duration = between(
        "max_duration",
        body.max_duration,
        MAX_DURATION_DEFAULT,
        TIMEOUT_MIN,
        DURATION_MAX,
    )?;
    let ttl = checks::limited("ttl", body.ttl, DURATION_MAX)?;
    let concurrency = count("concurrency", body.concurrency, CONCURRENCY_MAX)?;
    if concurrency.is_some() && matches!(delivery, Delivery::Pull { .. }) {
        return Err(Refusal::field("concurrency", PULL_IS_UNLIMITED));
    }
    Ok(Task {
        name,
        delivery,
        retry: body.retry.unwrap_or_default(),
        max_duration,
        ttl: checks::positive("ttl", ttl)?,
        concurrency,
        concurrency_key: word(
            "concurrency_key",
            body.concurrency_key,
            KeyRule::parse,
            KeyRule::WORDS,
        )?,
        shard_size: count("shard_size", body.shard_size, SHARD_SIZE_MAX)?,
        max_deliveries: count("max_deliveries", body.max_deliveries, DELIVERIES_MAX)?,
        retry_malformed: body.retry_malformed_2xx.unwrap_or(0).min(MALFORMED_MAX),
        source,
        created_at: now,
        updated_at: now,
    })
}

fn check_push(push: PutPush, allow: &AllowList) -> Result<Push, Refusal> {
    let url = check_url(&push.url, allow)?;
    let flush = word("delivery.push.flush", push.flush, Flush::parse, Flush::WORDS)?;
    let ordering = word("delivery.push.ordering", push.ordering, Ordering::parse, Ordering::WORDS)?;
    let timeout = push.timeout;
    Ok(Push {
        url: url.to_string(),
        flush: flush.unwrap_or(Flush::Async),
        timeout: between(
            "delivery.push.timeout",
            timeout,
            PUSH_TIMEOUT_DEFAULT,
            TIMEOUT_MIN,
            TIMEOUT_MAX,
        )?,
        ordering: ordering.unwrap_or(Ordering::None),
    })
}

fn between(
    field: &str,
    span: Option<Span>,
    default: Span,
    min: Span,
    max: Span,
) -> Result<Span, Refusal> {
    let span = span.unwrap_or(default);
    if span < min || span > max {
        return Err(Refusal::field(field, format!("expected {min} to {max}, got {span}")));
    }
    Ok(span)
}

fn count(field: &str, value: Option<u32>, max: u32) -> Result<Option<u32>, Refusal> {
    match value {
        Some(n) if !(1..=max).contains(&n) => {
            Err(Refusal::field(field, format!("expected 1 to {max}, got {n}")))
        }
        other => Ok(other),
    }
}

fn word<T>(
    field: &str,
    value: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, Refusal> {
    let Some(text) = value else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| {
        let message = format!("expected one of `{}`, got {}", words.join("`, `"), quote(&text));
        Refusal::field(field, message)
    })
}

/// A task on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
pub struct TaskJson {
    name: String,
    #[schema(value_type = Object)]
    delivery: serde_json::Value,
    #[schema(value_type = Object)]
    retry: RetryPolicy,
    #[schema(value_type = String)]
    max_duration: Span,
    #[schema(value_type = Option<String>)]
    ttl: Option<Span>,
    concurrency: Option<u32>,
    concurrency_key: Option<&'static str>,
    shard_size: Option<u32>,
    max_deliveries: Option<u32>,
    retry_malformed_2xx: u32,
    /// `http`, or `file` for a task of the configuration, which is read-only here.
    source: &'static str,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = String)]
    updated_at: Time,
}

impl TaskJson {
    pub fn of(task: Task) -> TaskJson {
        let delivery = match &task.delivery {
            Delivery::Push(push) => serde_json::json!({ "push": {
                "url": push.url, "flush": push.flush.as_str(), "timeout": push.timeout,
                "ordering": push.ordering.as_str(),
            }}),
            Delivery::Pull { stream, lease } => {
                serde_json::json!({ "pull": { "stream": stream, "lease": lease } })
            }
        };
        TaskJson {
            name: task.name.to_string(),
            delivery,
            retry: task.retry,
            max_duration: task.max_duration,
            ttl: task.ttl,
            concurrency: task.concurrency,
            concurrency_key: task.concurrency_key.map(KeyRule::as_str),
            shard_size: task.shard_size,
            max_deliveries: task.max_deliveries,
            retry_malformed_2xx: task.retry_malformed,
            source: task.source.as_str(),
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}

/// Register or change a task.
pub async fn put(
    State(front): State<Front>,
    Path(name): Path,
    JsonBody(body): JsonBody<PutTask>,
) -> Answer {
    let name = checks::name("name", &name)?;
    let task = check(name, body, Source::Http, &front.allow, front.appliance.now())?;
    let (task, fresh) = front.appliance.put_task(task).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(TaskJson::of(task))).into_response())
}

/// A page of tasks.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskPage)]
struct TasksJson {
    tasks: Vec<TaskJson>,
    next_cursor: Option<String>,
}

/// Tasks by name.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", 1_000)?.unwrap_or(1_000).min(TASKS_MAX);
    let after = query.name("cursor")?;
    query.end()?;
    let tasks = front.appliance.tasks(after.as_ref(), limit)?;
    let next_cursor =
        tasks.last().filter(|_| tasks.len() == limit).map(|task| task.name.to_string());
    let tasks = tasks.into_iter().map(TaskJson::of).collect();
    Ok(Json(TasksJson { tasks, next_cursor }).into_response())
}

/// One task.
pub async fn get(State(front): State<Front>, Path(name): Path) -> Answer {
    let name = known(&name)?;
    Ok(Json(TaskJson::of(front.appliance.task(&name)?)).into_response())
}

/// Remove a task without unfinished runs.
pub async fn remove(State(front): State<Front>, Path(name): Path) -> Answer {
    front.appliance.remove_task(known(&name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What is no name is no task either.
fn known(name: &str) -> Result<Name, Refusal> {
    Name::new(name)
        .map_err(|_| Refusal::new(Code::TaskNotFound, format!("no task {}", quote(name))))
}
