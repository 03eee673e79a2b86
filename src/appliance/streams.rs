//! Streams as operators see them: which there are, how far their groups are, what is in them.
//!
//! Every question reads one snapshot and looks at a bounded number of rows, however much there is.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::id::RunId;
use crate::base::time::Time;
use crate::ledger::keys::space;
use crate::ledger::streams::open::{look, no_stream, pending_count, pending_count_of};
use crate::model::refusal::Refusal;
use crate::model::run::Status;
use crate::model::stream::{Content, Fields, Group, KeyName, Stream, StreamId, lag};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{entry, group as groups, key as keys, pending, run as runs};
use crate::store::rows::Rows;

use super::presence::Who;
use super::stream_pulse::StreamPulse;
use super::{Appliance, stop_to_refusal};

/// The database that tasks and pages use.
const DB: u8 = 0;
/// Keys of any kind that one list looks at, and how many at once.
const KEYS_LOOKED_AT_MAX: usize = 1_000;
const KEYS_AT_ONCE: usize = 100;
/// Groups of a stream, and consumers of a group, that are looked at.
pub const GROUPS_MAX: usize = 100;
pub const CONSUMERS_MAX: usize = 100;
/// Pending rows among which the oldest is looked for: those with the lowest ids.
const PENDING_LOOKED_AT_MAX: usize = 100;
/// Bytes of entries from which a page takes no further one.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Names and values of an entry that are kept, and bytes of each.
const PARTS_MAX: usize = 24;
pub const PART_BYTES_MAX: usize = 400;

/// Streams by name.
#[derive(Clone, Debug, Default)]
pub struct StreamsPage {
    pub lines: Vec<StreamLine>,
    /// Where to go on.
    pub next: Option<Bytes>,
    /// So many keys were looked at without filling the page.
    pub partial: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct StreamLine {
    pub name: KeyName,
    pub stream: Stream,
    /// Entries that groups have still to read or to acknowledge, over the groups looked at.
    pub waiting: u64,
    /// The group with the most before it.
    pub worst: Option<GroupLine>,
}

/// How far a group is.
#[derive(Clone, Debug)]
pub struct GroupLine {
    pub name: Bytes,
    pub group: Group,
    pub lag: Option<u64>,
    pub pending: u64,
    /// When the oldest pending entry was first delivered, among those with the lowest ids.
    pub oldest: Option<Time>,
}

impl GroupLine {
    pub fn waiting(&self) -> u64 {
        self.lag.unwrap_or(0).saturating_add(self.pending)
    }
}

/// One stream.
#[derive(Clone, Debug)]
pub struct StreamView {
    pub name: KeyName,
    pub stream: Stream,
    pub expires_at: Option<Time>,
    pub groups: Vec<GroupView>,
    pub entries: Vec<EntryView>,
    /// The entry at which the next page begins.
    pub next: Option<StreamId>,
}

#[derive(Clone, Debug)]
pub struct GroupView {
    pub line: GroupLine,
    /// The first ones by name.
    pub consumers: Vec<ConsumerView>,
}

#[derive(Clone, Debug)]
pub struct ConsumerView {
    pub name: Bytes,
    pub pending: u64,
    pub seen_at: Time,
    pub active_at: Option<Time>,
    /// A connection that has read as this consumer is open.
    pub connected: bool,
}

#[derive(Clone, Debug)]
pub struct EntryView {
    pub id: StreamId,
    pub body: EntryBody,
}

#[derive(Clone, Debug)]
pub enum EntryBody {
    /// Names and values in turn, and how many of them are not here.
    Fields { parts: Vec<Part>, left_out: usize },
    /// Without task and status when the run is gone.
    Run { id: RunId, of: Option<(String, Status)> },
}

/// The beginning of a name or value, and the length of the whole.
#[derive(Clone, Debug)]
pub struct Part {
    pub bytes: Bytes,
    pub len: usize,
}

/// Which entries of a stream.
#[derive(Clone, Copy, Debug)]
pub struct EntriesAsked {
    pub newest_first: bool,
    /// The first one of the page.
    pub from: Option<StreamId>,
    pub limit: usize,
}

impl Appliance {
    /// Streams behind a name.
    pub fn streams(&self, after: Option<&[u8]>, limit: usize) -> Result<StreamsPage, Refusal> {
        let snapshot = self.snapshot()?;
        list(&snapshot, self.now(), after, limit).map_err(stop_to_refusal)
    }

