//! Reading entries: by range, behind a place, and for a group, which makes them pending.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::ledger::keys::command::{Answer, Delivered, ReadGroup};
use crate::ledger::runs::{place, pull, told};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{
    Consumer, Content, Entry, Fields, GroupStart, KeyName, NOBODY, Pending, Start, Stream,
    StreamId, read_on,
};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{entry as entries, pending};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::ack;
use super::claim::{self, Take};
use super::open::{Opened, Party, look, pending_count_of};

/// Entries that were given back and are looked at for one read, where fewer are wanted.
const GIVEN_BACK_LOOKED_AT: usize = 100;
/// Bytes of entries from which a read takes no further one. Readers come again for the rest.
pub const READ_BYTES_MAX: usize = 8 << 20;
/// Entries of one read for each key.
pub const READ_ENTRIES_MAX: u64 = 10_000;
/// Bytes of entries that a range may answer; one that asks for more is refused, since a cut one
/// would look like the whole.
pub const RANGE_BYTES_MAX: usize = 64 << 20;

/// What an entry says to its readers; nothing when its run is gone.
pub fn fields_of(rows: &dyn Rows, content: Content) -> Result<Option<Fields>, Fault> {
    match content {
        Content::Fields(fields) => Ok(Some(fields)),
        Content::Run(run) => told::fields(rows, run),
    }
}

