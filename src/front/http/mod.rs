//! The HTTP door: accept loop, routes, a file per resource, and what all of them share.

pub mod body;
pub mod deadline;
pub mod describe;
pub mod door;
pub mod endpoints;
pub mod error;
pub mod fleet;
pub mod health;
pub mod host;
pub mod live;
pub mod outbox;
pub mod path;
pub mod query;
pub mod router;
pub mod run_json;
pub mod runs;
pub mod runs_create;
pub mod server;
pub mod state;
pub mod status;
pub mod table;
pub mod tasks;