    /// One stream with its groups and a page of its entries.
    pub fn stream(&self, name: &KeyName, asked: EntriesAsked) -> Result<StreamView, Refusal> {
        let snapshot = self.snapshot()?;
        let mut view = view(&snapshot, self.now(), name, asked).map_err(stop_to_refusal)?;
        for group in &mut view.groups {
            for consumer in &mut group.consumers {
                consumer.connected = self.presence.is_here(&Who {
                    stream: name.clone(),
                    group: group.line.name.clone(),
                    consumer: consumer.name.clone(),
                });
            }
        }
        Ok(view)
    }

    /// Takes a sample of the streams that the pulse watches; looks for new ones now and then.
    pub(super) fn sample_streams(&self, pulse: &StreamPulse) -> Result<(), Refusal> {
        let (snapshot, now) = (self.snapshot()?, self.now());
        if pulse.looks_around(now) {
            let found =
                names(&snapshot, StreamPulse::STREAMS_MAX + 1).map_err(super::unreadable)?;
            pulse.watch(now, found);
        }
        let mut added = Vec::new();
        for name in pulse.watched().into_iter().take(StreamPulse::STREAMS_MAX) {
            match look(&snapshot, now, &name) {
                Ok(Some(stream)) => added.push((stream.number, stream.added)),
                Ok(None) | Err(Stop::Refused(_)) => {}
                Err(stop) => return Err(stop_to_refusal(stop)),
            }
        }
        pulse.sample(now, added.into_iter().collect());
        Ok(())
    }
}

fn names(rows: &dyn Rows, most: usize) -> Result<Vec<KeyName>, Fault> {
    let (mut found, mut after) = (Vec::new(), None::<KeyName>);
    for _ in 0..KEYS_LOOKED_AT_MAX / KEYS_AT_ONCE {
        let from = after.as_ref().map(|name| &name.name[..]);
        let (streams, next) = keys::streams(rows, DB, from, KEYS_AT_ONCE)?;
        found.extend(streams.into_iter().map(|(name, _)| name));
        after = next;
        if after.is_none() || found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

fn list(
    rows: &dyn Rows,
    now: Time,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<StreamsPage, Stop> {
    let mut page = StreamsPage::default();
    let mut after = after.map(Bytes::copy_from_slice);
    let mut looked = 0;
    loop {
        let (streams, next) = keys::streams(rows, DB, after.as_deref(), KEYS_AT_ONCE)?;
        looked += KEYS_AT_ONCE;
        for (name, _) in streams {
            // What has expired may still have its row.
            let Some(stream) = look(rows, now, &name)? else { continue };
            if page.lines.len() == limit {
                page.next = page.lines.last().map(|line: &StreamLine| line.name.name.clone());
                return Ok(page);
            }
            page.lines.push(line(rows, name, stream)?);
        }
        let Some(next) = next else { return Ok(page) };
        if looked >= KEYS_LOOKED_AT_MAX {
            (page.next, page.partial) = (Some(next.name), Some(looked));
            return Ok(page);
        }
        after = Some(next.name);
    }
}

fn line(rows: &dyn Rows, name: KeyName, stream: Stream) -> Result<StreamLine, Fault> {
    let groups = group_lines(rows, &stream)?;
    let waiting = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.waiting()));
    let mut worst = groups.into_iter().max_by_key(|group| (group.waiting(), group.pending));
    if let Some(worst) = &mut worst {
        worst.oldest = oldest(rows, stream.number, worst)?;
    }
    Ok(StreamLine { name, stream, waiting, worst })
}

/// The groups of a stream, without the age of what is pending.
pub(super) fn group_lines(rows: &dyn Rows, stream: &Stream) -> Result<Vec<GroupLine>, Fault> {
    let listed = groups::list(rows, stream.number, GROUPS_MAX)?;
    let line = |(name, group): (Vec<u8>, Group)| {
        Ok(GroupLine {
            name: name.into(),
            lag: lag(stream, &group, stream.first()),
            pending: pending_count(rows, stream.number, group.number)?,
            oldest: None,
            group,
        })
    };
    listed.into_iter().map(line).collect()
}

pub(super) fn oldest(
    rows: &dyn Rows,
    stream: u64,
    line: &GroupLine,
) -> Result<Option<Time>, Fault> {
    let (mut oldest, mut looked) = (None, 0);
    if line.pending == 0 {
        return Ok(None);
    }
    let range = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, stream, line.group.number, range, &mut |_, row| {
        let first = row.first_delivered_at;
        oldest = Some(oldest.map_or(first, |at: Time| at.min(first)));
        looked += 1;
        let more = looked < PENDING_LOOKED_AT_MAX;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(oldest)
}

fn view(
    rows: &dyn Rows,
    now: Time,
    name: &KeyName,
    asked: EntriesAsked,
) -> Result<StreamView, Stop> {
    let found = space::stream_of(space::get(rows, now, name)?)?;
    let (stream, held) = found.ok_or_else(|| no_stream(name))?;
    let mut groups = Vec::new();
    for mut line in group_lines(rows, &stream)? {
        line.oldest = oldest(rows, stream.number, &line)?;
        let consumers = consumers(rows, stream.number, line.group.number)?;
        groups.push(GroupView { line, consumers });
    }
    let (entries, next) = entries(rows, &stream, asked)?;
    let name = name.clone();
    Ok(StreamView { name, expires_at: held.expires_at, groups, entries, next, stream })
}

fn consumers(rows: &dyn Rows, stream: u64, group: u32) -> Result<Vec<ConsumerView>, Fault> {
    let listed = groups::consumers(rows, stream, group, CONSUMERS_MAX)?;
    let view = |(name, consumer): (Vec<u8>, crate::model::stream::Consumer)| {
        Ok(ConsumerView {
            name: name.into(),
            pending: pending_count_of(rows, stream, group, consumer.number)?,
            seen_at: consumer.seen_at,
            active_at: consumer.active_at,
            connected: false,
        })
    };
    listed.into_iter().map(view).collect()
}

/// A page of entries, and the entry behind it.
fn entries(
    rows: &dyn Rows,
    stream: &Stream,
    asked: EntriesAsked,
) -> Result<(Vec<EntryView>, Option<StreamId>), Fault> {
    let (mut found, mut next, mut bytes) = (Vec::new(), None, 0);
    let (from, to) = match asked {
        EntriesAsked { newest_first: true, from, .. } => (None, from),
        EntriesAsked { newest_first: false, from, .. } => (from, None),
    };
    // What lies below the first entry was cut off.
    let range = (from.unwrap_or(StreamId::MIN).max(stream.first), to.unwrap_or(StreamId::MAX));
    if stream.length == 0 || range.0 > range.1 {
        return Ok((found, next));
    }
    entry::scan(rows, stream.number, range, asked.newest_first, &mut |id, content| {
        if found.len() == asked.limit || bytes >= PAGE_BYTES_MAX {
            next = Some(id);
            return Ok(ControlFlow::Break(()));
        }
        let body = match content {
            Content::Fields(fields) => {
                bytes += fields.bytes();
                parts(&fields)
            }
            Content::Run(id) => EntryBody::Run { id, of: None },
        };
        found.push(EntryView { id, body });
        Ok(ControlFlow::Continue(()))
    })?;
    for entry in &mut found {
        if let EntryBody::Run { id, of } = &mut entry.body {
            *of = runs::get(rows, *id)?.map(|run| (run.task.to_string(), run.status));
        }
    }
    Ok((found, next))
}

fn parts(fields: &Fields) -> EntryBody {
    let part = |part: &[u8]| Part {
        bytes: Bytes::copy_from_slice(&part[..part.len().min(PART_BYTES_MAX)]),
        len: part.len(),
    };
    EntryBody::Fields {
        parts: fields.parts().take(PARTS_MAX).map(part).collect(),
        left_out: fields.parts_len().saturating_sub(PARTS_MAX) / 2,
    }
}
