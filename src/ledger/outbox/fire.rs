//! Timers that are due, keys whose time has come, and claims that a crash left behind.

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::ledger::buffer;
use crate::ledger::keys::expire::expire_due;
use crate::ledger::runs::place;
use crate::ledger::runs::save as runs;
use crate::ledger::schedules;
use crate::model::delivery::{OutboxRow, Purpose, RowState, Timer};
use crate::model::notice::Notice;
use crate::model::outcome::Outcome;
use crate::model::retry::{Next, Trouble};
use crate::model::run::{Event, Mirror, Run, RunError, Status};
use crate::store::fault::Stop;
use crate::store::kinds::{due, key as keys, outbox as rows, pending, run as run_rows};
use crate::store::tx::Tx;

use super::outcome::{Why, again, next_try};
use super::save::{save, withdraw};
use super::settle::{Report, log_attempt};

/// Timers and keys that one command fires.
pub const FIRE_MAX: usize = 256;

/// Schedules that one command lets go on: each of them may make runs for many orgs.
pub const SCHEDULES_MAX: usize = 1;

/// What is left after firing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    pub count: usize,
    pub next: Option<Time>,
}

/// Fires at most [`FIRE_MAX`] timers that are due, expired keys included.
pub fn fire(tx: &mut Tx<'_>) -> Result<Fired, Stop> {
    let mut fired = Fired::default();
    for timer in Timer::ALL {
        let room = match timer {
            Timer::Schedule => SCHEDULES_MAX.min(FIRE_MAX - fired.count),
            _ => FIRE_MAX - fired.count,
        };
        if room == 0 {
            break;
        }
        for (at, id) in due::due(tx, timer, tx.now(), room)? {
            fired.count += 1;
            let known = match timer {
                Timer::Deliver => promote(tx, id, at)?,
                Timer::Lease => lease_ended(tx, id, at)?,
                Timer::Expire => expire(tx, id, at)?,
                Timer::Deadline => time_out(tx, id, at)?,
                Timer::Again => {
                    wake_readers(tx, id)?;
                    false
                }
                Timer::Enqueue => enqueue(tx, id, at)?,
                Timer::Buffer => buffer::drain::line_up_again(tx, id, at)?,
                Timer::Schedule => schedules::turn::fire(tx, id, at)?,
            };
            if !known {
                due::clear(tx, timer, at, id);
            }
        }
    }
    fired.count += expire_due(tx, FIRE_MAX - fired.count)?;
    fired.next = due::next(tx)?.into_iter().chain(keys::next_expiry(tx, tx.now())?).min();
    Ok(fired)
}

/// Entries of a group may be delivered again: whoever waits for the stream looks.
fn wake_readers(tx: &mut Tx<'_>, id: Id) -> Result<(), Stop> {
    let (db, stream, _) = pending::again_of(id);
    // The stream may be gone, or have another name by now.
    if let Some(name) = keys::name_of(tx, db, stream)? {
        tx.notify(Notice::Key(name));
    }
    Ok(())
}

/// A waiting row becomes ready, a delayed run queued.
fn promote(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(row) = rows::get(tx, id)? else { return Ok(false) };
    if row.state != RowState::Waiting || row.due_at != at {
        return Ok(false);
    }
    make_ready(tx, &row)?;
    Ok(true)
}

/// Lets a waiting row go now.
pub(super) fn make_ready(tx: &mut Tx<'_>, row: &OutboxRow) -> Result<(), Stop> {
    let mut ready = row.clone();
    ready.state = RowState::Ready;
    ready.due_at = ready.due_at.min(tx.now());
    if row.purpose == Purpose::Run
        && let Some(before) = run_rows::get(tx, row.id)?
        && before.status == Status::Delayed
    {
        let mut run = before.clone();
        run.step(Event::Due, tx.now()).map_err(runs::refuse)?;
        runs::save(tx, &before, &run)?;
    }
    Ok(save(tx, Some(row), Some(&ready))?)
}

/// A delayed run goes into its stream.
fn enqueue(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(before) = run_rows::get(tx, id)? else { return Ok(false) };
    if before.status != Status::Delayed || before.due_at != at || before.stream.is_none() {
        return Ok(false);
    }
    let mut run = before.clone();
    run.step(Event::Due, tx.now()).map_err(runs::refuse)?;
    place::enqueue_or_end(tx, &mut run)?;
    runs::save(tx, &before, &run)?;
    Ok(true)
}

