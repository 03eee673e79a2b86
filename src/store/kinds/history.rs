//! History: one row a tick with every value, packed by series once its hour is over.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bincode::{Decode, Encode};

use crate::model::history::{Resolution, Scope, Slot};
use crate::model::sample::{Metric, Series};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::pack::{Reader, put_column, put_number, put_value};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// What a number stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    Value(Series),
    Times(Scope, String),
}

/// The numbers on disk of the two kinds.
const VALUE: u8 = 1;
const TIMES: u8 = 2;

/// What is known of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub number: u32,
    /// Days since 1970.
    pub seen_day: u32,
}

#[derive(Encode, Decode)]
struct SeriesRow {
    number: u32,
    seen_day: u32,
}

impl Record for SeriesRow {
    const KIND: &'static str = "series of history";
}

/// What all packed rows are: bytes of `pack`.
#[derive(Encode, Decode)]
pub(super) struct PackedRow {
    pub bytes: Vec<u8>,
}

impl Record for PackedRow {
    const KIND: &'static str = "packed history";
}

#[derive(Encode, Decode)]
struct StateRow {
    next_number: u32,
    known: u32,
    hour: u32,
    after: u32,
}

impl Record for StateRow {
    const KIND: &'static str = "state of history";
}

/// Where packing stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The next series gets this number; numbers begin with 1.
    pub next_number: u32,
    /// Series that are known.
    pub known: u32,
    /// The hour that is being packed, and the last series that is; 0 for none.
    pub hour: u32,
    pub after: u32,
}

fn series_key(named: &Named) -> Key {
    let table = Key::new(Table::HistorySeries);
    match named {
        Named::Value(series) => table.u8(VALUE).u8(series.metric as u8).text(&series.subject),
        Named::Times(scope, name) => table.u8(TIMES).u8(*scope as u8).text(name),
    }
}

pub fn known(rows: &dyn Rows, named: &Named) -> Result<Option<Known>, Fault> {
    let row = load::<SeriesRow>(rows, &series_key(named))?;
    Ok(row.map(|row| Known { number: row.number, seen_day: row.seen_day }))
}

pub fn put_known(tx: &mut Tx<'_>, named: &Named, known: Known) {
    let row = SeriesRow { number: known.number, seen_day: known.seen_day };
    tx.put(series_key(named), &row);
}

pub fn remove_known(tx: &mut Tx<'_>, named: &Named) {
    tx.remove(series_key(named));
}

/// Series behind `after`, in the order of their keys.
pub fn list(
    rows: &dyn Rows,
    after: Option<&Named>,
    limit: usize,
) -> Result<Vec<(Named, Known)>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::HistorySeries));
    if let Some(after) = after {
        span = span.from(&series_key(after).u8(0));
    }
    listed(rows, &span, limit)
}

/// Series of a metric whose subject starts with `prefix`.
pub fn of_metric(
    rows: &dyn Rows,
    metric: Metric,
    prefix: &str,
    limit: usize,
) -> Result<Vec<(Named, Known)>, Fault> {
    let table = Key::new(Table::HistorySeries).u8(VALUE).u8(metric as u8);
    // A text without its end.
    let start = table.text(prefix).into_bytes();
    let start = Key::new(Table::HistorySeries).raw(&start[1..start.len() - 2]);
    listed(rows, &Span::prefix(&start), limit)
}

/// Series of lengths of time of a scope.
pub fn of_scope(rows: &dyn Rows, scope: Scope, limit: usize) -> Result<Vec<(Named, Known)>, Fault> {
    let table = Key::new(Table::HistorySeries).u8(TIMES).u8(scope as u8);
    listed(rows, &Span::prefix(&table), limit)
}

fn listed(rows: &dyn Rows, span: &Span, limit: usize) -> Result<Vec<(Named, Known)>, Fault> {
    let mut found = Vec::new();
    for (key, value) in collect(rows, span, limit)? {
        let mut reader = KeyReader::new(&key);
        let (kind, number, subject) = (reader.u8()?, reader.u8()?, reader.text()?);
        let named = match kind {
            VALUE => {
                let metric = super::word(Metric::from_number(number), "metric", number)?;
                Named::Value(Series { metric, subject })
            }
            _ => Named::Times(super::word(Scope::from_number(number), "scope", number)?, subject),
        };
        let row: SeriesRow = codec::decode(&value)?;
        found.push((named, Known { number: row.number, seen_day: row.seen_day }));
    }
    Ok(found)
}

