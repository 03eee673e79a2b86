//! The Redis door.
//!
//! Its pure parts: `frame` cuts requests out of what was read (`inline` those that a person typed),
//! `request` walks their arguments, `stream_id` and `number` read single ones, `parse` makes what
//! is `asked` of them, `encode` turns answers of the store into replies, `reply` is any other
//! answer, and `writer` how both look on the wire. None of them waits, or knows a socket.
//!
//! `needs` says which role each command takes.
//!
//! Around them: `server` takes connections, `connection` serves one over its `socket`, with what
//! its `session` knows and the `multi` that it queues; `door` is what all of them share.

mod asked;
mod connection;
pub mod door;
mod encode;
pub mod frame;
mod info;
pub mod inline;
mod multi;
mod needs;
pub mod number;
mod parse;
pub mod reply;
pub mod request;
pub mod server;
mod session;
mod socket;
pub mod stream_id;
#[cfg(test)]
mod world;
pub mod writer;
