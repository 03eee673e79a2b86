//! Writing a run together with all that follows from it: indexes, counters, slots, timers, hints.
//!
//! Every act changes a copy and hands before and after to [`save`]; what follows is derived from
//! the difference, so no act can forget a counter.

use crate::base::time::{Span, Time};
use crate::ledger::batches;
use crate::ledger::shards::follow;
use crate::model::delivery::{Lane, Line, Timer};
use crate::model::history::{Part, Took};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Event, Illegal, Run, RunError, Status};
use crate::model::task::Task;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::Total;
use crate::store::kinds::{
    buffered, count, due, event, ready, run as run_rows, run_index, task as task_rows,
};
use crate::store::tx::Tx;

use super::absent::absent;

/// Writes a new run.
pub fn create(tx: &mut Tx<'_>, run: &Run) {
    count_new(tx, run);
    run_rows::put(tx, run);
    run_index::add(tx, run);
    set_timers(tx, None, run);
}

/// Counts a run that was not there before.
pub fn count_new(tx: &mut Tx<'_>, run: &Run) {
    count::move_status(tx, (&run.task, &run.org, &run.env), None, Some(run.status));
    tx.count(count::total(Total::Created), 1);
    if let Some((batch, _)) = run.batch {
        count::move_batch(tx, batch, None, Some(run.status));
    }
    follow::created(tx, run);
    tx.notify(Notice::Run(run.id));
}

/// Writes a changed run. One that has ended leaves its stream, and waits for nothing any more.
pub fn save(tx: &mut Tx<'_>, before: &Run, after: &Run) -> Result<(), Stop> {
    if before.buffered {
        return save_buffered(tx, before, after);
    }
    let ended;
    let after = match after.status.is_final() && (after.entry.is_some() || after.callbacks > 0) {
        true => {
            let mut run = after.clone();
            super::place::withdraw(tx, &mut run)?;
            super::callbacks::clear(tx, &mut run)?;
            ended = run;
            &ended
        }
        false => after,
    };
    run_rows::put(tx, after);
    if before.status != after.status {
        run_index::move_status(tx, after.id, before.status, after.status);
        count_move(tx, before, after)?;
    }
    set_timers(tx, Some(before), after);
    match (before.status.holds_slot(), after.status.holds_slot()) {
        (false, true) => move_slots(tx, after, 1)?,
        (true, false) => move_slots(tx, after, -1)?,
        (false, false) | (true, true) => {}
    }
    time_parts(tx, before, after);
    tx.notify(Notice::Run(after.id));
    batches::finish::moved(tx, before, after)
}

/// Writes a run that was in the buffer: changed there, or become real by this, as whatever it is by
/// now.
fn save_buffered(tx: &mut Tx<'_>, before: &Run, after: &Run) -> Result<(), Stop> {
    let mut entry = buffered::get(tx, before.id)?.ok_or_else(|| {
        Fault::Corrupt(format!("run {} has left the buffer within one command", before.id))
    })?;
    if after.buffered {
        entry.run = after.clone();
        buffered::put(tx, &entry);
    } else {
        buffered::close(tx, &entry);
        run_rows::put(tx, after);
        run_index::add(tx, after);
    }
    if before.status != after.status {
        count_move(tx, before, after)?;
    }
    set_timers(tx, Some(before), after);
    tx.notify(Notice::Run(after.id));
    batches::finish::moved(tx, before, after)
}

/// Tells how long the run waited when it starts, and how long it ran when it ends.
fn time_parts(tx: &mut Tx<'_>, before: &Run, after: &Run) {
    let mut tell = |part: Part, span: Span| {
        tx.took(Took {
            task: after.task.clone(),
            org: after.org.clone(),
            env: after.env.clone(),
            stream: after.stream.clone(),
            part,
            span,
        });
    };
    if let (None, Some(started)) = (before.started_at, after.started_at) {
        tell(Part::Wait, started.since(after.due_at.max(after.created_at)));
    }
    if let (false, true, Some(started), Some(ended)) =
        (before.status.is_final(), after.status.is_final(), after.started_at, after.finished_at)
    {
        // A run that was revived has run since then; one with steps since its first.
        let revived = after.step == 0 && after.series_from > 0;
        let since = after.series_at.filter(|_| revived).unwrap_or(started);
        tell(Part::Run, ended.since(since));
    }
}

fn count_move(tx: &mut Tx<'_>, before: &Run, after: &Run) -> Result<(), Stop> {
    let of = (&after.task, &after.org, &after.env);
    count::move_status(tx, of, Some(before.status), Some(after.status));
    count_totals(tx, before.status, after.status);
    if let Some((batch, _)) = after.batch {
        count::move_batch(tx, batch, Some(before.status), Some(after.status));
    }
    follow::moved(tx, before.status, after)
}

