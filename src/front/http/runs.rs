//! The calls on runs but for creating them.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalBody};
use super::error::{Answer, Error};
use super::path::Path;
use super::query::Query;
use super::run_json::{AttemptJson, LineJson, RunJson};
use super::runs_create as checks;
use super::state::Front;
use crate::appliance::runs::{Filter, PAGE_MAX, RunRef, Scope};
use crate::base::id::{Id, RunId};
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Run, RunError, Status};

/// Longest `?wait=`.
pub const WAIT_MAX: Span = Span::from_secs(60);
/// Runs of a page unless asked otherwise.
pub const PAGE_DEFAULT: usize = 50;
/// Longest reason of a cancellation, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
const ERROR_CODE_BYTES_MAX: usize = 100;
const ERROR_MESSAGE_BYTES_MAX: usize = 4_000;
const METADATA_BYTES_MAX: usize = 64 << 10;

/// The run that path and query name, where the query holds nothing else.
pub struct Target {
    pub id: RunId,
    pub scope: Scope,
}

impl FromRequestParts<Front> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, front: &Front) -> Result<Target, Error> {
        let Path(id) = Path::from_request_parts(parts, front).await?;
        let mut query = Query::from_request_parts(parts, front).await?;
        let (id, scope) = target(front, &id, &mut query)?;
        query.end()?;
        Ok(Target { id, scope })
    }
}

/// Id and scope out of path and query.
fn target(front: &Front, id: &str, query: &mut Query) -> Result<(RunId, Scope), Refusal> {
    let scope = query.scope()?;
    Ok((front.appliance.resolve(RunRef::parse(id)?, &scope)?, scope))
}

fn show(front: &Front, run: Run) -> Answer {
    let view = front.appliance.view(run);
    Ok(Json(RunJson::of(&view, None)).into_response())
}

/// A run, at once or when it is final.
pub async fn get(
    State(front): State<Front>,
    Path(id): Path,
    headers: HeaderMap,
    mut query: Query,
) -> Answer {
    let wait = query.span("wait", WAIT_MAX)?;
    let (id, scope) = target(&front, &id, &mut query)?;
    query.end()?;
    let view = match wait {
        // A wait may be longer than stopping should take: it ends with what is known by then.
        Some(span) => tokio::select! {
            view = front.appliance.run_final(id, &scope, span) => view?,
            () = front.stop.cancelled() => front.appliance.run(id, &scope)?,
        },
        None => front.appliance.run(id, &scope)?,
    };
    let body = serde_json::to_vec(&RunJson::of(&view, None))
        .expect("texts and checked JSON always serialise");
    let tag = format!("\"{:016x}\"", crate::base::hash::Fnv::default().write(&body).finish());
    if knows(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(http::header::ETAG, tag)]).into_response());
    }
    let headers =
        [(http::header::ETAG, tag), (http::header::CONTENT_TYPE, "application/json".into())];
    Ok((headers, body).into_response())
}

/// Whether `If-None-Match` names this tag: alone, in a list, or made weak by a proxy on its way.
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(http::header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

/// A page of runs.
#[derive(Serialize, ToSchema)]
#[schema(as = RunPage)]
struct PageJson<'a> {
    runs: Vec<RunJson<'a>>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Id>,
}

/// Runs, newest first.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let (filter, limit, before) = filter(&mut query, front.appliance.now())?;
    query.end()?;
    let (views, next_cursor) = front.appliance.run_views(&filter, limit, before)?;
    let runs = views.iter().map(|view| RunJson::of(view, None)).collect();
    Ok(Json(PageJson { runs, next_cursor }).into_response())
}

/// The filter that URLs of the API and of pages share.
pub fn filter(query: &mut Query, now: Time) -> Result<(Filter, usize, Option<RunId>), Refusal> {
    let mut filter = Filter {
        task: query.name("task")?,
        org: query.name("org")?,
        env: query.name("env")?,
        tag: query.text("tag"),
        from: query.time("from", now)?,
        to: query.time("to", now)?,
        ..Filter::default()
    };
    if let Some(words) = query.text("status") {
        filter.statuses = statuses(&words)?;
    }
    if let Some(text) = query.text("batch") {
        let id = text.parse::<Id>().map_err(|()| {
            let message = format!("`batch`: {} is not a UUID", quote(&text));
            Refusal::new(Code::InvalidQuery, message)
                .with_details(serde_json::json!({ "field": "batch" }))
        })?;
        filter.batch = Some(id);
    }
    if let Some(search) = query.text("q") {
        read_search(&mut filter, &search)?;
    }
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    Ok((filter, limit, cursor(query)?))
}

