//! One file per kind of row: its key, its bytes, and the value that the floors above see.

pub mod attempt;
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
pub mod group;
pub mod idem;
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

/// A name that was checked when it was written.
fn name(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::Corrupt(format!("a row holds the name {text:?}")))
}

/// A number that stands for a word.
fn word<T>(found: Option<T>, what: &str, number: u8) -> Result<T, Fault> {
    found.ok_or_else(|| Fault::Corrupt(format!("a row holds {number} as its {what}")))
}
