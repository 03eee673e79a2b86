//! Taking one run out of the store, with every row that is there for its sake.

use crate::ledger::shards;
use crate::model::run::Run;
use crate::store::fault::Stop;
use crate::store::kinds::{
    attempt as attempts, callback, count, event, idem, remove_some, run as run_rows, run_index,
};
use crate::store::tx::Tx;

/// Removes a run that is over; `room` is how many of the rows beside it may go. False when there
/// are more: the head is kept, so that the next slice finds the rest.
pub fn forget(tx: &mut Tx<'_>, run: &Run, room: &mut usize) -> Result<bool, Stop> {
    // First of all, so that nobody revives what has lost a part of its rows.
    super::remove_letter(tx, run.id)?;
    for span in [event::of(run.id), attempts::of(run.id), callback::answers_span(run.id)] {
        *room -= remove_some(tx, &span, *room)?;
        if *room == 0 {
            return Ok(false);
        }
    }
    // What was delivered of a shard stays for as long as the sharded run.
    if run.shard.is_none() && !shards::save::forget_delivered(tx, run.id, room)? {
        return Ok(false);
    }
    unlink(tx, run)?;
    run_index::remove(tx, run);
    run_rows::remove(tx, run.id);
    count::move_status(tx, (&run.task, &run.org, &run.env), Some(run.status), None);
    Ok(true)
}

/// Takes a run out of whatever points to it: **the one place for kinds of rows that do**. A batch
/// keeps its counts and a shard its results; their link becomes null, which is not the same as never
/// dispatched. `parent` and `replay_of` of other runs are left as they are: a reader shows none where
/// the run is gone.
fn unlink(tx: &mut Tx<'_>, run: &Run) -> Result<(), Stop> {
    shards::forget::forget_run(tx, run.id)?;
    if let Some(key) = &run.idempotency_key {
        let bound = idem::get(tx, &run.org, &run.env, key)?;
        if bound.is_some_and(|binding| binding.run == run.id) {
            idem::remove(tx, &run.org, &run.env, key);
        }
    }
    Ok(())
}
