//! `GET /`: the figures of the appliance as the first page shows them.

use axum::extract::State;

use super::buffer_concerns;
use super::host;
use super::look::Look;
use super::{counted, html};
use crate::appliance::outbox::EndpointView;
use crate::appliance::overview::{OutboxFigures, Overview, TASKS_SHOWN_MAX, TaskFigures};
use crate::appliance::pulse::Step;
use crate::appliance::runs::Filter;
use crate::base::time::{Span, Time};
use crate::engine::gauges::WriterFigures;
use crate::front::dashboard::chart::{Chart, Series};
use crate::front::dashboard::overview::{
    EndpointLine, EventLine, FailureLine, OutboxCard, OverviewPage, StatusCard, StoreCard,
    StreamsCard, TaskLine,
};
use crate::front::dashboard::parts::{Badge, RunLink, Tone, When};
use crate::front::dashboard::shell::Banner;
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::model::backup::Backup;
use crate::model::delivery::Line;
use crate::model::refusal::Refusal;
use crate::model::run::{Run, Status};
use crate::model::task::{Delivery, KeyRule, Task};
use crate::model::worker;

/// Failed runs that are shown.
const FAILURES_SHOWN: usize = 10;
/// Streams whose figures are added up.
const STREAMS_LOOKED_AT: usize = 50;
/// Samples of the pulse that one step of the chart joins: twelve seconds.
const SAMPLES_PER_STEP: usize = 4;
/// A row that could go out and does not for this long deserves a look.
const LATE: Span = Span::from_mins(1);
const FAILED: [Status; 3] = [Status::Failed, Status::SystemFailure, Status::Expired];

pub async fn show(State(front): State<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

fn page(front: &Front) -> Result<OverviewPage, Refusal> {
    let look = Look::take(front)?;
    let now = look.now;
    let overview = front.appliance.overview()?;
    let tasks = front.appliance.tasks(None, TASKS_SHOWN_MAX)?;
    let failed = Filter { statuses: FAILED.to_vec(), ..Filter::default() };
    let failures = front.appliance.runs(&failed, FAILURES_SHOWN, None)?.runs;
    let rates = front.pulse.rates(now);
    let known = rates.over_s > 0.0;
    let rate = |per_s: f64| if known { text::rate(per_s) } else { text::NOTHING.to_owned() };
    let mut shell = look.shell(front, "Overview", "/", "/".to_owned());
    shell.banners.extend(look.concerns());
    shell.banners.extend(open_door(front));
    let buffer = buffer_concerns::of(&front.appliance.buffer_figures()?, front, now);
    shell.banners.extend(buffer.into_iter().map(|banner| banner.with_link("Buffer", "/buffer")));
    Ok(OverviewPage {
        shell,
        statuses: overview.statuses.iter().map(|(status, n)| card(*status, counted(*n))).collect(),
        created_per_s: rate(rates.created),
        finished_per_s: rate(rates.finished),
        rates_over: if known { span_words(rates.over_s) } else { "last minute".to_owned() },
        chart: chart(&front.pulse.steps(SAMPLES_PER_STEP)),
        outbox: outbox_card(&overview.outbox, look.pauses.len(), now),
        endpoints: look.endpoints.iter().take(TASKS_SHOWN_MAX).map(endpoint_line).collect(),
        tasks: overview.tasks.iter().map(|figures| task_line(figures, &tasks)).collect(),
        tasks_more: overview.tasks_more,
        endpoints_more: look.endpoints.len() > TASKS_SHOWN_MAX,
        streams: streams_card(front, now)?,
        store: store_card(front, &overview.writer, now)?,
        failures: failures.iter().map(|run| failure_line(run, now)).collect(),
        events: overview.events.iter().map(|line| event_line(line, now)).collect(),
        first_run_curl: first_run(&front.about.address, tasks.first()),
        no_runs: no_runs(&overview),
    })
}

/// That nobody was let in yet, for as long as that is so.
fn open_door(front: &Front) -> Option<Banner> {
    let text = "Everyone on this machine may do everything; no other machine reaches Tidegate.";
    (!front.appliance.is_set_up()).then(|| {
        Banner::new(Tone::Blue, "No access control.", text).with_link("Settings", "/settings")
    })
}

fn no_runs(overview: &Overview) -> bool {
    overview.totals.created == 0
}

/// `last minute`, or what there is of it after a start.
fn span_words(over_s: f64) -> String {
    if over_s < 50.0 { format!("last {over_s:.0} s") } else { "last minute".to_owned() }
}

fn card(status: Status, count: u64) -> StatusCard {
    StatusCard {
        state: Badge::run(status.as_str()),
        count,
        href: text::link("/runs", &[("status", status.as_str())]),
        alert: matches!(status, Status::Failed | Status::SystemFailure) && count > 0,
    }
}

fn chart(steps: &[Step]) -> Chart {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
        return Chart::rates("rates", "Runs per second", Time::ZERO, Span::ZERO, &[]);
    };
    let gaps = i64::try_from(steps.len() - 1).unwrap_or(1).max(1);
    let step = Span(last.at.since(first.at).0 / gaps);
    let covered = Span(step.0.saturating_mul(gaps + 1));
    let series = |name: &str, tone, value: fn(&Step) -> f64| Series {
        name: name.to_owned(),
        tone,
        values: steps.iter().map(value).collect(),
        peaks: Vec::new(),
    };
    let series = [
        series("created", Tone::Blue, |step| step.created),
        series("completed", Tone::Green, |step| step.completed),
        series("failed", Tone::Red, |step| step.failed),
    ];
    let title = format!("Runs per second, last {}", minutes(covered));
    Chart::rates("rates", &title, last.at, step, &series)
}

