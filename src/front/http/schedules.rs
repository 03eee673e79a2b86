//! Schedules over HTTP.

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
use super::runs_create as checks;
use super::schedule_json::{RoundJson, ScheduleJson};
use super::state::Front;
use crate::appliance::schedules::{PAGE_MAX, Put, WORK_BYTES_MAX};
use crate::base::json;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::cron::{Cron, Zone};
use crate::model::refusal::{Code, Refusal};
use crate::model::schedule::{Missed, ORGS_MAX, SCHEDULE_NAME_BYTES_MAX, SPREAD_MAX, Wanted, Work};
use crate::model::shard::{ITEM_DEPTH_MAX, ITEMS_MAX};

const BY: &str = "api";
/// Schedules of a page unless asked for otherwise.
const PAGE_DEFAULT: usize = 50;
/// Windows to come whose distances bound the spread.
const GAPS_LOOKED_AT: usize = 64;

/// A schedule as it is set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSchedule {
    /// Five fields (minute, hour, day of the month, month, day of the week), or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`.
    cron: String,
    /// A name of the zone database such as `Europe/Berlin`; `UTC` unless given.
    timezone: Option<String>,
    task: String,
    /// Of the run that each org gets of each window; at most 256 KiB.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// Instead of a payload: each org gets a sharded run over these; at most 256 KiB and 500 shards.
    #[schema(value_type = Option<Vec<Object>>)]
    items: Option<Box<RawValue>>,
    /// Items of a shard; unless given that of the task, else 5.
    #[schema(value_type = Option<u32>)]
    shard_size: Option<i64>,
    /// The only org; `default` unless given.
    org: Option<String>,
    /// Instead of `org`: at most 1000.
    orgs: Option<Vec<String>>,
    /// `default` unless given.
    env: Option<String>,
    /// A span over which orgs are spread, each always at the same place of it; none unless given.
    /// At most 24 h, and shorter than from one window to the next.
    #[schema(value_type = Option<String>)]
    spread: Option<Span>,
    /// `once`, the default: of windows that were missed the last is begun late; or `skip`: none is.
    missed: Option<String>,
    /// As it is unless given.
    paused: Option<bool>,
}

/// Set a schedule.
pub async fn put(
    State(front): State<Front>,
    Path(name): Path,
    query: Query,
    JsonBody(body): JsonBody<PutSchedule>,
) -> Answer {
    query.end()?;
    let name = checked_name(&name)?;
    let paused = body.paused;
    let wanted = check(body, front.appliance.now())?;
    let put = Put { name: name.clone(), wanted, paused, by: BY.to_owned() };
    let is_new = front.appliance.put_schedule(put).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(one(&front, &name)?)).into_response())
}

fn checked_name(text: &str) -> Result<Name, Refusal> {
    let name = checks::name("name", text)?;
    if name.as_str().len() > SCHEDULE_NAME_BYTES_MAX {
        let message = format!("`name`: at most {SCHEDULE_NAME_BYTES_MAX} characters");
        return Err(Refusal::new(Code::InvalidName, message)
            .with_details(serde_json::json!({ "field": "name" })));
    }
    Ok(name)
}

fn check(body: PutSchedule, now: Time) -> Result<Wanted, Refusal> {
    let cron = Cron::parse(&body.cron).map_err(|why| Refusal::field("cron", why))?;
    let timezone = body.timezone.as_deref().unwrap_or("UTC");
    let zone = Zone::named(timezone).ok_or_else(|| {
        let message = format!(
            "expected a name of the zone database such as `Europe/Berlin`, got {}",
            quote(timezone)
        );
        Refusal::field("timezone", message)
    })?;
    let work = work(body.payload, body.items, body.shard_size)?;
    let spread = checks::limited("spread", body.spread, SPREAD_MAX)?.unwrap_or(Span::ZERO);
    let shortest = cron.shortest_gap(now, GAPS_LOOKED_AT, &zone);
    if shortest.is_some_and(|gap| spread >= gap) {
        let gap = shortest.unwrap_or_default();
        let message =
            format!("expected less than from one window to the next, {gap}; got {spread}");
        return Err(Refusal::field("spread", message));
    }
    let missed = match body.missed.as_deref() {
        None => Missed::default(),
        Some(word) => Missed::parse(word).ok_or_else(|| {
            let message = format!("expected `skip` or `once`, got {}", quote(word));
            Refusal::field("missed", message)
        })?,
    };
    Ok(Wanted {
        cron: cron.as_str().to_owned(),
        timezone: zone.name().to_owned(),
        task: checks::name("task", &body.task)?,
        work,
        orgs: orgs(body.org, body.orgs)?,
        env: checks::name("env", body.env.as_deref().unwrap_or("default"))?,
        spread,
        missed,
    })
}

