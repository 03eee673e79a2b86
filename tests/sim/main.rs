//! Simulation: one thread, one seed, and a disk that fails. Whatever goes wrong here goes wrong
//! again with the same seed.

mod disk;
mod power;
