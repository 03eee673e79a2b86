//! Acts on the outbox: claim, settle, timers, dead letters, pauses and endpoints.

pub mod claim;
pub mod endpoints;
pub mod fire;
pub mod outcome;
pub mod pauses;
pub mod revive;
pub mod save;
pub mod settle;
pub mod step_back;

#[cfg(test)]
mod tests;
