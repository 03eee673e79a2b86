//! Runs as callers see them: look up, wait, list, timeline, edits and reports.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Stopwatch, Time};
use crate::ledger::ask;
use crate::ledger::runs::absent::absent;
use crate::ledger::runs::pull::WORKER_LOST;
use crate::ledger::runs::{cancel, edit, replay, report, save};
use crate::model::delivery::{Attempt, Line};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Run, RunError};
use crate::store::fault::Fault;
use crate::store::kinds::{attempt as attempts, event, run as run_rows, run_index};
use crate::store::rows::Rows;

use super::{Appliance, unreadable};

pub use crate::ledger::ask::list::{Filter, LOOKED_AT_MAX, PAGE_MAX, Page};
pub use crate::ledger::runs::edit::TAGS_MAX;
pub use crate::ledger::runs::report::Reported;
pub use crate::store::kinds::run::Body;

/// Whose things a caller may see; empty means all.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub org: Option<Name>,
    pub env: Option<Name>,
}

impl Scope {
    fn admits(&self, run: &Run) -> bool {
        self.admits_env(&run.org, &run.env)
    }

    pub(super) fn admits_env(&self, org: &Name, env: &Name) -> bool {
        self.admits_of(Some((org.as_str(), env.as_str())))
    }

    /// Things of an org and env; with `None` those of which nobody knows whose they are.
    fn admits_of(&self, whose: Option<(&str, &str)>) -> bool {
        let fits = |mine: &Option<Name>, other: Option<&str>| {
            mine.as_ref().is_none_or(|mine| other == Some(mine.as_str()))
        };
        fits(&self.org, whose.map(|(org, _)| org)) && fits(&self.env, whose.map(|(_, env)| env))
    }
}

/// How a caller names a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunRef {
    Id(RunId),
    /// The number under which an agent knows it.
    Number(i64),
}

impl RunRef {
    /// A UUID in any spelling, or a whole number from 0 to 2^63-1.
    pub fn parse(text: &str) -> Result<RunRef, Refusal> {
        if let Ok(id) = text.parse::<Id>() {
            return Ok(RunRef::Id(id));
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if digits => Ok(RunRef::Number(number)),
            _ => Err(Refusal::new(
                Code::InvalidId,
                format!("{} is neither a UUID nor a number", crate::base::text::quote(text)),
            )),
        }
    }
}

/// A run with everything that is shown of it.
#[derive(Clone, Debug)]
pub struct RunView {
    pub run: Run,
    pub body: Body,
    pub output: Option<Vec<u8>>,
    pub waiting_because: Option<String>,
}

impl RunView {
    /// The head alone: what can be shown of a run that was just written when nothing can be read.
    pub fn head(run: Run) -> RunView {
        RunView { run, body: Body::default(), output: None, waiting_because: None }
    }
}

/// What the page of one run shows besides the run itself.
#[derive(Clone, Debug)]
pub struct History {
    pub lines: Vec<Line>,
    /// Newest first.
    pub attempts: Vec<Attempt>,
}

/// A run that the caller may see.
fn find(view: &dyn Rows, id: RunId, scope: &Scope) -> Result<Run, Refusal> {
    let run = run_rows::get(view, id).map_err(unreadable)?;
    if let Some(run) = run {
        return match scope.admits(&run) {
            true => Ok(run),
            false => Err(save::not_found(&id.to_string())),
        };
    }
    Err(absent(view, id, |whose| scope.admits_of(whose)).map_err(unreadable)?)
}

impl Appliance {
    /// Finds a run by any of its names.
    pub fn resolve(&self, run: RunRef, scope: &Scope) -> Result<RunId, Refusal> {
        let number = match run {
            RunRef::Id(id) => return Ok(id),
            RunRef::Number(number) => number,
        };
        let snapshot = self.snapshot()?;
        let mut found = Vec::new();
        for (_, id) in run_index::remote_all(&snapshot, number, 100).map_err(unreadable)? {
            let run = run_rows::get(&snapshot, id).map_err(unreadable)?;
            if run.is_some_and(|run| scope.admits(&run)) {
                found.push(id);
            }
        }
        match found[..] {
            [] => Err(save::not_found(&number.to_string())),
            [id] => Ok(id),
            _ => Err(Refusal::new(
                Code::AmbiguousId,
                format!("{} agents know a run under {number}; use its UUID", found.len()),
            )),
        }
    }

