//! Floor 5, the duties: what Tidegate does by itself, without being asked.

pub mod alerts;
pub mod backup;
pub mod batches;
pub mod dispatch;
pub mod drain;
pub mod fleet;
pub mod jobs;
pub mod monitor;
pub mod pace;
pub mod purge;
pub mod retain;
pub mod shards;
pub mod sweep;
