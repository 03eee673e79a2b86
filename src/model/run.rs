//! A run and how it may change: one match over (status, event).
//!
//! ```text
//!  delayed --due--> queued --claim--> executing --complete--> completed
//!     |               |  ^-----retry------|  |--fail, time out--> failed
//!     |               |                   |--cancel--> canceling --anything final--> canceled
//!     +---------------+--cancel--> canceled
//!     +---------------+--expire--> expired
//!  anything open --break--> system_failure          failed --revive--> queued
//! ```
//! A final status is never left, but for one way back: retrying the dead letter of a failed run
//! revives it under its own id, so that its agent sees the same key. `canceling` ends in `canceled` whatever the attempt says: the
//! caller was told so; the late result stays readable in the attempts.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::stream::StreamId;
use super::trace::Trace;

/// Where a run stands. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    Delayed = 1,
    Queued = 2,
    Executing = 3,
    Canceling = 4,
    Completed = 5,
    Failed = 6,
    Canceled = 7,
    Expired = 8,
    SystemFailure = 9,
}

impl Status {
    pub const ALL: [Status; 9] = [
        Status::Delayed,
        Status::Queued,
        Status::Executing,
        Status::Canceling,
        Status::Completed,
        Status::Failed,
        Status::Canceled,
        Status::Expired,
        Status::SystemFailure,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Delayed => "delayed",
            Status::Queued => "queued",
            Status::Executing => "executing",
            Status::Canceling => "canceling",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Expired => "expired",
            Status::SystemFailure => "system_failure",
        }
    }

    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub fn from_number(number: u8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as u8 == number)
    }

    pub fn is_final(self) -> bool {
        use Status::{Canceled, Canceling, Completed, Delayed, Executing, Expired, Failed, Queued};
        match self {
            Delayed | Queued | Executing | Canceling => false,
            Completed | Failed | Canceled | Expired | Status::SystemFailure => true,
        }
    }

    /// An attempt is out: it takes a place of the task's concurrency.
    pub fn holds_slot(self) -> bool {
        matches!(self, Status::Executing | Status::Canceling)
    }
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The delay is over.
    Due,
    /// An attempt goes out.
    Claim,
    /// The agent took it and works on.
    Accept,
    /// The work is done.
    Complete,
    /// The attempt failed; there will be another.
    Retry,
    /// The work failed for good.
    Fail,
    /// Someone asked for the end.
    Cancel,
    /// It was not started in time.
    Expire,
    /// It ran longer than allowed.
    TimeOut,
    /// Someone moved the delay.
    Reschedule,
    /// Tidegate itself cannot go on with it.
    Break,
    /// Its dead letter is tried again.
    Revive,
    /// A step is done; the next one waits.
    Advance,
}

impl Event {
    pub const ALL: [Event; 13] = [
        Event::Due,
        Event::Claim,
        Event::Accept,
        Event::Complete,
        Event::Retry,
        Event::Fail,
        Event::Cancel,
        Event::Expire,
        Event::TimeOut,
        Event::Reschedule,
        Event::Break,
        Event::Revive,
        Event::Advance,
    ];
}

/// A pair that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    pub status: Status,
    pub event: Event,
}

