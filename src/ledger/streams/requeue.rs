//! Work whose worker is gone goes to the next one. No worker is needed for that: the server looks
//! through everything that is pending, and gives back what is idle beyond its floor and whose
//! consumer shows no sign of life.
//!
//! Looking is done over a view that others do not wait for; whether what was found is still so is
//! checked again by the act that gives it back.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::ledger::runs::place::run_at;
use crate::ledger::runs::pull;
use crate::model::clock::CLOCK_STEP;
use crate::model::stream::{Content, Fields, KeyName, NewId, Pending, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{entry as entries, group as groups, key as keys, pending};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::ack::{self, release};
use super::open::Opened;
use super::trim::is_run;

/// Entries that one act gives back.
pub const GIVEN_BACK_MAX: usize = 256;
/// Streams and groups that one look walks through.
const STREAMS_MAX: usize = 100_000;
const GROUPS_MAX: usize = 10_000;

/// Where dead letters of a plain stream go: a stream of this name behind its own.
pub const DEAD_SUFFIX: &str = ".dead";

/// How long an entry may be idle before its consumer is asked for a sign of life.
#[derive(Clone, Debug)]
pub struct Floors {
    pub default: Span,
    /// By name of the stream.
    pub of: HashMap<String, Span>,
    /// Deliveries of a plain entry after which it is a dead letter.
    pub max_deliveries: u64,
}

impl Default for Floors {
    fn default() -> Floors {
        Floors { default: Span::from_secs(30), of: HashMap::new(), max_deliveries: 5 }
    }
}

impl Floors {
    /// A lease beats the floor of the stream, which beats the default.
    fn of(&self, stream: &KeyName, row: &Pending) -> Span {
        if let Some(lease) = row.lease {
            return lease;
        }
        self.of.get(stream.text().as_str()).copied().unwrap_or(self.default)
    }
}

/// A pending entry that nobody works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub stream: KeyName,
    pub group: Bytes,
    pub consumer: Bytes,
    pub id: StreamId,
    /// What was seen; a row that changed since is left alone.
    pub row: Pending,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    pub lost: Vec<Lost>,
    /// Nothing further can be lost before this moment.
    pub next: Option<Time>,
    /// There is more than fits one act.
    pub more: bool,
}

/// Who is asked whether a consumer of a group shows a sign of life: since when its present life is
/// known, or nothing. What was delivered to an earlier life is lost.
pub type AliveSince<'a> = dyn Fn(&KeyName, &Bytes, &[u8]) -> Option<Time> + 'a;

/// How often a consumer that is alive is looked at again.
const ALIVE_AGAIN: Span = Span::from_secs(1);

/// Looks through all that is pending, in every stream of the store.
pub fn look(
    rows: &dyn Rows,
    now: Time,
    floors: &Floors,
    alive: &AliveSince<'_>,
) -> Result<Look, Fault> {
    let mut look = Look::default();
    for db in 0..crate::model::stream::DATABASES {
        let mut after: Option<KeyName> = None;
        loop {
            let from = after.as_ref().map(|name| &name.name[..]);
            let (streams, next) = keys::streams(rows, db, from, STREAMS_MAX)?;
            for (name, stream) in streams {
                for (group, found) in groups::list(rows, stream.number, GROUPS_MAX)? {
                    let group = Group { name: &name, group: group.into(), number: found.number };
                    look_at(rows, now, floors, alive, stream.number, &group, &mut look)?;
                    if look.more {
                        return Ok(look);
                    }
                }
            }
            match next {
                Some(name) => after = Some(name),
                None => break,
            }
        }
    }
    Ok(look)
}

struct Group<'a> {
    name: &'a KeyName,
    group: Bytes,
    number: u32,
}

fn look_at(
    rows: &dyn Rows,
    now: Time,
    floors: &Floors,
    alive: &AliveSince<'_>,
    stream: u64,
    group: &Group<'_>,
    look: &mut Look,
) -> Result<(), Fault> {
    let mut known: HashMap<u32, (Bytes, Option<Time>)> = HashMap::new();
    let range = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, stream, group.number, range, &mut |id, row| {
        if row.again_at.is_some() {
            return Ok(ControlFlow::Continue(()));
        }
        let deadline = row.delivered_at.plus(floors.of(group.name, &row));
        // Delivered in what is the future by now: the clock was set back, and nobody knows for how
        // long it has been idle. Whoever is alive keeps it.
        let is_ahead = row.delivered_at > now.plus(CLOCK_STEP);
        if now < deadline && !is_ahead {
            look.next = Some(look.next.map_or(deadline, |at| at.min(deadline)));
            return Ok(ControlFlow::Continue(()));
        }
        let (consumer, since) = match known.get(&row.consumer) {
            Some(known) => known.clone(),
            None => {
                let name = groups::consumer_name(rows, stream, group.number, row.consumer)?;
                let name = Bytes::from(name.unwrap_or_default());
                let since = alive(group.name, &group.group, &name);
                known.insert(row.consumer, (name.clone(), since));
                (name, since)
            }
        };
        if since.is_some_and(|since| since <= row.delivered_at) {
            let again = now.plus(ALIVE_AGAIN);
            look.next = Some(look.next.map_or(again, |at| at.min(again)));
            return Ok(ControlFlow::Continue(()));
        }
        if look.lost.len() == GIVEN_BACK_MAX {
            look.more = true;
            return Ok(ControlFlow::Break(()));
        }
        look.lost.push(Lost {
            stream: group.name.clone(),
            group: group.group.clone(),
            consumer,
            id,
            row,
        });
        Ok(ControlFlow::Continue(()))
    })
}

