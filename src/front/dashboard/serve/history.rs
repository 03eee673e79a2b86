//! `GET /history`: a window of the last thirty days.

use std::collections::BTreeMap;

use axum::extract::State as Has;

use super::html;
use super::look::Look;
use super::workers::event_row;
use crate::appliance::events::Event;
use crate::appliance::history::Summary;
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::front::dashboard::alerts::what_badge;
use crate::front::dashboard::chart::{Chart, Series as Line, Unit};
use crate::front::dashboard::heat::{Heatmap, Timeline};
use crate::front::dashboard::history::{Figure, HistoryPage, LatencyPanel, Range};
use crate::front::dashboard::parts::{Tone, When};
use crate::front::dashboard::text;
use crate::front::dashboard::workers::ScalingEvent;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;
use crate::model::alert::{Severity, What};
use crate::model::histogram::Histogram;
use crate::model::history::{Latency, Point, Scope, Window};
use crate::model::refusal::Refusal;
use crate::model::sample::{Metric, Series};
use crate::model::task::Delivery;
use crate::model::worker::{EventKind, FleetEvent};

const RANGES: [(&str, Span); 5] = [
    ("1h", Span::from_hours(1)),
    ("6h", Span::from_hours(6)),
    ("24h", Span::from_hours(24)),
    ("7d", Span::from_days(7)),
    ("30d", Span::from_days(30)),
];
const RANGE_DEFAULT: &str = "24h";
/// Lines of a chart, tasks with percentiles, rows of the heatmap, events.
const LINES_MAX: usize = 6;
const TASKS_MAX: usize = 6;
const HEAT_ROWS_MAX: usize = 20;
const EVENTS_MAX: usize = 500;
const NOTHING_MEASURED: &str = "Nothing was measured in this window.";
pub const TONES: [Tone; LINES_MAX] =
    [Tone::Blue, Tone::Green, Tone::Yellow, Tone::Violet, Tone::Red, Tone::Cyan];

pub async fn show(Has(front): Has<Front>, query: Query) -> Answer {
    Ok(html(200, &page(&front, query)?))
}

/// What was asked for.
struct Asked {
    /// One of [`RANGES`]; empty for a window of its own.
    range: String,
    from: String,
    to: String,
    window: Window,
    wrong: String,
}

fn asked(front: &Front, mut query: Query) -> Result<Asked, Refusal> {
    let now = front.appliance.now();
    let (from, to) = (query.text("from"), query.text("to"));
    let range = query.text("range").unwrap_or_default();
    query.end()?;
    let length = RANGES.iter().find(|(name, _)| *name == range).map(|(_, span)| *span);
    let usual = || front.appliance.window(Some(now.minus(length.unwrap_or(RANGES[2].1))), None);
    let mut asked = Asked {
        range: if length.is_some() { range.clone() } else { RANGE_DEFAULT.to_owned() },
        from: from.clone().unwrap_or_default(),
        to: to.clone().unwrap_or_default(),
        window: usual()?,
        wrong: String::new(),
    };
    if from.is_none() && to.is_none() {
        if length.is_none() && !range.is_empty() {
            let known = RANGES.map(|(name, _)| name).join("`, `");
            asked.wrong = format!("`range`: expected `{known}`, got {}", quote(&range));
        }
        return Ok(asked);
    }
    let given = |name: &str, text: Option<String>| {
        let fields = text.map(|text| (name.to_owned(), text));
        Query::of(fields).time(name, now)
    };
    let custom = given("from", from)
        .and_then(|from| given("to", to).map(|to| (from, to)))
        .and_then(|(from, to)| front.appliance.window(from, to));
    match custom {
        Ok(window) => (asked.window, asked.range) = (window, String::new()),
        Err(refusal) => asked.wrong = refusal.message,
    }
    Ok(asked)
}