/// The state machine.
pub fn next(status: Status, event: Event) -> Result<Status, Illegal> {
    use Event as E;
    use Status as S;
    let to = match (status, event) {
        (S::Delayed, E::Due) => S::Queued,
        (S::Delayed, E::Reschedule) => S::Delayed,
        (S::Delayed | S::Queued, E::Cancel) => S::Canceled,
        (S::Delayed | S::Queued, E::Expire) => S::Expired,
        (S::Queued, E::Claim) => S::Executing,
        // The latest attempt timed out for us, yet its agent reports in before the next one.
        (S::Queued, E::Complete) => S::Completed,
        (S::Queued, E::Fail) => S::Failed,
        (S::Queued, E::Advance) => S::Queued,
        (S::Executing, E::Accept) => S::Executing,
        (S::Executing, E::Complete) => S::Completed,
        (S::Executing, E::Retry | E::Advance) => S::Queued,
        (S::Executing, E::Fail | E::TimeOut) => S::Failed,
        (S::Executing, E::Cancel) => S::Canceling,
        (S::Canceling, E::Cancel) => S::Canceling,
        (
            S::Canceling,
            E::Accept
            | E::Complete
            | E::Retry
            | E::Fail
            | E::TimeOut
            | E::Expire
            | E::Break
            | E::Advance,
        ) => S::Canceled,
        (S::Delayed | S::Queued | S::Executing, E::Break) => S::SystemFailure,
        (S::Canceled, E::Cancel) => S::Canceled,
        (S::Failed, E::Revive) => S::Queued,
        (
            S::Delayed,
            E::Claim
            | E::Accept
            | E::Complete
            | E::Retry
            | E::Fail
            | E::TimeOut
            | E::Revive
            | E::Advance,
        )
        | (S::Queued, E::Due | E::Accept | E::Retry | E::TimeOut | E::Reschedule | E::Revive)
        | (S::Executing, E::Due | E::Claim | E::Expire | E::Reschedule | E::Revive)
        | (S::Canceling, E::Due | E::Claim | E::Reschedule | E::Revive)
        | (S::Completed | S::Expired | S::SystemFailure, _)
        | (
            S::Canceled,
            E::Due
            | E::Claim
            | E::Accept
            | E::Complete
            | E::Retry
            | E::Fail
            | E::Expire
            | E::TimeOut
            | E::Reschedule
            | E::Break
            | E::Revive
            | E::Advance,
        )
        | (
            S::Failed,
            E::Due
            | E::Claim
            | E::Accept
            | E::Complete
            | E::Retry
            | E::Fail
            | E::Cancel
            | E::Expire
            | E::TimeOut
            | E::Reschedule
            | E::Break
            | E::Advance,
        ) => return Err(Illegal { status, event }),
    };
    Ok(to)
}

/// Whether the agent has the run. `Live` if and only if the remote id is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mirror {
    Pending = 1,
    Live = 2,
    Failed = 3,
}

impl Mirror {
    pub fn as_str(self) -> &'static str {
        match self {
            Mirror::Pending => "pending",
            Mirror::Live => "live",
            Mirror::Failed => "failed",
        }
    }
}

/// Why a run ended badly, or why its last attempt did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    pub code: String,
    pub message: String,
}

/// A run: everything but its payload, context and output, which are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub status: Status,
    pub task: Name,
    pub org: Name,
    pub env: Name,
    pub tags: Vec<String>,
    /// JSON text.
    pub metadata: Option<String>,
    pub metadata_version: u64,
    pub idempotency_key: Option<String>,
    /// Hash of what the caller sent, to recognise a repeated request.
    pub fingerprint: u64,
    /// -100 to 100; higher goes first within its lane.
    pub priority: i8,
    pub concurrency_key: Option<String>,
    /// Attempts started.
    pub attempts: u32,
    pub max_attempts: Option<u32>,
    /// Number of the latest attempt for results; 0 before the first. Grows with each attempt.
    pub fence: u32,
    pub created_at: Time,
    /// Not before this moment.
    pub due_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    /// Must have started by then.
    pub expires_at: Option<Time>,
    /// Must be done by then; set while an attempt is out.
    pub deadline: Option<Time>,
    pub mirror: Mirror,
    /// The agent's number; 0 is legal.
    pub remote_id: Option<i64>,
    pub error: Option<RunError>,
    /// Why the latest attempt did not succeed, while there will be another.
    pub last_failure: Option<RunError>,
    pub parent: Option<RunId>,
    pub replay_of: Option<RunId>,
    pub batch: Option<(Id, u32)>,
    pub shard: Option<(Id, u32)>,
    pub steps: Vec<String>,
    pub step: u32,
    /// The trace context of its caller.
    pub trace: Option<Trace>,
    pub payload_bytes: u32,
    pub has_context: bool,
    pub has_output: bool,
    pub cancel_reason: Option<String>,
    /// The number of the next line of its timeline.
    pub events: u32,
    /// The stream that workers pull it from; `None` for a run that is pushed.
    pub stream: Option<String>,
    /// Its entry there, while one stands for it.
    pub entry: Option<StreamId>,
    /// When the latest attempt started.
    pub attempt_at: Option<Time>,
    /// Attempts before this series: a revival and a step begin a new one.
    pub series_from: u32,
    /// The first attempt of this series.
    pub series_at: Option<Time>,
    /// Answers that it still waits for from outside.
    pub callbacks: u32,
    /// It waits in the burst buffer: nothing but its head, its body and its key stand in the store.
    pub buffered: bool,
}

