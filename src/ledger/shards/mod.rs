//! Sharded runs: the whole plan first, then a run for each shard, then what is known of their
//! results.
//!
//! [`save`] writes shards with their counters; [`follow`] is called wherever a run changes its
//! status, so that shards and the whole always say what their runs say.

pub mod deliver;
pub mod dispatch;
pub mod follow;
pub mod forget;
pub mod plan;
pub mod save;
pub mod told;

#[cfg(test)]
mod tests;
