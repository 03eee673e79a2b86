//! Streams as in Redis: ids, entries, groups, consumers, pending rows, and the arithmetic of lag.
//!
//! Nothing here knows a command, a reply or a row: the numbers and rules alone.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;

use crate::base::id::RunId;
use crate::base::time::{Span, Time};

/// A key of the Redis protocol: one of the databases, and a name of any bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    pub db: u8,
    pub name: Bytes,
}

/// Databases that `SELECT` knows, as in Redis.
pub const DATABASES: u8 = 16;
/// Longest name of a key, group or consumer, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;

impl KeyName {
    pub fn new(db: u8, name: impl Into<Bytes>) -> KeyName {
        KeyName { db, name: name.into() }
    }

    /// A stream by a name of text, in the database that HTTP and tasks use.
    pub fn of(name: &str) -> KeyName {
        KeyName { db: 0, name: Bytes::copy_from_slice(name.as_bytes()) }
    }

    /// The name for people; bytes that are no text are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// A copy of its own: the bytes of a request share one buffer with the requests around it.
    pub fn detached(&self) -> KeyName {
        KeyName { db: self.db, name: Bytes::copy_from_slice(&self.name) }
    }
}

/// The id of an entry: milliseconds, and a number within the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    pub fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The id right after this one; none after the last.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The id right before this one; none before the first.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The id that a new entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`
    Any,
    /// `ms-*`
    InMs(u64),
    Exact(StreamId),
}

/// Where a reader without a group goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind this id.
    After(StreamId),
    /// Behind whatever is there now.
    End,
    /// At the last entry.
    Last,
}

/// What a reader of a group asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStart {
    /// What the group has not delivered yet.
    New,
    /// Its own pending entries behind this id.
    Own(StreamId),
}

/// Names and values of an entry in one buffer: a count, then each with its length before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// From names and values in turn.
    pub fn from_parts<B: AsRef<[u8]>>(parts: &[B]) -> Fields {
        let bytes: usize = parts.iter().map(|part| part.as_ref().len() + 5).sum();
        let mut buffer = Vec::with_capacity(bytes + 5);
        put_length(&mut buffer, parts.len());
        for part in parts {
            put_length(&mut buffer, part.as_ref().len());
            buffer.extend_from_slice(part.as_ref());
        }
        Fields(buffer)
    }

    /// The bytes as they are stored; [`Fields::from_stored`] reads them back.
    pub fn stored(&self) -> &[u8] {
        &self.0
    }

    /// Checks that the parts fill the bytes exactly.
    pub fn from_stored(bytes: &[u8]) -> Option<Fields> {
        let mut parts = Parts::over(bytes)?;
        while parts.next().is_some() {}
        (parts.left == 0 && parts.rest.is_empty()).then(|| Fields(bytes.to_vec()))
    }

    /// How many parts: names and values together.
    pub fn parts_len(&self) -> usize {
        Parts::over(&self.0).map_or(0, |parts| parts.left)
    }

    /// Names and values in turn.
    pub fn parts(&self) -> Parts<'_> {
        Parts::over(&self.0).unwrap_or(Parts { left: 0, rest: &[] })
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let mut parts = self.parts();
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            if key == name {
                return Some(value);
            }
        }
        None
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Walks the parts of [`Fields`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn over(bytes: &'a [u8]) -> Option<Parts<'a>> {
        let mut rest = bytes;
        let left = take_length(&mut rest)?;
        Some(Parts { left, rest })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let len = take_length(&mut self.rest)?;
        let (part, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.left -= 1;
        Some(part)
    }
}

/// Seven bits a byte, lowest first; the high bit says that more follow.
fn put_length(buffer: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        buffer.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// An entry as readers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: StreamId,
    pub fields: Fields,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What a client added.
    Fields(Fields),
    /// A run: its fields are told from the run when it is read, so nothing is stored twice.
    Run(RunId),
}

/// A stream, without its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Names its rows; never used again.
    pub number: u64,
    pub length: u64,
    /// The highest id ever given.
    pub last: StreamId,
    /// The first entry, while there is one: what lies below it on disk was cut off and waits for
    /// removal.
    pub first: StreamId,
    /// The highest id ever deleted.
    pub max_deleted: StreamId,
    /// Entries ever added.
    pub added: u64,
    /// Entries that are runs; while there are any, the stream cannot be removed.
    pub runs: u64,
    pub groups: u32,
}

impl Stream {
    /// The id of the first entry that is there.
    pub fn first(&self) -> Option<StreamId> {
        (self.length > 0).then_some(self.first)
    }

    /// The id of an entry added now; `None` when ids are used up or the asked-for one is not above
    /// the last.
    pub fn next_id(&self, asked: NewId, now: Time) -> Option<StreamId> {
        let now_ms = u64::try_from(now.0).unwrap_or(0);
        match asked {
            NewId::Any if now_ms > self.last.ms => Some(StreamId::new(now_ms, 0)),
            NewId::Any => self.last.next(),
            NewId::InMs(ms) if ms > self.last.ms => Some(StreamId::new(ms, 0)),
            NewId::InMs(ms) if ms == self.last.ms => {
                self.last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            NewId::InMs(_) => None,
            NewId::Exact(id) => (id > self.last).then_some(id),
        }
    }
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Within its stream; never used again there.
    pub number: u32,
    /// The highest id delivered to it.
    pub last: StreamId,
    /// How many entries up to `last` were ever added; `None` when that cannot be known.
    pub entries_read: Option<u64>,
    /// The highest id that ever was pending: a new entry above it cannot be pending already.
    pub pending_max: StreamId,
    /// The number of the next consumer.
    pub next_consumer: u32,
    pub consumers: u32,
}

/// A consumer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Within its group; never used again there. 0 is nobody.
    pub number: u32,
    /// Its latest sign of life.
    pub seen_at: Time,
    /// When it was last given something.
    pub active_at: Option<Time>,
}

/// Nobody: the consumer of a pending row that waits for its next one.
pub const NOBODY: u32 = 0;

/// A delivered entry that is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: u32,
    pub delivered_at: Time,
    pub first_delivered_at: Time,
    pub deliveries: u64,
    /// How long its consumer has; without one the floor of the stream decides.
    pub lease: Option<Span>,
    /// Given back: to be delivered again from this moment on, to whoever reads next.
    pub again_at: Option<Time>,
}

