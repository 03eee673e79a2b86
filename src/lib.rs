//! Tidegate: a run appliance.

pub mod base;
pub mod model;
pub mod work;