    /// The head of a run.
    pub fn run_row(&self, id: RunId, scope: &Scope) -> Result<Run, Refusal> {
        find(&self.snapshot()?, id, scope)
    }

    /// A run with payload, output and what it waits for.
    pub fn run(&self, id: RunId, scope: &Scope) -> Result<RunView, Refusal> {
        let snapshot = self.snapshot()?;
        let run = find(&snapshot, id, scope)?;
        view(&snapshot, run, self.now()).map_err(unreadable)
    }

    /// A run as answered after a write. The write is done, so this never fails: when the store
    /// cannot be read just now, the head is what there is.
    pub fn view(&self, run: Run) -> RunView {
        let read = |run| view(&self.snapshot()?, run, self.now()).map_err(unreadable);
        read(run.clone()).unwrap_or_else(|_| RunView::head(run))
    }

    /// Why a run has not started; `None` when it has.
    pub fn waiting_because(&self, run: &Run) -> Result<Option<String>, Refusal> {
        ask::waiting::because(&self.snapshot()?, run, self.now()).map_err(unreadable)
    }

    /// Like [`run`](Appliance::run), but waits until it is final, at most `span`.
    pub async fn run_final(
        &self,
        id: RunId,
        scope: &Scope,
        span: Span,
    ) -> Result<RunView, Refusal> {
        let watch = Stopwatch::start();
        let waiter = self.hub().wait_for(id)?;
        loop {
            let mut changed = std::pin::pin!(waiter.changed());
            changed.as_mut().enable();
            let run = self.run(id, scope)?;
            let left = span.to_duration().checked_sub(watch.elapsed());
            let (false, Some(left)) = (run.run.status.is_final(), left) else { return Ok(run) };
            let _ = tokio::time::timeout(left, changed).await;
        }
    }

    /// A page of runs, newest first.
    pub fn runs(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<RunId>,
    ) -> Result<Page, Refusal> {
        ask::list::list(&self.snapshot()?, filter, limit, before).map_err(unreadable)
    }

    /// A page of runs with all that is shown of each.
    pub fn run_views(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<RunId>,
    ) -> Result<(Vec<RunView>, Option<RunId>), Refusal> {
        let snapshot = self.snapshot()?;
        let page = ask::list::list(&snapshot, filter, limit, before).map_err(unreadable)?;
        let now = self.now();
        let views = page.runs.into_iter().map(|run| view(&snapshot, run, now));
        Ok((views.collect::<Result<_, _>>().map_err(unreadable)?, page.next))
    }

    /// Timeline and attempts.
    pub fn history(&self, id: RunId, scope: &Scope) -> Result<History, Refusal> {
        let snapshot = self.snapshot()?;
        let run = find(&snapshot, id, scope)?;
        history(&snapshot, &run).map_err(unreadable)
    }

    pub async fn cancel(
        &self,
        id: RunId,
        reason: Option<String>,
        by: &'static str,
        scope: &Scope,
    ) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        self.call(move |tx| cancel::cancel(tx, id, reason, by)).await
    }

    pub async fn replay(&self, id: RunId, scope: &Scope) -> Result<Run, Refusal> {
        let old = self.run_row(id, scope)?;
        // It is a create like any other, so the gate is asked.
        let caps = self.way_in((&old.org, &old.env))?;
        let fresh = self.call(move |tx| replay::replay(tx, id, caps.as_ref())).await?;
        self.was_accepted(&fresh);
        Ok(fresh.receipt.run)
    }

    pub async fn add_tags(
        &self,
        id: RunId,
        tags: Vec<String>,
        scope: &Scope,
    ) -> Result<(Run, usize), Refusal> {
        self.run_row(id, scope)?;
        self.call(move |tx| edit::add_tags(tx, id, tags)).await
    }

    pub async fn set_metadata(
        &self,
        id: RunId,
        metadata: Option<String>,
        version: Option<u64>,
        scope: &Scope,
    ) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        self.call(move |tx| edit::set_metadata(tx, id, metadata, version)).await
    }

    pub async fn reschedule(&self, id: RunId, delay: Span, scope: &Scope) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        self.call(move |tx| edit::reschedule(tx, id, delay)).await
    }

    pub async fn complete(
        &self,
        id: RunId,
        output: Option<Vec<u8>>,
        fence: Option<u32>,
        scope: &Scope,
    ) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        let bytes = output.as_ref().map_or(0, Vec::len);
        applied(self.call_sized(bytes, move |tx| report::complete(tx, id, output, fence)).await?)
    }

    pub async fn fail(
        &self,
        id: RunId,
        error: RunError,
        retryable: bool,
        fence: Option<u32>,
        scope: &Scope,
    ) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        applied(self.call(move |tx| report::fail(tx, id, error, retryable, fence)).await?)
    }

    pub async fn heartbeat(&self, id: RunId, fence: u32, scope: &Scope) -> Result<Run, Refusal> {
        self.run_row(id, scope)?;
        applied(self.call(move |tx| report::heartbeat(tx, id, fence)).await?)
    }
}

