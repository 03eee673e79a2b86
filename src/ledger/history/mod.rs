//! History: a tick writes one row, an hour that is over is packed by series, what is old goes.
//!
//! Each series has a row an hour with its ticks, and rows a day with steps of five minutes and of an
//! hour; so any window is answered out of a few rows, whatever its length. Packing an hour goes in
//! slices of [`SERIES_AT_ONCE`] series; how far it is stands in the store, and a slice and that mark
//! are one commit: a crash anywhere loses and doubles nothing.

pub mod ask;
pub mod forget;
pub mod pack;
pub mod tick;

#[cfg(test)]
mod tests;

/// Series that one slice packs.
pub const SERIES_AT_ONCE: usize = 128;
/// Series of values that one tick may bring.
pub const VALUES_MAX: usize = 6_000;
/// Series of lengths of time that one tick may bring, of each scope; the others are told together.
pub const TIMES_MAX: usize = 1_000;
/// Series that are known at once. Beyond them new ones are not kept.
pub const KNOWN_MAX: u32 = 50_000;
/// The name of all that came beyond [`TIMES_MAX`]; no task is called so.
pub const OTHERS: &str = "(other)";