/// Whole minutes from two on, so that the title does not change with every refresh.
fn minutes(span: Span) -> String {
    match span.0 / 60_000 {
        0..=1 => format!("{} s", span.as_secs_ceil()),
        minutes => format!("{minutes} min"),
    }
}

fn outbox_card(figures: &OutboxFigures, paused: usize, now: Time) -> OutboxCard {
    let waits = figures.oldest_due.filter(|at| *at <= now).map(|at| now.since(at));
    OutboxCard {
        due: counted(figures.due),
        leased: counted(figures.leased),
        dead: counted(figures.dead),
        paused_scopes: paused as u64,
        oldest_due: waits.map_or(String::new(), text::span),
        oldest_late: waits.is_some_and(|waits| waits >= LATE),
    }
}

fn streams_card(front: &Front, now: Time) -> Result<StreamsCard, Refusal> {
    let found = front.appliance.streams(None, STREAMS_LOOKED_AT)?;
    let partial = found.next.is_some();
    let shown = text::count(found.lines.len() as u64);
    let waiting = found.lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.waiting));
    let worst = found.lines.iter().filter_map(|line| line.worst.as_ref());
    let oldest = worst.filter_map(|group| group.oldest).min();
    let types = front.appliance.workers()?;
    let workers = || types.iter().flat_map(|kind| &kind.workers);
    let are = |state| workers().filter(|view| view.worker.state == state).count() as u64;
    Ok(StreamsCard {
        streams: if partial { format!("{shown}+") } else { shown },
        partial,
        waiting,
        oldest: oldest.map_or(String::new(), |at| text::span(now.since(at))),
        workers_alive: are(worker::State::Alive),
        workers_crashed: are(worker::State::Crashed),
    })
}

fn endpoint_line(view: &EndpointView) -> EndpointLine {
    let (ok, failed) = view.window;
    EndpointLine {
        name: view.endpoint.name.to_string(),
        state: Badge::endpoint(view.state_word()),
        success: text::percent(u64::from(ok), u64::from(ok + failed)),
        last_error: match &view.endpoint.last_error {
            Some((_, code, detail)) => text::first_line(&format!("{code}: {detail}"), 200),
            None => String::new(),
        },
    }
}

fn task_line(figures: &TaskFigures, tasks: &[Task]) -> TaskLine {
    let task = tasks.iter().find(|task| task.name == figures.name);
    TaskLine {
        name: figures.name.to_string(),
        delivery: task.map_or(String::new(), delivery_words),
        delayed: counted(figures.delayed),
        queued: counted(figures.queued),
        executing: counted(figures.executing),
        failed: counted(figures.failed),
        limit: task.map_or(String::new(), limit_words),
    }
}

/// `push, sync` or `pull resize`.
pub fn delivery_words(task: &Task) -> String {
    match &task.delivery {
        Delivery::Push(push) => format!("push, {}", push.flush.as_str()),
        Delivery::Pull { stream, .. } => format!("pull {stream}"),
    }
}

