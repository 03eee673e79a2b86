//! The janitor: consumers that are gone, entries that everyone is done with, and work that is
//! given up on request. Each check and what follows from it are one transaction.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::time::Span;
use crate::ledger::keys::command::{Refs, Trim, TrimBy};
use crate::ledger::streams::open::{Opened, Party, pending_count_of};
use crate::ledger::streams::trim::{delete, is_run, parties, safe_bound, trim};
use crate::model::stream::{Consumer, DATABASES, KeyName, Pending, Stream, StreamId};
use crate::model::worker::State;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{group as groups, key as keys, pending, worker as workers};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::tick::Connected;

/// A consumer without anything pending is removed when it was idle for so long.
pub const STALE_AFTER: Span = Span::from_hours(1);
/// Streams that one pass walks through, and what it removes at most.
const STREAMS_MAX: usize = 10_000;
const CONSUMERS_MAX: usize = 10_000;
const REMOVED_MAX: usize = 1_000;
/// Entries that one call gives up at most.
pub const DROPPED_MAX: usize = 10_000;

/// What was done to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trimmed {
    pub stream: String,
    pub before: u64,
    pub after: u64,
}

/// Every stream of the store, of every database.
fn streams(rows: &dyn Rows) -> Result<Vec<(KeyName, Stream)>, Fault> {
    let mut found = Vec::new();
    for db in 0..DATABASES {
        found.extend(keys::streams(rows, db, None, STREAMS_MAX)?.0);
    }
    Ok(found)
}

/// Cuts off what every group of a stream has read and acknowledged. Streams without a group are
/// left alone: nobody says that anyone is done with them. With `workers_only`, just those whose
/// workers are known by their heartbeats.
pub fn trim_done(tx: &mut Tx<'_>, workers_only: bool) -> Result<Vec<Trimmed>, Stop> {
    let mut done = Vec::new();
    for (name, stream) in streams(tx)? {
        if stream.groups == 0 || stream.length == 0 {
            continue;
        }
        if workers_only && (name.db != 0 || !has_beating_workers(tx, &name.text())?) {
            continue;
        }
        let Some(mut opened) = Opened::find(tx, &name)? else { continue };
        let Some(bound) = safe_bound(tx, &opened)? else { continue };
        let before = opened.stream.length;
        let how = Trim { by: TrimBy::MinId(bound), roughly: false, limit: None, refs: Refs::Keep };
        if trim(tx, &mut opened, &how)? > 0 {
            done.push(Trimmed { stream: name.text(), before, after: opened.stream.length });
            opened.save(tx);
        }
    }
    Ok(done)
}

fn has_beating_workers(rows: &dyn Rows, stream: &str) -> Result<bool, Fault> {
    let listed = workers::list(rows, Some(stream), super::WORKERS_MAX)?;
    Ok(listed.iter().any(|worker| worker.beat_at.is_some()))
}

/// A consumer with its place.
struct Found {
    stream: KeyName,
    party: Party,
    name: Bytes,
    consumer: Consumer,
    pending: u64,
}

/// Consumers that show no sign of life and did nothing for `idle`.
fn gone(
    rows: &dyn Rows,
    now: crate::base::time::Time,
    idle: Span,
    connected: &Connected,
) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for (stream, head) in streams(rows)? {
        for (group_name, group) in groups::list(rows, head.number, CONSUMERS_MAX)? {
            for (name, consumer) in
                groups::consumers(rows, head.number, group.number, CONSUMERS_MAX)?
            {
                let name = Bytes::from(name);
                let here = connected.contains(&(stream.clone(), name.clone()));
                if here || now.since(consumer.seen_at) < idle || beats(rows, &stream, &name)? {
                    continue;
                }
                let pending = pending_count_of(rows, head.number, group.number, consumer.number)?;
                let party = Party {
                    stream: head.number,
                    name: group_name.clone().into(),
                    group: group.clone(),
                };
                found.push(Found { stream: stream.clone(), party, name, consumer, pending });
            }
        }
    }
    Ok(found)
}

