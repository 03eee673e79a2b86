//! Entries of streams, and what is cut off and waits for removal.
//!
//! The value is a version, a word, then fields as they are kept in memory, or a run id: no decoding
//! between the disk and the wire.

use std::ops::ControlFlow;

use crate::base::id::Id;
use crate::model::stream::{Content, Fields, StreamId};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, collect_keys, first_key};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::count;

const VERSION: [u8; 2] = [1, 0];
const FIELDS: u8 = 0;
const RUN: u8 = 1;

fn table(stream: u64) -> Key {
    Key::new(Table::Entry).u64(stream)
}

fn key(stream: u64, id: StreamId) -> Key {
    table(stream).u64(id.ms).u64(id.seq)
}

pub fn put(tx: &mut Tx<'_>, stream: u64, id: StreamId, content: &Content) {
    let (word, body) = match content {
        Content::Fields(fields) => (FIELDS, fields.stored()),
        Content::Run(run) => (RUN, &run.0[..]),
    };
    let mut value = Vec::with_capacity(body.len() + 3);
    value.extend_from_slice(&VERSION);
    value.push(word);
    value.extend_from_slice(body);
    tx.put_raw(key(stream, id), value);
}

pub fn get(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<Option<Content>, Fault> {
    rows.get(key(stream, id).bytes())?.map(|value| read(&value)).transpose()
}

/// Whether there is an entry, and whether it is a run.
pub fn is_run(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<Option<bool>, Fault> {
    Ok(rows.get(key(stream, id).bytes())?.map(|value| value.get(2) == Some(&RUN)))
}

pub fn remove(tx: &mut Tx<'_>, stream: u64, id: StreamId) {
    tx.remove(key(stream, id));
}

fn read(value: &[u8]) -> Result<Content, Fault> {
    let damaged = || Fault::Corrupt(format!("an entry of {} bytes cannot be read", value.len()));
    let content = match value {
        [1, _, FIELDS, body @ ..] => Fields::from_stored(body).map(Content::Fields),
        [1, _, RUN, body @ ..] => body.try_into().ok().map(|id| Content::Run(Id(id))),
        [major, ..] if *major > 1 => {
            return Err(Fault::Newer(format!("an entry (version {major})")));
        }
        _ => None,
    };
    content.ok_or_else(damaged)
}

/// Keys of the entries from `from` to `to`, both included.
fn span(stream: u64, from: StreamId, to: StreamId) -> Span {
    Span {
        lo: key(stream, from).into_bytes(),
        hi: key(stream, to).u8(0).into_bytes(),
        newest_first: false,
    }
}

/// What a visitor of entries says after each.
pub type VisitEntry<'v> = dyn FnMut(StreamId, Content) -> Result<ControlFlow<()>, Fault> + 'v;

/// Entries from `from` to `to`, both included, in either direction.
pub fn scan(
    rows: &dyn Rows,
    stream: u64,
    (from, to): (StreamId, StreamId),
    newest_first: bool,
    visit: &mut VisitEntry<'_>,
) -> Result<(), Fault> {
    let mut span = span(stream, from, to);
    span.newest_first = newest_first;
    rows.scan(&span, &mut |key, value| visit(read_id(key)?, read(value)?))
}

/// Ids of the entries from `from` to `to`, both included; what they hold is not read.
pub fn scan_ids(
    rows: &dyn Rows,
    stream: u64,
    (from, to): (StreamId, StreamId),
    visit: &mut dyn FnMut(StreamId, bool) -> ControlFlow<()>,
) -> Result<(), Fault> {
    rows.scan(&span(stream, from, to), &mut |key, value| {
        Ok(visit(read_id(key)?, value.get(2) == Some(&RUN)))
    })
}

/// The first entry from `from` on.
pub fn first(rows: &dyn Rows, stream: u64, from: StreamId) -> Result<Option<StreamId>, Fault> {
    first_key(rows, &span(stream, from, StreamId::MAX))?.map(|key| read_id(&key)).transpose()
}

/// The last entry that is not below `from`.
pub fn last(rows: &dyn Rows, stream: u64, from: StreamId) -> Result<Option<StreamId>, Fault> {
    let span = span(stream, from, StreamId::MAX).newest_first();
    first_key(rows, &span)?.map(|key| read_id(&key)).transpose()
}

fn read_id(key: &[u8]) -> Result<StreamId, Fault> {
    let mut reader = KeyReader::new(key);
    reader.u64()?;
    Ok(StreamId::new(reader.u64()?, reader.u64()?))
}

/// What a duty has to remove: rows that nobody sees any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purge {
    /// A stream that is gone, with all that belongs to it.
    Stream(u64),
    /// A group that is gone.
    Group(u64, u32),
    /// Entries of a stream below an id.
    Below(u64, StreamId),
}

fn purge_key(purge: &Purge) -> Key {
    let key = Key::new(Table::Purge);
    match purge {
        Purge::Stream(stream) => key.u64(*stream).u8(0),
        Purge::Group(stream, group) => key.u64(*stream).u8(1).u32(*group),
        Purge::Below(stream, id) => key.u64(*stream).u8(2).u64(id.ms).u64(id.seq),
    }
}

pub fn put_purge(tx: &mut Tx<'_>, purge: &Purge) {
    tx.mark(purge_key(purge));
    tx.notify(crate::model::notice::Notice::Purge);
}

pub fn remove_purge(tx: &mut Tx<'_>, purge: &Purge) {
    tx.remove(purge_key(purge));
}

pub fn purges(rows: &dyn Rows, limit: usize) -> Result<Vec<Purge>, Fault> {
    let span = Span::prefix(&Key::new(Table::Purge));
    collect(rows, &span, limit)?.iter().map(|(key, _)| read_purge(key)).collect()
}

fn read_purge(key: &[u8]) -> Result<Purge, Fault> {
    let mut reader = KeyReader::new(key);
    let stream = reader.u64()?;
    match reader.u8()? {
        0 => Ok(Purge::Stream(stream)),
        1 => Ok(Purge::Group(stream, reader.u32()?)),
        2 => Ok(Purge::Below(stream, StreamId::new(reader.u64()?, reader.u64()?))),
        kind => Err(Fault::Corrupt(format!("a purge of kind {kind}"))),
    }
}

const TABLES_OF_A_GROUP: [Table; 4] =
    [Table::Consumer, Table::ConsumerName, Table::Pending, Table::Again];

/// Removes at most `limit` rows of a purge; gives how many.
pub fn purge_rows(tx: &mut Tx<'_>, purge: &Purge, limit: usize) -> Result<usize, Fault> {
    let of_groups = |belongs: &dyn Fn(Key) -> Key| {
        TABLES_OF_A_GROUP.map(|table| Span::prefix(&belongs(Key::new(table)))).to_vec()
    };
    let (spans, counters) = match purge {
        Purge::Stream(stream) => {
            let mut spans = of_groups(&|key| key.u64(*stream));
            spans.push(Span::prefix(&table(*stream)));
            spans.push(Span::prefix(&Key::new(Table::Group).u64(*stream)));
            (spans, Some(count::pending_all(*stream)))
        }
        Purge::Group(stream, group) => {
            let spans = of_groups(&|key| key.u64(*stream).u32(*group));
            (spans, Some(count::pending(*stream, *group)))
        }
        Purge::Below(stream, id) => {
            (vec![Span::prefix(&table(*stream)).before(&key(*stream, *id))], None)
        }
    };
    let mut removed = 0;
    for span in spans {
        for key in collect_keys(tx, &span, limit - removed)? {
            tx.remove_raw(key);
            removed += 1;
        }
    }
    if let Some(counters) = counters {
        removed += tx.clear_counters(&counters, limit - removed)?;
    }
    Ok(removed)
}
