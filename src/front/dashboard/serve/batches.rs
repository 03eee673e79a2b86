//! `GET /batches`: a page of batches, and what its filter says.

use axum::extract::State;
use http::Uri;

use super::form::Typed;
use super::html;
use super::look::Look;
use super::runs::with_cursor;
use crate::appliance::batches::Counted;
use crate::base::time::{Span, Time};
use crate::front::dashboard::batches::{BatchRow, BatchesFilter, BatchesPage, Progress};
use crate::front::dashboard::parts::{Badge, Pager, Tone, When};
use crate::front::dashboard::shell::Shell;
use crate::front::dashboard::text;
use crate::front::http::batches as reading;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;
use crate::model::run::Status;

pub async fn show(State(front): State<Front>, uri: Uri) -> Answer {
    let typed = Typed::of_query(uri.query());
    let look = Look::take(&front)?;
    let mut query = Query::of(typed.0.clone());
    let asked = reading::filter(&mut query).and_then(|asked| query.end().map(|()| asked));
    let filter =
        BatchesFilter { org: typed.text("org"), env: typed.text("env"), done: typed.text("done") };
    let here = filter.href();
    let mut page = BatchesPage {
        shell: look.shell(&front, "Batches", "/batches", here.clone()),
        first_batch_curl: text::curl_post(
            &format!("{}/v1/batches", front.about.address),
            r#"{"items": [{"task": "resize", "payload": {"n": 1}}, {"task": "resize", "payload": {"n": 2}}]}"#,
        ),
        filter,
        ..BatchesPage::default()
    };
    let (wanted, limit, before) = match asked {
        Ok(asked) => asked,
        Err(refusal) => {
            page.shell.live = false;
            page.filter_error = Some(refusal.message);
            return Ok(html(refusal.code.class().http_status(), &page));
        }
    };
    let found = front.appliance.batches(&wanted, limit, before)?;
    page.rows = found.batches.iter().map(|counted| row(counted, look.now)).collect();
    page.empty_house =
        !page.filter.narrowed() && before.is_none() && found.next.is_none() && page.rows.is_empty();
    page.pager = Pager {
        older: found.next.map(|id| with_cursor(&here, &id.to_string())),
        newest: before.is_some().then(|| here.clone()),
        partial: None,
    };
    if before.is_some() {
        let cursor = typed.text("cursor");
        page.shell = Shell { live: false, here: with_cursor(&here, &cursor), ..page.shell };
    }
    Ok(html(200, &page))
}

fn row(counted: &Counted, now: Time) -> BatchRow {
    let batch = &counted.batch;
    BatchRow {
        id: batch.id.to_string(),
        state: state(counted),
        org: batch.org.to_string(),
        env: batch.env.to_string(),
        created: When::at(batch.created_at, now),
        duration: text::span(took(counted, now)),
        total: u64::from(batch.total),
        ended: sum(counted, Status::is_final),
        failed: sum(counted, is_failure),
        progress: progress(counted),
    }
}

/// From the creation to the end, or to now.
pub fn took(counted: &Counted, now: Time) -> Span {
    counted.batch.finished_at.unwrap_or(now).since(counted.batch.created_at)
}

fn sum(counted: &Counted, which: impl Fn(Status) -> bool) -> u64 {
    counted.counts.iter().filter(|(status, _)| which(*status)).map(|(_, count)| count).sum()
}

fn is_failure(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Expired | Status::SystemFailure)
}

/// Where it stands, in a word.
pub fn state(counted: &Counted) -> Badge {
    let (batch, failed) = (&counted.batch, sum(counted, is_failure));
    let canceling = batch.cancel.as_ref().is_some_and(|job| job.ended_at.is_none());
    match (batch.is_done(), counted.unmade() > 0) {
        (true, _) if failed > 0 => Badge::new(Tone::Red, "cross", "done, with failures"),
        (true, _) => Badge::new(Tone::Green, "check", "done"),
        (false, _) if canceling => Badge::new(Tone::Violet, "clock", "canceling"),
        (false, true) => Badge::new(Tone::Blue, "clock", "being made"),
        (false, false) => Badge::new(Tone::Cyan, "play", "open"),
    }
}

pub fn progress(counted: &Counted) -> Progress {
    // What has ended stands in front, so that a bar fills up from the left.
    let (ended, open): (Vec<_>, Vec<_>) =
        counted.counts.iter().copied().partition(|(status, _)| status.is_final());
    let parts: Vec<(&str, u64)> =
        ended.into_iter().chain(open).map(|(status, count)| (status.as_str(), count)).collect();
    Progress::of(&parts, u64::from(counted.batch.total))
}
