//! What can be asked of a stream without changing it.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::time::Time;
use crate::ledger::keys::command::{
    Answer, ConsumerItem, GroupFull, GroupItem, PendingItem, PendingRange, StreamItem,
};
use crate::model::stream::{Entry, KeyName, NOBODY, Pending, Stream, StreamId, lag};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{entry as entries, group as groups, pending};
use crate::store::rows::Rows;

use super::claim::idle_of;
use super::open::{look, look_group, no_stream, pending_count, pending_count_of};
use super::read::fields_of;

/// Groups and consumers of an answer.
pub const LISTED_MAX: usize = 10_000;

pub fn stream(rows: &dyn Rows, now: Time, key: &KeyName) -> Result<StreamItem, Stop> {
    let stream = look(rows, now, key)?.ok_or_else(|| no_stream(key))?;
    let (first, last) = match stream.length {
        0 => (None, None),
        _ => (stream.first(), entries::last(rows, stream.number, stream.first)?),
    };
    let entry = |id: Option<StreamId>| -> Result<Option<Entry>, Fault> {
        let Some(id) = id else { return Ok(None) };
        let Some(content) = entries::get(rows, stream.number, id)? else { return Ok(None) };
        Ok(fields_of(rows, content)?.map(|fields| Entry { id, fields }))
    };
    Ok(StreamItem { first: entry(first)?, last: entry(last)?, stream })
}

pub fn groups_of(rows: &dyn Rows, now: Time, key: &KeyName) -> Result<Vec<GroupItem>, Stop> {
    let stream = look(rows, now, key)?.ok_or_else(|| no_stream(key))?;
    let first = stream.first();
    let listed = groups::list(rows, stream.number, LISTED_MAX)?;
    listed
        .into_iter()
        .map(|(name, group)| {
            Ok(GroupItem {
                name: name.into(),
                lag: lag(&stream, &group, first),
                pending: pending_count(rows, stream.number, group.number)?,
                group,
            })
        })
        .collect()
}

pub fn consumers_of(
    rows: &dyn Rows,
    now: Time,
    key: &KeyName,
    group: &Bytes,
) -> Result<Vec<ConsumerItem>, Stop> {
    let stream = look(rows, now, key)?.ok_or_else(|| no_stream(key))?;
    let Some(found) = groups::get(rows, stream.number, group)? else {
        return Err(super::open::no_group(key, group).into());
    };
    Ok(consumers(rows, &stream, found.number)?.into_iter().map(|(_, item)| item).collect())
}

fn consumers(
    rows: &dyn Rows,
    stream: &Stream,
    group: u32,
) -> Result<Vec<(u32, ConsumerItem)>, Fault> {
    let listed = groups::consumers(rows, stream.number, group, LISTED_MAX)?;
    let item = |(name, consumer): (Vec<u8>, crate::model::stream::Consumer)| {
        let pending = pending_count_of(rows, stream.number, group, consumer.number)?;
        let item = ConsumerItem {
            name: name.into(),
            pending,
            seen_at: consumer.seen_at,
            active_at: consumer.active_at,
        };
        Ok((consumer.number, item))
    };
    listed.into_iter().map(item).collect()
}

pub fn pending_summary(
    rows: &dyn Rows,
    now: Time,
    key: &KeyName,
    group: &Bytes,
) -> Result<Answer, Stop> {
    let (stream, group) = look_group(rows, now, key, group)?;
    let consumers = consumers(rows, &stream, group.number)?;
    Ok(Answer::PendingSummary {
        count: pending_count(rows, stream.number, group.number)?,
        ends: pending::ends(rows, stream.number, group.number)?,
        consumers: consumers
            .into_iter()
            .filter(|(_, item)| item.pending > 0)
            .map(|(_, item)| (item.name, item.pending))
            .collect(),
    })
}

pub fn pending_range(
    rows: &dyn Rows,
    now: Time,
    command: &PendingRange,
) -> Result<Vec<PendingItem>, Stop> {
    let (stream, group) = look_group(rows, now, &command.key, &command.group)?;
    let only = match &command.consumer {
        None => None,
        Some(name) => match groups::consumer(rows, stream.number, group.number, name)? {
            Some(consumer) => Some(consumer.number),
            None => return Ok(Vec::new()),
        },
    };
    let fits = |row: &Pending| {
        only.is_none_or(|number| row.consumer == number) && idle_of(row, now) >= command.min_idle
    };
    let range = (command.from, command.to);
    items(rows, now, (stream.number, group.number), range, command.count, &fits)
}

fn items(
    rows: &dyn Rows,
    now: Time,
    (stream, group): (u64, u32),
    range: (StreamId, StreamId),
    most: u64,
    fits: &dyn Fn(&Pending) -> bool,
) -> Result<Vec<PendingItem>, Stop> {
    let mut found = Vec::new();
    if most == 0 {
        return Ok(Vec::new());
    }
    pending::scan(rows, stream, group, range, &mut |id, row| {
        if fits(&row) {
            found.push((id, row));
        }
        let more = (found.len() as u64) < most;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let mut names: Vec<(u32, Bytes)> = Vec::new();
    let mut items = Vec::with_capacity(found.len());
    for (id, row) in found {
        let known = names.iter().find(|(number, _)| *number == row.consumer);
        let consumer = match known {
            Some((_, name)) => name.clone(),
            None if row.consumer == NOBODY => Bytes::new(),
            None => {
                let name = groups::consumer_name(rows, stream, group, row.consumer)?;
                let name = Bytes::from(name.unwrap_or_default());
                names.push((row.consumer, name.clone()));
                name
            }
        };
        items.push(PendingItem {
            id,
            consumer,
            idle: row.again_at.is_none().then(|| now.since(row.delivered_at)),
            delivered_at: row.delivered_at,
            first_delivered_at: row.first_delivered_at,
            deliveries: row.deliveries,
        });
    }
    Ok(items)
}

/// A stream with its entries, groups, consumers and what is pending; `count` of each kind of list,
/// 0 for all.
pub fn full(rows: &dyn Rows, now: Time, key: &KeyName, count: u64) -> Result<Answer, Stop> {
    let item = stream(rows, now, key)?;
    let most = if count == 0 { LISTED_MAX as u64 } else { count };
    let limit = (count != 0).then_some(count);
    let range = (StreamId::MIN, StreamId::MAX);
    let entries = super::read::range(rows, &item.stream, range, false, limit)?;
    let mut full = Vec::new();
    for group in groups_of(rows, now, key)? {
        let of = (item.stream.number, group.group.number);
        let mut listed = Vec::new();
        for (number, consumer) in consumers(rows, &item.stream, group.group.number)? {
            let mine = |row: &Pending| row.consumer == number;
            let pending = items(rows, now, of, range, most.min(consumer.pending), &mine)?;
            listed.push((consumer, pending));
        }
        let pending = items(rows, now, of, range, most, &|_| true)?;
        full.push(GroupFull { item: group, pending, consumers: listed });
    }
    Ok(Answer::StreamFull { item: Box::new(item), entries, groups: full })
}
