//! Making the runs of a sealed batch: a slice of them in one transaction.

use crate::base::id::{Id, RunId};
use crate::ledger::buffer::accept::{keep, size_of};
use crate::ledger::outbox;
use crate::ledger::runs::save;
use crate::ledger::runs::submit::arrive;
use crate::model::batch::Batch;
use crate::model::run::Run;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{batch as batches, run as run_rows};
use crate::store::tx::Tx;

/// Code of a run that could not be made with its batch.
pub const BATCH_FAILED: &str = "batch_failed";

/// Makes the next runs, at most `limit`; true when there are more.
///
/// Nobody can be refused any more: a run that cannot be what was asked for ends with the reason.
pub fn make(tx: &mut Tx<'_>, id: Id, limit: usize) -> Result<bool, Stop> {
    let batch = super::must_find(tx, id)?;
    if batch.is_whole() {
        return Ok(false);
    }
    let items = batches::items(tx, id, batch.made, limit)?;
    let Some(last) = items.last() else {
        return Err(Fault::Corrupt(format!("batch {id} has no item {}", batch.made)).into());
    };
    let made = last.index + 1;
    for item in items.iter().filter(|item| item.own) {
        make_one(tx, &batch, item.run)?;
    }
    // Read anew: what its runs did may have changed it.
    let mut batch = super::still(tx, id)?;
    batch.made = made;
    batches::put(tx, &batch);
    super::finish::check(tx, id)?;
    Ok(!batch.is_whole())
}

fn make_one(tx: &mut Tx<'_>, batch: &Batch, id: RunId) -> Result<(), Stop> {
    let Some(mut run) = batches::staged(tx, id)? else {
        return Err(Fault::Corrupt(format!("run {id} of batch {} is not staged", batch.id)).into());
    };
    batches::unstage(tx, id);
    if batch.buffered {
        run.buffered = true;
        let bytes = size_of(&run_rows::body(tx, id)?);
        keep(tx, run, bytes);
        return Ok(());
    }
    save::create(tx, &run);
    match tx.attempt(|tx| enter(tx, &run))? {
        Ok(()) => Ok(()),
        Err(why) => {
            let message = format!("it could not be made: {}: {}", why.code.as_str(), why.message);
            save::break_off(tx, &run, BATCH_FAILED, message)
        }
    }
}

fn enter(tx: &mut Tx<'_>, before: &Run) -> Result<(), Stop> {
    let mut run = before.clone();
    let row = arrive(tx, &mut run)?;
    if run != *before {
        save::save(tx, before, &run)?;
    }
    if row.is_some() {
        outbox::save::save(tx, None, row.as_ref())?;
    }
    Ok(())
}
