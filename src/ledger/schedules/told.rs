//! A schedule as callers see it: in words, with its next windows, its last rounds, and what each
//! org got.

use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::clock::CLOCK_STEP;
use crate::model::cron::words;
use crate::model::schedule::{
    Got, ORGS_MAX, Progress, ROUNDS_KEPT, Round, RoundState, Schedule, Slot,
};
use crate::store::fault::Fault;
use crate::store::kinds::{round as rounds, run as run_rows, schedule as rows, sharded as heads};
use crate::store::rows::Rows;

use super::save::must_progress;

/// Windows to come that are told.
pub const UPCOMING_TOLD: usize = 5;
/// Most schedules of a page.
pub const PAGE_MAX: usize = 100;
/// Orgs that are told of a round, and most of those that failed.
pub const ORGS_TOLD: usize = 100;
pub const FAILING_TOLD: usize = 20;

/// A schedule with all that a list shows.
#[derive(Clone, Debug)]
pub struct Told {
    pub schedule: Schedule,
    pub progress: Progress,
    pub words: String,
    pub upcoming: Vec<Time>,
    /// Newest first.
    pub rounds: Vec<Round>,
}

impl Told {
    /// Up to when windows are over that the clock has still to come to, if it is that far behind: it
    /// was set back, and a window is never begun twice, so until then none is begun.
    pub fn silent_until(&self, now: Time) -> Option<Time> {
        Some(self.progress.passed).filter(|passed| *passed > now.plus(CLOCK_STEP))
    }

    /// The last round that made runs, or tried to.
    pub fn last_round(&self) -> Option<&Round> {
        self.rounds.iter().find(|round| round.state != RoundState::Skipped)
    }
}

pub fn tell(view: &dyn Rows, schedule: Schedule) -> Result<Told, Fault> {
    let progress = must_progress(view, &schedule)?;
    let times = schedule.wanted.times();
    let (words, upcoming) = match &times {
        Some((cron, zone)) => {
            let upcoming = cron.upcoming(progress.passed, zone).take(UPCOMING_TOLD).collect();
            (words(cron, zone), upcoming)
        }
        None => (schedule.wanted.cron.clone(), Vec::new()),
    };
    let rounds = rounds::newest(view, schedule.id, ROUNDS_KEPT)?;
    Ok(Told { schedule, progress, words, upcoming, rounds })
}

/// A page of schedules by name, and the name behind which the next page begins.
pub fn list(
    view: &dyn Rows,
    after: Option<&Name>,
    limit: usize,
) -> Result<(Vec<Told>, Option<Name>), Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut found = rows::list(view, after, limit + 1)?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| last.name.clone());
    let told = found.into_iter().map(|schedule| tell(view, schedule));
    Ok((told.collect::<Result<_, _>>()?, next))
}

/// What an org got, and how that stands now.
#[derive(Clone, Debug)]
pub struct ToldSlot {
    pub slot: Slot,
    /// Status of its run or sharded run; `None` when there is none any more.
    pub status: Option<&'static str>,
}

/// What the first orgs got of a round, those that got nothing before the others.
pub fn slots(view: &dyn Rows, round: &Round) -> Result<Vec<ToldSlot>, Fault> {
    let all = rounds::slots(view, round, None, ORGS_MAX)?;
    let (failing, others): (Vec<Slot>, Vec<Slot>) =
        all.into_iter().partition(|slot| slot.got.is_nothing());
    let chosen = failing.into_iter().take(FAILING_TOLD).chain(others).take(ORGS_TOLD);
    chosen.map(|slot| with_status(view, slot)).collect()
}

fn with_status(view: &dyn Rows, slot: Slot) -> Result<ToldSlot, Fault> {
    let status = match &slot.got {
        Got::Run(id) => run_rows::get(view, *id)?.map(|run| run.status.as_str()),
        Got::Sharded(id) => heads::get(view, *id)?.map(|head| head.phase.as_str()),
        Got::Nothing { .. } => None,
    };
    Ok(ToldSlot { slot, status })
}
