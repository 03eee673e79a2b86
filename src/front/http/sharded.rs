//! Sharded runs over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::LargeBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs::PAGE_DEFAULT;
use super::runs_create as checks;
use super::sharded_json::{CreatedJson, ShardJson, ShardedJson};
use super::state::Front;
use super::who::Bound;
use crate::appliance::runs::Scope;
use crate::appliance::shards::{Filter, PAGE_MAX, Request, SHARDS_PAGE_MAX, Sharded, Told};
use crate::base::id::Id;
use crate::base::json::{Uncut, items};
use crate::base::text::quote;
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::{ITEM_DEPTH_MAX, ITEMS_MAX, SHARD_SIZE_MAX, Wishes};

/// Shards that the answer to a request lists at once.
const LISTED_MAX: usize = 1_000;
/// Longest window, in bytes.
const WINDOW_BYTES_MAX: usize = 128;

/// A request for a sharded run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSharded {
    task: String,
    /// Any JSON values, at most 500,000; their order is kept. Those of one shard have together at
    /// most 1 MiB, and are nested at most 100 deep. NUL and lone surrogates become U+FFFD.
    #[schema(value_type = Vec<Object>)]
    items: Box<RawValue>,
    /// Items of a shard, 1 to 10000; unless given that of the task, else 5. At most 100,000 shards.
    #[schema(value_type = Option<u32>)]
    shard_size: Option<i64>,
    /// There is one sharded run for each window of a task in an org: a repeat is given that one.
    window: Option<String>,
    /// `default` unless given.
    org: Option<String>,
    /// `default` unless given.
    env: Option<String>,
    /// At most 255 bytes; the same key within 24 h gives the same sharded run.
    idempotency_key: Option<String>,
    /// Of all its runs: at most 10 of at most 128 bytes.
    tags: Option<Vec<String>>,
    /// Of all its runs: -100 to 100; higher goes first within its lane.
    priority: Option<i64>,
    /// Of all its runs: longest time until each starts.
    #[schema(value_type = Option<String>)]
    ttl: Option<Span>,
    /// Of all its runs.
    max_attempts: Option<u32>,
    /// Of all its runs.
    concurrency_key: Option<String>,
}

/// Create a sharded run.
pub async fn create(
    State(front): State<Front>,
    query: Query,
    headers: HeaderMap,
    bound: Bound,
    LargeBody { mut value, room }: LargeBody<CreateSharded>,
) -> Answer {
    query.end()?;
    bound.place(&mut value.org, &mut value.env)?;
    let request = check(value, &headers)?;
    let sharded = front.appliance.shard(request).await?;
    drop(room);
    created(&front, &sharded)
}

fn created(front: &Front, Sharded { told, cached }: &Sharded) -> Answer {
    let (shards, next) = front.appliance.shards(told.head.id, 0, LISTED_MAX)?;
    let status = if *cached { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(CreatedJson::of(told, &shards, next, *cached))).into_response())
}

fn check(body: CreateSharded, headers: &HeaderMap) -> Result<Request, Refusal> {
    let text: Box<str> = body.items.into();
    let mut text = text.into_string().into_bytes();
    let items = items(&mut text, ITEM_DEPTH_MAX, ITEMS_MAX).map_err(uncut)?;
    Ok(Request {
        task: checks::name("task", &body.task)?,
        org: checks::name("org", body.org.as_deref().unwrap_or("default"))?,
        env: checks::name("env", body.env.as_deref().unwrap_or("default"))?,
        text,
        items,
        shard_size: shard_size(body.shard_size)?,
        window: body
            .window
            .map(|window| checks::text("window", window, WINDOW_BYTES_MAX))
            .transpose()?,
        idempotency_key: checks::key(body.idempotency_key, headers)?,
        wishes: Wishes {
            tags: checks::tags(body.tags.unwrap_or_default())?,
            priority: checks::priority(body.priority.unwrap_or(0))?,
            ttl: checks::ttl(body.ttl)?,
            max_attempts: checks::max_attempts(body.max_attempts)?,
            concurrency_key: checks::concurrency_key(body.concurrency_key)?,
        },
    })
}

