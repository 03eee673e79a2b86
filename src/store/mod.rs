//! Floor 2: the only module that names redb and bincode.
//!
//! [`tables`] is the whole schema on a page; [`key`] and [`codec`] turn typed keys and rows into
//! bytes; [`rows`] is the one way to read; [`tx`] runs a command over an overlay of [`changes`];
//! [`memory`] and [`disk`] hold the rows: the latter makes a commit durable in its [`journal`] and
//! shows it, while `recent` has the rows until `keeper` put them into redb; `kinds` has one file per
//! kind of row.

mod apply;
pub mod backup;
pub mod changes;
pub mod codec;
pub mod disk;
pub mod fault;
pub mod journal;
mod keeper;
pub mod key;
pub mod kinds;
pub mod memory;
mod merged;
pub mod open;
mod pack;
mod recent;
pub mod restore;
pub mod rows;
mod syncs;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod tx;
mod upgrade;
mod view;
