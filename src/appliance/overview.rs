//! The figures of the first page, out of counters: no question here scans runs.

use crate::base::name::Name;
use crate::base::time::Time;
use crate::engine::gauges::WriterFigures;
use crate::model::delivery::{Line, RowState};
use crate::model::refusal::Refusal;
use crate::model::run::Status;
use crate::store::fault::Fault;
use crate::store::kinds::count::{self, Total};
use crate::store::kinds::{event, outbox as outbox_rows, ready, task as tasks};
use crate::store::rows::{Rows, counter};

use super::{Appliance, unreadable};

/// Tasks that the overview shows.
pub const TASKS_SHOWN_MAX: usize = 100;
/// Operational events that the overview shows.
const EVENTS_SHOWN_MAX: usize = 20;

/// Ready rows among which the oldest is looked for.
const OLDEST_AMONG: usize = 64;

/// Everything at a glance.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    pub statuses: Vec<(Status, i64)>,
    pub outbox: OutboxFigures,
    /// The first by name.
    pub tasks: Vec<TaskFigures>,
    pub tasks_more: bool,
    pub totals: Totals,
    pub writer: WriterFigures,
    pub events: Vec<Line>,
}

#[derive(Clone, Debug, Default)]
pub struct OutboxFigures {
    pub due: i64,
    pub leased: i64,
    pub dead: i64,
    /// Since when the oldest of the rows that go out next could have gone out; `None` when nothing
    /// is ready.
    pub oldest_due: Option<Time>,
}

#[derive(Clone, Debug)]
pub struct TaskFigures {
    pub name: Name,
    pub push: bool,
    pub limit: Option<u32>,
    pub delayed: i64,
    pub queued: i64,
    pub executing: i64,
    pub failed: i64,
}

/// Numbers that only grow: rates are their differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub created: i64,
    pub completed: i64,
    pub failed: i64,
    pub finished: i64,
    pub attempts: i64,
    pub late_results: i64,
}

impl Appliance {
    pub fn overview(&self) -> Result<Overview, Refusal> {
        let snapshot = self.snapshot()?;
        overview(&snapshot, self.writer_figures()).map_err(unreadable)
    }

    /// Counts by status of a task, or of all runs.
    pub fn status_counts(&self, task: Option<&Name>) -> Result<Vec<(Status, i64)>, Refusal> {
        let snapshot = self.snapshot()?;
        let scope = task.map_or_else(count::all_statuses, count::task_statuses);
        statuses(&snapshot, &scope).map_err(unreadable)
    }

    pub fn totals(&self) -> Result<Totals, Refusal> {
        totals(&self.snapshot()?).map_err(unreadable)
    }

    pub fn outbox_figures(&self) -> Result<OutboxFigures, Refusal> {
        outbox(&self.snapshot()?).map_err(unreadable)
    }
}

fn overview(rows: &dyn Rows, writer: WriterFigures) -> Result<Overview, Fault> {
    let mut lines = Vec::new();
    let mut known = tasks::list(rows, None, TASKS_SHOWN_MAX + 1)?;
    let tasks_more = known.len() > TASKS_SHOWN_MAX;
    known.truncate(TASKS_SHOWN_MAX);
    for task in known {
        let counts = statuses(rows, &count::task_statuses(&task.name))?;
        let of = |status: Status| {
            counts.iter().find(|(s, _)| *s == status).map_or(0, |(_, count)| *count)
        };
        lines.push(TaskFigures {
            push: task.push().is_some(),
            limit: task.concurrency,
            delayed: of(Status::Delayed),
            queued: of(Status::Queued),
            executing: of(Status::Executing) + of(Status::Canceling),
            failed: of(Status::Failed) + of(Status::SystemFailure) + of(Status::Expired),
            name: task.name,
        });
    }
    let events = event::announced(rows, EVENTS_SHOWN_MAX)?;
    Ok(Overview {
        statuses: statuses(rows, &count::all_statuses())?,
        outbox: outbox(rows)?,
        tasks: lines,
        tasks_more,
        totals: totals(rows)?,
        writer,
        events: events.into_iter().map(|(_, line)| line).collect(),
    })
}

/// All statuses, also those that count 0.
fn statuses(rows: &dyn Rows, scope: &crate::store::key::Key) -> Result<Vec<(Status, i64)>, Fault> {
    let found = count::by_status(rows, scope)?;
    let of =
        |status: Status| found.iter().find(|(s, _)| *s == status).map_or(0, |(_, count)| *count);
    Ok(Status::ALL.into_iter().map(|status| (status, of(status))).collect())
}

fn outbox(rows: &dyn Rows) -> Result<OutboxFigures, Fault> {
    let (due_key, leased_key) = count::outbox_open();
    // Ready rows are ordered by lane: the oldest of the first ones stands for all.
    let mut oldest = None;
    for (_, id) in ready::page(rows, None, OLDEST_AMONG)? {
        let Some(row) = outbox_rows::get(rows, id)? else { continue };
        // The head of an ordered lane keeps its place while it is out or backs off.
        if row.state == RowState::Ready {
            oldest = Some(oldest.map_or(row.due_at, |at: Time| at.min(row.due_at)));
        }
    }
    Ok(OutboxFigures {
        due: counter(rows, &due_key)?,
        leased: counter(rows, &leased_key)?,
        dead: counter(rows, &count::outbox_dead())?,
        oldest_due: oldest,
    })
}

fn totals(rows: &dyn Rows) -> Result<Totals, Fault> {
    let read = |total: Total| counter(rows, &count::total(total));
    Ok(Totals {
        created: read(Total::Created)?,
        completed: read(Total::Completed)?,
        failed: read(Total::Failed)?,
        finished: read(Total::Finished)?,
        attempts: read(Total::Attempts)?,
        late_results: read(Total::LateResults)?,
    })
}
