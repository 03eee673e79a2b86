//! The burst buffer: runs that are taken at once and become real later.

pub mod settings;
