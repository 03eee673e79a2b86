//! Values as people are told them: what was measured in plain words, with its unit.

use crate::base::human::{bytes, count, micros, span};
use crate::base::text::quote_cut;
use crate::base::time::Span;
use crate::model::sample::Metric;

/// Longest name of a subject in a sentence, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The name of a subject in a sentence.
pub fn name(text: &str) -> String {
    quote_cut(text, NAME_BYTES_MAX)
}

/// What is measured, in words that stand in front of `of a subject`.
fn noun(metric: Metric) -> &'static str {
    match metric {
        Metric::Runs => "runs that are",
        Metric::TaskQueued => "runs that wait, of task",
        Metric::TaskExecuting => "runs under way, of task",
        Metric::FailedTotal => "runs that failed, ever",
        Metric::CreatedPerSecond => "runs created per second",
        Metric::FinishedPerSecond => "runs finished per second",
        Metric::FailedPerSecond => "runs failed per second",
        Metric::CreatedTotal => "runs created, ever",
        Metric::FinishedTotal => "runs finished, ever",
        Metric::StreamLength => "entries in stream",
        Metric::StreamPending => "entries delivered and not acknowledged, of stream",
        Metric::StreamLag => "entries that nobody has read yet, in stream",
        Metric::StreamOldestPendingSeconds => "age of the oldest unacknowledged entry of stream",
        Metric::StreamAddedPerSecond => "entries added per second to stream",
        Metric::StreamConsumers => "consumers of stream",
        Metric::StreamOldestUnreadSeconds => "age of the oldest unread entry of stream",
        Metric::WorkersAlive => "workers alive, of type",
        Metric::WorkersStale => "workers without a fresh heartbeat, of type",
        Metric::WorkerBacklog => "backlog of the workers of type",
        Metric::WorkerCapacity => "places of the workers of type",
        Metric::WorkerUtilization => "backlog for each place of the workers of type",
        Metric::OutboxDue => "outbox rows that are due",
        Metric::OutboxLeased => "outbox rows that are being delivered",
        Metric::OutboxDead => "dead letters",
        Metric::OutboxOldestSeconds => "time for which the oldest outbox row could have gone out",
        Metric::BufferDepth => "runs in the burst buffer",
        Metric::BufferStale => "runs that wait in the burst buffer for too long",
        Metric::BufferOldestSeconds => "age of the oldest run in the burst buffer",
        Metric::Callbacks => "callbacks that are still waited for",
        Metric::CallbackOldestSeconds => "age of the oldest callback that is waited for",
        Metric::EndpointState => "endpoint",
        Metric::CommitP50Ms => "median time of a commit",
        Metric::CommitP99Ms => "time of the slowest commits (p99)",
        Metric::CommitsPerSecond => "commits per second",
        Metric::BatchMean => "commands in one commit",
        Metric::SyncP99Ms => "time of the slowest syncs of the disk (p99)",
        Metric::StoreBytes => "size of the store",
        Metric::DiskFreeBytes => "free space of the disk with the data",
        Metric::DiskUsedPercent => "used space of the disk with the data",
        Metric::MemoryBytes => "memory of Tidegate",
        Metric::Connections => "open connections of door",
        Metric::BackupAgeSeconds => "age of the last backup",
        Metric::OrgQueued => "runs that wait, of org",
        Metric::OrgExecuting => "runs under way, of org",
    }
}

/// A value with its unit, which is the end of the metric's word: `12 min`, `83.4 %`, `1,204`.
pub fn value_with_unit(metric: Metric, value: f64) -> String {
    let word = metric.as_str();
    if word.ends_with("_seconds") {
        span(Span((value * 1_000.0).round() as i64))
    } else if word.ends_with("_ms") {
        micros((value.max(0.0) * 1_000.0).round() as u64)
    } else if word.ends_with("_bytes") {
        bytes(value.max(0.0).round() as u64)
    } else {
        let rounded = (value * 100.0).round() / 100.0;
        let number = match rounded >= 0.0 && rounded.fract() == 0.0 {
            true => count(rounded as u64),
            false => rounded.to_string(),
        };
        if word.ends_with("_percent") { format!("{number} %") } else { number }
    }
}

/// What a value is of: `entries in stream`, and its name.
fn of_words(metric: Metric, of: &str) -> String {
    match (noun(metric), of) {
        (noun, "") => noun.to_owned(),
        (noun, of) => format!("{noun} {}", name(of)),
    }
}

/// A value beyond its limit: ``entries that nobody has read yet, in stream `a`: 812, above 500``.
pub fn beyond_words(metric: Metric, of: &str, value: f64, compare: &str, limit: f64) -> String {
    if metric == Metric::EndpointState
        && let Some((endpoint, state)) = of.rsplit_once('/')
    {
        return format!("endpoint {} is {state}", name(endpoint));
    }
    let value = value_with_unit(metric, value);
    format!("{}: {value}, {compare} {}", of_words(metric, of), value_with_unit(metric, limit))
}

/// A value that grew: `dead letters grew from 3 to 5`; later on what it was before is not known.
pub fn grown_words(metric: Metric, of: &str, before: Option<f64>, value: f64) -> String {
    let (of, now) = (of_words(metric, of), value_with_unit(metric, value));
    match before {
        Some(before) => format!("{of} grew from {} to {now}", value_with_unit(metric, before)),
        None => format!("{of} grew to {now}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_with_their_units() {
        for (metric, of, value, limit, said) in [
            (
                Metric::StreamLag,
                "arax",
                1_812.0,
                500.0,
                "entries that nobody has read yet, in stream `arax`: 1,812, above 500",
            ),
            (
                Metric::BackupAgeSeconds,
                "",
                200_000.0,
                172_800.0,
                "age of the last backup: 2 d 7 h, above 2 d",
            ),
            (
                Metric::DiskUsedPercent,
                "",
                83.404,
                80.0,
                "used space of the disk with the data: 83.4 %, above 80 %",
            ),
            (
                Metric::CommitP99Ms,
                "",
                612.4,
                500.0,
                "time of the slowest commits (p99): 612 ms, above 500 ms",
            ),
            (Metric::CommitP50Ms, "", 2.25, 0.5, "median time of a commit: 2.2 ms, above 500 µs"),
            (Metric::MemoryBytes, "", 2.5e9, 1e9, "memory of Tidegate: 2.5 GB, above 1.0 GB"),
            (Metric::EndpointState, "a/b/disabled", 1.0, 0.0, "endpoint `a/b` is disabled"),
        ] {
            assert_eq!(beyond_words(metric, of, value, "above", limit), said);
        }
    }

    #[test]
    fn growth_says_from_where_while_that_is_known() {
        let grown = |before| grown_words(Metric::OutboxDead, "", before, 5.0);
        assert_eq!(grown(Some(3.0)), "dead letters grew from 3 to 5");
        assert_eq!(grown(None), "dead letters grew to 5");
    }
}
