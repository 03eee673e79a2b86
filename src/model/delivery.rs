//! A durable intent to call out: an outbox row, its lane, its dead letter and its attempts.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;

use super::outcome::Hook;

/// What a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Hand the run to its agent. The row's id is the run's id.
    Run,
    /// A follow-up that the agent asked for; sent to the same endpoint.
    Hook { run: RunId, hook: Hook },
}

/// The unit of serial delivery and backoff. For unordered tasks it only decides whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub org: String,
    pub env: String,
    pub key: String,
}

/// An outbox row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub id: Id,
    /// Name of the task, which names its endpoint.
    pub endpoint: Name,
    pub purpose: Purpose,
    pub lane: Lane,
    /// One at a time, in order, and its backoff is the lane's.
    pub ordered: bool,
    pub priority: i8,
    pub created_at: Time,
    /// Not before this moment.
    pub due_at: Time,
    pub state: RowState,
    /// Attempts made in this series; a replay starts a new series.
    pub attempts: u32,
    pub first_attempt_at: Option<Time>,
    /// Grows with each claim; a result with an older one is kept aside.
    pub fence: u32,
    /// Earlier 409s and unusable 2xx of this series.
    pub conflicts: u32,
    pub malformed: u32,
    /// Code of the latest outcome.
    pub last_code: Option<String>,
    pub last_detail: Option<String>,
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// May be claimed.
    Ready,
    /// Waits for its time: delayed, or backing off.
    Waiting,
    /// Out, until this moment at the latest.
    Leased { until: Time },
}

impl RowState {
    pub fn as_str(self) -> &'static str {
        match self {
            RowState::Ready | RowState::Waiting => "due",
            RowState::Leased { .. } => "leased",
        }
    }
}

/// A row that gave up, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub row: OutboxRow,
    pub died_at: Time,
    pub code: String,
    pub detail: String,
}

/// Bytes of an answer that an attempt keeps.
pub const ATTEMPT_BODY_BYTES_MAX: usize = 20_000;

/// One try, as the attempts log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub started_at: Time,
    pub elapsed_ms: u32,
    /// HTTP status; `None` when no response came.
    pub status: Option<u16>,
    /// `success` or the code of the outcome.
    pub class: String,
    pub detail: String,
    /// At most [`ATTEMPT_BODY_BYTES_MAX`]; may be anything.
    pub body: Vec<u8>,
    /// When the next try is due, if there is one.
    pub next_at: Option<Time>,
    /// A result that came too late for its fence: kept, not applied.
    pub late: bool,
}

/// A line of a run's timeline that its other rows do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Time,
    /// A stable word: `canceled`, `tags_added`, `rescheduled`, ...
    pub what: String,
    pub detail: String,
    /// Who caused it: `api`, `agent`, `operator`, `tidegate`.
    pub by: String,
    pub attempt: Option<u32>,
}

/// Deliveries that someone stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub scope: PauseScope,
    pub reason: String,
    pub since: Time,
    pub until: Option<Time>,
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// Everything that calls out.
    All,
    /// One task.
    Task(Name),
    /// An org, everywhere.
    Org(Name),
    /// One lane of a task.
    Lane { task: Name, lane: Lane },
}

/// What a due index row wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Timer {
    /// A waiting outbox row becomes ready.
    Deliver = 1,
    /// A claim ran out.
    Lease = 2,
    /// A run was not started in time.
    Expire = 3,
    /// A run executes for too long.
    Deadline = 4,
    /// Entries of a group were given back and may be delivered again.
    Again = 5,
    /// A delayed run goes into its stream.
    Enqueue = 6,
    /// An entry of the buffer has backed off for long enough.
    Buffer = 7,
    /// A schedule has something to do.
    Schedule = 8,
}

impl Timer {
    pub const ALL: [Timer; 8] = [
        Timer::Deliver,
        Timer::Lease,
        Timer::Expire,
        Timer::Deadline,
        Timer::Again,
        Timer::Enqueue,
        Timer::Buffer,
        Timer::Schedule,
    ];
}