pub fn state(rows: &dyn Rows) -> Result<State, Fault> {
    let row = load::<StateRow>(rows, &Key::new(Table::HistoryState))?;
    Ok(row.map_or(State { next_number: 1, ..State::default() }, |row| State {
        next_number: row.next_number,
        known: row.known,
        hour: row.hour,
        after: row.after,
    }))
}

pub fn put_state(tx: &mut Tx<'_>, state: &State) {
    let State { next_number, known, hour, after } = *state;
    tx.put(Key::new(Table::HistoryState), &StateRow { next_number, known, hour, after });
}

/// Values by number of their series, ascending.
pub type Values = Vec<(u32, f64)>;

pub fn put_tick(tx: &mut Tx<'_>, tick: u32, values: &Values) {
    let mut bytes = Vec::with_capacity(values.len() * 4);
    let mut last = 0;
    for (number, value) in values {
        put_number(&mut bytes, u64::from(number - last));
        put_value(&mut bytes, *value);
        last = *number;
    }
    tx.put(Key::new(Table::HistoryTick).u32(tick), &PackedRow { bytes });
}

pub fn has_tick(rows: &dyn Rows, tick: u32) -> Result<bool, Fault> {
    Ok(rows.get(Key::new(Table::HistoryTick).u32(tick).bytes())?.is_some())
}

/// The earliest tick with values, and the earliest with lengths of time.
pub fn first_ticks(rows: &dyn Rows) -> Result<[Option<u32>; 2], Fault> {
    let first = |table| {
        let found = crate::store::rows::first_key(rows, &Span::prefix(&Key::new(table)))?;
        found.map(|key| KeyReader::new(&key).u32()).transpose()
    };
    Ok([first(Table::HistoryTick)?, first(Table::HistoryTimes)?])
}

fn between(table: Table, ticks: &std::ops::Range<u32>) -> Span {
    let key = Key::new(table);
    Span::prefix(&key).from(&key.clone().u32(ticks.start)).before(&key.u32(ticks.end))
}

/// Ticks of a range, at most `limit`, the newest of them.
pub fn ticks(
    rows: &dyn Rows,
    range: std::ops::Range<u32>,
    limit: usize,
) -> Result<Vec<(u32, Values)>, Fault> {
    packed_ticks(rows, (Table::HistoryTick, range), limit, |row| {
        read_values(row).ok_or_else(|| damaged("tick"))
    })
}

/// What rows of a range of ticks hold, at most `limit`, the newest of them.
pub(super) fn packed_ticks<T>(
    rows: &dyn Rows,
    (table, range): (Table, std::ops::Range<u32>),
    limit: usize,
    read: impl Fn(&[u8]) -> Result<T, Fault>,
) -> Result<Vec<(u32, T)>, Fault> {
    let span = between(table, &range).newest_first();
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let row: PackedRow = codec::decode(value)?;
            Ok((KeyReader::new(key).u32()?, read(&row.bytes)?))
        })
        .collect()
}

fn read_values(bytes: &[u8]) -> Option<Values> {
    let (mut reader, mut values, mut last) = (Reader::new(bytes), Vec::new(), 0_u32);
    while !reader.is_empty() {
        last = last.checked_add(u32::try_from(reader.number()?).ok()?)?;
        values.push((last, reader.value()?));
    }
    Some(values)
}

/// Removes the ticks of an hour that is packed.
pub fn remove_ticks(tx: &mut Tx<'_>, range: std::ops::Range<u32>) -> Result<(), Fault> {
    for table in [Table::HistoryTick, Table::HistoryTimes] {
        super::remove_some(tx, &between(table, &range), range.len())?;
    }
    Ok(())
}

/// What is known of each step of a block.
pub type Slots = Vec<Option<Slot>>;

