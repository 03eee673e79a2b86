//! What must be true of keys and streams after every act, by counting everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::invariants::table;
use crate::model::stream::{Group, KeyName, NOBODY, Stream, StreamId};
use crate::store::key::KeyReader;
use crate::store::kinds::entry::{self, TABLES_OF_A_STREAM, purges};
use crate::store::kinds::key::{self as keys, Entry, Value};
use crate::store::kinds::{count, group as groups, pending};
use crate::store::rows::{Rows, counter};
use crate::store::tables::Table;

pub fn check(rows: &dyn Rows) {
    let all = read(rows);
    check_indexes(rows, &all);
    check_purges(rows, &all);
    for (name, found) in &all {
        if let Value::Stream(stream) = &found.value {
            let about = format!("stream {}", name.text());
            assert_eq!(found.number, stream.number, "{about}: number");
            check_entries(rows, stream, &about);
            check_groups(rows, stream, &about);
        }
    }
}

/// Every key, also those that have expired.
fn read(rows: &dyn Rows) -> BTreeMap<KeyName, Entry> {
    let names = table(rows, Table::Key).into_iter().map(|(key, _)| {
        let mut reader = KeyReader::new(&key);
        KeyName { db: reader.u8().unwrap(), name: Bytes::from(reader.name().unwrap()) }
    });
    names.map(|name| (name.clone(), keys::get(rows, &name).unwrap().unwrap())).collect()
}

/// Counters of keys, as they must be.
pub fn expected_counts(rows: &dyn Rows) -> BTreeMap<Vec<u8>, i64> {
    let mut counts = BTreeMap::new();
    for name in read(rows).keys() {
        *counts.entry(count::keys(name.db).into_bytes()).or_default() += 1;
    }
    counts
}

fn check_indexes(rows: &dyn Rows, all: &BTreeMap<KeyName, Entry>) {
    let numbers: BTreeSet<u64> = all.values().map(|entry| entry.number).collect();
    assert_eq!(numbers.len(), all.len(), "two keys have one number");
    let given = counter(rows, &count::key_numbers()).unwrap() as u64;
    assert!(numbers.last().is_none_or(|last| *last <= given), "a number that was not given");

    let by_number: BTreeSet<(u8, u64, Vec<u8>)> = table(rows, Table::KeyNumber)
        .into_iter()
        .map(|(key, name)| {
            let mut reader = KeyReader::new(&key);
            (reader.u8().unwrap(), reader.u64().unwrap(), name)
        })
        .collect();
    let expected =
        all.iter().map(|(name, entry)| (name.db, entry.number, name.name.to_vec())).collect();
    assert_eq!(by_number, expected, "keys by number");

    let due: BTreeSet<_> = table(rows, Table::KeyDue)
        .into_iter()
        .map(|(key, _)| {
            let mut reader = KeyReader::new(&key);
            (reader.time().unwrap(), reader.u8().unwrap(), reader.name().unwrap())
        })
        .collect();
    let expected = all
        .iter()
        .filter_map(|(name, entry)| Some((entry.expires_at?, name.db, name.name.to_vec())))
        .collect();
    assert_eq!(due, expected, "keys by expiry");
}

/// Rows that nobody sees wait for their removal, and nothing else does.
fn check_purges(rows: &dyn Rows, all: &BTreeMap<KeyName, Entry>) {
    let streams: BTreeMap<u64, &Stream> = all
        .values()
        .filter_map(|entry| match &entry.value {
            Value::Stream(stream) => Some((stream.number, stream)),
            Value::Text(_) => None,
        })
        .collect();
    let waiting = purges(rows, usize::MAX).unwrap();
    for purge in &waiting {
        if let Some(stream) = streams.get(&purge.stream) {
            let below = purge.below.expect("a stream that is there is purged");
            assert!(below <= stream.first, "entries from {} on are purged", stream.first);
        }
    }
    let gone: BTreeSet<u64> =
        waiting.iter().filter(|purge| purge.below.is_none()).map(|purge| purge.stream).collect();
    for number in TABLES_OF_A_STREAM {
        for (key, _) in table(rows, number) {
            let stream = KeyReader::new(&key).u64().unwrap();
            let known = streams.contains_key(&stream) || gone.contains(&stream);
            assert!(known, "a row of {number:?} of stream {stream} is forgotten");
        }
    }
    for stream in streams.values() {
        let below = waiting.iter().filter(|purge| purge.stream == stream.number);
        let below = below.filter_map(|purge| purge.below).max();
        let mut cut = Vec::new();
        if let Some(end) = stream.first.previous() {
            scan(rows, stream, (StreamId::MIN, end), |id, _| cut.push(id));
        }
        for id in cut {
            assert!(below.is_some_and(|below| id < below), "entry {id} was cut and is forgotten");
        }
    }
}