/// How many entries up to and including `id` were ever added, if that can be known without
/// counting. `first` is the id of the first entry that is there. The cases are those of Redis.
pub fn entries_up_to(stream: &Stream, first: Option<StreamId>, id: StreamId) -> Option<u64> {
    if stream.added == 0 {
        return Some(0);
    }
    if stream.length == 0 && id <= stream.last {
        return Some(stream.added);
    }
    if id != StreamId::MIN && id < stream.max_deleted {
        return None;
    }
    if id >= stream.last {
        return (id == stream.last).then_some(stream.added);
    }
    let first = first?;
    let whole = stream.max_deleted == StreamId::MIN || stream.max_deleted < first;
    match id.cmp(&first) {
        Ordering::Less if whole => Some(stream.added.saturating_sub(stream.length)),
        Ordering::Equal if whole => Some(stream.added.saturating_sub(stream.length) + 1),
        Ordering::Less | Ordering::Equal | Ordering::Greater => None,
    }
}

/// How many entries a group has still to read; `None` when that cannot be known.
pub fn lag(stream: &Stream, group: &Group, first: Option<StreamId>) -> Option<u64> {
    if stream.added == 0 || stream.length == 0 {
        return Some(0);
    }
    let first = first?;
    if group.last < first && stream.max_deleted < first {
        return Some(stream.length);
    }
    if let Some(read) = group.entries_read
        && !tombstone_ahead(stream, group.last, first)
    {
        return Some(stream.added.saturating_sub(read));
    }
    entries_up_to(stream, Some(first), group.last).map(|read| stream.added.saturating_sub(read))
}

/// Whether something behind `from` was deleted, so that counts do not tell what lies between.
pub fn tombstone_ahead(stream: &Stream, from: StreamId, first: StreamId) -> bool {
    if stream.length == 0 || stream.max_deleted == StreamId::MIN {
        return false;
    }
    // What was deleted before the first entry that is there is not ahead of anyone.
    if first > stream.max_deleted {
        return false;
    }
    from <= stream.max_deleted
}

/// What a group's count of read entries becomes when `id`, behind its position, is delivered.
pub fn read_on(
    stream: &Stream,
    group: &Group,
    first: Option<StreamId>,
    id: StreamId,
) -> Option<u64> {
    if let (Some(read), Some(first)) = (group.entries_read, first)
        && group.last >= first
        && !tombstone_ahead(stream, group.last, first)
    {
        return Some(read + 1);
    }
    entries_up_to(stream, first, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_parts() {
        let long = vec![b'x'; 300];
        let parts: [&[u8]; 4] = [b"a", b"", b"\0\xff", &long];
        let fields = Fields::from_parts(&parts);
        assert_eq!(fields.parts().collect::<Vec<_>>(), parts);
        assert_eq!(fields.parts_len(), 4);
        assert_eq!(fields.get(b"\0\xff"), Some(&long[..]));
        assert_eq!(fields.get(b"b"), None);
        assert_eq!(Fields::from_stored(fields.stored()), Some(fields.clone()));
        for end in 0..fields.bytes() {
            assert_eq!(Fields::from_stored(&fields.stored()[..end]), None, "{end}");
        }
        assert_eq!(Fields::from_stored(&[fields.stored(), &[0]].concat()), None);
    }

    #[test]
    fn ids_only_grow() {
        let at = |ms, seq| Stream { last: StreamId::new(ms, seq), ..Stream::default() };
        let id = |ms, seq| Some(StreamId::new(ms, seq));
        for (last, asked, now, expected) in [
            ((5, 3), NewId::Any, 9, id(9, 0)),
            ((5, 3), NewId::Any, 5, id(5, 4)),
            ((5, 3), NewId::Any, 4, id(5, 4)),
            ((5, u64::MAX), NewId::Any, 5, id(6, 0)),
            ((u64::MAX, u64::MAX), NewId::Any, 5, None),
            ((5, 3), NewId::InMs(5), 1, id(5, 4)),
            ((5, u64::MAX), NewId::InMs(5), 1, None),
            ((5, 3), NewId::InMs(6), 1, id(6, 0)),
            ((5, 3), NewId::InMs(4), 1, None),
            ((5, 3), NewId::Exact(StreamId::new(5, 3)), 1, None),
            ((5, 3), NewId::Exact(StreamId::new(5, 4)), 1, id(5, 4)),
        ] {
            let stream = at(last.0, last.1);
            assert_eq!(stream.next_id(asked, Time(now)), expected, "{last:?} {asked:?} {now}");
        }
    }
}