/// Gives back what a look found, if it is still so; gives how many entries.
pub fn give_back(tx: &mut Tx<'_>, lost: Vec<Lost>, max_deliveries: u64) -> Result<usize, Stop> {
    let mut given = 0;
    for item in lost {
        // By now there may be something else under the key, or no such group.
        let (opened, mut party) = match ack::find(tx, &item.stream, &item.group) {
            Ok(Some(found)) => found,
            Ok(None) | Err(Stop::Refused(_)) => continue,
            Err(fault) => return Err(fault),
        };
        if party.pending(tx, item.id)? != Some(item.row) {
            continue;
        }
        given += 1;
        let consumer = String::from_utf8_lossy(&item.consumer).into_owned();
        crate::ledger::fleet::lost(tx, &item.stream, &consumer)?;
        if is_run(&item.row) {
            let run = run_at(tx, opened.stream.number, item.id)?;
            pull::lost(tx, run, format!("worker `{consumer}` showed no sign of life"))?;
        } else if item.row.deliveries >= max_deliveries {
            bury(tx, opened, party, &item, &consumer)?;
        } else {
            release(tx, &opened, &mut party, item.id, &item.row, Span::ZERO);
        }
    }
    Ok(given)
}

/// An entry that was delivered too often moves to the stream of dead letters, with the reason.
fn bury(
    tx: &mut Tx<'_>,
    mut opened: Opened,
    mut party: super::open::Party,
    item: &Lost,
    consumer: &str,
) -> Result<(), Stop> {
    let number = opened.stream.number;
    let content = match item.id >= opened.stream.first {
        true => entries::get(tx, number, item.id)?,
        false => None,
    };
    let Some(Content::Fields(fields)) = content else {
        // It was deleted while it was pending: there is nothing left to keep.
        party.save_pending(tx, item.id, Some(&item.row), None);
        return Ok(());
    };
    let Some((mut dead, fresh)) = dead_stream(tx, &opened.name)? else {
        // There is no room for it there: it stays, and goes to the next reader after all.
        release(tx, &opened, &mut party, item.id, &item.row, Span::ZERO);
        return Ok(());
    };
    party.save_pending(tx, item.id, Some(&item.row), None);
    dead.append(tx, fresh, &Content::Fields(with_reason(&fields, &opened.name, item, consumer)));
    dead.save(tx);
    // Other groups may still have to read it.
    let groups = super::trim::parties(tx, &opened)?;
    let needed = groups.iter().map(|other| {
        let unread = other.group.last < item.id;
        Ok(unread || other.pending(tx, item.id)?.is_some())
    });
    if needed.collect::<Result<Vec<bool>, Fault>>()?.into_iter().any(|needed| needed) {
        return Ok(());
    }
    entries::remove(tx, number, item.id);
    opened.stream.length -= 1;
    opened.stream.max_deleted = opened.stream.max_deleted.max(item.id);
    opened.first_is_gone(tx, item.id)?;
    opened.save(tx);
    Ok(())
}

/// The stream of dead letters behind a stream, and the id of its next entry.
fn dead_stream(tx: &mut Tx<'_>, of: &KeyName) -> Result<Option<(Opened, StreamId)>, Stop> {
    let mut name = of.name.to_vec();
    name.extend_from_slice(DEAD_SUFFIX.as_bytes());
    match Opened::find_or_create(tx, &KeyName::new(of.db, name)) {
        Ok(dead) => {
            let id = dead.stream.next_id(NewId::Any, tx.now());
            Ok(id.map(|id| (dead, id)))
        }
        // Another kind of value has that name.
        Err(Stop::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn with_reason(fields: &Fields, stream: &KeyName, item: &Lost, consumer: &str) -> Fields {
    let deliveries = item.row.deliveries.to_string();
    let about = [
        (
            "tidegate-reason",
            format!("delivered {deliveries} times, the last to `{consumer}`, never acknowledged"),
        ),
        ("tidegate-stream", stream.text()),
        ("tidegate-group", String::from_utf8_lossy(&item.group).into_owned()),
        ("tidegate-id", item.id.to_string()),
        ("tidegate-deliveries", deliveries),
    ];
    let mut parts: Vec<&[u8]> = fields.parts().collect();
    for (name, value) in &about {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    Fields::from_parts(&parts)
}
