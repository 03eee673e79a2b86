//! What must be true of keys and streams after every act, by counting everything again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::invariants::table;
use crate::model::stream::{Group, KeyName, NOBODY, Stream, StreamId};
use crate::store::key::{Key, KeyReader};
use crate::store::kinds::entry::{self, Purge, purges};
use crate::store::kinds::key::{self as keys, Entry, Value};
use crate::store::kinds::{count, group as groups, pending};
use crate::store::rows::{Rows, Span, collect_keys, counter};
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

/// Tables whose keys begin with a stream, and then with a group.
const TABLES_OF_A_GROUP: [Table; 4] =
    [Table::Consumer, Table::ConsumerName, Table::Pending, Table::Again];

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
    let waits = |purge: Purge| waiting.contains(&purge);
    for purge in &waiting {
        match purge {
            Purge::Stream(stream) => assert!(!streams.contains_key(stream), "{purge:?} is there"),
            Purge::Group(stream, group) => {
                let there = numbers_of_groups(rows, *stream).contains(group);
                assert!(!there || !streams.contains_key(stream), "{purge:?} is there");
            }
            Purge::Below(stream, below) => {
                let first = streams.get(stream).map_or(StreamId::MAX, |stream| stream.first);
                assert!(*below <= first, "{purge:?} of a stream that starts at {first}");
            }
        }
    }
    for number in [Table::Entry, Table::Group] {
        for (key, _) in table(rows, number) {
            let stream = KeyReader::new(&key).u64().unwrap();
            let known = streams.contains_key(&stream) || waits(Purge::Stream(stream));
            assert!(known, "a row of {number:?} of stream {stream} is forgotten");
        }
    }
    let counters = Key::new(Table::Count).raw(&count::pending_all(0).bytes()[1..2]);
    let counters = collect_keys(rows, &Span::prefix(&counters), usize::MAX).unwrap();
    // What follows the scope of a counter looks like the key of any other row.
    let counters = counters.iter().map(|key| key[1..].to_vec());
    let rows_of_groups = TABLES_OF_A_GROUP.into_iter().flat_map(|number| table(rows, number));
    for key in rows_of_groups.map(|(key, _)| key).chain(counters) {
        let mut reader = KeyReader::new(&key);
        let (stream, group) = (reader.u64().unwrap(), reader.u32().unwrap());
        let there = streams.contains_key(&stream);
        let known = there && numbers_of_groups(rows, stream).contains(&group)
            || waits(Purge::Stream(stream))
            || waits(Purge::Group(stream, group));
        assert!(known, "a row of group {group} of stream {stream} is forgotten: {key:02x?}");
    }
    for stream in streams.values() {
        let Some(end) = stream.first.previous() else { continue };
        let below = waiting.iter().filter_map(|purge| match purge {
            Purge::Below(of, below) if *of == stream.number => Some(*below),
            _ => None,
        });
        let below = below.max();
        scan(rows, stream, (StreamId::MIN, end), |id, _| {
            assert!(below.is_some_and(|below| id < below), "entry {id} was cut and is forgotten");
        });
    }
}

fn numbers_of_groups(rows: &dyn Rows, stream: u64) -> BTreeSet<u32> {
    let all = groups::list(rows, stream, usize::MAX).unwrap();
    all.into_iter().map(|(_, group)| group.number).collect()
}

fn check_entries(rows: &dyn Rows, stream: &Stream, about: &str) {
    let (mut length, mut runs, mut last) = (0, 0, StreamId::MIN);
    scan(rows, stream, (stream.first, StreamId::MAX), |id, is_run| {
        (length, last) = (length + 1, id);
        runs += u64::from(is_run);
    });
    assert_eq!(stream.length, length, "{about}: length");
    if length > 0 {
        let first = entry::first(rows, stream.number, stream.first).unwrap();
        assert_eq!(first, Some(stream.first), "{about}: the first entry");
    }
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
    let numbers = numbers_of_groups(rows, stream.number);
    assert_eq!(numbers.len(), all.len(), "{about}: two groups have one number");
    for (name, group) in all {
        let about = format!("{about}, group {}", String::from_utf8_lossy(&name));
        check_group(rows, stream.number, &group, &about);
    }
}

fn check_group(rows: &dyn Rows, stream: u64, group: &Group, about: &str) {
    let mut by_consumer: BTreeMap<u32, i64> = BTreeMap::new();
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
    let counted = |key: Key| counter(rows, &key).unwrap();
    let all = by_consumer.values().sum::<i64>();
    assert_eq!(counted(count::pending(stream, group.number)), all, "{about}: pending");

    let consumers = groups::consumers(rows, stream, group.number, usize::MAX).unwrap();
    assert_eq!(u64::from(group.consumers), consumers.len() as u64, "{about}: consumers");
    by_consumer.remove(&NOBODY);
    let mut names = BTreeMap::new();
    for (name, consumer) in consumers {
        let about = format!("{about}, consumer {}", String::from_utf8_lossy(&name));
        let number = consumer.number;
        assert!(number != NOBODY && number <= group.next_consumer, "{about}: number {number}");
        let pending = by_consumer.remove(&number).unwrap_or(0);
        let found = counted(count::pending_of(stream, group.number, number));
        assert_eq!(found, pending, "{about}: pending");
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