/// Why `items` are refused.
pub fn uncut(why: Uncut) -> Refusal {
    let message = match why {
        Uncut::NoArray => "expected an array".to_owned(),
        Uncut::TooMany => format!("at most {ITEMS_MAX}"),
        Uncut::TooDeep(index) => {
            format!("item {index} is nested deeper than {ITEM_DEPTH_MAX} levels")
        }
    };
    Refusal::field("items", message)
}

pub fn shard_size(asked: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    match u32::try_from(asked) {
        Ok(size) if (1..=SHARD_SIZE_MAX).contains(&size) => Ok(Some(size)),
        _ => {
            let message = format!("expected 1 to {SHARD_SIZE_MAX}, got {asked}");
            Err(Refusal::field("shard_size", message))
        }
    }
}

/// The id of a sharded run in a path.
pub fn parse_id(text: &str) -> Result<Id, Refusal> {
    text.parse::<Id>()
        .map_err(|()| Refusal::new(Code::InvalidId, format!("{} is not a UUID", quote(text))))
}

fn target(text: &str, query: &mut Query) -> Result<(Id, Scope), Refusal> {
    Ok((parse_id(text)?, query.scope()?))
}

fn show(front: &Front, told: &Told) -> Answer {
    let errors = front.appliance.shard_errors(told.head.id)?;
    Ok(Json(ShardedJson::of(told, &errors)).into_response())
}

/// A sharded run with its counters.
pub async fn get(State(front): State<Front>, Path(id): Path, mut query: Query) -> Answer {
    let (id, scope) = target(&id, &mut query)?;
    query.end()?;
    show(&front, &front.appliance.sharded(id, &scope)?)
}

/// Tries the shards again that have no run.
pub async fn resume(State(front): State<Front>, Path(id): Path, mut query: Query) -> Answer {
    let (id, scope) = target(&id, &mut query)?;
    query.end()?;
    show(&front, &front.appliance.resume_sharded(id, &scope).await?.told)
}

/// A page of shards.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardPage)]
pub struct ShardsJson {
    shards: Vec<ShardJson>,
    /// Given back as `cursor`; null when there is nothing more.
    next_cursor: Option<u32>,
}

/// Shards of a sharded run, in order.
pub async fn shards(State(front): State<Front>, Path(id): Path, mut query: Query) -> Answer {
    let (id, scope) = target(&id, &mut query)?;
    let limit = query.number("limit", SHARDS_PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let from = shard_cursor(&mut query)?;
    query.end()?;
    front.appliance.sharded(id, &scope)?;
    let (shards, next_cursor) = front.appliance.shards(id, from, limit)?;
    let shards = shards.iter().map(ShardJson::of).collect();
    Ok(Json(ShardsJson { shards, next_cursor }).into_response())
}

/// The shard where a page begins.
pub fn shard_cursor(query: &mut Query) -> Result<u32, Refusal> {
    let Some(text) = query.text("cursor") else { return Ok(0) };
    let bad = || Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&text)));
    text.parse().map_err(|_| bad())
}

/// The sharded run before which a page begins.
pub fn cursor(query: &mut Query) -> Result<Option<Id>, Refusal> {
    let Some(text) = query.text("cursor") else { return Ok(None) };
    let bad = || Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&text)));
    text.parse().map(Some).map_err(|()| bad())
}

/// A page of sharded runs.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardedRunPage)]
pub struct PageJson {
    sharded_runs: Vec<ShardedJson>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Id>,
}

/// Sharded runs, newest first.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let filter =
        Filter { org: query.name("org")?, env: query.name("env")?, task: query.name("task")? };
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let before = cursor(&mut query)?;
    query.end()?;
    let (page, next_cursor) = front.appliance.sharded_runs(&filter, limit, before)?;
    let sharded_runs = page.iter().map(|told| ShardedJson::of(told, &[])).collect();
    Ok(Json(PageJson { sharded_runs, next_cursor }).into_response())
}
