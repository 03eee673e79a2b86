//! `POST /v1/runs`: from JSON to a valid command, or a refusal that names the field.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::{Answer, respond};
use super::run_json::RunJson;
use super::state::Front;
use super::who::Bound;
use crate::appliance::intake::{Created, Submit};
use crate::appliance::runs::Body;
use crate::appliance::runs::{RunView, Scope, TAGS_MAX};
use crate::base::hash::Fnv;
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::{cut, quote};
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Run;
use crate::model::trace::Trace;

/// Longest delay of a run.
pub const DELAY_MAX: Span = Span::from_days(366);
/// Longest time to live.
const TTL_MAX: Span = Span::from_days(366);
const KEY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
const METADATA_BYTES_MAX: usize = 64 << 10;
const CONTEXT_BYTES_MAX: usize = 64 << 10;
const PRIORITY_MAX: i64 = 100;
const ATTEMPTS_MAX: u32 = 1_000;

/// A request for a run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    task: String,
    /// Any JSON, at most 1 MiB; the agent gets it as it is.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// `default` unless given.
    org: Option<String>,
    /// `default` unless given.
    env: Option<String>,
    /// At most 255 bytes; the same key within 24 h gives the same run.
    idempotency_key: Option<String>,
    /// At most 10 of at most 128 bytes.
    tags: Option<Vec<String>>,
    /// An object of at most 64 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// An object of at most 64 KiB; absent, null and empty mean the same.
    #[schema(value_type = Option<Object>)]
    context: Option<Box<RawValue>>,
    /// `"10s"` or seconds; at most 366 days.
    #[schema(value_type = Option<String>)]
    delay: Option<Span>,
    /// Longest time until it starts, counted from when it may.
    #[schema(value_type = Option<String>)]
    ttl: Option<Span>,
    /// -100 to 100; higher goes first within its lane.
    priority: Option<i64>,
    max_attempts: Option<u32>,
    concurrency_key: Option<String>,
    /// Streams that the run passes through, for pull tasks.
    steps: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    parent: Option<Id>,
    /// The run whose synchronous create failed: goes on with it, never makes a second one.
    retry_token: Option<String>,
}

impl CreateRun {
    /// The same as an item of a batch, which is of one org and env and has no token.
    pub fn in_batch(mut self, org: &Name, env: &Name) -> Result<CreateRun, Refusal> {
        for (field, given, of_batch) in [("org", &mut self.org, org), ("env", &mut self.env, env)] {
            if given.as_ref().is_some_and(|given| given != of_batch.as_str()) {
                let message = format!("the batch is of `{of_batch}`; one batch, one {field}");
                return Err(Refusal::field(field, message));
            }
            *given = Some(of_batch.to_string());
        }
        if self.retry_token.is_some() {
            return Err(Refusal::field("retry_token", "an item of a batch has none"));
        }
        Ok(self)
    }
}

/// Create a run.
pub async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    bound: Bound,
    JsonBody(mut body): JsonBody<CreateRun>,
) -> Answer {
    bound.place(&mut body.org, &mut body.env)?;
    let token = body.retry_token.clone();
    let submit = check(body, &headers, front.appliance.settings().payload_bytes_max)?;
    let sent = submit.body.clone();
    let wait = !prefers_async(&headers);
    let created = match token {
        Some(token) => {
            let id = token.parse::<Id>().map_err(|()| {
                Refusal::field("retry_token", format!("{} is not a UUID", quote(&token)))
            })?;
            let scope = Scope { org: Some(submit.org.clone()), env: Some(submit.env.clone()) };
            front.appliance.retry_token(id, submit.fingerprint, &scope, wait).await?
        }
        None => front.appliance.create(submit, wait).await?,
    };
    answer(&front, created, sent, wait)
}

