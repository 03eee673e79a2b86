//! One file per kind of row: its key, its bytes, and the value that the floors above see.

pub mod attempt;
pub mod backup;
pub mod batch;
pub mod buffer_settings;
pub mod buffer_sweep;
pub mod buffered;
pub mod callback;
pub mod count;
pub mod delivered;
pub mod due;
pub mod endpoint;
pub mod entry;
pub mod event;
pub mod follow_up;
pub mod group;
pub mod idem;
pub mod job;
pub mod key;
pub mod outbox;
pub mod pause;
pub mod pending;
pub mod ready;
pub mod round;
pub mod run;
pub mod run_index;
pub mod schedule;
pub mod shard;
pub mod sharded;
pub mod task;
pub mod worker;

#[cfg(test)]
mod golden;

use crate::base::name::Name;

use super::fault::Fault;
use super::rows::{Span, collect_keys};
use super::tx::Tx;

/// A name that was checked when it was written.
fn name(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::Corrupt(format!("a row holds the name {text:?}")))
}

/// Removes at most `limit` rows of `span`; gives how many.
pub fn remove_some(tx: &mut Tx<'_>, span: &Span, limit: usize) -> Result<usize, Fault> {
    let found = collect_keys(tx, span, limit)?;
    let count = found.len();
    for key in found {
        tx.remove_raw(key);
    }
    Ok(count)
}

/// A number that stands for a word.
fn word<T>(found: Option<T>, what: &str, number: u8) -> Result<T, Fault> {
    found.ok_or_else(|| Fault::Corrupt(format!("a row holds {number} as its {what}")))
}
