//! Schedules, their rounds and what orgs got, on the wire.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::run_json::raw;
use crate::appliance::schedules::{Told, ToldSlot};
use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::model::schedule::{Got, Round, Work};

/// A schedule as callers see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleJson {
    name: String,
    cron: String,
    timezone: String,
    /// The expression in words, such as `every day at 10:00 and 22:00 (UTC)`.
    words: String,
    task: String,
    /// Told with the single one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// Told with the single one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    items: Option<Box<RawValue>>,
    /// How many items; null when each org gets a single run.
    item_count: Option<u32>,
    shard_size: Option<u32>,
    orgs: Vec<String>,
    env: String,
    #[schema(value_type = String)]
    spread: Span,
    missed: &'static str,
    paused: bool,
    #[schema(value_type = Option<String>)]
    paused_at: Option<Time>,
    paused_by: Option<String>,
    /// Grows with each change.
    revision: u32,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = String)]
    set_at: Time,
    set_by: String,
    /// The next five windows; none of them begins while it is paused.
    #[schema(value_type = Vec<String>)]
    next: Vec<Time>,
    /// The last window that was begun.
    #[schema(value_type = Option<String>)]
    last_window: Option<Time>,
    /// The last 20 windows and runs by hand, newest first.
    rounds: Vec<RoundJson>,
    /// What orgs got of the last round that made runs: at most 100, up to 20 that got nothing
    /// first. Told with the single one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Vec<SlotJson>>,
}

impl ScheduleJson {
    pub fn of(told: &Told) -> ScheduleJson {
        let (schedule, progress) = (&told.schedule, &told.progress);
        let wanted = &schedule.wanted;
        let (item_count, shard_size) = match &wanted.work {
            Work::Payload(_) => (None, None),
            Work::Items { items, shard_size, .. } => (Some(*items), *shard_size),
        };
        ScheduleJson {
            name: schedule.name.to_string(),
            cron: wanted.cron.clone(),
            timezone: wanted.timezone.clone(),
            words: told.words.clone(),
            task: wanted.task.to_string(),
            payload: None,
            items: None,
            item_count,
            shard_size,
            orgs: wanted.orgs.iter().map(ToString::to_string).collect(),
            env: wanted.env.to_string(),
            spread: wanted.spread,
            missed: wanted.missed.as_str(),
            paused: progress.paused.is_some(),
            paused_at: progress.paused.as_ref().map(|stamp| stamp.at),
            paused_by: progress.paused.as_ref().map(|stamp| stamp.by.clone()),
            revision: schedule.revision,
            created_at: schedule.created_at,
            set_at: schedule.set_at,
            set_by: schedule.set_by.clone(),
            next: told.upcoming.clone(),
            last_window: progress.last,
            rounds: told.rounds.iter().map(RoundJson::of).collect(),
            last: None,
        }
    }

    /// Also what it gives orgs, and what they got.
    pub fn with_work(self, told: &Told, slots: &[ToldSlot]) -> ScheduleJson {
        let (payload, items) = match &told.schedule.wanted.work {
            Work::Payload(payload) => (raw(payload.as_deref()), None),
            Work::Items { text, .. } => (None, raw(Some(text))),
        };
        ScheduleJson {
            payload: payload.map(ToOwned::to_owned),
            items: items.map(ToOwned::to_owned),
            last: Some(slots.iter().map(SlotJson::of).collect()),
            ..self
        }
    }
}

/// A window that was begun or skipped, or a run by hand.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleRound)]
pub struct RoundJson {
    #[schema(value_type = String)]
    id: Id,
    /// Null of a run by hand.
    #[schema(value_type = Option<String>)]
    window: Option<Time>,
    /// `open` (some orgs wait for their turn, or are tried again), `done`, `given_up` (some orgs
    /// never got theirs) or `skipped`.
    state: &'static str,
    #[schema(value_type = String)]
    begun_at: Time,
    begun_by: String,
    #[schema(value_type = Option<String>)]
    ended_at: Option<Time>,
    /// Orgs that got their run or sharded run.
    made: u32,
    /// Orgs that could not be given theirs.
    failed: u32,
    /// Windows before it that were missed, itself included when it was skipped; up to 1000.
    missed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    orgs: Option<Vec<SlotJson>>,
}

impl RoundJson {
    pub fn of(round: &Round) -> RoundJson {
        RoundJson {
            id: round.id,
            window: round.window,
            state: round.state.as_str(),
            begun_at: round.begun.at,
            begun_by: round.begun.by.clone(),
            ended_at: round.ended_at,
            made: round.made,
            failed: round.failing,
            missed: round.missed,
            orgs: None,
        }
    }

    pub fn with_orgs(round: &Round, slots: &[ToldSlot]) -> RoundJson {
        let orgs = slots.iter().map(SlotJson::of).collect();
        RoundJson { orgs: Some(orgs), ..RoundJson::of(round) }
    }
}

/// What an org got of a round.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleSlot)]
pub struct SlotJson {
    org: String,
    #[schema(value_type = String)]
    at: Time,
    tries: u32,
    #[schema(value_type = Option<String>)]
    run: Option<Id>,
    #[schema(value_type = Option<String>)]
    sharded_run: Option<Id>,
    /// Of its run or sharded run; null when that is so old that it was removed.
    status: Option<&'static str>,
    /// Why it got nothing.
    error: Option<SlotErrorJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleSlotError)]
struct SlotErrorJson {
    code: String,
    message: String,
}

impl SlotJson {
    fn of(told: &ToldSlot) -> SlotJson {
        let slot = &told.slot;
        let (run, sharded_run, error) = match slot.got.clone() {
            Got::Run(id) => (Some(id), None, None),
            Got::Sharded(id) => (None, Some(id), None),
            Got::Nothing { code, message } => (None, None, Some(SlotErrorJson { code, message })),
        };
        let (org, status) = (slot.org.to_string(), told.status);
        SlotJson { org, at: slot.at, tries: slot.tries, run, sharded_run, status, error }
    }
}
