//! Consumer groups and their consumers.

use bincode::{Decode, Encode};

use crate::base::time::Time;
use crate::model::stream::{Consumer, Group, StreamId};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct GroupRow {
    number: u32,
    last: (u64, u64),
    entries_read: Option<u64>,
    pending_max: (u64, u64),
    next_consumer: u32,
    consumers: u32,
}

impl Record for GroupRow {
    const KIND: &'static str = "group";
}

#[derive(Encode, Decode)]
struct ConsumerRow {
    number: u32,
    seen_at: i64,
    active_at: Option<i64>,
}

impl Record for ConsumerRow {
    const KIND: &'static str = "consumer";
}

fn group_key(stream: u64, name: &[u8]) -> Key {
    Key::new(Table::Group).u64(stream).name(name)
}

pub fn get(rows: &dyn Rows, stream: u64, name: &[u8]) -> Result<Option<Group>, Fault> {
    Ok(load::<GroupRow>(rows, &group_key(stream, name))?.map(group_of))
}

pub fn put(tx: &mut Tx<'_>, stream: u64, name: &[u8], group: &Group) {
    let row = GroupRow {
        number: group.number,
        last: (group.last.ms, group.last.seq),
        entries_read: group.entries_read,
        pending_max: (group.pending_max.ms, group.pending_max.seq),
        next_consumer: group.next_consumer,
        consumers: group.consumers,
    };
    tx.put(group_key(stream, name), &row);
}

pub fn remove(tx: &mut Tx<'_>, stream: u64, name: &[u8]) {
    tx.remove(group_key(stream, name));
}

fn group_of(row: GroupRow) -> Group {
    Group {
        number: row.number,
        last: StreamId::new(row.last.0, row.last.1),
        entries_read: row.entries_read,
        pending_max: StreamId::new(row.pending_max.0, row.pending_max.1),
        next_consumer: row.next_consumer,
        consumers: row.consumers,
    }
}

/// The groups of a stream by name.
pub fn list(rows: &dyn Rows, stream: u64, limit: usize) -> Result<Vec<(Vec<u8>, Group)>, Fault> {
    let span = Span::prefix(&Key::new(Table::Group).u64(stream));
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new(key);
            reader.u64()?;
            Ok((reader.name()?, group_of(codec::decode(value)?)))
        })
        .collect()
}

fn consumers_key(stream: u64, group: u32) -> Key {
    Key::new(Table::Consumer).u64(stream).u32(group)
}

fn name_key(stream: u64, group: u32, number: u32) -> Key {
    Key::new(Table::ConsumerName).u64(stream).u32(group).u32(number)
}

pub fn consumer(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    name: &[u8],
) -> Result<Option<Consumer>, Fault> {
    let key = consumers_key(stream, group).name(name);
    Ok(load::<ConsumerRow>(rows, &key)?.map(consumer_of))
}

/// Writes a new consumer.
pub fn add_consumer(tx: &mut Tx<'_>, stream: u64, group: u32, name: &[u8], consumer: &Consumer) {
    tx.put_raw(name_key(stream, group, consumer.number), name.to_vec());
    put_consumer(tx, stream, group, name, consumer);
}

/// Writes a consumer that is there.
pub fn put_consumer(tx: &mut Tx<'_>, stream: u64, group: u32, name: &[u8], consumer: &Consumer) {
    let row = ConsumerRow {
        number: consumer.number,
        seen_at: consumer.seen_at.0,
        active_at: consumer.active_at.map(|at| at.0),
    };
    tx.put(consumers_key(stream, group).name(name), &row);
}

pub fn remove_consumer(tx: &mut Tx<'_>, stream: u64, group: u32, name: &[u8], consumer: &Consumer) {
    tx.remove(name_key(stream, group, consumer.number));
    tx.remove(consumers_key(stream, group).name(name));
}

fn consumer_of(row: ConsumerRow) -> Consumer {
    Consumer { number: row.number, seen_at: Time(row.seen_at), active_at: row.active_at.map(Time) }
}

/// The name of a consumer by its number.
pub fn consumer_name(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    number: u32,
) -> Result<Option<Vec<u8>>, Fault> {
    rows.get(name_key(stream, group, number).bytes())
}

/// The consumers of a group by name.
pub fn consumers(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Consumer)>, Fault> {
    let span = Span::prefix(&consumers_key(stream, group));
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new(key);
            reader.u64()?;
            reader.u32()?;
            Ok((reader.name()?, consumer_of(codec::decode(value)?)))
        })
        .collect()
}
