//! `GET /runs/{id}`: one run with its history, its data and its neighbours.

use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::value::RawValue;

use super::look::Look;
use super::overview::delivery_words;
use super::runs::attempts_max;
use super::{attempts, html};
use crate::appliance::outbox::OutboxItem;
use crate::appliance::runs::{History, RunRef, RunView, Scope};
use crate::base::id::RunId;
use crate::base::text::cut;
use crate::base::time::{Span, Time};
use crate::front::dashboard::parts::{self, Badge, Document, RunLink, Tone, When};
use crate::front::dashboard::run::{
    DeliveryRow, LateResult, RelatedRun, RetryButton, RunActions, RunError, RunFacts, RunPage, Step,
};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::run_json::raw;
use crate::front::http::state::Front;
use crate::model::delivery::{Attempt, Line, RowState};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Run, Status};
use crate::model::shard::Delivered;
use crate::model::task::Task;

/// Input longer than this is not offered as a command: no shell takes it.
const CURL_BYTES_MAX: usize = 100_000;
/// Replays of a run that its page names.
const REPLAYS_SHOWN: usize = 20;
/// Deliveries of a run that its page shows, and how much of each result.
const DELIVERIES_SHOWN: usize = 50;
const RESULT_CHARS_SHOWN: usize = 300;

pub async fn show(State(front): State<Front>, Path(id): Path<String>) -> Answer {
    Ok(html(200, &page(&front, &id)?))
}

fn page(front: &Front, id: &str) -> Result<RunPage, Refusal> {
    let scope = Scope::default();
    let id = front.appliance.resolve(RunRef::parse(id)?, &scope)?;
    let view = front.appliance.run(id, &scope)?;
    let history = front.appliance.history(id, &scope)?;
    let delivered = front.appliance.deliveries(id, &scope)?;
    let look = Look::take(front)?;
    let run = &view.run;
    let task = found(front.appliance.task(&run.task), Code::TaskNotFound)?;
    let row = found(front.appliance.outbox_item(id), Code::OutboxNotFound)?.map(|(item, _)| item);
    let title = format!("Run {}", text::short_id(&id.to_string()));
    Ok(RunPage {
        shell: look.shell(front, &title, "/runs", format!("/runs/{id}")),
        id: id.to_string(),
        state: Badge::run(run.status.as_str()),
        buffered: run.buffered,
        actions: actions(run, task.as_ref(), row.as_ref()),
        error: error(run),
        waiting_because: view.waiting_because.clone().unwrap_or_default(),
        facts: facts(run, task.as_ref(), row.is_some(), look.now),
        timeline: timeline(&history.lines),
        attempt_out: attempt_out(run, &history.attempts),
        attempts: attempts::rows(&history.attempts, look.now),
        documents: documents(&view),
        late_results: late_results(&history.attempts, look.now),
        deliveries_more: delivered.len() > DELIVERIES_SHOWN,
        deliveries: delivered
            .iter()
            .take(DELIVERIES_SHOWN)
            .map(|d| delivery(d, look.now))
            .collect(),
        curl: curl(&front.about.address, &view),
        related: related(front, run, &history, look.now)?,
    })
}

fn delivery(delivered: &Delivered, now: Time) -> DeliveryRow {
    let (state, text) = match (&delivered.error, &delivered.result) {
        (Some(error), _) => {
            let text = format!("{}: {}", error.code, error.message);
            (Badge::new(Tone::Red, "cross", "error"), text)
        }
        (None, result) => {
            let text = String::from_utf8_lossy(result.as_deref().unwrap_or_default());
            let shown = text::first_line(&text, RESULT_CHARS_SHOWN);
            (Badge::new(Tone::Green, "check", "result"), shown)
        }
    };
    let (kind, key) = (delivered.kind.clone(), delivered.key.clone());
    DeliveryRow { kind, key, at: When::at(delivered.at, now), state, text }
}