fn page(front: &Front, query: Query) -> Result<HistoryPage, Refusal> {
    let look = Look::take(front)?;
    let asked = asked(front, query)?;
    let window = &asked.window;
    let summary = front.appliance.history_summary(window)?;
    let events = events(front, window)?;
    let mut shell = look.shell(front, "History", "/history", "/history".to_owned());
    // Told once: a chart that moves while it is read helps nobody.
    shell.live = false;
    let range = |(name, _): &(&str, Span)| Range {
        label: (*name).to_owned(),
        href: format!("/history?range={name}"),
        current: asked.range == *name,
    };
    let gaps = gaps(front, window, look.now)?;
    let incidents = events.iter().filter(|event| event.severity() != "info");
    Ok(HistoryPage {
        shell,
        ranges: RANGES.iter().map(range).collect(),
        window: words(window),
        figures: figures(&summary, gaps == NOTHING_MEASURED),
        gaps,
        charts: charts(front, window)?,
        latencies: latencies(front, window, &summary)?,
        heatmap: heatmap(front, window)?,
        infrastructure: infrastructure(front, window)?,
        timeline: timeline(window, &events),
        incidents: incidents.map(|event| incident(event, look.now)).collect(),
        events_cut: summary.events_cut || events.len() == EVENTS_MAX,
        from: asked.from,
        to: asked.to,
        wrong: asked.wrong,
    })
}

/// With its year: a window may be a year away.
fn minute(at: Time) -> String {
    text::exact(at).chars().take(16).collect()
}

fn words(window: &Window) -> String {
    let (whole, step) = (window.to.since(window.from), Span::from_secs(window.bucket_secs));
    format!(
        "{} to {} UTC, {} in steps of {}",
        minute(window.from),
        minute(window.to),
        text::span(whole),
        text::span(step)
    )
}

/// What is missing of a window, in a sentence; empty for nothing. Every tick has the memory.
fn gaps(front: &Front, window: &Window, now: Time) -> Result<String, Refusal> {
    let series = Series::new(Metric::MemoryBytes, "");
    let found = front.appliance.history_values(std::slice::from_ref(&series), window)?;
    let known = found[&series].len();
    // The step of this moment may be too young.
    let over =
        buckets(window).iter().filter(|at| (*at + window.bucket_secs) * 1_000 <= now.0).count();
    let missing = over.saturating_sub(known);
    let steps = |count: usize| text::count(count as u64);
    Ok(match (known, missing) {
        (0, _) => NOTHING_MEASURED.to_owned(),
        (_, 0) => String::new(),
        (_, missing) => {
            let (missing, all) = (steps(missing), steps(over));
            format!(
                "Nothing was measured in {missing} of {all} steps, because Tidegate was not running: lines have gaps there."
            )
        }
    })
}

/// `unknown`: what was not measured is not 0.
fn figures(summary: &Summary, unknown: bool) -> Vec<Figure> {
    let figure = |label: &str, count: u64, tone: Option<Tone>| Figure {
        label: label.to_owned(),
        value: if unknown && count == 0 { text::NOTHING.to_owned() } else { text::count(count) },
        tone: tone.filter(|_| count > 0),
    };
    vec![
        figure("Runs created", summary.created, None),
        figure("Runs finished", summary.finished, None),
        figure("Runs failed", summary.failed, Some(Tone::Red)),
        figure("Crashes", summary.crashes, Some(Tone::Red)),
        figure("Scaling events", summary.scale_events, None),
    ]
}

/// First seconds of all buckets.
fn buckets(window: &Window) -> Vec<i64> {
    let last = window.bucket_of(window.to.0.saturating_sub(1).div_euclid(1_000));
    let first = window.bucket_of(window.from.0.div_euclid(1_000));
    (first..=last).step_by(window.bucket_secs.max(1) as usize).collect()
}

/// The end of a chart and its steps.
fn place(window: &Window) -> (Time, Span) {
    let last = buckets(window).last().copied().unwrap_or(0);
    (Time(last * 1_000), Span::from_secs(window.bucket_secs))
}

/// A value for each bucket; a gap where there is none.
fn aligned(window: &Window, points: &[Point], value: fn(&Point) -> f64) -> Vec<f64> {
    let known: BTreeMap<i64, f64> =
        points.iter().map(|point| (point.at_secs, value(point))).collect();
    buckets(window).iter().map(|at| known.get(at).copied().unwrap_or(f64::NAN)).collect()
}

