//! The turn of a schedule: begins the window whose time has come, gives the next orgs their runs,
//! tries again those that failed, and says when it is to be looked at again.
//!
//! A turn is one transaction of bounded work; while more is due, the timer is due at once. A crash
//! between two turns loses nothing: whatever a turn did not write, the next one does.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::notice::Notice;
use crate::model::schedule::{
    LATE_MAX, MISSED_COUNTED_MAX, Missed, Place, Progress, RETRY_FOR, ROUNDS_KEPT, Round,
    RoundState, Schedule, Stamp, place,
};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{round as rounds, schedule as rows};
use crate::store::tx::Tx;

use super::make::Job;
use super::save::save;

/// Orgs that one turn gives their runs, and runs and shards of a turn beyond its first org.
pub const ORGS_AT_ONCE: usize = 50;
pub const WEIGHT_AT_ONCE: usize = 500;
/// Slots that one turn looks at for orgs that failed.
pub const SLOTS_AT_ONCE: usize = 200;
/// Slots of old rounds that one turn removes.
pub const FORGOTTEN_AT_ONCE: usize = 200;

/// The timer of a schedule fired; `false` when it is not its timer any more.
pub fn fire(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(before) = rows::progress(tx, id)?.filter(|found| found.due_at == Some(at)) else {
        return Ok(false);
    };
    if before.deleted {
        forget(tx, &before)?;
        return Ok(true);
    }
    let Some(schedule) = rows::get(tx, &before.name)?.filter(|found| found.id == id) else {
        return Err(Fault::Corrupt(format!("progress of a schedule {id} that is gone")).into());
    };
    let mut progress = before.clone();
    if progress.manual.is_some() {
        manual(tx, &schedule, &mut progress)?;
    } else if progress.paused.is_none() {
        match progress.round {
            Some(round) => go_on(tx, &schedule, &mut progress, round)?,
            None => begin(tx, &schedule, &mut progress),
        }
    }
    trim(tx, &progress)?;
    set_due(tx, &schedule, &mut progress)?;
    save(tx, Some(&before), &progress)?;
    Ok(true)
}

/// Sets the next window after those that were dealt with.
pub(super) fn look_ahead(schedule: &Schedule, progress: &mut Progress) {
    let times = schedule.wanted.times();
    if times.is_none() {
        let zone = &schedule.wanted.timezone;
        tracing::error!(schedule = %schedule.name, zone, "its expression or zone cannot be read");
    }
    progress.next = times.and_then(|(cron, zone)| cron.next(progress.passed, &zone));
}

pub(super) fn new_round(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    window: Option<Time>,
    begun: Stamp,
) -> Round {
    Round {
        schedule: schedule.id,
        id: tx.mint(),
        window,
        state: RoundState::Open,
        begun,
        ended_at: None,
        spread: schedule.wanted.spread,
        made: 0,
        failing: 0,
        missed: 0,
        position: None,
        retry_at: None,
        retry_after: None,
        passes: 0,
    }
}

/// Begins the last window whose time has come; those before it are passed over.
fn begin(tx: &mut Tx<'_>, schedule: &Schedule, progress: &mut Progress) {
    let now = tx.now();
    let Some((cron, zone)) = schedule.wanted.times() else { return };
    let Some(window) = cron.latest(progress.passed, now, &zone) else { return };
    let came = cron.count(progress.passed, window, MISSED_COUNTED_MAX, &zone);
    let is_skipped = schedule.wanted.missed == Missed::Skip && now.since(window) > LATE_MAX;
    let begun = Stamp { at: now, by: "tidegate".to_owned() };
    let mut round = new_round(tx, schedule, Some(window), begun);
    if is_skipped {
        round.state = RoundState::Skipped;
        round.ended_at = Some(now);
        round.missed = came;
    } else {
        round.missed = came.saturating_sub(1);
        progress.round = Some(round.id);
        progress.last = Some(window);
    }
    rounds::put(tx, &round);
    progress.passed = window;
    look_ahead(schedule, progress);
}

/// Goes on with the round of a window. Once the next one comes, whoever was not tried yet is tried
/// at once, and whoever failed is given up.
fn go_on(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    progress: &mut Progress,
    id: Id,
) -> Result<(), Fault> {
    let mut round = must_get(tx, schedule, id)?;
    let now = tx.now();
    let next_came = progress.next.is_some_and(|next| next <= now);
    let mut waiting = waiting(schedule, &round);
    waiting.retain(|place| next_came || round.turn(place) <= now);
    if waiting.is_empty() {
        if !next_came && round.retry_at.is_some_and(|at| at <= now) {
            retry(tx, schedule, &mut round)?;
        }
    } else {
        give(tx, schedule, &mut round, waiting)?;
    }
    let all_tried = self::waiting(schedule, &round).is_empty();
    let is_over = next_came || now.since(round.begun.at) >= RETRY_FOR;
    if all_tried && (round.failing == 0 || is_over) {
        end(&mut round, now);
        progress.round = None;
    } else if round.failing > 0 && round.retry_at.is_none() {
        round.retry_at = Some(now.plus(round.retry_pause()));
    }
    rounds::put(tx, &round);
    tx.notify(Notice::Page);
    Ok(())
}

