//! What an answer of a receiver means: the whole outcome table of the outbox as one function.

use crate::base::id::Id;
use crate::base::time::Span;

/// What came back, or why nothing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A final HTTP status with at most the allowed number of body bytes.
    Response {
        status: u16,
        /// Raw `Retry-After`, when there was one.
        retry_after: Option<String>,
        /// Raw `Location`, when there was one.
        location: Option<String>,
        body: Vec<u8>,
        /// The body was longer than its limit; `body` holds the part that was read.
        over_limit: bool,
    },
    /// No usable response.
    Failure { kind: FailureKind, detail: String },
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name did not resolve.
    Dns,
    /// Refused, unreachable or reset.
    Connect,
    Tls,
    /// Connecting, or waiting for the whole response, took too long.
    Timeout,
    /// The address may not be called.
    Blocked,
    /// The other side broke HTTP.
    Protocol,
}

/// What is known when the table is asked.
#[derive(Clone, Debug)]
pub enum Case<'a> {
    /// Rows 1-9: before anything is sent.
    Before(&'a Before),
    /// Rows 10-25, 27, 29: an answer is here. `now_ms` reads a `Retry-After` given as a date;
    /// `conflicts` counts the earlier 409s of this delivery; `malformed` the earlier unusable 2xx
    /// and `malformed_max` how many of them may be retried (0 unless the task says otherwise).
    Answered { answer: &'a Answer, now_ms: i64, conflicts: u32, malformed: u32, malformed_max: u32 },
    /// Row 26: the id in a good answer belongs to another run.
    IdTaken { remote_id: i64, owner: Id, ours: Id },
    /// Row 28: the answer was good, but it could not be committed.
    CommitFailed,
    /// Row 30: attempts or age are used up.
    Exhausted { attempts: u32, last: &'a str },
}

/// Rows 1-9: what stands in the store when a delivery is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// `None`: the run is gone.
    pub run: Option<RunBefore>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunBefore {
    pub remote_id: Option<i64>,
    /// The run is final already.
    pub finished: bool,
    /// The task that the row names: unknown, known but not push, or push.
    pub task: TaskBefore,
    /// The stored payload; `None` when there is none.
    pub payload: Option<Vec<u8>>,
    /// The stored context; `None`, `null` and `{}` all mean that no context is sent.
    pub context: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskBefore {
    Unknown(String),
    NotPush(String),
    Push,
}

/// What happens to the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do; the row is removed. `repair` says that the run must become live first.
    Nothing { repair: bool },
    /// Fit to be sent. `context` is false when none is to be sent.
    Send { context: bool },
    /// The agent has it. `output` and `done` as the agent gave them.
    Live { remote_id: i64, output: Option<Vec<u8>>, done: bool, hooks: Vec<Hook> },
    /// The row stays; try again, not before `retry_after` when it is given.
    Retry { code: &'static str, detail: String, retry_after: Option<Span> },
    /// The run fails and the row is removed.
    Terminal { code: &'static str, detail: String, disable_endpoint: bool },
    /// Attempts or age are used up: the row becomes a dead letter, the run fails.
    Dead { code: &'static str, detail: String },
}

/// A follow-up that an agent asked for by answering exactly `false` to a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `has_explorer_index: false`
    ExplorerIndex,
    /// `has_org_project_context: false`
    OrgProjectContext,
}
