//! Runs that workers pull from a stream: an attempt starts when one of them reads it, and ends when
//! it is acknowledged, given back or lost.

use crate::base::id::RunId;
use crate::base::time::{Span, Time};
use crate::ledger::outbox::outcome::bury;
use crate::ledger::streams::open::Opened;
use crate::ledger::streams::trim::parties;
use crate::model::delivery::{ATTEMPT_BODY_BYTES_MAX, Attempt};
use crate::model::outcome::{Case, Outcome, outcome};
use crate::model::retry::{Next, Trouble, next_delay};
use crate::model::run::{Event, Run, RunError, Status};
use crate::model::stream::{Fields, Pending, StreamId};
use crate::model::task::{Delivery, LEASE_DEFAULT, MAX_DELIVERIES_DEFAULT, MAX_DURATION_DEFAULT};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::Total;
use crate::store::kinds::{attempt as attempts, count, run as run_rows, task as tasks};
use crate::store::tx::Tx;

use super::place::{enqueue_or_end, move_on, run_behind, stream_of, withdraw};
use super::save;
use super::told::fields_of;

/// Code of a run whose workers were lost too often.
pub const MAX_DELIVERIES_EXCEEDED: &str = "max_deliveries_exceeded";

/// Class of an attempt whose worker was taken for gone.
pub const WORKER_LOST: &str = "worker_lost";

/// A worker is given a run that waits: an attempt starts. Gives its fields and how long the worker
/// has, or nothing when it does not wait.
pub fn start(tx: &mut Tx<'_>, id: RunId) -> Result<Option<(Fields, Span)>, Stop> {
    let before = run_rows::get(tx, id)?.filter(|run| run.status == Status::Queued);
    let Some(before) = before else { return Ok(None) };
    let task = tasks::get(tx, &before.task)?;
    let lease = match task.as_ref().map(|task| &task.delivery) {
        Some(Delivery::Pull { lease, .. }) => *lease,
        Some(Delivery::Push(_)) | None => LEASE_DEFAULT,
    };
    let mut run = before.clone();
    run.step(Event::Claim, tx.now()).map_err(save::refuse)?;
    run.begin_attempt(tx.now());
    run.fence += 1;
    let longest = task.map_or(MAX_DURATION_DEFAULT, |task| task.max_duration);
    run.deadline = Some(tx.now().plus(longest));
    save::save(tx, &before, &run)?;
    tx.count(count::total(Total::Attempts), 1);
    Ok(Some((fields_of(tx, &run)?, lease)))
}

/// A worker acknowledged its attempt.
pub fn acked(tx: &mut Tx<'_>, id: RunId) -> Result<(), Stop> {
    let run = save::must_get(tx, id)?;
    done(tx, run, None)?;
    Ok(())
}

/// The attempt succeeded: the run is completed, or waits in the stream of its next step. Entry,
/// pending row, next entry, state and history change in this one transaction.
pub fn done(tx: &mut Tx<'_>, before: Run, output: Option<Vec<u8>>) -> Result<Run, Stop> {
    let now = tx.now();
    let mut run = before.clone();
    log(tx, &before, "success", "", output.as_deref(), None);
    if let Some(output) = output {
        run_rows::put_output(tx, run.id, output);
        run.has_output = true;
    }
    let next = run.steps.get(run.step as usize + 1).cloned();
    let Some(next) = next.filter(|_| run.status != Status::Canceling) else {
        run.step(Event::Complete, now).map_err(save::refuse)?;
        save::save(tx, &before, &run)?;
        return Ok(run);
    };
    run.step(Event::Advance, now).map_err(save::refuse)?;
    let took = run.attempt_at.map_or(Span::ZERO, |at| now.since(at));
    let detail = format!("`{}` in {took}", run.stream.as_deref().unwrap_or_default());
    save::note(tx, &mut run, "step_done", detail, "worker");
    withdraw(tx, &mut run)?;
    run.step += 1;
    // A report that is repeated must not count for the next step, which nobody has begun.
    run.fence += 1;
    run.stream = Some(next);
    run.begin_series();
    run.last_failure = None;
    run.deadline = None;
    run.due_at = now;
    enqueue_or_end(tx, &mut run)?;
    save::save(tx, &before, &run)?;
    Ok(run)
}

/// Why an attempt did not succeed, and what that means for the next one.
struct Ended {
    code: &'static str,
    detail: String,
    /// Without one the task's retry policy decides.
    delay: Option<Span>,
    /// The worker was lost, rather than the work failed.
    lost: bool,
}

/// The worker says that it failed; there may be another attempt.
pub fn failed(tx: &mut Tx<'_>, before: Run, error: &RunError) -> Result<Run, Stop> {
    let detail = format!("{}: {}", error.code, error.message);
    again(tx, before, Ended { code: "failed_by_agent", detail, delay: None, lost: false })
}

/// The worker gave the run back.
pub fn given_back(tx: &mut Tx<'_>, id: RunId, delay: Option<Span>) -> Result<(), Stop> {
    let run = save::must_get(tx, id)?;
    let delay = Some(delay.unwrap_or(Span::ZERO));
    let detail = "the worker gave it back".to_owned();
    again(tx, run, Ended { code: "given_back", detail, delay, lost: true })?;
    Ok(())
}

/// The worker is gone, or did not answer within its lease.
pub fn lost(tx: &mut Tx<'_>, id: RunId, detail: String) -> Result<(), Stop> {
    let run = save::must_get(tx, id)?;
    let delay = Some(Span::ZERO);
    again(tx, run, Ended { code: WORKER_LOST, detail, delay, lost: true })?;
    Ok(())
}

