//! Keys and streams: heads say what their entries and groups say.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::model::delivery::Timer;
use crate::model::stream::{DATABASES, Group, KeyName, NOBODY, Stream, StreamId};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::kinds::entry::{self, Purge, purges};
use crate::store::kinds::key::{self as keys, Value};
use crate::store::kinds::{count, group as groups, pending};
use crate::store::rows::{Span, counter};
use crate::store::tables::Table;

use super::Check;

/// Removals that are looked at.
const PURGES_MAX: usize = 10_000;

impl Check<'_> {
    pub fn check_keys(&mut self) -> Result<(), Fault> {
        self.each(Table::Key, &mut |check, key, _| {
            let mut reader = KeyReader::new(key);
            let name = KeyName { db: reader.u8()?, name: reader.name()?.into() };
            let Some(found) = keys::get(check.rows, &name)? else { return Ok(()) };
            let what = || format!("key {}", name.text());
            let by_number = Key::new(Table::KeyNumber).u8(name.db).u64(found.number);
            check.indexed(Table::KeyNumber, by_number, what)?;
            if let Some(at) = found.expires_at {
                let by_expiry = Key::new(Table::KeyDue).time(at).u8(name.db).name(&name.name);
                check.indexed(Table::KeyDue, by_expiry, what)?;
            }
            check.add(count::keys(name.db), 1);
            if let Value::Stream(stream) = &found.value {
                check.same(stream.number, found.number, || format!("{}: number", what()));
                check.check_stream(stream, &name.text())?;
            }
            Ok(())
        })?;
        self.discount_wakes()
    }

    /// A timer that wakes readers is no promise: entries wait in an index of their own.
    fn discount_wakes(&mut self) -> Result<(), Fault> {
        let span = Span::prefix(&Key::new(Table::Due).u8(Timer::Again as u8));
        let mut wakes = 0;
        self.scan(&span, &mut |_, _, _| {
            wakes += 1;
            Ok(())
        })?;
        *self.indexed.entry(Table::Due).or_default() += wakes;
        Ok(())
    }

    /// What no stream has waits for its removal.
    pub fn check_forgotten(&mut self) -> Result<(), Fault> {
        let waiting: BTreeSet<Purge> = purges(self.rows, PURGES_MAX)?.into_iter().collect();
        if waiting.len() == PURGES_MAX {
            let why = "rows of streams that are gone: too many streams wait to be cleared away";
            self.report.left_out.push(why.to_owned());
            return Ok(());
        }
        let is_gone = |stream| waiting.contains(&Purge::Stream(stream));
        for table in [Table::Entry, Table::Group] {
            let mut seen = None;
            self.each(table, &mut |check, key, _| {
                let stream = KeyReader::new(key).u64()?;
                if seen.replace(stream) != Some(stream) && !is_gone(stream) {
                    let there = check.stream_with(stream)?.is_some();
                    check.expect(there, || {
                        format!("a row of {table:?} of a stream {stream} that is not there")
                    });
                }
                Ok(())
            })?;
        }
        for table in [Table::Consumer, Table::ConsumerName, Table::Pending, Table::Again] {
            // Rows of a stream stand together, so its groups are listed once.
            let (mut seen, mut of, mut there) = (None, None, BTreeSet::new());
            self.each(table, &mut |check, key, _| {
                let mut reader = KeyReader::new(key);
                let (stream, group) = (reader.u64()?, reader.u32()?);
                if of.replace(stream) != Some(stream) {
                    there = check.groups_with(stream)?;
                }
                let is_gone = is_gone(stream) || waiting.contains(&Purge::Group(stream, group));
                if seen.replace((stream, group)) != Some((stream, group)) && !is_gone {
                    check.expect(there.contains(&group), || {
                        format!(
                            "a row of {table:?} of a group {group} of a stream {stream} that is \
                             not there"
                        )
                    });
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn stream_with(&self, number: u64) -> Result<Option<Stream>, Fault> {
        for db in 0..DATABASES {
            let key = Key::new(Table::KeyNumber).u8(db).u64(number);
            let Some(name) = self.rows.get(key.bytes())? else { continue };
            let found = keys::get(self.rows, &KeyName { db, name: name.into() })?;
            if let Some(Value::Stream(stream)) = found.map(|found| found.value) {
                return Ok(Some(stream));
            }
        }
        Ok(None)
    }

    /// Numbers of the groups of a stream; none of one that is not there.
    fn groups_with(&self, number: u64) -> Result<BTreeSet<u32>, Fault> {
        let Some(head) = self.stream_with(number)? else { return Ok(BTreeSet::new()) };
        let all = groups::list(self.rows, number, head.groups as usize)?;
        Ok(all.into_iter().map(|(_, group)| group.number).collect())
    }

    fn check_stream(&mut self, stream: &Stream, name: &str) -> Result<(), Fault> {
        let (mut length, mut runs, mut last) = (0, 0, StreamId::MIN);
        let ends = (stream.first, StreamId::MAX);
        entry::scan_ids(self.rows, stream.number, ends, &mut |id, is_run| {
            (length, last) = (length + 1, id);
            runs += u64::from(is_run);
            ControlFlow::Continue(())
        })?;
        self.same(stream.length, length, || format!("length of stream {name}"));
        self.same(stream.runs, runs, || format!("runs of stream {name}"));
        self.expect(last <= stream.last && stream.added >= stream.length, || {
            format!("stream {name}: an entry above its last id, or more than were added")
        });
        let all = groups::list(self.rows, stream.number, stream.groups as usize + 1)?;
        self.same(all.len(), stream.groups as usize, || format!("groups of stream {name}"));
        for (group_name, group) in all {
            let group_name = String::from_utf8_lossy(&group_name);
            let what = format!("group {group_name} of stream {name}");
            self.check_group(stream.number, &group, &what)?;
        }
        Ok(())
    }

    fn check_group(&mut self, stream: u64, group: &Group, what: &str) -> Result<(), Fault> {
        let mut by_consumer: BTreeMap<u32, i64> = BTreeMap::new();
        let (mut all, mut wrong) = (0, None);
        let ends = (StreamId::MIN, StreamId::MAX);
        pending::scan(self.rows, stream, group.number, ends, &mut |id, row| {
            all += 1;
            if row.consumer != NOBODY {
                *by_consumer.entry(row.consumer).or_default() += 1;
            }
            let is_held = row.consumer != NOBODY || row.again_at.is_some();
            if id > group.pending_max || !is_held {
                wrong = Some(id);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.expect(wrong.is_none(), || format!("{what}: {wrong:?} is pending for nobody"));
        let found = counter(self.rows, &count::pending(stream, group.number))?;
        self.same(found, all, || format!("{what}: pending"));
        let most = group.consumers as usize + 1;
        let consumers = groups::consumers(self.rows, stream, group.number, most)?;
        self.same(consumers.len(), group.consumers as usize, || format!("{what}: consumers"));
        for (_, consumer) in consumers {
            let key = count::pending_of(stream, group.number, consumer.number);
            let found = counter(self.rows, &key)?;
            let expected = by_consumer.remove(&consumer.number).unwrap_or(0);
            self.same(found, expected, || format!("{what}: pending of {}", consumer.number));
        }
        self.expect(by_consumer.is_empty(), || {
            format!("{what}: pending for consumers that are not there")
        });
        Ok(())
    }
}
