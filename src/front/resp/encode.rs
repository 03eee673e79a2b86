//! From an answer to its bytes: Redis's shapes in both protocols, and Redis's words for what was
//! refused. Entries go straight into the buffer.

use bytes::Bytes;

use super::asked::Shape;
use super::reply::Reply;
use super::writer::{Protocol, Writer};
use crate::appliance::requests::command::{
    ConsumerItem, Delivered, GroupFull, GroupItem, PendingItem, StreamItem,
};
use crate::appliance::requests::{Answer, BELOW_DELETED};
use crate::base::glob;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Entry, Fields, Stream, StreamId};

/// Writes one reply.
pub fn encode(
    answer: &Result<Answer, Refusal>,
    shape: &Shape,
    protocol: Protocol,
    now: Time,
    out: &mut Writer<'_>,
) {
    match (answer, shape) {
        (_, Shape::Refused { reply, missing }) => {
            return refused(answer, reply, missing.as_ref(), shape, out);
        }
        (
            Ok(_),
            Shape::RefusedRead { reply }
            | Shape::RefusedGroup { reply }
            | Shape::RefusedInfo { reply },
        ) => {
            return reply.write(out);
        }
        _ => {}
    }
    match answer {
        Ok(answer) => Encoder { protocol, now, out }.answer(answer, shape),
        Err(refusal) => out.error(&words(refusal, shape)),
    }
}

/// An error of arguments, once the key was asked.
fn refused(
    answer: &Result<Answer, Refusal>,
    reply: &Reply,
    missing: Option<&Reply>,
    shape: &Shape,
    out: &mut Writer<'_>,
) {
    match answer {
        Ok(Answer::Type(Some("string"))) => out.error(WRONG_TYPE.as_bytes()),
        Ok(Answer::Type(None) | Answer::Value(None)) => missing.unwrap_or(reply).write(out),
        Ok(_) => reply.write(out),
        Err(refusal) => match (refusal.code, missing) {
            (Code::GroupNotFound | Code::StreamNotFound, Some(missing)) => missing.write(out),
            _ => out.error(&words(refusal, shape)),
        },
    }
}

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
pub(super) const REQUIRES_KEY: &str = "ERR The XGROUP subcommand requires the key to exist. Note that \
    for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";