/// Sets the timers of a run, and clears those that it had.
pub fn set_timers(tx: &mut Tx<'_>, before: Option<&Run>, after: &Run) {
    let (old, new) = (before.map_or_else(Vec::new, timers_of), timers_of(after));
    for (timer, at) in old.iter().filter(|timer| !new.contains(timer)) {
        due::clear(tx, *timer, *at, after.id);
    }
    for (timer, at) in new.iter().filter(|timer| !old.contains(timer)) {
        due::set(tx, *timer, *at, after.id);
    }
}

fn count_totals(tx: &mut Tx<'_>, from: Status, to: Status) {
    if to.is_final() && !from.is_final() {
        tx.count(count::total(Total::Finished), 1);
        match to {
            Status::Completed => tx.count(count::total(Total::Completed), 1),
            Status::Failed | Status::SystemFailure | Status::Expired => {
                tx.count(count::total(Total::Failed), 1);
            }
            Status::Canceled
            | Status::Delayed
            | Status::Queued
            | Status::Executing
            | Status::Canceling => {}
        }
    }
}

/// The timers that a run must have in this state.
fn timers_of(run: &Run) -> Vec<(Timer, Time)> {
    let mut timers = Vec::new();
    if let (Status::Delayed | Status::Queued, None, Some(at)) =
        (run.status, run.started_at, run.expires_at)
    {
        timers.push((Timer::Expire, at));
    }
    if run.status == Status::Delayed && run.stream.is_some() && !run.buffered {
        timers.push((Timer::Enqueue, run.due_at));
    }
    if let (true, Some(at)) = (run.status.holds_slot(), run.deadline) {
        timers.push((Timer::Deadline, at));
    }
    timers
}

/// Ends a run that was not started in time.
pub fn expire(run: &mut Run, now: Time) -> Result<(), Illegal> {
    run.step(Event::Expire, now)?;
    let message = "it was not started within its time to live".to_owned();
    run.error = Some(RunError { code: "ttl_expired".to_owned(), message });
    Ok(())
}

/// Ends a run at once that cannot become what was asked for, with everything that its caller gave it.
pub fn break_off(tx: &mut Tx<'_>, before: &Run, code: &str, message: String) -> Result<(), Stop> {
    let mut run = before.clone();
    run.step(Event::Break, tx.now()).map_err(refuse)?;
    run.error = Some(RunError { code: code.to_owned(), message });
    save(tx, before, &run)
}

/// The lane of a run; without its task, what the run itself says.
pub fn lane_of(task: Option<&Task>, run: &Run) -> Lane {
    match task {
        Some(task) => task.lane_of(run.concurrency_key.as_deref(), &run.org, &run.env),
        None => Lane {
            org: run.org.to_string(),
            env: run.env.to_string(),
            key: run.concurrency_key.clone().unwrap_or_default(),
        },
    }
}

/// Takes or frees places, of the task and of the lane. A freed place may unblock a lane.
fn move_slots(tx: &mut Tx<'_>, run: &Run, delta: i64) -> Result<(), Fault> {
    tx.count(count::slots(&run.task), delta);
    let task = task_rows::get(tx, &run.task)?;
    let lane = lane_of(task.as_ref(), run);
    if !lane.key.is_empty() {
        tx.count(count::lane_slots(&run.task, &lane), delta);
    }
    if delta < 0 {
        if !lane.key.is_empty() && !ready::head(tx, &run.task, &lane, 1)?.is_empty() {
            ready::mark(tx, &run.task, &lane);
        }
        tx.notify(Notice::Work(run.task.clone()));
    }
    Ok(())
}

/// A run that must exist.
pub fn must_get(tx: &Tx<'_>, id: crate::base::id::RunId) -> Result<Run, Stop> {
    match run_rows::get(tx, id)? {
        Some(run) => Ok(run),
        None => Err(absent(tx, id, |_| true)?.into()),
    }
}

pub fn not_found(id: &str) -> Refusal {
    Refusal::new(Code::RunNotFound, format!("no run {}", crate::base::text::quote(id)))
}

/// What is answered when the state machine says no.
pub fn refuse(illegal: Illegal) -> Refusal {
    let verb = match illegal.event {
        Event::Cancel => "canceled",
        Event::Reschedule => "rescheduled",
        Event::Complete => "completed",
        Event::Fail | Event::Retry => "failed",
        Event::Due
        | Event::Claim
        | Event::Accept
        | Event::Expire
        | Event::TimeOut
        | Event::Break
        | Event::Advance
        | Event::Revive => "moved on",
    };
    let status = illegal.status.as_str();
    Refusal::new(Code::NotAllowedInState, format!("a run that is `{status}` cannot be {verb}"))
        .with_details(serde_json::json!({ "status": status }))
}

/// Adds a line to the timeline of a run that is about to be saved.
pub fn note(tx: &mut Tx<'_>, run: &mut Run, what: &str, detail: impl Into<String>, by: &str) {
    let line = Line {
        at: tx.now(),
        what: what.to_owned(),
        detail: detail.into(),
        by: by.to_owned(),
        attempt: (run.attempts > 0).then_some(run.attempts),
    };
    event::add(tx, run, &line);
}
