//! `GET /v1/status`: the snapshot that pages and scripts read; side-effect free.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::json;

use super::error::Answer;
use super::live::sample_json;
use super::query::Query;
use super::state::Front;
use crate::model::refusal::Refusal;

/// Counts, rates and health at a glance.
pub async fn status(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let overview = front.appliance.overview()?;
    let rates = front.pulse.rates(front.appliance.now());
    let runs: serde_json::Map<String, serde_json::Value> = overview
        .statuses
        .iter()
        .map(|(status, count)| (status.as_str().to_owned(), json!(count)))
        .collect();
    let tasks: Vec<serde_json::Value> = overview
        .tasks
        .iter()
        .map(|task| {
            json!({
                "name": task.name, "push": task.push, "concurrency": task.limit,
                "delayed": task.delayed, "queued": task.queued,
                "executing": task.executing, "failed": task.failed,
            })
        })
        .collect();
    let events: Vec<serde_json::Value> = overview
        .events
        .iter()
        .map(|line| json!({ "at": line.at, "what": line.what, "detail": line.detail }))
        .collect();
    Ok(Json(json!({
        "version": front.about.version,
        "started_at": front.about.started_at,
        "now": front.appliance.now(),
        "durability": front.about.durability,
        "read_only": overview.writer.read_only,
        "open_files_max": crate::base::files::open_files_max(),
        "runs": runs,
        "rates": {
            "created_per_s": rates.created, "finished_per_s": rates.finished,
            "failed_per_s": rates.failed, "over_s": rates.over_s,
        },
        "tasks_more": overview.tasks_more,
        "outbox": {
            "due": overview.outbox.due, "leased": overview.outbox.leased,
            "dead": overview.outbox.dead, "oldest_due": overview.outbox.oldest_due,
        },
        "writer": {
            "commits": overview.writer.commits, "commands": overview.writer.commands,
            "refused_busy": overview.writer.refused_busy,
            "commit_p50_ms": overview.writer.commit_p50_ms,
            "commit_p99_ms": overview.writer.commit_p99_ms,
            "batch_mean": overview.writer.batch_mean,
        },
        "totals": {
            "created": overview.totals.created, "completed": overview.totals.completed,
            "failed": overview.totals.failed, "finished": overview.totals.finished,
            "attempts": overview.totals.attempts, "late_results": overview.totals.late_results,
        },
        "alerts": { "firing": front.appliance.firing_alerts()?.len() },
        "retention": retention(&front),
        "sample": front.appliance.newest_sample().map(|sample| sample_json(&sample)),
        "backup": backup(&front)?,
        "configuration": configuration(&front),
        "access": {
            "set_up": front.appliance.is_set_up(),
            "failed_attempts": front.appliance.failed_attempts(),
        },
        "tasks": tasks,
        "events": events,
    }))
    .into_response())
}

/// When the settings were read, what waits for a restart, and what could not be read since.
fn configuration(front: &Front) -> serde_json::Value {
    let found = front.configuration.get();
    let waiting = found.settings.iter().filter(|row| row.pending.is_some());
    json!({
        "loaded_at": found.loaded_at,
        "needs_restart": waiting.map(|row| &row.key).collect::<Vec<_>>(),
        "refused": found.refused.as_ref().map(|refused| {
            json!({ "at": refused.at, "key": refused.key, "message": refused.message })
        }),
    })
}

/// When the last backup was made, and the last one that was found whole was verified.
fn backup(front: &Front) -> Result<serde_json::Value, Refusal> {
    let backups = front.appliance.backups()?;
    Ok(json!({
        "running": backups.at_work.is_some(),
        "last_at": backups.last().map(|last| last.finished_at),
        "last_damage": backups.last().and_then(|last| last.damage.as_ref()),
        "verified_at": backups.verified().and_then(|verified| verified.verified_at),
        "next_at": backups.next_at,
    }))
}

/// How long things are kept, and what was removed since the start.
fn retention(front: &Front) -> serde_json::Value {
    let figures = front.appliance.retention_figures();
    let removed = figures.removed;
    json!({
        "settings": front.appliance.retention(),
        "passed_at": figures.passed_at,
        "behind": figures.behind,
        "removed": {
            "runs": removed.runs, "dead_letters": removed.letters,
            "attempts": removed.attempts, "notices": removed.notices,
            "batches": removed.batches, "sharded_runs": removed.sharded_runs,
        },
    })
}
