//! Sharded runs: a large piece of work that is cut into shards, of which each is one run.
//!
//! ```text
//!  a sharded run   dispatching --every shard has its run--> running --all runs final--> finished
//!                    ^     |--a pass ended, some have none--> incomplete
//!                    +--resume--------------------------------------+
//!
//!  a shard         planned --its run is made--> dispatched --result, or its run completed--> delivered
//!                                                   |--error, or its run ended otherwise--> failed
//! ```
//! A valid delivery makes a failed shard delivered, and nothing else clears the error of one that
//! was delivered. A run that fails and is revived takes back what its end had said of the shard.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::words::words;

use super::run::Status;

/// Items of a shard unless request or task say otherwise.
pub const SHARD_SIZE_DEFAULT: u32 = 5;
/// Most items of a shard.
pub const SHARD_SIZE_MAX: u32 = 10_000;
/// Most items of a sharded run.
pub const ITEMS_MAX: usize = 500_000;
/// Most shards of a sharded run.
pub const SHARDS_MAX: usize = 100_000;
/// How deep an item may be nested.
pub const ITEM_DEPTH_MAX: usize = 100;

/// Where a sharded run stands. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Its plan is being written; nobody sees it yet.
    Planning = 1,
    /// Shards are given their runs.
    Dispatching = 2,
    /// Some shards could not be given theirs; a resume tries these again.
    Incomplete = 3,
    /// Every shard has its run, and some of these are not final.
    Running = 4,
    /// Every shard has its run, and all of these are final.
    Finished = 5,
}

/// Where a shard stands. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ShardState {
    /// It waits for its run.
    Planned = 1,
    /// Its run was made; nothing is known of its result.
    Dispatched = 2,
    /// Its result is there.
    Delivered = 3,
    /// Its agent delivered an error, or its run ended without a result.
    Failed = 4,
}

words!(Phase {
    Planning "planning",
    Dispatching "dispatching",
    Incomplete "incomplete",
    Running "running",
    Finished "finished"
});
words!(ShardState {
    Planned "planned",
    Dispatched "dispatched",
    Delivered "delivered",
    Failed "failed"
});

/// What went wrong with a shard, or with a sharded run as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardError {
    /// What kind of error it is: one of the constants of this type, or a text of a later version.
    pub kind: String,
    /// The code that its agent, its run or the refusal gave; any text.
    pub code: String,
    pub message: String,
}

impl ShardError {
    /// Runs could not be made.
    pub const DISPATCH: &str = "shard_dispatch_failed";
    /// What was planned cannot be read.
    pub const PLAN: &str = "invalid_shard_plan";
    /// An agent delivered an error, or a result that is none.
    pub const DELIVERY: &str = "shard_delivery_failed";
    /// The run of the shard ended without a result.
    pub const RUN: &str = "shard_run_failed";

    pub fn new(kind: &str, code: &str, message: impl Into<String>) -> ShardError {
        ShardError { kind: kind.to_owned(), code: code.to_owned(), message: message.into() }
    }

    /// What stands on the whole while some shards have no run.
    pub fn partial(held: u32, shards: u32) -> ShardError {
        let message = format!("{held} of {shards} shards failed to dispatch");
        ShardError::new(ShardError::DISPATCH, ShardError::DISPATCH, message)
    }
}

/// What the runs of all shards are given alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub tags: Vec<String>,
    pub priority: i8,
    pub ttl: Option<Span>,
    pub max_attempts: Option<u32>,
    pub concurrency_key: Option<String>,
}

/// A sharded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedRun {
    pub id: Id,
    pub phase: Phase,
    pub task: Name,
    pub org: Name,
    pub env: Name,
    pub created_at: Time,
    pub finished_at: Option<Time>,
    /// How many items, and in how many shards of at most which size.
    pub items: u32,
    pub shards: u32,
    pub shard_size: u32,
    /// There is one for each window of its task, or of its schedule.
    pub window: Option<String>,
    pub schedule: Option<String>,
    pub idempotency_key: Option<String>,
    /// Of task and items.
    pub fingerprint: u64,
    pub wishes: Wishes,
    /// The first shard that was not planned, or, once all are, that dispatch never came to.
    pub next: u32,
    /// A resume tries held shards again from this one on.
    pub retry_from: Option<u32>,
    /// Shards that could not be given their run.
    pub held: u32,
    /// Of the whole: set by dispatch, cleared once every shard has its run.
    pub error: Option<ShardError>,
}

impl ShardedRun {
    /// What dispatch has come to, when it has nothing more to try.
    pub fn phase_after_pass(&self, all_final: bool) -> Phase {
        match (self.held, all_final) {
            (0, true) => Phase::Finished,
            (0, false) => Phase::Running,
            (_, _) => Phase::Incomplete,
        }
    }
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub sharded: Id,
    pub index: u32,
    /// Its items.
    pub size: u32,
    pub state: ShardState,
    /// The id that its run is given. What the run is to work on is kept under it from the plan on,
    /// so that dispatch need not write that again.
    pub planned_run: RunId,
    /// Its run; none before it is dispatched, and none once the run is forgotten.
    pub run: Option<RunId>,
    /// Set with its run and never taken back: a shard without a run that has this was dispatched.
    pub dispatched_at: Option<Time>,
    pub error: Option<ShardError>,
    /// How its run ended, once that is forgotten.
    pub ended: Option<Status>,
}

impl Shard {
    /// It has no run and never had one.
    pub fn wants_run(&self) -> bool {
        self.state == ShardState::Planned && self.run.is_none() && self.dispatched_at.is_none()
    }

    /// Its run could not be made: only a resume tries it again.
    pub fn is_held(&self) -> bool {
        self.wants_run() && self.error.is_some()
    }
}

/// What an agent delivered under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What kind of thing it is, in the agent's words.
    pub kind: String,
    /// Which one of its kind.
    pub key: String,
    pub at: Time,
    /// JSON text; also kept of a delivery that is not valid.
    pub result: Option<Vec<u8>>,
    /// Why it is no valid result.
    pub error: Option<ShardError>,
}

impl Delivered {
    pub fn is_valid(&self) -> bool {
        self.error.is_none()
    }
}

/// Sizes of the shards of `items` items, in order. A size below 1 counts as 1: there is never one
/// giant shard.
pub fn sizes(items: usize, shard_size: u32) -> impl Iterator<Item = usize> {
    let size = shard_size.max(1) as usize;
    (0..items.div_ceil(size)).map(move |shard| size.min(items - shard * size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a30_chunks_are_in_order_and_never_giant() {
        let sizes = |items, size| sizes(items, size).collect::<Vec<_>>();
        assert_eq!(sizes(15, 5), [5, 5, 5]);
        assert_eq!(sizes(3, 2), [2, 1]);
        assert_eq!(sizes(3, 3), [3]);
        assert_eq!(sizes(3, 100), [3]);
        assert_eq!(sizes(3, 0), [1, 1, 1]);
        assert_eq!(sizes(0, 5), [0; 0]);
        assert_eq!(sizes(0, 0), [0; 0]);
    }

    #[test]
    fn words_and_numbers_go_both_ways() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(*phase));
            assert_eq!(Phase::from_number(*phase as u8), Some(*phase));
        }
        for state in ShardState::ALL {
            assert_eq!(ShardState::parse(state.as_str()), Some(*state));
            assert_eq!(ShardState::from_number(*state as u8), Some(*state));
        }
    }
}
