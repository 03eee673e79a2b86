//! Writing an outbox row together with all that follows from it: ready index, lane mark, timers,
//! counters. The only place that touches them.

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::{Lane, OutboxRow, RowState, Timer};
use crate::model::notice::Notice;
use crate::store::fault::Fault;
use crate::store::kinds::{count, due, outbox as rows, ready};
use crate::store::tx::Tx;

/// Lane of follow-ups: `~` is in no name, so no run shares it.
pub fn hooks_lane() -> Lane {
    Lane { org: "~hooks".to_owned(), ..Lane::default() }
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
    Ok(())
}

/// Keeps the ready index and the mark of the lane.
fn place(tx: &mut Tx<'_>, before: Option<&OutboxRow>, after: Option<&OutboxRow>) {
    let (was_in, is_in) = (before.is_some_and(in_ready), after.is_some_and(in_ready));
    match (before, after) {
        (Some(row), _) if was_in && !is_in => {
            ready::remove(tx, row);
            if row.ordered {
                // The next in line becomes the head.
                ready::mark(tx, &row.endpoint, &row.lane);
            }
        }
        (_, Some(row)) if is_in => {
            if let (true, Some(old)) = (was_in && row.ordered, before) {
                // Its place depends on whether it is out: another may be the head now.
                ready::remove(tx, old);
                ready::mark(tx, &row.endpoint, &row.lane);
            }
            if !was_in || row.ordered {
                ready::add(tx, row);
            }
            if row.state == RowState::Ready {
                ready::mark(tx, &row.endpoint, &row.lane);
                tx.notify(Notice::Work(row.endpoint.clone()));
            }
        }
        _ => {}
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
