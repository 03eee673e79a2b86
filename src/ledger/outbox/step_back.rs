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
use crate::model::delivery::{RowState, Timer};
use crate::store::fault::Stop;
use crate::store::kinds::{due, outbox as rows, run as run_rows};
use crate::store::tx::Tx;

use super::save::save;

/// Timers that one command moves.
pub const MOVED_MAX: usize = 128;

/// What is moved, one kind after the other.
const MOVED: [Timer; 4] = [Timer::Deliver, Timer::Enqueue, Timer::Expire, Timer::Deadline];

/// A step of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBack {
    /// What it showed before. Timers that ended earlier had fired by then.
    pub from: Time,
    pub by: Span,
}

/// How far the timers are moved: a kind, and the last one of it that was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    kind: usize,
    after: Option<(Time, Id)>,
}

/// Moves at most [`MOVED_MAX`] timers; gives where to go on. A timer that was moved lies before that
/// place, so none is moved twice.
pub fn move_timers(
    tx: &mut Tx<'_>,
    step: StepBack,
    progress: Progress,
) -> Result<Option<Progress>, Stop> {
    let Some(timer) = MOVED.get(progress.kind).copied() else { return Ok(None) };
    let from = progress.after.unwrap_or((step.from, Id::MIN));
    let found = due::after(tx, timer, Some(from), MOVED_MAX)?;
    for (at, id) in &found {
        match timer {
            Timer::Deliver => move_row(tx, *id, *at, step.by)?,
            _ => move_run(tx, *id, step.by, timer)?,
        }
    }
    Ok(Some(match found.last() {
        Some(last) if found.len() == MOVED_MAX => Progress { after: Some(*last), ..progress },
        _ => Progress { kind: progress.kind + 1, after: None },
    }))
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