fn check_entries(rows: &dyn Rows, stream: &Stream, about: &str) {
    let (mut length, mut runs, mut last) = (0, 0, StreamId::MIN);
    scan(rows, stream, (stream.first, StreamId::MAX), |id, is_run| {
        (length, last) = (length + 1, id);
        runs += u64::from(is_run);
    });
    assert_eq!(stream.length, length, "{about}: length");
    assert_eq!(stream.runs, runs, "{about}: runs");
    assert!(last <= stream.last, "{about}: an entry above the last id");
    assert!(stream.max_deleted <= stream.last, "{about}: deleted above the last id");
    assert!(stream.added >= stream.length, "{about}: more entries than were added");
}

fn scan(
    rows: &dyn Rows,
    stream: &Stream,
    ends: (StreamId, StreamId),
    mut visit: impl FnMut(StreamId, bool),
) {
    entry::scan_ids(rows, stream.number, ends, &mut |id, is_run| {
        visit(id, is_run);
        ControlFlow::Continue(())
    })
    .unwrap();
}

fn check_groups(rows: &dyn Rows, stream: &Stream, about: &str) {
    let all = groups::list(rows, stream.number, usize::MAX).unwrap();
    assert_eq!(u64::from(stream.groups), all.len() as u64, "{about}: groups");
    let numbers: BTreeSet<u32> = all.iter().map(|(_, group)| group.number).collect();
    assert_eq!(numbers.len(), all.len(), "{about}: two groups have one number");
    for number in [Table::Consumer, Table::ConsumerName, Table::Pending, Table::Again] {
        for (key, _) in table(rows, number) {
            let mut reader = KeyReader::new(&key);
            if reader.u64().unwrap() == stream.number {
                let known = numbers.contains(&reader.u32().unwrap());
                assert!(known, "{about}: a row of {number:?} without a group");
            }
        }
    }
    for (name, group) in all {
        let about = format!("{about}, group {}", String::from_utf8_lossy(&name));
        check_group(rows, stream.number, &group, &about);
    }
}

fn check_group(rows: &dyn Rows, stream: u64, group: &Group, about: &str) {
    let mut by_consumer: BTreeMap<u32, u64> = BTreeMap::new();
    let mut again = BTreeSet::new();
    let all = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, stream, group.number, all, &mut |id, row| {
        *by_consumer.entry(row.consumer).or_default() += 1;
        assert!(id <= group.pending_max, "{about}: {id} is above the highest pending id");
        let waits = row.consumer != NOBODY || row.again_at.is_some();
        assert!(waits, "{about}: nobody has {id} and nobody will");
        again.extend(row.again_at.map(|at| (at, id)));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(group.pending, by_consumer.values().sum::<u64>(), "{about}: pending");

    let consumers = groups::consumers(rows, stream, group.number, usize::MAX).unwrap();
    assert_eq!(u64::from(group.consumers), consumers.len() as u64, "{about}: consumers");
    by_consumer.remove(&NOBODY);
    let mut names = BTreeMap::new();
    for (name, consumer) in consumers {
        let about = format!("{about}, consumer {}", String::from_utf8_lossy(&name));
        let number = consumer.number;
        assert!(number != NOBODY && number < group.next_consumer, "{about}: number {number}");
        let rows = by_consumer.remove(&number).unwrap_or(0);
        assert_eq!(consumer.pending, rows, "{about}: pending");
        assert_eq!(names.insert(number, name), None, "{about}: number {number} is used twice");
    }
    assert_eq!(by_consumer, BTreeMap::new(), "{about}: pending for consumers that are not there");

    let mine = |number: Table| {
        table(rows, number).into_iter().filter(move |(key, _)| {
            let mut reader = KeyReader::new(key);
            (reader.u64().unwrap(), reader.u32().unwrap()) == (stream, group.number)
        })
    };
    let rest = |key: &[u8]| -> Vec<u8> { key[1 + 8 + 4..].to_vec() };
    let found: BTreeMap<u32, Vec<u8>> = mine(Table::ConsumerName)
        .map(|(key, name)| (u32::from_be_bytes(rest(&key).try_into().unwrap()), name))
        .collect();
    assert_eq!(found, names, "{about}: names of consumers");
    let found: BTreeSet<_> = mine(Table::Again)
        .map(|(key, _)| {
            let mut reader = KeyReader::new(&key);
            let _group = (reader.u64().unwrap(), reader.u32().unwrap());
            let at = reader.time().unwrap();
            (at, StreamId::new(reader.u64().unwrap(), reader.u64().unwrap()))
        })
        .collect();
    assert_eq!(found, again, "{about}: to be delivered again");
}
