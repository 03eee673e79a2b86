//! The fleet over HTTP: heartbeats, the snapshot, events, and the janitor on request.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalBody};
use super::error::Answer;
use super::path::Path2;
use super::query::Query;
use super::runs_create::stream_name;
use super::state::Front;
use crate::appliance::events::Event;
use crate::appliance::fleet::{Beat, TypeView, WorkerView};
use crate::base::id::Id;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::alert::Severity;
use crate::model::refusal::{Code, Refusal};
use crate::model::worker::INFO_BYTES_MAX;

/// Largest task limit of a worker.
const TASK_LIMIT_MAX: u32 = 100_000;
/// Events of one page.
const EVENTS_MAX: usize = 1_000;
/// Events that one call looks at while it filters.
const EVENTS_LOOKED_AT_MAX: usize = 20_000;

/// A type of workers; it is called as its stream.
#[derive(Serialize, ToSchema)]
pub struct WorkerTypeJson {
    name: String,
    /// `alive`, `scaled_down` or `crashed`.
    state: &'static str,
    #[schema(value_type = String)]
    state_changed_at: Time,
    #[schema(value_type = String)]
    last_seen_alive: Time,
    last_alive_count: u32,
    alive: usize,
    crashes: u64,
    consumers: Vec<WorkerJson>,
    /// Places of all who are alive.
    task_limit_total: u64,
    backlog: u64,
    pending: u64,
    /// Entries that the slowest group has not read; absent when that cannot be known.
    lag: Option<u64>,
    capacity: u64,
    /// Backlog for each place.
    utilization: f64,
}

/// A worker.
#[derive(Serialize, ToSchema)]
pub struct WorkerJson {
    consumer: String,
    /// `alive`, `stopped` or `crashed`.
    state: &'static str,
    #[schema(value_type = String)]
    since: Time,
    #[schema(value_type = String)]
    started_at: Time,
    /// Its latest heartbeat; absent for one that sends none.
    #[schema(value_type = Option<String>)]
    last_seen: Option<Time>,
    task_limit: u32,
    pending: u64,
    /// Seconds since it read last.
    idle: Option<f64>,
    /// A connection of the Redis protocol stands for it.
    connected: bool,
    #[schema(value_type = Option<Object>)]
    info: Option<serde_json::Value>,
}

impl WorkerJson {
    fn of(view: WorkerView) -> WorkerJson {
        let worker = view.worker;
        WorkerJson {
            consumer: worker.consumer,
            state: worker.state.as_str(),
            since: worker.changed_at,
            started_at: worker.started_at,
            last_seen: worker.beat_at,
            task_limit: worker.task_limit,
            pending: view.pending,
            idle: view.idle.map(|idle| idle.0 as f64 / 1_000.0),
            connected: view.connected,
            info: worker.info.and_then(|info| serde_json::from_str(&info).ok()),
        }
    }
}

impl WorkerTypeJson {
    fn of(view: TypeView) -> WorkerTypeJson {
        let utilization = view.utilization();
        WorkerTypeJson {
            state: view.kind.state_word(),
            name: view.kind.stream,
            state_changed_at: view.kind.changed_at,
            last_seen_alive: view.kind.seen_alive_at,
            last_alive_count: view.kind.last_alive,
            alive: view.kind.alive as usize,
            crashes: view.kind.crashes,
            consumers: view.workers.into_iter().map(WorkerJson::of).collect(),
            task_limit_total: view.capacity,
            backlog: view.backlog,
            pending: view.pending,
            lag: view.lag,
            capacity: view.capacity,
            utilization,
        }
    }
}

/// The fleet.
#[derive(Serialize, ToSchema)]
#[schema(as = Fleet)]
pub struct FleetJson {
    workers: Vec<WorkerTypeJson>,
}

/// Everyone who is known.
pub async fn workers(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let workers = front.appliance.workers()?.into_iter().map(WorkerTypeJson::of).collect();
    Ok(Json(FleetJson { workers }).into_response())
}

