//! The HTTP door.

pub mod deadline;
pub mod server;
