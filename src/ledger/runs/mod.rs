//! Acts on runs. [`save`] keeps their indexes, counters and timers true; nothing else writes them.

pub mod absent;
pub mod callbacks;
pub mod cancel;
pub mod edit;
pub mod place;
pub mod pull;
pub mod replay;
pub mod report;
pub mod save;
pub mod submit;
pub mod told;

#[cfg(test)]
mod tests;
