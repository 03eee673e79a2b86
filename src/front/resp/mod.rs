//! The Redis door. So far its pure parts: bytes to requests, and replies to bytes.
//!
//! `frame` cuts requests out of what was read (`inline` those that a person typed), `request` walks
//! their arguments, `stream_id` and `number` read single ones, `reply` is what a command answers
//! and `writer` how that looks on the wire. None of them waits, or knows a socket or the store.

mod asked;
mod connection;
pub mod door;
mod encode;
pub mod frame;
mod info;
pub mod inline;
pub mod number;
mod parse;
pub mod reply;
pub mod request;
pub mod server;
mod session;
pub mod stream_id;
pub mod writer;