fn work(
    payload: Option<Box<RawValue>>,
    items: Option<Box<RawValue>>,
    shard_size: Option<i64>,
) -> Result<Work, Refusal> {
    let Some(items) = items else {
        if shard_size.is_some() {
            return Err(Refusal::field("shard_size", "it belongs to `items`"));
        }
        let mut payload =
            payload.map(|raw| checks::bounded("payload", raw, WORK_BYTES_MAX)).transpose()?;
        if payload.as_mut().is_some_and(|text| !json::clean(text, ITEM_DEPTH_MAX)) {
            let message = format!("it is nested deeper than {ITEM_DEPTH_MAX} levels");
            return Err(Refusal::field("payload", message));
        }
        return Ok(Work::Payload(payload));
    };
    if payload.is_some() {
        return Err(Refusal::field("items", "expected one of `payload` and `items`"));
    }
    let mut text = checks::bounded("items", items, WORK_BYTES_MAX)?;
    let cut = json::items(&mut text, ITEM_DEPTH_MAX, ITEMS_MAX).map_err(super::sharded::uncut)?;
    let shard_size = super::sharded::shard_size(shard_size)?;
    Ok(Work::Items { text, items: cut.len() as u32, shard_size })
}

fn orgs(org: Option<String>, orgs: Option<Vec<String>>) -> Result<Vec<Name>, Refusal> {
    let given = match (org, orgs) {
        (Some(_), Some(_)) => {
            return Err(Refusal::field("orgs", "expected one of `org` and `orgs`"));
        }
        (org, None) => vec![org.unwrap_or_else(|| "default".to_owned())],
        (None, Some(orgs)) => orgs,
    };
    if given.is_empty() || given.len() > ORGS_MAX {
        let message = format!("expected 1 to {ORGS_MAX}, got {}", given.len());
        return Err(Refusal::field("orgs", message));
    }
    let mut names =
        given.iter().map(|org| checks::name("orgs", org)).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// The name of a schedule in a path; one that no schedule can have is that of none.
pub fn known_name(text: &str) -> Result<Name, Refusal> {
    checks::name("name", text)
}

fn one(front: &Front, name: &Name) -> Result<ScheduleJson, Refusal> {
    let told = front.appliance.schedule(name)?;
    let slots = match told.last_round() {
        Some(round) => front.appliance.schedule_slots(round)?,
        None => Vec::new(),
    };
    Ok(ScheduleJson::of(&told).with_work(&told, &slots))
}

/// A schedule with what its orgs got last.
pub async fn get(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    query.end()?;
    Ok(Json(one(&front, &known_name(&name)?)?).into_response())
}

/// A page of schedules.
#[derive(Serialize, ToSchema)]
#[schema(as = SchedulePage)]
pub struct PageJson {
    schedules: Vec<ScheduleJson>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Name>,
}

/// Schedules by name.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let after = cursor(&mut query)?;
    query.end()?;
    let (page, next_cursor) = front.appliance.schedules(after.as_ref(), limit)?;
    let schedules = page.iter().map(ScheduleJson::of).collect();
    Ok(Json(PageJson { schedules, next_cursor }).into_response())
}

/// The schedule behind which a page begins.
pub fn cursor(query: &mut Query) -> Result<Option<Name>, Refusal> {
    let Some(text) = query.text("cursor") else { return Ok(None) };
    let bad = |_| Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&text)));
    Name::new(&text).map(Some).map_err(bad)
}

pub async fn delete(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    query.end()?;
    front.appliance.delete_schedule(known_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn pause(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    set_paused(&front, &name, query, true).await
}

pub async fn resume(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    set_paused(&front, &name, query, false).await
}

async fn set_paused(front: &Front, name: &str, query: Query, paused: bool) -> Answer {
    query.end()?;
    let name = known_name(name)?;
    front.appliance.pause_schedule(name.clone(), paused, BY).await?;
    Ok(Json(one(front, &name)?).into_response())
}

/// Give every org a run now.
pub async fn run(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    query.end()?;
    let round = front.appliance.run_schedule(known_name(&name)?, BY).await?;
    let slots = front.appliance.schedule_slots(&round)?;
    Ok((StatusCode::CREATED, Json(RoundJson::with_orgs(&round, &slots))).into_response())
}
