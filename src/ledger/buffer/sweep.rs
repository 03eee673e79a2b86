//! The stale sweep: it counts entries that wait too long in the buffer, to notice a drain that is
//! dead or stuck. It reads entries and never edits them.
//!
//! A pass looks at a slice of a list of orgs that is frozen at the start of a cycle; cursor, list
//! and counts are rows, so a restart goes on where it was. An env that is drained completely is in
//! no list any more: the end of the cycle removes the counts of envs that the cycle did not visit.
//! Entries that back off have an index by env beside the queues, and count like those in a queue.
//!
//! A pass runs on the writer, so it is bounded whatever the settings say: besides the slice of orgs
//! by [`ENVS_MAX`] and [`ENTRIES_MAX`]. Where one of them ends a pass within an org, the next pass
//! continues behind the last env that was visited: the cycle takes longer, and leaves nobody out.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::store::fault::{Fault, Stop};
use crate::store::key::last_id;
use crate::store::kinds::buffer_sweep::{self as rows, Count, Cursor};
use crate::store::kinds::{buffered, count};
use crate::store::rows::{Rows, Span as Keys, counter, first_key};
use crate::store::tx::Tx;

/// Most envs that a pass visits.
pub const ENVS_MAX: usize = 1_000;
/// A pass that has found so many stale entries visits no further env.
pub const ENTRIES_MAX: u64 = 100_000;
/// Most stale entries that a pass names for the log.
pub const LOGGED_MAX: usize = 100;

/// The numbers of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepNumbers {
    /// An entry that waits strictly longer is stale.
    pub stale_after: Span,
    /// Orgs that a pass looks at.
    pub orgs_per_pass: usize,
    /// Entries of an env that a pass counts, oldest first.
    pub entries_per_env: usize,
}

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Orgs and envs that it visited.
    pub orgs: usize,
    pub envs: usize,
    /// Stale entries in those envs.
    pub stale_entries: u64,
    /// Stale entries of all envs, each as it was last visited.
    pub stale_now: u64,
    /// It ended its cycle.
    pub wrapped: bool,
    /// The first of the stale entries, at most [`LOGGED_MAX`].
    pub logged: Vec<StaleEntry>,
}

/// An entry that waits too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleEntry {
    pub run: RunId,
    pub org: Name,
    pub env: Name,
    pub dwell: Span,
}

/// An env in which entries are stale, as it was last visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleEnv {
    pub org: Name,
    pub env: Name,
    /// How many; more than are counted in an env at all are not told apart.
    pub entries: u64,
    /// When the oldest of them was accepted.
    pub oldest: Time,
    /// Entries that wait there now, stale or not.
    pub depth: u64,
}

/// One pass. What it changes is a transaction: a read that fails changes nothing, so it never looks
/// like an empty buffer.
pub fn pass(tx: &mut Tx<'_>, enabled: bool, numbers: &SweepNumbers) -> Result<Pass, Stop> {
    if !enabled {
        rows::wipe(tx)?;
        return Ok(Pass::default());
    }
    let mut cursor = rows::cursor(tx)?;
    if cursor.at == 0 && cursor.after_env.is_none() {
        freeze(tx, &mut cursor)?;
    }
    if cursor.orgs == 0 && cursor.from.is_none() {
        // Nothing is buffered anywhere, so there is nothing to remember.
        rows::wipe(tx)?;
        return Ok(Pass { wrapped: true, ..Pass::default() });
    }
    let mut pass = Pass::default();
    walk(tx, &mut cursor, numbers, &mut pass)?;
    if cursor.at >= cursor.orgs {
        wrap(tx, &mut cursor)?;
        pass.wrapped = true;
    }
    rows::put_cursor(tx, &cursor);
    pass.stale_now = stale(tx)?;
    Ok(pass)
}

/// Begins a cycle: orgs that come later wait for the next one.
fn freeze(tx: &mut Tx<'_>, cursor: &mut Cursor) -> Result<(), Fault> {
    let mut orgs: Vec<Name> = Vec::new();
    while orgs.len() < rows::ORGS_MAX
        && let Some(org) = rows::next_org(tx, orgs.last().or(cursor.from.as_ref()))?
    {
        orgs.push(org);
    }
    rows::put_orgs(tx, &orgs)?;
    // A moment, so that it stays above all marks also when the cursor was lost.
    cursor.cycle = (cursor.cycle + 1).max(u64::try_from(tx.now().0).unwrap_or(0));
    cursor.orgs = orgs.len();
    cursor.to = if orgs.len() == rows::ORGS_MAX { orgs.pop() } else { None };
    Ok(())
}

