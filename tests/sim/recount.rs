//! Small questions about keys and streams: heads, indexes and counters must be what the rows alone
//! say, every open run that is pulled has one entry, and every pending row somebody who has it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::streams::{GROUPS, PULL};
use bytes::Bytes;
use tidegate::base::id::RunId;
use tidegate::model::run::{Run, Status};
use tidegate::model::stream::{Content, Group, KeyName, NOBODY, Pending, Stream, StreamId};
use tidegate::store::key::{Key, KeyReader};
use tidegate::store::kinds::entry::{Purge, purges};
use tidegate::store::kinds::key as key_rows;
use tidegate::store::kinds::key::Value;
use tidegate::store::kinds::{count, entry as entries, group as groups, pending};
use tidegate::store::rows::{Rows, counter};
use tidegate::store::tables::Table;

use crate::checks::{keys, same, scan};

/// Whether a counter counts keys or pending entries; these are recounted here.
pub fn counts_keys(key: &[u8]) -> bool {
    [count::keys(0), count::key_numbers(), count::pending_all(0)]
        .iter()
        .any(|of| key[..2] == of.bytes()[..2])
}

/// A stream as its rows tell it.
struct Found {
    name: KeyName,
    head: Stream,
    entries: BTreeMap<StreamId, Option<RunId>>,
    groups: Vec<(Bytes, Group, BTreeMap<StreamId, Pending>)>,
}

pub fn check(rows: &dyn Rows, runs: &BTreeMap<RunId, Run>) {
    let streams = read(rows);
    for found in &streams {
        found.check_head();
        for (name, group, pending) in &found.groups {
            found.check_group(rows, name, group, pending);
        }
    }
    check_runs(&streams, runs);
    check_purges(rows, &streams);
}

fn read(rows: &dyn Rows) -> Vec<Found> {
    let mut names = Vec::new();
    scan(rows, Table::Key, |key, _| {
        let mut reader = KeyReader::new(key);
        let db = reader.u8().expect("a key has a database");
        names.push(KeyName { db, name: reader.name().expect("a key has a name").into() });
    });
    let mut streams = Vec::new();
    let (mut by_number, mut by_expiry) = (BTreeSet::new(), BTreeSet::new());
    for name in &names {
        let entry = key_rows::get(rows, name).expect("a key can be read").expect("it is there");
        by_number.insert(Key::new(Table::KeyNumber).u8(name.db).u64(entry.number).into_bytes());
        if let Some(at) = entry.expires_at {
            let key = Key::new(Table::KeyDue).time(at).u8(name.db).name(&name.name);
            by_expiry.insert(key.into_bytes());
        }
        if let Value::Stream(head) = entry.value {
            assert_eq!(head.number, entry.number, "stream {} and its key", name.text());
            streams.push(Found::read(rows, name.clone(), head));
        }
    }
    same("keys by number", &by_number, &keys(rows, Table::KeyNumber));
    same("keys by expiry", &by_expiry, &keys(rows, Table::KeyDue));
    let counted = counter(rows, &count::keys(0)).expect("a counter");
    assert_eq!(counted, names.iter().filter(|name| name.db == 0).count() as i64, "keys");
    streams
}

impl Found {
    fn read(rows: &dyn Rows, name: KeyName, head: Stream) -> Found {
        let mut found = BTreeMap::new();
        let range = (head.first, StreamId::MAX);
        entries::scan(rows, head.number, range, false, &mut |id, content| {
            let run = if let Content::Run(run) = content { Some(run) } else { None };
            found.insert(id, run);
            Ok(ControlFlow::Continue(()))
        })
        .expect("entries can be read");
        let all = groups::list(rows, head.number, usize::MAX).expect("groups can be read");
        let with_rows = all.into_iter().map(|(name, group)| {
            let mut found = BTreeMap::new();
            let all = (StreamId::MIN, StreamId::MAX);
            pending::scan(rows, head.number, group.number, all, &mut |id, row| {
                found.insert(id, row);
                Ok(ControlFlow::Continue(()))
            })
            .expect("pending rows can be read");
            (name.into(), group, found)
        });
        let groups = with_rows.collect();
        Found { name, head, entries: found, groups }
    }

