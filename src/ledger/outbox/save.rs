//! Writing an outbox row together with all that follows from it: ready index, lane mark, timers,
//! counters, marks of follow-ups. The only place that touches them.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::delivery::{Lane, OutboxRow, Purpose, RowState, Timer};
use crate::store::fault::Fault;
use crate::store::kinds::{count, due, follow_up, outbox as rows, ready};
use crate::store::tx::Tx;

/// The env of lanes of follow-ups: `~` is in no name, so no run shares them.
const HOOKS: &str = "~hooks";

/// Lane of the follow-ups of an org; it has no limit, and is paused with its org.
pub fn hooks_lane(org: &Name) -> Lane {
    Lane { org: org.to_string(), env: HOOKS.to_owned(), key: String::new() }
}

pub fn is_hooks_lane(lane: &Lane) -> bool {
    lane.env == HOOKS
}

/// Moves a row from `before` to `after`; `None` is a row that is not there.
pub fn save(
    tx: &mut Tx<'_>,
    before: Option<&OutboxRow>,
    after: Option<&OutboxRow>,
) -> Result<(), Fault> {
    match (before, after) {
        (_, Some(after)) => rows::put(tx, after),
        (Some(before), None) => rows::remove(tx, before.id),
        (None, None) => {}
    }
    let (old, new) = (before.and_then(timer_of), after.and_then(timer_of));
    if old != new {
        if let (Some((timer, at)), Some(row)) = (old, before) {
            due::clear(tx, timer, at, row.id);
        }
        if let (Some((timer, at)), Some(row)) = (new, after) {
            due::set(tx, timer, at, row.id);
        }
    }
    let key = |row: Option<&OutboxRow>| row.map(|row| count::outbox_state(row.state));
    if key(before) != key(after) {
        for (row, delta) in [(before, -1), (after, 1)] {
            if let Some(key) = key(row) {
                tx.count(key, delta);
            }
        }
    }
    place(tx, before, after);
    keep_run(tx, before, after);
    Ok(())
}

/// A run is kept while one of its follow-ups is here.
fn keep_run(tx: &mut Tx<'_>, before: Option<&OutboxRow>, after: Option<&OutboxRow>) {
    match (before, after) {
        (None, Some(OutboxRow { id, purpose: Purpose::Hook { run, .. }, .. })) => {
            follow_up::link(tx, *run, *id);
        }
        (Some(OutboxRow { id, purpose: Purpose::Hook { run, .. }, .. }), None) => {
            follow_up::unlink(tx, *run, *id);
            follow_up::set_done(tx, *id);
        }
        _ => {}
    }
}

/// Keeps the ready index and the mark of the lane.
fn place(tx: &mut Tx<'_>, before: Option<&OutboxRow>, after: Option<&OutboxRow>) {
    let (old, new) = (before.filter(|row| in_ready(row)), after.filter(|row| in_ready(row)));
    if let Some(row) = old {
        ready::remove(tx, row);
    }
    if let Some(row) = new {
        ready::add(tx, row);
    }
    let is_out = after.is_some_and(|row| matches!(row.state, RowState::Leased { .. }));
    if let Some(row) = new.filter(|row| row.state == RowState::Ready) {
        ready::mark(tx, &row.endpoint, &row.lane);
    } else if let Some(row) = old.filter(|row| row.ordered && !is_out) {
        // It went, or fell back behind an older one: another row may be the head.
        ready::mark(tx, &row.endpoint, &row.lane);
    }
}

/// The head of an ordered lane keeps its place while it is out or backs off, so that nothing
/// behind it can pass.
fn in_ready(row: &OutboxRow) -> bool {
    match row.state {
        RowState::Ready => true,
        RowState::Waiting => row.ordered && row.attempts > 0,
        RowState::Leased { .. } => row.ordered,
    }
}

fn timer_of(row: &OutboxRow) -> Option<(Timer, Time)> {
    match row.state {
        RowState::Ready => None,
        RowState::Waiting => Some((Timer::Deliver, row.due_at)),
        RowState::Leased { until } => Some((Timer::Lease, until)),
    }
}

/// Takes a row out, if it is there.
pub fn withdraw(tx: &mut Tx<'_>, id: Id) -> Result<(), Fault> {
    match rows::get(tx, id)? {
        Some(row) => save(tx, Some(&row), None),
        None => Ok(()),
    }
}
