//! One look at everything that is measured: values by series, at one moment.

use std::collections::BTreeMap;

use crate::base::time::Time;

use super::words::words;

/// What is measured. The word is its name in the API, in the history and in alert rules; units are
/// part of the word. Numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Runs by status; subject: the status.
    Runs = 1,
    /// Runs of a task that wait, delayed ones excluded; subject: the task.
    TaskQueued = 2,
    /// Runs of a task under way; subject: the task.
    TaskExecuting = 3,
    /// Runs that failed, ever. Numbers that only grow: a window's count is their difference.
    FailedTotal = 4,
    CreatedPerSecond = 5,
    FinishedPerSecond = 6,
    FailedPerSecond = 7,
    CreatedTotal = 8,
    FinishedTotal = 9,
    /// Entries of a stream; subject: the stream, as for all that begin with `stream`.
    StreamLength = 10,
    StreamPending = 11,
    /// Entries that a group has still to read, the largest of the stream's groups.
    StreamLag = 12,
    StreamOldestPendingSeconds = 13,
    StreamAddedPerSecond = 14,
    StreamConsumers = 15,
    /// Since when the oldest entry waits that the group furthest behind has still to read.
    StreamOldestUnreadSeconds = 16,
    /// Workers of a type that are alive; subject: its stream, as for all that begin with `worker`.
    WorkersAlive = 20,
    WorkersStale = 21,
    WorkerBacklog = 22,
    WorkerCapacity = 23,
    WorkerUtilization = 24,
    OutboxDue = 30,
    OutboxLeased = 31,
    OutboxDead = 32,
    OutboxOldestSeconds = 33,
    BufferDepth = 35,
    BufferStale = 36,
    BufferOldestSeconds = 37,
    Callbacks = 40,
    CallbackOldestSeconds = 41,
    /// 1 for the state that an endpoint's breaker is in; subject: `endpoint/state`.
    EndpointState = 45,
    CommitP50Ms = 50,
    CommitP99Ms = 51,
    CommitsPerSecond = 52,
    BatchMean = 53,
    SyncP99Ms = 54,
    StoreBytes = 60,
    DiskFreeBytes = 61,
    DiskUsedPercent = 62,
    MemoryBytes = 63,
    /// Connections that are open; subject: the door, `http` or `redis`.
    Connections = 64,
    /// Since the last backup was finished; absent while there is none.
    BackupAgeSeconds = 66,
    /// Runs of an org that wait; subject: `org` or `org/env`.
    OrgQueued = 70,
    /// Runs of it that are under way.
    OrgExecuting = 71,
}

words!(Metric {
    Runs "runs",
    TaskQueued "task_queued",
    TaskExecuting "task_executing",
    CreatedPerSecond "created_per_second",
    FinishedPerSecond "finished_per_second",
    FailedPerSecond "failed_per_second",
    StreamLength "stream_length",
    StreamPending "stream_pending",
    StreamLag "stream_lag",
    StreamOldestPendingSeconds "stream_oldest_pending_seconds",
    StreamAddedPerSecond "stream_added_per_second",
    StreamConsumers "stream_consumers",
    StreamOldestUnreadSeconds "stream_oldest_unread_seconds",
    WorkersAlive "workers_alive",
    WorkersStale "workers_stale",
    WorkerBacklog "worker_backlog",
    WorkerCapacity "worker_capacity",
    WorkerUtilization "worker_utilization",
    OutboxDue "outbox_due",
    OutboxLeased "outbox_leased",
    OutboxDead "outbox_dead",
    OutboxOldestSeconds "outbox_oldest_seconds",
    BufferDepth "buffer_depth",
    BufferStale "buffer_stale",
    BufferOldestSeconds "buffer_oldest_seconds",
    Callbacks "callbacks",
    CallbackOldestSeconds "callback_oldest_seconds",
    EndpointState "endpoint_state",
    CommitP50Ms "commit_p50_ms",
    CommitP99Ms "commit_p99_ms",
    CommitsPerSecond "commits_per_second",
    BatchMean "batch_mean",
    SyncP99Ms "sync_p99_ms",
    StoreBytes "store_bytes",
    DiskFreeBytes "disk_free_bytes",
    DiskUsedPercent "disk_used_percent",
    MemoryBytes "memory_bytes",
    Connections "connections",
    BackupAgeSeconds "backup_age_seconds",
    OrgQueued "org_queued",
    OrgExecuting "org_executing",
    CreatedTotal "created_total",
    FinishedTotal "finished_total",
    FailedTotal "failed_total",
});