/// Where a page begins, as the page before said.
pub fn cursor(query: &mut Query) -> Result<Option<Id>, Refusal> {
    let parse = |cursor: String| {
        cursor.parse::<Id>().map_err(|()| {
            Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&cursor)))
        })
    };
    query.text("cursor").map(parse).transpose()
}

fn statuses(words: &str) -> Result<Vec<Status>, Refusal> {
    let mut found = Vec::new();
    for word in words.split(',') {
        let status = Status::parse(word).ok_or_else(|| {
            let known: Vec<&str> = Status::ALL.into_iter().map(Status::as_str).collect();
            let message =
                format!("`status`: expected one of {}, got {}", known.join(", "), quote(word));
            Refusal::new(Code::InvalidQuery, message)
                .with_details(serde_json::json!({ "field": "status" }))
        })?;
        if !found.contains(&status) {
            found.push(status);
        }
    }
    Ok(found)
}

/// `status: task: org: env: tag: key:` are looked up in indexes; other words must occur in id,
/// task, tags, key or error.
fn read_search(filter: &mut Filter, search: &str) -> Result<(), Refusal> {
    for word in search.split_whitespace().take(10) {
        match word.split_once(':') {
            Some(("status", value)) => filter.statuses = statuses(value)?,
            Some(("task", value)) => filter.task = Some(checks::name("q", value)?),
            Some(("org", value)) => filter.org = Some(checks::name("q", value)?),
            Some(("env", value)) => filter.env = Some(checks::name("q", value)?),
            Some(("tag", value)) => filter.tag = Some(value.to_owned()),
            Some(("key", value)) => filter.idempotency_key = Some(value.to_owned()),
            _ => filter.words.push(word.to_owned()),
        }
    }
    Ok(())
}

/// What happened to a run.
#[derive(Serialize, ToSchema)]
#[schema(as = Timeline)]
struct EventsJson<'a> {
    events: Vec<LineJson<'a>>,
    /// The latest attempts, newest first.
    attempts: Vec<AttemptJson<'a>>,
}

