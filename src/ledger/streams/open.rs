//! A stream, a group, a consumer: found once in an act, changed in memory, written at its end.

use bytes::Bytes;

use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::ledger::keys::space;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Consumer, Content, Group, KeyName, NOBODY, Pending, Stream, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::key::{Entry, Value};
use crate::store::kinds::{count, entry as entries, group as groups, key as keys, pending};
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

/// Time between two readings that is worth a write when nothing else changed.
const SEEN_STEP: Span = Span(50);

/// A stream that an act works on.
pub struct Opened {
    pub name: KeyName,
    pub stream: Stream,
    expires_at: Option<Time>,
}

impl Opened {
    /// The stream under a key, if there is one.
    pub fn find(tx: &mut Tx<'_>, name: &KeyName) -> Result<Option<Opened>, Stop> {
        Ok(match space::take(tx, name)? {
            None => None,
            Some(Entry { expires_at, value: Value::Stream(stream), .. }) => {
                Some(Opened { name: name.clone(), stream, expires_at })
            }
            Some(_) => return Err(space::wrong_type().into()),
        })
    }

    /// The stream under a key, made when there is none.
    pub fn find_or_create(tx: &mut Tx<'_>, name: &KeyName) -> Result<Opened, Stop> {
        if let Some(opened) = Opened::find(tx, name)? {
            return Ok(opened);
        }
        let number = keys::fresh_number(tx)?;
        let stream = Stream { number, ..Stream::default() };
        let value = Value::Stream(stream.clone());
        keys::save(tx, name, None, Some(&Entry { number, expires_at: None, value }));
        Ok(Opened { name: name.clone(), stream, expires_at: None })
    }

    /// Writes the head.
    pub fn save(self, tx: &mut Tx<'_>) {
        let entry = Entry {
            number: self.stream.number,
            expires_at: self.expires_at,
            value: Value::Stream(self.stream),
        };
        keys::put(tx, &self.name, &entry);
    }

    /// Adds an entry behind all others.
    pub fn append(&mut self, tx: &mut Tx<'_>, id: StreamId, content: &Content) {
        entries::put(tx, self.stream.number, id, content);
        if self.stream.length == 0 {
            self.stream.first = id;
        }
        self.stream.length += 1;
        self.stream.added += 1;
        self.stream.last = id;
        self.stream.runs += u64::from(matches!(content, Content::Run(_)));
        tx.notify(Notice::Key(self.name.clone()));
    }

    /// An entry was removed: if it was the first, another one is.
    pub fn first_is_gone(&mut self, rows: &dyn Rows, gone: StreamId) -> Result<(), Fault> {
        let stream = &mut self.stream;
        if stream.length == 0 {
            stream.first = stream.last.next().unwrap_or(StreamId::MAX);
        } else if stream.first == gone {
            stream.first = entries::first(rows, stream.number, gone)?.unwrap_or(StreamId::MAX);
        }
        Ok(())
    }

    /// Another act of this transaction may have changed it: what holds now.
    pub fn reread(&mut self, tx: &mut Tx<'_>) -> Result<(), Stop> {
        if let Some(fresh) = Opened::find(tx, &self.name)? {
            *self = fresh;
        }
        Ok(())
    }

    /// A group of this stream.
    pub fn group(&self, rows: &dyn Rows, name: &Bytes) -> Result<Party, Stop> {
        match groups::get(rows, self.stream.number, name)? {
            Some(group) => Ok(Party { stream: self.stream.number, name: name.clone(), group }),
            None => Err(no_group(&self.name, name).into()),
        }
    }
}

/// A group that an act works on.
pub struct Party {
    pub stream: u64,
    pub name: Bytes,
    pub group: Group,
}

impl Party {
    pub fn save(&self, tx: &mut Tx<'_>) {
        groups::put(tx, self.stream, &self.name, &self.group);
    }

    /// Another act of this transaction may have changed it: what holds now.
    pub fn reread(&mut self, rows: &dyn Rows) -> Result<(), Fault> {
        if let Some(fresh) = groups::get(rows, self.stream, &self.name)? {
            self.group = fresh;
        }
        Ok(())
    }