/// No answer was recorded before the lease ended.
fn lease_ended(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(row) = rows::get(tx, id)? else { return Ok(false) };
    if row.state != (RowState::Leased { until: at }) {
        return Ok(false);
    }
    give_up(tx, row, "lease_expired", "no answer was recorded before the claim ended")?;
    Ok(true)
}

/// Takes a claim back: the agent may have the run, so the same key is sent again.
fn give_up(tx: &mut Tx<'_>, row: OutboxRow, code: &'static str, detail: &str) -> Result<(), Stop> {
    let outcome = Outcome::Retry { code, detail: detail.to_owned(), retry_after: None };
    let mut report = Report {
        id: row.id,
        endpoint: row.endpoint.clone(),
        fence: row.fence,
        attempt: row.fence,
        outcome,
        trouble: Trouble::Other,
        status: None,
        body: Vec::new(),
        started_at: tx.now(),
        elapsed_ms: 0,
    };
    let mut ready = row.clone();
    ready.state = RowState::Ready;
    ready.due_at = tx.now();
    ready.last_code = Some(code.to_owned());
    ready.last_detail = Some(detail.to_owned());
    if row.purpose == Purpose::Run {
        let Some(before) = run_rows::get(tx, row.id)? else {
            return Ok(save(tx, Some(&row), None)?);
        };
        report.attempt = before.attempts;
        report.started_at = before.started_at.unwrap_or(report.started_at);
        if next_try(tx, &row, &before, None, Trouble::Other)? == Next::Exhausted {
            // Also a run that takes the whole process down with it comes to an end.
            log_attempt(tx, &report, None, false);
            let why =
                Why { code, detail: detail.to_owned(), retry_after: None, trouble: Trouble::Other };
            again(tx, row, before, why)?;
            return Ok(());
        }
        let mut run = before.clone();
        run.step(Event::Retry, tx.now()).map_err(runs::refuse)?;
        if !run.status.is_final() {
            run.deadline = None;
            run.due_at = tx.now();
            run.last_failure = Some(RunError { code: code.to_owned(), message: detail.to_owned() });
        }
        runs::save(tx, &before, &run)?;
        log_attempt(tx, &report, Some(tx.now()), false);
        if run.status.is_final() {
            return Ok(save(tx, Some(&row), None)?);
        }
    } else {
        log_attempt(tx, &report, Some(tx.now()), false);
    }
    Ok(save(tx, Some(&row), Some(&ready))?)
}

/// At start nobody is out any more: every claim of the process before is taken back at once.
/// Gives how many there were; call it until that is 0.
pub fn recover(tx: &mut Tx<'_>) -> Result<usize, Stop> {
    let leases = due::after(tx, Timer::Lease, None, FIRE_MAX)?;
    let count = leases.len();
    for (at, id) in leases {
        match rows::get(tx, id)? {
            Some(row) if row.state == (RowState::Leased { until: at }) => {
                give_up(tx, row, "interrupted", "tidegate stopped while this attempt was out")?;
            }
            _ => due::clear(tx, Timer::Lease, at, id),
        }
    }
    Ok(count)
}

fn expire(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(before) = run_rows::get(tx, id)? else { return Ok(false) };
    let waits = matches!(before.status, Status::Delayed | Status::Queued);
    if !waits || before.expires_at != Some(at) {
        return Ok(false);
    }
    let mut run = before.clone();
    runs::expire(&mut run, tx.now()).map_err(runs::refuse)?;
    runs::save(tx, &before, &run)?;
    withdraw(tx, id)?;
    Ok(true)
}

fn time_out(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let Some(before) = run_rows::get(tx, id)? else { return Ok(false) };
    if !before.status.holds_slot() || before.deadline != Some(at) {
        return Ok(false);
    }
    let mut run = before.clone();
    run.step(Event::TimeOut, tx.now()).map_err(runs::refuse)?;
    run.error = Some(error("max_duration_exceeded", over_time(&before, tx.now())));
    runs::save(tx, &before, &run)?;
    withdraw(tx, id)?;
    Ok(true)
}

fn over_time(run: &Run, now: Time) -> String {
    let span = run.started_at.map_or(Span::ZERO, |started| now.since(started));
    match run.mirror {
        Mirror::Live => format!("the agent did not finish within {span}"),
        Mirror::Pending | Mirror::Failed => format!("no attempt succeeded within {span}"),
    }
}

fn error(code: &str, message: String) -> RunError {
    RunError { code: code.to_owned(), message }
}
