//! Keys of the Redis protocol: a string or the head of a stream, and when they expire.

use bincode::{Decode, Encode};
use bytes::Bytes;

use crate::base::time::{Span as Length, Time};
use crate::model::notice::Notice;
use crate::model::stream::{KeyName, Stream, StreamId};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, first_key, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// How long the row of an expired key may stay. Nobody sees it any more; the later it is removed,
/// the more of them go in one commit.
pub const EXPIRY_SLACK: Length = Length::from_millis(100);

/// A key and what is under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The order of creation, by which keys are listed.
    pub number: u64,
    pub expires_at: Option<Time>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Vec<u8>),
    Stream(Stream),
}

impl Entry {
    /// Runs that would be lost with it.
    pub fn runs(&self) -> u64 {
        match &self.value {
            Value::Text(_) => 0,
            Value::Stream(stream) => stream.runs,
        }
    }
}

impl Value {
    /// Redis's word for the type.
    pub fn type_word(&self) -> &'static str {
        match self {
            Value::Text(_) => "string",
            Value::Stream(_) => "stream",
        }
    }
}

#[derive(Encode, Decode)]
struct KeyRow {
    number: u64,
    expires_at: Option<i64>,
    value: ValueRow,
}

#[derive(Encode, Decode)]
enum ValueRow {
    Text(Vec<u8>),
    Stream(StreamRow),
}

#[derive(Encode, Decode)]
struct StreamRow {
    number: u64,
    length: u64,
    last: (u64, u64),
    first: (u64, u64),
    max_deleted: (u64, u64),
    added: u64,
    runs: u64,
    groups: u32,
}

impl Record for KeyRow {
    const KIND: &'static str = "key";
}

fn key(name: &KeyName) -> Key {
    Key::new(Table::Key).u8(name.db).name(&name.name)
}

fn number_key(db: u8, number: u64) -> Key {
    Key::new(Table::KeyNumber).u8(db).u64(number)
}

fn due_key(at: Time, name: &KeyName) -> Key {
    Key::new(Table::KeyDue).time(at).u8(name.db).name(&name.name)
}

/// What is under a key, also when it has expired and was not removed yet.
pub fn get(rows: &dyn Rows, name: &KeyName) -> Result<Option<Entry>, Fault> {
    Ok(load::<KeyRow>(rows, &key(name))?.map(from_row))
}

/// Writes a key that is there already, with the same number and expiry.
pub fn put(tx: &mut Tx<'_>, name: &KeyName, entry: &Entry) {
    tx.put(key(name), &to_row(entry));
}

/// Writes a new key, or one whose expiry changes.
pub fn save(tx: &mut Tx<'_>, name: &KeyName, before: Option<&Entry>, after: Option<&Entry>) {
    let (old, new) = (before.and_then(|e| e.expires_at), after.and_then(|e| e.expires_at));
    if old != new {
        if let Some(at) = old {
            tx.remove(due_key(at, name));
        }
        if let Some(at) = new {
            tx.mark(due_key(at, name));
            tx.notify(Notice::Timer(at.plus(EXPIRY_SLACK)));
        }
    }
    if before.map(|e| e.number) != after.map(|e| e.number) {
        if let Some(before) = before {
            tx.remove(number_key(name.db, before.number));
            tx.count(super::count::keys(name.db), -1);
        }
        if let Some(after) = after {
            tx.put_raw(number_key(name.db, after.number), name.name.to_vec());
            tx.count(super::count::keys(name.db), 1);
        }
    }
    match after {
        Some(after) => put(tx, name, after),
        None => tx.remove(key(name)),
    }
}

/// The name of the key with this number.
pub fn name_of(rows: &dyn Rows, db: u8, number: u64) -> Result<Option<KeyName>, Fault> {
    let name = rows.get(number_key(db, number).bytes())?;
    Ok(name.map(|name| KeyName { db, name: Bytes::from(name) }))
}

/// Keys of a database whose number is above `after`, in order of creation.
pub fn list(
    rows: &dyn Rows,
    db: u8,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, KeyName)>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::KeyNumber).u8(db));
    if let Some(after) = after {
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        span = span.from(&number_key(db, from));
    }
    collect(rows, &span, limit)?
        .into_iter()
        .map(|(key, name)| {
            let mut reader = KeyReader::new(&key);
            reader.u8()?;
            Ok((reader.u64()?, KeyName { db, name: Bytes::from(name) }))
        })
        .collect()
}

