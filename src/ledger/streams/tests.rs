//! Rules of streams, under the numbers that the specification gives them.

mod hand_over;
mod lost;
mod trim;
