//! Floor 5, the duties: what Tidegate does by itself, without being asked.

pub mod dispatch;
pub mod drain;
pub mod fleet;
pub mod pulse;
pub mod purge;
pub mod shards;
pub mod sweep;
