//! `GET /outbox/{id}`: one row or dead letter with its attempts.

use axum::extract::{Path, State};

use super::look::Look;
use super::outbox::{row_attempts_max, state_badge};
use super::{attempts, html};
use crate::appliance::outbox::{OutboxItem, lane_text};
use crate::appliance::runs::Scope;
use crate::base::time::Time;
use crate::front::dashboard::outbox::{OutboxFacts, OutboxRowPage};
use crate::front::dashboard::parts::{RunLink, When};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::outbox::{kind_word, parse_id, run_of};
use crate::front::http::state::Front;
use crate::model::delivery::{Purpose, RowState};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Run, Status};
use crate::model::task::Task;

pub async fn show(State(front): State<Front>, Path(id): Path<String>) -> Answer {
    Ok(html(200, &page(&front, &id)?))
}

fn page(front: &Front, id: &str) -> Result<OutboxRowPage, Refusal> {
    let (item, log) = front.appliance.outbox_item(parse_id(id)?)?;
    let look = Look::take(front)?;
    let row = item.row();
    let id = row.id.to_string();
    let task = match front.appliance.task(&row.endpoint) {
        Ok(task) => Some(task),
        Err(refusal) if refusal.code == Code::TaskNotFound => None,
        Err(refusal) => return Err(refusal),
    };
    let run = match front.appliance.run_row(run_of(row), &Scope::default()) {
        Ok(run) => Some(run),
        Err(refusal) if refusal.code == Code::RunNotFound => None,
        Err(refusal) => return Err(refusal),
    };
    let waiting = match (&item, &run) {
        (OutboxItem::Row(row), Some(run)) if row.purpose == Purpose::Run => {
            front.appliance.waiting_because(run)?
        }
        _ => None,
    };
    let attempts_max = row_attempts_max(front, &item, task.as_ref())?;
    let title = format!("Outbox row {}", text::short_id(&id));
    Ok(OutboxRowPage {
        shell: look.shell(front, &title, "/outbox", format!("/outbox/{id}")),
        state: state_badge(&item),
        can_retry: can_retry(&item, run.as_ref()),
        waiting_because: waiting.unwrap_or_default(),
        facts: facts(&item, task.as_ref(), attempts_max, look.now),
        attempts: attempts::rows(&log, look.now),
        id,
    })
}

/// A retry would change something and not be refused.
fn can_retry(item: &OutboxItem, run: Option<&Run>) -> bool {
    match item {
        OutboxItem::Row(row) => row.state == RowState::Waiting,
        OutboxItem::Dead(letter) => {
            letter.row.purpose != Purpose::Run
                || run.is_some_and(|run| run.status == Status::Failed)
        }
    }
}

fn facts(
    item: &OutboxItem,
    task: Option<&Task>,
    attempts_max: Option<u64>,
    now: Time,
) -> OutboxFacts {
    let row = item.row();
    let alive = item.died_at().is_none();
    let lease = match row.state {
        RowState::Leased { until } if alive => Some(until),
        _ => None,
    };
    let age_max = task.and_then(|task| task.retry.age_max());
    let gives_up = row.first_attempt_at.zip(age_max).map(|(first, age)| first.plus(age));
    OutboxFacts {
        kind: kind_word(row).to_owned(),
        task: row.endpoint.to_string(),
        lane: lane_text(row),
        run: RunLink::to(run_of(row).to_string()),
        url: task.and_then(Task::push).map_or(String::new(), |push| push.url.clone()),
        attempts: u64::from(row.attempts),
        attempts_max,
        created: When::at(row.created_at, now),
        due: When::maybe((alive && lease.is_none()).then_some(row.due_at), now),
        lease_until: When::maybe(lease, now),
        dead_since: When::maybe(item.died_at(), now),
        gives_up: When::maybe(gives_up.filter(|_| alive), now),
        fence: (row.fence > 0).then_some(row.fence),
        ordering: if row.ordered { "one at a time, in order" } else { "none" }.to_owned(),
    }
}