fn answer(front: &Front, created: Created, sent: Body, wait: bool) -> Answer {
    match created {
        Created::Kept { run, cached } => {
            let status = match (cached, wait) {
                (true, _) => StatusCode::OK,
                (false, true) => StatusCode::CREATED,
                (false, false) => StatusCode::ACCEPTED,
            };
            let view = if cached || run.has_output {
                front.appliance.view(run)
            } else {
                // The run is kept: what cannot be read just now is left out of the answer.
                let waiting_because = front.appliance.waiting_because(&run).unwrap_or_default();
                RunView { run, body: sent, output: None, waiting_because }
            };
            let json = Json(RunJson::of(&view, cached.then_some(true)));
            let mut response = (status, json).into_response();
            if cached {
                let replayed = http::HeaderName::from_static("idempotent-replayed");
                response.headers_mut().insert(replayed, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Created::NotYet { run, why } => Ok(flush_failed(&run, &why, true)),
        Created::Failed { run, why } => Ok(flush_failed(&run, &why, false)),
    }
}

/// 502: the run is kept. With a token while delivery goes on, without one when it is over.
fn flush_failed(run: &Run, why: &str, goes_on: bool) -> Response {
    let message = if goes_on {
        format!("the run is kept and delivery goes on, but: {}", cut(why, 500))
    } else {
        format!("the run has ended as `{}`: {}", run.status.as_str(), cut(why, 500))
    };
    let mut details = serde_json::json!({ "run": run.id, "status": run.status.as_str() });
    if goes_on {
        details["retry_token"] = serde_json::json!(run.id);
    }
    let refusal = Refusal::new(Code::FlushFailed, message).with_details(details);
    respond(&refusal, goes_on.then(|| ("retry_token", serde_json::json!(run.id))))
}

/// RFC 7240: a list of preferences in any case, each perhaps with parameters.
fn prefers_async(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut names = values
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.split(';').next())
        .map(str::trim);
    names.any(|name| name.eq_ignore_ascii_case("respond-async"))
}

/// Everything that can be wrong with a request, field by field.
pub fn check(body: CreateRun, headers: &HeaderMap, payload_max: usize) -> Result<Submit, Refusal> {
    let task = name("task", &body.task)?;
    let org = name("org", body.org.as_deref().unwrap_or("default"))?;
    let env = name("env", body.env.as_deref().unwrap_or("default"))?;
    let payload = body.payload.map(|raw| bounded("payload", raw, payload_max)).transpose()?;
    let context = body.context.map(|raw| bounded("context", raw, CONTEXT_BYTES_MAX)).transpose()?;
    let context = object("context", context)?.filter(|text| !is_empty_object(text));
    let metadata =
        body.metadata.map(|raw| bounded("metadata", raw, METADATA_BYTES_MAX)).transpose()?;
    let metadata = object("metadata", metadata)?;
    let fingerprint = Fnv::default()
        .write(task.as_str().as_bytes())
        .write(&[0])
        .write_json(payload.as_deref().unwrap_or_default())
        .write(&[0])
        .write_json(context.as_deref().unwrap_or_default())
        .finish();
    Ok(Submit {
        task,
        org,
        env,
        fingerprint,
        body: Body { payload, context },
        idempotency_key: key(body.idempotency_key, headers)?,
        tags: tags(body.tags.unwrap_or_default())?,
        metadata: metadata.map(|text| String::from_utf8(text).expect("JSON text is UTF-8")),
        delay: limited("delay", body.delay, DELAY_MAX)?.filter(|delay| *delay > Span::ZERO),
        ttl: ttl(body.ttl)?,
        priority: priority(body.priority.unwrap_or(0))?,
        max_attempts: max_attempts(body.max_attempts)?,
        concurrency_key: concurrency_key(body.concurrency_key)?,
        parent: body.parent,
        replay_of: None,
        trace: trace(headers),
        steps: steps(body.steps.unwrap_or_default())?,
    })
}

/// Most steps of a run.
pub const STEPS_MAX: usize = 64;

fn steps(steps: Vec<String>) -> Result<Vec<String>, Refusal> {
    if steps.len() > STEPS_MAX {
        return Err(Refusal::field("steps", format!("at most {STEPS_MAX} streams")));
    }
    steps.into_iter().map(|step| stream_name("steps", step)).collect()
}

/// The name of a stream: 1 to 255 characters, none of them a control character.
pub fn stream_name(field: &str, name: String) -> Result<String, Refusal> {
    let length = name.chars().count();
    if !(1..=STREAM_NAME_MAX).contains(&length) || name.chars().any(char::is_control) {
        let message =
            format!("a stream is 1 to {STREAM_NAME_MAX} characters, none of them control");
        return Err(Refusal::field(field, message));
    }
    Ok(name)
}

/// Longest name of a stream, in characters.
const STREAM_NAME_MAX: usize = 255;

/// A checked name.
pub fn name(field: &str, value: &str) -> Result<Name, Refusal> {
    Name::new(value).map_err(|why| {
        Refusal::new(Code::InvalidName, format!("`{field}`: {} is not a name: {why}", quote(value)))
            .with_details(serde_json::json!({ "field": field }))
    })
}

/// The idempotency key of a body or of its header.
pub fn key(field: Option<String>, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let header = match headers.get("idempotency-key") {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| {
            Refusal::new(
                Code::InvalidHeader,
                "`Idempotency-Key` holds characters that are not ASCII",
            )
        })?),
    };
    let header = header.map(|value| value.trim().trim_matches('"').to_owned());
    if let (Some(field), Some(header)) = (&field, &header)
        && field != header
    {
        let message = "it differs from the header `Idempotency-Key`";
        return Err(Refusal::field("idempotency_key", message));
    }
    field.or(header).map(|key| text("idempotency_key", key, KEY_BYTES_MAX)).transpose()
}