/// Goes on with a run by hand: each org is tried once, at once.
pub(super) fn manual(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    progress: &mut Progress,
) -> Result<(), Fault> {
    let Some(id) = progress.manual else { return Ok(()) };
    let mut round = must_get(tx, schedule, id)?;
    let waiting = waiting(schedule, &round);
    give(tx, schedule, &mut round, waiting)?;
    if self::waiting(schedule, &round).is_empty() {
        end(&mut round, tx.now());
        progress.manual = None;
    }
    rounds::put(tx, &round);
    Ok(())
}

fn end(round: &mut Round, now: Time) {
    round.state = if round.failing == 0 { RoundState::Done } else { RoundState::GivenUp };
    round.ended_at = Some(now);
    round.retry_at = None;
    round.retry_after = None;
}

/// Orgs that were not tried yet, in the order of their turns.
fn waiting(schedule: &Schedule, round: &Round) -> Vec<Place> {
    let places = schedule.wanted.orgs.iter().map(|org| place(org, round.spread));
    let mut waiting: Vec<Place> =
        places.filter(|place| round.position.as_ref().is_none_or(|last| place > last)).collect();
    waiting.sort_unstable();
    waiting
}

/// Gives the first of these orgs their runs.
fn give(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    round: &mut Round,
    waiting: Vec<Place>,
) -> Result<(), Fault> {
    let job = Job::of(tx, schedule)?;
    for place in waiting.into_iter().take(orgs_at_once(&job)) {
        job.give(tx, round, &place.1)?;
        round.position = Some(place);
    }
    Ok(())
}

fn orgs_at_once(job: &Job<'_>) -> usize {
    (WEIGHT_AT_ONCE / job.weight()).clamp(1, ORGS_AT_ONCE)
}

/// Tries the next orgs again that failed. At the end of a pass over them the next one is set, each
/// later than the one before.
fn retry(tx: &mut Tx<'_>, schedule: &Schedule, round: &mut Round) -> Result<(), Fault> {
    let job = Job::of(tx, schedule)?;
    let mut left = orgs_at_once(&job);
    let slots = rounds::slots(tx, round, round.retry_after.as_ref(), SLOTS_AT_ONCE)?;
    let mut is_last = slots.len() < SLOTS_AT_ONCE;
    for slot in slots {
        if slot.got.is_nothing() {
            if left == 0 {
                is_last = false;
                break;
            }
            left -= 1;
            if is_wanted(schedule, &slot.org) {
                job.give(tx, round, &slot.org)?;
            } else {
                // The schedule was changed, and this org is none of its own any more.
                rounds::remove_slot(tx, round, &slot.org);
                round.failing -= 1;
            }
        }
        round.retry_after = Some(slot.org);
    }
    if is_last {
        round.passes += 1;
        round.retry_after = None;
        round.retry_at = (round.failing > 0).then(|| tx.now().plus(round.retry_pause()));
    }
    Ok(())
}

fn is_wanted(schedule: &Schedule, org: &Name) -> bool {
    schedule.wanted.orgs.contains(org)
}

/// Removes what is left of rounds that are older than those that are kept.
pub(super) fn trim(tx: &mut Tx<'_>, progress: &Progress) -> Result<(), Fault> {
    let Some(oldest) = rounds::surplus(tx, progress.id, ROUNDS_KEPT)? else { return Ok(()) };
    let is_open = [progress.round, progress.manual].contains(&Some(oldest));
    if !is_open
        && rounds::remove_slots(tx, progress.id, oldest, FORGOTTEN_AT_ONCE)? < FORGOTTEN_AT_ONCE
    {
        rounds::remove(tx, progress.id, oldest);
    }
    Ok(())
}

/// Removes the next rows of a schedule that was deleted, at last its progress.
fn forget(tx: &mut Tx<'_>, before: &Progress) -> Result<(), Fault> {
    if let Some(oldest) = rounds::surplus(tx, before.id, 0)? {
        let removed = rounds::remove_slots(tx, before.id, oldest, FORGOTTEN_AT_ONCE)?;
        if removed < FORGOTTEN_AT_ONCE {
            rounds::remove(tx, before.id, oldest);
        }
        return Ok(());
    }
    save(tx, Some(before), &Progress { due_at: None, ..before.clone() })?;
    rows::remove_progress(tx, before.id);
    Ok(())
}

/// Sets when there is something to do next.
pub(super) fn set_due(
    tx: &Tx<'_>,
    schedule: &Schedule,
    progress: &mut Progress,
) -> Result<(), Fault> {
    let now = tx.now();
    progress.due_at = if progress.manual.is_some() {
        Some(now)
    } else if progress.paused.is_some() {
        None
    } else if let Some(id) = progress.round {
        let round = must_get(tx, schedule, id)?;
        let turn = waiting(schedule, &round).first().map(|place| round.turn(place));
        // A round that a change of the schedule left without anything to wait for ends at once.
        let idle = (turn.is_none() && round.retry_at.is_none()).then_some(now);
        [turn, round.retry_at, progress.next, idle].into_iter().flatten().min()
    } else {
        progress.next
    };
    // A timer never lies before the moment that sets it: others that are due have their turns.
    progress.due_at = progress.due_at.map(|at| at.max(now));
    Ok(())
}

fn must_get(tx: &Tx<'_>, schedule: &Schedule, id: Id) -> Result<Round, Fault> {
    rounds::get(tx, schedule.id, id)?
        .ok_or_else(|| Fault::Corrupt(format!("schedule `{}` has no round {id}", schedule.name)))
}
