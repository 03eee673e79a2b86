//! `GET /outbox`, and the two forms on it that come back to the page: replay many, pause.

use axum::extract::State;
use http::Uri;

use super::form::{Form, Typed};
use super::look::Look;
use super::runs::attempts_max;
use super::{counted, html};
use crate::appliance::outbox::{
    DeadFilter, OUTBOX_PAGE_MAX, OutboxCursor, OutboxItem, OutboxState, Replayed, lane_text,
};
use crate::appliance::runs::Scope;
use crate::base::time::Time;
use crate::front::dashboard::outbox::{
    OutboxPage, OutboxRow, PauseForm, PauseRow, PauseScope, ReplayForm, ReplayResult,
};
use crate::front::dashboard::parts::{Badge, Pager, RunLink, Tab, When};
use crate::front::dashboard::text;
use crate::front::http::error::{Answer, Error};
use crate::front::http::outbox::{
    REASON_BYTES_MAX, cursor_text, kind_word, read_cursor, read_scope, read_until, run_of,
    scope_text, state_of,
};
use crate::front::http::query::Query;
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::model::delivery::{Pause, Purpose, RowState};
use crate::model::refusal::Refusal;
use crate::model::task::Task;

/// Rows of a page unless asked otherwise.
const ROWS_DEFAULT: usize = 50;
/// Matching dead letters that a preview shows.
const SAMPLE_ROWS: usize = 5;
/// Tasks whose limits are looked up, and scopes that are offered.
const TASKS_MAX: usize = 1_000;

/// Which rows a page shows.
struct View {
    state: OutboxState,
    lane: Option<String>,
    limit: usize,
    cursor: Option<OutboxCursor>,
}

impl View {
    fn read(mut query: Query) -> Result<View, Refusal> {
        let view = View {
            state: state_of(&mut query)?,
            lane: query.text("lane"),
            limit: query.number("limit", OUTBOX_PAGE_MAX)?.unwrap_or(ROWS_DEFAULT),
            cursor: query.text("cursor").map(|text| read_cursor(&text)).transpose()?,
        };
        query.end()?;
        Ok(view)
    }

    /// The first page of a tab.
    fn of(state: OutboxState) -> View {
        View { state, lane: None, limit: ROWS_DEFAULT, cursor: None }
    }

    fn href(&self, state: OutboxState, cursor: Option<&OutboxCursor>) -> String {
        let limit = if self.limit == ROWS_DEFAULT { String::new() } else { self.limit.to_string() };
        let lane = self.lane.as_deref().unwrap_or("");
        let cursor = cursor.map_or(String::new(), cursor_text);
        let pairs =
            [("state", word(state)), ("lane", lane), ("limit", &limit), ("cursor", &cursor)];
        text::link("/outbox", &pairs)
    }
}

fn word(state: OutboxState) -> &'static str {
    match state {
        OutboxState::Due => "due",
        OutboxState::Leased => "leased",
        OutboxState::Dead => "dead",
    }
}

pub async fn show(State(front): State<Front>, uri: Uri) -> Answer {
    let view = View::read(Query::of(Typed::of_query(uri.query()).0))?;
    Ok(html(200, &page(&front, &view)?))
}

/// Gives dead letters a new series of attempts. Without `dry_run=false` it only counts them.
pub async fn replay(State(front): State<Front>, Form { mut fields, typed, .. }: Form) -> Answer {
    let dry_run = fields.text("dry_run").as_deref() != Some("false");
    let filter = dead_filter(&mut fields, front.appliance.now())
        .and_then(|filter| fields.end().map(|()| filter));
    let done = match filter {
        Ok(filter) => {
            front.appliance.replay_dead(filter.clone(), dry_run).await.map(|done| (filter, done))
        }
        Err(refusal) => Err(refusal),
    };
    let mut page = page(&front, &View::of(OutboxState::Dead))?;
    page.shell.live = false;
    page.replay = ReplayForm {
        task: typed.text("task"),
        org: typed.text("org"),
        env: typed.text("env"),
        code: typed.text("code"),
        from: typed.text("from"),
        to: typed.text("to"),
    };
    match done {
        Ok((filter, done)) => {
            page.replay_result = Some(replay_result(&front, &filter, dry_run, &done)?);
            Ok(html(200, &page))
        }
        Err(refusal) => Ok(refused(page, refusal)),
    }
}

