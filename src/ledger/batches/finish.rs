//! When a batch is done, and who hears of it.
//!
//! A counter holds how many runs of a batch are open. The transaction that brings it to nothing also
//! writes that the batch is done, the notice for people and the run that carries the callback; so a
//! crash can neither lose the callback nor send a second one.

use crate::base::id::Id;
use crate::ledger::runs::submit::{Submit, submit};
use crate::model::batch::Batch;
use crate::model::delivery::Line;
use crate::model::notice::Notice;
use crate::model::run::{Run, Status};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{batch as batches, count, event};
use crate::store::tx::Tx;

/// A run was saved: its batch may be done by that, or open again.
pub fn moved(tx: &mut Tx<'_>, before: &Run, after: &Run) -> Result<(), Stop> {
    let Some((batch, _)) = after.batch else { return Ok(()) };
    match (before.status.is_final(), after.status.is_final()) {
        (false, true) => check(tx, batch),
        (true, false) => reopen(tx, batch).map_err(Stop::from),
        (false, false) | (true, true) => Ok(()),
    }
}

/// Ends a batch of which nothing is open any more.
pub fn check(tx: &mut Tx<'_>, id: Id) -> Result<(), Stop> {
    if tx.counter(&count::batch_open(id))? > 0 {
        return Ok(());
    }
    let Some(mut batch) = batches::get(tx, id)?.filter(|batch| batch.is_whole()) else {
        return Ok(());
    };
    if batch.is_done() {
        return Ok(());
    }
    batch.finished_at = Some(tx.now());
    let counts = count::batch_statuses(tx, id)?;
    announce(tx, "batch_done", format!("{}: {}", about(&batch), in_words(&counts)));
    call_back(tx, &mut batch, &counts)?;
    batches::put(tx, &batch);
    tx.notify(Notice::Run(id));
    Ok(())
}

/// A run of it is tried again: it is not done after all. Whoever was called stays called.
fn reopen(tx: &mut Tx<'_>, id: Id) -> Result<(), Fault> {
    if let Some(mut batch) = batches::get(tx, id)?
        && batch.finished_at.take().is_some()
    {
        batches::put(tx, &batch);
        tx.notify(Notice::Run(id));
    }
    Ok(())
}

/// A run of it waits in the buffer, counted with status `from`, as bytes that nobody can read: it
/// will never be.
pub fn lost(tx: &mut Tx<'_>, id: Id, from: Status) -> Result<(), Stop> {
    count::move_batch(tx, id, Some(from), Some(Status::SystemFailure));
    check(tx, id)
}

/// Makes the run that carries the callback, if there is to be one and was none.
fn call_back(tx: &mut Tx<'_>, batch: &mut Batch, counts: &[(Status, u64)]) -> Result<(), Stop> {
    let payload = payload(batch, counts);
    let Some(callback) = &mut batch.callback else { return Ok(()) };
    if callback.is_over() {
        return Ok(());
    }
    let (task, org, env) = (callback.task.clone(), batch.org.clone(), batch.env.clone());
    let command = Submit::plain(task, org, env, Some(payload));
    match tx.attempt(|tx| submit(tx, command))? {
        Ok(receipt) => callback.run = Some(receipt.run.id),
        Err(refusal) => {
            callback.error = Some(refusal.to_string());
            let detail = format!("{} called nobody: {refusal}", about(batch));
            announce(tx, "batch_callback_failed", detail);
        }
    }
    Ok(())
}

/// What the callback says.
fn payload(batch: &Batch, counts: &[(Status, u64)]) -> Vec<u8> {
    let of = |status| counts.iter().find(|(found, _)| *found == status).map_or(0, |(_, n)| *n);
    let counts: serde_json::Map<_, _> = Status::ALL
        .map(|status| (status.as_str().to_owned(), of(status).into()))
        .into_iter()
        .collect();
    let Batch { id, org, env, total, created_at, finished_at, .. } = batch;
    let json = serde_json::json!({ "batch": {
        "id": id, "org": org.as_str(), "env": env.as_str(), "total": total, "counts": counts,
        "created_at": created_at, "finished_at": finished_at,
    } });
    json.to_string().into_bytes()
}

fn about(batch: &Batch) -> String {
    let Batch { id, org, env, total, .. } = batch;
    format!("batch {id} of `{org}/{env}` with {total} runs")
}

fn in_words(counts: &[(Status, u64)]) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(status, count)| format!("{count} {}", status.as_str())).collect();
    if parts.is_empty() { "all of them were there before".to_owned() } else { parts.join(", ") }
}

fn announce(tx: &mut Tx<'_>, what: &str, detail: String) {
    let (at, by) = (tx.now(), "tidegate".to_owned());
    event::announce(tx, &Line { at, what: what.to_owned(), detail, by, attempt: None });
}
