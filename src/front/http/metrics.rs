//! `GET /metrics`: the newest measurement as OpenMetrics text.
//!
//! Families and labels are a table; what a label may be is bounded where it is measured. Percentiles of
//! commits are those of the latest thousand, so they are summaries without a count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

use super::error::Answer;
use super::live::listeners;
use super::query::Query;
use super::state::Front;
use crate::model::histogram::Histogram;
use crate::model::history::Latency;
use crate::model::sample::{Metric, Sample};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper ends of the buckets of how long runs took, in milliseconds.
const ENDS_MS: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000, 3_600_000];
const BREAKER_STATES: [&str; 4] = ["closed", "open", "half_open", "disabled"];

/// A family: name, type, unit, help, and the metrics that it is made of.
type Family = (&'static str, &'static str, &'static str, &'static str, &'static [Source]);

/// A metric with its labels, and what its values are multiplied by.
struct Source(Metric, Labels, f64);

/// How labels come from a subject.
enum Labels {
    /// There is one value.
    None,
    /// The subject is the value of this label.
    Subject(&'static str),
    /// The same labels for all.
    Fixed(&'static str, &'static str),
    /// The subject, and a label that is fixed.
    SubjectAnd(&'static str, &'static str, &'static str),
    /// `org/env`, and a label that is fixed; sums of orgs are left out.
    Env(&'static str, &'static str),
}

use Labels::{Env, Fixed, None as Alone, Subject, SubjectAnd};

const G: &str = "gauge";
const C: &str = "counter";
const S: &str = "summary";

const FAMILIES: &[Family] = &[
    ("tidegate_runs", G, "", "Runs by status.", &[Source(Metric::Runs, Subject("status"), 1.0)]),
    (
        "tidegate_runs_created",
        C,
        "",
        "Runs that were created.",
        &[Source(Metric::CreatedTotal, Alone, 1.0)],
    ),
    (
        "tidegate_runs_finished",
        C,
        "",
        "Runs that ended, however they did.",
        &[Source(Metric::FinishedTotal, Alone, 1.0)],
    ),
    (
        "tidegate_runs_failed",
        C,
        "",
        "Runs that failed, expired or broke.",
        &[Source(Metric::FailedTotal, Alone, 1.0)],
    ),
    (
        "tidegate_task_runs",
        G,
        "",
        "Runs of a task that wait or are under way.",
        &[
            Source(Metric::TaskQueued, SubjectAnd("task", "state", "queued"), 1.0),
            Source(Metric::TaskExecuting, SubjectAnd("task", "state", "executing"), 1.0),
        ],
    ),
    (
        "tidegate_env_runs",
        G,
        "",
        "Runs of an env that wait or are under way.",
        &[
            Source(Metric::OrgQueued, Env("state", "queued"), 1.0),
            Source(Metric::OrgExecuting, Env("state", "executing"), 1.0),
        ],
    ),
    (
        "tidegate_stream_entries",
        G,
        "",
        "Entries of a stream.",
        &[Source(Metric::StreamLength, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_stream_pending_entries",
        G,
        "",
        "Entries that were delivered and not acknowledged.",
        &[Source(Metric::StreamPending, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_stream_lag_entries",
        G,
        "",
        "Entries that the group furthest behind has still to read.",
        &[Source(Metric::StreamLag, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_stream_oldest_pending_age_seconds",
        G,
        "seconds",
        "Since the oldest pending entry was first delivered.",
        &[Source(Metric::StreamOldestPendingSeconds, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_stream_oldest_unread_age_seconds",
        G,
        "seconds",
        "Since the oldest entry was added that nobody has read.",
        &[Source(Metric::StreamOldestUnreadSeconds, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_stream_consumers",
        G,
        "",
        "Consumers of all groups of a stream.",
        &[Source(Metric::StreamConsumers, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_workers_alive",
        G,
        "",
        "Workers that are alive, by their stream.",
        &[Source(Metric::WorkersAlive, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_workers_stale",
        G,
        "",
        "Workers whose heartbeat is overdue.",
        &[Source(Metric::WorkersStale, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_worker_capacity_tasks",
        G,
        "",
        "Tasks that the workers alive take at once.",
        &[Source(Metric::WorkerCapacity, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_worker_utilization_ratio",
        G,
        "ratio",
        "Backlog for each of these places.",
        &[Source(Metric::WorkerUtilization, Subject("stream"), 1.0)],
    ),
    (
        "tidegate_outbox_rows",
        G,
        "",
        "Rows of the outbox by state.",
        &[
            Source(Metric::OutboxDue, Fixed("state", "due"), 1.0),
            Source(Metric::OutboxLeased, Fixed("state", "leased"), 1.0),
            Source(Metric::OutboxDead, Fixed("state", "dead"), 1.0),
        ],
    ),
    (
        "tidegate_outbox_oldest_age_seconds",
        G,
        "seconds",
        "Since the oldest row could have gone out.",
        &[Source(Metric::OutboxOldestSeconds, Alone, 1.0)],
    ),
    (
        "tidegate_buffer_entries",
        G,
        "",
        "Runs in the burst buffer.",
        &[Source(Metric::BufferDepth, Alone, 1.0)],
    ),
    (
        "tidegate_buffer_stale_entries",
        G,
        "",
        "Runs that wait there for too long.",
        &[Source(Metric::BufferStale, Alone, 1.0)],
    ),
    (
        "tidegate_buffer_oldest_age_seconds",
        G,
        "seconds",
        "Since the oldest of them was accepted.",
        &[Source(Metric::BufferOldestSeconds, Alone, 1.0)],
    ),
    (
        "tidegate_callbacks",
        G,
        "",
        "Answers that runs wait for from outside.",
        &[Source(Metric::Callbacks, Alone, 1.0)],
    ),
    (
        "tidegate_callback_oldest_age_seconds",
        G,
        "seconds",
        "Since the oldest of them was asked for.",
        &[Source(Metric::CallbackOldestSeconds, Alone, 1.0)],
    ),
    (
        "tidegate_commit_duration_seconds",
        S,
        "seconds",
        "Time from taking commands to their answers, of the latest commits.",
        &[
            Source(Metric::CommitP50Ms, Fixed("quantile", "0.5"), 0.001),
            Source(Metric::CommitP99Ms, Fixed("quantile", "0.99"), 0.001),
        ],
    ),
    (
        "tidegate_sync_duration_seconds",
        S,
        "seconds",
        "Time of the latest syncs of the journal.",
        &[Source(Metric::SyncP99Ms, Fixed("quantile", "0.99"), 0.001)],
    ),
    (
        "tidegate_batch_commands",
        G,
        "",
        "Commands of a commit, a mean of the latest.",
        &[Source(Metric::BatchMean, Alone, 1.0)],
    ),
    (
        "tidegate_store_size_bytes",
        G,
        "bytes",
        "Files of the store.",
        &[Source(Metric::StoreBytes, Alone, 1.0)],
    ),
    (
        "tidegate_disk_free_bytes",
        G,
        "bytes",
        "Room on the disk of the data directory.",
        &[Source(Metric::DiskFreeBytes, Alone, 1.0)],
    ),
    (
        "tidegate_disk_used_ratio",
        G,
        "ratio",
        "How full that disk is.",
        &[Source(Metric::DiskUsedPercent, Alone, 0.01)],
    ),
    (
        "tidegate_resident_memory_bytes",
        G,
        "bytes",
        "Memory of the process.",
        &[Source(Metric::MemoryBytes, Alone, 1.0)],
    ),
    (
        "tidegate_connections",
        G,
        "",
        "Connections that are open.",
        &[Source(Metric::Connections, Subject("door"), 1.0)],
    ),
    (
        "tidegate_backup_age_seconds",
        G,
        "seconds",
        "Since the last backup was finished.",
        &[Source(Metric::BackupAgeSeconds, Alone, 1.0)],
    ),
];

/// The newest measurement.
pub async fn metrics(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let sample = match front.appliance.newest_sample() {
        Some(sample) => sample,
        // Just after the start.
        None => std::sync::Arc::new(front.appliance.sample(&front.pulse)),
    };
    let counted = Counted {
        commands: front.appliance.commands_done(),
        failed_attempts: front.appliance.failed_attempts(),
        listeners: listeners(),
    };
    let text = text(&sample, &front.appliance.durations(), front.about.version, counted);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// What is counted in memory, as of this moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    commands: u64,
    failed_attempts: u64,
    listeners: usize,
}

fn text(
    sample: &Sample,
    durations: &BTreeMap<String, Latency>,
    version: &str,
    counted: Counted,
) -> String {
    let mut out = String::with_capacity(16 << 10);
    head(&mut out, "tidegate_build", "info", "", "What runs here.");
    line(&mut out, "tidegate_build_info", &[("version", version)], 1.0);
    let name = "tidegate_measured_timestamp_seconds";
    let help = "When what is told here was measured, in unix time.";
    head(&mut out, name, G, "seconds", help);
    line(&mut out, name, &[], sample.at.0 as f64 / 1_000.0);
    for (name, kind, unit, help, sources) in FAMILIES {
        if !sources.iter().any(|source| sample.of(source.0).next().is_some()) {
            continue;
        }
        head(&mut out, name, kind, unit, help);
        let full = if *kind == C { format!("{name}_total") } else { (*name).to_owned() };
        for source in *sources {
            put_source(&mut out, &full, source, sample);
        }
    }
    put_breakers(&mut out, sample);
    head(&mut out, "tidegate_commands", C, "", "Commands that were committed since the start.");
    line(&mut out, "tidegate_commands_total", &[], counted.commands as f64);
    let help = "Wrong tokens and passwords since the start.";
    head(&mut out, "tidegate_failed_attempts", C, "", help);
    line(&mut out, "tidegate_failed_attempts_total", &[], counted.failed_attempts as f64);
    let help = "Pages and monitors that are told of changes as they come.";
    head(&mut out, "tidegate_listeners", G, "", help);
    line(&mut out, "tidegate_listeners", &[], counted.listeners as f64);
    let wait = durations.iter().map(|(task, latency)| (task, &latency.wait));
    let help = "How long runs waited that started, since the start of the process.";
    put_histograms(&mut out, "tidegate_run_wait_seconds", help, wait);
    let run = durations.iter().map(|(task, latency)| (task, &latency.run));
    let help = "How long runs took that ended, since the start of the process.";
    put_histograms(&mut out, "tidegate_run_duration_seconds", help, run);
    out.push_str("# EOF\n");
    out
}

fn put_source(
    out: &mut String,
    name: &str,
    Source(metric, labels, scale): &Source,
    sample: &Sample,
) {
    for (subject, value) in sample.of(*metric) {
        let value = value * scale;
        match labels {
            Labels::None => line(out, name, &[], value),
            Subject(label) => line(out, name, &[(label, subject)], value),
            Fixed(label, word) => line(out, name, &[(label, word)], value),
            SubjectAnd(label, other, word) => {
                line(out, name, &[(label, subject), (other, word)], value);
            }
            Env(other, word) => {
                if let Some((org, env)) = subject.split_once('/') {
                    line(out, name, &[("org", org), ("env", env), (other, word)], value);
                }
            }
        }
    }
}

/// Each endpoint has a value in each state: 1 in the one that it is in.
fn put_breakers(out: &mut String, sample: &Sample) {
    let mut endpoints = sample.of(Metric::EndpointState).peekable();
    if endpoints.peek().is_none() {
        return;
    }
    head(out, "tidegate_endpoint_breaker", G, "", "1 for the state of an endpoint's breaker.");
    for (subject, _) in endpoints {
        let Some((endpoint, current)) = subject.rsplit_once('/') else { continue };
        for state in BREAKER_STATES {
            let value = f64::from(u8::from(state == current));
            let labels = [("endpoint", endpoint), ("state", state)];
            line(out, "tidegate_endpoint_breaker", &labels, value);
        }
    }
}

fn put_histograms<'h>(
    out: &mut String,
    name: &str,
    help: &str,
    of: impl Iterator<Item = (&'h String, &'h Histogram)>,
) {
    let mut of = of.filter(|(_, histogram)| !histogram.is_empty()).peekable();
    if of.peek().is_none() {
        return;
    }
    head(out, name, "histogram", "seconds", help);
    for (task, histogram) in of {
        let bucket = format!("{name}_bucket");
        for end in ENDS_MS {
            let le = format!("{}", end as f64 / 1_000.0);
            let le = if le.contains('.') { le } else { le + ".0" };
            let count = histogram.at_most(end) as f64;
            line(out, &bucket, &[("task", task), ("le", &le)], count);
        }
        let count = histogram.count() as f64;
        line(out, &bucket, &[("task", task), ("le", "+Inf")], count);
        let sum = histogram.sum_ms() as f64 / 1_000.0;
        line(out, &format!("{name}_sum"), &[("task", task)], sum);
        line(out, &format!("{name}_count"), &[("task", task)], count);
    }
}

fn head(out: &mut String, name: &str, kind: &str, unit: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
    if !unit.is_empty() {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = writeln!(out, "# HELP {name} {}", escaped(help));
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    out.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        let open = if index == 0 { '{' } else { ',' };
        let _ = write!(out, "{open}{label}=\"{}\"", escaped(text));
    }
    let close = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(out, "{close} {value}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
