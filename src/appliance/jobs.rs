//! Bulk jobs as callers and their duty see them.

use tokio::sync::Notify;

use crate::base::id::Id;
use crate::ledger::jobs::{self as acts, Create, OPEN_MAX};
use crate::model::job::Job;
use crate::model::refusal::Refusal;
use crate::model::run::Run;
use crate::store::kinds::{job as rows, run as run_rows};

use super::runs::Filter;
use super::{Appliance, unreadable};

pub use crate::ledger::jobs::SET_KEPT;
pub use crate::model::job::{Action, Conditions, JobState};

/// Most jobs of a page.
pub const JOBS_PAGE_MAX: usize = 200;

/// Wakes the duty: a job has something to do.
#[derive(Debug, Default)]
pub struct Wake(Notify);

impl Wake {
    /// Waits for the next one; one that came since the last wait counts.
    pub async fn called(&self) {
        self.0.notified().await;
    }
}

impl Appliance {
    /// Begins a job; a set that one slice can count is complete in the answer.
    pub async fn start_job(
        &self,
        action: Action,
        filter: Filter,
        dry_run: bool,
        by: &'static str,
    ) -> Result<Job, Refusal> {
        let command = Create { action, filter, dry_run, by };
        let job = self.call(move |tx| acts::create(tx, command)).await?;
        self.job_wake().0.notify_one();
        Ok(job)
    }

    /// Acts on the set that a dry run counted.
    pub async fn confirm_job(&self, id: Id) -> Result<Job, Refusal> {
        let job = self.call(move |tx| acts::confirm(tx, id)).await?;
        self.job_wake().0.notify_one();
        Ok(job)
    }

    pub async fn cancel_job(&self, id: Id) -> Result<Job, Refusal> {
        let job = self.call(move |tx| acts::cancel(tx, id)).await?;
        self.job_wake().0.notify_one();
        Ok(job)
    }

    pub fn job(&self, id: Id) -> Result<Job, Refusal> {
        let found = rows::get(&self.snapshot()?, id).map_err(unreadable)?;
        found.ok_or_else(|| acts::not_found(&id.to_string()))
    }

    /// Jobs newest first, those before `before`, and where the next page begins.
    pub fn jobs(
        &self,
        limit: usize,
        before: Option<Id>,
    ) -> Result<(Vec<Job>, Option<Id>), Refusal> {
        let limit = limit.clamp(1, JOBS_PAGE_MAX);
        let mut found = rows::list(&self.snapshot()?, before, limit + 1).map_err(unreadable)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|job| job.id);
        Ok((found, next))
    }

    /// The first runs of a set that are still to be acted on.
    pub fn job_runs(&self, id: Id, limit: usize) -> Result<Vec<Run>, Refusal> {
        let snapshot = self.snapshot()?;
        let read = || {
            let mut found = Vec::new();
            for run in acts::first_runs(&snapshot, id, limit)? {
                found.extend(run_rows::get(&snapshot, run)?);
            }
            Ok(found)
        };
        read().map_err(unreadable)
    }

    /// Jobs that may have something to do, for their duty.
    pub fn open_jobs(&self) -> Result<Vec<Id>, Refusal> {
        rows::open(&self.snapshot()?, OPEN_MAX).map_err(unreadable)
    }

    /// A slice of a job; true when there is more at once.
    pub async fn job_step(&self, id: Id) -> Result<bool, Refusal> {
        self.call(move |tx| acts::step(tx, id)).await
    }
}
