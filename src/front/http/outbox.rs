//! The outbox over HTTP: rows, dead letters, replays, pauses.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalBody};
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::run_json::AttemptJson;
use super::runs_create as checks;
use super::state::Front;
use crate::appliance::outbox::{
    DeadFilter, OUTBOX_PAGE_MAX, OutboxCursor, OutboxItem, OutboxState, lane_text,
};
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::delivery::{Lane, OutboxRow, Pause, PauseScope, Purpose, RowState};
use crate::model::outcome::Hook;
use crate::model::refusal::{Code, Refusal};

/// Longest reason of a pause, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
const PAUSE_MAX: Span = Span::from_days(366);

/// An outbox row or a dead letter.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRow)]
pub struct RowJson {
    #[schema(value_type = String)]
    id: Id,
    /// `due`, `leased` or `dead`.
    state: &'static str,
    /// `run`, or the follow-up that an agent asked for.
    kind: &'static str,
    task: String,
    lane: String,
    #[schema(value_type = String)]
    run: Id,
    attempts: u32,
    fence: u32,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = String)]
    due_at: Time,
    #[schema(value_type = Option<String>)]
    lease_until: Option<Time>,
    #[schema(value_type = Option<String>)]
    dead_since: Option<Time>,
    /// Class and detail of the latest outcome.
    last_class: Option<String>,
    last_detail: Option<String>,
}

pub fn kind_word(row: &OutboxRow) -> &'static str {
    match &row.purpose {
        Purpose::Run => "run",
        Purpose::Hook { hook: Hook::ExplorerIndex, .. } => "hook explorer_index",
        Purpose::Hook { hook: Hook::OrgProjectContext, .. } => "hook org_project_context",
    }
}

pub fn run_of(row: &OutboxRow) -> Id {
    match &row.purpose {
        Purpose::Run => row.id,
        Purpose::Hook { run, .. } => *run,
    }
}

impl RowJson {
    pub fn of(item: &OutboxItem) -> RowJson {
        let row = item.row();
        let (state, last) = match item {
            OutboxItem::Row(row) => {
                (row.state.as_str(), (row.last_code.clone(), row.last_detail.clone()))
            }
            OutboxItem::Dead(letter) => {
                ("dead", (Some(letter.code.clone()), Some(letter.detail.clone())))
            }
        };
        RowJson {
            id: row.id,
            state,
            kind: kind_word(row),
            task: row.endpoint.to_string(),
            lane: lane_text(row),
            run: run_of(row),
            attempts: row.attempts,
            fence: row.fence,
            created_at: row.created_at,
            due_at: row.due_at,
            lease_until: match row.state {
                RowState::Leased { until } if item.died_at().is_none() => Some(until),
                _ => None,
            },
            dead_since: item.died_at(),
            last_class: last.0,
            last_detail: last.1,
        }
    }
}

/// A page of the outbox.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxPage)]
struct PageJson {
    rows: Vec<RowJson>,
    next_cursor: Option<String>,
}

/// A cursor as text and back.
pub fn cursor_text(cursor: &OutboxCursor) -> String {
    match cursor {
        OutboxCursor::Ready(key) => format!("r{}", URL_SAFE_NO_PAD.encode(key)),
        OutboxCursor::Timer(at, id) => format!("t{}_{id}", at.0),
        OutboxCursor::Dead(at, id) => format!("d{}_{id}", at.0),
    }
}

pub fn read_cursor(text: &str) -> Result<OutboxCursor, Refusal> {
    let bad = || Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(text)));
    let pair = |rest: &str| {
        let (at, id) = rest.split_once('_')?;
        Some((Time(at.parse().ok()?), id.parse::<Id>().ok()?))
    };
    let mut chars = text.chars();
    let kind = chars.next().ok_or_else(bad)?;
    let rest = chars.as_str();
    match kind {
        'r' => URL_SAFE_NO_PAD.decode(rest).map(OutboxCursor::Ready).map_err(|_| bad()),
        't' => pair(rest).map(|(at, id)| OutboxCursor::Timer(at, id)).ok_or_else(bad),
        'd' => pair(rest).map(|(at, id)| OutboxCursor::Dead(at, id)).ok_or_else(bad),
        _ => Err(bad()),
    }
}

