//! Counting: which runs are in the set of a job.

use crate::ledger::ask::list::list_some;
use crate::model::job::{Action, Job, JobState};
use crate::model::run::{Run, Status};
use crate::store::fault::Fault;
use crate::store::kinds::{job as rows, outbox};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Runs that one slice adds, and heads that it looks at: about two milliseconds of the writer.
pub const SELECTED_MAX: usize = 200;
const LOOKED_AT_MAX: usize = 500;

/// Counts on from where the job stands.
pub fn slice(tx: &mut Tx<'_>, job: &mut Job) -> Result<(), Fault> {
    let filter = super::filter_of(job)?;
    // Runs that are newer than the job are not in its set; a batch has an order of its own, and a
    // size that is known.
    let before = if filter.batch.is_some() { job.cursor } else { job.cursor.or(Some(job.id)) };
    let page = list_some(tx, &filter, (SELECTED_MAX, LOOKED_AT_MAX), before)?;
    for run in &page.runs {
        if !applies(tx, job.action, run)? {
            continue;
        }
        if job.matched == super::RUNS_MAX {
            job.more = true;
            break;
        }
        rows::add_run(tx, job.id, run.id);
        job.matched += 1;
    }
    job.cursor = page.next;
    if page.next.is_none() || job.more {
        counted(tx, job);
    }
    Ok(())
}

/// The set is complete.
fn counted(tx: &mut Tx<'_>, job: &mut Job) {
    job.cursor = None;
    job.counted_at = Some(tx.now());
    if job.matched == 0 {
        super::end(tx, job, JobState::Done);
        rows::set_closed(tx, job.id);
    } else if job.dry_run {
        super::end(tx, job, JobState::Counted);
    } else {
        job.state = JobState::Running;
    }
}

/// Whether the action would change something: a run that is over cannot be canceled, and only one
/// that failed by its dead letter can be tried again.
pub fn applies(view: &dyn Rows, action: Action, run: &Run) -> Result<bool, Fault> {
    Ok(match action {
        Action::Cancel => !run.status.is_final() && run.status != Status::Canceling,
        Action::Replay => true,
        Action::Retry => run.status == Status::Failed && outbox::dead(view, run.id)?.is_some(),
    })
}
