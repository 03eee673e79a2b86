//! A run of a shard changed its status: its shard and the whole follow in the same transaction.

use crate::model::notice::Notice;
use crate::model::run::{Run, Status};
use crate::model::shard::{Phase, Shard, ShardError, ShardState};
use crate::store::fault::Stop;
use crate::store::kinds::{count, sharded as heads};
use crate::store::tx::Tx;

use super::save;

/// Counts the run of a shard that was just made.
pub fn created(tx: &mut Tx<'_>, run: &Run) {
    if let Some((sharded, _)) = run.shard {
        tx.count(count::sharded_runs(sharded, run.status), 1);
    }
}

/// A run went from one status to another.
pub fn moved(tx: &mut Tx<'_>, from: Status, run: &Run) -> Result<(), Stop> {
    let Some((sharded, index)) = run.shard else { return Ok(()) };
    tx.count(count::sharded_runs(sharded, from), -1);
    tx.count(count::sharded_runs(sharded, run.status), 1);
    if from.is_final() == run.status.is_final() {
        return Ok(());
    }
    let before = save::must_get(tx, sharded, index)?;
    let after = if run.status.is_final() { ended(&before, run) } else { revived(&before) };
    if after != before {
        save::save(tx, &before, &after);
    }
    let ends = if run.status.is_final() { -1 } else { 1 };
    tx.count(count::shards_open(sharded), ends);
    let open = tx.counter(&count::shards_open(sharded))?;
    let mut head = save::must_get_head(tx, sharded)?;
    let is_over = open == 0 && head.phase == Phase::Running;
    if is_over || head.phase == Phase::Finished {
        save::settle_phase(tx, &mut head)?;
        heads::put(tx, &head);
        tx.notify(Notice::Page);
    }
    Ok(())
}

/// What the end of its run says of a shard of which nothing was delivered.
fn ended(shard: &Shard, run: &Run) -> Shard {
    if shard.state != ShardState::Dispatched {
        return shard.clone();
    }
    if run.status == Status::Completed {
        return Shard { state: ShardState::Delivered, ..shard.clone() };
    }
    let status = run.status.as_str();
    let (code, message) = match &run.error {
        Some(error) => {
            let text = format!("its run ended as `{status}`: {}", error.message);
            (error.code.as_str(), text)
        }
        None => (status, format!("its run ended as `{status}`")),
    };
    let error = ShardError::new(ShardError::RUN, code, message);
    Shard { state: ShardState::Failed, error: Some(error), ..shard.clone() }
}

/// A run that is tried again takes back what its end had said; what was delivered stays.
fn revived(shard: &Shard) -> Shard {
    match &shard.error {
        Some(error) if error.kind == ShardError::RUN => {
            Shard { state: ShardState::Dispatched, error: None, ..shard.clone() }
        }
        Some(_) | None => shard.clone(),
    }
}
