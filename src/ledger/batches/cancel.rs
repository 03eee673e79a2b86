//! Canceling what is left of a batch, slice by slice: the request is kept, and a duty goes on with it
//! until every run was looked at.

use crate::base::id::Id;
use crate::ledger::runs::cancel::cancel;
use crate::model::batch::{Batch, Cancel};
use crate::model::run::Status;
use crate::store::fault::Stop;
use crate::store::kinds::{batch as batches, run as run_rows};
use crate::store::tx::Tx;

/// Who acts for the request, slice after slice.
const BY: &str = "batch";

/// Keeps the request and does a first slice. While one is under way, and when nothing is open, it
/// changes nothing.
pub fn request(
    tx: &mut Tx<'_>,
    id: Id,
    reason: Option<String>,
    by: &str,
    limit: usize,
) -> Result<Batch, Stop> {
    let mut batch = super::must_find(tx, id)?;
    let under_way = batch.cancel.as_ref().is_some_and(|cancel| cancel.ended_at.is_none());
    if batch.is_done() || under_way {
        return Ok(batch);
    }
    let (requested_at, by) = (tx.now(), by.to_owned());
    batch.cancel = Some(Cancel { requested_at, reason, by, next: 0, canceled: 0, ended_at: None });
    batches::put(tx, &batch);
    go_on(tx, id, limit)?;
    super::must_find(tx, id)
}

/// Cancels the next runs, looking at `limit` items at most; true when there are more. Runs that are
/// still to be made are waited for.
pub fn go_on(tx: &mut Tx<'_>, id: Id, limit: usize) -> Result<bool, Stop> {
    let batch = super::must_find(tx, id)?;
    let Some(job) = batch.cancel.filter(|cancel| cancel.ended_at.is_none()) else {
        return Ok(false);
    };
    let items = batches::items(tx, id, job.next, limit)?;
    let reason = Some(job.reason.unwrap_or_else(|| "its batch was canceled".to_owned()));
    let (mut next, mut canceled) = (job.next, 0);
    for item in items.iter().filter(|item| item.index < batch.made) {
        next = item.index + 1;
        if !item.own {
            continue;
        }
        let Some(run) = run_rows::get(tx, item.run)? else { continue };
        if !run.status.is_final() && run.status != Status::Canceling {
            cancel(tx, item.run, reason.clone(), BY)?;
            canceled += 1;
        }
    }
    // Read anew: the end of its last run may have changed it.
    let (mut batch, now) = (super::still(tx, id)?, tx.now());
    let (items, whole) = (batch.items, batch.is_whole());
    let mut more = false;
    if let Some(job) = &mut batch.cancel {
        job.next = next;
        job.canceled += canceled;
        job.ended_at = (whole && next == items).then_some(now);
        more = job.ended_at.is_none();
    }
    batches::put(tx, &batch);
    Ok(more)
}
