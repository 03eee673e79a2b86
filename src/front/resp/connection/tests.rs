//! Whole conversations over sockets, in the bytes that clients see.

mod bad_input;
mod blocking;
mod handshakes;
mod transactions;
