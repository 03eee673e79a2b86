//! The first page: is everything well, and if not, where.

use askama::Template;

use super::chart::Chart;
use super::filters;
use super::parts::{Badge, RunLink, When};
use super::shell::Shell;

/// `GET /`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "overview.html")]
pub struct OverviewPage {
    pub shell: Shell,
    /// One card per status, in the order of a run's life.
    pub statuses: Vec<StatusCard>,
    /// Runs created per second, as [`super::text::rate`] gives it.
    pub created_per_s: String,
    /// Runs finished per second.
    pub finished_per_s: String,
    /// The time over which the rates were taken, for example `last minute`.
    pub rates_over: String,
    /// Created, completed and failed per second of the last 30 minutes.
    pub chart: Chart,
    pub outbox: OutboxCard,
    pub streams: StreamsCard,
    pub endpoints: Vec<EndpointLine>,
    pub tasks: Vec<TaskLine>,
    /// There are more than are shown, as of endpoints.
    pub tasks_more: bool,
    pub endpoints_more: bool,
    pub store: StoreCard,
    /// The newest runs that failed.
    pub failures: Vec<FailureLine>,
    /// What happened to the appliance and its endpoints, newest first.
    pub events: Vec<EventLine>,
    /// A command that creates a run; shown while there are no runs at all.
    pub first_run_curl: String,
    /// There is not a single run yet.
    pub no_runs: bool,
}

/// How many runs have a status.
#[derive(Clone, Debug, Default)]
pub struct StatusCard {
    /// As [`Badge::run`] gives it.
    pub state: Badge,
    pub count: u64,
    /// The Runs page with this status.
    pub href: String,
    /// The count asks for attention: shown in the colour of the state.
    pub alert: bool,
}

/// The outbox in numbers.
#[derive(Clone, Debug, Default)]
pub struct OutboxCard {
    pub due: u64,
    pub leased: u64,
    pub dead: u64,
    pub paused_scopes: u64,
    /// How long the oldest row of those in line could have gone out, as [`super::text::span`]
    /// gives it; empty for none.
    pub oldest_due: String,
    /// The oldest due row is older than it should be.
    pub oldest_late: bool,
}

/// Streams and workers in numbers.
#[derive(Clone, Debug, Default)]
pub struct StreamsCard {
    /// How many streams, for example `50+`.
    pub streams: String,
    /// The figures are those of the first streams by name only.
    pub partial: bool,
    /// Entries that groups have still to read or to acknowledge.
    pub waiting: u64,
    /// Age of the oldest pending entry of the groups furthest behind; empty for none.
    pub oldest: String,
    pub workers_alive: u64,
    /// Workers that crashed within a day.
    pub workers_crashed: u64,
}

/// One endpoint in a line.
#[derive(Clone, Debug, Default)]
pub struct EndpointLine {
    pub name: String,
    pub state: Badge,
    /// Over the last five minutes, as [`super::text::percent`] gives it.
    pub success: String,
    pub last_error: String,
}

/// One task in a line.
#[derive(Clone, Debug, Default)]
pub struct TaskLine {
    pub name: String,
    /// For example `push, sync` or `pull resize`.
    pub delivery: String,
    pub delayed: u64,
    pub queued: u64,
    /// Those that are being canceled too: an attempt is out.
    pub executing: u64,
    /// Failed, expired, or broken by Tidegate.
    pub failed: u64,
    /// The task's concurrency limit in words, for example `2 per org`; empty for unlimited.
    pub limit: String,
}

/// The store and the process.
#[derive(Clone, Debug, Default)]
pub struct StoreCard {
    /// Length of the file; `None` when it is not known.
    pub file_bytes: Option<u64>,
    /// What the file takes on disk: it may have holes.
    pub disk_bytes: Option<u64>,
    /// As [`super::text::micros`] gives it.
    pub commit_p50: String,
    pub commit_p99: String,
    /// Commands per commit over the latest commits, as [`super::text::rate`] gives it.
    pub batch_size: String,
    /// As [`super::text::span`] gives it.
    pub uptime: String,
    /// Resident memory; `None` when it is not known.
    pub memory_bytes: Option<u64>,
    /// Runs that retention removed since the start.
    pub removed_runs: u64,
    /// How long runs are kept once they are over, for example `30 d`.
    pub runs_kept: String,
    /// How long ago the oldest run should have gone; empty when nothing is late.
    pub removal_behind: String,
    /// The last backup, and the last one that was verified and found whole.
    pub backup: When,
    pub verified: When,
    /// What is wrong with the backups, in a sentence; empty when nothing is.
    pub backup_concern: String,
}

/// A run that failed.
#[derive(Clone, Debug, Default)]
pub struct FailureLine {
    pub run: RunLink,
    pub task: String,
    pub state: Badge,
    pub finished: When,
    /// Its error in one line, as [`super::text::first_line`] gives it.
    pub error: String,
}

/// Something that happened to the appliance or to an endpoint.
#[derive(Clone, Debug, Default)]
pub struct EventLine {
    pub at: When,
    pub what: Badge,
    /// A sentence; names in it stand in backticks.
    pub detail: String,
}
