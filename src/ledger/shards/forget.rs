//! What is old goes: first the runs, of which shards and what was delivered stay without the link,
//! then the sharded run itself.

use crate::base::id::RunId;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::{Phase, Shard, ShardedRun};
use crate::store::fault::Stop;
use crate::store::kinds::{run as run_rows, shard as rows, sharded as heads};
use crate::store::tx::Tx;

use super::{plan, save};

/// Takes the link from a shard to a run that is about to be removed; gives whether there was one.
/// Called in the transaction that removes the run. The shard keeps when it was dispatched, so that
/// it is never taken for one that has still to get its run.
pub fn forget_run(tx: &mut Tx<'_>, id: RunId) -> Result<bool, Stop> {
    let Some((sharded, index)) = rows::of_run(tx, id)? else { return Ok(false) };
    let before = save::must_get(tx, sharded, index)?;
    let mut after = Shard { run: None, ..before.clone() };
    if let Some(run) = run_rows::get(tx, id)? {
        if !run.status.is_final() {
            let status = run.status.as_str();
            let message = format!("a run that is `{status}` cannot be forgotten");
            return Err(Refusal::new(Code::NotAllowedInState, message).into());
        }
        after.ended = Some(run.status);
    }
    rows::unlink(tx, id);
    save::save(tx, &before, &after);
    Ok(true)
}

/// Takes a sharded run that is over, and of whose runs none is left, out of sight: its window and key
/// are free, and [`plan::discard`] removes what is left of it, as it does of a plan given up.
pub fn retire(tx: &mut Tx<'_>, head: ShardedRun) -> Result<(), Stop> {
    let of = plan::plan_of(&head);
    for unique in of.uniques() {
        heads::unbind(tx, unique, head.id)?;
    }
    heads::remove(tx, head.id);
    heads::put(tx, &ShardedRun { phase: Phase::Planning, next: head.shards, ..head });
    tx.notify(Notice::Page);
    Ok(())
}