    fn check_head(&self) {
        let (name, head) = (self.name.text(), &self.head);
        assert_eq!(head.length, self.entries.len() as u64, "length of {name}");
        let runs = self.entries.values().flatten().count() as u64;
        assert_eq!(head.runs, runs, "runs of {name}");
        assert_eq!(u64::from(head.groups), self.groups.len() as u64, "groups of {name}");
        assert_eq!(
            head.first(),
            self.entries.first_key_value().map(|(id, _)| *id),
            "first entry of {name}"
        );
        let top = self.entries.last_key_value().map_or(StreamId::MIN, |(id, _)| *id);
        assert!(top <= head.last, "{name} has {top} above its last id {}", head.last);
        assert!(head.added >= head.length, "{name}: more entries than were added");
    }

    fn check_group(
        &self,
        rows: &dyn Rows,
        name: &Bytes,
        group: &Group,
        pending: &BTreeMap<StreamId, Pending>,
    ) {
        let about = format!("group {name:?} of {}", self.name.text());
        let (stream, number) = (self.head.number, group.number);
        let count = |key| counter(rows, &key).expect("a counter can be read");
        let mut by_consumer: BTreeMap<u32, i64> = BTreeMap::new();
        let (mut again, mut timed) = (BTreeSet::new(), Vec::new());
        for (id, row) in pending {
            *by_consumer.entry(row.consumer).or_default() += 1;
            assert!(*id <= group.pending_max, "{about}: {id} above the highest pending id");
            assert_eq!(row.consumer == NOBODY, row.again_at.is_some(), "{about}: {id} has {row:?}");
            if let Some(at) = row.again_at {
                let key = Key::new(Table::Again).u64(stream).u32(number).time(at);
                again.insert(key.u64(id.ms).u64(id.seq).into_bytes());
                timed.push((at, *id));
            }
            let is_run = self.entries.get(id).is_some_and(Option::is_some);
            assert_eq!(is_run, row.lease.is_some(), "{about}: {id} has {row:?}");
        }
        let mine = Key::new(Table::Again).u64(stream).u32(number).into_bytes();
        let mut found = keys(rows, Table::Again);
        found.retain(|key| key.starts_with(&mine));
        same(&format!("{about}: to be delivered again"), &again, &found);

        assert_eq!(count(count::pending(stream, number)), pending.len() as i64, "{about}: pending");
        by_consumer.remove(&NOBODY);
        let consumers = groups::consumers(rows, stream, number, usize::MAX).expect("consumers");
        assert_eq!(u64::from(group.consumers), consumers.len() as u64, "{about}: consumers");
        for (consumer, row) in consumers {
            let name = groups::consumer_name(rows, stream, number, row.number).expect("a name");
            assert_eq!(name.as_ref(), Some(&consumer), "{about}: name of consumer {}", row.number);
            let expected = by_consumer.remove(&row.number).unwrap_or(0);
            let found = count(count::pending_of(stream, number, row.number));
            assert_eq!(found, expected, "{about}: pending of {consumer:?}");
        }
        assert!(by_consumer.is_empty(), "{about}: pending for nobody: {by_consumer:?}");
    }

    /// Groups that have this entry pending.
    fn holders(&self, id: StreamId) -> Vec<&Pending> {
        self.groups.iter().filter_map(|(_, _, pending)| pending.get(&id)).collect()
    }
}

