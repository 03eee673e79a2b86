//! What holds runs together, once it is over and its last run has gone: batches, sharded runs.
//!
//! A group stays for as long as one of its runs does, whatever its own age: a run that is revived
//! moves the group's counters. When it goes, one transaction takes it out of sight and gives it to
//! the duty that clears away what was never completed, so that no commit is long.

use crate::base::id::Id;
use crate::base::time::Time;
use crate::ledger::{batches, shards};
use crate::model::batch::Batch;
use crate::model::retention::Retention;
use crate::model::shard::{Phase, ShardedRun};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{batch as batch_rows, run as run_rows, shard as shard_rows, sharded};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Heads that one look reads, and groups that one slice takes out of sight.
const HEADS_MAX: usize = 128;
const GROUPS_MAX: usize = 16;
/// Members that are read at a time, to find one that is still there.
const MEMBERS_READ: usize = 500;

/// Where a round stands with the groups of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    after: Option<Id>,
    pub done: bool,
}

/// Groups that may go, and when they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DueGroups {
    pub batches: Vec<(Id, Time)>,
    pub sharded: Vec<(Id, Time)>,
}

impl DueGroups {
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.sharded.is_empty()
    }
}

/// Finds batches whose time is over.
pub(super) fn look_at_batches(
    view: &dyn Rows,
    now: Time,
    kept: &Retention,
    place: &mut Place,
) -> Result<Vec<(Id, Time)>, Fault> {
    let old = now.minus(kept.batches);
    let heads = batch_rows::created_before(view, old, place.after, HEADS_MAX)?;
    let heads = heads.into_iter().map(|batch| (batch.id, batch.finished_at, batch));
    pick(heads, old, place, |batch| Ok(!batch.has_work() && !has_run(view, batch)?))
}

/// Finds sharded runs whose time is over.
pub(super) fn look_at_sharded(
    view: &dyn Rows,
    now: Time,
    kept: &Retention,
    place: &mut Place,
) -> Result<Vec<(Id, Time)>, Fault> {
    let old = now.minus(kept.sharded_runs);
    let heads = sharded::created_before(view, old, place.after, HEADS_MAX)?;
    let heads = heads.into_iter().map(|head| (head.id, head.finished_at, head));
    pick(heads, old, place, |head| Ok(!has_linked_run(view, head)?))
}

/// Those of the next heads that ended before `old` and may go; moves the place on.
fn pick<T>(
    heads: impl ExactSizeIterator<Item = (Id, Option<Time>, T)>,
    old: Time,
    place: &mut Place,
    may_go: impl Fn(&T) -> Result<bool, Fault>,
) -> Result<Vec<(Id, Time)>, Fault> {
    let all = heads.len() < HEADS_MAX;
    let mut due = Vec::new();
    for (id, finished_at, head) in heads {
        if due.len() == GROUPS_MAX {
            return Ok(due);
        }
        place.after = Some(id);
        if let Some(at) = finished_at.filter(|at| *at <= old)
            && may_go(&head)?
        {
            due.push((id, at));
        }
    }
    place.done = all;
    Ok(due)
}

/// Whether a run that the batch made is still there.
fn has_run(view: &dyn Rows, batch: &Batch) -> Result<bool, Fault> {
    any_of_last_first(batch.items, |from, count| {
        for item in batch_rows::items(view, batch.id, from, count)?.iter().rev() {
            if item.own && run_rows::exists(view, item.run)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// Whether a shard still has its run.
fn has_linked_run(view: &dyn Rows, head: &ShardedRun) -> Result<bool, Fault> {
    any_of_last_first(head.shards, |from, count| {
        let shards = shard_rows::list(view, head.id, from, count)?;
        Ok(shards.iter().any(|shard| shard.run.is_some()))
    })
}

/// Whether any of `count` members is still there, by parts of an index and a number. The youngest
/// goes last, so the last part is asked first.
fn any_of_last_first(
    count: u32,
    is_there: impl Fn(u32, usize) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let mut upto = count;
    while upto > 0 {
        let from = upto.saturating_sub(MEMBERS_READ as u32);
        if is_there(from, (upto - from) as usize)? {
            return Ok(true);
        }
        upto = from;
    }
    Ok(false)
}

/// Takes what was found out of sight, if nothing became of it since. A run that is gone does not
/// come back, so nobody counts its siblings here again.
pub(super) fn retire(tx: &mut Tx<'_>, due: &DueGroups) -> Result<(u64, u64), Stop> {
    let (mut batches_gone, mut sharded_gone) = (0, 0);
    for (id, ended) in &due.batches {
        let batch = batch_rows::get(tx, *id)?.filter(|batch| batch.finished_at == Some(*ended));
        if let Some(batch) = batch {
            batches::discard::retire(tx, batch)?;
            batches_gone += 1;
        }
    }
    for (id, ended) in &due.sharded {
        let head = sharded::get(tx, *id)?.filter(|head| head.finished_at == Some(*ended));
        if let Some(head) = head.filter(|head| head.phase == Phase::Finished) {
            shards::forget::retire(tx, head)?;
            sharded_gone += 1;
        }
    }
    Ok((batches_gone, sharded_gone))
}
