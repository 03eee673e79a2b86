//! Runs that workers pull from a stream.
//!
//! A run that waits or executes has one entry in its stream, which names it and holds nothing else.
//! Every attempt has an entry id of its own: the ids of a run's attempts lie side by side in a block
//! that is set aside when it is queued, so that a retry keeps its place in line, and an
//! acknowledgement of an older attempt meets an id that is gone.

use std::ops::ControlFlow;

use crate::base::id::RunId;
use crate::base::time::{Span, Time};
use crate::ledger::outbox::outcome::bury;
use crate::ledger::streams::ack::wake_at;
use crate::ledger::streams::open::Opened;
use crate::ledger::streams::trim::{drop_refs, parties};
use crate::model::delivery::{ATTEMPT_BODY_BYTES_MAX, Attempt};
use crate::model::outcome::{Case, Outcome, outcome};
use crate::model::refusal::{Code, Refusal};
use crate::model::retry::{Next, Trouble, next_delay};
use crate::model::run::{Event, Run, RunError, Status};
use crate::model::stream::{Content, Fields, KeyName, NOBODY, Pending, Stream, StreamId};
use crate::model::task::{Delivery, LEASE_DEFAULT, MAX_DELIVERIES_DEFAULT, MAX_DURATION_DEFAULT};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::Total;
use crate::store::kinds::{
    attempt as attempts, count, entry as entries, run as run_rows, task as tasks,
};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::save;

/// The ids of one block: those that differ in these bits of their sequence number.
const BLOCK: u64 = 0xff;

/// Code of a run whose workers were lost too often.
pub const MAX_DELIVERIES_EXCEEDED: &str = "max_deliveries_exceeded";

/// Puts a run that waits at the end of its stream. The caller saves the run.
pub fn enqueue(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    let mut opened = Opened::find_or_create(tx, &stream_of(run)?)?;
    let id = fresh_block(&opened.stream, tx.now())?;
    opened.append(tx, id, &Content::Run(run.id));
    opened.stream.last = block_end(id);
    opened.save(tx);
    run.entry = Some(id);
    Ok(())
}

fn stream_of(run: &Run) -> Result<KeyName, Fault> {
    let name = run.stream.as_deref();
    let name = name.ok_or_else(|| Fault::Corrupt(format!("run {} has no stream", run.id)))?;
    Ok(KeyName::of(name))
}

fn block_end(id: StreamId) -> StreamId {
    StreamId::new(id.ms, id.seq | BLOCK)
}

/// The first id of a block behind everything.
fn fresh_block(stream: &Stream, now: Time) -> Result<StreamId, Refusal> {
    let now_ms = u64::try_from(now.0).unwrap_or(0);
    if now_ms > stream.last.ms {
        return Ok(StreamId::new(now_ms, 0));
    }
    let used_up = || {
        Refusal::new(Code::EntryIdsUsedUp, "the stream of this task has given the last possible id")
    };
    let first = block_end(stream.last).next().ok_or_else(used_up)?;
    if block_end(first) == StreamId::MAX { Err(used_up()) } else { Ok(first) }
}

/// What a worker reads of a run.
pub fn fields(rows: &dyn Rows, run: RunId) -> Result<Option<Fields>, Fault> {
    match run_rows::get(rows, run)? {
        Some(run) => fields_of(rows, &run).map(Some),
        None => Ok(None),
    }
}

fn fields_of(rows: &dyn Rows, run: &Run) -> Result<Fields, Fault> {
    let body = run_rows::body(rows, run.id)?;
    let mut parts: Vec<Vec<u8>> = Vec::with_capacity(24);
    let mut add = |name: &str, value: Vec<u8>| {
        parts.push(name.as_bytes().to_vec());
        parts.push(value);
    };
    add("run", run.id.to_string().into());
    add("attempt", run.attempts.to_string().into());
    add("fence", run.fence.to_string().into());
    add("task", run.task.to_string().into());
    add("org", run.org.to_string().into());
    add("env", run.env.to_string().into());
    if run.status == Status::Canceling {
        add("canceling", b"1".to_vec());
    }
    if !run.steps.is_empty() {
        add("step", run.step.to_string().into());
    }
    if let (true, Some(output)) = (run.has_output, run_rows::output(rows, run.id)?) {
        add("output", output);
    }
    if let Some(metadata) = &run.metadata {
        add("metadata", metadata.clone().into());
    }
    if let Some(traceparent) = &run.traceparent {
        add("traceparent", traceparent.clone().into());
    }
    if let Some(context) = body.context {
        add("context", context);
    }
    add("payload", body.payload.unwrap_or_else(|| b"null".to_vec()));
    Ok(Fields::from_parts(&parts))
}

