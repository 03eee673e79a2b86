//! Alerts: when people are told that something is wrong, and that it is well again.
//!
//! ```text
//!            breached                for long enough, not cooling down
//!   ok ------------------> pending ------------------------------------> firing
//!   ^                         |                                            |
//!   |<------------------------+ clean                                      | clean
//!   |                                                                      v
//!   +<------------------ cooldown over ------------------------------- resolved
//! ```
//! One such machine runs for each rule and subject. `reading` says what is breached, `machine` what
//! follows from it; both are pure, so that state and messages can be written in one transaction.

pub mod advice;
pub mod machine;
pub mod message;
pub mod reading;
pub mod rule;
pub mod rules;
pub mod said;
pub mod silence;

use crate::base::id::Id;
use crate::base::time::{Span, Time};

use super::words::words;

/// How bad it is. The numbers are on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    Info = 1,
    #[default]
    Warning = 2,
    Critical = 3,
}

words!(Severity { Info "info", Warning "warning", Critical "critical" });

/// A way to people. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Channel {
    Slack = 1,
    Mail = 2,
    Webhook = 3,
}

words!(Channel { Slack "slack", Mail "mail", Webhook "webhook" });

/// Where an alert stands; one that is well has no state at all. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Breached, but not yet for long enough, or too soon after the last message.
    Pending = 1,
    Firing = 2,
    /// Well again; remembered until its cooldown is over.
    Resolved = 3,
}

words!(Phase { Pending "pending", Firing "firing", Resolved "resolved" });

/// What a message or a line of the history says. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum What {
    Firing = 1,
    /// It still fires.
    Reminder = 2,
    Resolved = 3,
    /// Its rule was removed or its workers were forgotten while it fired: nobody knows whether it is
    /// well, and nobody asks.
    Dropped = 4,
}

words!(What { Firing "firing", Reminder "reminder", Resolved "resolved", Dropped "dropped" });

/// The state of one rule for one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub rule: String,
    /// What it is about: a stream, a type of workers, an endpoint; empty where there is only one.
    pub subject: String,
    pub phase: Phase,
    pub severity: Severity,
    /// Since when it is breached without a break.
    pub since: Time,
    pub fired_at: Option<Time>,
    /// When it was well again; beside `Firing`: before anybody was told.
    pub resolved_at: Option<Time>,
    /// When people were told of this firing.
    pub told_at: Option<Time>,
    /// The latest message that it fires, of this firing or of one before: the cooldown counts from it.
    pub messaged_at: Option<Time>,
    /// A silence or a maintenance window kept its message back.
    pub silenced: bool,
    /// What was found when it was first breached or when it fired.
    pub detail: String,
}

/// A line of the history. Lines have ids, so that a reader can tell which ones it knows (31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Time,
    pub what: What,
    pub rule: String,
    pub subject: String,
    pub severity: Severity,
    pub detail: String,
    /// Nobody was told, because of a silence or a maintenance window.
    pub silenced: bool,
    /// The message that told of it.
    pub message: Option<Id>,
}

/// The highest value that a rule on growth knows of, and when it was last exceeded.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub value: f64,
    pub grew_at: Option<Time>,
}

/// How a channel is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelHealth {
    pub sent: u64,
    pub last_success_at: Option<Time>,
    pub last_error_at: Option<Time>,
    pub last_error: String,
}

/// Rules and the numbers that hold for all of them.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rules: rules::Rules,
    /// No rule on workers fires so soon after the start (14, 23).
    pub grace: Span,
    /// Workers that go within this time are one message.
    pub debounce: Span,
    /// How long lines of the history are kept.
    pub history: Span,
    pub maintenance: Vec<silence::Window>,
    /// Which channels are configured.
    pub channels: Vec<Channel>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rules: rules::Rules::default(),
            grace: Span::from_secs(90),
            debounce: Span::from_secs(5),
            history: Span::from_days(30),
            maintenance: Vec::new(),
            channels: Vec::new(),
        }
    }
}