/// Rows that are passed over for each that is wanted, rather than to look for each by itself.
const PASSED_MAX: usize = 4;

fn of_block(resolution: Resolution, block: u32) -> Key {
    let table = match resolution {
        Resolution::Raw => Table::HistoryRaw,
        Resolution::Fine => Table::HistoryFine,
        Resolution::Coarse => Table::HistoryCoarse,
    };
    Key::new(table).u32(block)
}

fn block_key(resolution: Resolution, block: u32, series: u32) -> Key {
    of_block(resolution, block).u32(series)
}

/// Steps of a block: an hour of ticks, or a day. What is not there is all gaps.
pub fn block(
    rows: &dyn Rows,
    resolution: Resolution,
    block: u32,
    series: u32,
) -> Result<Slots, Fault> {
    match rows.get(block_key(resolution, block, series).bytes())? {
        Some(row) => read_block(resolution, &row),
        None => Ok(vec![None; resolution.block_steps()]),
    }
}

/// The same of several series; those without the block are absent. Rows of one block stand beside each
/// other: unless few of those between are wanted, one look finds them all.
pub fn blocks(
    rows: &dyn Rows,
    resolution: Resolution,
    block: u32,
    wanted: &BTreeSet<u32>,
) -> Result<Vec<(u32, Slots)>, Fault> {
    let mut found = Vec::new();
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(found) };
    if (last - first) as usize / PASSED_MAX >= wanted.len() {
        for series in wanted {
            if let Some(row) = rows.get(block_key(resolution, block, *series).bytes())? {
                found.push((*series, read_block(resolution, &row)?));
            }
        }
        return Ok(found);
    }
    let (first, behind) =
        (block_key(resolution, block, *first), block_key(resolution, block, *last));
    let span = Span::prefix(&of_block(resolution, block)).from(&first).before(&behind.u8(0));
    rows.scan(&span, &mut |key, row| {
        let mut key = KeyReader::new(key);
        let (_, series) = (key.u32()?, key.u32()?);
        if wanted.contains(&series) {
            found.push((series, read_block(resolution, row)?));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn read_block(resolution: Resolution, row: &[u8]) -> Result<Slots, Fault> {
    let row: PackedRow = codec::decode(row)?;
    let (steps, mut reader) = (resolution.block_steps(), Reader::new(&row.bytes));
    let mut column = || reader.column(steps).ok_or_else(|| damaged("block"));
    let means = column()?;
    if resolution == Resolution::Raw {
        return Ok(means.into_iter().map(|value| value.map(Slot::one)).collect());
    }
    let (highest, counts) = (column()?, column()?);
    let slots = means.into_iter().zip(highest).zip(counts);
    Ok(slots
        .map(|((mean, max), count)| Some(Slot { mean: mean?, max: max?, count: count? as u32 }))
        .collect())
}

pub fn put_block(
    tx: &mut Tx<'_>,
    resolution: Resolution,
    block: u32,
    series: u32,
    slots: &[Option<Slot>],
) {
    let mut bytes = Vec::new();
    let column = |value: fn(&Slot) -> f64| -> Vec<Option<f64>> {
        slots.iter().map(|slot| slot.as_ref().map(value)).collect()
    };
    put_column(&mut bytes, &column(|slot| slot.mean));
    if resolution != Resolution::Raw {
        put_column(&mut bytes, &column(|slot| slot.max));
        put_column(&mut bytes, &column(|slot| f64::from(slot.count)));
    }
    tx.put(block_key(resolution, block, series), &PackedRow { bytes });
}

/// Everything that is older than this hour or this day, one span a table.
pub fn older_than(hour: u32, day: u32) -> [Span; 6] {
    [
        (Table::HistoryRaw, hour),
        (Table::HistoryFine, day),
        (Table::HistoryCoarse, day),
        (Table::TimesFine, hour),
        (Table::TimesCoarse, day),
        (Table::TimesFourHours, day),
    ]
    .map(|(table, before)| between(table, &(0..before)))
}

pub(super) fn damaged(what: &str) -> Fault {
    Fault::Corrupt(format!("a {what} of history cannot be read"))
}
