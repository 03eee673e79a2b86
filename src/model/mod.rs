//! Floor 1: what things are and how they may change. No store, no I/O, no clock.

pub mod address;
pub mod backup;
pub mod batch;
pub mod breaker;
pub mod buffer;
pub mod cron;
pub mod delivery;
pub mod endpoint;
pub mod gate;
pub mod job;
pub mod notice;
pub mod outcome;
pub mod refusal;
pub mod retention;
pub mod retry;
pub mod retry_after;
pub mod run;
pub mod schedule;
pub mod shard;
pub mod signature;
pub mod stream;
pub mod target;
pub mod task;
mod words;
pub mod worker;
