//! `GET /live`: the newest measurement.

use std::cmp::Reverse;

use axum::extract::State as Has;

use super::alerts::{first_of_each, rows as alert_rows};
use super::history::backlog;
use super::html;
use super::look::Look;
use super::workers::{by_need, card, event_row};
use crate::base::time::Span;
use crate::front::dashboard::chart::Unit;
use crate::front::dashboard::history::Figure;
use crate::front::dashboard::live::{LivePage, OrgRow, StreamRow};
use crate::front::dashboard::names::{shown, stream_href};
use crate::front::dashboard::parts::Tone;
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::model::alert::Alert;
use crate::model::refusal::Refusal;
use crate::model::sample::{Metric, Sample};

/// Rows of each table.
/// Types of workers.
const CARDS_SHOWN: usize = 30;
const STREAMS_SHOWN: usize = 50;
const ORGS_SHOWN: usize = 20;
const EVENTS_SHOWN: usize = 30;
/// What the chart shows.
const CHART_OVER: Span = Span::from_hours(1);
/// An answer from outside, or a row of the outbox, that waits for so long deserves a look.
const LATE_SECONDS: f64 = 600.0;
/// Measurements come every few seconds.
const MEASURED_LATE: Span = Span::from_secs(20);
/// How full a disk deserves a look, and how full is too full.
const DISK_WARN: f64 = 80.0;
const DISK_BAD: f64 = 90.0;

