//! Lengths of time: one row a tick for every series, one row a block by series once its hour is over.

use std::collections::BTreeMap;
use std::ops::Range;

use bincode::{Decode, Encode};

use super::history::{PackedRow, damaged, packed_ticks};
use crate::model::histogram::{BUCKETS, Histogram, Merging, Parts};
use crate::model::history::{Gathering, Latency, Tier};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::pack::{Reader, put_number};
use crate::store::rows::{Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// A row is squeezed once an hour and may be read often.
const ZSTD_LEVEL: i32 = 3;
/// Of a row that is read: 24 hours of two histograms with every bucket are far less.
const BYTES_MAX: u32 = 1 << 20;

/// Lengths of time by number of their series, ascending.
pub type Times = Vec<(u32, Latency)>;

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
            let times = read_tick(&bytes, &|_| true).ok_or_else(|| damaged("times"))?;
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

    /// Visits the steps in their order, each with what is known of its two histograms.
    fn steps(&self, mut visit: impl FnMut(u32, [Head; 2]) -> Option<()>) -> Option<()> {
        let (mut head, mut last) = (Reader::new(&self.head), 0_u32);
        while !head.is_empty() {
            last = last.checked_add(u32::try_from(head.number()?).ok()?)?;
            visit(last, [Head::read(&mut head)?, Head::read(&mut head)?])?;
        }
        Some(())
    }
}

/// What is known of a histogram without its buckets.
#[derive(Default)]
struct Head {
    /// How many buckets it has.
    buckets: u64,
    count: u64,
    sums: Sums,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Option<Head> {
        match reader.number()? {
            0 => Some(Head::default()),
            buckets => Some(Head { buckets, count: reader.number()?, sums: read_sums(reader)? }),
        }
    }
}

/// Gives rows their buckets back; one serves for many rows.
#[derive(Default)]
struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    room: Vec<u8>,
}

impl Unpacker {
    fn buckets<'b>(&'b mut self, row: &'b TimesRow) -> Option<&'b [u8]> {
        match row.squeezed_from {
            0 => Some(&row.buckets),
            bytes if bytes > BYTES_MAX => None,
            bytes => {
                self.room.clear();
                self.room.reserve(bytes as usize);
                self.zstd.decompress_to_buffer(&row.buckets, &mut self.room).ok()?;
                (self.room.len() == bytes as usize).then_some(&self.room)
            }
        }
    }
}

/// Adds lengths of time to those of a tick.
pub fn add(tx: &mut Tx<'_>, tick: u32, times: Times) -> Result<(), Fault> {
    let key = Key::new(Table::HistoryTimes).u32(tick);
    let mut all: BTreeMap<u32, Latency> = match load::<PackedRow>(tx, &key)? {
        Some(row) => {
            let times = read_tick(&row.bytes, &|_| true).ok_or_else(|| damaged("times"))?;
            times.into_iter().collect()
        }
        None => BTreeMap::new(),
    };
    for (number, latency) in times {
        all.entry(number).or_default().merge(&latency);
    }
    tx.put(key, &PackedRow { bytes: pack_tick(all.iter()) });
    Ok(())
}

/// Lengths of time of a range of ticks, at most `limit`, the newest of them, and of the series that are
/// wanted.
pub fn ticks(
    rows: &dyn Rows,
    range: Range<u32>,
    limit: usize,
    wanted: &dyn Fn(u32) -> bool,
) -> Result<Vec<(u32, Times)>, Fault> {
    packed_ticks(rows, (Table::HistoryTimes, range), limit, |row| {
        read_tick(row, wanted).ok_or_else(|| damaged("times"))
    })
}

fn pack_tick<'l>(all: impl Iterator<Item = (&'l u32, &'l Latency)>) -> Vec<u8> {
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

fn read_tick(bytes: &[u8], wanted: &dyn Fn(u32) -> bool) -> Option<Times> {
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
        buckets => {
            let sums = read_sums(reader)?;
            read_list(reader, buckets, sums)
        }
    }
}

fn skip_histogram(reader: &mut Reader<'_>) -> Option<()> {
    match reader.number()? {
        0 => Some(()),
        buckets => {
            read_sums(reader)?;
            each_bucket(reader, buckets, |_, _| Some(()))
        }
    }
}

/// Sum, least and most.
type Sums = [u64; 3];

fn read_sums(reader: &mut Reader<'_>) -> Option<Sums> {
    Some([reader.number()?, reader.number()?, reader.number()?])
}

