//! The stale sweep: it counts entries that wait too long in the buffer, to notice a drain that is
//! dead or stuck. It reads entries and never edits them.
//!
//! A pass looks at a slice of a list of orgs that is frozen at the start of a cycle; cursor, list
//! and counts are rows, so a restart goes on where it was. An env that is drained completely is in
//! no list any more: counts stand in the order of the visits, so those that lie between two visits
//! are of envs that hold nothing, and go. Entries that back off have an index by env beside the
//! queues, and count like those in a queue.
//!
//! It runs on the writer, which others wait for. So a pass is made in slices, each a transaction of
//! its own within the limits of [`SliceLimits`], whatever the settings say. A slice may end within
//! an org: the next one continues behind the last env that was visited. The writer is free between
//! two of them, nobody is left out, and a kill loses what one slice did.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::store::fault::{Fault, Stop};
use crate::store::key::last_id;
use crate::store::kinds::buffer_sweep::{self as rows, Count, Cursor, Edge};
use crate::store::kinds::{buffered, count};
use crate::store::rows::{Rows, Span as Keys, counter, first_key};
use crate::store::tx::Tx;

/// Most stale entries that a slice names for the log.
pub const LOGGED_MAX: usize = 100;

/// What one transaction of the sweep does at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceLimits {
    /// Envs that it visits.
    pub envs: usize,
    /// Once it has found so many stale entries it visits no further env.
    pub entries: u64,
    /// Counts that it removes because their envs hold nothing.
    pub removed: usize,
}

impl Default for SliceLimits {
    /// A millisecond or two of the writer.
    fn default() -> SliceLimits {
        SliceLimits { envs: 100, entries: 2_000, removed: 500 }
    }
}

/// The numbers of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepNumbers {
    /// An entry that waits strictly longer is stale.
    pub stale_after: Span,
    /// Orgs that a pass looks at.
    pub orgs_per_pass: usize,
    /// Entries of an env that a pass counts, oldest first.
    pub entries_per_env: usize,
    pub slice: SliceLimits,
}

/// What a slice of a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Orgs with which it is done.
    pub orgs: usize,
    /// Envs that it visited.
    pub envs: usize,
    /// Stale entries in those envs.
    pub stale_entries: u64,
    /// Stale entries of all envs, each as it was last visited.
    pub stale_now: u64,
    /// It ended its cycle.
    pub wrapped: bool,
    /// Its limits ended it: the pass goes on with another slice.
    pub unfinished: bool,
    /// Counts that it removed because their envs hold nothing.
    pub removed: usize,
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

/// A slice of a pass. What it changes is a transaction: a read that fails changes nothing, so it
/// never looks like an empty buffer.
pub fn pass(tx: &mut Tx<'_>, enabled: bool, numbers: &SweepNumbers) -> Result<Pass, Stop> {
    let mut pass = Pass::default();
    if !enabled {
        pass.unfinished = !rows::wipe(tx, numbers.slice.removed)?;
        return Ok(pass);
    }
    let mut cursor = rows::cursor(tx)?;
    if cursor.at == 0 && cursor.after_env.is_none() {
        freeze(tx, &mut cursor)?;
    }
    if cursor.orgs == 0 && cursor.from.is_none() {
        // Nothing is buffered anywhere, so there is nothing to remember.
        pass.wrapped = rows::wipe(tx, numbers.slice.removed)?;
        pass.unfinished = !pass.wrapped;
        pass.stale_now = stale(tx)?;
        return Ok(pass);
    }
    cursor.stale = Some(stale_at(tx, &cursor)?);
    pass.unfinished = !walk(tx, &mut cursor, numbers, &mut pass)?;
    if !pass.unfinished && cursor.at >= cursor.orgs {
        pass.wrapped = wrap(tx, &mut cursor, numbers, &mut pass)?;
        pass.unfinished = !pass.wrapped;
    }
    rows::put_cursor(tx, &cursor);
    pass.stale_now = stale_at(tx, &cursor)?;
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
    cursor.orgs = orgs.len();
    cursor.to = if orgs.len() == rows::ORGS_MAX { orgs.pop() } else { None };
    Ok(())
}

