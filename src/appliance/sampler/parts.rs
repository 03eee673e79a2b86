//! The parts of a sample: each reads a bounded number of rows, and may fail for itself.

use crate::base::memory::resident_bytes;
use crate::base::time::Time;
use crate::ledger::streams::open::look;
use crate::model::breaker::State;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;
use crate::model::sample::{Metric, Sample};
use crate::model::stream::{Stream, StreamId};
use crate::model::worker::{HEARTBEAT_TTL, State as WorkerState};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{
    callback, count, endpoint as endpoint_rows, entry as entries, task as task_rows,
};
use crate::store::open::{JOURNAL_FILE, STORE_FILE};
use crate::store::rows::{Rows, counter};

use crate::appliance::stream_pulse::StreamPulse;
use crate::appliance::streams::{GroupLine, group_lines, oldest};
use crate::appliance::{Appliance, stop_to_refusal, unreadable};

/// Worker types, push tasks and envs of which a sample tells.
const TYPES_MAX: usize = 300;
const ENDPOINTS_MAX: usize = 300;
const ENVS_MAX: usize = 300;

fn age_seconds(now: Time, since: Option<Time>) -> f64 {
    since.map_or(0.0, |since| now.since(since).as_millis() as f64 / 1_000.0)
}

/// Runs, tasks, outbox and writer.
pub fn overview(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let overview = appliance.overview()?;
    for (status, count) in &overview.statuses {
        sample.put(Metric::Runs, status.as_str(), *count as f64);
    }
    if overview.tasks_more {
        sample.leave_out(overview.tasks.len(), "queues of tasks");
    }
    for task in &overview.tasks {
        sample.put(Metric::TaskQueued, task.name.as_str(), task.queued as f64);
        sample.put(Metric::TaskExecuting, task.name.as_str(), task.executing as f64);
    }
    let totals = &overview.totals;
    sample.put(Metric::CreatedTotal, "", totals.created as f64);
    sample.put(Metric::FinishedTotal, "", totals.finished as f64);
    sample.put(Metric::FailedTotal, "", totals.failed as f64);
    let outbox = &overview.outbox;
    sample.put(Metric::OutboxDue, "", outbox.due as f64);
    sample.put(Metric::OutboxLeased, "", outbox.leased as f64);
    sample.put(Metric::OutboxDead, "", outbox.dead as f64);
    sample.put(Metric::OutboxOldestSeconds, "", age_seconds(sample.at, outbox.oldest_due));
    let writer = &overview.writer;
    let of_commits = [
        (Metric::CommitP50Ms, writer.commit_p50_ms),
        (Metric::CommitP99Ms, writer.commit_p99_ms),
        (Metric::BatchMean, writer.batch_mean),
    ];
    // Without commits there is nothing to tell.
    for (metric, value) in of_commits.into_iter().filter(|(_, value)| *value > 0.0) {
        sample.put(metric, "", value);
    }
    if let Some(ms) = appliance.handle.sync_p99_ms() {
        sample.put(Metric::SyncP99Ms, "", ms);
    }
    Ok(())
}

/// Workers by type.
pub fn fleet(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    for kind in sample.first(TYPES_MAX, "types of workers", appliance.workers()?) {
        let (name, alive) = (kind.kind.stream.as_str(), kind.kind.alive);
        // Taken for alive still, though its heartbeat is overdue: the judge has not looked since.
        let stale = kind.workers.iter().filter(|view| {
            let overdue = |at| sample.at.since(at) >= HEARTBEAT_TTL;
            view.worker.state == WorkerState::Alive && view.worker.beat_at.is_some_and(overdue)
        });
        sample.put(Metric::WorkersStale, name, stale.count() as f64);
        sample.put(Metric::WorkersAlive, name, f64::from(alive));
        sample.put(Metric::WorkerBacklog, name, kind.backlog as f64);
        sample.put(Metric::WorkerCapacity, name, kind.capacity as f64);
        sample.put(Metric::WorkerUtilization, name, kind.utilization());
    }
    Ok(())
}

/// Streams that the pulse watches. One that is gone meanwhile is left out (7.34).
pub fn streams(
    appliance: &Appliance,
    pulse: &StreamPulse,
    sample: &mut Sample,
) -> Result<(), Refusal> {
    let view = appliance.snapshot()?;
    for name in sample.first(StreamPulse::STREAMS_MAX, "streams", pulse.watched()) {
        let stream = match look(&view, sample.at, &name) {
            Ok(Some(stream)) => stream,
            Ok(None) | Err(Stop::Refused(_)) => continue,
            Err(stop) => return Err(stop_to_refusal(stop)),
        };
        let added = pulse.added_per_s(stream.number, sample.at);
        put_stream(&view, &stream, &name.text(), added, sample).map_err(unreadable)?;
    }
    Ok(())
}

fn put_stream(
    view: &dyn Rows,
    stream: &Stream,
    name: &str,
    added_per_s: Option<f64>,
    sample: &mut Sample,
) -> Result<(), Fault> {
    let (mut pending, mut lag, mut consumers, mut held_since) = (0, None, 0, None);
    let mut behind: Option<&GroupLine> = None;
    let groups = group_lines(view, stream)?;
    for group in &groups {
        pending += group.pending;
        lag = lag.max(group.lag);
        consumers += group.group.consumers;
        let since = oldest(view, stream.number, group)?;
        held_since = [held_since, since].into_iter().flatten().min();
        if behind.is_none_or(|behind| group.group.last < behind.group.last) {
            behind = Some(group);
        }
    }
    sample.put(Metric::StreamLength, name, stream.length as f64);
    sample.put(Metric::StreamPending, name, pending as f64);
    if let Some(lag) = lag {
        sample.put(Metric::StreamLag, name, lag as f64);
    }
    sample.put(Metric::StreamOldestPendingSeconds, name, age_seconds(sample.at, held_since));
    sample.put(Metric::StreamConsumers, name, f64::from(consumers));
    if let Some(rate) = added_per_s {
        sample.put(Metric::StreamAddedPerSecond, name, rate);
    }
    let read = behind.map_or(StreamId::MIN, |group| group.group.last);
    let unread = if groups.is_empty() { None } else { first_behind(view, stream, read)? };
    sample.put(Metric::StreamOldestUnreadSeconds, name, age_seconds(sample.at, unread));
    Ok(())
}

