//! Tokens, users, sessions, and the audit log of what was changed.

pub mod audit;
pub mod sessions;
pub mod tokens;
pub mod users;

#[cfg(test)]
mod tests;