/// An open run that is pulled has one entry, at most one pending row, and the row that fits.
fn check_runs(streams: &[Found], runs: &BTreeMap<RunId, Run>) {
    let mut seen = BTreeMap::new();
    for found in streams {
        for (id, run) in found.entries.iter().filter_map(|(id, run)| Some((id, run.as_ref()?))) {
            let earlier = seen.insert(*run, (found, *id));
            assert!(
                earlier.is_none(),
                "{run} has two entries, {:?} and {id}",
                earlier.map(|e| e.1)
            );
            let run = runs.get(run).unwrap_or_else(|| panic!("entry {id} has no run {run}"));
            assert_eq!(run.entry, Some(*id), "{} and its entry", run.id);
            assert_eq!(run.stream, Some(found.name.text()), "{} and its stream", run.id);
        }
    }
    for (id, run) in runs {
        let waits = run.stream.is_none() || run.status == Status::Delayed || run.status.is_final();
        let Some((found, entry)) = seen.get(id) else {
            assert!(
                waits && run.entry.is_none(),
                "{id} is {} and has no entry",
                run.status.as_str()
            );
            continue;
        };
        assert!(!waits, "{id} is {} and has an entry", run.status.as_str());
        let holders = found.holders(*entry);
        let out = holders.iter().filter(|row| row.again_at.is_none()).count();
        let about = format!("{id} is {} with {holders:?}", run.status.as_str());
        assert_eq!(out, usize::from(run.status.holds_slot()), "{about}");
        assert!(holders.len() <= 1 || found.groups.len() > 1, "{about}");
        let unread = found.groups.iter().all(|(_, group, _)| group.last < *entry);
        assert!(!holders.is_empty() || unread, "{about}, and no group will read it");
    }
}

/// Rows that belong to nothing wait for their removal.
fn check_purges(rows: &dyn Rows, streams: &[Found]) {
    let waiting = purges(rows, usize::MAX).expect("purges can be read");
    let stream = |number: u64| streams.iter().find(|found| found.head.number == number);
    scan(rows, Table::Entry, |key, _| {
        let mut reader = KeyReader::new(key);
        let number = reader.u64().expect("an entry has a stream");
        let mut half = || reader.u64().expect("an entry has an id");
        let id = StreamId::new(half(), half());
        let cut = |purge: &Purge| matches!(purge, Purge::Below(of, below) if *of == number && id < *below);
        let known = match stream(number) {
            None => waiting.contains(&Purge::Stream(number)),
            Some(found) => id >= found.head.first || waiting.iter().any(cut),
        };
        assert!(known, "entry {id} of stream {number} is forgotten");
    });
    for table in [Table::Consumer, Table::ConsumerName, Table::Pending, Table::Again] {
        scan(rows, table, |key, _| {
            let mut reader = KeyReader::new(key);
            let number = reader.u64().expect("a row of a group has a stream");
            let group = reader.u32().expect("a row of a group has a group");
            let known = match stream(number) {
                None => waiting.contains(&Purge::Stream(number)),
                Some(found) => {
                    found.groups.iter().any(|(_, has, _)| has.number == group)
                        || waiting.contains(&Purge::Group(number, group))
                }
            };
            assert!(known, "a row of {table:?} of group {group} of stream {number} is forgotten");
        });
    }
}

/// Whether everything was read and answered, and nothing waits for its removal.
pub fn open_entries(rows: &dyn Rows) -> Vec<String> {
    let mut open = Vec::new();
    for found in read(rows) {
        for (name, group, pending) in &found.groups {
            // A stream that came by a rename brings groups along that nobody reads under this name.
            let text = found.name.text();
            let is_read = name[..] == *GROUPS[0].as_bytes() || !PULL.contains(&&*text);
            let unread = found.entries.keys().filter(|id| **id > group.last).count();
            if is_read && unread + pending.len() > 0 && !found.name.text().ends_with(".dead") {
                open.push(format!("{text} {name:?}: {unread} unread, pending {pending:?}; "));
            }
        }
    }
    for purge in purges(rows, 10).expect("purges can be read") {
        open.push(format!("{purge:?} waits; "));
    }
    open
}
