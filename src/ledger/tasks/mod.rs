//! Acts on tasks.

pub mod register;
