//! Bulk jobs: one action on many runs, a bounded slice at a time.
//!
//! The runs of a job are a set of rows: counting writes them, acting takes them out, and whatever is
//! done to a run stands in the same transaction as that. So what was counted is what is acted on, a
//! crash neither doubles nor forgets a run, and the position needs no care. Runs that were created
//! after the job are above its id and are never in the set.

mod act;
mod select;

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Span;
use crate::ledger::ask::list::Filter;
use crate::model::job::{Action, Conditions, Job, JobState};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{job as rows, remove_some};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Jobs that count or act at a time; one more is refused.
pub const WORKING_MAX: usize = 4;
/// Jobs with a set, dry runs that wait to be confirmed included.
pub const OPEN_MAX: usize = 32;
/// How long a dry run can be confirmed.
pub const SET_KEPT: Span = Span::from_hours(1);
/// Most runs of one job.
pub const RUNS_MAX: u64 = 1_000_000;
/// Runs of a set that one command forgets.
const FORGOTTEN_MAX: usize = 512;

/// A request for a job.
#[derive(Clone, Debug)]
pub struct Create {
    pub action: Action,
    pub filter: Filter,
    pub dry_run: bool,
    pub by: &'static str,
}

/// Makes a job and counts as much as one slice does: a small set is complete in the answer.
pub fn create(tx: &mut Tx<'_>, command: Create) -> Result<Job, Stop> {
    let open = rows::open(tx, OPEN_MAX)?;
    check_room(tx, &open)?;
    let mut job = Job {
        id: tx.mint(),
        action: command.action,
        conditions: conditions_of(&command.filter),
        dry_run: command.dry_run,
        state: JobState::Counting,
        by: command.by.to_owned(),
        created_at: tx.now(),
        counted_at: None,
        finished_at: None,
        cursor: None,
        matched: 0,
        done: 0,
        skipped: 0,
        failed: 0,
        more: false,
        errors: Vec::new(),
    };
    rows::set_open(tx, job.id);
    select::slice(tx, &mut job)?;
    save(tx, &job);
    Ok(job)
}

fn check_room(rows_: &dyn Rows, open: &[Id]) -> Result<(), Stop> {
    let mut working = 0;
    for id in open {
        let job = rows::get(rows_, *id)?;
        let works = |job: &Job| matches!(job.state, JobState::Counting | JobState::Running);
        working += usize::from(job.as_ref().is_some_and(works));
    }
    let message = match (working >= WORKING_MAX, open.len() >= OPEN_MAX) {
        (true, _) => format!("{working} bulk jobs are at work, and no more than that may be"),
        (_, true) => format!("{} bulk jobs wait to be confirmed: cancel some", open.len()),
        (false, false) => return Ok(()),
    };
    Err(Refusal::new(Code::LimitJobs, message).retry_after(Span::from_secs(5)).into())
}

/// One slice of what a job has to do; true when there is more at once.
pub fn step(tx: &mut Tx<'_>, id: Id) -> Result<bool, Stop> {
    let Some(mut job) = rows::get(tx, id)? else {
        rows::set_closed(tx, id);
        return Ok(false);
    };
    match job.state {
        JobState::Counting => select::slice(tx, &mut job)?,
        JobState::Running => act::slice(tx, &mut job)?,
        JobState::Counted if !is_forgotten(&job, tx.now()) => return Ok(false),
        JobState::Counted | JobState::Canceled | JobState::Done => {
            if remove_some(tx, &rows::set_of(id), FORGOTTEN_MAX)? == FORGOTTEN_MAX {
                return Ok(true);
            }
            if job.state == JobState::Counted {
                end(tx, &mut job, JobState::Done);
            }
            rows::set_closed(tx, id);
        }
    }
    save(tx, &job);
    Ok(matches!(job.state, JobState::Counting | JobState::Running))
}

/// Whether a dry run can no more be confirmed.
fn is_forgotten(job: &Job, now: crate::base::time::Time) -> bool {
    job.counted_at.is_none_or(|at| now.since(at) >= SET_KEPT)
}