fn dead_filter(fields: &mut Query, now: Time) -> Result<DeadFilter, Refusal> {
    Ok(DeadFilter {
        endpoint: fields.name("task")?,
        org: fields.name("org")?,
        env: fields.name("env")?,
        code: fields.text("code"),
        from: fields.time("from", now)?,
        to: fields.time("to", now)?,
    })
}

/// Holds deliveries of a scope back.
pub async fn pause(State(front): State<Front>, Form { fields, typed, back }: Form) -> Answer {
    match add_pause(&front, fields).await {
        Ok(()) => Ok(back.or("/outbox#pauses")),
        Err(refusal) => {
            let mut page = page(&front, &View::of(OutboxState::Due))?;
            page.shell.live = false;
            page.pause_refused = true;
            page.pause = PauseForm {
                scope: typed.text("scope"),
                lane: typed.text("lane"),
                reason: typed.text("reason"),
                until: typed.text("until"),
            };
            Ok(refused(page, refusal))
        }
    }
}

async fn add_pause(front: &Front, mut fields: Query) -> Result<(), Refusal> {
    let scope = fields.text("scope").unwrap_or_default();
    let scope = read_scope(&scope, fields.text("lane").as_deref())?;
    let reason = fields.text("reason").unwrap_or_default();
    let reason = checks::text("reason", reason, REASON_BYTES_MAX)?;
    let until = read_until(fields.text("until").as_deref(), front.appliance.now())?;
    fields.end()?;
    front.appliance.pause(scope, reason, until).await.map(drop)
}

/// The page again, with what was typed and why it was refused.
fn refused(mut page: OutboxPage, refusal: Refusal) -> axum::response::Response {
    let mut response = {
        page.form_error = refusal.message.clone();
        html(refusal.code.class().http_status(), &page)
    };
    if let Some(span) = refusal.retry_after {
        let secs = http::HeaderValue::from(span.as_secs_ceil().max(1));
        response.headers_mut().insert(http::header::RETRY_AFTER, secs);
    }
    response
}

fn page(front: &Front, view: &View) -> Result<OutboxPage, Error> {
    let look = Look::take(front)?;
    let tasks = front.appliance.tasks(None, TASKS_MAX)?;
    let cursor = view.cursor.clone();
    let found = front.appliance.outbox(view.state, view.lane.as_deref(), view.limit, cursor)?;
    let here = view.href(view.state, view.cursor.as_ref());
    let mut shell = look.shell(front, "Outbox", "/outbox", here);
    shell.live = view.cursor.is_none();
    let rows: Result<Vec<OutboxRow>, Refusal> =
        found.items.iter().map(|item| row(front, item, &tasks, look.now)).collect();
    Ok(OutboxPage {
        shell,
        tabs: tabs(view, &look),
        state: word(view.state).to_owned(),
        lane: view.lane.clone().unwrap_or_default(),
        rows: rows?,
        pager: Pager {
            newest: view.cursor.as_ref().map(|_| view.href(view.state, None)),
            older: found.next.as_ref().map(|next| view.href(view.state, Some(next))),
            partial: None,
        },
        pauses: look.pauses.iter().map(|pause| pause_row(pause, look.now)).collect(),
        pause_scopes: pause_scopes(&tasks),
        ..OutboxPage::default()
    })
}

/// The counters know all rows, not those of one lane.
fn tabs(view: &View, look: &Look) -> Vec<Tab> {
    let figures = &look.outbox;
    [
        (OutboxState::Due, figures.due),
        (OutboxState::Leased, figures.leased),
        (OutboxState::Dead, figures.dead),
    ]
    .into_iter()
    .map(|(state, count)| Tab {
        label: word(state).to_owned(),
        href: View { cursor: None, lane: view.lane.clone(), ..*view }.href(state, None),
        count: if view.lane.is_none() { text::count(counted(count)) } else { String::new() },
        tone: Some(Badge::outbox(word(state)).tone),
        current: state == view.state,
    })
    .collect()
}