impl Metric {
    /// The field of an alert rule that says of which one; `None` where there is only one.
    pub fn subject_field(self) -> Option<&'static str> {
        let word = self.as_str();
        match self {
            _ if word.starts_with("stream_") => Some("stream"),
            _ if word.starts_with("worker") => Some("worker"),
            Metric::Runs
            | Metric::TaskQueued
            | Metric::TaskExecuting
            | Metric::EndpointState
            | Metric::Connections
            | Metric::OrgQueued
            | Metric::OrgExecuting => Some("subject"),
            _ => None,
        }
    }
}

/// What a value is of. Two parts that are kept apart everywhere but in text, so that a subject may
/// hold any character (7.24).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    pub metric: Metric,
    /// Empty where there is only one.
    pub subject: String,
}

impl Series {
    pub fn new(metric: Metric, subject: impl Into<String>) -> Series {
        Series { metric, subject: subject.into() }
    }

    /// `metric` or `metric:subject`; the subject is everything behind the first colon.
    pub fn parse(text: &str) -> Option<Series> {
        let (metric, subject) = text.split_once(':').unwrap_or((text, ""));
        Some(Series::new(Metric::parse(metric)?, subject))
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.subject.is_empty() {
            true => f.write_str(self.metric.as_str()),
            false => write!(f, "{}:{}", self.metric.as_str(), self.subject),
        }
    }
}

/// All values of one moment. What could not be measured is absent and named in `failed`; it does
/// not keep anything else from being measured (7.34).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    pub at: Time,
    pub values: BTreeMap<Series, f64>,
    /// What could not be measured, and why.
    pub failed: Vec<(String, String)>,
    /// What is beyond a bound, in words such as `streams beyond the first 500`.
    pub left_out: Vec<String>,
}

impl Sample {
    /// The first `most` of what was found; that there is more is told.
    pub fn first<T>(&mut self, most: usize, what: &str, mut found: Vec<T>) -> Vec<T> {
        if found.len() > most {
            found.truncate(most);
            self.leave_out(most, what);
        }
        found
    }

    pub fn leave_out(&mut self, most: usize, what: &str) {
        self.left_out.push(format!("{what} beyond the first {most}"));
    }

    pub fn put(&mut self, metric: Metric, subject: impl Into<String>, value: f64) {
        // What is no number says nothing, in a chart as in a rule.
        if value.is_finite() {
            self.values.insert(Series::new(metric, subject), value);
        }
    }

    pub fn get(&self, metric: Metric, subject: &str) -> Option<f64> {
        self.values.get(&Series::new(metric, subject)).copied()
    }

    /// The values of one metric, by subject.
    pub fn of(&self, metric: Metric) -> impl Iterator<Item = (&str, f64)> {
        let first = Series::new(metric, "");
        self.values
            .range(first..)
            .take_while(move |(series, _)| series.metric == metric)
            .map(|(series, value)| (series.subject.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_go_through_text() {
        for (text, metric, subject) in [
            ("outbox_due", Metric::OutboxDue, ""),
            ("stream_length:a:b,c", Metric::StreamLength, "a:b,c"),
        ] {
            let series = Series::parse(text).unwrap();
            assert_eq!((series.metric, series.subject.as_str()), (metric, subject));
            assert_eq!(series.to_string(), text);
        }
        assert_eq!(Series::parse("nonsense:a"), None);
    }

    #[test]
    fn values_are_found_by_metric() {
        let mut sample = Sample::default();
        sample.put(Metric::StreamLength, "a", 1.0);
        sample.put(Metric::StreamLength, "b", 2.0);
        sample.put(Metric::StreamPending, "a", 3.0);
        sample.put(Metric::OutboxDue, "", f64::NAN);
        assert_eq!(sample.of(Metric::StreamLength).collect::<Vec<_>>(), [("a", 1.0), ("b", 2.0)]);
        assert_eq!((sample.get(Metric::StreamPending, "a"), sample.values.len()), (Some(3.0), 3));
    }
}
