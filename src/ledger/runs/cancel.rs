//! Cancelling: at once while it waits, as soon as the attempt reports back while one is out.

use crate::base::id::RunId;
use crate::ledger::outbox;
use crate::model::run::{Event, Run, Status};
use crate::store::fault::Stop;
use crate::store::tx::Tx;

use super::save;

/// Repeating it is harmless. `by` says who asked.
pub fn cancel(tx: &mut Tx<'_>, id: RunId, reason: Option<String>, by: &str) -> Result<Run, Stop> {
    let before = save::must_get(tx, id)?;
    let mut run = before.clone();
    run.step(Event::Cancel, tx.now()).map_err(save::refuse)?;
    if run.status == before.status {
        return Ok(before);
    }
    let what = if run.status == Status::Canceled { "canceled" } else { "cancel_requested" };
    save::note(tx, &mut run, what, reason.clone().unwrap_or_default(), by);
    run.cancel_reason = reason;
    if run.status.is_final() {
        outbox::save::withdraw(tx, run.id)?;
    }
    save::save(tx, &before, &run)?;
    Ok(run)
}