/// Another worker takes over an attempt that is out: that attempt is over, and late results of it
/// count for nothing. Gives the id of the entry now, if the run still waits for anyone.
pub fn taken_over(tx: &mut Tx<'_>, id: RunId) -> Result<Option<StreamId>, Stop> {
    let run = save::must_get(tx, id)?;
    if !run.status.holds_slot() {
        return Ok(run.entry);
    }
    let delay = Some(Span::ZERO);
    let detail = "another worker took it over".to_owned();
    let run = again(tx, run, Ended { code: "taken_over", detail, delay, lost: true })?;
    Ok(run.entry.filter(|_| run.status == Status::Queued))
}

/// Another attempt, or the end of attempts.
fn again(tx: &mut Tx<'_>, before: Run, ended: Ended) -> Result<Run, Stop> {
    let now = tx.now();
    let mut run = before.clone();
    let next = next_try(tx, &before, &ended)?;
    let Next::Retry(delay) = next else { return die(tx, before, &ended) };
    run.step(Event::Retry, now).map_err(save::refuse)?;
    let at = now.plus(delay);
    log(tx, &before, ended.code, &ended.detail, None, Some(at));
    if !run.status.is_final() {
        run.due_at = at;
        run.deadline = None;
        run.last_failure = Some(RunError { code: ended.code.to_owned(), message: ended.detail });
        move_on(tx, &mut run, at)?;
    }
    save::save(tx, &before, &run)?;
    Ok(run)
}

fn next_try(tx: &mut Tx<'_>, run: &Run, ended: &Ended) -> Result<Next, Fault> {
    let task = tasks::get(tx, &run.task)?;
    let tried = run.series_attempts();
    let deliveries = task.as_ref().and_then(|task| task.max_deliveries);
    if run.max_attempts.is_some_and(|max| tried >= max)
        || (ended.lost && tried >= deliveries.unwrap_or(MAX_DELIVERIES_DEFAULT))
    {
        return Ok(Next::Exhausted);
    }
    if let Some(delay) = ended.delay {
        return Ok(Next::Retry(delay));
    }
    let policy = task.map(|task| task.retry).unwrap_or_default();
    let age = run.series_at.map_or(Span::ZERO, |first| tx.now().since(first));
    Ok(next_delay(&policy, tried, age, None, Trouble::Other, tx.entropy()))
}

/// No further attempt: the run fails, and stands among the dead letters with its reason.
fn die(tx: &mut Tx<'_>, before: Run, ended: &Ended) -> Result<Run, Stop> {
    let attempts = before.series_attempts();
    let last = format!("{}: {}", ended.code, ended.detail);
    let (code, detail) = match ended.lost {
        true => (
            MAX_DELIVERIES_EXCEEDED,
            format!("{attempts} deliveries did not come to an end; the last: {last}"),
        ),
        false => match outcome(&Case::Exhausted { attempts, last: &last }) {
            Outcome::Dead { code, detail } => (code, detail),
            _ => return Err(Fault::Corrupt("exhausted attempts are not dead".into()).into()),
        },
    };
    log(tx, &before, ended.code, &ended.detail, None, None);
    let mut run = before.clone();
    run.step(Event::Fail, tx.now()).map_err(save::refuse)?;
    run.error = Some(RunError { code: code.to_owned(), message: detail.clone() });
    save::save(tx, &before, &run)?;
    if run.status == Status::Failed {
        let mut row = super::submit::plain_delivery(&run);
        row.attempts = attempts;
        row.first_attempt_at = before.series_at;
        row.last_code = Some(ended.code.to_owned());
        row.last_detail = Some(ended.detail.clone());
        bury(tx, row, code, detail)?;
    }
    Ok(run)
}

/// A worker acknowledged an attempt that is not its own any more: told in the run's timeline.
pub fn acked_late(tx: &mut Tx<'_>, opened: &Opened, id: StreamId) -> Result<(), Stop> {
    let Some(run) = run_behind(tx, opened.stream.number, id)? else { return Ok(()) };
    let before = save::must_get(tx, run)?;
    let mut run = before.clone();
    tx.count(count::total(Total::LateResults), 1);
    let detail = format!("{id} was acknowledged after it had been taken back");
    save::note(tx, &mut run, "late_result", detail, "worker");
    save::save(tx, &before, &run)?;
    Ok(())
}

/// A sign of life: the lease of the attempt that is out begins anew.
pub fn renew(tx: &mut Tx<'_>, run: &Run) -> Result<(), Stop> {
    let (Some(id), Some(opened)) = (run.entry, Opened::find(tx, &stream_of(run)?)?) else {
        return Ok(());
    };
    for party in &mut parties(tx, &opened)? {
        if let Some(row) = party.pending(tx, id)?.filter(|row| row.again_at.is_none()) {
            let after = Pending { delivered_at: tx.now(), ..row };
            party.save_pending(tx, id, Some(&row), Some(&after));
        }
    }
    Ok(())
}

/// A line of the attempts log.
fn log(
    tx: &mut Tx<'_>,
    run: &Run,
    class: &str,
    detail: &str,
    body: Option<&[u8]>,
    next_at: Option<Time>,
) {
    let started_at = run.attempt_at.unwrap_or(tx.now());
    let body = body.unwrap_or_default();
    let attempt = Attempt {
        number: run.attempts,
        started_at,
        elapsed_ms: u32::try_from(tx.now().since(started_at).0).unwrap_or(u32::MAX),
        status: None,
        class: class.to_owned(),
        detail: detail.to_owned(),
        body: body[..body.len().min(ATTEMPT_BODY_BYTES_MAX)].to_vec(),
        next_at,
        late: false,
    };
    if run.status.holds_slot() {
        attempts::put(tx, run.id, &attempt);
    } else {
        // The attempt was given up already, and its worker reports in before the next one.
        attempts::put_beside(tx, run.id, &attempt);
    }
}
