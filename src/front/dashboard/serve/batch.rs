//! `GET /batches/{id}`: one batch with its counts and its runs; and the form that cancels the rest.

use axum::extract::{Path, State};
use http::Uri;

use super::batches::{progress, state, took};
use super::form::{Form, Typed};
use super::html;
use super::look::Look;
use super::runs::{TASKS_MAX, rows, with_cursor};
use crate::appliance::batches::Counted;
use crate::appliance::runs::{Filter, Page, Scope};
use crate::base::time::Time;
use crate::front::dashboard::batches::{BatchFacts, BatchPage, CancelNote, CountLink};
use crate::front::dashboard::parts::{Badge, Pager, RunLink, When};
use crate::front::dashboard::text;
use crate::front::http::batches::id_of;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::runs::{PAGE_DEFAULT, REASON_BYTES_MAX, cursor};
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::model::run::Status;

/// People on pages see every org and env.
const EVERYWHERE: Scope = Scope { org: None, env: None };

pub async fn show(State(front): State<Front>, Path(id): Path<String>, uri: Uri) -> Answer {
    let id = id_of(&id)?;
    let mut query = Query::of(Typed::of_query(uri.query()).0);
    let from = cursor(&mut query)?;
    query.end()?;
    let counted = front.appliance.batch(id, &EVERYWHERE)?;
    let filter = Filter { batch: Some(id), ..Filter::default() };
    let found = front.appliance.runs(&filter, PAGE_DEFAULT, from)?;
    let tasks = front.appliance.tasks(None, TASKS_MAX)?;
    let look = Look::take(&front)?;
    let title = format!("Batch {}", text::short_id(&id.to_string()));
    let href = format!("/batches/{id}");
    let mut page = BatchPage {
        shell: look.shell(&front, &title, "/batches", href.clone()),
        id: id.to_string(),
        state: state(&counted),
        facts: facts(&counted, look.now),
        progress: progress(&counted),
        counts: counts(&counted),
        cancelable: counted.cancelable() > 0 && !is_canceling(&counted),
        cancel: cancel_note(&counted, look.now),
        rows: rows(&front, &found.runs, &tasks, look.now)?,
        pager: pager(&href, &found, from.is_some()),
    };
    page.shell.live = from.is_none();
    Ok(html(200, &page))
}

fn pager(href: &str, found: &Page, paged: bool) -> Pager {
    Pager {
        older: found.next.map(|next| with_cursor(href, &next.to_string())),
        newest: paged.then(|| href.to_owned()),
        partial: None,
    }
}

fn is_canceling(counted: &Counted) -> bool {
    counted.batch.cancel.as_ref().is_some_and(|job| job.ended_at.is_none())
}

/// Every status that a run of it has, with the list of those runs.
fn counts(counted: &Counted) -> Vec<CountLink> {
    let id = counted.batch.id.to_string();
    let link = |(status, count): &(Status, u64)| CountLink {
        badge: Badge::run(status.as_str()),
        count: *count,
        href: text::link("/runs", &[("status", status.as_str()), ("batch", &id)]),
    };
    counted.counts.iter().map(link).collect()
}

fn facts(counted: &Counted, now: Time) -> BatchFacts {
    let batch = &counted.batch;
    let callback = batch.callback.as_ref();
    let run = callback.and_then(|callback| callback.run);
    BatchFacts {
        org: batch.org.to_string(),
        env: batch.env.to_string(),
        created: When::at(batch.created_at, now),
        finished: When::maybe(batch.finished_at, now),
        duration: text::span(took(counted, now)),
        total: u64::from(batch.total),
        earlier: u64::from(batch.items - batch.total),
        to_make: counted.unmade(),
        buffered: batch.buffered,
        idempotency_key: batch.idempotency_key.clone().unwrap_or_default(),
        callback_task: callback.map_or(String::new(), |callback| callback.task.to_string()),
        callback_run: run.map_or(RunLink::default(), |run| RunLink::to(run.to_string())),
        callback_error: callback.and_then(|callback| callback.error.clone()).unwrap_or_default(),
    }
}

fn cancel_note(counted: &Counted, now: Time) -> Option<CancelNote> {
    let job = counted.batch.cancel.as_ref()?;
    Some(CancelNote {
        requested: When::at(job.requested_at, now),
        by: job.by.clone(),
        reason: job.reason.clone().unwrap_or_default(),
        canceled: u64::from(job.canceled),
        remaining: counted.cancelable(),
        done: job.ended_at.is_some(),
    })
}

pub async fn cancel(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { mut fields, back, .. }: Form,
) -> Answer {
    let id = id_of(&id)?;
    let reason = fields.text("reason");
    let reason = reason.map(|text| checks::text("reason", text, REASON_BYTES_MAX)).transpose()?;
    fields.end()?;
    front.appliance.cancel_batch(id, reason, "operator", &EVERYWHERE).await?;
    Ok(back.or(&format!("/batches/{id}")))
}
