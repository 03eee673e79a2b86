//! Alerts: the look that moves them, what becomes of their messages, and silences.
//!
//! State and message are one transaction: whoever is said to have been told has a message on its
//! way, whenever the process dies (29).

pub mod deliver;
pub mod look;
pub mod silences;

#[cfg(test)]
mod tests;

use crate::base::time::Span;

/// Lines of the history that are kept.
pub const LINES_KEPT: usize = 200;
/// Messages of a channel that wait, given up ones not counted; the oldest gives way.
pub const WAITING_MAX: usize = 500;
/// Messages of a channel that were given up and are still shown, and for how long.
pub const DEAD_KEPT: usize = 50;
pub const DEAD_AGE: Span = Span::from_days(30);
/// All messages of a channel.
pub const MESSAGES_MAX: usize = WAITING_MAX + DEAD_KEPT + 1;
/// Silences that are in force or to come; one more is refused.
pub const SILENCES_MAX: usize = 200;
