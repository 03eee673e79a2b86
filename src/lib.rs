//! Tidegate: a run appliance.

pub mod base;
pub mod front;
pub mod model;
