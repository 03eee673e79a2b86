//! Batches: all of their runs or none.
//!
//! A batch is created in slices, so that no commit is long: its items are staged where nobody looks,
//! one commit seals it, and then the runs are made, slice after slice. Up to the seal whatever breaks
//! off is cleared away; from the seal on the work is always ended, by its caller or by a duty. A small
//! batch goes through all of it within one commit.
//!
//! [`finish`] is told of every run that moves by `runs::save`, and is the only one that writes when a
//! batch is done.

pub mod cancel;
pub mod create;
pub mod discard;
pub mod finish;
pub mod make;

#[cfg(test)]
mod tests;

use crate::base::id::Id;
use crate::base::text::quote;
use crate::model::batch::Batch;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::batch as batches;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Items that one commit stages, makes, cancels or clears away.
pub const SLICE: usize = 250;

/// A batch that everybody may see.
pub fn find(rows: &dyn Rows, id: Id) -> Result<Option<Batch>, Fault> {
    Ok(batches::get(rows, id)?.filter(|batch| batch.sealed_at.is_some()))
}

/// A batch that must be there.
pub fn must_find(rows: &dyn Rows, id: Id) -> Result<Batch, Stop> {
    Ok(find(rows, id)?.ok_or_else(|| not_found(&id.to_string()))?)
}

pub fn not_found(id: &str) -> Refusal {
    Refusal::new(Code::BatchNotFound, format!("no batch {}", quote(id)))
}

/// A slice of whatever is to be done for a batch that nobody creates any more; true when there may be
/// more.
pub fn go_on(tx: &mut Tx<'_>, id: Id, limit: usize) -> Result<bool, Stop> {
    let Some(batch) = batches::get(tx, id)? else { return Ok(false) };
    if batch.sealed_at.is_none() {
        return discard::discard(tx, id, limit);
    }
    if !batch.is_whole() {
        make::make(tx, id, limit)?;
        return Ok(true);
    }
    cancel::go_on(tx, id, limit)
}

/// A head that was read in this very command.
fn still(rows: &dyn Rows, id: Id) -> Result<Batch, Fault> {
    batches::get(rows, id)?
        .ok_or_else(|| Fault::Corrupt(format!("batch {id} went away within one command")))
}