fn row(front: &Front, item: &OutboxItem, tasks: &[Task], now: Time) -> Result<OutboxRow, Refusal> {
    let row = item.row();
    let task = tasks.iter().find(|task| task.name == row.endpoint);
    let (when, last) = match (item, row.state) {
        (OutboxItem::Dead(letter), _) => (letter.died_at, Some((&letter.code, &letter.detail))),
        (_, RowState::Leased { until }) => {
            (until, row.last_code.as_ref().zip(row.last_detail.as_ref()))
        }
        _ => (row.due_at, row.last_code.as_ref().zip(row.last_detail.as_ref())),
    };
    Ok(OutboxRow {
        id: row.id.to_string(),
        kind: kind_word(row).to_owned(),
        task: row.endpoint.to_string(),
        lane: lane_text(row),
        run: RunLink::to(run_of(row).to_string()),
        state: state_badge(item),
        attempts: u64::from(row.attempts),
        attempts_max: row_attempts_max(front, item, task)?,
        when: When::at(when, now),
        last: last.map(|(code, _)| Badge::outcome(code, item.died_at().is_none())),
        detail: last.map_or(String::new(), |(_, detail)| text::first_line(detail, 300)),
    })
}

/// Due rows that wait for their time say for what: a delay, or the next attempt.
pub fn state_badge(item: &OutboxItem) -> Badge {
    let row = item.row();
    match (item.died_at(), row.state) {
        (Some(_), _) => Badge::outbox("dead"),
        (None, RowState::Leased { .. }) => Badge::outbox("leased"),
        (None, RowState::Ready) => Badge::outbox("due"),
        (None, RowState::Waiting) if row.attempts == 0 => Badge::outbox("delayed"),
        (None, RowState::Waiting) => Badge::outbox("retrying"),
    }
}

/// The attempts after which a row is given up, as [`attempts_max`] for its run.
pub fn row_attempts_max(
    front: &Front,
    item: &OutboxItem,
    task: Option<&Task>,
) -> Result<Option<u64>, Refusal> {
    let row = item.row();
    let max = match row.purpose {
        Purpose::Run => match front.appliance.run_row(row.id, &Scope::default()) {
            Ok(run) => attempts_max(&crate::model::run::Run { attempts: 0, ..run }, task),
            Err(_) => None,
        },
        Purpose::Hook { .. } => task.and_then(|task| task.retry.attempts_max()).map(u64::from),
    };
    Ok(max.filter(|max| u64::from(row.attempts) <= *max))
}

fn pause_row(pause: &Pause, now: Time) -> PauseRow {
    let (scope, lane) = scope_text(&pause.scope);
    PauseRow {
        scope,
        lane: lane.unwrap_or_default(),
        reason: pause.reason.clone(),
        since: When::at(pause.since, now),
        until: When::maybe(pause.until, now),
    }
}

fn pause_scopes(tasks: &[Task]) -> Vec<PauseScope> {
    let all = PauseScope { value: "all".to_owned(), label: "everything".to_owned() };
    let of_task = |task: &Task| PauseScope {
        value: format!("task:{}", task.name),
        label: format!("task {}", task.name),
    };
    std::iter::once(all).chain(tasks.iter().map(of_task)).collect()
}

fn replay_result(
    front: &Front,
    filter: &DeadFilter,
    dry_run: bool,
    done: &Replayed,
) -> Result<ReplayResult, Error> {
    let mut sample = Vec::new();
    if dry_run && done.matched > 0 {
        let now = front.appliance.now();
        let tasks = front.appliance.tasks(None, TASKS_MAX)?;
        let newest = front.appliance.outbox(OutboxState::Dead, None, OUTBOX_PAGE_MAX, None)?;
        for item in &newest.items {
            if let OutboxItem::Dead(letter) = item
                && filter.matches(letter)
                && sample.len() < SAMPLE_ROWS
            {
                sample.push(row(front, item, &tasks, now)?);
            }
        }
    }
    Ok(ReplayResult {
        dry_run,
        matched: done.matched as u64,
        more: done.more,
        replayed: done.replayed as u64,
        skipped: done.skipped as u64,
        sample,
    })
}
