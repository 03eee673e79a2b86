//! Everything that is measured, in one look that changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::refusal::Refusal;
use crate::model::sample::{Metric, Sample};

use super::Appliance;
use super::pulse::Pulse;

/// The newest sample.
#[derive(Debug, Default)]
pub struct Newest(Mutex<Option<Arc<Sample>>>);

impl Appliance {
    /// Measures everything. A part that fails is named in the sample and spoils nothing else (7.34).
    pub fn sample(&self, pulse: &Pulse) -> Sample {
        let now = self.now();
        let mut sample = Sample { at: now, ..Sample::default() };
        let rates = pulse.rates(now);
        sample.put(Metric::CreatedPerSecond, "", rates.created);
        sample.put(Metric::FinishedPerSecond, "", rates.finished);
        sample.put(Metric::FailedPerSecond, "", rates.failed);
        type Part = fn(&Appliance, &mut Sample) -> Result<(), Refusal>;
        let parts: [(&str, Part); 2] = [("overview", from_overview), ("fleet", from_fleet)];
        for (name, part) in parts {
            if let Err(refusal) = part(self, &mut sample) {
                sample.failed.push((name.to_owned(), refusal.message));
            }
        }
        sample
    }

    /// Makes a sample the one that readers get.
    pub fn keep_sample(&self, sample: Sample) -> Arc<Sample> {
        let sample = Arc::new(sample);
        *self.newest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample.clone());
        sample
    }

    /// The newest sample; `None` just after the start.
    pub fn newest_sample(&self) -> Option<Arc<Sample>> {
        self.newest.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn from_overview(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let overview = appliance.overview()?;
    for (status, count) in &overview.statuses {
        sample.put(Metric::Runs, status.as_str(), *count as f64);
    }
    for task in &overview.tasks {
        sample.put(Metric::TaskQueued, task.name.as_str(), task.queued as f64);
        sample.put(Metric::TaskExecuting, task.name.as_str(), task.executing as f64);
    }
    let outbox = &overview.outbox;
    sample.put(Metric::OutboxDue, "", outbox.due as f64);
    sample.put(Metric::OutboxLeased, "", outbox.leased as f64);
    sample.put(Metric::OutboxDead, "", outbox.dead as f64);
    let age = outbox.oldest_due.map_or(0, |due| sample.at.since(due).as_millis());
    sample.put(Metric::OutboxOldestSeconds, "", age as f64 / 1_000.0);
    sample.put(Metric::CommitP50Ms, "", overview.writer.commit_p50_ms);
    sample.put(Metric::CommitP99Ms, "", overview.writer.commit_p99_ms);
    sample.put(Metric::BatchMean, "", overview.writer.batch_mean);
    Ok(())
}

fn from_fleet(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    for kind in appliance.workers()? {
        let (name, alive) = (kind.kind.stream.as_str(), kind.kind.alive);
        sample.put(Metric::WorkersAlive, name, f64::from(alive));
        sample.put(Metric::WorkerBacklog, name, kind.backlog as f64);
        sample.put(Metric::WorkerCapacity, name, kind.capacity as f64);
        sample.put(Metric::WorkerUtilization, name, kind.utilization());
    }
    Ok(())
}
