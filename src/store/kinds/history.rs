//! History: one row a tick with every value, packed by series once its hour is over.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use crate::model::histogram::{Histogram, Parts};
use crate::model::history::{Latency, Resolution, Scope, Slot};
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

/// A row is squeezed once an hour and may be read often.
const ZSTD_LEVEL: i32 = 3;
/// Of a row that is read: 24 hours of two histograms with every bucket are far less.
const TIMES_BYTES_MAX: u32 = 1 << 20;

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
struct PackedRow {
    bytes: Vec<u8>,
}

impl Record for PackedRow {
    const KIND: &'static str = "packed history";
}

/// Histograms of a series: counts that can be read by themselves, and their buckets. Neighbours are much
/// alike, so buckets are squeezed by zstd where that helps.
#[derive(Encode, Decode)]
struct TimesRow {
    head: Vec<u8>,
    buckets: Vec<u8>,
    /// How many bytes the buckets were; 0 when they are not squeezed.
    squeezed_from: u32,
}

impl Record for TimesRow {
    const KIND: &'static str = "lengths of time";
    const MINOR: u8 = 1;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<TimesRow, Fault>> {
        ((major, minor) == (1, 0)).then(|| {
            let (PackedRow { bytes }, _) = codec::decode_body(TimesRow::KIND, body)?;
            let times = read_times(&bytes, &|_| true).ok_or_else(|| damaged("times"))?;
            Ok(TimesRow::of(times.iter().map(|(step, latency)| (step, latency))))
        })
    }
}

impl TimesRow {
    fn of<'l>(steps: impl Iterator<Item = (&'l u32, &'l Latency)>) -> TimesRow {
        let (mut head, mut buckets, mut last) = (Vec::new(), Vec::new(), 0);
        for (step, latency) in steps {
            put_number(&mut head, u64::from(step - last));
            last = *step;
            for histogram in [&latency.wait, &latency.run] {
                put_number(&mut head, histogram.buckets().len() as u64);
                if !histogram.is_empty() {
                    put_number(&mut head, histogram.count());
                    put_sums(&mut head, histogram);
                    put_buckets(&mut buckets, histogram);
                }
            }
        }
        TimesRow { head, buckets, squeezed_from: 0 }
    }

    fn squeezed(self) -> TimesRow {
        let squeezed = zstd::bulk::compress(&self.buckets, ZSTD_LEVEL).ok();
        match squeezed.filter(|squeezed| squeezed.len() < self.buckets.len()) {
            Some(buckets) => {
                let from = u32::try_from(self.buckets.len());
                let squeezed_from = from.expect("a day of histograms is far below 4 GiB");
                TimesRow { buckets, squeezed_from, ..self }
            }
            None => self,
        }
    }

    fn read(self) -> Option<BTreeMap<u32, Latency>> {
        let buckets = match self.squeezed_from {
            0 => self.buckets,
            bytes if bytes > TIMES_BYTES_MAX => return None,
            bytes => zstd::bulk::decompress(&self.buckets, bytes as usize).ok()?,
        };
        let (mut head, mut buckets) = (Reader::new(&self.head), Reader::new(&buckets));
        let (mut steps, mut last) = (BTreeMap::new(), 0_u32);
        while !head.is_empty() {
            last = last.checked_add(u32::try_from(head.number()?).ok()?)?;
            let mut histogram = || {
                let count = head.number()?;
                if count == 0 {
                    return Some(Histogram::default());
                }
                head.number()?;
                let sums = read_sums(&mut head)?;
                read_buckets(&mut buckets, count, sums)
            };
            steps.insert(last, Latency { wait: histogram()?, run: histogram()? });
        }
        buckets.is_empty().then_some(steps)
    }

    /// How many runs ended, by step.
    fn runs(&self) -> Option<Vec<(u32, u64)>> {
        let (mut head, mut runs, mut last) = (Reader::new(&self.head), Vec::new(), 0_u32);
        while !head.is_empty() {
            last = last.checked_add(u32::try_from(head.number()?).ok()?)?;
            let mut count = || {
                if head.number()? == 0 {
                    return Some(0);
                }
                let count = head.number()?;
                read_sums(&mut head)?;
                Some(count)
            };
            count()?;
            runs.push((last, count()?));
        }
        Some(runs)
    }
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
/// Lengths of time by number of their series, ascending.
pub type Times = Vec<(u32, Latency)>;

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
    let span = between(Table::HistoryTick, &range).newest_first();
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let row: PackedRow = codec::decode(value)?;
            let values = read_values(&row.bytes).ok_or_else(|| damaged("tick"))?;
            Ok((KeyReader::new(key).u32()?, values))
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