fn read_list(reader: &mut Reader<'_>, count: u64, sums: Sums) -> Option<Histogram> {
    // Each takes a byte or more of each number: no count makes room for what is not there.
    let room = usize::try_from(count).ok()?.min(reader.left());
    let mut buckets = Vec::with_capacity(room);
    each_bucket(reader, count, |bucket, count| {
        buckets.push((bucket, count));
        Some(())
    })?;
    let [sum_ms, min_ms, max_ms] = sums;
    Some(Histogram::from_parts(Parts { buckets, sum_ms, min_ms, max_ms }))
}

/// Visits buckets and their counts; they ascend.
fn each_bucket(
    reader: &mut Reader<'_>,
    count: u64,
    mut visit: impl FnMut(u16, u64) -> Option<()>,
) -> Option<()> {
    let mut last = 0_u16;
    for at in 0..count {
        let gap = u16::try_from(reader.number()?).ok()?;
        if gap == 0 && at > 0 {
            return None;
        }
        last = last.checked_add(gap).filter(|bucket| *bucket < BUCKETS)?;
        visit(last, reader.number()?)?;
    }
    Some(())
}

fn key(tier: Tier, block: u32, series: u32) -> Key {
    let table = match tier {
        Tier::FiveMinutes => Table::TimesFine,
        Tier::Hour => Table::TimesCoarse,
        Tier::FourHours => Table::TimesFourHours,
    };
    Key::new(table).u32(block).u32(series)
}

/// Histograms of a row, by step.
pub fn block(
    rows: &dyn Rows,
    tier: Tier,
    block: u32,
    series: u32,
) -> Result<BTreeMap<u32, Latency>, Fault> {
    let mut steps = BTreeMap::new();
    let Some(row) = load::<TimesRow>(rows, &key(tier, block, series))? else {
        return Ok(steps);
    };
    let mut unpacker = Unpacker::default();
    let read = unpacker.buckets(&row).and_then(|buckets| {
        let mut buckets = Reader::new(buckets);
        row.steps(|step, [wait, run]| {
            let mut list = |head: &Head| read_list(&mut buckets, head.buckets, head.sums);
            let latency = Latency { wait: list(&wait)?, run: list(&run)? };
            steps.insert(step, latency);
            Some(())
        })?;
        buckets.is_empty().then_some(())
    });
    read.map(|()| steps).ok_or_else(|| damaged("times"))
}

/// How many runs ended, by step.
pub fn runs(
    rows: &dyn Rows,
    tier: Tier,
    block: u32,
    series: u32,
) -> Result<Vec<(u32, u64)>, Fault> {
    let mut runs = Vec::new();
    let Some(row) = load::<TimesRow>(rows, &key(tier, block, series))? else {
        return Ok(runs);
    };
    let read = row.steps(|step, [_, run]| {
        runs.push((step, run.count));
        Some(())
    });
    read.map(|()| runs).ok_or_else(|| damaged("times"))
}

/// Gathers many rows into the buckets of a window, without a list for each histogram.
#[derive(Default)]
pub struct Gatherer {
    unpacker: Unpacker,
    pub gathering: Gathering,
}

impl Gatherer {
    /// Adds the steps of a row that `bucket_of` knows a bucket for; false when there is no such row.
    pub fn add(
        &mut self,
        rows: &dyn Rows,
        (tier, block, series): (Tier, u32, u32),
        bucket_of: &dyn Fn(u32) -> Option<i64>,
    ) -> Result<bool, Fault> {
        let Some(row) = load::<TimesRow>(rows, &key(tier, block, series))? else {
            return Ok(false);
        };
        let gathering = &mut self.gathering;
        let read = self.unpacker.buckets(&row).and_then(|buckets| {
            let mut buckets = Reader::new(buckets);
            row.steps(|step, heads| match bucket_of(step) {
                Some(bucket) => {
                    let histograms = gathering.bucket(bucket);
                    heads
                        .iter()
                        .zip(histograms)
                        .try_for_each(|(head, into)| merge_into(&mut buckets, head, into))
                }
                None => heads
                    .iter()
                    .try_for_each(|head| each_bucket(&mut buckets, head.buckets, |_, _| Some(()))),
            })?;
            buckets.is_empty().then_some(true)
        });
        read.ok_or_else(|| damaged("times"))
    }
}

fn merge_into(buckets: &mut Reader<'_>, head: &Head, into: &mut Merging) -> Option<()> {
    if head.buckets > 0 {
        let [sum_ms, min_ms, max_ms] = head.sums;
        into.add_sums(sum_ms, min_ms, max_ms);
    }
    each_bucket(buckets, head.buckets, |bucket, count| into.add(bucket, count))
}

pub fn put_block(
    tx: &mut Tx<'_>,
    tier: Tier,
    block: u32,
    series: u32,
    steps: &BTreeMap<u32, Latency>,
) {
    tx.put(key(tier, block, series), &TimesRow::of(steps.iter()).squeezed());
}