fn named(
    front: &Front,
    window: &Window,
    of: &[(&str, Metric, Tone)],
) -> Result<Vec<Line>, Refusal> {
    let wanted: Vec<Series> = of.iter().map(|(_, metric, _)| Series::new(*metric, "")).collect();
    let found = front.appliance.history_values(&wanted, window)?;
    let line = |((name, _, tone), series): (&(&str, Metric, Tone), &Series)| Line {
        name: (*name).to_owned(),
        tone: *tone,
        values: aligned(window, &found[series], |point| point.mean),
        peaks: aligned(window, &found[series], |point| point.max),
    };
    Ok(of.iter().zip(&wanted).map(line).collect())
}

/// The series of a metric with the highest values, which are ever above zero.
pub fn highest(
    front: &Front,
    window: &Window,
    metric: Metric,
    most: usize,
) -> Result<Vec<Line>, Refusal> {
    let found = front.appliance.history_highest(metric, window, most)?;
    let line = |((series, points), tone): ((Series, Vec<Point>), Tone)| Line {
        name: series.subject,
        tone,
        values: aligned(window, &points, |point| point.mean),
        peaks: aligned(window, &points, |point| point.max),
    };
    Ok(found.into_iter().zip(TONES.into_iter().cycle()).map(line).collect())
}

/// Lengths of the longest streams.
pub fn backlog(front: &Front, window: &Window, id: &str) -> Result<Chart, Refusal> {
    let lines = highest(front, window, Metric::StreamLength, LINES_MAX)?;
    Ok(Chart::of(id, "Entries of the longest streams", Unit::Count, place(window), &lines))
}

fn charts(front: &Front, window: &Window) -> Result<Vec<Chart>, Refusal> {
    let throughput = named(
        front,
        window,
        &[
            ("created", Metric::CreatedPerSecond, Tone::Blue),
            ("finished", Metric::FinishedPerSecond, Tone::Green),
            ("failed", Metric::FailedPerSecond, Tone::Red),
        ],
    )?;
    let fleet = highest(front, window, Metric::WorkersAlive, LINES_MAX)?;
    let waiting = named(
        front,
        window,
        &[
            ("outbox", Metric::OutboxDue, Tone::Blue),
            ("buffer", Metric::BufferDepth, Tone::Violet),
            ("callbacks", Metric::Callbacks, Tone::Yellow),
        ],
    )?;
    let place = place(window);
    Ok(vec![
        Chart::of("throughput", "Runs per second", Unit::PerSecond, place, &throughput),
        Chart::of("fleet", "Workers alive", Unit::Count, place, &fleet),
        backlog(front, window, "backlog")?,
        Chart::of("waiting", "Outbox, buffer and callbacks", Unit::Count, place, &waiting),
    ])
}

fn infrastructure(front: &Front, window: &Window) -> Result<Vec<Chart>, Refusal> {
    let sizes = named(
        front,
        window,
        &[("memory", Metric::MemoryBytes, Tone::Blue), ("store", Metric::StoreBytes, Tone::Violet)],
    )?;
    let commits = named(
        front,
        window,
        &[
            ("commit p50", Metric::CommitP50Ms, Tone::Green),
            ("commit p99", Metric::CommitP99Ms, Tone::Yellow),
            ("sync p99", Metric::SyncP99Ms, Tone::Red),
        ],
    )?;
    let disk = named(front, window, &[("disk used", Metric::DiskUsedPercent, Tone::Yellow)])?;
    let doors = highest(front, window, Metric::Connections, LINES_MAX)?;
    let place = place(window);
    Ok(vec![
        Chart::of("sizes", "Memory and store", Unit::Bytes, place, &sizes),
        Chart::of("commits", "Commits", Unit::Millis, place, &commits),
        Chart::of("disk", "Disk", Unit::Percent, place, &disk),
        Chart::of("doors", "Connections", Unit::Count, place, &doors),
    ])
}

