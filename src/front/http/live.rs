//! `GET /v1/live`: server-sent events that say when to look again. They carry no data, so a slow
//! reader never makes anything pile up; at most one a second.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;

use super::error::Answer;
use super::state::Front;
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};

/// Pages that may listen at once.
const LISTENERS_MAX: usize = 256;
/// Least time between two events of one listener.
const PAUSE: Duration = Duration::from_secs(1);

static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// A listener's seat; dropping it frees it.
struct Seat;

impl Seat {
    fn take() -> Result<Arc<Seat>, Refusal> {
        if LISTENERS.fetch_add(1, Ordering::SeqCst) >= LISTENERS_MAX {
            LISTENERS.fetch_sub(1, Ordering::SeqCst);
            let message = format!("{LISTENERS_MAX} pages listen already; load this one by hand");
            return Err(Refusal::new(Code::LimitWaiting, message).retry_after(Span::from_secs(30)));
        }
        Ok(Arc::new(Seat))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The stream of changes.
pub async fn live(State(front): State<Front>) -> Answer {
    let seat = Seat::take()?;
    let versions = front.appliance.hub().page_versions();
    let stop = front.stop.clone();
    let events = stream::unfold(
        (versions, stop, seat, true),
        |(mut versions, stop, seat, first)| async move {
            if !first {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = tokio::time::sleep(PAUSE) => {}
                }
                tokio::select! {
                    () = stop.cancelled() => return None,
                    changed = versions.changed() => changed.ok()?,
                }
            }
            versions.mark_unchanged();
            let name = if first { "hello" } else { "changed" };
            let event = Ok::<_, Infallible>(Event::default().event(name).data("look"));
            Some((event, (versions, stop, seat, false)))
        },
    );
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15)).text("alive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
