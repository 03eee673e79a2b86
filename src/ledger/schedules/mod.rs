//! Schedules: [`set`] changes them, [`turn`] begins their windows and gives orgs their runs when
//! the timer fires, [`make`] is what one org gets, [`told`] is what callers see.
//!
//! A window belongs to a schedule once: [`save`] holds that progress never goes back. An org gets
//! its run in the transaction that writes its slot, so there is none without the other.

pub mod make;
pub mod save;
pub mod set;
pub mod told;
pub mod turn;

#[cfg(test)]
mod tests;