fn limit_words(task: &Task) -> String {
    let Some(limit) = task.concurrency else { return String::new() };
    let limit = text::count(u64::from(limit));
    match task.concurrency_key {
        Some(KeyRule::Org) => format!("{limit} per org"),
        Some(KeyRule::Env) => format!("{limit} per env"),
        None => limit,
    }
}

fn store_card(front: &Front, writer: &WriterFigures, now: Time) -> Result<StoreCard, Refusal> {
    let commits = writer.commit_p50_ms > 0.0;
    let length = |ms: f64| {
        if commits { text::micros((ms * 1_000.0) as u64) } else { text::NOTHING.to_owned() }
    };
    let batch = if commits { text::rate(writer.batch_mean) } else { text::NOTHING.to_owned() };
    let file = host::store_bytes(&front.about.data_dir);
    let retention = front.appliance.retention_figures();
    let behind = retention.behind;
    let backups = front.appliance.backups()?;
    let (last, verified) = (backups.last(), backups.verified());
    Ok(StoreCard {
        backup_concern: backup_concern(front, last, now),
        backup: When::maybe(last.map(|last| last.finished_at), now),
        verified: When::maybe(verified.and_then(|verified| verified.verified_at), now),
        removed_runs: retention.removed.runs,
        runs_kept: text::span(front.appliance.retention().runs),
        removal_behind: if behind >= LATE { text::span(behind) } else { String::new() },
        file_bytes: file.map(|(length, _)| length),
        disk_bytes: file.map(|(_, allocated)| allocated),
        commit_p50: length(writer.commit_p50_ms),
        commit_p99: length(writer.commit_p99_ms),
        batch_size: batch,
        uptime: text::span(now.since(front.about.started_at)),
        memory_bytes: crate::base::memory::resident_bytes(),
    })
}

/// A backup that is damaged, or that should have been made by now.
fn backup_concern(front: &Front, last: Option<&Backup>, now: Time) -> String {
    if let Some(damage) = last.and_then(|last| last.damage.as_ref()) {
        return format!("The last backup is not whole: {damage}");
    }
    let Some(every) = front.appliance.backup_settings().every else { return String::new() };
    let since = last.map_or(front.about.started_at, |last| last.started_at);
    match now.since(since).0 > every.0.saturating_mul(2) {
        true => format!("One is to be made every {}; the last ones failed", text::span(every)),
        false => String::new(),
    }
}

fn failure_line(run: &Run, now: Time) -> FailureLine {
    FailureLine {
        run: RunLink::to(run.id.to_string()),
        task: run.task.to_string(),
        state: Badge::run(run.status.as_str()),
        finished: When::maybe(run.finished_at, now),
        error: error_line(run),
    }
}

/// The error of a run in one line, or that of its latest attempt.
pub fn error_line(run: &Run) -> String {
    match run.error.as_ref().or(run.last_failure.as_ref()) {
        Some(error) => text::first_line(&format!("{}: {}", error.code, error.message), 300),
        None => String::new(),
    }
}

fn event_line(line: &Line, now: Time) -> EventLine {
    let (tone, icon) = match line.what.as_str() {
        "exhausted" | "breaker_opened" | "endpoint_disabled" | "batch_callback_failed" => {
            (Tone::Red, "cross")
        }
        "endpoint_failing" => (Tone::Yellow, "warn"),
        "breaker_closed" | "endpoint_recovered" | "batch_done" => (Tone::Green, "check"),
        _ => (Tone::Gray, "info"),
    };
    EventLine {
        at: When::at(line.at, now),
        what: Badge::new(tone, icon, line.what.replace('_', " ")),
        detail: line.detail.clone(),
    }
}

/// What to type for a first run: with the first task there is, or with a task of its own.
pub fn first_run(address: &str, task: Option<&Task>) -> String {
    let run = |task: &str| {
        let body = format!(r#"{{"task": "{task}", "payload": {{"hello": "world"}}}}"#);
        text::curl_post(&format!("{address}/v1/runs"), &body)
    };
    let Some(task) = task else {
        let url = format!("{address}/v1/tasks/hello");
        let put =
            text::curl_put(&url, r#"{"delivery": {"push": {"url": "https://agent.example/run"}}}"#);
        return format!("{put}\n{}", run("hello"));
    };
    run(task.name.as_str())
}
