//! Entries that were delivered and are not acknowledged, and those to be delivered again.

use std::ops::ControlFlow;

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::{Span as Length, Time};
use crate::model::stream::{Pending, StreamId};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, first_key, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct PendingRow {
    consumer: u32,
    delivered_at: i64,
    first_delivered_at: i64,
    deliveries: u64,
    lease: Option<i64>,
    again_at: Option<i64>,
}

impl Record for PendingRow {
    const KIND: &'static str = "pending entry";
}

fn table(stream: u64, group: u32) -> Key {
    Key::new(Table::Pending).u64(stream).u32(group)
}

fn key(stream: u64, group: u32, id: StreamId) -> Key {
    table(stream, group).u64(id.ms).u64(id.seq)
}

fn again_key(stream: u64, group: u32, at: Time, id: StreamId) -> Key {
    Key::new(Table::Again).u64(stream).u32(group).time(at).u64(id.ms).u64(id.seq)
}

pub fn get(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    id: StreamId,
) -> Result<Option<Pending>, Fault> {
    Ok(load::<PendingRow>(rows, &key(stream, group, id))?.map(from_row))
}

/// Writes, changes or removes a pending row; the index of what is to be delivered again follows.
pub fn save(
    tx: &mut Tx<'_>,
    (stream, group, id): (u64, u32, StreamId),
    before: Option<&Pending>,
    after: Option<&Pending>,
) {
    let (old, new) = (before.and_then(|row| row.again_at), after.and_then(|row| row.again_at));
    if old != new {
        if let Some(at) = old {
            tx.remove(again_key(stream, group, at, id));
        }
        if let Some(at) = new {
            tx.mark(again_key(stream, group, at, id));
        }
    }
    let Some(after) = after else {
        tx.remove(key(stream, group, id));
        return;
    };
    let row = PendingRow {
        consumer: after.consumer,
        delivered_at: after.delivered_at.0,
        first_delivered_at: after.first_delivered_at.0,
        deliveries: after.deliveries,
        lease: after.lease.map(|lease| lease.0),
        again_at: after.again_at.map(|at| at.0),
    };
    tx.put(key(stream, group, id), &row);
}

fn from_row(row: PendingRow) -> Pending {
    Pending {
        consumer: row.consumer,
        delivered_at: Time(row.delivered_at),
        first_delivered_at: Time(row.first_delivered_at),
        deliveries: row.deliveries,
        lease: row.lease.map(Length),
        again_at: row.again_at.map(Time),
    }
}

/// Pending rows of a group from `from` to `to`, both included, by id.
pub fn scan(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    (from, to): (StreamId, StreamId),
    visit: &mut dyn FnMut(StreamId, Pending) -> Result<ControlFlow<()>, Fault>,
) -> Result<(), Fault> {
    let span = Span {
        lo: key(stream, group, from).into_bytes(),
        hi: key(stream, group, to).u8(0).into_bytes(),
        newest_first: false,
    };
    rows.scan(&span, &mut |key, value| visit(last_stream_id(key)?, from_row(codec::decode(value)?)))
}

/// The lowest and the highest pending id of a group.
pub fn ends(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
) -> Result<Option<(StreamId, StreamId)>, Fault> {
    let span = Span::prefix(&table(stream, group));
    let Some(first) = first_key(rows, &span)? else { return Ok(None) };
    let last = first_key(rows, &span.newest_first())?.unwrap_or_else(|| first.clone());
    Ok(Some((last_stream_id(&first)?, last_stream_id(&last)?)))
}

/// At most `limit` entries that may be delivered again at `now`, the longest waiting first.
pub fn again(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    now: Time,
    limit: usize,
) -> Result<Vec<StreamId>, Fault> {
    let table = Key::new(Table::Again).u64(stream).u32(group);
    let span = Span::prefix(&table).before(&table.clone().time(now.plus(Length(1))));
    collect(rows, &span, limit)?.iter().map(|(key, _)| last_stream_id(key)).collect()
}

/// When the next entry of a group is to be delivered again.
pub fn next_again(rows: &dyn Rows, stream: u64, group: u32) -> Result<Option<Time>, Fault> {
    let table = Key::new(Table::Again).u64(stream).u32(group);
    let Some(key) = first_key(rows, &Span::prefix(&table))? else { return Ok(None) };
    let mut reader = KeyReader::new(&key);
    reader.u64()?;
    reader.u32()?;
    Ok(Some(reader.time()?))
}

/// The name of a group in the index of timers: database, stream, group.
pub fn again_timer(db: u8, stream: u64, group: u32) -> Id {
    let mut bytes = [0; 16];
    bytes[0] = db;
    bytes[4..12].copy_from_slice(&stream.to_be_bytes());
    bytes[12..].copy_from_slice(&group.to_be_bytes());
    Id(bytes)
}

/// Database, number of the stream and number of the group of such a timer.
pub fn again_of(Id(bytes): Id) -> (u8, u64, u32) {
    let [db, _, _, _, a, b, c, d, e, f, g, h, group @ ..] = bytes;
    (db, u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes(group))
}

/// The id that ends a key.
fn last_stream_id(key: &[u8]) -> Result<StreamId, Fault> {
    let damaged = || Fault::Corrupt(format!("a key is too short for a stream id: {key:02x?}"));
    let (head, seq) = key.split_last_chunk::<8>().ok_or_else(damaged)?;
    let ms = head.last_chunk::<8>().ok_or_else(damaged)?;
    Ok(StreamId::new(u64::from_be_bytes(*ms), u64::from_be_bytes(*seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_tells_its_group() {
        let timer = again_timer(15, 0x0102_0304_0506_0708, 0x090a_0b0c);
        assert_eq!(timer.0, [15, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(again_of(timer), (15, 0x0102_0304_0506_0708, 0x090a_0b0c));
    }
}