/// Redis's words for a refusal.
pub fn words(refusal: &Refusal, shape: &Shape) -> Vec<u8> {
    let detail = |name: &str| {
        let value = refusal.details.as_ref().and_then(|details| details.get(name));
        value.and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let text = match (refusal.code, shape) {
        (Code::WrongType, _) => WRONG_TYPE.to_owned(),
        (
            Code::GroupNotFound,
            Shape::OfGroup | Shape::RefusedGroup { .. } | Shape::OfInfo | Shape::RefusedInfo { .. },
        ) => {
            format!(
                "NOGROUP No such consumer group '{}' for key name '{}'",
                detail("group"),
                detail("stream")
            )
        }
        (Code::GroupNotFound, Shape::Read { .. } | Shape::RefusedRead { .. }) => format!(
            "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
            detail("stream"),
            detail("group")
        ),
        (Code::GroupNotFound, _) => format!(
            "NOGROUP No such key '{}' or consumer group '{}'",
            detail("stream"),
            detail("group")
        ),
        (Code::StreamNotFound, Shape::OfGroup | Shape::RefusedGroup { .. }) => {
            REQUIRES_KEY.to_owned()
        }
        (Code::StreamNotFound | Code::KeyNotFound, _) => "ERR no such key".to_owned(),
        (Code::GroupExists, _) => "BUSYGROUP Consumer Group name already exists".to_owned(),
        (Code::EntryIdZero, _) => {
            "ERR The ID specified in XADD must be greater than 0-0".to_owned()
        }
        (Code::EntryIdTooLow, Shape::OfInfo) if refusal.message == BELOW_DELETED => {
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id".to_owned()
        }
        (Code::EntryIdTooLow, Shape::OfInfo) => {
            "ERR The ID specified in XSETID is smaller than the target stream top item".to_owned()
        }
        (Code::EntryIdTooLow, _) => "ERR The ID specified in XADD is equal or smaller than the \
            target stream top item"
            .to_owned(),
        (Code::EntryIdsUsedUp, _) => {
            "ERR The stream has exhausted the last possible ID, unable to add more items".to_owned()
        }
        (Code::NotANumber, _) => "ERR value is not an integer or out of range".to_owned(),
        (Code::Overflow, _) => "ERR increment or decrement would overflow".to_owned(),
        (Code::InvalidField, Shape::OfInfo) => "ERR The entries_added specified in XSETID is \
            smaller than the target stream length"
            .to_owned(),
        (Code::ReadOnly, _) => format!("MISCONF {}", refusal.message),
        (Code::Busy | Code::Reopening | Code::LimitWaiting, _) => {
            format!("TRYAGAIN {}", refusal.message)
        }
        (Code::NotReady | Code::ShuttingDown, _) => format!("LOADING {}", refusal.message),
        _ => format!("ERR {}", refusal.message),
    };
    text.into_bytes()
}

struct Encoder<'e, 'w> {
    protocol: Protocol,
    now: Time,
    out: &'e mut Writer<'w>,
}

impl Encoder<'_, '_> {
    fn answer(&mut self, answer: &Answer, shape: &Shape) {
        match (answer, shape) {
            (_, Shape::Ok) => self.out.simple("OK"),
            (Answer::Done, Shape::Flag) => self.out.integer(1),
            (Answer::NotDone, Shape::Flag) => self.out.integer(0),
            (Answer::Done, _) => self.out.simple("OK"),
            (Answer::NotDone, _) => self.out.null(),
            (Answer::Count(count), _) => self.out.integer(*count),
            (Answer::Added(Some(id)), _) => self.out.id(*id),
            (Answer::Added(None), _) => self.out.null(),
            (Answer::Entries(entries), _) => self.entries(entries),
            (Answer::Read(found), Shape::Read { names, .. }) => self.read(found, names),
            (Answer::Read(_), _) => self.out.null_array(),
            (Answer::Claimed(claimed), Shape::Ids) => self.ids(claimed.iter().map(|one| one.id)),
            (Answer::Claimed(claimed), _) => self.delivered_all(claimed),
            (Answer::AutoClaimed { next, claimed, deleted }, shape) => {
                self.out.array(3);
                self.out.id(*next);
                match shape {
                    Shape::Ids => self.ids(claimed.iter().map(|one| one.id)),
                    _ => self.delivered_all(claimed),
                }
                self.ids(deleted.iter().copied());
            }
            (Answer::Each(each), _) => {
                self.out.array(each.len());
                each.iter().for_each(|one| self.out.integer(*one));
            }
            (Answer::PendingSummary { count, ends, consumers }, _) => {
                self.pending_summary(*count, *ends, consumers);
            }
            (Answer::Pending(items), _) => {
                self.out.array(items.len());
                items.iter().for_each(|item| self.pending_item(item));
            }
            (Answer::Stream(item), _) => self.stream(item),
            (Answer::StreamFull { item, entries, groups }, _) => self.full(item, entries, groups),
            (Answer::Groups(groups), _) => {
                self.out.array(groups.len());
                groups.iter().for_each(|group| self.group(group));
            }
            (Answer::Consumers(consumers), _) => {
                self.out.array(consumers.len());
                consumers.iter().for_each(|consumer| self.consumer(consumer));
            }
            (Answer::Type(word), _) => self.out.simple(word.unwrap_or("none")),
            (Answer::Expires(when), Shape::Ttl { millis, absolute }) => {
                self.ttl(*when, *millis, *absolute);
            }
            (Answer::Expires(_), _) => self.out.null(),
            (Answer::Scanned { keys, next }, shape) => self.scanned(keys, *next, shape),
            (Answer::Value(value), Shape::Slice { from, to }) => {
                self.out.bulk(slice(value.as_deref().unwrap_or_default(), *from, *to));
            }
            (Answer::Value(value), _) => self.value(value.as_ref()),
            (Answer::Values(values), _) => {
                self.out.array(values.len());
                values.iter().for_each(|value| self.value(value.as_ref()));
            }
        }
    }

    fn value(&mut self, value: Option<&Bytes>) {
        match value {
            Some(value) => self.out.bulk(value),
            None => self.out.null(),
        }
    }

    fn text(&mut self, text: &str) {
        self.out.bulk(text.as_bytes());
    }

    fn count(&mut self, count: u64) {
        self.out.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn ids(&mut self, ids: impl ExactSizeIterator<Item = StreamId>) {
        self.out.array(ids.len());
        ids.for_each(|id| self.out.id(id));
    }

    fn fields(&mut self, fields: &Fields) {
        self.out.array(fields.parts_len());
        for part in fields.parts() {
            self.out.bulk(part);
        }
    }

    fn entry(&mut self, id: StreamId, fields: &Fields) {
        self.out.array(2);
        self.out.id(id);
        self.fields(fields);
    }

    fn entries(&mut self, entries: &[Entry]) {
        self.out.array(entries.len());
        entries.iter().for_each(|entry| self.entry(entry.id, &entry.fields));
    }

    fn delivered_all(&mut self, all: &[Delivered]) {
        self.out.array(all.len());
        all.iter().for_each(|one| self.delivered(one));
    }

    fn delivered(&mut self, one: &Delivered) {
        self.out.array(if one.claimed.is_some() { 4 } else { 2 });
        self.out.id(one.id);
        match &one.fields {
            Some(fields) => self.fields(fields),
            None => self.out.null_array(),
        }
        if let Some((idle, deliveries)) = one.claimed {
            self.out.integer(idle.0);
            self.count(deliveries);
        }
    }

    fn read(&mut self, found: &[(usize, Vec<Delivered>)], names: &[Bytes]) {
        if found.is_empty() {
            return self.out.null_array();
        }
        match self.protocol {
            Protocol::Resp2 => self.out.array(found.len()),
            Protocol::Resp3 => self.out.map(found.len()),
        }
        for (place, entries) in found {
            if self.protocol == Protocol::Resp2 {
                self.out.array(2);
            }
            self.out.bulk(names.get(*place).map_or(&b""[..], |name| &name[..]));
            self.delivered_all(entries);
        }
    }

    fn pending_summary(
        &mut self,
        count: u64,
        ends: Option<(StreamId, StreamId)>,
        consumers: &[(Bytes, u64)],
    ) {
        self.out.array(4);
        self.count(count);
        let Some((lowest, highest)) = ends else {
            self.out.null();
            self.out.null();
            return self.out.null_array();
        };
        self.out.id(lowest);
        self.out.id(highest);
        self.out.array(consumers.len());
        for (name, count) in consumers {
            self.out.array(2);
            self.out.bulk(name);
            self.text(&count.to_string());
        }
    }

    fn idle(&self, since: Time) -> i64 {
        self.now.since(since).0
    }

    fn pending_item(&mut self, item: &PendingItem) {
        self.out.array(4);
        self.out.id(item.id);
        self.out.bulk(&item.consumer);
        self.out.integer(item.idle.map_or(-1, |idle| idle.0));
        self.count(item.deliveries);
    }

    /// What XINFO STREAM tells in both of its forms.
    fn stream_head(&mut self, stream: &Stream) {
        self.text("length");
        self.count(stream.length);
        // Figures of a structure that is not ours: as many as Redis would need.
        self.text("radix-tree-keys");
        self.count(stream.length.div_ceil(100));
        self.text("radix-tree-nodes");
        self.count(stream.length.div_ceil(100) + 1);
        self.text("last-generated-id");
        self.out.id(stream.last);
        self.text("max-deleted-entry-id");
        self.out.id(stream.max_deleted);
        self.text("entries-added");
        self.count(stream.added);
        self.text("recorded-first-entry-id");
        self.out.id(stream.first().unwrap_or_default());
    }

    fn stream(&mut self, item: &StreamItem) {
        self.out.map(10);
        self.stream_head(&item.stream);
        self.text("groups");
        self.out.integer(i64::from(item.stream.groups));
        for (name, entry) in [("first-entry", &item.first), ("last-entry", &item.last)] {
            self.text(name);
            match entry {
                Some(entry) => self.entry(entry.id, &entry.fields),
                None => self.out.null(),
            }
        }
    }

    fn full(&mut self, item: &StreamItem, entries: &[Entry], groups: &[GroupFull]) {
        self.out.map(9);
        self.stream_head(&item.stream);
        self.text("entries");
        self.entries(entries);
        self.text("groups");
        self.out.array(groups.len());
        groups.iter().for_each(|group| self.group_full(group));
    }

    fn group_position(&mut self, item: &GroupItem) {
        self.text("last-delivered-id");
        self.out.id(item.group.last);
        self.text("entries-read");
        match item.group.entries_read {
            Some(read) => self.count(read),
            None => self.out.null(),
        }
        self.text("lag");
        match item.lag {
            Some(lag) => self.count(lag),
            None => self.out.null(),
        }
    }

    fn group(&mut self, item: &GroupItem) {
        self.out.map(6);
        self.text("name");
        self.out.bulk(&item.name);
        self.text("consumers");
        self.out.integer(i64::from(item.group.consumers));
        self.text("pending");
        self.count(item.pending);
        self.group_position(item);
    }

    fn group_full(&mut self, full: &GroupFull) {
        self.out.map(7);
        self.text("name");
        self.out.bulk(&full.item.name);
        self.group_position(&full.item);
        self.text("pel-count");
        self.count(full.item.pending);
        self.text("pending");
        self.out.array(full.pending.len());
        for item in &full.pending {
            self.out.array(4);
            self.out.id(item.id);
            self.out.bulk(&item.consumer);
            self.out.integer(item.delivered_at.0);
            self.count(item.deliveries);
        }
        self.text("consumers");
        self.out.array(full.consumers.len());
        for (consumer, pending) in &full.consumers {
            self.consumer_full(consumer, pending);
        }
    }

    fn consumer_full(&mut self, consumer: &ConsumerItem, pending: &[PendingItem]) {
        self.out.map(5);
        self.text("name");
        self.out.bulk(&consumer.name);
        self.text("seen-time");
        self.out.integer(consumer.seen_at.0);
        self.text("active-time");
        self.out.integer(consumer.active_at.map_or(-1, |at| at.0));
        self.text("pel-count");
        self.count(consumer.pending);
        self.text("pending");
        self.out.array(pending.len());
        for item in pending {
            self.out.array(3);
            self.out.id(item.id);
            self.out.integer(item.delivered_at.0);
            self.count(item.deliveries);
        }
    }

    fn consumer(&mut self, consumer: &ConsumerItem) {
        self.out.map(4);
        self.text("name");
        self.out.bulk(&consumer.name);
        self.text("pending");
        self.count(consumer.pending);
        self.text("idle");
        self.out.integer(self.idle(consumer.seen_at));
        self.text("inactive");
        self.out.integer(consumer.active_at.map_or(-1, |at| self.idle(at)));
    }

    /// -2: no such key; -1: it does not expire. Seconds are rounded, as in Redis.
    fn ttl(&mut self, when: Option<Option<Time>>, millis: bool, absolute: bool) {
        let value = match when {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) => {
                let left = if absolute { at.0 } else { (at.0 - self.now.0).max(0) };
                match (millis, absolute) {
                    (true, _) => left,
                    (false, true) => left / 1_000,
                    (false, false) => (left + 500) / 1_000,
                }
            }
        };
        self.out.integer(value);
    }

    fn scanned(
        &mut self,
        keys: &[(u64, crate::model::stream::KeyName, &'static str)],
        next: Option<u64>,
        shape: &Shape,
    ) {
        let (pattern, kind) = match shape {
            Shape::Scan { pattern, kind } => (pattern.as_ref(), kind.as_ref()),
            _ => (None, None),
        };
        let fits = |key: &&(u64, crate::model::stream::KeyName, &'static str)| {
            pattern.is_none_or(|pattern| glob::matches(pattern, &key.1.name))
                && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(key.2.as_bytes()))
        };
        let found: Vec<_> = keys.iter().filter(fits).collect();
        self.out.array(2);
        self.text(&next.unwrap_or(0).to_string());
        self.out.array(found.len());
        for (_, key, _) in found {
            self.out.bulk(&key.name);
        }
    }
}

/// Bytes from one place to another, both included; below zero counts from the end.
fn slice(value: &[u8], from: i64, to: i64) -> &[u8] {
    let length = value.len() as i64;
    let place = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    if from < 0 && to < 0 && from > to {
        return &[];
    }
    let (from, to) = (place(from), place(to).min(length - 1));
    if from > to || length == 0 { &[] } else { &value[from as usize..=to as usize] }
}
