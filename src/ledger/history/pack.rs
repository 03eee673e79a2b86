//! Packing hours that are over: from a row a tick to rows by series, a slice at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::{Span, Time};
use crate::model::history::{
    DAY_SECS, Gathering, HOUR_SECS, HOUR_TICKS, Latency, Resolution, Slot, TICK_SECS, Tier,
};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::history::{self as rows, Values};
use crate::store::kinds::times::{self, Times};
use crate::store::tx::Tx;

use super::SERIES_AT_ONCE;

/// An hour is packed so long after its end.
const GRACE: Span = Span::from_mins(1);
const TICKS: u32 = HOUR_TICKS as u32;
/// Ticks of a step of five minutes, and such steps of an hour.
const FINE_TICKS: usize = 300 / TICK_SECS as usize;
const FINE_STEPS: usize = HOUR_TICKS / FINE_TICKS;

/// Packs the next series of the hour that was begun, or else of the earliest one that is over; true when
/// there is more to do.
pub fn pack(tx: &mut Tx<'_>) -> Result<bool, Stop> {
    let mut state = rows::state(tx)?;
    // An hour that was begun goes on, even where a clock that went back has left an earlier one to be
    // packed: there is one mark, and without it lengths of time would be added twice.
    let begun = Some(state.hour).filter(|hour| *hour != 0);
    let due = if begun.is_some() { begun } else { due_hour(tx, tx.now())? };
    let Some(hour) = due else { return Ok(false) };
    let after = if begun.is_some() { state.after } else { 0 };
    let range = hour * TICKS..(hour + 1) * TICKS;
    let ticks = rows::ticks(tx, range.clone(), HOUR_TICKS)?;
    let times = times::ticks(tx, range.clone(), HOUR_TICKS, &|number| number > after)?;
    let (slice, more) = next_series(&ticks, &times, after);
    for (number, ticks) in values_of(&ticks, &slice) {
        pack_values(tx, hour, number, &ticks)?;
    }
    for (number, steps) in times_of(times, &slice) {
        pack_times(tx, hour, number, &steps)?;
    }
    if more {
        let last = slice.last().copied().unwrap_or(u32::MAX);
        (state.hour, state.after) = (hour, last);
    } else {
        rows::remove_ticks(tx, range)?;
        (state.hour, state.after) = (0, 0);
    }
    rows::put_state(tx, &state);
    Ok(more || due_hour(tx, tx.now())?.is_some())
}

/// The earliest hour that is over and has ticks; hours since 1970.
fn due_hour(tx: &Tx<'_>, now: Time) -> Result<Option<u32>, Fault> {
    let first = rows::first_ticks(tx)?.into_iter().flatten().min();
    Ok(first.map(|tick| tick / TICKS).filter(|hour| {
        let end = Time((i64::from(*hour) + 1) * HOUR_SECS * 1_000);
        end.plus(GRACE) <= now
    }))
}

/// The next series behind `after`, and whether there are more behind them.
fn next_series(
    ticks: &[(u32, Values)],
    times: &[(u32, Times)],
    after: u32,
) -> (BTreeSet<u32>, bool) {
    let of_values = ticks.iter().flat_map(|(_, values)| values.iter().map(|(number, _)| *number));
    let of_times = times.iter().flat_map(|(_, times)| times.iter().map(|(number, _)| *number));
    let mut all: BTreeSet<u32> =
        of_values.chain(of_times).filter(|number| *number > after).collect();
    let rest = all.iter().nth(SERIES_AT_ONCE).copied();
    let more = rest.map(|first| all.split_off(&first)).is_some();
    (all, more)
}

/// Tick within the hour, and its value, by series.
fn values_of(ticks: &[(u32, Values)], slice: &BTreeSet<u32>) -> BTreeMap<u32, Vec<(usize, f64)>> {
    let mut found: BTreeMap<u32, Vec<(usize, f64)>> = BTreeMap::new();
    for (tick, values) in ticks {
        for (number, value) in values.iter().filter(|(number, _)| slice.contains(number)) {
            found.entry(*number).or_default().push(((tick % TICKS) as usize, *value));
        }
    }
    found
}

/// Step of five minutes within the hour, and its histograms, by series.
fn times_of(
    times: Vec<(u32, Times)>,
    slice: &BTreeSet<u32>,
) -> BTreeMap<u32, BTreeMap<u32, Latency>> {
    let mut found: BTreeMap<u32, BTreeMap<u32, Latency>> = BTreeMap::new();
    for (tick, times) in times {
        let step = tick % TICKS / FINE_TICKS as u32;
        for (number, latency) in times.into_iter().filter(|(number, _)| slice.contains(number)) {
            found.entry(number).or_default().entry(step).or_default().merge(&latency);
        }
    }
    found
}

fn pack_values(
    tx: &mut Tx<'_>,
    hour: u32,
    series: u32,
    ticks: &[(usize, f64)],
) -> Result<(), Fault> {
    let mut raw = rows::block(tx, Resolution::Raw, hour, series)?;
    for (tick, value) in ticks {
        // What is there already was packed before a clock went back.
        raw[*tick].get_or_insert(Slot::one(*value));
    }
    rows::put_block(tx, Resolution::Raw, hour, series, &raw);
    let (day, within) = place_of(hour);
    let mut fine = rows::block(tx, Resolution::Fine, day, series)?;
    for (step, ticks) in raw.chunks(FINE_TICKS).enumerate() {
        fine[within * FINE_STEPS + step] = mean_of(ticks);
    }
    rows::put_block(tx, Resolution::Fine, day, series, &fine);
    let mut coarse = rows::block(tx, Resolution::Coarse, day, series)?;
    coarse[within] = mean_of(&raw);
    rows::put_block(tx, Resolution::Coarse, day, series, &coarse);
    Ok(())
}

fn mean_of(ticks: &[Option<Slot>]) -> Option<Slot> {
    Slot::of(ticks.iter().flatten().map(|slot| slot.mean))
}

/// The day of an hour, and which of its hours that is.
fn place_of(hour: u32) -> (u32, usize) {
    let hours = (DAY_SECS / HOUR_SECS) as u32;
    (hour / hours, (hour % hours) as usize)
}

/// Ticks of lengths of time are removed in the commit that packs them, so adding them is right even
/// to what was packed before.
fn pack_times(
    tx: &mut Tx<'_>,
    hour: u32,
    series: u32,
    steps: &BTreeMap<u32, Latency>,
) -> Result<(), Fault> {
    let (day, within) = place_of(hour);
    let mut fine = times::block(tx, Tier::FiveMinutes, hour, series)?;
    let mut hours = times::block(tx, Tier::Hour, day, series)?;
    for (step, latency) in steps {
        fine.entry(*step).or_default().merge(latency);
        hours.entry(within as u32).or_default().merge(latency);
    }
    times::put_block(tx, Tier::FiveMinutes, hour, series, &fine);
    times::put_block(tx, Tier::Hour, day, series, &hours);
    times::put_block(tx, Tier::FourHours, day, series, &four_hours_of(&hours));
    Ok(())
}

/// Made of all hours each time: a day may have begun before there was such a row.
fn four_hours_of(hours: &BTreeMap<u32, Latency>) -> BTreeMap<u32, Latency> {
    let hours_each = (Tier::FourHours.step_secs() / Tier::Hour.step_secs()) as u32;
    let mut gathering = Gathering::default();
    for (hour, latency) in hours {
        gathering.add(i64::from(hour / hours_each), latency);
    }
    gathering.take().into_iter().map(|(step, latency)| (step as u32, latency)).collect()
}