/// When the first entry behind `read` was added.
fn first_behind(view: &dyn Rows, stream: &Stream, read: StreamId) -> Result<Option<Time>, Fault> {
    let mut found = None;
    if stream.length == 0 || read >= stream.last {
        return Ok(None);
    }
    let range = (read.max(stream.first), StreamId::MAX);
    entries::scan(view, stream.number, range, false, &mut |id, _| {
        if id <= read {
            return Ok(std::ops::ControlFlow::Continue(()));
        }
        found = Some(Time(i64::try_from(id.ms).unwrap_or(i64::MAX)));
        Ok(std::ops::ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The burst buffer.
pub fn buffer(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let figures = appliance.buffer_figures()?;
    sample.put(Metric::BufferDepth, "", figures.depth as f64);
    sample.put(Metric::BufferStale, "", figures.stale as f64);
    sample.put(Metric::BufferOldestSeconds, "", age_seconds(sample.at, figures.oldest_at));
    Ok(())
}

/// Answers that runs wait for.
pub fn callbacks(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let view = appliance.snapshot()?;
    let waiting = counter(&view, &count::callbacks()).map_err(unreadable)?;
    let oldest = callback::oldest(&view).map_err(unreadable)?;
    sample.put(Metric::Callbacks, "", waiting as f64);
    let since = oldest.map(|callback| callback.created_at);
    sample.put(Metric::CallbackOldestSeconds, "", age_seconds(sample.at, since));
    Ok(())
}

/// Connections, and memory.
pub fn doors(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let doors = &appliance.settings().doors;
    sample.put(Metric::Connections, "http", doors.http.len() as f64);
    sample.put(Metric::Connections, "redis", doors.redis.len() as f64);
    if let Some(bytes) = resident_bytes() {
        sample.put(Metric::MemoryBytes, "", bytes as f64);
    }
    Ok(())
}

/// Runs that wait and run, by org and env.
pub fn envs(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let view = appliance.snapshot()?;
    put_envs(&view, sample).map_err(unreadable)
}

fn put_envs(view: &dyn Rows, sample: &mut Sample) -> Result<(), Fault> {
    let mut orgs = std::collections::BTreeMap::<String, (i64, i64)>::new();
    for (org, env) in sample.first(ENVS_MAX, "envs", count::envs(view, ENVS_MAX + 1)?) {
        let read = |status| counter(view, &count::env(&org, &env, status));
        let queued = read(Status::Queued)?;
        let executing = read(Status::Executing)? + read(Status::Canceling)?;
        let sums = orgs.entry(org.to_string()).or_default();
        *sums = (sums.0 + queued, sums.1 + executing);
        sample.put(Metric::OrgQueued, format!("{org}/{env}"), queued as f64);
        sample.put(Metric::OrgExecuting, format!("{org}/{env}"), executing as f64);
    }
    for (org, (queued, executing)) in orgs {
        sample.put(Metric::OrgQueued, org.as_str(), queued as f64);
        sample.put(Metric::OrgExecuting, org, executing as f64);
    }
    Ok(())
}

/// Breakers of endpoints.
pub fn endpoints(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let view = appliance.snapshot()?;
    let tasks = task_rows::list(&view, None, ENDPOINTS_MAX + 1).map_err(unreadable)?;
    for task in sample.first(ENDPOINTS_MAX, "endpoints of tasks", tasks) {
        if task.push().is_none() {
            continue;
        }
        let found = endpoint_rows::get(&view, &task.name).map_err(unreadable)?;
        let state = found.map_or(State::Closed, |endpoint| endpoint.breaker.state);
        let word = match state {
            State::Closed => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half_open",
            State::Disabled { .. } => "disabled",
        };
        sample.put(Metric::EndpointState, format!("{}/{word}", task.name), 1.0);
    }
    Ok(())
}

/// Files of the store, and the disk that they are on.
pub fn files(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    let Some(dir) = &appliance.settings().data_dir else { return Ok(()) };
    let not_read = |error: std::io::Error| {
        Refusal::new(Code::Internal, format!("the data directory cannot be looked at: {error}"))
    };
    let mut bytes = 0;
    for file in [STORE_FILE, JOURNAL_FILE] {
        bytes += std::fs::metadata(dir.join(file)).map_err(not_read)?.len();
    }
    sample.put(Metric::StoreBytes, "", bytes as f64);
    let disk = rustix::fs::statvfs(dir.as_path()).map_err(|error| not_read(error.into()))?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    // As `df` tells it: of what is not set aside for the administrator.
    let used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize;
    sample.put(Metric::DiskFreeBytes, "", free as f64);
    if all > 0 {
        sample.put(Metric::DiskUsedPercent, "", 100.0 * used as f64 / (used + free).max(1) as f64);
    }
    Ok(())
}

/// Absent while there is no backup: nothing is too old then.
pub fn backups(appliance: &Appliance, sample: &mut Sample) -> Result<(), Refusal> {
    if let Some(last) = appliance.backups()?.last() {
        let age = age_seconds(sample.at, Some(last.finished_at));
        sample.put(Metric::BackupAgeSeconds, "", age);
    }
    Ok(())
}
