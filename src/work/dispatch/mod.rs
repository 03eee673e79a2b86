//! Dispatch: carrying runs to their agents over HTTP.

pub mod clock;
pub mod core;
pub mod deliver;
pub mod driver;
pub mod resolver;
pub mod sender;
