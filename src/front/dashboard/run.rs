//! One run: what it is, where it stands, what happened, and what can be done with it.

use askama::Template;

use super::filters;
use super::parts::{Attempt, Badge, Document, RunLink, When};
use super::shell::Shell;

/// `GET /runs/{id}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "run.html")]
pub struct RunPage {
    pub shell: Shell,
    /// The whole id.
    pub id: String,
    pub state: Badge,
    /// It waits in the burst buffer.
    pub buffered: bool,
    pub actions: RunActions,
    pub error: Option<RunError>,
    /// One sentence while it has not started; empty for none.
    pub waiting_because: String,
    pub facts: RunFacts,
    /// Oldest first.
    pub timeline: Vec<Step>,
    /// Number of the attempt that is out and has no answer yet.
    pub attempt_out: Option<u64>,
    /// Newest first.
    pub attempts: Vec<Attempt>,
    /// Payload, context, metadata, output: those that are there.
    pub documents: Vec<Document>,
    /// Results that came too late to be applied, oldest first.
    pub late_results: Vec<LateResult>,
    /// What its agent delivered, by kind and key.
    pub deliveries: Vec<DeliveryRow>,
    /// There are more than are shown.
    pub deliveries_more: bool,
    /// A command that creates the same run anew.
    pub curl: String,
    pub related: Vec<RelatedRun>,
}

/// What the reader may do now; a button that would be refused is not shown.
#[derive(Clone, Debug, Default)]
pub struct RunActions {
    /// `POST /runs/{id}/cancel` with `reason`
    pub cancel: bool,
    /// `POST /runs/{id}/replay`
    pub replay: bool,
    /// `POST /runs/{id}/retry`: let what waits go at once.
    pub retry: Option<RetryButton>,
}

/// The words of the retry button; they depend on what waits.
#[derive(Clone, Debug, Default)]
pub struct RetryButton {
    pub label: &'static str,
    pub title: &'static str,
}

/// Why a run failed, or why its latest attempt did.
#[derive(Clone, Debug, Default)]
pub struct RunError {
    pub code: String,
    pub message: String,
    /// Only the attempt: there will be another.
    pub latest_attempt: bool,
}

/// The plain facts. An empty text, an empty moment or `None` is left out.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    pub task: String,
    pub org: String,
    pub env: String,
    pub tags: Vec<String>,
    /// For example `push, sync` or `pull resize`.
    pub delivery: String,
    pub created: When,
    pub due: When,
    pub started: When,
    pub finished: When,
    /// From creation to the first start, see [`super::parts::phase`].
    pub waited: String,
    /// From the first start to the end, or to now.
    pub ran: String,
    /// It is over: `ran` is final.
    pub ended: bool,
    /// From creation to the end.
    pub total: String,
    pub attempts: u64,
    /// `None` where age is the limit.
    pub attempts_max: Option<u64>,
    /// The moment after which a run that has not started expires.
    pub expires: When,
    /// The moment by which the attempt that is out must be done.
    pub deadline: When,
    pub priority: String,
    pub concurrency_key: String,
    pub idempotency_key: String,
    pub cancel_reason: String,
    /// The agent's id; 0 is a value.
    pub remote_id: Option<i64>,
    /// `pending`, `live` or `failed`.
    pub mirror: String,
    pub fence: Option<u32>,
    /// The row of the outbox that delivers it, if there is one.
    pub outbox_row: String,
    pub parent: RunLink,
    pub replay_of: RunLink,
    pub batch: String,
    /// The sharded run that it works for, and for which of its shards.
    pub shard: Option<(String, u64)>,
    /// For example `step 2 of 4: encode`.
    pub step: String,
}

/// A step of the timeline.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// As [`When::clock`] gives it.
    pub at: When,
    /// Distance to the first step, see [`super::parts::offset`].
    pub offset: String,
    /// Colour, icon and name of what happened.
    pub what: Badge,
    pub detail: String,
    pub attempt: Option<u64>,
    /// Who did it: `api`, `agent`, `operator` or `tidegate`; empty for none.
    pub by: String,
}

/// Something that an agent delivered.
#[derive(Clone, Debug, Default)]
pub struct DeliveryRow {
    pub kind: String,
    pub key: String,
    pub at: When,
    pub state: Badge,
    /// The result, or why there is none.
    pub text: String,
}

/// A result of an older attempt, kept aside.
#[derive(Clone, Debug, Default)]
pub struct LateResult {
    pub at: When,
    pub fence: u64,
    /// What was reported.
    pub what: Badge,
    pub body: String,
}

/// Another run that belongs to this one.
#[derive(Clone, Debug, Default)]
pub struct RelatedRun {
    /// `parent`, `replay of`, `replayed as`.
    pub relation: String,
    pub run: RunLink,
    pub task: String,
    pub state: Badge,
    pub created: When,
}
