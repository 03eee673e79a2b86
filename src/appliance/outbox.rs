//! The outbox as operators see it: rows, dead letters, pauses, endpoints.

use std::ops::ControlFlow;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::outbox::{endpoints as endpoint_acts, pauses, revive};
use crate::model::breaker::{Allow, State};
use crate::model::delivery::{Attempt, DeadLetter, OutboxRow, Pause, PauseScope, Timer};
use crate::model::endpoint::Endpoint;
use crate::model::refusal::Refusal;
use crate::model::task::Task;
use crate::store::fault::Fault;
use crate::store::kinds::{
    attempt as attempts, due, endpoint as endpoint_rows, outbox as rows, pause as pause_rows,
    ready, task as task_rows,
};
use crate::store::rows::Rows;

use super::tasks::fresh_secret;
use super::{Appliance, unreadable};

pub use crate::ledger::outbox::revive::{Filter as DeadFilter, REPLAY_MAX, Replayed};

/// Most rows of a page, and rows that a filtered page looks at.
pub const OUTBOX_PAGE_MAX: usize = 200;
const LOOKED_AT_MAX: usize = 2_000;

/// A tab of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxState {
    Due,
    Leased,
    Dead,
}

impl OutboxState {
    pub fn parse(text: &str) -> Option<OutboxState> {
        match text {
            "due" => Some(OutboxState::Due),
            "leased" => Some(OutboxState::Leased),
            "dead" => Some(OutboxState::Dead),
            _ => None,
        }
    }
}

/// A row, or a row that gave up.
#[derive(Clone, Debug)]
pub enum OutboxItem {
    Row(OutboxRow),
    Dead(DeadLetter),
}

impl OutboxItem {
    pub fn row(&self) -> &OutboxRow {
        match self {
            OutboxItem::Row(row) => row,
            OutboxItem::Dead(letter) => &letter.row,
        }
    }

    pub fn died_at(&self) -> Option<Time> {
        match self {
            OutboxItem::Row(_) => None,
            OutboxItem::Dead(letter) => Some(letter.died_at),
        }
    }
}

/// Where a page of the outbox goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxCursor {
    /// Behind this key of the ready index.
    Ready(Vec<u8>),
    /// Behind this timer.
    Timer(Time, Id),
    /// Before this dead letter.
    Dead(Time, Id),
}

/// A page of the outbox.
#[derive(Clone, Debug, Default)]
pub struct OutboxPage {
    pub items: Vec<OutboxItem>,
    pub next: Option<OutboxCursor>,
}

/// An endpoint with its task and what its breaker says now.
#[derive(Clone, Debug)]
pub struct EndpointView {
    pub endpoint: Endpoint,
    pub task: Task,
    pub allow: Allow,
    /// Successes and failures of the last five minutes.
    pub window: (u32, u32),
}

impl EndpointView {
    pub fn state_word(&self) -> &'static str {
        match (self.endpoint.breaker.state, self.allow) {
            (State::Disabled { .. }, _) => "disabled",
            (State::Closed, Allow::No { .. }) => "paused",
            (State::Closed, _) => "closed",
            (State::Open { .. }, _) => "open",
            (State::HalfOpen { .. }, _) => "half_open",
        }
    }
}

impl Appliance {
    pub fn outbox_item(&self, id: Id) -> Result<(OutboxItem, Vec<Attempt>), Refusal> {
        let snapshot = self.snapshot()?;
        let item = match rows::get(&snapshot, id).map_err(unreadable)? {
            Some(row) => OutboxItem::Row(row),
            None => rows::dead(&snapshot, id)
                .map_err(unreadable)?
                .map(OutboxItem::Dead)
                .ok_or_else(|| revive::not_found(&id.to_string()))?,
        };
        let log = attempts::latest(&snapshot, id, attempts::ATTEMPTS_SHOWN_MAX);
        Ok((item, log.map_err(unreadable)?))
    }

    /// A page of the outbox. `lane` is the text that [`lane_text`] gives, or a task's name.
    pub fn outbox(
        &self,
        state: OutboxState,
        lane: Option<&str>,
        limit: usize,
        cursor: Option<OutboxCursor>,
    ) -> Result<OutboxPage, Refusal> {
        let snapshot = self.snapshot()?;
        let limit = limit.clamp(1, OUTBOX_PAGE_MAX);
        let fits = |row: &OutboxRow| {
            lane.is_none_or(|lane| row.endpoint.as_str() == lane || lane_text(row) == lane)
        };
        page(&snapshot, state, &fits, limit, cursor).map_err(unreadable)
    }

    pub async fn replay_dead(
        &self,
        filter: DeadFilter,
        dry_run: bool,
    ) -> Result<Replayed, Refusal> {
        self.call(move |tx| revive::replay(tx, &filter, dry_run)).await
    }

    pub fn pauses(&self) -> Result<Vec<Pause>, Refusal> {
        let now = self.now();
        let mut pauses = pause_rows::list(&self.snapshot()?).map_err(unreadable)?;
        pauses.retain(|pause| pause.until.is_none_or(|until| now < until));
        Ok(pauses)
    }

    pub async fn pause(
        &self,
        scope: PauseScope,
        reason: String,
        until: Option<Time>,
    ) -> Result<Pause, Refusal> {
        self.call(move |tx| pauses::pause(tx, scope, reason, until)).await
    }

    pub async fn resume(&self, scope: PauseScope) -> Result<(), Refusal> {
        self.call(move |tx| pauses::resume(tx, &scope)).await
    }

