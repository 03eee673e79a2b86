//! Floor 3: one act per file, functions over `&mut Tx`. Folders are nouns, files are verbs.
//!
//! An act checks, then writes; when it refuses, whatever it wrote is dropped with its overlay.
//! `ask` holds the read-only questions, over any [`Rows`](crate::store::rows::Rows).

pub mod access;
pub mod alerts;
pub mod ask;
pub mod backups;
pub mod batches;
pub mod buffer;
pub mod fleet;
pub mod history;
pub mod jobs;
pub mod keys;
pub mod outbox;
pub mod retain;
pub mod runs;
pub mod schedules;
pub mod shards;
pub mod streams;
pub mod tasks;
pub mod verify;

#[cfg(test)]
pub(crate) mod testing;
