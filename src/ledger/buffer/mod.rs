//! The burst buffer: runs that are accepted with a small append and made real later, in fair order.

pub mod accept;
pub mod drain;
pub mod rotate;
pub mod settings;
pub mod sweep;

#[cfg(test)]
mod tests;
