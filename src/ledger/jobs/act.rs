//! Acting: one run after another is taken out of the set, with whatever is done to it.

use crate::base::id::RunId;
use crate::ledger::outbox::revive;
use crate::ledger::runs::{cancel, replay};
use crate::model::job::{Action, Job, JobError, JobState};
use crate::store::fault::Stop;
use crate::store::kinds::{job as rows, run as run_rows};
use crate::store::tx::Tx;

/// Runs that one slice acts on, and payload that it copies.
const ACTED_MAX: usize = 32;
const COPIED_BYTES_MAX: u64 = 1 << 20;
/// Errors that a job keeps.
pub const ERRORS_MAX: usize = 10;

/// Acts on the next runs of the set.
pub fn slice(tx: &mut Tx<'_>, job: &mut Job) -> Result<(), Stop> {
    let filter = super::filter_of(job)?;
    let next = rows::runs(tx, job.id, ACTED_MAX)?;
    let last = next.len() < ACTED_MAX;
    let (mut taken, mut copied) = (0, 0_u64);
    for id in &next {
        let run = run_rows::get(tx, *id)?;
        if job.action == Action::Replay {
            copied += run.as_ref().map_or(0, |run| u64::from(run.payload_bytes));
            if copied > COPIED_BYTES_MAX && taken > 0 {
                break;
            }
        }
        taken += 1;
        rows::remove_run(tx, job.id, *id);
        // It may have gone, changed its status or lost its dead letter since it was counted.
        let fits = match &run {
            Some(run) => filter.matches(run) && super::select::applies(tx, job.action, run)?,
            None => false,
        };
        if !fits {
            job.skipped += 1;
            continue;
        }
        match act(tx, job, *id)? {
            Ok(()) => job.done += 1,
            Err(error) => {
                job.failed += 1;
                if job.errors.len() < ERRORS_MAX {
                    job.errors.push(error);
                }
            }
        }
    }
    if last && taken == next.len() {
        super::end(tx, job, JobState::Done);
        rows::set_closed(tx, job.id);
    }
    Ok(())
}

/// A refusal concerns its own run only, and leaves no trace in it.
fn act(tx: &mut Tx<'_>, job: &Job, id: RunId) -> Result<Result<(), JobError>, Stop> {
    let answer = tx.attempt(|tx| match job.action {
        Action::Cancel => {
            let reason = format!("bulk job {}", job.id);
            cancel::cancel(tx, id, Some(reason), &job.by).map(drop)
        }
        Action::Replay => replay::replay(tx, id, None).map(drop),
        Action::Retry => revive::retry(tx, id).map(drop),
    })?;
    Ok(answer.map_err(|refusal| JobError {
        run: id,
        code: refusal.code.as_str().to_owned(),
        message: refusal.message,
    }))
}
