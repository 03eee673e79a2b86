//! History as its duty and doors see it: a tick of it, an hour packed, and what windows answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::base::time::{Span, Time};
use crate::engine::timings::{Timings, Whose};
use crate::ledger::history::{OTHERS, TIMES_MAX, ask, forget, pack, tick};
use crate::model::history::{Latency, Point, Scope, WINDOW_MAX, Window};
use crate::model::refusal::{Code, Refusal};
use crate::model::sample::{Metric, Sample, Series};
use crate::model::worker::EventKind;
use crate::store::kinds::worker as fleet_rows;

use super::{Appliance, unreadable};

pub use crate::ledger::history::forget::Round;
pub use crate::ledger::history::tick::Ticked;
pub use crate::model::history::TimesByBucket;

/// Series of one answer.
pub const SERIES_MAX: usize = 100;
/// Window of an answer unless it is given.
pub const WINDOW_DEFAULT: Span = Span::from_hours(24);
/// Streams and tasks that a summary names.
pub const PEAKS_MAX: usize = 10;
pub const VOLUMES_MAX: usize = 20;
/// Series among which the highest are looked for.
pub const LOOKED_AT_MAX: usize = 1_000;
/// Events of the fleet that a summary looks at.
const EVENTS_MAX: usize = 20_000;
const EVENTS_AT_ONCE: usize = 1_000;

/// Tasks of which lengths of time are told since the start of the process.
const TASKS_MAX: usize = 100;

/// How long runs took since the start of the process, by task, as of the latest tick.
#[derive(Debug, Default)]
pub struct Durations(Mutex<BTreeMap<String, Latency>>);

impl Durations {
    fn add(&self, times: &tick::Times) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((scope, name), latency) in times {
            let known = all.len() < TASKS_MAX || all.contains_key(name);
            if *scope == Scope::Task {
                let name = if known { name.as_str() } else { OTHERS };
                all.entry(name.to_owned()).or_default().merge(latency);
            }
        }
    }
}

/// What happened in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub created: u64,
    pub finished: u64,
    pub failed: u64,
    pub crashes: u64,
    pub scale_events: u64,
    /// There were more events than are looked at.
    pub events_cut: bool,
    /// Longest that streams were, longest first.
    pub peak_backlog: Vec<(String, f64)>,
    /// Runs of tasks that ended, most first.
    pub task_volume: Vec<(String, u64)>,
}

impl Appliance {
    /// Where lengths of time are gathered between two ticks of history.
    pub fn timings(&self) -> &Timings {
        self.handle.timings()
    }

    /// Writes a sample into history, with the lengths of time since the tick before.
    pub async fn history_tick(&self, sample: &Sample) -> Result<Ticked, Refusal> {
        let times = named(self.timings().take());
        self.durations.add(&times);
        let sample = sample.clone();
        // Asked again it could count a run twice, so what is refused is lost.
        self.call(move |tx| tick::write(tx, &sample, times)).await
    }

    /// Writes the lengths of time since the last tick: the end of the process.
    pub async fn history_flush(&self) -> Result<(), Refusal> {
        let sample = Sample { at: self.now(), ..Sample::default() };
        self.history_tick(&sample).await.map(drop)
    }

    /// Packs a slice of an hour that is over; true when there is more.
    pub async fn history_pack(&self) -> Result<bool, Refusal> {
        self.call(pack::pack).await
    }

    /// Removes a slice of what is old.
    pub async fn history_forget(&self, round: Round) -> Result<Round, Refusal> {
        self.call(move |tx| forget::forget(tx, round)).await
    }

    /// A checked window; the last day unless it is given.
    pub fn window(&self, from: Option<Time>, to: Option<Time>) -> Result<Window, Refusal> {
        let now = self.now();
        let to = to.unwrap_or(now);
        let from = from.unwrap_or(to.minus(WINDOW_DEFAULT));
        let bad = |message: String| {
            let refusal = Refusal::new(Code::InvalidQuery, format!("`from`: {message}"));
            Err(refusal.with_details(serde_json::json!({ "field": "from" })))
        };
        if from >= to {
            return bad("expected a moment before `to`".to_owned());
        }
        if from < Time::ZERO || to.since(from) > WINDOW_MAX {
            return bad(format!("a window is at most {WINDOW_MAX} long"));
        }
        Ok(Window::new(from, to, now))
    }

    /// Values of series in the buckets of a window.
    pub fn history_values(
        &self,
        wanted: &[Series],
        window: &Window,
    ) -> Result<BTreeMap<Series, Vec<Point>>, Refusal> {
        ask::values(&self.snapshot()?, wanted, window).map_err(unreadable)
    }

    /// Series whose text starts with `prefix`; the first [`SERIES_MAX`], and whether there are more.
    pub fn history_series(&self, prefix: &str) -> Result<(Vec<Series>, bool), Refusal> {
        let mut found =
            ask::by_prefix(&self.snapshot()?, prefix, SERIES_MAX + 1).map_err(unreadable)?;
        let more = found.len() > SERIES_MAX;
        found.truncate(SERIES_MAX);
        Ok((found, more))
    }

