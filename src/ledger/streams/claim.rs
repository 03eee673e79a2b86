//! Taking pending entries over from one consumer to another.

use std::ops::ControlFlow;

use crate::base::time::{Span, Time};
use crate::ledger::keys::command::{Answer, AutoClaim, Claim, Delivered};
use crate::ledger::runs::{place, pull, told};
use crate::model::stream::{Content, Fields, NOBODY, Pending, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{entry as entries, pending};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::open::{Opened, Party};

/// Pending rows that an automatic claim looks at for each one it may take, as in Redis.
const LOOKED_AT_FOR_EACH: u64 = 10;

/// Who takes an entry, and what becomes of its figures.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    pub consumer: u32,
    pub delivered_at: Time,
    /// Set to this instead of counted on.
    pub deliveries: Option<u64>,
    /// Not counted as a delivery: nobody reads it.
    pub silent: bool,
}

impl Take {
    pub fn now(now: Time) -> Take {
        Take { consumer: NOBODY, delivered_at: now, deliveries: None, silent: false }
    }
}

/// Gives a pending entry to a consumer; nothing when the entry is gone, and then its row goes too.
///
/// A run that is taken from another consumer begins another attempt, and stands under another id
/// from then on: whoever had it before cannot acknowledge it any more. The caller has saved what it
/// changed of stream and group.
pub fn take(
    tx: &mut Tx<'_>,
    opened: &mut Opened,
    party: &mut Party,
    id: StreamId,
    how: Take,
) -> Result<Option<(StreamId, Fields)>, Stop> {
    let row = party.pending(tx, id)?;
    let content = match id >= opened.stream.first {
        true => entries::get(tx, opened.stream.number, id)?,
        false => None,
    };
    let Some(content) = content else {
        party.save_pending(tx, id, row.as_ref(), None);
        return Ok(None);
    };
    let renewed = how.silent && row.is_some_and(|row| row.consumer == how.consumer);
    let (id, row, fields, lease) = match content {
        Content::Fields(fields) => (id, row, fields, None),
        // The same consumer prolongs its own attempt; anyone else starts another one.
        Content::Run(run) if renewed => {
            let lease = row.and_then(|row| row.lease);
            (id, row, told::fields(tx, run)?.unwrap_or_default(), lease)
        }
        Content::Run(run) => {
            if place::held_by_another(tx, opened, party.group.number, id)? {
                return Ok(None);
            }
            let id = pull::taken_over(tx, run)?;
            opened.reread(tx)?;
            party.reread(tx)?;
            let Some(id) = id else { return Ok(None) };
            let row = party.pending(tx, id)?;
            let Some((fields, lease)) = pull::start(tx, run)? else { return Ok(None) };
            (id, row, fields, Some(lease))
        }
    };
    let counted = row.map_or(1, |row| row.deliveries) + u64::from(!how.silent);
    let after = Pending {
        consumer: how.consumer,
        delivered_at: how.delivered_at,
        first_delivered_at: row.map_or(tx.now(), |row| row.first_delivered_at),
        deliveries: how.deliveries.unwrap_or(counted),
        lease,
        again_at: None,
    };
    let highest = party.group.pending_max;
    party.save_pending(tx, id, row.as_ref(), Some(&after));
    if party.group.pending_max != highest {
        party.save(tx);
    }
    Ok(Some((id, fields)))
}

