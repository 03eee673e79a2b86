//! What pages and monitors listen to: when to look again, and every new measurement.
//!
//! `hello` comes first, `changed` at most once a second when something was committed, `snapshot` with
//! each measurement. A listener that is slow gets the newest and misses the others, so nothing ever
//! piles up. `GET /v1/live` sends them as server-sent events, `/ws` as texts of a WebSocket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::Answer;
use super::state::Front;
use super::who::Proof;
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};
use crate::model::sample::Sample;

/// Pages and monitors that may listen at once.
const LISTENERS_MAX: usize = 256;
/// Least time between two words of a change to one listener.
const PAUSE: Duration = Duration::from_secs(1);

static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// A listener's seat; dropping it frees it.
struct Seat;

impl Seat {
    fn take() -> Result<Seat, Refusal> {
        if LISTENERS.fetch_add(1, Ordering::SeqCst) >= LISTENERS_MAX {
            LISTENERS.fetch_sub(1, Ordering::SeqCst);
            let message = format!("{LISTENERS_MAX} pages listen already; load this one by hand");
            return Err(Refusal::new(Code::LimitWaiting, message).retry_after(Span::from_secs(30)));
        }
        Ok(Seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Pages and monitors that listen now.
pub fn listeners() -> usize {
    LISTENERS.load(Ordering::SeqCst)
}

/// What a listener is told.
#[derive(Clone, Debug)]
pub enum Message {
    Hello,
    Changed,
    Snapshot(Arc<Sample>),
}

impl Message {
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello => "hello",
            Message::Changed => "changed",
            Message::Snapshot(_) => "snapshot",
        }
    }

    pub fn data(&self) -> Option<serde_json::Value> {
        match self {
            Message::Hello | Message::Changed => None,
            Message::Snapshot(sample) => Some(sample_json(sample)),
        }
    }
}

/// A measurement as it is told everywhere.
pub fn sample_json(sample: &Sample) -> serde_json::Value {
    let values: serde_json::Map<String, serde_json::Value> =
        sample.values.iter().map(|(series, value)| (series.to_string(), json!(value))).collect();
    let failed: Vec<_> =
        sample.failed.iter().map(|(part, why)| json!({ "part": part, "why": why })).collect();
    json!({
        "at": sample.at, "values": values, "failed": failed, "left_out": sample.left_out,
    })
}

/// One listener.
pub struct Listener {
    front: Front,
    /// Whoever was let in is told no more once that does not hold.
    proof: Proof,
    versions: watch::Receiver<u64>,
    samples: watch::Receiver<Option<Arc<Sample>>>,
    stop: CancellationToken,
    greeted: bool,
    /// Until then nothing is told of changes.
    pause: Pin<Box<tokio::time::Sleep>>,
    _seat: Seat,
}

impl Listener {
    pub fn new(front: &Front, proof: Proof) -> Result<Listener, Refusal> {
        Ok(Listener {
            front: front.clone(),
            proof,
            versions: front.appliance.hub().page_versions(),
            samples: front.appliance.samples(),
            stop: front.stop.clone(),
            greeted: false,
            pause: Box::pin(tokio::time::sleep(PAUSE)),
            _seat: Seat::take()?,
        })
    }

    /// The next message; `None` when the appliance stops, or its listener is not let in any more.
    /// Dropping it on the way loses nothing.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.message().await?;
        self.proof.holds(&self.front).then_some(message)
    }

    async fn message(&mut self) -> Option<Message> {
        if !std::mem::replace(&mut self.greeted, true) {
            self.versions.mark_unchanged();
            return Some(Message::Hello);
        }
        let Listener { versions, samples, stop, pause, .. } = self;
        let changed = async {
            pause.as_mut().await;
            versions.changed().await
        };
        tokio::select! {
            () = stop.cancelled() => None,
            new = samples.changed() => {
                new.ok()?;
                let sample = samples.borrow_and_update().clone()?;
                Some(Message::Snapshot(sample))
            }
            changed = changed => {
                changed.ok()?;
                self.pause = Box::pin(tokio::time::sleep(PAUSE));
                Some(Message::Changed)
            }
        }
    }
}

/// The stream of changes.
pub async fn live(State(front): State<Front>, proof: Proof) -> Answer {
    let listener = Listener::new(&front, proof)?;
    let events = stream::unfold(listener, |mut listener| async move {
        let message = listener.next().await?;
        let data = message.data().map_or_else(|| "look".to_owned(), |data| data.to_string());
        let event = Event::default().event(message.name()).data(data);
        Some((Ok::<_, Infallible>(event), listener))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15)).text("alive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
