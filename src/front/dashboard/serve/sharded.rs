//! `GET /sharded-runs` and `GET /sharded-runs/{id}`: pages of bounded work, whatever the number of
//! shards, since all totals are counters.

use axum::extract::{Path, State};

use super::form::Form;
use super::html;
use super::look::Look;
use crate::appliance::runs::Scope;
use crate::appliance::shards::{Filter, Told, ToldShard};
use crate::base::id::Id;
use crate::base::time::Time;
use crate::front::dashboard::parts::{Badge, Pager, RunLink, Tone, When};
use crate::front::dashboard::sharded::{
    ErrorRow, ShardBar, ShardRow, ShardedRow, ShardedRunPage, ShardedRunsPage,
};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::sharded::{cursor, parse_id, shard_cursor};
use crate::front::http::state::Front;
use crate::model::refusal::Refusal;
use crate::model::shard::{Shard, ShardState};

/// Sharded runs of a page, and shards of the page of one.
const ROWS: usize = 50;
const SHARD_ROWS: usize = 100;
/// People on pages see every org and env.
const EVERYWHERE: Scope = Scope { org: None, env: None };

pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let before = cursor(&mut query)?;
    query.end()?;
    Ok(html(200, &list_page(&front, before)?))
}

fn list_page(front: &Front, before: Option<Id>) -> Result<ShardedRunsPage, Refusal> {
    let look = Look::take(front)?;
    let (page, next) = front.appliance.sharded_runs(&Filter::default(), ROWS, before)?;
    let href = |id: Id| text::link("/sharded-runs", &[("cursor", &id.to_string())]);
    let here = before.map_or("/sharded-runs".to_owned(), href);
    let mut shell = look.shell(front, "Sharded runs", "/sharded-runs", here);
    shell.live = before.is_none();
    let first_curl = match page.is_empty() && before.is_none() {
        true => text::curl_post(
            &format!("{}/v1/sharded-runs", front.about.address),
            r#"{"task": "resize", "items": [1, 2, 3], "shard_size": 2}"#,
        ),
        false => String::new(),
    };
    Ok(ShardedRunsPage {
        shell,
        rows: page.iter().map(|told| row(told, look.now)).collect(),
        pager: Pager {
            newest: before.is_some().then(|| "/sharded-runs".to_owned()),
            older: next.map(href),
            partial: None,
        },
        first_curl,
    })
}

/// In the words of a batch: finished is not well while a shard has failed.
fn state(told: &Told) -> Badge {
    match (told.head.phase.as_str(), &told.error) {
        ("finished", Some(_)) => Badge::new(Tone::Red, "cross", "finished, with failures"),
        (phase, _) => Badge::sharded(phase),
    }
}

fn row(told: &Told, now: Time) -> ShardedRow {
    let head = &told.head;
    ShardedRow {
        id: head.id.to_string(),
        state: state(told),
        task: head.task.to_string(),
        org: head.org.to_string(),
        env: head.env.to_string(),
        window: head.window.clone().unwrap_or_default(),
        created: When::at(head.created_at, now),
        items: u64::from(head.items),
        shards: u64::from(head.shards),
        bar: bar(told),
        error: told.error.as_ref().map_or(String::new(), |(_, error)| error.message.clone()),
    }
}

fn bar(told: &Told) -> ShardBar {
    let count = |state| u64::from(told.shards_in(state));
    ShardBar::of(
        count(ShardState::Delivered),
        count(ShardState::Failed),
        count(ShardState::Dispatched),
        count(ShardState::Planned),
    )
}

pub async fn show(State(front): State<Front>, Path(id): Path<String>, mut query: Query) -> Answer {
    let id = parse_id(&id)?;
    let from = shard_cursor(&mut query)?;
    query.end()?;
    Ok(html(200, &page(&front, id, from)?))
}

fn page(front: &Front, id: Id, from: u32) -> Result<ShardedRunPage, Refusal> {
    let look = Look::take(front)?;
    let now = look.now;
    let told = front.appliance.sharded(id, &EVERYWHERE)?;
    let errors = front.appliance.shard_errors(id)?;
    let (shards, next) = front.appliance.shards(id, from, SHARD_ROWS)?;
    let path = format!("/sharded-runs/{id}");
    let href = |from: u32| text::link(&path, &[("cursor", &from.to_string())]);
    let here = if from > 0 { href(from) } else { path.clone() };
    let mut shell = look.shell(front, "Sharded run", "/sharded-runs", here);
    shell.live = from == 0;
    let head = &told.head;
    Ok(ShardedRunPage {
        shell,
        id: id.to_string(),
        state: state(&told),
        resumable: head.held > 0,
        error: told.error.as_ref().map_or(String::new(), |(shard, error)| match shard {
            Some(index) => format!("Shard {index}: {}", error.message),
            None => format!("{}.", error.message),
        }),
        error_is_whole: head.error.is_some(),
        task: head.task.to_string(),
        org: head.org.to_string(),
        env: head.env.to_string(),
        window: head.window.clone().unwrap_or_default(),
        schedule: head.schedule.clone().unwrap_or_default(),
        idempotency_key: head.idempotency_key.clone().unwrap_or_default(),
        created: When::at(head.created_at, now),
        finished: When::maybe(head.finished_at, now),
        took: text::span(head.finished_at.unwrap_or(now).since(head.created_at)),
        items: u64::from(head.items),
        shard_size: u64::from(head.shard_size),
        shards: u64::from(head.shards),
        bar: bar(&told),
        runs: told.runs.iter().map(|(s, n)| (Badge::run(s.as_str()), u64::from(*n))).collect(),
        errors_more: errors.len() >= crate::appliance::shards::ERRORS_TOLD_MAX,
        errors: errors.iter().filter_map(error_row).collect(),
        rows: shards.iter().map(|told| shard_row(told, now)).collect(),
        pager: Pager {
            newest: (from > 0).then(|| path.clone()),
            older: next.map(href),
            partial: None,
        },
    })
}

fn error_row(shard: &Shard) -> Option<ErrorRow> {
    let error = shard.error.clone()?;
    let (kind, code, message) = (error.kind.replace('_', " "), error.code, error.message);
    Some(ErrorRow { index: u64::from(shard.index), kind, code, message })
}

fn shard_row(told: &ToldShard, now: Time) -> ShardRow {
    let shard = &told.shard;
    let status = told.run.as_ref().map(|run| run.status).or(shard.ended);
    ShardRow {
        index: u64::from(shard.index),
        state: Badge::shard(shard.state.as_str(), shard.is_held()),
        size: u64::from(shard.size),
        run: RunLink::to(shard.run.map_or(String::new(), |run| run.to_string())),
        forgotten: shard.run.is_none() && shard.dispatched_at.is_some(),
        run_state: status.map(|status| Badge::run(status.as_str())),
        dispatched: When::maybe(shard.dispatched_at, now),
        error: shard.error.as_ref().map_or(String::new(), |error| error.message.clone()),
    }
}

/// Tries the shards again that have no run.
pub async fn resume(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    let id = parse_id(&id)?;
    fields.end()?;
    front.appliance.resume_sharded(id, &EVERYWHERE).await?;
    Ok(back.or(&format!("/sharded-runs/{id}")))
}