/// Visits the next slice of orgs and moves the cursor behind it.
fn walk(
    tx: &mut Tx<'_>,
    cursor: &mut Cursor,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<(), Fault> {
    let end = cursor.at.saturating_add(numbers.orgs_per_pass.max(1)).min(cursor.orgs);
    while cursor.at < end && !is_full(pass) {
        pass.orgs += 1;
        if let Some(org) = rows::org(tx, cursor.at)? {
            let mut after = cursor.after_env.take();
            while let Some(env) = rows::next_env(tx, &org, after.as_ref())? {
                if is_full(pass) {
                    cursor.after_env = after;
                    return Ok(());
                }
                visit(tx, (&org, &env), cursor.cycle, numbers, pass)?;
                after = Some(env);
            }
        }
        cursor.after_env = None;
        cursor.at += 1;
    }
    Ok(())
}

fn is_full(pass: &Pass) -> bool {
    pass.envs >= ENVS_MAX || pass.stale_entries >= ENTRIES_MAX
}

/// Counts the stale entries of an env.
fn visit(
    tx: &mut Tx<'_>,
    (org, env): (&Name, &Name),
    cycle: u64,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<(), Fault> {
    // Ids carry the time of their accept: who waits strictly longer has an id before this one.
    let fresh_from = Id::floor_of(tx.now().minus(numbers.stale_after));
    let found = rows::older(tx, (org, env), fresh_from, numbers.entries_per_env.max(1))?;
    let entries = found.len() as u64;
    let count = found.first().map(|id| Count { entries, oldest: id.time(), cycle });
    rows::put_count(tx, (org, env), count.as_ref())?;
    pass.envs += 1;
    pass.stale_entries += entries;
    let room = LOGGED_MAX - pass.logged.len();
    pass.logged.extend(found.into_iter().take(room).map(|run| StaleEntry {
        run,
        org: org.clone(),
        env: env.clone(),
        dwell: tx.now().since(run.time()),
    }));
    Ok(())
}

/// Ends a cycle: an env that it did not visit holds nothing any more.
fn wrap(tx: &mut Tx<'_>, cursor: &mut Cursor) -> Result<(), Fault> {
    let range = (cursor.from.as_ref(), cursor.to.as_ref());
    for (org, env, count) in rows::counts(tx, range, usize::MAX)? {
        if count.cycle != cursor.cycle {
            rows::put_count(tx, (&org, &env), None)?;
        }
    }
    (cursor.at, cursor.after_env) = (0, None);
    cursor.from = cursor.to.take();
    Ok(())
}

/// Stale entries of all envs, each as it was last visited: what an alert looks at.
pub fn stale(rows: &dyn Rows) -> Result<u64, Fault> {
    let counts = rows::counts(rows, (None, None), usize::MAX)?;
    Ok(counts.into_iter().map(|(_, _, count)| count.entries).sum())
}

/// Stale entries of one env, as it was last visited.
pub fn stale_of(rows: &dyn Rows, (org, env): (&Name, &Name)) -> Result<u64, Fault> {
    Ok(rows::count(rows, (org, env))?.map_or(0, |count| count.entries))
}

/// At most `limit` envs in which entries are stale, by name.
pub fn stale_envs(rows: &dyn Rows, limit: usize) -> Result<Vec<StaleEnv>, Fault> {
    let counts = rows::counts(rows, (None, None), limit)?;
    let envs = counts.into_iter().map(|(org, env, Count { entries, oldest, .. })| {
        let depth = counter(rows, &count::buffered_of(&org, &env))?;
        let depth = u64::try_from(depth).unwrap_or(0);
        Ok(StaleEnv { org, env, entries, oldest, depth })
    });
    envs.collect()
}

/// When the oldest entry of the whole buffer was accepted. It is read when asked for, so unlike
/// the counts it lags behind no cycle.
pub fn oldest(rows: &dyn Rows) -> Result<Option<Time>, Fault> {
    let first = first_key(rows, &Keys::prefix(&buffered::all()))?;
    first.map(|key| Ok(last_id(&key)?.time())).transpose()
}

/// Where the sweep stands.
pub fn cursor(rows: &dyn Rows) -> Result<Cursor, Fault> {
    rows::cursor(rows)
}

#[cfg(test)]
mod tests;
