//! Settings: built-in defaults, then one TOML file, then the environment, then flags.

pub mod alerts;
pub mod effective;
pub mod load;
pub mod origins;
pub mod settings;