    /// A consumer, made when there is none; it is seen now. Gives whether it is new.
    pub fn consumer(&mut self, tx: &mut Tx<'_>, name: &Bytes) -> Result<(Consumer, bool), Stop> {
        let number = self.group.number;
        let now = tx.now();
        if let Some(mut consumer) = groups::consumer(tx, self.stream, number, name)? {
            if now.since(consumer.seen_at) >= SEEN_STEP || now < consumer.seen_at {
                consumer.seen_at = now;
                groups::put_consumer(tx, self.stream, number, name, &consumer);
            }
            return Ok((consumer, false));
        }
        self.group.next_consumer += 1;
        self.group.consumers += 1;
        let consumer = Consumer { number: self.group.next_consumer, seen_at: now, active_at: None };
        groups::add_consumer(tx, self.stream, number, name, &consumer);
        self.save(tx);
        Ok((consumer, true))
    }

    /// A consumer was given something.
    pub fn active(&self, tx: &mut Tx<'_>, name: &Bytes, mut consumer: Consumer) {
        consumer.seen_at = tx.now();
        consumer.active_at = Some(tx.now());
        groups::put_consumer(tx, self.stream, self.group.number, name, &consumer);
    }

    pub fn pending(&self, rows: &dyn Rows, id: StreamId) -> Result<Option<Pending>, Fault> {
        pending::get(rows, self.stream, self.group.number, id)
    }

    /// Writes, changes or removes a pending row; the counts of group and consumers follow.
    pub fn save_pending(
        &mut self,
        tx: &mut Tx<'_>,
        id: StreamId,
        before: Option<&Pending>,
        after: Option<&Pending>,
    ) {
        let group = self.group.number;
        pending::save(tx, (self.stream, group, id), before, after);
        let (old, new) = (before.map(|row| row.consumer), after.map(|row| row.consumer));
        let total = i64::from(new.is_some()) - i64::from(old.is_some());
        if total != 0 {
            tx.count(count::pending(self.stream, group), total);
        }
        if old != new {
            for (consumer, delta) in [(old, -1), (new, 1)] {
                if let Some(consumer) = consumer.filter(|number| *number != NOBODY) {
                    tx.count(count::pending_of(self.stream, group, consumer), delta);
                }
            }
        }
        if after.is_some() && id > self.group.pending_max {
            self.group.pending_max = id;
        }
    }
}

/// How many entries of a group are pending.
pub fn pending_count(rows: &dyn Rows, stream: u64, group: u32) -> Result<u64, Fault> {
    Ok(counter(rows, &count::pending(stream, group))?.unsigned_abs())
}

/// How many entries of a consumer are pending.
pub fn pending_count_of(
    rows: &dyn Rows,
    stream: u64,
    group: u32,
    consumer: u32,
) -> Result<u64, Fault> {
    Ok(counter(rows, &count::pending_of(stream, group, consumer))?.unsigned_abs())
}

/// A stream as it is now, from any view.
pub fn look(rows: &dyn Rows, now: Time, name: &KeyName) -> Result<Option<Stream>, Stop> {
    match space::get(rows, now, name)?.map(|entry| entry.value) {
        None => Ok(None),
        Some(Value::Stream(stream)) => Ok(Some(stream)),
        Some(Value::Text(_)) => Err(space::wrong_type().into()),
    }
}

/// A stream and a group of it, from any view.
pub fn look_group(
    rows: &dyn Rows,
    now: Time,
    name: &KeyName,
    group: &Bytes,
) -> Result<(Stream, Group), Stop> {
    let stream = look(rows, now, name)?.ok_or_else(|| no_group(name, group))?;
    match groups::get(rows, stream.number, group)? {
        Some(found) => Ok((stream, found)),
        None => Err(no_group(name, group).into()),
    }
}

pub fn no_group(name: &KeyName, group: &Bytes) -> Refusal {
    let (key, group) = (name.text(), String::from_utf8_lossy(group).into_owned());
    Refusal::new(
        Code::GroupNotFound,
        format!("no group {} on stream {}", quote(&group), quote(&key)),
    )
    .with_details(serde_json::json!({ "stream": key, "group": group }))
}

pub fn no_stream(name: &KeyName) -> Refusal {
    Refusal::new(Code::StreamNotFound, format!("no stream {}", quote(&name.text())))
}