impl Run {
    /// Moves on; final states get their time, and a mirror that never came to life its end.
    pub fn step(&mut self, event: Event, now: Time) -> Result<(), Illegal> {
        let to = next(self.status, event)?;
        let was_final = self.status.is_final();
        self.status = to;
        if was_final && !to.is_final() {
            self.finished_at = None;
            self.error = None;
            self.mirror = Mirror::Pending;
        }
        if to.is_final() && !was_final {
            // What is over has nothing to wait for.
            self.buffered = false;
            self.finished_at = Some(now.max(self.created_at));
            self.deadline = None;
            self.last_failure = None;
            if self.mirror == Mirror::Pending && to != Status::Completed {
                self.mirror = Mirror::Failed;
            }
        }
        Ok(())
    }

    /// Attempts of this series.
    pub fn series_attempts(&self) -> u32 {
        self.attempts.saturating_sub(self.series_from)
    }

    /// Whoever does its work, as timelines name them.
    pub fn done_by(&self) -> &'static str {
        if self.stream.is_some() { "worker" } else { "agent" }
    }

    /// A new series of attempts begins.
    pub fn begin_series(&mut self) {
        self.series_from = self.attempts;
        self.series_at = None;
    }

    /// An attempt begins.
    pub fn begin_attempt(&mut self, now: Time) {
        self.attempts += 1;
        self.started_at.get_or_insert(now);
        self.attempt_at = Some(now);
        self.series_at.get_or_insert(now);
    }

    /// How long it ran, or has been running.
    pub fn duration(&self, now: Time) -> Option<Span> {
        self.started_at.map(|started| self.finished_at.unwrap_or(now).since(started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole matrix, so that a change of it is a change of this text.
    #[test]
    fn state_matrix_is_as_documented() {
        let mut text = String::new();
        for status in Status::ALL {
            let line: Vec<String> = Event::ALL
                .into_iter()
                .filter_map(|event| {
                    next(status, event).ok().map(|to| format!("{event:?}->{}", to.as_str()))
                })
                .collect();
            text += &format!("{}: {}\n", status.as_str(), line.join(" "));
        }
        println!("{text}");
        assert_eq!(
            text,
            "delayed: Due->queued Cancel->canceled Expire->expired Reschedule->delayed Break->system_failure\n\
             queued: Claim->executing Complete->completed Fail->failed Cancel->canceled Expire->expired Break->system_failure Advance->queued\n\
             executing: Accept->executing Complete->completed Retry->queued Fail->failed Cancel->canceling TimeOut->failed Break->system_failure Advance->queued\n\
             canceling: Accept->canceled Complete->canceled Retry->canceled Fail->canceled Cancel->canceling Expire->canceled TimeOut->canceled Break->canceled Advance->canceled\n\
             completed: \n\
             failed: Revive->queued\n\
             canceled: Cancel->canceled\n\
             expired: \n\
             system_failure: \n"
        );
    }

    #[test]
    fn final_states_are_left_only_by_revival() {
        for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
            for event in Event::ALL {
                let stays = next(status, event).is_err() || next(status, event) == Ok(status);
                assert!(stays || (status, event) == (Status::Failed, Event::Revive));
            }
        }
    }
}
