//! Questions about history: bounded work for any window.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Time;
use crate::model::history::{
    Buckets, HOUR_TICKS, Latency, Point, Resolution, Scope, Slot, TICK_SECS, Tier, TimesByBucket,
    Window, tick_of,
};
use crate::model::sample::{Metric, Series};
use crate::store::fault::Fault;
use crate::store::kinds::history::{self as rows, Named};
use crate::store::kinds::times;
use crate::store::rows::Rows;

/// Ticks that are not packed yet and are read for one answer: three hours, the newest ones.
const TICKS_READ_MAX: usize = 3 * HOUR_TICKS;

/// Series of a metric, or of several: those whose text starts with `prefix`, at most `limit`.
pub fn by_prefix(rows: &dyn Rows, prefix: &str, limit: usize) -> Result<Vec<Series>, Fault> {
    let mut found = Vec::new();
    let (word, subject) = match prefix.split_once(':') {
        Some((word, subject)) => (word, Some(subject)),
        None => (prefix, None),
    };
    for metric in Metric::ALL {
        let fits = match subject {
            Some(_) => metric.as_str() == word,
            None => metric.as_str().starts_with(word),
        };
        if !fits || found.len() >= limit {
            continue;
        }
        let room = limit - found.len();
        for (named, _) in rows::of_metric(rows, *metric, subject.unwrap_or_default(), room)? {
            if let Named::Value(series) = named {
                found.push(series);
            }
        }
    }
    Ok(found)
}

/// Names that have lengths of time.
pub fn times_names(rows: &dyn Rows, scope: Scope, limit: usize) -> Result<Vec<String>, Fault> {
    let found = rows::of_scope(rows, scope, limit)?;
    let name = |(named, _)| match named {
        Named::Times(_, name) => Some(name),
        Named::Value(_) => None,
    };
    Ok(found.into_iter().filter_map(name).collect())
}

/// The values of some series in the buckets of a window; those that are not known are empty.
pub fn values(
    rows: &dyn Rows,
    wanted: &[Series],
    window: &Window,
) -> Result<BTreeMap<Series, Vec<Point>>, Fault> {
    let (resolution, step) = (window.resolution, window.resolution.step_secs());
    let mut found: BTreeMap<Series, Vec<Point>> = BTreeMap::new();
    let mut open: BTreeMap<u32, (Series, Buckets, BTreeSet<i64>)> = BTreeMap::new();
    for series in wanted {
        found.insert(series.clone(), Vec::new());
        if let Some(known) = rows::known(rows, &Named::Value(series.clone()))? {
            open.insert(known.number, (series.clone(), Buckets::default(), BTreeSet::new()));
        }
    }
    let ticks = rows::ticks(rows, ticks_of(window), TICKS_READ_MAX)?;
    let first_tick = ticks.iter().map(|(tick, _)| i64::from(*tick) * TICK_SECS).min();
    let numbers = open.keys().copied().collect();
    for block in window.blocks(resolution.block_secs()) {
        let start = i64::from(block) * resolution.block_secs();
        for (number, slots) in rows::blocks(rows, resolution, block, &numbers)? {
            let Some((_, buckets, packed)) = open.get_mut(&number) else { continue };
            for (at, slot) in slots.into_iter().enumerate() {
                let at = start + at as i64 * step;
                let Some(slot) = slot.filter(|_| window.holds(at, step)) else { continue };
                buckets.add(window.bucket_of(at), slot);
                if first_tick.is_some_and(|first| at + step > first) {
                    packed.insert(at);
                }
            }
        }
    }
    for (tick, values) in ticks {
        let at = i64::from(tick) * TICK_SECS;
        let step_start = at.div_euclid(step) * step;
        if !window.holds(step_start, step) {
            continue;
        }
        for (number, value) in values {
            // While an hour is being packed a series may have both.
            if let Some((_, buckets, packed)) = open.get_mut(&number)
                && !packed.contains(&step_start)
            {
                buckets.add(window.bucket_of(at), Slot::one(value));
            }
        }
    }
    for (series, buckets, _) in open.into_values() {
        found.insert(series, buckets.points());
    }
    Ok(found)
}

/// The ticks of all steps that a window touches: the first may have begun before it, the last may end
/// after it.
fn ticks_of(window: &Window) -> std::ops::Range<u32> {
    let step_ms = window.resolution.step_secs() * 1_000;
    let step = |time: Time| time.0.div_euclid(step_ms);
    let end = step(Time(window.to.0.saturating_sub(1))).saturating_add(1);
    tick_of(Time(step(window.from) * step_ms))..tick_of(Time(end.saturating_mul(step_ms)))
}

/// How long runs of these names took, in the buckets of a window. Percentiles are told by the merged
/// histograms (7.28).
pub fn times(
    rows: &dyn Rows,
    scope: Scope,
    names: &[String],
    window: &Window,
) -> Result<BTreeMap<String, TimesByBucket>, Fault> {
    let window = window.of_times();
    let mut found: BTreeMap<String, TimesByBucket> = BTreeMap::new();
    found.extend(names.iter().map(|name| (name.clone(), TimesByBucket::new())));
    let numbers = numbers_of(rows, scope, names)?;
    let mut newest = unpacked(rows, &window, &numbers)?;
    let mut gatherer = times::Gatherer::default();
    for (number, name) in numbers {
        for block in window.blocks(window.tier().block_secs()) {
            for tier in window.coarser_tier(block).into_iter().chain([window.tier()]) {
                let bucket_of =
                    |step| Some(window.bucket_of(start_of(&window, tier, block, step)?));
                // What was packed before there were coarser rows has none.
                if gatherer.add(rows, (tier, block, number), &bucket_of)? {
                    break;
                }
            }
        }
        for (at, latency) in newest.remove(&number).unwrap_or_default() {
            gatherer.gathering.add(window.bucket_of(at), &latency);
        }
        found.insert(name, gatherer.gathering.take());
    }
    Ok(found)
}