/// A late report is kept, and its sender is told that it was too late.
fn applied(reported: Reported) -> Result<Run, Refusal> {
    match reported {
        Reported::Applied(run) => Ok(run),
        Reported::Late { run, fence } => Err(Refusal::new(
            Code::StaleFence,
            format!(
                "fence {fence} is not that of the attempt that is out: kept aside, not applied"
            ),
        )
        .with_details(serde_json::json!({ "status": run.status.as_str(), "fence": run.fence }))),
    }
}

fn view(rows: &dyn Rows, mut run: Run, now: Time) -> Result<RunView, Fault> {
    // A link to a run that retention took is none.
    for link in [&mut run.parent, &mut run.replay_of] {
        if let Some(id) = *link
            && !run_rows::exists(rows, id)?
        {
            *link = None;
        }
    }
    let body = if run.payload_bytes > 0 || run.has_context {
        run_rows::body(rows, run.id)?
    } else {
        Body::default()
    };
    let output = if run.has_output { run_rows::output(rows, run.id)? } else { None };
    let waiting_because = ask::waiting::because(rows, &run, now)?;
    Ok(RunView { run, body, output, waiting_because })
}

/// The timeline: what the run's own fields tell, its attempts and its lines, in order of time.
fn history(rows: &dyn Rows, run: &Run) -> Result<History, Fault> {
    let attempts = attempts::latest(rows, run.id, attempts::ATTEMPTS_SHOWN_MAX)?;
    let line = |at: Time, what: &str, detail: String, by: &str, attempt| Line {
        at,
        what: what.to_owned(),
        detail,
        by: by.to_owned(),
        attempt,
    };
    let mut lines = vec![line(run.created_at, "created", String::new(), "api", None)];
    if let Some(old) = run.replay_of {
        lines[0].detail = format!("as a replay of {old}");
    }
    for attempt in attempts.iter().rev().filter(|attempt| !attempt.late) {
        let number = Some(attempt.number);
        let ended = attempt.started_at.plus(Span(i64::from(attempt.elapsed_ms)));
        let answer = match attempt.status {
            // Most details begin with the status already.
            Some(status) if !attempt.detail.starts_with(&status.to_string()) => {
                format!("{status} {}", attempt.detail)
            }
            _ => attempt.detail.clone(),
        };
        lines.push(line(attempt.started_at, "attempt_started", String::new(), "tidegate", number));
        let by = ended_by(run, &attempt.class);
        lines.push(line(ended, &format!("attempt_{}", attempt.class), answer, by, number));
    }
    lines.extend(event::list(rows, run.id, event::LINES_SHOWN_MAX)?);
    if let Some(finished_at) = run.finished_at {
        let detail = run
            .error
            .as_ref()
            .map_or(String::new(), |error| format!("{}: {}", error.code, error.message));
        let status = run.status.as_str();
        if !lines.iter().any(|line| line.what == status) {
            lines.push(line(finished_at, status, detail, "tidegate", None));
        }
    }
    lines.sort_by_key(|line| line.at);
    Ok(History { lines, attempts })
}

/// Who ended an attempt: whoever does the work of the run, unless it was missed.
fn ended_by(run: &Run, class: &str) -> &'static str {
    if class == WORKER_LOST { "tidegate" } else { run.done_by() }
}
