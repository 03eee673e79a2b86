//! The outbox: what waits to be sent, what is out, what was given up, and what is paused.

use askama::Template;

use super::filters;
use super::parts::{Attempt, Badge, Pager, RunLink, Tab, When};
use super::shell::Shell;

/// `GET /outbox?state=due|leased|dead&lane=&cursor=`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "outbox.html")]
pub struct OutboxPage {
    pub shell: Shell,
    /// Due, leased, dead, with their counts.
    pub tabs: Vec<Tab>,
    /// `due`, `leased` or `dead`.
    pub state: String,
    /// The lane that the list is narrowed to; empty for all.
    pub lane: String,
    pub rows: Vec<OutboxRow>,
    pub pager: Pager,
    /// Values of the replay form; it is shown with the dead letters.
    pub replay: ReplayForm,
    /// What a replay would do, or has done.
    pub replay_result: Option<ReplayResult>,
    pub pauses: Vec<PauseRow>,
    /// Values of the pause form.
    pub pause: PauseForm,
    /// The pause form was refused: it is open, and the error stands at it.
    pub pause_refused: bool,
    /// The scopes that can be paused, for the form: value and words.
    pub pause_scopes: Vec<PauseScope>,
    /// Why the last form was refused; empty for none.
    pub form_error: String,
}

impl OutboxPage {
    /// Retry and replay are for dead letters only.
    pub fn dead(&self) -> bool {
        self.state == "dead"
    }

    /// Heading of the column with the moment that matters in this state.
    pub fn when_label(&self) -> &'static str {
        match self.state.as_str() {
            "leased" => "Lease until",
            "dead" => "Dead since",
            _ => "Due",
        }
    }
}

/// One row of the list.
#[derive(Clone, Debug, Default)]
pub struct OutboxRow {
    pub id: String,
    pub kind: String,
    pub task: String,
    pub lane: String,
    pub run: RunLink,
    pub state: Badge,
    pub attempts: u64,
    /// `None` where age is the limit.
    pub attempts_max: Option<u64>,
    /// Due, lease until or dead since.
    pub when: When,
    /// Class of the last attempt; `None` before the first.
    pub last: Option<Badge>,
    /// Code and words of the last attempt in one line.
    pub detail: String,
}

/// Values of the replay form, as the reader typed them.
#[derive(Clone, Debug, Default)]
pub struct ReplayForm {
    pub task: String,
    pub org: String,
    pub env: String,
    pub code: String,
    /// RFC 3339, or a length such as `2h` that means that long ago.
    pub from: String,
    pub to: String,
}

/// The answer to the replay form.
#[derive(Clone, Debug, Default)]
pub struct ReplayResult {
    /// Nothing was changed: the panel offers to do it.
    pub dry_run: bool,
    pub matched: u64,
    /// There may be more than were counted.
    pub more: bool,
    /// Rows revived; 0 for a dry run.
    pub replayed: u64,
    pub skipped: u64,
    /// A few of the matching rows.
    pub sample: Vec<OutboxRow>,
}

/// A pause in force.
#[derive(Clone, Debug, Default)]
pub struct PauseRow {
    pub scope: String,
    /// Empty for the whole scope.
    pub lane: String,
    pub reason: String,
    pub since: When,
    /// Without a moment: until somebody removes it.
    pub until: When,
}

/// Values of the pause form, as the reader typed them.
#[derive(Clone, Debug, Default)]
pub struct PauseForm {
    pub scope: String,
    pub lane: String,
    pub reason: String,
    pub until: String,
}

/// A choice of the pause form.
#[derive(Clone, Debug, Default)]
pub struct PauseScope {
    pub value: String,
    pub label: String,
}

/// `GET /outbox/{id}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "outbox_row.html")]
pub struct OutboxRowPage {
    pub shell: Shell,
    pub id: String,
    pub state: Badge,
    /// `POST /outbox/{id}/retry` would be accepted.
    pub can_retry: bool,
    /// Why it does not move, for example a pause or an open breaker; empty for none.
    pub waiting_because: String,
    pub facts: OutboxFacts,
    /// Newest first.
    pub attempts: Vec<Attempt>,
}

/// The plain facts of a row. An empty text or moment is left out.
#[derive(Clone, Debug, Default)]
pub struct OutboxFacts {
    pub kind: String,
    pub task: String,
    pub lane: String,
    pub run: RunLink,
    pub url: String,
    pub attempts: u64,
    /// `None` where age is the limit.
    pub attempts_max: Option<u64>,
    pub created: When,
    pub due: When,
    pub lease_until: When,
    pub dead_since: When,
    /// A failure after this moment ends it.
    pub gives_up: When,
    pub fence: Option<u32>,
    /// Whether its lane is delivered in order, in words.
    pub ordering: String,
}