/// Adds lengths of time to those of a tick.
pub fn add_times(tx: &mut Tx<'_>, tick: u32, times: Times) -> Result<(), Fault> {
    let key = Key::new(Table::HistoryTimes).u32(tick);
    let mut all: BTreeMap<u32, Latency> = match load::<PackedRow>(tx, &key)? {
        Some(row) => {
            let times = read_times(&row.bytes, &|_| true).ok_or_else(|| damaged("times"))?;
            times.into_iter().collect()
        }
        None => BTreeMap::new(),
    };
    for (number, latency) in times {
        all.entry(number).or_default().merge(&latency);
    }
    tx.put(key, &PackedRow { bytes: pack_times(all.iter()) });
    Ok(())
}

/// Lengths of time of a range of ticks, at most `limit`, the newest of them, and of the series that are
/// wanted.
pub fn times(
    rows: &dyn Rows,
    range: std::ops::Range<u32>,
    limit: usize,
    wanted: &dyn Fn(u32) -> bool,
) -> Result<Vec<(u32, Times)>, Fault> {
    let span = between(Table::HistoryTimes, &range).newest_first();
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let row: PackedRow = codec::decode(value)?;
            let times = read_times(&row.bytes, wanted).ok_or_else(|| damaged("times"))?;
            Ok((KeyReader::new(key).u32()?, times))
        })
        .collect()
}

/// Removes the ticks of an hour that is packed.
pub fn remove_ticks(tx: &mut Tx<'_>, range: std::ops::Range<u32>) -> Result<(), Fault> {
    for table in [Table::HistoryTick, Table::HistoryTimes] {
        super::remove_some(tx, &between(table, &range), range.len())?;
    }
    Ok(())
}

fn pack_times<'l>(all: impl Iterator<Item = (&'l u32, &'l Latency)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    for (number, latency) in all {
        put_number(&mut bytes, u64::from(number - last));
        put_histogram(&mut bytes, &latency.wait);
        put_histogram(&mut bytes, &latency.run);
        last = *number;
    }
    bytes
}

fn read_times(bytes: &[u8], wanted: &dyn Fn(u32) -> bool) -> Option<Times> {
    let (mut reader, mut times, mut last) = (Reader::new(bytes), Vec::new(), 0_u32);
    while !reader.is_empty() {
        last = last.checked_add(u32::try_from(reader.number()?).ok()?)?;
        if wanted(last) {
            let wait = read_histogram(&mut reader)?;
            times.push((last, Latency { wait, run: read_histogram(&mut reader)? }));
        } else {
            skip_histogram(&mut reader)?;
            skip_histogram(&mut reader)?;
        }
    }
    Some(times)
}

fn put_histogram(bytes: &mut Vec<u8>, histogram: &Histogram) {
    put_number(bytes, histogram.buckets().len() as u64);
    if !histogram.is_empty() {
        put_sums(bytes, histogram);
        put_buckets(bytes, histogram);
    }
}

fn put_sums(bytes: &mut Vec<u8>, histogram: &Histogram) {
    for number in [histogram.sum_ms(), histogram.min_ms(), histogram.max_ms()] {
        put_number(bytes, number);
    }
}

fn put_buckets(bytes: &mut Vec<u8>, histogram: &Histogram) {
    let mut last = 0;
    for (bucket, count) in histogram.buckets() {
        put_number(bytes, u64::from(bucket - last));
        put_number(bytes, *count);
        last = *bucket;
    }
}

fn read_histogram(reader: &mut Reader<'_>) -> Option<Histogram> {
    match reader.number()? {
        0 => Some(Histogram::default()),
        count => {
            let sums = read_sums(reader)?;
            read_buckets(reader, count, sums)
        }
    }
}