/// Streams by name, and where to go on when there are more keys.
pub type StreamsPage = (Vec<(KeyName, Stream)>, Option<KeyName>);

/// Streams of a database by name, those behind `after`, looking at `limit` keys at most.
pub fn streams(
    rows: &dyn Rows,
    db: u8,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<StreamsPage, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Key).u8(db));
    if let Some(after) = after {
        span = span.from(&Key::new(Table::Key).u8(db).name(after).u8(0));
    }
    let found = collect(rows, &span, limit)?;
    let more = found.len() == limit;
    let mut streams = Vec::new();
    let mut last = None;
    for (key, value) in found {
        let mut reader = KeyReader::new(&key);
        reader.u8()?;
        let name = KeyName { db, name: Bytes::from(reader.name()?) };
        if let Value::Stream(stream) = from_row(codec::decode(&value)?).value {
            streams.push((name.clone(), stream));
        }
        last = Some(name);
    }
    Ok((streams, last.filter(|_| more)))
}

/// Keys that have expired by `now`, earliest first.
pub fn expired(rows: &dyn Rows, now: Time, limit: usize) -> Result<Vec<(Time, KeyName)>, Fault> {
    let table = Key::new(Table::KeyDue);
    let span = Span::prefix(&table).before(&table.clone().time(now.plus(Length(1))));
    collect(rows, &span, limit)?.iter().map(|(key, _)| read_due(key)).collect()
}

/// When expired keys are to be removed next.
pub fn next_expiry(rows: &dyn Rows, now: Time) -> Result<Option<Time>, Fault> {
    let span = Span::prefix(&Key::new(Table::KeyDue));
    let Some(key) = first_key(rows, &span)? else { return Ok(None) };
    let (at, _) = read_due(&key)?;
    Ok(Some(if at <= now { at } else { at.plus(EXPIRY_SLACK) }))
}

/// Forgets an expiry that no key has.
pub fn clear_due(tx: &mut Tx<'_>, at: Time, name: &KeyName) {
    tx.remove(due_key(at, name));
}

fn read_due(key: &[u8]) -> Result<(Time, KeyName), Fault> {
    let mut reader = KeyReader::new(key);
    let at = reader.time()?;
    let db = reader.u8()?;
    Ok((at, KeyName { db, name: Bytes::from(reader.name()?) }))
}

/// A number that no key and no stream ever had.
pub fn fresh_number(tx: &mut Tx<'_>) -> Result<u64, Fault> {
    let key = super::count::key_numbers();
    tx.count(key.clone(), 1);
    let number = tx.counter(&key)?;
    u64::try_from(number).map_err(|_| Fault::Corrupt(format!("{number} keys were numbered")))
}

fn pair(id: StreamId) -> (u64, u64) {
    (id.ms, id.seq)
}

fn id(pair: (u64, u64)) -> StreamId {
    StreamId::new(pair.0, pair.1)
}

fn to_row(entry: &Entry) -> KeyRow {
    let value = match &entry.value {
        Value::Text(text) => ValueRow::Text(text.clone()),
        Value::Stream(stream) => ValueRow::Stream(StreamRow {
            number: stream.number,
            length: stream.length,
            last: pair(stream.last),
            first: pair(stream.first),
            max_deleted: pair(stream.max_deleted),
            added: stream.added,
            runs: stream.runs,
            groups: stream.groups,
        }),
    };
    KeyRow { number: entry.number, expires_at: entry.expires_at.map(|at| at.0), value }
}

fn from_row(row: KeyRow) -> Entry {
    let value = match row.value {
        ValueRow::Text(text) => Value::Text(text),
        ValueRow::Stream(row) => Value::Stream(Stream {
            number: row.number,
            length: row.length,
            last: id(row.last),
            first: id(row.first),
            max_deleted: id(row.max_deleted),
            added: row.added,
            runs: row.runs,
            groups: row.groups,
        }),
    };
    Entry { number: row.number, expires_at: row.expires_at.map(Time), value }
}