    /// Endpoints of push tasks by name.
    pub fn endpoints(&self, limit: usize) -> Result<Vec<EndpointView>, Refusal> {
        let snapshot = self.snapshot()?;
        let tasks = task_rows::list(&snapshot, None, limit).map_err(unreadable)?;
        let mut found = Vec::new();
        for task in tasks {
            if let Some(endpoint) = endpoint_rows::get(&snapshot, &task.name).map_err(unreadable)? {
                found.push(self.endpoint_view(endpoint, task));
            }
        }
        Ok(found)
    }

    pub fn endpoint(&self, name: &Name) -> Result<EndpointView, Refusal> {
        let snapshot = self.snapshot()?;
        let endpoint = endpoint_rows::get(&snapshot, name).map_err(unreadable)?;
        let task = task_rows::get(&snapshot, name).map_err(unreadable)?;
        match (endpoint, task) {
            (Some(endpoint), Some(task)) => Ok(self.endpoint_view(endpoint, task)),
            _ => Err(endpoint_acts::not_found(name.as_str())),
        }
    }

    fn endpoint_view(&self, endpoint: Endpoint, task: Task) -> EndpointView {
        let now = self.now();
        let allow = endpoint.breaker.allow(now);
        // What was refused for good was answered, but did not succeed.
        let (alive, failed) = endpoint.breaker.window(now);
        let refused = endpoint.breaker.refused(now).min(alive);
        let window = (alive - refused, failed + refused);
        EndpointView { endpoint, task, allow, window }
    }

    pub async fn enable_endpoint(&self, name: Name) -> Result<EndpointView, Refusal> {
        let act = name.clone();
        self.call(move |tx| endpoint_acts::enable(tx, &act)).await?;
        self.endpoint(&name)
    }

    pub async fn disable_endpoint(&self, name: Name) -> Result<EndpointView, Refusal> {
        let act = name.clone();
        self.call(move |tx| endpoint_acts::disable(tx, &act)).await?;
        self.endpoint(&name)
    }

    /// A fresh secret, shown once; the old one signs beside it for `overlap`.
    pub async fn rotate_secret(&self, name: Name, overlap: Span) -> Result<Endpoint, Refusal> {
        let secret = fresh_secret();
        self.call(move |tx| endpoint_acts::rotate(tx, &name, secret, overlap)).await
    }
}

/// A lane as one text: task, org, env and key between slashes, which are in no name.
pub fn lane_text(row: &OutboxRow) -> String {
    let lane = &row.lane;
    format!("{}/{}/{}/{}", row.endpoint, lane.org, lane.env, lane.key)
}

fn page(
    view: &dyn Rows,
    state: OutboxState,
    fits: &dyn Fn(&OutboxRow) -> bool,
    limit: usize,
    cursor: Option<OutboxCursor>,
) -> Result<OutboxPage, Fault> {
    let mut page = OutboxPage::default();
    match (state, cursor) {
        (OutboxState::Dead, cursor) => {
            let before = match cursor {
                Some(OutboxCursor::Dead(at, id)) => Some((at, id)),
                _ => None,
            };
            let mut looked_at = 0;
            view.scan(&rows::dead_page(before), &mut |key, value| {
                let letter = rows::read_dead(key, value)?;
                looked_at += 1;
                let here = OutboxCursor::Dead(letter.died_at, letter.row.id);
                if fits(&letter.row) {
                    page.items.push(OutboxItem::Dead(letter));
                }
                if page.items.len() == limit || looked_at == LOOKED_AT_MAX {
                    page.next = Some(here);
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        (OutboxState::Leased, cursor) => {
            timers(view, Timer::Lease, fits, limit, cursor, &mut page)?;
        }
        (OutboxState::Due, cursor @ Some(OutboxCursor::Timer(..))) => {
            timers(view, Timer::Deliver, fits, limit, cursor, &mut page)?;
        }
        (OutboxState::Due, cursor) => {
            let after = match cursor {
                Some(OutboxCursor::Ready(key)) => Some(key),
                _ => None,
            };
            let found = ready::page(view, after.as_deref(), LOOKED_AT_MAX)?;
            let all = found.len() < LOOKED_AT_MAX;
            for (key, id) in found {
                if page.items.len() == limit {
                    return Ok(page);
                }
                page.next = Some(OutboxCursor::Ready(key));
                // The head of an ordered lane keeps its place here while it is out or backs off.
                if let Some(row) = rows::get(view, id)?
                    && row.state == crate::model::delivery::RowState::Ready
                    && fits(&row)
                {
                    page.items.push(OutboxItem::Row(row));
                }
            }
            // A page that is full by now goes on with the timers at its cursor.
            if all && page.items.len() < limit {
                page.next = None;
                timers(view, Timer::Deliver, fits, limit, None, &mut page)?;
            }
        }
    }
    Ok(page)
}

fn timers(
    view: &dyn Rows,
    timer: Timer,
    fits: &dyn Fn(&OutboxRow) -> bool,
    limit: usize,
    cursor: Option<OutboxCursor>,
    page: &mut OutboxPage,
) -> Result<(), Fault> {
    let from = match cursor {
        Some(OutboxCursor::Timer(at, id)) => Some((at, id)),
        _ => None,
    };
    let found = due::after(view, timer, from, LOOKED_AT_MAX)?;
    let all = found.len() < LOOKED_AT_MAX;
    for (at, id) in found {
        if page.items.len() == limit {
            return Ok(());
        }
        page.next = Some(OutboxCursor::Timer(at, id));
        if let Some(row) = rows::get(view, id)?
            && fits(&row)
        {
            page.items.push(OutboxItem::Row(row));
        }
    }
    if all {
        page.next = None;
    }
    Ok(())
}
