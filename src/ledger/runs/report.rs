//! What an agent or worker reports by its own call: complete, fail, heartbeat.
//!
//! The fence decides. A report with an older fence is kept aside and answered as a conflict; one
//! without a fence counts for the attempt that is out.

use crate::base::id::RunId;
use crate::ledger::outbox;
use crate::ledger::outbox::outcome::{Why, again};
use crate::model::delivery::{ATTEMPT_BODY_BYTES_MAX, Attempt, OutboxRow, RowState};
use crate::model::retry::Trouble;
use crate::model::run::{Event, Mirror, Run, RunError, Status};
use crate::model::task::LEASE_MARGIN;
use crate::store::fault::Stop;
use crate::store::kinds::count::Total;
use crate::store::kinds::{
    attempt as attempts, count, outbox as outbox_rows, run as run_rows, run_index,
    task as task_rows,
};
use crate::store::tx::Tx;

use super::{pull, save, submit};

/// Whether a report counted.
#[derive(Clone, Debug)]
pub enum Reported {
    Applied(Run),
    /// It was for an older attempt: kept, not applied.
    Late {
        run: Run,
        fence: u32,
    },
}

pub fn complete(
    tx: &mut Tx<'_>,
    id: RunId,
    output: Option<Vec<u8>>,
    fence: Option<u32>,
) -> Result<Reported, Stop> {
    let before = save::must_get(tx, id)?;
    if before.status == Status::Completed && fence.is_none_or(|fence| fence == before.fence) {
        return Ok(Reported::Applied(before));
    }
    if let Some(late) = keep_aside(tx, &before, fence, "completed", output.as_deref())? {
        return Ok(late);
    }
    if before.stream.is_some() {
        return Ok(Reported::Applied(pull::done(tx, before, output)?));
    }
    let mut run = before.clone();
    run.step(Event::Complete, tx.now()).map_err(save::refuse)?;
    if let Some(output) = output {
        run_rows::put_output(tx, id, output);
        run.has_output = true;
    }
    outbox::save::withdraw(tx, id)?;
    save::save(tx, &before, &run)?;
    Ok(Reported::Applied(run))
}

pub fn fail(
    tx: &mut Tx<'_>,
    id: RunId,
    error: RunError,
    retryable: bool,
    fence: Option<u32>,
) -> Result<Reported, Stop> {
    let before = save::must_get(tx, id)?;
    let repeated = before.status == Status::Failed && before.error.as_ref() == Some(&error);
    if repeated && fence.is_none_or(|fence| fence == before.fence) {
        return Ok(Reported::Applied(before));
    }
    let text = format!("{}: {}", error.code, error.message);
    if let Some(late) = keep_aside(tx, &before, fence, "failed", Some(text.as_bytes()))? {
        return Ok(late);
    }
    if retryable && before.stream.is_some() && before.status == Status::Executing {
        return Ok(Reported::Applied(pull::failed(tx, before, &error)?));
    }
    let mut run = before.clone();
    let event = if retryable { Event::Retry } else { Event::Fail };
    run.step(event, tx.now()).map_err(save::refuse)?;
    log(tx, &before, "failed_by_agent", &text, None, false);
    if retryable && !run.status.is_final() {
        return retry(tx, before, error);
    }
    run.error = Some(error);
    outbox::save::withdraw(tx, id)?;
    save::save(tx, &before, &run)?;
    Ok(Reported::Applied(run))
}

/// The agent gave the run back: it leaves the mirror and waits for its next attempt.
fn retry(tx: &mut Tx<'_>, before: Run, error: RunError) -> Result<Reported, Stop> {
    let id = before.id;
    let task = task_rows::get(tx, &before.task)?.ok_or_else(|| submit::no_task(&before.task))?;
    let mut pending = before.clone();
    if let Some(number) = pending.remote_id.take() {
        run_index::remove_remote(tx, number, before.task.as_str(), id);
        pending.mirror = Mirror::Pending;
    }
    save::save(tx, &before, &pending)?;
    let row = match outbox_rows::get(tx, id)? {
        Some(row) => row,
        // It was live, so its row is gone: this one goes on with the same series.
        None => {
            let row = OutboxRow {
                attempts: before.series_attempts(),
                first_attempt_at: before.series_at,
                state: RowState::Leased { until: tx.now() },
                ..submit::delivery_of(&before, &task)
            };
            outbox::save::save(tx, None, Some(&row))?;
            row
        }
    };
    let why = Why {
        code: "failed_by_agent",
        detail: format!("{}: {}", error.code, error.message),
        retry_after: None,
        trouble: Trouble::Other,
    };
    again(tx, row, pending, why)?;
    Ok(Reported::Applied(save::must_get(tx, id)?))
}

/// A sign of life; the claim of an attempt that is out lasts longer by it. The answer tells a
/// worker whether to stop: its run may be `canceling`.
pub fn heartbeat(tx: &mut Tx<'_>, id: RunId, fence: u32) -> Result<Reported, Stop> {
    let before = save::must_get(tx, id)?;
    if fence != before.fence || !before.status.holds_slot() {
        return Ok(Reported::Late { run: before, fence });
    }
    if before.stream.is_some() {
        pull::renew(tx, &before)?;
    } else if let Some(row) = outbox_rows::get(tx, id)?
        && let RowState::Leased { until } = row.state
    {
        let mut renewed = row.clone();
        renewed.state = RowState::Leased { until: until.max(tx.now().plus(LEASE_MARGIN)) };
        outbox::save::save(tx, Some(&row), Some(&renewed))?;
    }
    Ok(Reported::Applied(before))
}

/// Keeps a report of an older attempt, or of a run that is over, beside the run.
fn keep_aside(
    tx: &mut Tx<'_>,
    before: &Run,
    fence: Option<u32>,
    what: &str,
    body: Option<&[u8]>,
) -> Result<Option<Reported>, Stop> {
    let stale = fence.is_some_and(|fence| fence != before.fence)
        || (before.status.is_final() && fence.is_some())
        || (before.status == Status::Queued && fence.is_none())
        || before.fence == 0;
    if !stale {
        return Ok(None);
    }
    // Without a fence, or before any attempt, there is nothing to tell it by: it is refused.
    let Some(fence) = fence.filter(|_| before.fence > 0) else {
        let event = if what == "completed" { Event::Complete } else { Event::Fail };
        return Err(
            save::refuse(crate::model::run::Illegal { status: before.status, event }).into()
        );
    };
    let mut run = before.clone();
    log(tx, &Run { attempts: fence, ..run.clone() }, what, "reported too late", body, true);
    tx.count(count::total(Total::LateResults), 1);
    let detail = format!("attempt with fence {fence} reported `{what}`");
    save::note(tx, &mut run, "late_result", detail, before.done_by());
    save::save(tx, before, &run)?;
    Ok(Some(Reported::Late { run, fence }))
}

fn log(tx: &mut Tx<'_>, run: &Run, class: &str, detail: &str, body: Option<&[u8]>, late: bool) {
    let body = body.unwrap_or_default();
    let attempt = Attempt {
        number: run.attempts,
        started_at: run.started_at.unwrap_or(tx.now()),
        elapsed_ms: run
            .started_at
            .map_or(0, |at| u32::try_from(tx.now().since(at).0).unwrap_or(u32::MAX)),
        status: None,
        class: class.to_owned(),
        detail: detail.to_owned(),
        body: body[..body.len().min(ATTEMPT_BODY_BYTES_MAX)].to_vec(),
        next_at: None,
        late,
    };
    attempts::put_beside(tx, run.id, &attempt);
}
