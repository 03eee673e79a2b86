//! The pages: view structs of plain data, their templates, and the files beside them.
//!
//! A page is one struct that derives [`askama::Template`]; `templates/` holds its text, with loops
//! and ifs only. Everything that needs thought (relative times, colours of states, geometry of
//! charts) is done here, in functions over plain values, so that a page can be rendered and looked
//! at without a store; `serve` fills the structs from the appliance and sends them.
//!
//! Rules of the house: askama escapes every value; no inline style or script, so that
//! [`assets::CONTENT_SECURITY_POLICY`] holds; every page works without scripts; forms post to page
//! paths (never to `/v1`) and are answered with a redirect to the path in their `back` field.

pub mod access;
pub mod alerts;
pub mod assets;
pub mod backups;
pub mod batches;
pub mod buffer;
pub mod chart;
pub mod configuration;
pub mod docs;
pub mod endpoints;
pub mod error;
mod filters;
pub mod heat;
pub mod history;
pub mod jobs;
pub mod json;
pub mod live;
pub mod manual;
pub mod names;
pub mod outbox;
pub mod overview;
pub mod parts;
pub mod run;
pub mod runs;
pub mod schedules;
mod serve;
pub mod sharded;
pub mod shell;
pub mod streams;
pub mod text;
mod unit;
pub mod workers;

pub use serve::oops::{before_opening, dress};
pub use serve::{PAGES, asset_routes, routes};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