/// What is there, or `None` where that is what the refusal says.
fn found<T>(answer: Result<T, Refusal>, missing: Code) -> Result<Option<T>, Refusal> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(refusal) if refusal.code == missing => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn actions(run: &Run, task: Option<&Task>, row: Option<&OutboxItem>) -> RunActions {
    let button = |label, title| Some(RetryButton { label, title });
    let retry = match row {
        Some(OutboxItem::Row(row)) if row.state == RowState::Waiting && row.attempts == 0 => {
            button("Start now", "Do not wait for the end of the delay")
        }
        Some(OutboxItem::Row(row)) if row.state == RowState::Waiting => {
            button("Retry now", "Deliver the waiting retry at once")
        }
        Some(OutboxItem::Dead(_)) if run.status == Status::Failed => {
            button("Retry now", "Queue it again under the same id, with a new series of attempts")
        }
        _ => None,
    };
    RunActions {
        cancel: !run.status.is_final() && run.status != Status::Canceling,
        replay: run.status.is_final() && task.is_some(),
        retry,
    }
}

fn error(run: &Run) -> Option<RunError> {
    let (error, latest_attempt) = match (&run.error, &run.last_failure) {
        (Some(error), _) => (error, false),
        (None, Some(error)) => (error, true),
        (None, None) => return None,
    };
    Some(RunError { code: error.code.clone(), message: error.message.clone(), latest_attempt })
}

fn facts(run: &Run, task: Option<&Task>, has_row: bool, now: Time) -> RunFacts {
    let moment = |at: Option<Time>| When::maybe(at, now);
    let link = |id: Option<RunId>| id.map_or(RunLink::default(), |id| RunLink::to(id.to_string()));
    let waits = matches!(run.status, Status::Delayed | Status::Queued);
    let ran = run.duration(now).filter(|_| run.status.is_final() || run.status.holds_slot());
    RunFacts {
        task: run.task.to_string(),
        org: run.org.to_string(),
        env: run.env.to_string(),
        tags: run.tags.clone(),
        delivery: task.map_or("the task is not registered".to_owned(), delivery_words),
        created: When::at(run.created_at, now),
        due: moment(waits.then_some(run.due_at).filter(|due| *due != run.created_at)),
        started: moment(run.started_at),
        finished: moment(run.finished_at),
        waited: parts::phase(Some(run.created_at), run.started_at),
        ran: ran.map_or(String::new(), text::span),
        ended: run.status.is_final(),
        total: parts::phase(Some(run.created_at), run.finished_at),
        attempts: u64::from(run.attempts),
        attempts_max: attempts_max(run, task),
        expires: moment(run.expires_at.filter(|_| run.started_at.is_none())),
        deadline: moment(run.deadline.filter(|_| run.status.holds_slot())),
        priority: if run.priority == 0 { String::new() } else { run.priority.to_string() },
        concurrency_key: run.concurrency_key.clone().unwrap_or_default(),
        idempotency_key: run.idempotency_key.clone().unwrap_or_default(),
        cancel_reason: run.cancel_reason.clone().unwrap_or_default(),
        remote_id: run.remote_id,
        mirror: run.mirror.as_str().to_owned(),
        fence: (run.fence > 0).then_some(run.fence),
        outbox_row: if has_row { run.id.to_string() } else { String::new() },
        parent: link(run.parent),
        replay_of: link(run.replay_of),
        batch: run.batch.map_or(String::new(), |(id, _)| id.to_string()),
        shard: run.shard.map(|(id, index)| (id.to_string(), u64::from(index))),
        step: step_words(run),
    }
}

fn step_words(run: &Run) -> String {
    let Some(name) = run.steps.get(run.step as usize) else { return String::new() };
    format!("step {} of {}: {name}", run.step + 1, run.steps.len())
}

/// The attempt whose answer is not in the log yet.
fn attempt_out(run: &Run, log: &[Attempt]) -> Option<u64> {
    let logged = log.iter().any(|attempt| !attempt.late && attempt.number == run.attempts);
    (run.status.holds_slot() && !logged).then_some(u64::from(run.attempts))
}

fn timeline(lines: &[Line]) -> Vec<Step> {
    let Some(first) = lines.first().map(|line| line.at) else { return Vec::new() };
    let step = |line: &Line| Step {
        at: When::clock(line.at),
        offset: parts::offset(first, line.at),
        what: badge_of(&line.what, line.attempt.is_some()),
        detail: line.detail.trim().to_owned(),
        attempt: line.attempt.map(u64::from),
        by: line.by.clone(),
    };
    lines.iter().map(step).collect()
}