/// A sign of life.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Tasks that it does at once.
    task_limit: Option<u32>,
    /// Anything to show beside it; at most 4 KiB.
    #[schema(value_type = Option<Object>)]
    info: Option<serde_json::Value>,
    #[schema(value_type = Option<String>)]
    started_at: Option<Time>,
}

pub async fn heartbeat(
    State(front): State<Front>,
    Path2(stream, consumer): Path2,
    OptionalBody(body): OptionalBody<Heartbeat>,
) -> Answer {
    let task_limit = body.task_limit.unwrap_or(1);
    if !(1..=TASK_LIMIT_MAX).contains(&task_limit) {
        let message = format!("expected 1 to {TASK_LIMIT_MAX}, got {task_limit}");
        return Err(Refusal::field("task_limit", message).into());
    }
    let info = body.info.map(|info| info.to_string());
    if info.as_ref().is_some_and(|info| info.len() > INFO_BYTES_MAX) {
        let message = format!("`info` holds more than {INFO_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::TooLarge, message).into());
    }
    let beat = Beat {
        stream: stream_name("stream", stream)?,
        consumer: stream_name("consumer", consumer)?,
        started_at: body.started_at,
        task_limit,
        info,
    };
    let worker = front.appliance.worker_beat(beat).await?;
    let ttl = crate::model::worker::HEARTBEAT_TTL;
    let body = serde_json::json!({ "consumer": worker.consumer, "expires_in": ttl });
    Ok(Json(body).into_response())
}

/// Why a worker goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// The signal that it was told by, for the log.
    signal: Option<i64>,
}

pub async fn shutdown(
    State(front): State<Front>,
    Path2(stream, consumer): Path2,
    OptionalBody(body): OptionalBody<Shutdown>,
) -> Answer {
    tracing::debug!(%stream, %consumer, signal = ?body.signal, "a worker goes");
    let worker = front.appliance.worker_shutdown(stream, consumer).await?;
    Ok(Json(serde_json::json!({ "consumer": worker.consumer, "stopped": true })).into_response())
}

/// A type of workers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    name: String,
}

pub async fn forget(State(front): State<Front>, JsonBody(body): JsonBody<Forget>) -> Answer {
    front.appliance.forget_workers(body.name.clone()).await?;
    Ok(Json(serde_json::json!({ "forgot": body.name })).into_response())
}

pub async fn cleanup(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let done = front.appliance.cleanup(false).await?;
    let streams: Vec<_> = done
        .streams
        .iter()
        .map(|trimmed| {
            serde_json::json!({
                "stream": trimmed.stream, "trimmed": trimmed.before - trimmed.after,
                "before": trimmed.before, "after": trimmed.after,
            })
        })
        .collect();
    let deleted: usize = done.consumers.iter().map(|(_, count)| count).sum();
    let by_stream: serde_json::Map<String, serde_json::Value> =
        done.consumers.into_iter().map(|(stream, count)| (stream, count.into())).collect();
    let body = serde_json::json!({
        "streams": streams,
        "stale_consumers": { "deleted": deleted, "by_stream": by_stream },
    });
    Ok(Json(body).into_response())
}

/// Work to be given up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reclaim {
    /// Consumers that are idle for so long; 3600 unless given.
    min_idle_seconds: Option<u64>,
    /// Counts and changes nothing.
    #[serde(default)]
    dry_run: bool,
}

