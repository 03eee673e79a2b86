//! The end of a delivery: acknowledged, given back, or acknowledged and deleted.
//!
//! Acknowledging a run completes it, or moves it on to its next step, in this very transaction.

use bytes::Bytes;

use crate::base::time::Span;
use crate::ledger::keys::command::{Answer, Refs};
use crate::ledger::runs::place::run_at;
use crate::ledger::runs::pull;
use crate::model::delivery::Timer;
use crate::model::notice::Notice;
use crate::model::stream::{KeyName, NOBODY, Pending, StreamId};
use crate::store::fault::Stop;
use crate::store::kinds::{due, entry as entries, pending};
use crate::store::tx::Tx;

use super::open::{Opened, Party};
use super::trim::{self, Deleted, is_run};

/// Acknowledges; gives how many were pending.
pub fn ack(tx: &mut Tx<'_>, key: &KeyName, group: &Bytes, ids: &[StreamId]) -> Result<i64, Stop> {
    let Some((mut opened, mut party)) = find(tx, key, group)? else { return Ok(0) };
    let mut acked = 0;
    for id in ids {
        acked += i64::from(ack_one(tx, &mut opened, &mut party, *id)?);
    }
    Ok(acked)
}

/// The stream and the group, if both are there.
pub fn find(
    tx: &mut Tx<'_>,
    key: &KeyName,
    group: &Bytes,
) -> Result<Option<(Opened, Party)>, Stop> {
    let Some(opened) = Opened::find(tx, key)? else { return Ok(None) };
    let party = match opened.group(tx, group) {
        Ok(party) => party,
        Err(Stop::Refused(_)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    Ok(Some((opened, party)))
}

/// Acknowledges one entry; false when it was not pending. The caller has written what it changed of
/// stream and group.
fn ack_one(
    tx: &mut Tx<'_>,
    opened: &mut Opened,
    party: &mut Party,
    id: StreamId,
) -> Result<bool, Stop> {
    let Some(row) = party.pending(tx, id)? else {
        if opened.stream.runs > 0 {
            pull::acked_late(tx, opened, id)?;
        }
        return Ok(false);
    };
    if !is_run(&row) {
        party.save_pending(tx, id, Some(&row), None);
        return Ok(true);
    }
    if row.again_at.is_some() {
        // It was taken away from whoever acknowledges it now.
        pull::acked_late(tx, opened, id)?;
        return Ok(false);
    }
    let run = run_at(tx, opened.stream.number, id)?;
    // The run's own way writes stream and pending row; what is held here would be stale.
    pull::acked(tx, run)?;
    opened.reread(tx)?;
    party.reread(tx)?;
    Ok(true)
}

/// XACKDEL: for each id 1 done, -1 no such pending entry, 2 acknowledged but kept.
pub fn ack_delete(
    tx: &mut Tx<'_>,
    key: &KeyName,
    group: &Bytes,
    refs: Refs,
    ids: &[StreamId],
) -> Result<Answer, Stop> {
    let Some((mut opened, mut party)) = find(tx, key, group)? else {
        return Ok(Answer::Each(vec![-1; ids.len()]));
    };
    // All are acknowledged before any is deleted: a run that is acknowledged writes the head of its
    // stream itself, and what was deleted in memory until then would come back.
    let mut acked = Vec::with_capacity(ids.len());
    for id in ids {
        acked.push(ack_one(tx, &mut opened, &mut party, *id)?);
    }
    let mut each = Vec::with_capacity(ids.len());
    for (id, acked) in ids.iter().zip(acked) {
        if !acked {
            each.push(-1);
            continue;
        }
        let deleted = trim::delete(tx, &mut opened, refs, std::slice::from_ref(id))?[0];
        each.push(if deleted == Deleted::Kept { 2 } else { 1 });
    }
    opened.save(tx);
    Ok(Answer::Each(each))
}

/// Gives pending entries back, to be delivered again after `delay`; gives how many.
pub fn nack(
    tx: &mut Tx<'_>,
    key: &KeyName,
    group: &Bytes,
    ids: &[StreamId],
    delay: Span,
) -> Result<i64, Stop> {
    let Some(opened) = Opened::find(tx, key)? else {
        return Err(super::open::no_group(key, group).into());
    };
    let mut party = opened.group(tx, group)?;
    let mut given = 0;
    for id in ids {
        let Some(row) = party.pending(tx, *id)?.filter(|row| row.again_at.is_none()) else {
            continue;
        };
        given += 1;
        match is_run(&row) {
            true => {
                let run = run_at(tx, opened.stream.number, *id)?;
                pull::given_back(tx, run, Some(delay))?;
            }
            false => release(tx, &opened, &mut party, *id, &row, delay),
        }
    }
    Ok(given)
}

/// An entry has no consumer any more and waits for the next one.
pub fn release(
    tx: &mut Tx<'_>,
    opened: &Opened,
    party: &mut Party,
    id: StreamId,
    row: &Pending,
    delay: Span,
) {
    let at = tx.now().plus(delay);
    let after = Pending { consumer: NOBODY, again_at: Some(at), ..*row };
    party.save_pending(tx, id, Some(row), Some(&after));
    wake_at(tx, opened, party.group.number, at);
}

/// Readers of a stream look again, now or when the time comes.
pub fn wake_at(tx: &mut Tx<'_>, opened: &Opened, group: u32, at: crate::base::time::Time) {
    if at <= tx.now() {
        tx.notify(Notice::Key(opened.name.clone()));
    } else {
        let timer = pending::again_timer(opened.name.db, opened.stream.number, group);
        due::set(tx, Timer::Again, at, timer);
    }
}

/// Someone may wait now for what is to be delivered again later. Its timer may be over, or there
/// was none, because the clock has stepped back since.
pub fn wake_later(tx: &mut Tx<'_>, opened: &Opened, group: u32) -> Result<(), Stop> {
    let Some(at) = pending::next_again(tx, opened.stream.number, group)? else { return Ok(()) };
    let timer = pending::again_timer(opened.name.db, opened.stream.number, group);
    if at > tx.now() && !due::is_set(tx, Timer::Again, at, timer)? {
        due::set(tx, Timer::Again, at, timer);
    }
    Ok(())
}

/// Deletes entries; gives how many were there.
pub fn delete(tx: &mut Tx<'_>, key: &KeyName, ids: &[StreamId]) -> Result<i64, Stop> {
    let Some(mut opened) = Opened::find(tx, key)? else { return Ok(0) };
    let became = trim::delete(tx, &mut opened, Refs::Keep, ids)?;
    let deleted = became.into_iter().filter(|deleted| *deleted == Deleted::Yes).count();
    if deleted > 0 {
        opened.save(tx);
    }
    Ok(deleted as i64)
}

/// XDELEX: for each id 1 deleted, -1 not there, 2 kept.
pub fn delete_with(
    tx: &mut Tx<'_>,
    key: &KeyName,
    refs: Refs,
    ids: &[StreamId],
) -> Result<Answer, Stop> {
    let Some(mut opened) = Opened::find(tx, key)? else {
        return Ok(Answer::Each(vec![-1; ids.len()]));
    };
    let became = trim::delete(tx, &mut opened, refs, ids)?;
    opened.save(tx);
    Ok(Answer::Each(
        became
            .into_iter()
            .map(|deleted| match deleted {
                Deleted::Yes => 1,
                Deleted::Missing => -1,
                Deleted::Kept => 2,
            })
            .collect(),
    ))
}

/// Whether an entry is a run that is not finished.
pub fn is_open_run(tx: &Tx<'_>, opened: &Opened, id: StreamId) -> Result<bool, Stop> {
    Ok(entries::is_run(tx, opened.stream.number, id)? == Some(true))
}
