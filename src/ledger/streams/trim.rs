//! Cutting a stream at its old end, and deleting single entries.
//!
//! A cut of many entries moves the stream's lower bound and leaves the rows to a duty, so that it
//! takes one row whatever it removes. Entries of runs that are not finished are never removed.

use std::ops::ControlFlow;

use crate::ledger::keys::command::{Refs, Trim, TrimBy};
use crate::model::stream::{Pending, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry::Purge;
use crate::store::kinds::{entry as entries, group as groups, pending};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::open::{Opened, Party};

/// Entries up to which a cut removes rows itself.
const ROWS_MAX: u64 = 1_024;
/// Entries that a rough cut takes off together, as many as a node of Redis holds.
const NODE: u64 = 100;
/// Entries that a rough cut looks at unless told otherwise, as in Redis.
const ROUGH_MAX: u64 = 100 * NODE;
/// Groups that are asked whether they are done with an entry.
const GROUPS_MAX: usize = 10_000;

/// Cuts; gives how many entries went. The caller writes the stream.
pub fn trim(tx: &mut Tx<'_>, opened: &mut Opened, how: &Trim) -> Result<u64, Stop> {
    let stream = &opened.stream;
    let most = match how.by {
        TrimBy::Length(keep) => stream.length.saturating_sub(keep),
        TrimBy::MinId(id) if id <= stream.first => 0,
        TrimBy::MinId(_) => stream.length,
    };
    let limit = match (how.roughly, how.limit) {
        (false, _) | (true, Some(0)) => u64::MAX,
        (true, limit) => limit.unwrap_or(ROUGH_MAX),
    };
    let most = match how.by {
        TrimBy::Length(_) if how.roughly => most.min(limit) / NODE * NODE,
        TrimBy::Length(_) | TrimBy::MinId(_) => most.min(limit),
    };
    if most == 0 {
        return Ok(0);
    }
    if how.refs != Refs::Keep {
        return trim_with_refs(tx, opened, how, most);
    }
    if let (TrimBy::Length(0), Some(below)) = (how.by, stream.last.next())
        && (stream.runs == 0 && most > ROWS_MAX)
    {
        return Ok(cut(tx, opened, below, most));
    }
    let below = match how.by {
        TrimBy::MinId(id) => Some(id),
        TrimBy::Length(_) => None,
    };
    let found = candidates(tx, opened, below, most)?;
    let behind = opened.stream.last.next();
    if let (true, Some(below)) = (found.count > ROWS_MAX, found.rest.or(behind)) {
        return Ok(cut(tx, opened, below, found.count));
    }
    for id in &found.ids {
        entries::remove(tx, opened.stream.number, *id);
    }
    opened.stream.length -= found.count;
    opened.stream.first = found.rest.or(behind).unwrap_or(StreamId::MAX);
    Ok(found.count)
}

/// The oldest entries, up to the first that stays.
struct Candidates {
    count: u64,
    /// The ids of the first [`ROWS_MAX`].
    ids: Vec<StreamId>,
    /// The first entry that stays.
    rest: Option<StreamId>,
}

fn candidates(
    rows: &dyn Rows,
    opened: &Opened,
    below: Option<StreamId>,
    most: u64,
) -> Result<Candidates, Fault> {
    let mut found = Candidates { count: 0, ids: Vec::new(), rest: None };
    let range = (opened.stream.first, StreamId::MAX);
    entries::scan_ids(rows, opened.stream.number, range, &mut |id, is_run| {
        if found.count == most || below.is_some_and(|below| id >= below) || is_run {
            found.rest = Some(id);
            return ControlFlow::Break(());
        }
        found.count += 1;
        if found.count <= ROWS_MAX {
            found.ids.push(id);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Moves the lower bound; a duty removes the rows below it.
fn cut(tx: &mut Tx<'_>, opened: &mut Opened, below: StreamId, count: u64) -> u64 {
    entries::put_purge(tx, &Purge::Below(opened.stream.number, below));
    opened.stream.first = below;
    opened.stream.length -= count;
    count
}

/// Cuts with regard to groups; one entry after another, so at most [`ROWS_MAX`] of them.
fn trim_with_refs(
    tx: &mut Tx<'_>,
    opened: &mut Opened,
    how: &Trim,
    most: u64,
) -> Result<u64, Stop> {
    let below = match how.by {
        TrimBy::MinId(id) => Some(id),
        TrimBy::Length(_) => None,
    };
    let first = opened.stream.first;
    let found = candidates(tx, opened, below, most.min(ROWS_MAX))?;
    let mut parties = parties(tx, opened)?;
    let mut gone = 0;
    for id in found.ids {
        if delete_one(tx, opened, &mut parties, how.refs, id)? == Deleted::Yes {
            gone += 1;
        }
    }
    save_all(tx, &parties);
    if gone > 0 {
        opened.first_is_gone(tx, first)?;
    }
    Ok(gone)
}

/// What became of one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    Yes,
    Missing,
    /// It stays: a group still needs it, or it is a run that is not finished.
    Kept,
}

/// Deletes entries by id; gives what became of each. The caller writes the stream.
pub fn delete(
    tx: &mut Tx<'_>,
    opened: &mut Opened,
    refs: Refs,
    ids: &[StreamId],
) -> Result<Vec<Deleted>, Stop> {
    let first = opened.stream.first;
    let mut parties = match refs {
        Refs::Keep => Vec::new(),
        Refs::Delete | Refs::Acked => parties(tx, opened)?,
    };
    let mut became = Vec::with_capacity(ids.len());
    for id in ids {
        let deleted = delete_one(tx, opened, &mut parties, refs, *id)?;
        if deleted == Deleted::Yes && *id > opened.stream.max_deleted {
            opened.stream.max_deleted = *id;
        }
        became.push(deleted);
    }
    save_all(tx, &parties);
    if ids.contains(&first) || opened.stream.length == 0 {
        opened.first_is_gone(tx, first)?;
    }
    Ok(became)
}

fn delete_one(
    tx: &mut Tx<'_>,
    opened: &mut Opened,
    parties: &mut [Party],
    refs: Refs,
    id: StreamId,
) -> Result<Deleted, Stop> {
    let number = opened.stream.number;
    if id < opened.stream.first {
        return Ok(Deleted::Missing);
    }
    match entries::is_run(tx, number, id)? {
        None => return Ok(Deleted::Missing),
        Some(true) => return Ok(Deleted::Kept),
        Some(false) => {}
    }
    match refs {
        Refs::Keep => {}
        Refs::Acked => {
            for party in parties.iter() {
                if party.group.last < id || party.pending(tx, id)?.is_some() {
                    return Ok(Deleted::Kept);
                }
            }
        }
        Refs::Delete => drop_refs(tx, parties, id)?,
    }
    entries::remove(tx, number, id);
    opened.stream.length -= 1;
    Ok(Deleted::Yes)
}

/// Removes what any group has pending of an entry.
pub fn drop_refs(tx: &mut Tx<'_>, parties: &mut [Party], id: StreamId) -> Result<(), Stop> {
    for party in parties {
        if let Some(row) = party.pending(tx, id)? {
            party.save_pending(tx, id, Some(&row), None);
        }
    }
    Ok(())
}

/// Every group of a stream.
pub fn parties(rows: &dyn Rows, opened: &Opened) -> Result<Vec<Party>, Fault> {
    let stream = opened.stream.number;
    Ok(groups::list(rows, stream, GROUPS_MAX)?
        .into_iter()
        .map(|(name, group)| Party { stream, name: name.into(), group })
        .collect())
}

fn save_all(tx: &mut Tx<'_>, parties: &[Party]) {
    for party in parties {
        party.save(tx);
    }
}

/// Entries below this id are done with: every group has read and acknowledged them (the janitor's
/// safe trim). `None` when there is no group, or nothing can go.
pub fn safe_bound(rows: &dyn Rows, opened: &Opened) -> Result<Option<StreamId>, Fault> {
    let mut bound: Option<StreamId> = None;
    for party in parties(rows, opened)? {
        let (stream, group) = (party.stream, party.group.number);
        let done = match pending::ends(rows, stream, group)? {
            Some((lowest, _)) => lowest.min(next_of(party.group.last)),
            None => next_of(party.group.last),
        };
        bound = Some(bound.map_or(done, |earlier| earlier.min(done)));
    }
    Ok(bound.filter(|bound| *bound > opened.stream.first))
}

fn next_of(id: StreamId) -> StreamId {
    id.next().unwrap_or(StreamId::MAX)
}

/// Whether a pending row stands for a run.
pub fn is_run(row: &Pending) -> bool {
    row.lease.is_some()
}
