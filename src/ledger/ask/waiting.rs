//! Why a run has not started, as one sentence. Computed when asked, never stored. Runs that are
//! pulled wait for other things than runs that are pushed: see `pulled`.

use crate::base::time::Time;
use crate::ledger::runs::save::lane_of;
use crate::model::breaker::Allow;
use crate::model::delivery::{PauseScope, RowState};
use crate::model::run::{Run, Status};
use crate::store::fault::Fault;
use crate::store::kinds::buffered::{self, Entry};
use crate::store::kinds::{
    count, endpoint as endpoints, outbox as rows, pause, ready, task as tasks,
};
use crate::store::rows::{Rows, counter};

mod pulled;

/// `None` for a run that has an attempt out or is over.
pub fn because(rows_view: &dyn Rows, run: &Run, now: Time) -> Result<Option<String>, Fault> {
    if run.buffered {
        return in_buffer(rows_view, run).map(Some);
    }
    match run.status {
        Status::Delayed => Ok(Some(format!("it is delayed until {}", run.due_at.to_rfc3339()))),
        Status::Queued if run.stream.is_some() => pulled::because(rows_view, run, now).map(Some),
        Status::Queued => queued(rows_view, run, now).map(Some),
        Status::Executing
        | Status::Canceling
        | Status::Completed
        | Status::Failed
        | Status::Canceled
        | Status::Expired
        | Status::SystemFailure => Ok(None),
    }
}

fn in_buffer(view: &dyn Rows, run: &Run) -> Result<String, Fault> {
    let waiting = counter(view, &count::buffered_of(&run.org, &run.env))?;
    let env = format!("`{}/{}`", run.org, run.env);
    Ok(match buffered::get(view, run.id)? {
        Some(Entry { waits_until: Some(at), last_error: Some(error), .. }) => format!(
            "it was accepted in a burst; taking it out of the buffer failed ({}: {}) and is tried \
             again at {}",
            error.code,
            error.message,
            at.to_rfc3339()
        ),
        _ => format!(
            "it was accepted in a burst and waits in the buffer of {env}, oldest first; runs that \
             wait there: {waiting}"
        ),
    })
}

fn queued(view: &dyn Rows, run: &Run, now: Time) -> Result<String, Fault> {
    let task = tasks::get(view, &run.task)?;
    let lane = lane_of(task.as_ref(), run);
    let scopes = [
        PauseScope::All,
        PauseScope::Task(run.task.clone()),
        PauseScope::Org(run.org.clone()),
        PauseScope::Lane { task: run.task.clone(), lane: lane.clone() },
    ];
    for scope in scopes {
        if let Some(pause) = pause::get(view, &scope)?
            && pause.until.is_none_or(|until| now < until)
        {
            let until =
                pause.until.map_or(String::new(), |at| format!(" until {}", at.to_rfc3339()));
            return Ok(format!("{} paused{until}: {}", scope_words(&scope), pause.reason));
        }
    }
    let Some(task) = task else { return Ok(format!("task `{}` is not registered", run.task)) };
    if let Some(endpoint) = endpoints::get(view, &run.task)?
        && let Allow::No { until, why } = endpoint.breaker.allow(now)
    {
        let until = until.map_or(String::new(), |at| format!(" until {}", at.to_rfc3339()));
        return Ok(format!("endpoint `{}` takes nothing{until}: {why}", run.task));
    }
    let row = rows::get(view, run.id)?;
    if let Some(row) = &row
        && row.state == RowState::Waiting
    {
        return Ok(next_attempt_at(run, row.due_at));
    }
    if let Some(limit) = task.concurrency {
        let (key, whose) = if lane.key.is_empty() {
            (count::slots(&run.task), format!("task `{}`", run.task))
        } else {
            (count::lane_slots(&run.task, &lane), format!("key `{}`", lane.key))
        };
        let taken = counter(view, &key)?;
        if taken >= i64::from(limit) {
            return Ok(format!("{whose} has reached its limit: {taken} of {limit} execute"));
        }
    }
    if task.is_ordered()
        && let Some(head) = ready::head(view, &run.task, &lane, 1)?.first()
        && *head != run.id
    {
        return Ok(format!("its lane is delivered in order and run {head} is ahead of it"));
    }
    Ok("it is in line and goes out as soon as its turn comes".to_owned())
}

/// The words for a run between two attempts.
fn next_attempt_at(run: &Run, at: Time) -> String {
    let failed = run.last_failure.as_ref().map_or("", |failure| failure.code.as_str());
    format!("attempt {} failed ({failed}); the next is due at {}", run.attempts, at.to_rfc3339())
}

fn scope_words(scope: &PauseScope) -> String {
    match scope {
        PauseScope::All => "all deliveries are".to_owned(),
        PauseScope::Task(task) => format!("task `{task}` is"),
        PauseScope::Org(org) => format!("org `{org}` is"),
        PauseScope::Lane { .. } => "its lane is".to_owned(),
    }
}

#[cfg(test)]
mod tests;