/// Visits the next orgs and moves the cursor behind them; whether it came to the end.
fn walk(
    tx: &mut Tx<'_>,
    cursor: &mut Cursor,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<bool, Fault> {
    let end = cursor.at.saturating_add(numbers.orgs_per_pass.max(1)).min(cursor.orgs);
    while cursor.at < end {
        // Orgs whose row cannot be read wait for the next cycle.
        if let Some(org) = rows::org(tx, cursor.at)? {
            while let Some(env) = rows::next_env(tx, &org, cursor.after_env.as_ref())? {
                let here = Edge::Env(&org, &env);
                if is_full(pass, &numbers.slice) || !forget_up_to(tx, here, cursor, numbers, pass)?
                {
                    return Ok(false);
                }
                visit(tx, (&org, &env), cursor, numbers, pass)?;
                cursor.after_env = Some(env);
            }
            if !forget_up_to(tx, Edge::Org(&org), cursor, numbers, pass)? {
                return Ok(false);
            }
        }
        cursor.after_env = None;
        cursor.at += 1;
        pass.orgs += 1;
    }
    Ok(true)
}

fn is_full(pass: &Pass, limits: &SliceLimits) -> bool {
    pass.envs >= limits.envs.max(1) || pass.stale_entries >= limits.entries.max(1)
}

/// Counts the stale entries of an env.
fn visit(
    tx: &mut Tx<'_>,
    (org, env): (&Name, &Name),
    cursor: &mut Cursor,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<(), Fault> {
    // Ids carry the time of their accept: who waits strictly longer has an id before this one.
    let fresh_from = Id::floor_of(tx.now().minus(numbers.stale_after));
    let found = rows::older(tx, (org, env), fresh_from, numbers.entries_per_env.max(1))?;
    let entries = found.len() as u64;
    let count = found.first().map(|id| Count { entries, oldest: id.time() });
    recount(cursor, stale_of(tx, (org, env))?, entries);
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

/// Brings the sum of all counts in line with a change of one of them.
fn recount(cursor: &mut Cursor, was: u64, is: u64) {
    cursor.stale = cursor.stale.map(|sum| sum.saturating_sub(was) + is);
}

/// Removes the counts between where the cursor stands and here: their envs hold nothing any more.
/// Whether none is left.
fn forget_up_to(
    tx: &mut Tx<'_>,
    here: Edge<'_>,
    cursor: &mut Cursor,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<bool, Fault> {
    let before = match cursor.at.checked_sub(1) {
        Some(at) => rows::org(tx, at)?,
        None => None,
    };
    let current = rows::org(tx, cursor.at)?;
    let from = match (&current, &cursor.after_env, &before, &cursor.from) {
        (Some(org), Some(env), ..) => Edge::Env(org, env),
        (_, _, Some(before), _) => Edge::Org(before),
        (.., Some(from)) if cursor.at == 0 => Edge::Org(from),
        _ if cursor.at == 0 => Edge::Start,
        // What was visited before is not known: the next cycle looks again.
        _ => return Ok(true),
    };
    let room = numbers.slice.removed.max(1).saturating_sub(pass.removed);
    let found = rows::counts(tx, (from, here), room + 1)?;
    let all = found.len() <= room;
    for (org, env, count) in found.into_iter().take(room) {
        rows::put_count(tx, (&org, &env), None)?;
        recount(cursor, count.entries, 0);
        pass.removed += 1;
    }
    Ok(all)
}

/// Ends a cycle: behind the last org of the list nobody holds anything. Whether it is done.
fn wrap(
    tx: &mut Tx<'_>,
    cursor: &mut Cursor,
    numbers: &SweepNumbers,
    pass: &mut Pass,
) -> Result<bool, Fault> {
    let to = cursor.to.clone();
    let here = to.as_ref().map_or(Edge::End, Edge::Org);
    if !forget_up_to(tx, here, cursor, numbers, pass)? {
        return Ok(false);
    }
    (cursor.at, cursor.after_env) = (0, None);
    cursor.from = cursor.to.take();
    Ok(true)
}

/// Stale entries of all envs, each as it was last visited: what an alert looks at.
pub fn stale(rows: &dyn Rows) -> Result<u64, Fault> {
    stale_at(rows, &rows::cursor(rows)?)
}

/// The sum that the cursor holds; after an upgrade, or when it was lost, it is added up once.
fn stale_at(rows: &dyn Rows, cursor: &Cursor) -> Result<u64, Fault> {
    if let Some(stale) = cursor.stale {
        return Ok(stale);
    }
    let counts = rows::counts(rows, (Edge::Start, Edge::End), usize::MAX)?;
    Ok(counts.into_iter().map(|(_, _, count)| count.entries).sum())
}

/// Stale entries of one env, as it was last visited.
pub fn stale_of(rows: &dyn Rows, (org, env): (&Name, &Name)) -> Result<u64, Fault> {
    Ok(rows::count(rows, (org, env))?.map_or(0, |count| count.entries))
}

/// At most `limit` envs in which entries are stale, by name.
pub fn stale_envs(rows: &dyn Rows, limit: usize) -> Result<Vec<StaleEnv>, Fault> {
    let counts = rows::counts(rows, (Edge::Start, Edge::End), limit)?;
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
