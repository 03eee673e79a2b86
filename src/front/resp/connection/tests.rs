//! Whole conversations over sockets, in the bytes that clients see.

mod access;
mod bad_input;
mod blocking;
mod handshakes;
mod transactions;
mod words;