/// A worker is given a run: an attempt starts. Gives its fields and how long the worker has, or
/// nothing when there is nothing to do any more.
pub fn start(tx: &mut Tx<'_>, id: RunId) -> Result<Option<(Fields, Span)>, Stop> {
    let Some(before) = run_rows::get(tx, id)? else { return Ok(None) };
    let task = tasks::get(tx, &before.task)?;
    let lease = match task.as_ref().map(|task| &task.delivery) {
        Some(Delivery::Pull { lease, .. }) => *lease,
        Some(Delivery::Push(_)) | None => LEASE_DEFAULT,
    };
    let mut run = before.clone();
    match before.status {
        Status::Queued => {}
        // Taken over from another worker: that attempt is over.
        Status::Executing => {
            let detail = "another worker took it over";
            log(tx, &before, "taken_over", detail, None, None);
            run.step(Event::Retry, tx.now()).map_err(save::refuse)?;
        }
        // Its worker is gone and the next one is told that it need not start.
        Status::Canceling => return Ok(Some((fields_of(tx, &before)?, lease))),
        Status::Delayed
        | Status::Completed
        | Status::Failed
        | Status::Canceled
        | Status::Expired
        | Status::SystemFailure => return Ok(None),
    }
    run.step(Event::Claim, tx.now()).map_err(save::refuse)?;
    run.begin_attempt(tx.now());
    run.fence += 1;
    let longest = task.map_or(MAX_DURATION_DEFAULT, |task| task.max_duration);
    run.deadline = Some(tx.now().plus(longest));
    save::save(tx, &before, &run)?;
    tx.count(count::total(Total::Attempts), 1);
    Ok(Some((fields_of(tx, &run)?, lease)))
}

/// The run that an entry stands for.
pub fn run_at(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<RunId, Stop> {
    match entries::get(rows, stream, id)? {
        Some(Content::Run(run)) => Ok(run),
        Some(Content::Fields(_)) | None => {
            Err(Fault::Corrupt(format!("the pending run {id} has no entry")).into())
        }
    }
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
    run.stream = Some(next);
    run.begin_series();
    run.last_failure = None;
    run.deadline = None;
    run.due_at = now;
    enqueue(tx, &mut run)?;
    save::save(tx, &before, &run)?;
    Ok(run)
}

/// Takes the entry of a run out of its stream, with whatever is pending of it.
pub fn withdraw(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    let Some(id) = run.entry.take() else { return Ok(()) };
    let Some(mut opened) = Opened::find(tx, &stream_of(run)?)? else { return Ok(()) };
    let mut groups = parties(tx, &opened)?;
    drop_refs(tx, &mut groups, id)?;
    entries::remove(tx, opened.stream.number, id);
    opened.stream.length -= 1;
    opened.stream.runs -= 1;
    opened.stream.max_deleted = opened.stream.max_deleted.max(id);
    opened.first_is_gone(tx, id)?;
    opened.save(tx);
    Ok(())
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
    again(tx, run, Ended { code: "worker_lost", detail, delay, lost: true })?;
    Ok(())
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

/// The run's entry moves to the next id of its block. Whoever had it pending sees it as given back
/// until `at`; its old id is gone, so that a late acknowledgement meets nothing.
fn move_on(tx: &mut Tx<'_>, run: &mut Run, at: Time) -> Result<(), Stop> {
    let name = stream_of(run)?;
    let (Some(old), Some(mut opened)) = (run.entry, Opened::find(tx, &name)?) else {
        return enqueue(tx, run);
    };
    if old.seq & BLOCK == BLOCK {
        // All ids of the block are used up: to the end of the line.
        withdraw(tx, run)?;
        return enqueue(tx, run);
    }
    let new = StreamId::new(old.ms, old.seq + 1);
    let mut held = false;
    for party in &mut parties(tx, &opened)? {
        let Some(row) = party.pending(tx, old)? else { continue };
        held = true;
        let after = Pending { consumer: NOBODY, again_at: Some(at), ..row };
        party.save_pending(tx, old, Some(&row), None);
        party.save_pending(tx, new, None, Some(&after));
        // It was delivered already: reading on must not find it as something new.
        party.group.last = party.group.last.max(new);
        party.save(tx);
        wake_at(tx, &opened, party.group.number, at);
    }
    if !held {
        withdraw(tx, run)?;
        return enqueue(tx, run);
    }
    entries::remove(tx, opened.stream.number, old);
    entries::put(tx, opened.stream.number, new, &Content::Run(run.id));
    if opened.stream.first == old {
        opened.stream.first = new;
    }
    opened.save(tx);
    run.entry = Some(new);
    Ok(())
}

/// A worker acknowledged an attempt that is not its own any more: told in the run's timeline.
pub fn acked_late(tx: &mut Tx<'_>, opened: &Opened, id: StreamId) -> Result<(), Stop> {
    let mut found = None;
    let block = (StreamId::new(id.ms, id.seq & !BLOCK), block_end(id));
    entries::scan(tx, opened.stream.number, block, false, &mut |at, content| {
        if let (true, Content::Run(run)) = (at >= id, content) {
            found = Some(run);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let Some(run) = found else { return Ok(()) };
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
    attempts::put(tx, run.id, &attempt);
}
