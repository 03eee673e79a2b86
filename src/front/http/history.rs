//! `/v1/history`: what was measured, how long runs took, and what a window comes to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::error::Answer;
use super::query::Query;
use super::state::Front;
use crate::appliance::history::{SERIES_MAX, TimesByBucket};
use crate::base::text::quote;
use crate::base::time::Time;
use crate::model::histogram::Histogram;
use crate::model::history::{Latency, Scope, Window};
use crate::model::refusal::{Code, Refusal};
use crate::model::sample::Series;

/// Values in buckets.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryMetrics)]
pub struct MetricsJson {
    #[schema(value_type = String)]
    from: Time,
    #[schema(value_type = String)]
    to: Time,
    /// Size of a bucket; it starts at a multiple of that since 1970.
    bucket_seconds: i64,
    /// By name: `[first second of the bucket, mean]`, oldest first. Buckets without values are absent.
    #[schema(value_type = Object)]
    series: BTreeMap<String, Vec<(i64, f64)>>,
    /// More series match than are told.
    more: bool,
}

/// Lengths of time in one bucket. Percentiles are those of all its runs.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryTimes)]
pub struct TimesJson {
    /// First second of the bucket; absent in totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
    /// How long runs took that ended.
    #[serde(flatten)]
    run: LengthsJson,
    /// How long runs had waited that started.
    wait: LengthsJson,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HistoryLengths)]
pub struct LengthsJson {
    count: u64,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    min_ms: u64,
    max_ms: u64,
}

impl LengthsJson {
    fn of(histogram: &Histogram) -> LengthsJson {
        let at = |q| (histogram.quantile_ms(q) * 10.0).round() / 10.0;
        LengthsJson {
            count: histogram.count(),
            mean_ms: (histogram.mean_ms() * 10.0).round() / 10.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            min_ms: histogram.min_ms(),
            max_ms: histogram.max_ms(),
        }
    }
}

impl TimesJson {
    fn of(ts: Option<i64>, latency: &Latency) -> TimesJson {
        TimesJson { ts, run: LengthsJson::of(&latency.run), wait: LengthsJson::of(&latency.wait) }
    }
}

/// How long runs took.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryLatency)]
pub struct LatencyJson {
    #[schema(value_type = String)]
    from: Time,
    #[schema(value_type = String)]
    to: Time,
    bucket_seconds: i64,
    /// `task`, `stream`, `org` or `env`.
    of: &'static str,
    /// By name: buckets, oldest first.
    #[schema(value_type = Object)]
    series: BTreeMap<String, Vec<TimesJson>>,
    /// By name: the whole window.
    #[schema(value_type = Object)]
    total: BTreeMap<String, TimesJson>,
    more: bool,
}

/// What a window comes to.
#[derive(Serialize, ToSchema)]
#[schema(as = HistorySummary)]
pub struct SummaryJson {
    #[schema(value_type = String)]
    from: Time,
    #[schema(value_type = String)]
    to: Time,
    runs_created: u64,
    runs_finished: u64,
    runs_failed: u64,
    crashes: u64,
    scale_events: u64,
    /// There were more events than are counted.
    events_cut: bool,
    /// Longest that streams were: the ten longest.
    #[schema(value_type = Object)]
    peak_backlog: BTreeMap<String, f64>,
    /// Runs that ended, by task: the twenty with most.
    #[schema(value_type = Object)]
    task_volume: BTreeMap<String, u64>,
}

fn window(front: &Front, query: &mut Query) -> Result<Window, Refusal> {
    let now = front.appliance.now();
    let (from, to) = (query.time("from", now)?, query.time("to", now)?);
    front.appliance.window(from, to)
}

fn bad(field: &str, message: String) -> Refusal {
    Refusal::new(Code::InvalidQuery, format!("`{field}`: {message}"))
        .with_details(json!({ "field": field }))
}

/// Names within their limit.
fn listed(field: &str, names: Vec<String>) -> Result<Vec<String>, Refusal> {
    match names.len() {
        1..=SERIES_MAX => Ok(names),
        count => Err(bad(field, format!("expected 1 to {SERIES_MAX} names, got {count}"))),
    }
}

