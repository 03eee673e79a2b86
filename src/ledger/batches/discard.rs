//! Clearing away a batch that nobody sees: its creation was refused or broke off, or it is long over.

use crate::base::id::{Id, RunId};
use crate::model::batch::Batch;
use crate::model::run::Status;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{batch as batches, count, idem, run as run_rows};
use crate::store::tx::Tx;

/// Removes some of its rows; true when there are more. A sealed batch is left alone.
pub fn discard(tx: &mut Tx<'_>, id: Id, limit: usize) -> Result<bool, Stop> {
    let Some(batch) = batches::get(tx, id)?.filter(|batch| batch.sealed_at.is_none()) else {
        return Ok(false);
    };
    let items = batches::items(tx, id, 0, limit)?;
    for item in &items {
        if item.own {
            discard_run(tx, item.run)?;
        }
        batches::remove_item(tx, id, *item);
    }
    if items.len() == limit {
        return Ok(true);
    }
    batches::remove(tx, &batch)?;
    Ok(false)
}

fn discard_run(tx: &mut Tx<'_>, id: RunId) -> Result<(), Fault> {
    let Some(run) = batches::staged(tx, id)? else { return Ok(()) };
    batches::unstage(tx, id);
    run_rows::remove_body(tx, id);
    if let Some(key) = &run.idempotency_key
        && idem::get(tx, &run.org, &run.env, key)?.is_some_and(|bound| bound.run == id)
    {
        idem::remove(tx, &run.org, &run.env, key);
    }
    Ok(())
}

/// Takes a batch that is over, and of whose runs none is left, out of sight: its key is free, and
/// what is left of it is cleared away like a batch that was never sealed.
pub fn retire(tx: &mut Tx<'_>, batch: Batch) -> Result<(), Fault> {
    batches::unbind(tx, &batch)?;
    count::clear(tx, Status::ALL.map(|status| count::batch(batch.id, status)))?;
    batches::put(tx, &Batch { sealed_at: None, finished_at: None, ..batch });
    Ok(())
}