/// Goes on with the set of a dry run.
pub fn confirm(tx: &mut Tx<'_>, id: Id) -> Result<Job, Stop> {
    let mut job = must_get(tx, id)?;
    if job.state != JobState::Counted || is_forgotten(&job, tx.now()) {
        let message = match job.state {
            JobState::Counting => "the job is still counting: confirm it once it has counted",
            JobState::Counted => "the dry run is too old to be confirmed: preview it again",
            JobState::Running | JobState::Done | JobState::Canceled => {
                "only a dry run that has counted can be confirmed"
            }
        };
        return Err(not_allowed(&job, message).into());
    }
    let open = rows::open(tx, OPEN_MAX)?;
    let others: Vec<Id> = open.into_iter().filter(|other| *other != id).collect();
    check_room(tx, &others)?;
    job.dry_run = false;
    job.state = JobState::Running;
    job.finished_at = None;
    save(tx, &job);
    Ok(job)
}

/// Ends a job where it stands; what was done stays done. Repeating it is harmless.
pub fn cancel(tx: &mut Tx<'_>, id: Id) -> Result<Job, Stop> {
    let mut job = must_get(tx, id)?;
    match job.state {
        JobState::Canceled => return Ok(job),
        JobState::Done => return Err(not_allowed(&job, "the job is done").into()),
        JobState::Counting | JobState::Counted | JobState::Running => {}
    }
    // It stays open until its set is forgotten.
    end(tx, &mut job, JobState::Canceled);
    save(tx, &job);
    Ok(job)
}

/// Removes a job that has ended; false when it is not over.
pub fn remove(tx: &mut Tx<'_>, id: Id) -> Result<bool, Fault> {
    if rows::is_open(tx, id)? {
        return Ok(false);
    }
    rows::remove(tx, id);
    Ok(true)
}

fn end(tx: &Tx<'_>, job: &mut Job, state: JobState) {
    job.state = state;
    job.finished_at = Some(tx.now());
}

fn save(tx: &mut Tx<'_>, job: &Job) {
    rows::put(tx, job);
    tx.notify(Notice::Page);
}

fn must_get(view: &dyn Rows, id: Id) -> Result<Job, Stop> {
    Ok(rows::get(view, id)?.ok_or_else(|| not_found(&id.to_string()))?)
}

pub fn not_found(id: &str) -> Refusal {
    Refusal::new(Code::JobNotFound, format!("no job {}", crate::base::text::quote(id)))
}

fn not_allowed(job: &Job, message: &str) -> Refusal {
    Refusal::new(Code::NotAllowedInState, message)
        .with_details(serde_json::json!({ "state": job.state.as_str() }))
}

/// The first runs of the set that are still to be acted on.
pub fn first_runs(view: &dyn Rows, id: Id, limit: usize) -> Result<Vec<RunId>, Fault> {
    rows::runs(view, id, limit)
}

fn conditions_of(filter: &Filter) -> Conditions {
    let text = |name: &Option<Name>| name.as_ref().map(Name::to_string);
    let Filter { statuses, task, org, env, tag, batch, from, to, words, idempotency_key } = filter;
    Conditions {
        status: statuses.iter().map(|status| status.as_str().to_owned()).collect(),
        task: text(task),
        org: text(org),
        env: text(env),
        tag: tag.clone(),
        batch: batch.map(|batch| batch.to_string()),
        from: *from,
        to: *to,
        words: words.clone(),
        key: idempotency_key.clone(),
    }
}

/// The filter of a job; what was written by a newer version is not read by this one.
fn filter_of(job: &Job) -> Result<Filter, Fault> {
    let unreadable = |what: &str| Fault::Corrupt(format!("job {} has a bad {what}", job.id));
    let name = |text: &Option<String>, what| {
        text.as_ref().map(|text| Name::new(text).map_err(|_| unreadable(what))).transpose()
    };
    let conditions = &job.conditions;
    let status = |word: &String| Status::parse(word).ok_or_else(|| unreadable("status"));
    let batch = |text: &String| text.parse::<Id>().map_err(|_| unreadable("batch"));
    Ok(Filter {
        statuses: conditions.status.iter().map(status).collect::<Result<_, _>>()?,
        task: name(&conditions.task, "task")?,
        org: name(&conditions.org, "org")?,
        env: name(&conditions.env, "env")?,
        tag: conditions.tag.clone(),
        batch: conditions.batch.as_ref().map(batch).transpose()?,
        from: conditions.from,
        to: conditions.to,
        words: conditions.words.clone(),
        idempotency_key: conditions.key.clone(),
    })
}

#[cfg(test)]
mod tests;
