//! Sharded runs, their shards and deliveries on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::run_json::raw;
use crate::appliance::shards::{Told, ToldShard};
use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::shard::{Delivered, Shard, ShardError, ShardState};

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardError)]
pub struct ErrorJson {
    /// `shard_dispatch_failed`, `invalid_shard_plan`, `shard_delivery_failed` or
    /// `shard_run_failed`.
    #[serde(rename = "type")]
    kind: String,
    /// The code of the refusal, of the agent or of the run; any text.
    code: String,
    message: String,
    /// The shard that it is about; null when it is about the whole.
    shard: Option<u32>,
}

impl ErrorJson {
    pub fn of(error: &ShardError, shard: Option<u32>) -> ErrorJson {
        let ShardError { kind, code, message } = error.clone();
        ErrorJson { kind, code, message, shard }
    }
}

/// Shards by state.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardCounts)]
struct CountsJson {
    total: u32,
    /// Without a run.
    planned: u32,
    /// With a run; nothing is known of its result.
    dispatched: u32,
    /// A result was delivered, or the run completed and nothing else was said.
    delivered: u32,
    /// An error was delivered, or the run ended without a result.
    failed: u32,
}

/// A sharded run as callers see it.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardedRun)]
pub struct ShardedJson {
    #[schema(value_type = String)]
    id: Id,
    /// `dispatching`, `incomplete` (some shards have no run; resume tries them again), `running`,
    /// `finished`.
    status: &'static str,
    task: String,
    org: String,
    env: String,
    #[schema(value_type = String)]
    created_at: Time,
    /// When every shard had its run and all of these were final.
    #[schema(value_type = Option<String>)]
    finished_at: Option<Time>,
    /// How many.
    items: u32,
    shard_size: u32,
    window: Option<String>,
    schedule: Option<String>,
    idempotency_key: Option<String>,
    tags: Vec<String>,
    shards: CountsJson,
    /// Runs by status; those without any are absent.
    runs: BTreeMap<&'static str, u32>,
    /// That of the whole, such as `2 of 5 shards failed to dispatch`; else that of its first shard
    /// with one.
    error: Option<ErrorJson>,
    /// Those of the first 20 shards with one.
    errors: Vec<ErrorJson>,
}

impl ShardedJson {
    /// `errors` are shards with one.
    pub fn of(told: &Told, errors: &[Shard]) -> ShardedJson {
        let (head, told_in) = (&told.head, |state| told.shards_in(state));
        let of_shard = |shard: &Shard| {
            shard.error.as_ref().map(|error| ErrorJson::of(error, Some(shard.index)))
        };
        ShardedJson {
            id: head.id,
            status: head.phase.as_str(),
            task: head.task.to_string(),
            org: head.org.to_string(),
            env: head.env.to_string(),
            created_at: head.created_at,
            finished_at: head.finished_at,
            items: head.items,
            shard_size: head.shard_size,
            window: head.window.clone(),
            schedule: head.schedule.clone(),
            idempotency_key: head.idempotency_key.clone(),
            tags: head.wishes.tags.clone(),
            shards: CountsJson {
                total: head.shards,
                planned: told_in(ShardState::Planned),
                dispatched: told_in(ShardState::Dispatched),
                delivered: told_in(ShardState::Delivered),
                failed: told_in(ShardState::Failed),
            },
            runs: told.runs.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
            error: told.error.as_ref().map(|(shard, error)| ErrorJson::of(error, *shard)),
            errors: errors.iter().filter_map(of_shard).collect(),
        }
    }
}

/// A shard.
#[derive(Serialize, ToSchema)]
#[schema(as = Shard)]
pub struct ShardJson {
    /// From 0 on, in the order of the items.
    index: u32,
    /// Null while it has none, and once its run is so old that it was removed.
    #[schema(value_type = Option<String>)]
    run: Option<Id>,
    /// Its items.
    size: u32,
    /// `planned`, `dispatched`, `delivered` or `failed`.
    state: &'static str,
    /// Of its run.
    run_status: Option<&'static str>,
    #[schema(value_type = Option<String>)]
    dispatched_at: Option<Time>,
    error: Option<ErrorJson>,
}

impl ShardJson {
    pub fn of(told: &ToldShard) -> ShardJson {
        let shard = &told.shard;
        ShardJson {
            index: shard.index,
            run: shard.run,
            size: shard.size,
            state: shard.state.as_str(),
            run_status: told.run.as_ref().map(|run| run.status).or(shard.ended).map(|s| s.as_str()),
            dispatched_at: shard.dispatched_at,
            error: shard.error.as_ref().map(|error| ErrorJson::of(error, Some(shard.index))),
        }
    }
}

/// A sharded run that was just made, or that was there already.
#[derive(Serialize, ToSchema)]
#[schema(as = ShardedRunCreated)]
pub struct CreatedJson {
    #[schema(value_type = String)]
    id: Id,
    status: &'static str,
    /// The first 1000; the rest is read page by page.
    shards: Vec<ShardJson>,
    /// How many there are.
    shard_count: u32,
    /// `shards` of the next page begin here; null when all are listed.
    next_cursor: Option<u32>,
    /// Shards that have no run yet although nothing failed: they are given theirs one after another.
    undispatched: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson>,
    /// True when the window or the key of the request was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
}

impl CreatedJson {
    pub fn of(
        told: &Told,
        shards: &[ToldShard],
        next_cursor: Option<u32>,
        cached: bool,
    ) -> CreatedJson {
        let planned = told.shards_in(ShardState::Planned);
        CreatedJson {
            id: told.head.id,
            status: told.head.phase.as_str(),
            shards: shards.iter().map(ShardJson::of).collect(),
            shard_count: told.head.shards,
            next_cursor,
            undispatched: planned.saturating_sub(told.head.held),
            error: told.error.as_ref().map(|(shard, error)| ErrorJson::of(error, *shard)),
            cached: cached.then_some(true),
        }
    }
}

/// Something that an agent delivered.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryJson<'a> {
    kind: &'a str,
    key: &'a str,
    #[schema(value_type = String)]
    at: Time,
    /// A result was delivered, so nothing is taken under this kind and key any more.
    valid: bool,
    #[schema(value_type = Object)]
    result: Option<&'a RawValue>,
    error: Option<ErrorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<ShardLink>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryShard)]
struct ShardLink {
    #[schema(value_type = String)]
    sharded_run: Id,
    index: u32,
}

impl<'a> DeliveryJson<'a> {
    pub fn of(delivered: &'a Delivered) -> DeliveryJson<'a> {
        DeliveryJson {
            kind: &delivered.kind,
            key: &delivered.key,
            at: delivered.at,
            valid: delivered.is_valid(),
            result: raw(delivered.result.as_deref()),
            error: delivered.error.as_ref().map(|error| ErrorJson::of(error, None)),
            shard: None,
            cached: None,
        }
    }

    /// As the answer to whoever delivered it.
    pub fn answer(self, shard: Option<(Id, u32)>, cached: bool) -> DeliveryJson<'a> {
        let shard = shard.map(|(sharded_run, index)| ShardLink { sharded_run, index });
        DeliveryJson { shard, cached: cached.then_some(true), ..self }
    }
}
