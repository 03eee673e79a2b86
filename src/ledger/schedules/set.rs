//! What people do with schedules: set, delete, pause, resume, and run one now.

use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::runs::submit::no_task;
use crate::model::refusal::{Code, Refusal};
use crate::model::schedule::{Progress, Round, SCHEDULES_MAX, Schedule, Stamp, Wanted};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::schedule::{self as rows, Tombstone};
use crate::store::kinds::{round as rounds, task as task_rows};
use crate::store::tx::Tx;

use super::save::{must_get, save};
use super::turn;

/// How long the windows of a deleted schedule are remembered, so that none of them is begun by
/// another one of its name, and most names that are.
pub const TOMBSTONE_KEPT: Span = Span::from_days(30);
pub const TOMBSTONES_MAX: usize = 1_000;

/// A valid request to set a schedule.
#[derive(Clone, Debug)]
pub struct Put {
    pub name: Name,
    pub wanted: Wanted,
    /// As it is when not given.
    pub paused: Option<bool>,
    pub by: String,
}

/// Makes a schedule or changes one; gives whether it is new.
pub fn put(tx: &mut Tx<'_>, command: Put) -> Result<bool, Stop> {
    if task_rows::get(tx, &command.wanted.task)?.is_none() {
        return Err(no_task(&command.wanted.task).into());
    }
    match rows::get(tx, &command.name)? {
        None => create(tx, command).map(|()| true),
        Some(found) => change(tx, found, command).map(|()| false),
    }
}

fn create(tx: &mut Tx<'_>, command: Put) -> Result<(), Stop> {
    if rows::count(tx, SCHEDULES_MAX)? >= SCHEDULES_MAX {
        let message =
            format!("there are {SCHEDULES_MAX} schedules already, the most that are kept");
        return Err(Refusal::new(Code::TooManySchedules, message).into());
    }
    let Put { name, wanted, paused, by } = command;
    let now = tx.now();
    let buried = rows::tombstone(tx, &name)?.map_or(now, |tombstone| tombstone.passed());
    rows::remove_tombstone(tx, &name);
    let schedule = Schedule {
        id: tx.mint(),
        name,
        wanted,
        revision: 1,
        created_at: now,
        set_at: now,
        set_by: by.clone(),
    };
    rows::put(tx, &schedule);
    let mut progress = Progress {
        id: schedule.id,
        name: schedule.name.clone(),
        paused: (paused == Some(true)).then_some(Stamp { at: now, by }),
        passed: now.max(buried),
        next: None,
        last: None,
        round: None,
        manual: None,
        due_at: None,
        deleted: false,
    };
    turn::look_ahead(&schedule, &mut progress);
    turn::set_due(tx, &schedule, &mut progress)?;
    Ok(save(tx, None, &progress)?)
}

fn change(tx: &mut Tx<'_>, found: Schedule, command: Put) -> Result<(), Stop> {
    let before = super::save::must_progress(tx, &found)?;
    let mut progress = before.clone();
    let now = tx.now();
    let wanted = command.wanted;
    let times_changed =
        (&found.wanted.cron, &found.wanted.timezone) != (&wanted.cron, &wanted.timezone);
    let schedule = if found.wanted == wanted {
        found
    } else {
        let revision = found.revision + 1;
        let changed =
            Schedule { wanted, revision, set_at: now, set_by: command.by.clone(), ..found };
        rows::put(tx, &changed);
        changed
    };
    if times_changed {
        // What the new expression would have done before it was set is not missed.
        progress.passed = progress.passed.max(now);
    }
    match command.paused {
        Some(true) => pause_it(&mut progress, now, command.by),
        Some(false) => resume_it(&mut progress, now),
        None => {}
    }
    turn::look_ahead(&schedule, &mut progress);
    turn::set_due(tx, &schedule, &mut progress)?;
    Ok(save(tx, Some(&before), &progress)?)
}

fn pause_it(progress: &mut Progress, at: Time, by: String) {
    progress.paused.get_or_insert(Stamp { at, by });
}

/// No window that came while it was paused is begun afterwards.
fn resume_it(progress: &mut Progress, now: Time) {
    if progress.paused.take().is_some() {
        progress.passed = progress.passed.max(now);
    }
}

/// Pauses a schedule or lets it go on. Repeating either is harmless.
pub fn pause(tx: &mut Tx<'_>, name: &Name, paused: bool, by: &str) -> Result<(), Stop> {
    let (schedule, before) = must_get(tx, name)?;
    let mut progress = before.clone();
    match paused {
        true => pause_it(&mut progress, tx.now(), by.to_owned()),
        false => resume_it(&mut progress, tx.now()),
    }
    if progress == before {
        return Ok(());
    }
    turn::look_ahead(&schedule, &mut progress);
    turn::set_due(tx, &schedule, &mut progress)?;
    Ok(save(tx, Some(&before), &progress)?)
}

/// Gives every org a run now, paused or not; it counts as no window. The first of them have theirs
/// when this returns.
pub fn run_now(tx: &mut Tx<'_>, name: &Name, by: &str) -> Result<Round, Stop> {
    let (schedule, before) = must_get(tx, name)?;
    if before.manual.is_some() {
        let message = format!("schedule `{name}` is being run by hand already");
        return Err(Refusal::new(Code::Conflict, message).retry_after(Span::from_secs(1)).into());
    }
    let stamp = Stamp { at: tx.now(), by: by.to_owned() };
    let round = Round { spread: Span::ZERO, ..turn::new_round(tx, &schedule, None, stamp) };
    rounds::put(tx, &round);
    let mut progress = Progress { manual: Some(round.id), ..before.clone() };
    turn::manual(tx, &schedule, &mut progress)?;
    turn::trim(tx, &progress)?;
    turn::set_due(tx, &schedule, &mut progress)?;
    save(tx, Some(&before), &progress)?;
    let round = rounds::get(tx, schedule.id, round.id)?;
    Ok(round.ok_or_else(|| Fault::Corrupt("a round vanished in its own act".to_owned()))?)
}

/// Deletes a schedule. Runs that it made stay; its rounds are removed bit by bit.
pub fn delete(tx: &mut Tx<'_>, name: &Name) -> Result<(), Stop> {
    let (_, before) = must_get(tx, name)?;
    let now = tx.now();
    let mut kept = 0;
    for (name, tombstone) in rows::tombstones(tx, TOMBSTONES_MAX)? {
        let is_old = now.since(tombstone.at()) >= TOMBSTONE_KEPT;
        kept += usize::from(!is_old);
        if is_old {
            rows::remove_tombstone(tx, &name);
        }
    }
    // With so many of them within the time, this one is not remembered: that only matters to a
    // schedule of the same name once the clock goes back.
    if kept < TOMBSTONES_MAX {
        rows::put_tombstone(tx, name, &Tombstone::new(before.passed, now));
    }
    rows::remove(tx, name);
    let progress = Progress {
        deleted: true,
        next: None,
        round: None,
        manual: None,
        due_at: Some(now),
        ..before.clone()
    };
    Ok(save(tx, Some(&before), &progress)?)
}
