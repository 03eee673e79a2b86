//! A clock that was set back: what was to happen in a while still does, and not only once the clock
//! has come there again.
//!
//! Delays, retries, times to live and limits are lengths of time, kept as the moment of their end. When
//! the clock is set back by an hour those moments are an hour further away, so they are moved along.
//! Windows of schedules stay: they are times that a clock shows. Claims that are out stay too: their
//! answer comes by a clock of its own.

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::ledger::runs::save as runs;
use crate::model::clock::Known;
use crate::model::delivery::{RowState, Timer};
use crate::store::fault::Stop;
use crate::store::kinds::{clock, due, outbox as rows, run as run_rows};
use crate::store::tx::Tx;

use super::save::save;

/// Timers that one command moves.
pub const MOVED_MAX: usize = 128;

/// What is moved, one kind after the other; how many have been stands in the store.
const MOVED: [Timer; 4] = [Timer::Deliver, Timer::Enqueue, Timer::Expire, Timer::Deadline];

/// What came of a look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    pub at: Time,
    /// How far it was set back since the last look, also while nobody was there to see it.
    pub set_back_by: Option<Span>,
    /// Timers have yet to follow; see [`follow`].
    pub more: bool,
}

/// Notes what the clock shows. `latest` is the latest that this process saw it show.
pub fn note(tx: &mut Tx<'_>, latest: Time) -> Result<Noted, Stop> {
    let now = tx.now();
    let mut known = clock::get(tx)?.unwrap_or_else(|| Known::at(now));
    let set_back_by = known.note(now, latest);
    clock::put(tx, &known);
    Ok(Noted { at: now, set_back_by, more: !known.steps.is_empty() })
}

/// Moves at most [`MOVED_MAX`] timers after a step of the clock; true when there is more to do. A timer
/// that was moved lies before the place that is kept with it, so none is moved twice.
pub fn follow(tx: &mut Tx<'_>) -> Result<bool, Stop> {
    let Some(mut known) = clock::get(tx)? else { return Ok(false) };
    let Some(step) = known.steps.first_mut() else { return Ok(false) };
    match MOVED.get(usize::from(step.kinds)).copied() {
        Some(timer) => {
            let from = step.after.unwrap_or((step.from, Id::MIN));
            let found = due::after(tx, timer, Some(from), MOVED_MAX)?;
            for (at, id) in &found {
                match timer {
                    Timer::Deliver => move_row(tx, *id, *at, step.by)?,
                    _ => move_run(tx, *id, step.by, timer)?,
                }
            }
            match found.last() {
                Some(last) if found.len() == MOVED_MAX => step.after = Some(*last),
                _ => (step.kinds, step.after) = (step.kinds + 1, None),
            }
        }
        None => drop(known.steps.remove(0)),
    }
    clock::put(tx, &known);
    Ok(!known.steps.is_empty())
}

/// A delivery that waits, and what its run tells of it.
fn move_row(tx: &mut Tx<'_>, id: Id, at: Time, by: Span) -> Result<(), Stop> {
    let Some(row) = rows::get(tx, id)? else { return Ok(()) };
    if row.state != RowState::Waiting || row.due_at != at {
        return Ok(());
    }
    let mut moved = row.clone();
    moved.due_at = at.minus(by);
    if let Some(before) = run_rows::get(tx, id)?
        && before.due_at == at
    {
        let mut run = before.clone();
        run.due_at = moved.due_at;
        runs::save(tx, &before, &run)?;
    }
    Ok(save(tx, Some(&row), Some(&moved))?)
}

fn move_run(tx: &mut Tx<'_>, id: Id, by: Span, timer: Timer) -> Result<(), Stop> {
    let Some(before) = run_rows::get(tx, id)? else { return Ok(()) };
    // In the buffer it is of another kind of row, and soon out of it.
    if before.buffered {
        return Ok(());
    }
    let mut run = before.clone();
    match timer {
        Timer::Enqueue => run.due_at = run.due_at.minus(by),
        Timer::Expire => run.expires_at = run.expires_at.map(|at| at.minus(by)),
        Timer::Deadline => run.deadline = run.deadline.map(|at| at.minus(by)),
        Timer::Deliver | Timer::Lease | Timer::Again | Timer::Buffer | Timer::Schedule => {}
    }
    runs::save(tx, &before, &run)
}
