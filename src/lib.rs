//! Tidegate: a run appliance.

pub mod app;
pub mod appliance;
pub mod base;
pub mod cli;
pub mod config;
pub mod engine;
pub mod front;
pub mod ledger;
pub mod model;
pub mod store;
pub mod work;
