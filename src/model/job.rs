//! A bulk job: one action on every run that matched a filter when it was counted.
//!
//! ```text
//! counting --> running --> done           the set is fixed by counting, then acted on
//! counting --> counted --> running        a dry run; confirmed in time it goes on with the same set
//!              counted --> done           not confirmed in time: the set is forgotten
//! counting | counted | running --> canceled
//! ```

use serde::{Deserialize, Serialize};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;

use super::words::words;

/// What is done to each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    Cancel = 1,
    /// A fresh run with the same input.
    Replay = 2,
    /// A new series of attempts for the dead letter of a failed run.
    Retry = 3,
}

words!(Action { Cancel "cancel", Replay "replay", Retry "retry" });

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum JobState {
    Counting = 1,
    /// A dry run whose set is kept for a while, so that it can be confirmed.
    Counted = 2,
    Running = 3,
    Done = 4,
    Canceled = 5,
}

words!(JobState {
    Counting "counting",
    Counted "counted",
    Running "running",
    Done "done",
    Canceled "canceled",
});

impl JobState {
    pub fn is_over(self) -> bool {
        matches!(self, JobState::Done | JobState::Canceled)
    }
}

/// Which runs, in the words of `GET /v1/runs`; what is not given does not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Any of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Words that must all occur.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A run on which the action failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    pub run: RunId,
    pub code: String,
    pub message: String,
}

/// A bulk job. Its id is also the upper bound of its runs: later ones are not in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: Id,
    pub action: Action,
    pub conditions: Conditions,
    pub dry_run: bool,
    pub state: JobState,
    /// Who asked: `api` or `operator`.
    pub by: String,
    pub created_at: Time,
    /// When the set was complete.
    pub counted_at: Option<Time>,
    pub finished_at: Option<Time>,
    /// The last run that counting looked at.
    pub cursor: Option<RunId>,
    /// Runs in the set; final once it is counted.
    pub matched: u64,
    pub done: u64,
    /// Runs of the set that did not fit any more when their turn came.
    pub skipped: u64,
    pub failed: u64,
    /// More runs match than one job takes.
    pub more: bool,
    /// The first ones.
    pub errors: Vec<JobError>,
}

impl Job {
    /// Runs that are still to be acted on.
    pub fn left(&self) -> u64 {
        self.matched.saturating_sub(self.done + self.skipped + self.failed)
    }
}