/// The trace context of a request.
pub fn trace(headers: &HeaderMap) -> Option<Trace> {
    let lines = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    Trace::read(lines("traceparent"), lines("tracestate"))
}

/// Tags, checked and without repeats.
pub fn tags(given: Vec<String>) -> Result<Vec<String>, Refusal> {
    let mut kept: Vec<String> = Vec::new();
    if given.len() > 10 * TAGS_MAX {
        return Err(Refusal::field("tags", format!("at most {TAGS_MAX}, got {}", given.len())));
    }
    for tag in given {
        let tag = text("tags", tag, TAG_BYTES_MAX)?;
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    if kept.len() > TAGS_MAX {
        return Err(Refusal::field("tags", format!("at most {TAGS_MAX}, got {}", kept.len())));
    }
    Ok(kept)
}

/// A short text without control characters.
pub fn text(field: &str, value: String, bytes_max: usize) -> Result<String, Refusal> {
    if value.is_empty() || value.len() > bytes_max {
        let message = format!("expected 1 to {bytes_max} bytes, got {}", value.len());
        return Err(Refusal::field(field, message));
    }
    if value.chars().any(char::is_control) {
        return Err(Refusal::field(field, "control characters are not allowed"));
    }
    Ok(value)
}

/// JSON text within its limit.
pub fn bounded(field: &str, raw: Box<RawValue>, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let text: Box<str> = raw.into();
    if text.len() > bytes_max {
        let message = format!("`{field}` has {} bytes, at most {bytes_max} are taken", text.len());
        return Err(Refusal::new(Code::TooLarge, message)
            .with_details(serde_json::json!({ "field": field, "bytes_max": bytes_max })));
    }
    Ok(text.into_string().into_bytes())
}

/// JSON text that must be an object; null counts as absent.
pub fn object(field: &str, text: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Refusal> {
    match text {
        Some(text) if text == b"null" => Ok(None),
        Some(text) if !text.starts_with(b"{") => Err(Refusal::field(field, "expected an object")),
        other => Ok(other),
    }
}

fn is_empty_object(text: &[u8]) -> bool {
    text.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}")
}

/// A span within its limit.
pub fn limited(field: &str, span: Option<Span>, max: Span) -> Result<Option<Span>, Refusal> {
    match span {
        Some(span) if span > max => {
            Err(Refusal::field(field, format!("at most {max}, got {span}")))
        }
        other => Ok(other),
    }
}

/// A span that must not be zero.
pub fn positive(field: &str, span: Option<Span>) -> Result<Option<Span>, Refusal> {
    match span {
        Some(Span::ZERO) => Err(Refusal::field(field, "expected more than nothing")),
        other => Ok(other),
    }
}

/// A time to live within its limit.
pub fn ttl(span: Option<Span>) -> Result<Option<Span>, Refusal> {
    positive("ttl", limited("ttl", span, TTL_MAX)?)
}

pub fn concurrency_key(given: Option<String>) -> Result<Option<String>, Refusal> {
    given.map(|key| text("concurrency_key", key, TAG_BYTES_MAX)).transpose()
}

/// A priority within its limits.
pub fn priority(value: i64) -> Result<i8, Refusal> {
    i8::try_from(value).ok().filter(|p| i64::from(*p).abs() <= PRIORITY_MAX).ok_or_else(|| {
        Refusal::field(
            "priority",
            format!("expected -{PRIORITY_MAX} to {PRIORITY_MAX}, got {value}"),
        )
    })
}

/// Attempts within their limit.
pub fn max_attempts(value: Option<u32>) -> Result<Option<u32>, Refusal> {
    match value {
        Some(n) if !(1..=ATTEMPTS_MAX).contains(&n) => {
            Err(Refusal::field("max_attempts", format!("expected 1 to {ATTEMPTS_MAX}, got {n}")))
        }
        other => Ok(other),
    }
}
