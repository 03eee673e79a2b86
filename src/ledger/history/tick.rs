//! Writing a tick: every value as one row, once; and the lengths of time that were seen since.

use std::collections::BTreeMap;

use crate::model::history::{Latency, Scope, tick_of};
use crate::model::sample::Sample;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::history::{self as rows, Known, Named, State};
use crate::store::kinds::times;
use crate::store::tx::Tx;

use super::{KNOWN_MAX, VALUES_MAX};
use crate::model::history::{DAY_SECS, HOUR_TICKS, TICK_SECS};

/// Lengths of time by what they are of.
pub type Times = BTreeMap<(Scope, String), Latency>;

/// What a tick came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// The values were not there before (7.35).
    pub fresh: bool,
    /// Series that are not kept, because there are too many.
    pub left_out: usize,
}

/// Writes a sample as the values of its half minute, unless that has some, and adds lengths of time.
pub fn write(tx: &mut Tx<'_>, sample: &Sample, times: Times) -> Result<Ticked, Stop> {
    let mut ticked = Ticked::default();
    let tick = tick_of(sample.at);
    let before = rows::state(tx)?;
    let mut state = before;
    let day = day_of(tick);
    // An hour that is being packed takes nothing more.
    let closed = before.hour != 0 && tick / HOUR_TICKS as u32 == before.hour;
    if !sample.values.is_empty() && !closed && !rows::has_tick(tx, tick)? {
        let mut values = Vec::with_capacity(sample.values.len());
        ticked.left_out = sample.values.len().saturating_sub(VALUES_MAX);
        for (series, value) in sample.values.iter().take(VALUES_MAX) {
            match number(tx, &mut state, Named::Value(series.clone()), day)? {
                Some(number) => values.push((number, *value)),
                None => ticked.left_out += 1,
            }
        }
        values.sort_unstable_by_key(|(number, _)| *number);
        rows::put_tick(tx, tick, &values);
        ticked.fresh = true;
    }
    let mut numbered = Vec::with_capacity(times.len());
    for ((scope, name), latency) in times {
        match number(tx, &mut state, Named::Times(scope, name), day)? {
            Some(number) => numbered.push((number, latency)),
            None => ticked.left_out += 1,
        }
    }
    if !numbered.is_empty() {
        let open = if closed { (before.hour + 1) * HOUR_TICKS as u32 } else { tick };
        times::add(tx, open, numbered)?;
    }
    if state != before {
        rows::put_state(tx, &state);
    }
    Ok(ticked)
}

/// Days since 1970.
pub(super) fn day_of(tick: u32) -> u32 {
    (i64::from(tick) * TICK_SECS / DAY_SECS) as u32
}

/// The number of a series; a new one gets the next. Once a day it is marked as seen.
fn number(
    tx: &mut Tx<'_>,
    state: &mut State,
    named: Named,
    day: u32,
) -> Result<Option<u32>, Fault> {
    let known = match rows::known(tx, &named)? {
        Some(known) if known.seen_day >= day => return Ok(Some(known.number)),
        Some(known) => Known { seen_day: day, ..known },
        None if state.known >= KNOWN_MAX => return Ok(None),
        None => {
            let number = state.next_number;
            (state.next_number, state.known) = (number + 1, state.known + 1);
            Known { number, seen_day: day }
        }
    };
    rows::put_known(tx, &named, known);
    Ok(Some(known.number))
}
