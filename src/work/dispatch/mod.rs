//! Dispatch: carrying runs to their agents over HTTP.

pub mod address;
pub mod core;
pub mod guard;
pub mod sender;