/// The state that a query asks for; due unless given.
pub fn state_of(query: &mut Query) -> Result<OutboxState, Refusal> {
    let Some(text) = query.text("state") else { return Ok(OutboxState::Due) };
    OutboxState::parse(&text).ok_or_else(|| {
        let message = format!("`state`: expected `due`, `leased` or `dead`, got {}", quote(&text));
        Refusal::new(Code::InvalidQuery, message)
    })
}

/// Rows of the outbox.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let state = state_of(&mut query)?;
    let lane = query.text("lane");
    let limit = query.number("limit", OUTBOX_PAGE_MAX)?.unwrap_or(50);
    let cursor = query.text("cursor").map(|text| read_cursor(&text)).transpose()?;
    query.end()?;
    let page = front.appliance.outbox(state, lane.as_deref(), limit, cursor)?;
    Ok(Json(PageJson {
        rows: page.items.iter().map(RowJson::of).collect(),
        next_cursor: page.next.as_ref().map(cursor_text),
    })
    .into_response())
}

/// One row with its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRowWithAttempts)]
struct DetailJson<'a> {
    #[serde(flatten)]
    row: RowJson,
    attempts_log: Vec<AttemptJson<'a>>,
}

pub fn parse_id(text: &str) -> Result<Id, Refusal> {
    text.parse()
        .map_err(|()| Refusal::new(Code::InvalidId, format!("{} is not a UUID", quote(text))))
}

/// One row or dead letter.
pub async fn get(State(front): State<Front>, Path(id): Path) -> Answer {
    let (item, log) = front.appliance.outbox_item(parse_id(&id)?)?;
    let attempts_log = log.iter().map(AttemptJson::of).collect();
    Ok(Json(DetailJson { row: RowJson::of(&item), attempts_log }).into_response())
}

