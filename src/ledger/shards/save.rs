//! Writing a shard together with its counters and its link: nothing else writes shards.

use crate::base::id::{Id, RunId};
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::{Phase, Shard, ShardState, ShardedRun};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{
    count, delivered, remove_some, run as run_rows, shard as rows, sharded as heads,
};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Writes a new shard.
pub fn create(tx: &mut Tx<'_>, shard: &Shard) {
    tx.count(count::shards(shard.sharded, shard.state), 1);
    rows::put(tx, None, shard);
}

/// Writes a changed shard.
pub fn save(tx: &mut Tx<'_>, before: &Shard, after: &Shard) {
    if before.state != after.state {
        tx.count(count::shards(before.sharded, before.state), -1);
        tx.count(count::shards(after.sharded, after.state), 1);
    }
    rows::put(tx, Some(before), after);
}

/// Removes a shard of a plan that nobody sees, with what was delivered of it; `room` is how many
/// deliveries may go. False when there are more: the shard is kept for the next time.
pub fn discard(tx: &mut Tx<'_>, shard: &Shard, room: &mut usize) -> Result<bool, Stop> {
    if !forget_delivered(tx, shard.planned_run, room)? {
        return Ok(false);
    }
    tx.count(count::shards(shard.sharded, shard.state), -1);
    rows::remove(tx, shard);
    run_rows::remove_body(tx, shard.planned_run);
    Ok(true)
}

/// Removes what was delivered of a run; false when there is no room for all of it.
pub fn forget_delivered(tx: &mut Tx<'_>, run: RunId, room: &mut usize) -> Result<bool, Stop> {
    *room -= remove_some(tx, &delivered::all_of(run), *room)?;
    if *room == 0 {
        return Ok(false);
    }
    let (deliveries, bytes) = count::delivered(run);
    count::clear(tx, [deliveries, bytes])?;
    Ok(true)
}

/// Gives a shard its run. A run works on one shard, and a shard gets one run, whatever happens;
/// `works_on` is what [`rows::linked`] says of the run.
pub fn link(
    tx: &mut Tx<'_>,
    shard: &Shard,
    run: RunId,
    works_on: Option<(Id, u32)>,
) -> Result<Shard, Stop> {
    if let Some((sharded, index)) = works_on {
        let message = format!("run {run} works on shard {index} of {sharded} already");
        return Err(Refusal::new(Code::Conflict, message).into());
    }
    if !shard.wants_run() {
        let (index, sharded) = (shard.index, shard.sharded);
        let message = format!("shard {index} of {sharded} was given its run already");
        return Err(Refusal::new(Code::Conflict, message).into());
    }
    let after = Shard {
        state: ShardState::Dispatched,
        run: Some(run),
        dispatched_at: Some(tx.now()),
        error: None,
        ..shard.clone()
    };
    rows::link(tx, run, &after);
    save(tx, shard, &after);
    Ok(after)
}

/// A shard that must exist.
pub fn must_get(rows: &dyn Rows, sharded: Id, index: u32) -> Result<Shard, Fault> {
    rows::get(rows, sharded, index)?
        .ok_or_else(|| Fault::Corrupt(format!("shard {index} of {sharded} has no row")))
}

/// A sharded run that must exist.
pub fn must_get_head(rows: &dyn Rows, id: Id) -> Result<ShardedRun, Stop> {
    Ok(heads::get(rows, id)?.ok_or_else(|| not_found(&id.to_string()))?)
}

pub fn not_found(id: &str) -> Refusal {
    let id = crate::base::text::quote(id);
    Refusal::new(Code::ShardedRunNotFound, format!("no sharded run {id}"))
}

/// Sets the phase of a sharded run whose pass is over, by what is still open; the caller writes it.
pub fn settle_phase(tx: &Tx<'_>, head: &mut ShardedRun) -> Result<(), Fault> {
    let all_final = tx.counter(&count::shards_open(head.id))? == 0;
    head.phase = head.phase_after_pass(all_final);
    head.finished_at = (head.phase == Phase::Finished).then(|| tx.now());
    Ok(())
}