fn beats(rows: &dyn Rows, stream: &KeyName, consumer: &Bytes) -> Result<bool, Fault> {
    let consumer = String::from_utf8_lossy(consumer);
    let worker = workers::get(rows, &stream.text(), &consumer)?;
    Ok(worker.is_some_and(|worker| worker.state == State::Alive && worker.beat_at.is_some()))
}

/// Removes consumers that are gone and hold nothing; gives them by stream.
pub fn remove_stale(tx: &mut Tx<'_>, connected: &Connected) -> Result<Vec<(String, usize)>, Stop> {
    let mut removed: Vec<(String, usize)> = Vec::new();
    let stale = gone(tx, tx.now(), STALE_AFTER, connected)?;
    for found in stale.into_iter().filter(|found| found.pending == 0).take(REMOVED_MAX) {
        remove_consumer(tx, &found)?;
        count_for(&mut removed, found.stream.text(), 1);
    }
    Ok(removed)
}

fn remove_consumer(tx: &mut Tx<'_>, found: &Found) -> Result<(), Stop> {
    let Party { stream, name, .. } = &found.party;
    // Another consumer of the group may have gone just before.
    let Some(mut group) = groups::get(tx, *stream, name)? else { return Ok(()) };
    group.consumers -= 1;
    groups::remove_consumer(tx, *stream, group.number, &found.name, &found.consumer);
    groups::put(tx, *stream, name, &group);
    Ok(())
}

fn count_for(counts: &mut Vec<(String, usize)>, name: String, more: usize) {
    match counts.iter_mut().find(|(known, _)| *known == name) {
        Some((_, count)) => *count += more,
        None => counts.push((name, more)),
    }
}

/// What giving up the work of dead consumers came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    pub messages: usize,
    pub consumers: usize,
    /// By stream: messages and consumers.
    pub by_stream: Vec<(String, usize, usize)>,
    /// There is more than one call gives up.
    pub more: bool,
}

/// Drops what consumers hold that are gone for `min_idle`, and the consumers. Never automatic, and
/// never runs: those go to the next worker by themselves. A dry run counts the same set.
pub fn reclaim_dead(
    tx: &mut Tx<'_>,
    connected: &Connected,
    min_idle: Span,
    dry_run: bool,
) -> Result<Reclaimed, Stop> {
    let mut done = Reclaimed::default();
    for found in gone(tx, tx.now(), min_idle, connected)? {
        if found.pending == 0 {
            continue;
        }
        let rows = held_by(tx, &found)?;
        if rows.iter().any(|(_, row)| is_run(row)) {
            continue;
        }
        if done.messages + rows.len() > DROPPED_MAX {
            done.more = true;
            break;
        }
        done.messages += rows.len();
        done.consumers += 1;
        let name = found.stream.text();
        match done.by_stream.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, messages, consumers)) => {
                *messages += rows.len();
                *consumers += 1;
            }
            None => done.by_stream.push((name, rows.len(), 1)),
        }
        if !dry_run {
            drop_all(tx, &found, &rows)?;
        }
    }
    Ok(done)
}

fn held_by(rows: &dyn Rows, found: &Found) -> Result<Vec<(StreamId, Pending)>, Fault> {
    let mut held = Vec::new();
    let Party { stream, group, .. } = &found.party;
    let range = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, *stream, group.number, range, &mut |id, row| {
        if row.consumer == found.consumer.number {
            held.push((id, row));
        }
        let more = held.len() <= DROPPED_MAX && (held.len() as u64) < found.pending;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(held)
}

fn drop_all(tx: &mut Tx<'_>, found: &Found, rows: &[(StreamId, Pending)]) -> Result<(), Stop> {
    let Some(mut opened) = Opened::find(tx, &found.stream)? else { return Ok(()) };
    for mut party in parties(tx, &opened)? {
        if party.group.number == found.party.group.number {
            for (id, row) in rows {
                party.save_pending(tx, *id, Some(row), None);
            }
        }
    }
    let ids: Vec<StreamId> = rows.iter().map(|(id, _)| *id).collect();
    delete(tx, &mut opened, Refs::Keep, &ids)?;
    opened.save(tx);
    remove_consumer(tx, found)
}