/// How many runs of these names ended in a window; those without any are absent.
pub fn runs(
    rows: &dyn Rows,
    scope: Scope,
    names: &[String],
    window: &Window,
) -> Result<BTreeMap<String, u64>, Fault> {
    let window = window.of_times();
    let numbers = numbers_of(rows, scope, names)?;
    let mut found: BTreeMap<u32, u64> = BTreeMap::new();
    for number in numbers.keys() {
        let tier = window.tier();
        for block in window.blocks(tier.block_secs()) {
            let steps = times::runs(rows, tier, block, *number)?;
            let start = |(step, _): &&(u32, u64)| start_of(&window, tier, block, *step);
            let within = steps.iter().filter(|step| start(step).is_some());
            *found.entry(*number).or_default() += within.map(|(_, count)| count).sum::<u64>();
        }
    }
    for (number, newest) in unpacked(rows, &window, &numbers)? {
        let count: u64 = newest.iter().map(|(_, latency)| latency.run.count()).sum();
        *found.entry(number).or_default() += count;
    }
    let told = found.into_iter().filter(|(_, count)| *count > 0);
    Ok(told.map(|(number, count)| (numbers[&number].clone(), count)).collect())
}

/// Names of a scope by the numbers of their series.
fn numbers_of(
    rows: &dyn Rows,
    scope: Scope,
    names: &[String],
) -> Result<BTreeMap<u32, String>, Fault> {
    let mut numbers = BTreeMap::new();
    for name in names {
        if let Some(known) = rows::known(rows, &Named::Times(scope, name.clone()))? {
            numbers.insert(known.number, name.clone());
        }
    }
    Ok(numbers)
}

/// When a step of a row began, in seconds; `None` when it is outside of the window.
fn start_of(window: &Window, tier: Tier, block: u32, step: u32) -> Option<i64> {
    let at = i64::from(block) * tier.block_secs() + i64::from(step) * tier.step_secs();
    window.holds(at, tier.step_secs()).then_some(at)
}

/// Lengths of time of a window that stand in ticks still, each with its second, by number of the series.
fn unpacked(
    rows: &dyn Rows,
    window: &Window,
    numbers: &BTreeMap<u32, String>,
) -> Result<BTreeMap<u32, Vec<(i64, Latency)>>, Fault> {
    let (state, step) = (rows::state(rows)?, window.resolution.step_secs());
    let mut found: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    let wanted = |number| numbers.contains_key(&number);
    for (tick, newest) in times::ticks(rows, ticks_of(window), TICKS_READ_MAX, &wanted)? {
        let at = i64::from(tick) * TICK_SECS;
        if window.holds(at.div_euclid(step) * step, step) {
            // Up to this one the hour is packed.
            let is_packed =
                |number| state.hour == tick / HOUR_TICKS as u32 && number <= state.after;
            for (number, latency) in newest.into_iter().filter(|(number, _)| !is_packed(*number)) {
                found.entry(number).or_default().push((at, latency));
            }
        }
    }
    Ok(found)
}

/// The highest value of each series of a metric over a window, highest first.
pub fn peaks(
    rows: &dyn Rows,
    metric: Metric,
    window: &Window,
    limit: usize,
) -> Result<Vec<(String, f64)>, Fault> {
    let coarse = Window { resolution: window.resolution.max(Resolution::Fine), ..*window };
    let wanted = by_prefix(rows, &format!("{}:", metric.as_str()), limit)?;
    let mut peaks = Vec::new();
    for (series, points) in values(rows, &wanted, &coarse)? {
        let highest = points.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max);
        if highest > 0.0 {
            peaks.push((series.subject, highest));
        }
    }
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(peaks)
}

/// How far a number that only grows has come over a window: from the highest value before it, or the
/// first in it, to its highest.
pub fn growth(rows: &dyn Rows, metric: Metric, window: &Window) -> Result<f64, Fault> {
    let wanted = [Series::new(metric, "")];
    let first = window.bucket_of(window.from.0.div_euclid(1_000));
    let earlier = Window { from: Time((first - window.bucket_secs) * 1_000), ..*window };
    let points = values(rows, &wanted, &earlier)?.remove(&wanted[0]).unwrap_or_default();
    let highest = points.iter().map(|point| point.max).fold(0.0, f64::max);
    let before = points.iter().find(|point| point.at_secs < first).map(|point| point.max);
    let lowest = before.or_else(|| {
        // Of a step only mean and highest are kept; it grew as much before its mean as after it.
        points.first().map(|point| 2.0 * point.mean - point.max)
    });
    Ok((highest - lowest.unwrap_or(0.0).max(0.0)).max(0.0))
}
