//! Broken promises of the store, and how an act stops.

use crate::model::refusal::Refusal;

/// A broken promise: closes the engine, never an answer that can be relied on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("the store could not be read or written: {0}")]
    Io(String),
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("{0} was written by a newer version of tidegate")]
    Newer(String),
    #[error("the store is closed")]
    Closed,
    #[error("a command broke an invariant: {0}")]
    Panicked(String),
}

/// Why an act ended early: an expected no, or a broken promise. `?` serves both.
#[derive(Clone, Debug)]
pub enum Stop {
    Refused(Refusal),
    Failed(Fault),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Failed(fault)
    }
}
