//! Bulk jobs, those that have something to do, and the runs of each that are still to be acted on.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::model::job::{Action, Job, JobError, JobState};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, collect_keys};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct JobRow {
    action: u8,
    state: u8,
    dry_run: bool,
    /// Conditions as JSON: a new one needs no new version.
    conditions: String,
    by: String,
    created_at: i64,
    counted_at: Option<i64>,
    finished_at: Option<i64>,
    cursor: Option<[u8; 16]>,
    matched: u64,
    done: u64,
    skipped: u64,
    failed: u64,
    more: bool,
    errors: Vec<([u8; 16], String, String)>,
}

impl Record for JobRow {
    const KIND: &'static str = "job";
}

fn key(id: Id) -> Key {
    Key::new(Table::Job).id(id)
}

pub fn put(tx: &mut Tx<'_>, job: &Job) {
    let row = JobRow {
        action: job.action as u8,
        state: job.state as u8,
        dry_run: job.dry_run,
        conditions: serde_json::to_string(&job.conditions)
            .expect("texts and times always serialise"),
        by: job.by.clone(),
        created_at: job.created_at.0,
        counted_at: job.counted_at.map(|at| at.0),
        finished_at: job.finished_at.map(|at| at.0),
        cursor: job.cursor.map(|id| id.0),
        matched: job.matched,
        done: job.done,
        skipped: job.skipped,
        failed: job.failed,
        more: job.more,
        errors: job
            .errors
            .iter()
            .map(|error| (error.run.0, error.code.clone(), error.message.clone()))
            .collect(),
    };
    tx.put(key(job.id), &row);
}

fn from_row(id: Id, row: JobRow) -> Result<Job, Fault> {
    let conditions = serde_json::from_str(&row.conditions)
        .map_err(|error| Fault::Corrupt(format!("the conditions of job {id}: {error}")))?;
    Ok(Job {
        id,
        action: super::word(Action::from_number(row.action), "action", row.action)?,
        conditions,
        dry_run: row.dry_run,
        state: super::word(JobState::from_number(row.state), "state of a job", row.state)?,
        by: row.by,
        created_at: Time(row.created_at),
        counted_at: row.counted_at.map(Time),
        finished_at: row.finished_at.map(Time),
        cursor: row.cursor.map(Id),
        matched: row.matched,
        done: row.done,
        skipped: row.skipped,
        failed: row.failed,
        more: row.more,
        errors: row
            .errors
            .into_iter()
            .map(|(run, code, message)| JobError { run: Id(run), code, message })
            .collect(),
    })
}

pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<Job>, Fault> {
    crate::store::rows::load::<JobRow>(rows, &key(id))?.map(|row| from_row(id, row)).transpose()
}

/// Jobs newest first, those before `before`.
pub fn list(rows: &dyn Rows, before: Option<Id>, limit: usize) -> Result<Vec<Job>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Job)).newest_first();
    if let Some(before) = before {
        span = span.before(&key(before));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| from_row(last_id(key)?, codec::decode(value)?);
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// At most `limit` of the oldest jobs that were created before `before`.
pub fn created_before(rows: &dyn Rows, before: Time, limit: usize) -> Result<Vec<Id>, Fault> {
    collect_keys(rows, &super::of_age(Table::Job, before, None), limit)?
        .iter()
        .map(|key| last_id(key))
        .collect()
}

pub fn remove(tx: &mut Tx<'_>, id: Id) {
    tx.remove(key(id));
}

fn open_key(id: Id) -> Key {
    Key::new(Table::JobOpen).id(id)
}

/// The job has something to do, or a set to forget.
pub fn set_open(tx: &mut Tx<'_>, id: Id) {
    tx.mark(open_key(id));
}

pub fn set_closed(tx: &mut Tx<'_>, id: Id) {
    tx.remove(open_key(id));
}

pub fn is_open(rows: &dyn Rows, id: Id) -> Result<bool, Fault> {
    Ok(rows.get(open_key(id).bytes())?.is_some())
}

pub fn open(rows: &dyn Rows, limit: usize) -> Result<Vec<Id>, Fault> {
    let span = Span::prefix(&Key::new(Table::JobOpen));
    collect_keys(rows, &span, limit)?.iter().map(|key| last_id(key)).collect()
}

fn runs_key(job: Id) -> Key {
    Key::new(Table::JobRun).id(job)
}

/// A run is in the set of a job.
pub fn add_run(tx: &mut Tx<'_>, job: Id, run: RunId) {
    tx.mark(runs_key(job).id(run));
}

pub fn remove_run(tx: &mut Tx<'_>, job: Id, run: RunId) {
    tx.remove(runs_key(job).id(run));
}

/// At most `limit` runs of the set, oldest first.
pub fn runs(rows: &dyn Rows, job: Id, limit: usize) -> Result<Vec<RunId>, Fault> {
    collect_keys(rows, &set_of(job), limit)?.iter().map(|key| last_id(key)).collect()
}

/// The whole set.
pub fn set_of(job: Id) -> Span {
    Span::prefix(&runs_key(job))
}