pub async fn reclaim(
    State(front): State<Front>,
    OptionalBody(body): OptionalBody<Reclaim>,
) -> Answer {
    const LONGEST: u64 = 30 * 24 * 3_600;
    let seconds = body.min_idle_seconds.unwrap_or(3_600);
    if !(60..=LONGEST).contains(&seconds) {
        let message = format!("expected 60 to {LONGEST}, got {seconds}");
        return Err(Refusal::field("min_idle_seconds", message).into());
    }
    let idle = Span::from_secs(seconds as i64);
    let done = front.appliance.reclaim_dead(idle, body.dry_run).await?;
    let by_stream: serde_json::Map<String, serde_json::Value> = done
        .by_stream
        .into_iter()
        .map(|(stream, messages, consumers)| {
            (stream, serde_json::json!({ "messages": messages, "consumers": consumers }))
        })
        .collect();
    let body = serde_json::json!({
        "dry_run": body.dry_run, "min_idle_seconds": seconds, "more": done.more,
        "dropped_messages": done.messages, "consumers_removed": done.consumers,
        "by_stream": by_stream,
    });
    Ok(Json(body).into_response())
}

/// Something that happened to the fleet, or an alert.
#[derive(Serialize, ToSchema)]
pub struct EventJson {
    #[schema(value_type = String)]
    id: Id,
    #[schema(value_type = String)]
    at: Time,
    /// `scale_up`, `scale_down`, `crash` or `alert`.
    r#type: &'static str,
    /// The type of workers; what an alert is about.
    worker: String,
    consumer: String,
    /// `info`, `warning` or `critical`.
    severity: &'static str,
    detail: String,
    /// Alive before and after; null for an alert.
    from: Option<u32>,
    to: Option<u32>,
    /// Of an alert: its rule, and `firing`, `reminder`, `resolved` or `dropped`.
    rule: Option<String>,
    what: Option<&'static str>,
}

impl EventJson {
    fn of(id: Id, event: Event) -> EventJson {
        let (at, r#type, severity) = (event.at(), event.kind(), event.severity());
        let (worker, detail) = (event.worker().to_owned(), event.detail());
        let (consumer, from, to, rule, what) = match event {
            Event::Fleet(event) => (event.consumer, Some(event.from), Some(event.to), None, None),
            Event::Alert(line) => {
                (String::new(), None, None, Some(line.rule), Some(line.what.as_str()))
            }
        };
        EventJson { id, at, r#type, worker, consumer, severity, detail, from, to, rule, what }
    }
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
pub struct EventsJson {
    events: Vec<EventJson>,
    next_cursor: Option<String>,
}

pub async fn events(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", EVENTS_MAX)?.unwrap_or(100);
    let kind = query.word("type", &Event::KINDS)?;
    let worker = query.text("worker");
    let severities: Vec<&str> = Severity::ALL.iter().map(|one| one.as_str()).collect();
    let severity = query.word("severity", &severities)?;
    let cursor = query.text("cursor");
    let now = front.appliance.now();
    let (from, to) = (query.time("from", now)?, query.time("to", now)?);
    query.end()?;
    let mut before = match cursor {
        None => to.map(Id::floor_of),
        Some(text) => Some(text.parse::<Id>().map_err(|_| {
            let message = format!("{} was not handed out by this call", quote(&text));
            Refusal::new(Code::InvalidCursor, message)
        })?),
    };
    let (mut events, mut looked_at) = (Vec::new(), 0);
    let next_cursor = loop {
        let page = front.appliance.events(before, EVENTS_MAX)?;
        let mut last = page.len() < EVENTS_MAX;
        for (id, event) in page {
            if from.is_some_and(|from| event.at() < from) {
                last = true;
                break;
            }
            before = Some(id);
            looked_at += 1;
            let fits = |wanted: &Option<String>, found: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == found)
            };
            if fits(&kind, event.kind())
                && fits(&worker, event.worker())
                && fits(&severity, event.severity())
            {
                events.push(EventJson::of(id, event));
            }
            if events.len() == limit {
                break;
            }
        }
        if events.len() == limit || looked_at >= EVENTS_LOOKED_AT_MAX {
            break before.map(|id| id.to_string());
        }
        if last {
            break None;
        }
    };
    Ok(Json(EventsJson { events, next_cursor }).into_response())
}