/// Try one row or dead letter again, now.
pub async fn retry(State(front): State<Front>, Path(id): Path) -> Answer {
    let row = front.appliance.retry_now(parse_id(&id)?).await?;
    Ok(Json(RowJson::of(&OutboxItem::Row(row))).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayDead {
    filter: Option<ReplayFilter>,
    #[serde(default)]
    dry_run: bool,
}

/// Which dead letters; an empty filter means all of them.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayFilter {
    task: Option<String>,
    org: Option<String>,
    env: Option<String>,
    /// Code of the outcome that ended it.
    code: Option<String>,
    #[schema(value_type = Option<String>)]
    from: Option<Time>,
    #[schema(value_type = Option<String>)]
    to: Option<Time>,
}

/// What a replay did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Replayed)]
struct ReplayedJson {
    dry_run: bool,
    matched: usize,
    replayed: usize,
    /// Their run has moved on since.
    skipped: usize,
    /// There is more than one call takes: repeat it.
    more: bool,
}

/// Give dead letters a new series of attempts.
pub async fn replay(
    State(front): State<Front>,
    OptionalBody(body): OptionalBody<ReplayDead>,
) -> Answer {
    let given = body.filter.unwrap_or_default();
    let name =
        |field: &str, text: Option<String>| text.map(|text| checks::name(field, &text)).transpose();
    let filter = DeadFilter {
        endpoint: name("filter.task", given.task)?,
        org: name("filter.org", given.org)?,
        env: name("filter.env", given.env)?,
        code: given.code,
        from: given.from,
        to: given.to,
    };
    let done = front.appliance.replay_dead(filter, body.dry_run).await?;
    Ok(Json(ReplayedJson {
        dry_run: body.dry_run,
        matched: done.matched,
        replayed: done.replayed,
        skipped: done.skipped,
        more: done.more,
    })
    .into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPause {
    /// `all`, `task:NAME` or `org:NAME`.
    scope: String,
    /// With a task: one of its lanes, as `org/env/key`.
    lane: Option<String>,
    reason: String,
    /// RFC 3339, or a length from now; absent: until it is lifted.
    until: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftPause {
    scope: String,
    lane: Option<String>,
}

/// A pause on the wire.
#[derive(Serialize, ToSchema)]
#[schema(as = Pause)]
struct PauseJson {
    scope: String,
    lane: Option<String>,
    reason: String,
    #[schema(value_type = String)]
    since: Time,
    #[schema(value_type = Option<String>)]
    until: Option<Time>,
}

/// Scope and lane as texts, the way they are given.
pub fn scope_text(scope: &PauseScope) -> (String, Option<String>) {
    match scope {
        PauseScope::All => ("all".to_owned(), None),
        PauseScope::Task(task) => (format!("task:{task}"), None),
        PauseScope::Org(org) => (format!("org:{org}"), None),
        PauseScope::Lane { task, lane } => {
            (format!("task:{task}"), Some(format!("{}/{}/{}", lane.org, lane.env, lane.key)))
        }
    }
}

/// Reads a scope.
pub fn read_scope(scope: &str, lane: Option<&str>) -> Result<PauseScope, Refusal> {
    let name = |text: &str| -> Result<Name, Refusal> { checks::name("scope", text) };
    match (scope.split_once(':'), lane.filter(|lane| !lane.is_empty())) {
        (None, None) if scope == "all" => Ok(PauseScope::All),
        (Some(("org", org)), None) => Ok(PauseScope::Org(name(org)?)),
        (Some(("task", task)), None) => Ok(PauseScope::Task(name(task)?)),
        (Some(("task", task)), Some(lane)) => {
            let parts: Vec<&str> = lane.splitn(3, '/').collect();
            let [org, env, key] = parts[..] else {
                return Err(Refusal::field("lane", "expected `org/env/key`"));
            };
            let lane = Lane { org: org.to_owned(), env: env.to_owned(), key: key.to_owned() };
            Ok(PauseScope::Lane { task: name(task)?, lane })
        }
        (_, Some(_)) => Err(Refusal::field("lane", "only a task has lanes: use `task:NAME`")),
        _ => Err(Refusal::field("scope", "expected `all`, `task:NAME` or `org:NAME`")),
    }
}

/// When a pause ends.
pub fn read_until(text: Option<&str>, now: Time) -> Result<Option<Time>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let until = Time::parse(text).or_else(|| Span::parse(text).map(|span| now.plus(span)));
    match until {
        Some(until) if until > now && until <= now.plus(PAUSE_MAX) => Ok(Some(until)),
        _ => Err(Refusal::field("until", format!("expected a time ahead, at most {PAUSE_MAX}"))),
    }
}

fn pause_json(pause: &Pause) -> PauseJson {
    let (scope, lane) = scope_text(&pause.scope);
    PauseJson { scope, lane, reason: pause.reason.clone(), since: pause.since, until: pause.until }
}

/// What is paused.
pub async fn pauses(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let pauses: Vec<PauseJson> = front.appliance.pauses()?.iter().map(pause_json).collect();
    Ok(Json(serde_json::json!({ "pauses": pauses })).into_response())
}

/// Stop deliveries of a scope.
pub async fn pause(State(front): State<Front>, JsonBody(body): JsonBody<PutPause>) -> Answer {
    let scope = read_scope(&body.scope, body.lane.as_deref())?;
    let reason = checks::text("reason", body.reason, REASON_BYTES_MAX)?;
    let until = read_until(body.until.as_deref(), front.appliance.now())?;
    let pause = front.appliance.pause(scope, reason, until).await?;
    Ok((StatusCode::CREATED, Json(pause_json(&pause))).into_response())
}

/// Let deliveries of a scope go on.
pub async fn resume(State(front): State<Front>, JsonBody(body): JsonBody<LiftPause>) -> Answer {
    front.appliance.resume(read_scope(&body.scope, body.lane.as_deref())?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
