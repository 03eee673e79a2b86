//! Floor 3: when things become durable. Knows transactions, knows no act.

pub mod batch;
pub mod gauges;
pub mod handle;
pub mod hub;
mod linger;
pub mod parked;
pub mod timings;
pub mod writer;