fn skip_histogram(reader: &mut Reader<'_>) -> Option<()> {
    let count = reader.number()?;
    let numbers = if count == 0 { 0 } else { count.checked_mul(2)?.checked_add(3)? };
    (0..numbers).try_for_each(|_| reader.number().map(drop))
}

/// Sum, least and most.
fn read_sums(reader: &mut Reader<'_>) -> Option<[u64; 3]> {
    Some([reader.number()?, reader.number()?, reader.number()?])
}

fn read_buckets(reader: &mut Reader<'_>, count: u64, sums: [u64; 3]) -> Option<Histogram> {
    // Each takes a byte or more of each number: no count makes room for what is not there.
    let room = usize::try_from(count).ok()?.min(reader.left());
    let (mut buckets, mut last) = (Vec::with_capacity(room), 0_u16);
    for _ in 0..count {
        let gap = u16::try_from(reader.number()?).ok()?;
        if gap == 0 && !buckets.is_empty() {
            return None;
        }
        last = last.checked_add(gap)?;
        buckets.push((last, reader.number()?));
    }
    let [sum_ms, min_ms, max_ms] = sums;
    Some(Histogram::from_parts(Parts { buckets, sum_ms, min_ms, max_ms }))
}

fn block_key(resolution: Resolution, block: u32, series: u32) -> Key {
    let table = match resolution {
        Resolution::Raw => Table::HistoryRaw,
        Resolution::Fine => Table::HistoryFine,
        Resolution::Coarse => Table::HistoryCoarse,
    };
    Key::new(table).u32(block).u32(series)
}

/// Steps of a block: an hour of ticks, or a day. What is not there is all gaps.
pub fn block(
    rows: &dyn Rows,
    resolution: Resolution,
    block: u32,
    series: u32,
) -> Result<Vec<Option<Slot>>, Fault> {
    let steps = resolution.block_steps();
    let Some(row) = load::<PackedRow>(rows, &block_key(resolution, block, series))? else {
        return Ok(vec![None; steps]);
    };
    let mut reader = Reader::new(&row.bytes);
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

fn times_table(resolution: Resolution) -> Table {
    if resolution == Resolution::Coarse { Table::TimesCoarse } else { Table::TimesFine }
}

/// Seconds that a row of lengths of time spans.
pub fn times_block_secs(resolution: Resolution) -> i64 {
    match resolution {
        Resolution::Coarse => crate::model::history::DAY_SECS,
        Resolution::Raw | Resolution::Fine => crate::model::history::HOUR_SECS,
    }
}

/// Histograms of a row, by step.
pub fn times_block(
    rows: &dyn Rows,
    resolution: Resolution,
    block: u32,
    series: u32,
) -> Result<BTreeMap<u32, Latency>, Fault> {
    let key = Key::new(times_table(resolution)).u32(block).u32(series);
    let Some(row) = load::<TimesRow>(rows, &key)? else { return Ok(BTreeMap::new()) };
    row.read().ok_or_else(|| damaged("times"))
}

/// How many runs ended, by step.
pub fn runs_block(
    rows: &dyn Rows,
    resolution: Resolution,
    block: u32,
    series: u32,
) -> Result<Vec<(u32, u64)>, Fault> {
    let key = Key::new(times_table(resolution)).u32(block).u32(series);
    let Some(row) = load::<TimesRow>(rows, &key)? else { return Ok(Vec::new()) };
    row.runs().ok_or_else(|| damaged("times"))
}

pub fn put_times_block(
    tx: &mut Tx<'_>,
    resolution: Resolution,
    block: u32,
    series: u32,
    steps: &BTreeMap<u32, Latency>,
) {
    let key = Key::new(times_table(resolution)).u32(block).u32(series);
    tx.put(key, &TimesRow::of(steps.iter()).squeezed());
}

/// Everything that is older than this hour or this day, one span a table.
pub fn older_than(hour: u32, day: u32) -> [Span; 5] {
    [
        (Table::HistoryRaw, hour),
        (Table::HistoryFine, day),
        (Table::HistoryCoarse, day),
        (Table::TimesFine, hour),
        (Table::TimesCoarse, day),
    ]
    .map(|(table, before)| between(table, &(0..before)))
}

fn damaged(what: &str) -> Fault {
    Fault::Corrupt(format!("a {what} of history cannot be read"))
}
