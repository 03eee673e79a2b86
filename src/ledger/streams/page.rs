//! Streams and their entries in pages: whoever lists them looks at a bounded number of rows.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::ledger::keys::command::GroupItem;
use crate::ledger::keys::space;
use crate::model::stream::{Entry, KeyName, Stream, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::key::Value;
use crate::store::kinds::{entry as entries, key as keys, pending};
use crate::store::rows::Rows;

use super::claim::idle_of;
use super::info::groups_of;
use super::open::{look, no_stream};
use super::read::fields_of;

/// Keys that one list of streams looks at, streams or not.
const KEYS_MAX: usize = 1_000;
/// Bytes of entries from which a page takes no further one.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Pending entries among which the longest idle one is looked for: those with the lowest ids.
const PENDING_MAX: usize = 1_000;

/// Streams by name, and the name to go on behind.
pub type StreamsPage = (Vec<(KeyName, Stream)>, Option<KeyName>);

/// At most `limit` streams of a database by name, those behind `after`.
pub fn streams(
    rows: &dyn Rows,
    now: Time,
    db: u8,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<StreamsPage, Fault> {
    let (found, next) = keys::streams(rows, db, after, KEYS_MAX)?;
    let mut page = Vec::new();
    for (name, _) in found {
        if page.len() == limit {
            let last = page.last().map(|(name, _): &(KeyName, Stream)| name.clone());
            return Ok((page, last));
        }
        // What has expired is not there, whether or not it was removed yet.
        if let Some(Value::Stream(stream)) = space::get(rows, now, &name)?.map(|entry| entry.value)
        {
            page.push((name, stream));
        }
    }
    Ok((page, next))
}

/// A stream with its groups and a page of its entries.
#[derive(Clone, Debug)]
pub struct StreamPage {
    pub stream: Stream,
    pub groups: Vec<GroupLine>,
    pub entries: Vec<Entry>,
    /// The first entry of the next page.
    pub next: Option<StreamId>,
}

/// A group, and how long its longest idle entry is idle.
#[derive(Clone, Debug)]
pub struct GroupLine {
    pub item: GroupItem,
    /// Among the first [`PENDING_MAX`] pending entries.
    pub idle_max: Option<Span>,
}

pub fn stream(
    rows: &dyn Rows,
    now: Time,
    key: &KeyName,
    (from, to): (StreamId, StreamId),
    limit: usize,
) -> Result<StreamPage, Stop> {
    let stream = look(rows, now, key)?.ok_or_else(|| no_stream(key))?;
    let groups = lines(rows, now, key, &stream)?;
    let mut page = StreamPage { stream, groups, entries: Vec::new(), next: None };
    let from = from.max(page.stream.first);
    if page.stream.length == 0 || from > to {
        return Ok(page);
    }
    let mut bytes = 0;
    entries::scan(rows, page.stream.number, (from, to), false, &mut |id, content| {
        if page.entries.len() == limit || bytes >= PAGE_BYTES_MAX {
            page.next = Some(id);
            return Ok(ControlFlow::Break(()));
        }
        if let Some(fields) = fields_of(rows, content)? {
            bytes += fields.bytes();
            page.entries.push(Entry { id, fields });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// One group of a stream.
pub fn group(
    rows: &dyn Rows,
    now: Time,
    key: &KeyName,
    name: &Bytes,
) -> Result<Option<GroupLine>, Stop> {
    let stream = look(rows, now, key)?.ok_or_else(|| no_stream(key))?;
    Ok(lines(rows, now, key, &stream)?.into_iter().find(|line| line.item.name == *name))
}

fn lines(
    rows: &dyn Rows,
    now: Time,
    key: &KeyName,
    stream: &Stream,
) -> Result<Vec<GroupLine>, Stop> {
    let line = |item: GroupItem| {
        let idle_max = idle_max(rows, now, stream.number, item.group.number)?;
        Ok(GroupLine { item, idle_max })
    };
    groups_of(rows, now, key)?.into_iter().map(line).collect()
}

fn idle_max(rows: &dyn Rows, now: Time, stream: u64, group: u32) -> Result<Option<Span>, Fault> {
    let (mut longest, mut looked_at) = (None, 0);
    let all = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, stream, group, all, &mut |_, row| {
        if row.again_at.is_none() {
            longest = longest.max(Some(idle_of(&row, now)));
        }
        looked_at += 1;
        let more = looked_at < PENDING_MAX;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(longest)
}