/// The look of a line: a status has its own, the rest by what it means for the run.
fn badge_of(what: &str, numbered: bool) -> Badge {
    let (tone, icon) = match what {
        status if Status::parse(status).is_some() => return Badge::run(status),
        "created" => (Tone::Blue, "queue"),
        "attempt_started" => (Tone::Cyan, "play"),
        "attempt_success" | "attempt_nothing" => (Tone::Green, "check"),
        "cancel_requested" => (Tone::Violet, "ban"),
        "rescheduled" => (Tone::Indigo, "clock"),
        "revived" | "replayed" => (Tone::Blue, "retry"),
        "late_result" => (Tone::Gray, "clock"),
        attempt if attempt.starts_with("attempt_") => (Tone::Yellow, "warn"),
        _ => (Tone::Gray, "info"),
    };
    // The number of the attempt stands beside it.
    let label = what.strip_prefix("attempt_").filter(|_| numbered).unwrap_or(what);
    Badge::new(tone, icon, label.replace('_', " "))
}

fn documents(view: &RunView) -> Vec<Document> {
    let text = |bytes: &Option<Vec<u8>>| {
        bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    [
        ("payload", text(&view.body.payload)),
        ("context", text(&view.body.context)),
        ("metadata", view.run.metadata.clone()),
        ("output", text(&view.output)),
    ]
    .into_iter()
    .filter_map(|(name, stored)| Some(Document::new(name, &stored?)))
    .collect()
}

/// Oldest first.
fn late_results(log: &[Attempt], now: Time) -> Vec<LateResult> {
    let late = |attempt: &Attempt| LateResult {
        at: When::at(attempt.started_at.plus(Span(i64::from(attempt.elapsed_ms))), now),
        fence: u64::from(attempt.number),
        what: late_badge(&attempt.class),
        body: cut(&attempts::body(&attempt.body), Document::SHOWN_BYTES_MAX).to_owned(),
    };
    log.iter().rev().filter(|attempt| attempt.late).map(late).collect()
}

/// What was reported too late says nothing good or bad about the run.
fn late_badge(what: &str) -> Badge {
    Badge::new(Tone::Gray, "clock", what.replace('_', " "))
}

/// The body of a request that creates the same run anew; its key stays with the old one.
#[derive(Serialize)]
struct Again<'a> {
    task: &'a str,
    org: &'a str,
    env: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "is_zero")]
    priority: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
}

fn is_zero(priority: &i8) -> bool {
    *priority == 0
}

fn curl(address: &str, view: &RunView) -> String {
    let run = &view.run;
    let again = Again {
        task: run.task.as_str(),
        org: run.org.as_str(),
        env: run.env.as_str(),
        payload: raw(view.body.payload.as_deref()),
        context: raw(view.body.context.as_deref()),
        metadata: raw(run.metadata.as_deref().map(str::as_bytes)),
        tags: &run.tags,
        priority: run.priority,
        concurrency_key: run.concurrency_key.as_deref(),
        max_attempts: run.max_attempts,
    };
    match serde_json::to_string(&again) {
        Ok(body) if body.len() <= CURL_BYTES_MAX => {
            text::curl_post(&format!("{address}/v1/runs"), &body)
        }
        _ => String::new(),
    }
}

/// Parent, source and replays, as far as they are still there.
fn related(
    front: &Front,
    run: &Run,
    history: &History,
    now: Time,
) -> Result<Vec<RelatedRun>, Refusal> {
    let mut relations: Vec<(&str, RunId)> = Vec::new();
    relations.extend(run.parent.map(|id| ("parent", id)));
    relations.extend(run.replay_of.map(|id| ("replay of", id)));
    let replays = history.lines.iter().rev().filter(|line| line.what == "replayed");
    let replays = replays.filter_map(|line| line.detail.rsplit(' ').next()?.parse::<RunId>().ok());
    relations.extend(replays.take(REPLAYS_SHOWN).map(|id| ("replayed as", id)));
    let mut shown = Vec::new();
    for (relation, id) in relations {
        let other = front.appliance.run_row(id, &Scope::default());
        let Some(other) = found(other, Code::RunNotFound)? else { continue };
        shown.push(RelatedRun {
            relation: relation.to_owned(),
            run: RunLink::to(id.to_string()),
            task: other.task.to_string(),
            state: Badge::run(other.status.as_str()),
            created: When::at(other.created_at, now),
        });
    }
    Ok(shown)
}
