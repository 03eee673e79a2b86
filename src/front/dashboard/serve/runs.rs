//! `GET /runs`: a page of runs, and what its filter says.

use axum::extract::State;
use http::Uri;

use super::form::Typed;
use super::look::Look;
use super::overview::{error_line, first_run};
use super::{counted, html};
use crate::appliance::runs::{Filter, LOOKED_AT_MAX, Page};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::front::dashboard::parts::{Badge, Pager, RunLink, Tab, When};
use crate::front::dashboard::runs::{RunRow, RunsFilter, RunsPage};
use crate::front::dashboard::shell::Shell;
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::runs as reading;
use crate::front::http::state::Front;
use crate::model::refusal::Refusal;
use crate::model::run::{Run, Status};
use crate::model::task::Task;

/// Names that are offered while typing, and tasks whose limits are looked up.
pub const TASKS_MAX: usize = 1_000;

pub async fn show(State(front): State<Front>, uri: Uri) -> Answer {
    let typed = Typed::of_query(uri.query());
    let look = Look::take(&front)?;
    let tasks = front.appliance.tasks(None, TASKS_MAX)?;
    let mut query = Query::of(typed.0.clone());
    let asked = reading::filter(&mut query, look.now).and_then(|asked| query.end().map(|()| asked));
    let filter = as_typed(&typed);
    let here = filter.href_for(&filter.status);
    let mut page = RunsPage {
        shell: look.shell(&front, "Runs", "/runs", here.clone()),
        tabs: tabs(&front, &filter)?,
        tasks: tasks.iter().map(|task| task.name.to_string()).collect(),
        first_run_curl: first_run(&front.about.address, tasks.first()),
        filter,
        ..RunsPage::default()
    };
    match asked {
        Ok((filter, limit, before)) => {
            let found = front.appliance.runs(&filter, limit, before)?;
            page.rows = rows(&front, &found.runs, &tasks, look.now)?;
            page.pager = pager(&page.filter, &found, before.is_some());
            page.empty_house = is_everything(&filter) && before.is_none() && found.runs.is_empty();
            if before.is_some() {
                let cursor = typed.text("cursor");
                page.shell = Shell { live: false, here: with_cursor(&here, &cursor), ..page.shell };
            }
            Ok(html(200, &page))
        }
        Err(refusal) => {
            page.shell.live = false;
            page.filter_error = Some(refusal.message);
            Ok(html(refusal.code.class().http_status(), &page))
        }
    }
}

fn as_typed(typed: &Typed) -> RunsFilter {
    RunsFilter {
        status: typed.text("status"),
        task: typed.text("task"),
        org: typed.text("org"),
        env: typed.text("env"),
        tag: typed.text("tag"),
        batch: typed.text("batch"),
        from: typed.text("from"),
        to: typed.text("to"),
        q: typed.text("q"),
        limit: typed.text("limit"),
    }
}

fn is_everything(filter: &Filter) -> bool {
    filter.statuses.is_empty()
        && filter.task.is_none()
        && filter.org.is_none()
        && filter.env.is_none()
        && filter.tag.is_none()
        && filter.batch.is_none()
        && filter.from.is_none()
        && filter.to.is_none()
        && filter.words.is_empty()
        && filter.idempotency_key.is_none()
}

/// One tab per status. They carry counts only where the counters know them: of everything, or of
/// one task. Under any other filter a number would be that of another list.
fn tabs(front: &Front, filter: &RunsFilter) -> Result<Vec<Tab>, Refusal> {
    let task_alone = RunsFilter { task: String::new(), ..filter.clone() };
    let counts = match (task_alone.narrowed(), Name::new(&filter.task)) {
        (false, Ok(task)) => Some(front.appliance.status_counts(Some(&task))?),
        (false, Err(_)) if filter.task.is_empty() => Some(front.appliance.status_counts(None)?),
        _ => None,
    };
    let count = |status: Status| {
        let found = counts.iter().flatten().find(|(known, _)| *known == status);
        found.map_or(String::new(), |(_, count)| text::count(counted(*count)))
    };
    let all = Tab {
        label: "All".to_owned(),
        href: filter.href_for(""),
        current: filter.status.is_empty(),
        ..Tab::default()
    };
    let statuses = Status::ALL.into_iter().map(|status| {
        let badge = Badge::run(status.as_str());
        Tab {
            label: badge.label,
            href: filter.href_for(status.as_str()),
            count: count(status),
            tone: Some(badge.tone),
            current: filter.status.split(',').any(|word| word == status.as_str()),
        }
    });
    Ok(std::iter::once(all).chain(statuses).collect())
}

fn pager(filter: &RunsFilter, found: &Page, paged: bool) -> Pager {
    let first = filter.href_for(&filter.status);
    Pager {
        older: found.next.map(|id| with_cursor(&first, &id.to_string())),
        newest: paged.then_some(first),
        partial: found
            .partial
            .then(|| format!("this page looked at {} runs", text::count(LOOKED_AT_MAX as u64))),
    }
}

/// The next page of a list.
pub fn with_cursor(href: &str, cursor: &str) -> String {
    let glue = if href.contains('?') { '&' } else { '?' };
    let query = text::link("", &[("cursor", cursor)]);
    format!("{href}{glue}{}", query.trim_start_matches('?'))
}

/// The rows of a table of runs.
pub fn rows(
    front: &Front,
    runs: &[Run],
    tasks: &[Task],
    now: Time,
) -> Result<Vec<RunRow>, Refusal> {
    runs.iter().map(|run| row(front, run, tasks, now)).collect()
}

fn row(front: &Front, run: &Run, tasks: &[Task], now: Time) -> Result<RunRow, Refusal> {
    let task = tasks.iter().find(|task| task.name == run.task);
    Ok(RunRow {
        run: RunLink::to(run.id.to_string()),
        task: run.task.to_string(),
        state: Badge::run(run.status.as_str()),
        org: run.org.to_string(),
        env: run.env.to_string(),
        attempt: u64::from(run.attempts),
        attempts_max: attempts_max(run, task),
        created: When::at(run.created_at, now),
        duration: duration(run, now),
        tags: run.tags.clone(),
        error: if run.error.is_some() { error_line(run) } else { String::new() },
        waiting_because: match (front.appliance.waiting_because(run)?, &run.last_failure) {
            (Some(why), _) => why,
            (None, Some(_)) => format!("its latest attempt failed: {}", error_line(run)),
            (None, None) => String::new(),
        },
    })
}

/// From the start to the end; a dash while nothing runs.
fn duration(run: &Run, now: Time) -> String {
    let at_work = run.status.is_final() || run.status.holds_slot();
    text::span_or_dash(run.duration(now).filter(|_| at_work))
}

/// The attempts after which a run is given up: its own limit or that of its task. `None` where
/// age is the limit, and for a run that a replay of its dead letter took beyond it.
pub fn attempts_max(run: &Run, task: Option<&Task>) -> Option<u64> {
    let of_task = task.and_then(|task| task.retry.attempts_max());
    let max = match (run.max_attempts, of_task) {
        (Some(own), Some(of_task)) => Some(own.min(of_task)),
        (own, of_task) => own.or(of_task),
    };
    max.filter(|max| run.attempts <= *max).map(u64::from)
}
