//! The whole appliance over real HTTP, with real receivers: what its callers and operators see.
//!
//! `world.rs` starts an appliance inside the test, `receiver.rs` is an agent that does what a test
//! tells it, `process.rs` starts the real binary where a test has to kill one, `clients.rs` runs
//! the scripts in other languages.

#![expect(clippy::unwrap_used, reason = "a test that meets something else than it expects ends")]

mod access;
mod alerts;
mod backups;
mod bad_input;
mod batches;
mod beside;
mod buffer;
mod buffer_settings;
mod clients;
mod clock;
mod damage;
mod dead_letters;
mod delivery;
mod endpoints;
mod faults;
mod fuzz_frames;
mod history;
mod history_load;
mod intruders;
mod jobs;
mod kill;
mod outcomes;
mod pages;
mod poll;
mod process;
mod receiver;
mod reload;
mod retention;
mod runs;
mod runs_keys;
mod schedules;
mod shards;
mod slowloris;
mod store;
mod streams;
mod sync;
mod systemd;
mod tls;
mod trace;
mod world;
