//! A batch: runs that were created together, with one state.
//!
//! ```text
//!  (staged, unsealed) --seal--> creating --last run made--> open <--revive-- done
//!          |                                                 +--last run ends--^
//!          +--crash, refusal--> nothing
//! ```
//! Before the seal nobody sees it, and whatever breaks off leaves nothing behind. From the seal on it
//! is bound to be made whole, also after a crash. It is done when every run of it has been made and
//! has ended; a run that is revived opens it again.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;

/// Most items of a batch.
pub const ITEMS_MAX: usize = 10_000;

/// The head of a batch. How many of its runs stand where is counted beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub id: Id,
    pub org: Name,
    pub env: Name,
    pub created_at: Time,
    /// From here on it exists for everybody.
    pub sealed_at: Option<Time>,
    /// When the last of its runs ended; none while one is open.
    pub finished_at: Option<Time>,
    /// What was asked for.
    pub items: u32,
    /// Items that were taken in so far.
    pub staged: u32,
    /// Of those, runs of its own: an item whose idempotency key is known stands for an earlier run.
    pub total: u32,
    /// What its runs count for in the burst buffer.
    pub bytes: u64,
    /// Its runs go through the burst buffer.
    pub buffered: bool,
    /// Items in front of this index have been made.
    pub made: u32,
    pub idempotency_key: Option<String>,
    pub fingerprint: u64,
    pub callback: Option<Callback>,
    pub cancel: Option<Cancel>,
}

/// Who hears when it is done, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    pub task: Name,
    /// The run that carries it; none until the batch was done for the first time.
    pub run: Option<RunId>,
    /// Why there could be no such run.
    pub error: Option<String>,
}

impl Callback {
    /// It was sent on its way, or never will be.
    pub fn is_over(&self) -> bool {
        self.run.is_some() || self.error.is_some()
    }
}

/// The cancellation of what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    pub requested_at: Time,
    pub reason: Option<String>,
    pub by: String,
    /// Items in front of this index were looked at.
    pub next: u32,
    /// Runs that it canceled, or asked to stop.
    pub canceled: u32,
    pub ended_at: Option<Time>,
}

impl Batch {
    /// Every run of it has been made.
    pub fn is_whole(&self) -> bool {
        self.sealed_at.is_some() && self.made == self.items
    }

    pub fn is_done(&self) -> bool {
        self.finished_at.is_some()
    }

    /// Something is left to do for it: to make its runs, to cancel them, or to clear it away.
    pub fn has_work(&self) -> bool {
        !self.is_whole() || self.cancel.as_ref().is_some_and(|cancel| cancel.ended_at.is_none())
    }
}
