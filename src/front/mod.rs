//! Floor 5, the doors: how the outside asks for something.

pub mod http;