fn latencies(
    front: &Front,
    window: &Window,
    summary: &Summary,
) -> Result<Vec<LatencyPanel>, Refusal> {
    let tasks: Vec<String> =
        summary.task_volume.iter().take(TASKS_MAX).map(|(task, _)| task.clone()).collect();
    let window = &window.of_times();
    let found = front.appliance.history_times(Scope::Task, &tasks, window)?;
    let mut panels = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let times = &found[task];
        let all = Latency::total(times.values());
        let percentiles = |part: fn(&Latency) -> &Histogram| -> Vec<Line> {
            [("p50", 0.5, Tone::Green), ("p95", 0.95, Tone::Yellow), ("p99", 0.99, Tone::Red)]
                .into_iter()
                .map(|(name, q, tone)| Line {
                    name: name.to_owned(),
                    tone,
                    values: buckets(window)
                        .iter()
                        .map(|at| times.get(at).map(part).filter(|one| !one.is_empty()))
                        .map(|one| one.map_or(f64::NAN, |one| one.quantile_ms(q)))
                        .collect(),
                    peaks: Vec::new(),
                })
                .collect()
        };
        let mut waits = percentiles(|latency| &latency.wait);
        waits.push(oldest(front, window, task)?);
        let runs = percentiles(|latency| &latency.run);
        let (place, id) = (place(window), |part: &str| format!("{part}-{index}"));
        panels.push(LatencyPanel {
            task: task.clone(),
            run_words: told(&all.run),
            wait_words: told(&all.wait),
            run: Chart::of(&id("run"), "Run time", Unit::Millis, place, &runs),
            wait: Chart::of(&id("wait"), "Wait", Unit::Millis, place, &waits),
        });
    }
    Ok(panels)
}

fn told(histogram: &Histogram) -> String {
    if histogram.is_empty() {
        return "no run".to_owned();
    }
    let at = |q| Unit::Millis.show(histogram.quantile_ms(q));
    let (p50, p95, p99) = (at(0.5), at(0.95), at(0.99));
    format!("{} runs, p50 {p50}, p95 {p95}, p99 {p99}", text::count(histogram.count()))
}

/// How long the oldest one had waited that had not started: it is in no percentile.
fn oldest(front: &Front, window: &Window, task: &str) -> Result<Line, Refusal> {
    let known = Name::new(task).ok().and_then(|name| front.appliance.task(&name).ok());
    let stream = known.and_then(|task| match task.delivery {
        Delivery::Pull { stream, .. } => Some(stream),
        Delivery::Push(_) => None,
    });
    let (name, series) = match stream {
        Some(stream) => ("oldest waiting", Series::new(Metric::StreamOldestUnreadSeconds, stream)),
        None => ("oldest in the outbox", Series::new(Metric::OutboxOldestSeconds, "")),
    };
    let found = front.appliance.history_values(std::slice::from_ref(&series), window)?;
    Ok(Line {
        name: name.to_owned(),
        tone: Tone::Violet,
        values: aligned(window, &found[&series], |point| point.max * 1_000.0),
        peaks: Vec::new(),
    })
}

fn heatmap(front: &Front, window: &Window) -> Result<Heatmap, Refusal> {
    let mut rows = highest(front, window, Metric::WorkerUtilization, HEAT_ROWS_MAX)?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let (to, step) = place(window);
    Ok(Heatmap::new(to, step, rows))
}

fn events(front: &Front, window: &Window) -> Result<Vec<Event>, Refusal> {
    let page = front.appliance.events(Some(Id::floor_of(window.to)), EVENTS_MAX)?;
    let found = page.into_iter().map(|(_, event)| event);
    Ok(found.take_while(|event| event.at() >= window.from).collect())
}

fn incident(event: &Event, now: Time) -> ScalingEvent {
    match event {
        Event::Fleet(event) => event_row(event, now),
        Event::Alert(line) => ScalingEvent {
            at: When::at(line.at, now),
            worker: line.subject.clone(),
            what: what_badge(line.what.as_str()),
            detail: event.detail(),
        },
    }
}

fn timeline(window: &Window, events: &[Event]) -> Timeline {
    let dot = |event: &Event| {
        let critical = event.severity() == "critical";
        let tone = match event {
            Event::Alert(line) if line.what == What::Resolved => Tone::Green,
            Event::Alert(line) if line.severity == Severity::Warning => Tone::Yellow,
            _ if critical => Tone::Red,
            Event::Fleet(FleetEvent { kind: EventKind::ScaleUp, .. }) => Tone::Green,
            _ => Tone::Gray,
        };
        (event.at(), tone, critical, event.detail())
    };
    Timeline::new(window.from, window.to, events.iter().map(dot).collect())
}