pub fn claim(tx: &mut Tx<'_>, command: Claim) -> Result<Answer, Stop> {
    let now = tx.now();
    let found = Opened::find(tx, &command.key)?;
    let mut opened = found.ok_or_else(|| super::open::no_group(&command.key, &command.group))?;
    let mut party = opened.group(tx, &command.group)?;
    if let Some(last) = command.last_id.filter(|last| *last > party.group.last) {
        party.group.last = last;
        party.save(tx);
    }
    let (consumer, _) = party.consumer(tx, &command.consumer)?;
    let how = Take {
        consumer: consumer.number,
        // A moment to come would make it look younger than it is.
        delivered_at: command.delivered_at.map_or(now, |at| at.min(now)),
        deliveries: command.deliveries,
        silent: command.just_ids,
    };
    let mut claimed = Vec::new();
    for id in command.ids {
        let row = party.pending(tx, id)?;
        if !is_there(tx, &opened, id)? {
            party.save_pending(tx, id, row.as_ref(), None);
            continue;
        }
        let fits = row.map_or(command.force, |row| idle_of(&row, now) >= command.min_idle);
        if !fits {
            continue;
        }
        if let Some((id, fields)) = take(tx, &mut opened, &mut party, id, how)? {
            claimed.push(Delivered { id, fields: Some(fields), claimed: None });
        }
    }
    if !claimed.is_empty() {
        party.active(tx, &command.consumer, consumer);
    }
    party.save(tx);
    Ok(Answer::Claimed(claimed))
}

/// How long nobody did anything about a pending entry; for ever when it was given back.
pub fn idle_of(row: &Pending, now: Time) -> Span {
    match row.again_at {
        Some(_) => Span(i64::MAX),
        None => now.since(row.delivered_at),
    }
}

/// Pending rows that are idle, and where to look on.
pub struct Idle {
    pub rows: Vec<(StreamId, Pending)>,
    /// The first row that was not looked at.
    pub next: Option<StreamId>,
}

/// At most `most` pending rows that are idle for `min_idle`, looking at ten times as many.
pub fn idle(
    rows: &dyn Rows,
    party: &Party,
    range: (StreamId, StreamId),
    min_idle: Span,
    now: Time,
    most: u64,
) -> Result<Idle, Fault> {
    let mut found = Idle { rows: Vec::new(), next: None };
    let mut looks = most.saturating_mul(LOOKED_AT_FOR_EACH);
    pending::scan(rows, party.stream, party.group.number, range, &mut |id, row| {
        if found.rows.len() as u64 >= most || looks == 0 {
            found.next = Some(id);
            return Ok(ControlFlow::Break(()));
        }
        looks -= 1;
        if idle_of(&row, now) >= min_idle {
            found.rows.push((id, row));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub fn auto_claim(tx: &mut Tx<'_>, command: AutoClaim) -> Result<Answer, Stop> {
    let now = tx.now();
    let found = Opened::find(tx, &command.key)?;
    let mut opened = found.ok_or_else(|| super::open::no_group(&command.key, &command.group))?;
    let mut party = opened.group(tx, &command.group)?;
    let (consumer, _) = party.consumer(tx, &command.consumer)?;
    let mut looks = command.count.saturating_mul(LOOKED_AT_FOR_EACH);
    let (mut rows, mut next) = (Vec::new(), StreamId::MIN);
    let range = (command.start, StreamId::MAX);
    pending::scan(tx, party.stream, party.group.number, range, &mut |id, row| {
        if looks == 0 {
            next = id;
            return Ok(ControlFlow::Break(()));
        }
        looks -= 1;
        rows.push((id, row));
        Ok(ControlFlow::Continue(()))
    })?;
    let how = Take { consumer: consumer.number, silent: command.just_ids, ..Take::now(now) };
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    for (id, row) in rows {
        if (claimed.len() + deleted.len()) as u64 >= command.count {
            next = id;
            break;
        }
        if !is_there(tx, &opened, id)? {
            party.save_pending(tx, id, Some(&row), None);
            deleted.push(id);
        } else if idle_of(&row, now) >= command.min_idle
            && let Some((id, fields)) = take(tx, &mut opened, &mut party, id, how)?
        {
            claimed.push(Delivered { id, fields: Some(fields), claimed: None });
        }
    }
    if !claimed.is_empty() {
        party.active(tx, &command.consumer, consumer);
    }
    party.save(tx);
    Ok(Answer::AutoClaimed { next, claimed, deleted })
}

fn is_there(rows: &dyn Rows, opened: &Opened, id: StreamId) -> Result<bool, Fault> {
    let stream = &opened.stream;
    Ok(id >= stream.first && entries::is_run(rows, stream.number, id)?.is_some())
}