    /// The series of a metric with the highest values in a window, the highest first, among the first
    /// [`LOOKED_AT_MAX`]; none that is never above zero.
    pub fn history_highest(
        &self,
        metric: Metric,
        window: &Window,
        most: usize,
    ) -> Result<Vec<(Series, Vec<Point>)>, Refusal> {
        let view = self.snapshot()?;
        let mut peaks = ask::peaks(&view, metric, window, LOOKED_AT_MAX).map_err(unreadable)?;
        peaks.truncate(most);
        let wanted: Vec<Series> =
            peaks.into_iter().map(|(subject, _)| Series::new(metric, subject)).collect();
        let mut found = ask::values(&view, &wanted, window).map_err(unreadable)?;
        let points = |series: Series| found.remove(&series).map(|points| (series, points));
        Ok(wanted.into_iter().filter_map(points).collect())
    }

    /// Names of a scope that have lengths of time.
    pub fn history_names(&self, scope: Scope) -> Result<(Vec<String>, bool), Refusal> {
        let mut found =
            ask::times_names(&self.snapshot()?, scope, SERIES_MAX + 1).map_err(unreadable)?;
        let more = found.len() > SERIES_MAX;
        found.truncate(SERIES_MAX);
        Ok((found, more))
    }

    /// How long runs took, in the buckets of a window.
    pub fn history_times(
        &self,
        scope: Scope,
        names: &[String],
        window: &Window,
    ) -> Result<BTreeMap<String, TimesByBucket>, Refusal> {
        ask::times(&self.snapshot()?, scope, names, window).map_err(unreadable)
    }

    /// How long runs took since the start of the process, by task.
    pub fn durations(&self) -> BTreeMap<String, Latency> {
        self.durations.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn history_summary(&self, window: &Window) -> Result<Summary, Refusal> {
        let view = self.snapshot()?;
        let growth = |metric| ask::growth(&view, metric, window).map(|grown| grown.round() as u64);
        let mut summary = Summary {
            created: growth(Metric::CreatedTotal).map_err(unreadable)?,
            finished: growth(Metric::FinishedTotal).map_err(unreadable)?,
            failed: growth(Metric::FailedTotal).map_err(unreadable)?,
            ..Summary::default()
        };
        let peaks = ask::peaks(&view, Metric::StreamLength, window, LOOKED_AT_MAX);
        summary.peak_backlog = peaks.map_err(unreadable)?;
        summary.peak_backlog.truncate(PEAKS_MAX);
        let tasks = ask::times_names(&view, Scope::Task, LOOKED_AT_MAX).map_err(unreadable)?;
        let counted = ask::runs(&view, Scope::Task, &tasks, window).map_err(unreadable)?;
        let mut volume: Vec<(String, u64)> = counted.into_iter().collect();
        volume.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        volume.truncate(VOLUMES_MAX);
        summary.task_volume = volume;
        drop(view);
        self.count_events(window, &mut summary)?;
        Ok(summary)
    }

    /// Counts what happened to the fleet in a window.
    fn count_events(&self, window: &Window, summary: &mut Summary) -> Result<(), Refusal> {
        let view = self.snapshot()?;
        let mut before = Some(crate::base::id::Id::floor_of(window.to));
        for _ in 0..EVENTS_MAX / EVENTS_AT_ONCE {
            let page = fleet_rows::events(&view, before, EVENTS_AT_ONCE).map_err(unreadable)?;
            let full = page.len() == EVENTS_AT_ONCE;
            for (id, event) in page {
                if event.at < window.from {
                    return Ok(());
                }
                match event.kind {
                    EventKind::Crash => summary.crashes += 1,
                    EventKind::ScaleUp | EventKind::ScaleDown => summary.scale_events += 1,
                }
                before = Some(id);
            }
            if !full {
                return Ok(());
            }
        }
        summary.events_cut = true;
        Ok(())
    }
}

/// Lengths of time by what they are of, at most [`TIMES_MAX`] of each scope.
fn named(taken: std::collections::HashMap<Whose, Latency>) -> tick::Times {
    let mut times = tick::Times::new();
    let mut counts = [0_usize; 5];
    let mut add = |scope: Scope, name: String, latency: &Latency| {
        let mut key = (scope, name);
        if !times.contains_key(&key) {
            if counts[scope as usize] >= TIMES_MAX {
                key.1 = OTHERS.to_owned();
            }
            counts[scope as usize] += 1;
        }
        times.entry(key).or_default().merge(latency);
    };
    // In order, so that the same ones are named each time.
    let ordered: BTreeMap<_, _> = taken.into_iter().collect();
    for (whose, latency) in ordered {
        match whose {
            Some((task, org, env, stream)) => {
                add(Scope::Task, task.to_string(), &latency);
                add(Scope::Org, org.to_string(), &latency);
                add(Scope::Env, format!("{org}/{env}"), &latency);
                if let Some(stream) = stream {
                    add(Scope::Stream, stream, &latency);
                }
            }
            None => {
                for scope in [Scope::Task, Scope::Org, Scope::Env] {
                    add(scope, OTHERS.to_owned(), &latency);
                }
            }
        }
    }
    times
}

#[cfg(test)]
mod tests;