/// Entries from `from` to `to`, both included.
pub fn range(
    rows: &dyn Rows,
    stream: &Stream,
    (from, to): (StreamId, StreamId),
    newest_first: bool,
    count: Option<u64>,
) -> Result<Vec<Entry>, Stop> {
    let mut found = Vec::new();
    let (mut bytes, mut contents) = (0, Vec::new());
    let from = from.max(stream.first);
    if count == Some(0) || stream.length == 0 || from > to {
        return Ok(found);
    }
    entries::scan(rows, stream.number, (from, to), newest_first, &mut |id, content| {
        if let Content::Fields(fields) = &content {
            bytes += fields.bytes() + 16;
        }
        contents.push((id, content));
        let enough = count.is_some_and(|count| contents.len() as u64 >= count);
        let more = !enough && bytes <= RANGE_BYTES_MAX;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if bytes > RANGE_BYTES_MAX {
        let message = format!("the range holds more than {RANGE_BYTES_MAX} bytes: use COUNT");
        return Err(Refusal::new(Code::TooLarge, message).into());
    }
    for (id, content) in contents {
        if let Some(fields) = fields_of(rows, content)? {
            found.push(Entry { id, fields });
        }
    }
    Ok(found)
}

/// Entries behind a place in each of some streams.
pub fn read(
    rows: &dyn Rows,
    now: Time,
    keys: &[(KeyName, Start)],
    count: Option<u64>,
) -> Result<Answer, Stop> {
    let mut answer = Vec::new();
    let mut bytes = 0;
    for (place, (key, start)) in keys.iter().enumerate() {
        let Some(stream) = look(rows, now, key)? else { continue };
        let (from, most) = match start {
            Start::After(id) => (id.next(), count.unwrap_or(READ_ENTRIES_MAX)),
            Start::Last => (entries::last(rows, stream.number, stream.first)?, 1),
            Start::End => (None, 0),
        };
        let Some(from) = from else { continue };
        let found = upto(rows, &stream, from, most.min(READ_ENTRIES_MAX), &mut bytes)?;
        let mut delivered = Vec::with_capacity(found.len());
        for (id, content) in found {
            if let Some(fields) = fields_of(rows, content)? {
                delivered.push(Delivered { id, fields: Some(fields), claimed: None });
            }
        }
        if !delivered.is_empty() {
            answer.push((place, delivered));
        }
    }
    Ok(Answer::Read(answer))
}

/// Turns "behind whatever is there now" into the id that this is.
pub fn fix_ends(tx: &mut Tx<'_>, keys: &mut [(KeyName, Start)]) -> Result<(), Stop> {
    for (key, start) in keys.iter_mut().filter(|(_, start)| *start == Start::End) {
        let stream = look(tx, tx.now(), key)?;
        *start = Start::After(stream.map_or(StreamId::MIN, |stream| stream.last));
    }
    Ok(())
}

/// Entries from `from` on, as many as a read may take.
fn upto(
    rows: &dyn Rows,
    stream: &Stream,
    from: StreamId,
    most: u64,
    bytes: &mut usize,
) -> Result<Vec<(StreamId, Content)>, Fault> {
    let mut found = Vec::new();
    if most == 0 || stream.length == 0 || from > stream.last || *bytes >= READ_BYTES_MAX {
        return Ok(found);
    }
    let range = (from.max(stream.first), StreamId::MAX);
    entries::scan(rows, stream.number, range, false, &mut |id, content| {
        if let Content::Fields(fields) = &content {
            *bytes += fields.bytes();
        }
        found.push((id, content));
        let more = (found.len() as u64) < most && *bytes < READ_BYTES_MAX;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Reads for a consumer of a group: its own pending entries again, or what is new.
pub fn read_group(tx: &mut Tx<'_>, command: ReadGroup) -> Result<Answer, Stop> {
    for (key, _) in &command.keys {
        super::open::look_group(tx, tx.now(), key, &command.group)?;
    }
    let mut answer = Vec::new();
    let mut bytes = 0;
    for (place, (key, start)) in command.keys.iter().enumerate() {
        let Some(opened) = Opened::find(tx, key)? else { continue };
        let party = opened.group(tx, &command.group)?;
        let reader = Reader { tx, opened, party, command: &command, bytes: &mut bytes };
        match start {
            GroupStart::New => {
                let found = reader.new_entries()?;
                if !found.is_empty() {
                    answer.push((place, found));
                }
            }
            // Always answered, also with nothing: the consumer learns that it has nothing left.
            GroupStart::Own(after) => answer.push((place, reader.own(*after)?)),
        }
    }
    Ok(Answer::Read(answer))
}

struct Reader<'r, 'tx, 'a> {
    tx: &'r mut Tx<'a>,
    opened: Opened,
    party: Party,
    command: &'tx ReadGroup,
    bytes: &'r mut usize,
}

impl Reader<'_, '_, '_> {
    fn most(&self) -> u64 {
        self.command.count.unwrap_or(READ_ENTRIES_MAX).min(READ_ENTRIES_MAX)
    }

    /// First what was given back and waits for its next consumer, then what the command wants taken
    /// over, then what the group has never delivered.
    fn new_entries(mut self) -> Result<Vec<Delivered>, Stop> {
        let name: &Bytes = &self.command.consumer;
        let (consumer, _) = self.party.consumer(self.tx, name)?;
        let mut found = Vec::new();
        self.given_back(&consumer, &mut found)?;
        if let Some(min_idle) = self.command.claim {
            self.idle(&consumer, min_idle, &mut found)?;
        }
        let fresh = self.fresh(&consumer, self.most().saturating_sub(found.len() as u64))?;
        found.extend(fresh);
        if found.is_empty() {
            ack::wake_later(self.tx, &self.opened, self.party.group.number)?;
        } else {
            self.party.active(self.tx, name, consumer);
            self.party.save(self.tx);
        }
        Ok(found)
    }

    fn given_back(&mut self, consumer: &Consumer, found: &mut Vec<Delivered>) -> Result<(), Stop> {
        let most = usize::try_from(self.most()).unwrap_or(usize::MAX);
        let (stream, group) = (self.opened.stream.number, self.party.group.number);
        // More than are wanted, since some may be gone: a reader that found only such ones would
        // wait while there is something for it behind them.
        let looked_at = most.max(GIVEN_BACK_LOOKED_AT);
        let ids = pending::again(self.tx, stream, group, self.tx.now(), looked_at)?;
        let (all, mut forgotten) = (ids.len() < looked_at, false);
        for id in ids {
            if found.len() >= most {
                return Ok(());
            }
            let take = Take { consumer: consumer.number, ..Take::now(self.tx.now()) };
            if let Some((id, fields)) =
                claim::take(self.tx, &mut self.opened, &mut self.party, id, take)?
            {
                *self.bytes += fields.bytes();
                found.push(Delivered { id, fields: Some(fields), claimed: None });
            } else {
                forgotten |= self.party.pending(self.tx, id)?.is_none();
            }
            if *self.bytes >= READ_BYTES_MAX {
                break;
            }
        }
        if found.is_empty() && forgotten && !all {
            // There is more behind those that were gone: whoever waits looks again.
            self.tx.notify(Notice::Key(self.opened.name.clone()));
        }
        Ok(())
    }

    fn idle(
        &mut self,
        consumer: &Consumer,
        min_idle: Span,
        found: &mut Vec<Delivered>,
    ) -> Result<(), Stop> {
        let now = self.tx.now();
        let most = self.most().saturating_sub(found.len() as u64);
        let range = (StreamId::MIN, StreamId::MAX);
        let idle = claim::idle(self.tx, &self.party, range, min_idle, now, most)?;
        for (id, row) in idle.rows {
            let take = Take { consumer: consumer.number, ..Take::now(now) };
            if let Some((id, fields)) =
                claim::take(self.tx, &mut self.opened, &mut self.party, id, take)?
            {
                let claimed = Some((now.since(row.delivered_at), row.deliveries));
                found.push(Delivered { id, fields: Some(fields), claimed });
            }
        }
        Ok(())
    }

    fn fresh(&mut self, consumer: &Consumer, most: u64) -> Result<Vec<Delivered>, Stop> {
        let Some(from) = self.party.group.last.next() else { return Ok(Vec::new()) };
        let found = upto(self.tx, &self.opened.stream, from, most, self.bytes)?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.opened.stream.first();
        let mut delivered = Vec::with_capacity(found.len());
        for (id, content) in found {
            let read = read_on(&self.opened.stream, &self.party.group, first, id);
            self.party.group.entries_read = read;
            self.party.group.last = id;
            if let Some(fields) = self.deliver(consumer, id, content)? {
                delivered.push(Delivered { id, fields: Some(fields), claimed: None });
            }
        }
        // Also when all of it was runs that are over: the position has moved.
        self.party.save(self.tx);
        Ok(delivered)
    }

    /// A new entry goes to the consumer; a run of it starts.
    fn deliver(
        &mut self,
        consumer: &Consumer,
        id: StreamId,
        content: Content,
    ) -> Result<Option<Fields>, Stop> {
        let now = self.tx.now();
        // A group that was set back may deliver what is pending already.
        let before = match id <= self.party.group.pending_max {
            true => self.party.pending(self.tx, id)?,
            false => None,
        };
        let (fields, lease) = match content {
            // Delivered is done, if the reader wants it so.
            Content::Fields(fields) if self.command.no_ack => return Ok(Some(fields)),
            Content::Fields(fields) => (fields, None),
            Content::Run(run) => {
                let group = self.party.group.number;
                // A run that a worker has, or that is to be delivered again, is nothing new.
                if before.is_some() || place::held_by_another(self.tx, &self.opened, group, id)? {
                    return Ok(None);
                }
                match pull::start(self.tx, run)? {
                    Some((fields, lease)) => (fields, Some(lease)),
                    None => return Ok(None),
                }
            }
        };
        let row = Pending {
            consumer: consumer.number,
            delivered_at: now,
            first_delivered_at: before.map_or(now, |row| row.first_delivered_at),
            deliveries: 1,
            lease,
            again_at: None,
        };
        self.party.save_pending(self.tx, id, before.as_ref(), Some(&row));
        Ok(Some(fields))
    }

    /// The consumer's own pending entries behind `after`, delivered once more.
    fn own(mut self, after: StreamId) -> Result<Vec<Delivered>, Stop> {
        let name: &Bytes = &self.command.consumer;
        let (consumer, _) = self.party.consumer(self.tx, name)?;
        let (stream, group) = (self.opened.stream.number, self.party.group.number);
        let left = pending_count_of(self.tx, stream, group, consumer.number)?;
        let most = left.min(self.most());
        let Some(from) = after.next().filter(|_| most > 0) else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        pending::scan(self.tx, stream, group, (from, StreamId::MAX), &mut |id, row| {
            if row.consumer == consumer.number && row.consumer != NOBODY {
                rows.push((id, row));
            }
            let more = (rows.len() as u64) < most;
            Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let mut delivered = Vec::with_capacity(rows.len());
        for (id, row) in rows {
            let content = match id >= self.opened.stream.first {
                true => entries::get(self.tx, stream, id)?,
                false => None,
            };
            let fields = content.map(|content| fields_of(self.tx, content)).transpose()?.flatten();
            if fields.is_some() {
                let deliveries = row.deliveries + 1;
                let again = Pending { delivered_at: self.tx.now(), deliveries, ..row };
                self.party.save_pending(self.tx, id, Some(&row), Some(&again));
            }
            delivered.push(Delivered { id, fields, claimed: None });
        }
        if !delivered.is_empty() {
            self.party.active(self.tx, name, consumer);
        }
        Ok(delivered)
    }
}