/// The timeline of a run.
pub async fn events(State(front): State<Front>, Target { id, scope }: Target) -> Answer {
    let history = front.appliance.history(id, &scope)?;
    Ok(Json(EventsJson {
        events: history.lines.iter().map(LineJson::of).collect(),
        attempts: history.attempts.iter().map(AttemptJson::of).collect(),
    })
    .into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRun {
    reason: Option<String>,
}

impl CancelRun {
    /// The reason, if one was given.
    pub fn checked(self) -> Result<Option<String>, Refusal> {
        self.reason.map(|text| checks::text("reason", text, REASON_BYTES_MAX)).transpose()
    }
}

/// Cancel a run.
pub async fn cancel(
    State(front): State<Front>,
    Target { id, scope }: Target,
    OptionalBody(body): OptionalBody<CancelRun>,
) -> Answer {
    let reason = body.checked()?;
    let run = front.appliance.cancel(id, reason, "api", &scope).await?;
    show(&front, run)
}

/// A fresh run with the same input.
pub async fn replay(State(front): State<Front>, Target { id, scope }: Target) -> Answer {
    let run = front.appliance.replay(id, &scope).await?;
    let view = front.appliance.view(run);
    Ok((StatusCode::CREATED, Json(RunJson::of(&view, None))).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTags {
    tags: Vec<String>,
}

/// Add tags, all or none.
pub async fn add_tags(
    State(front): State<Front>,
    Target { id, scope }: Target,
    JsonBody(body): JsonBody<AddTags>,
) -> Answer {
    let (run, added) = front.appliance.add_tags(id, checks::tags(body.tags)?, &scope).await?;
    let mut response = show(&front, run)?;
    let header = http::HeaderName::from_static("tidegate-tags-added");
    response.headers_mut().insert(header, http::HeaderValue::from(added));
    Ok(response)
}

/// Replace the metadata; `?version=` makes it conditional.
pub async fn set_metadata(
    State(front): State<Front>,
    Path(id): Path,
    headers: HeaderMap,
    mut query: Query,
    JsonBody(body): JsonBody<Box<RawValue>>,
) -> Answer {
    if headers.contains_key(http::header::IF_MATCH) {
        // A run's tag covers all of it, the version its metadata: refuse rather than ignore.
        let message = "`If-Match` is not taken here; use `?version=`";
        return Err(Refusal::new(Code::InvalidHeader, message).into());
    }
    let (id, scope) = target(&front, &id, &mut query)?;
    let version = query.text("version").map(|text| {
        text.parse::<u64>().map_err(|_| {
            Refusal::new(Code::InvalidQuery, format!("`version`: {} is not a number", quote(&text)))
        })
    });
    query.end()?;
    let text: Box<str> = body.into();
    if text.len() > METADATA_BYTES_MAX {
        let message =
            format!("metadata has {} bytes, at most {METADATA_BYTES_MAX} are taken", text.len());
        return Err(Refusal::new(Code::TooLarge, message).into());
    }
    let metadata = checks::object("metadata", Some(text.into_string().into_bytes()))?
        .map(|text| String::from_utf8(text).expect("JSON text is UTF-8"));
    let run = front.appliance.set_metadata(id, metadata, version.transpose()?, &scope).await?;
    show(&front, run)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    #[schema(value_type = String)]
    delay: Span,
}

/// Move the start of a delayed run.
pub async fn reschedule(
    State(front): State<Front>,
    Target { id, scope }: Target,
    JsonBody(body): JsonBody<Reschedule>,
) -> Answer {
    checks::limited("delay", Some(body.delay), checks::DELAY_MAX)?;
    let run = front.appliance.reschedule(id, body.delay, &scope).await?;
    show(&front, run)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    #[schema(value_type = Option<Object>)]
    output: Option<Box<RawValue>>,
    fence: Option<u32>,
}

/// The work is done.
pub async fn complete(
    State(front): State<Front>,
    Target { id, scope }: Target,
    OptionalBody(body): OptionalBody<Complete>,
) -> Answer {
    let limit = front.appliance.settings().payload_bytes_max;
    let output = body.output.map(|raw| {
        let text: Box<str> = raw.into();
        if text.len() > limit {
            let message = format!("`output` has {} bytes, at most {limit} are taken", text.len());
            return Err(Refusal::new(Code::TooLarge, message));
        }
        Ok(text.into_string().into_bytes())
    });
    let run = front.appliance.complete(id, output.transpose()?, body.fence, &scope).await?;
    show(&front, run)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    error: FailError,
    #[serde(default)]
    retryable: bool,
    fence: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailError {
    code: String,
    message: String,
}

/// The work failed.
pub async fn fail(
    State(front): State<Front>,
    Target { id, scope }: Target,
    JsonBody(body): JsonBody<Fail>,
) -> Answer {
    let code = checks::text("error.code", body.error.code, ERROR_CODE_BYTES_MAX)?;
    let message = body.error.message;
    if message.len() > ERROR_MESSAGE_BYTES_MAX {
        let text = format!("at most {ERROR_MESSAGE_BYTES_MAX} bytes, got {}", message.len());
        return Err(Refusal::field("error.message", text).into());
    }
    let error = RunError { code, message };
    let run = front.appliance.fail(id, error, body.retryable, body.fence, &scope).await?;
    show(&front, run)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    fence: u32,
}

/// A sign of life; the answer says whether the run is still wanted.
pub async fn heartbeat(
    State(front): State<Front>,
    Target { id, scope }: Target,
    JsonBody(body): JsonBody<Heartbeat>,
) -> Answer<Response> {
    let run = front.appliance.heartbeat(id, body.fence, &scope).await?;
    show(&front, run)
}