pub async fn show(Has(front): Has<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

fn page(front: &Front) -> Result<LivePage, Refusal> {
    let look = Look::take(front)?;
    let newest = front.appliance.newest_sample();
    let measured = newest.as_ref().map(|sample| text::relative(sample.at, look.now));
    let sample = newest.unwrap_or_default();
    let window = front.appliance.window(Some(look.now.minus(CHART_OVER)), None)?;
    let types = by_need(front.appliance.workers()?);
    let events = front.appliance.fleet_events(None, EVENTS_SHOWN)?;
    let (streams, streams_more) = streams(&sample);
    let mut firing: Vec<&Alert> = look.firing.iter().collect();
    firing.sort_by_key(|alert| Reverse(alert.severity));
    let (firing, firing_more) = first_of_each(alert_rows(front, firing.into_iter(), look.now));
    let is_late = measured.is_some() && look.now.since(sample.at) > MEASURED_LATE;
    let late = is_late.then(|| "Nothing was measured since: what follows is of then.".to_owned());
    let failed = sample.failed.iter().map(|(part, why)| format!("Not measured: {part}, {why}."));
    let left_out = sample.left_out.iter().map(|what| format!("Not measured: {what}."));
    Ok(LivePage {
        shell: look.shell(front, "Live", "/live", "/live".to_owned()),
        measured: measured.unwrap_or_default(),
        failed: late.into_iter().chain(failed).chain(left_out).collect(),
        runs: runs(&sample),
        firing,
        firing_more,
        cards: types.iter().take(CARDS_SHOWN).map(|kind| card(kind, look.now)).collect(),
        cards_more: types.len().saturating_sub(CARDS_SHOWN) as u64,
        chart: backlog(front, &window, "live-backlog")?,
        streams,
        streams_more,
        orgs: orgs(&sample),
        store: store(&sample),
        events: events.iter().map(|(_, event)| event_row(event, look.now)).collect(),
    })
}

fn figure(label: &str, value: Option<f64>, unit: Unit, tone: Option<Tone>) -> Figure {
    let value = value.map_or_else(|| text::NOTHING.to_owned(), |value| unit.show(value));
    Figure { label: label.to_owned(), value, tone }
}

/// A length of time given in seconds; none where nothing waits.
fn age(label: &str, seconds: Option<f64>) -> Figure {
    let seconds = seconds.filter(|seconds| *seconds > 0.0);
    let tone = seconds.filter(|seconds| *seconds >= LATE_SECONDS).map(|_| Tone::Yellow);
    figure(label, seconds.map(|seconds| seconds * 1_000.0), Unit::Millis, tone)
}

fn runs(sample: &Sample) -> Vec<Figure> {
    let count = |label: &str, metric, subject: &str| {
        figure(label, sample.get(metric, subject), Unit::Count, None)
    };
    let dead = sample.get(Metric::OutboxDead, "");
    let red = dead.filter(|dead| *dead > 0.0).map(|_| Tone::Red);
    let rate = |label: &str, metric| figure(label, sample.get(metric, ""), Unit::PerSecond, None);
    vec![
        count("Queued", Metric::Runs, "queued"),
        count("Executing", Metric::Runs, "executing"),
        rate("Created per second", Metric::CreatedPerSecond),
        rate("Finished per second", Metric::FinishedPerSecond),
        rate("Failed per second", Metric::FailedPerSecond),
        count("Outbox due", Metric::OutboxDue, ""),
        age("Oldest in the outbox", sample.get(Metric::OutboxOldestSeconds, "")),
        figure("Dead letters", dead, Unit::Count, red),
        count("Buffered", Metric::BufferDepth, ""),
        count("Callbacks", Metric::Callbacks, ""),
        age("Oldest callback", sample.get(Metric::CallbackOldestSeconds, "")),
    ]
}

fn streams(sample: &Sample) -> (Vec<StreamRow>, u64) {
    let mut all: Vec<(&str, f64)> = sample.of(Metric::StreamLength).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let more = all.len().saturating_sub(STREAMS_SHOWN) as u64;
    let row = |(name, length): &(&str, f64)| {
        let value = |metric, unit: Unit| unit.show(sample.get(metric, name).unwrap_or(f64::NAN));
        let unread = sample.get(Metric::StreamOldestUnreadSeconds, name).filter(|age| *age > 0.0);
        // A name that was no text cannot be found again by what is left of it.
        let readable = !name.contains(char::REPLACEMENT_CHARACTER);
        StreamRow {
            name: shown(name.as_bytes()),
            href: if readable { stream_href(name.as_bytes()) } else { String::new() },
            length: Unit::Count.show(*length),
            pending: value(Metric::StreamPending, Unit::Count),
            lag: value(Metric::StreamLag, Unit::Count),
            consumers: value(Metric::StreamConsumers, Unit::Count),
            added: value(Metric::StreamAddedPerSecond, Unit::PerSecond),
            unread: Unit::Millis.show(unread.map_or(f64::NAN, |seconds| seconds * 1_000.0)),
        }
    };
    (all.iter().take(STREAMS_SHOWN).map(row).collect(), more)
}

fn orgs(sample: &Sample) -> Vec<OrgRow> {
    let whole = |(org, _): &(&str, f64)| !org.contains('/');
    let mut all: Vec<(&str, f64)> = sample.of(Metric::OrgQueued).filter(whole).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let row = |(org, queued): &(&str, f64)| OrgRow {
        name: (*org).to_owned(),
        queued: Unit::Count.show(*queued),
        executing: Unit::Count.show(sample.get(Metric::OrgExecuting, org).unwrap_or(f64::NAN)),
    };
    all.iter().take(ORGS_SHOWN).map(row).collect()
}

fn store(sample: &Sample) -> Vec<Figure> {
    let one = |label: &str, metric, unit| figure(label, sample.get(metric, ""), unit, None);
    let used = sample.get(Metric::DiskUsedPercent, "");
    let tone = used.and_then(|used| match used {
        used if used >= DISK_BAD => Some(Tone::Red),
        used if used >= DISK_WARN => Some(Tone::Yellow),
        _ => None,
    });
    let open = |door| sample.get(Metric::Connections, door);
    vec![
        one("Store", Metric::StoreBytes, Unit::Bytes),
        one("Disk free", Metric::DiskFreeBytes, Unit::Bytes),
        figure("Disk used", used, Unit::Percent, tone),
        one("Memory", Metric::MemoryBytes, Unit::Bytes),
        one("Commit p50", Metric::CommitP50Ms, Unit::Millis),
        one("Commit p99", Metric::CommitP99Ms, Unit::Millis),
        one("Sync p99", Metric::SyncP99Ms, Unit::Millis),
        one("Commits per second", Metric::CommitsPerSecond, Unit::PerSecond),
        one("Per commit", Metric::BatchMean, Unit::Count),
        figure("HTTP connections", open("http"), Unit::Count, None),
        figure("Redis connections", open("redis"), Unit::Count, None),
    ]
}