fn values(front: &Front, wanted: &[Series], window: &Window, more: bool) -> Answer {
    let found = front.appliance.history_values(wanted, window)?;
    let series = found.into_iter().map(|(series, points)| {
        // Means are exact to a thousandth.
        let point = |at, mean: f64| (at, (mean * 1_000.0).round() / 1_000.0);
        let points = points.into_iter().map(|one| point(one.at_secs, one.mean));
        (series.to_string(), points.collect())
    });
    Ok(Json(MetricsJson {
        from: window.from,
        to: window.to,
        bucket_seconds: window.bucket_secs,
        series: series.collect(),
        more,
    })
    .into_response())
}

/// Series by name.
pub async fn metrics(State(front): State<Front>, mut query: Query) -> Answer {
    let window = window(&front, &mut query)?;
    let names = query.names("names");
    query.end()?;
    let mut wanted = Vec::new();
    for name in listed("names", names)? {
        let series = Series::parse(&name).ok_or_else(|| {
            let hint = r"a comma within a name is written `\,`";
            let name = quote(&name);
            bad("names", format!("nothing is measured under the name {name}; {hint}"))
        })?;
        wanted.push(series);
    }
    values(&front, &wanted, &window, false)
}

/// Series whose names begin alike.
pub async fn metrics_by_prefix(State(front): State<Front>, mut query: Query) -> Answer {
    let window = window(&front, &mut query)?;
    let prefix = query.text("prefix").unwrap_or_default();
    query.end()?;
    let (wanted, more) = front.appliance.history_series(&prefix)?;
    values(&front, &wanted, &window, more)
}

/// How long runs waited and ran.
pub async fn latency(State(front): State<Front>, mut query: Query) -> Answer {
    let window = window(&front, &mut query)?.of_times();
    let scopes = [
        (Scope::Stream, "streams"),
        (Scope::Task, "tasks"),
        (Scope::Org, "orgs"),
        (Scope::Env, "envs"),
    ];
    let mut asked = None;
    for (scope, field) in scopes {
        let names = query.names(field);
        if names.is_empty() {
            continue;
        }
        if asked.is_some() {
            return Err(bad(field, "ask for one of `streams tasks orgs envs`".to_owned()).into());
        }
        asked = Some((scope, field, names));
    }
    query.end()?;
    let (scope, names, more) = match asked {
        Some((scope, _, names)) if names == ["*"] => {
            let (names, more) = front.appliance.history_names(scope)?;
            (scope, names, more)
        }
        Some((scope, field, names)) => (scope, listed(field, names)?, false),
        None => {
            let (names, more) = front.appliance.history_names(Scope::Stream)?;
            (Scope::Stream, names, more)
        }
    };
    let found = front.appliance.history_times(scope, &names, &window)?;
    let total = found.iter().map(|(name, buckets)| {
        (name.clone(), TimesJson::of(None, &Latency::total(buckets.values())))
    });
    let buckets = |buckets: &TimesByBucket| {
        buckets.iter().map(|(at, latency)| TimesJson::of(Some(*at), latency)).collect()
    };
    Ok(Json(LatencyJson {
        from: window.from,
        to: window.to,
        bucket_seconds: window.bucket_secs,
        of: scope.as_str(),
        series: found.iter().map(|(name, found)| (name.clone(), buckets(found))).collect(),
        total: total.collect(),
        more,
    })
    .into_response())
}

/// What a window comes to.
pub async fn summary(State(front): State<Front>, mut query: Query) -> Answer {
    let window = window(&front, &mut query)?;
    query.end()?;
    let summary = front.appliance.history_summary(&window)?;
    Ok(Json(SummaryJson {
        from: window.from,
        to: window.to,
        runs_created: summary.created,
        runs_finished: summary.finished,
        runs_failed: summary.failed,
        crashes: summary.crashes,
        scale_events: summary.scale_events,
        events_cut: summary.events_cut,
        peak_backlog: summary.peak_backlog.into_iter().collect(),
        task_volume: summary.task_volume.into_iter().collect(),
    })
    .into_response())
}
