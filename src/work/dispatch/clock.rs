//! Looks at the clock for the driver: notes what it shows, so that a step back is seen even when it was
//! made while Tidegate was down, and lets what waits follow it.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::base::time::{Span, Time};
use crate::model::clock::CLOCK_STEP;
use crate::work::pace::{Refused, pause};

/// What is noted is as old as this at most.
const NOTE_EVERY: Span = Span::from_secs(30);

/// What one process saw of the clock. There must be one alone: two would tell a step twice.
pub struct Watch {
    appliance: Appliance,
    stop: CancellationToken,
    /// The latest that it showed since it was noted.
    latest: Time,
    noted: Option<Time>,
    following: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn new(appliance: Appliance, stop: CancellationToken) -> Watch {
        Watch { appliance, stop, latest: Time::ZERO, noted: None, following: None }
    }

    /// To be called with every moment that anything is done by.
    pub async fn look(&mut self, now: Time) {
        let is_set_back = self.latest.since(now) >= CLOCK_STEP;
        self.latest = self.latest.max(now);
        if is_set_back || self.noted.is_none_or(|at| now.since(at) >= NOTE_EVERY) {
            self.note().await;
        }
    }

    /// Also to be called at the end: else the next start knows the clock to the half minute only.
    pub async fn note(&mut self) {
        match self.appliance.note_clock(self.latest).await {
            Ok(found) => {
                (self.noted, self.latest) = (Some(found.at), found.at);
                if let Some(by) = found.set_back_by {
                    tracing::warn!(%by, "the clock was set back: what waits is moved along");
                }
                if found.more && self.following.as_ref().is_none_or(JoinHandle::is_finished) {
                    let following = follow(self.appliance.clone(), self.stop.clone());
                    self.following = Some(tokio::spawn(following));
                }
            }
            Err(refusal) => tracing::debug!(error = %refusal, "the clock is not noted yet"),
        }
    }
}

/// Moves timers until all have followed. What a stop or a kill leaves goes on at the next start.
async fn follow(appliance: Appliance, stop: CancellationToken) {
    let mut refused = Refused::default();
    while !stop.is_cancelled() {
        match appliance.follow_clock().await {
            Ok(true) => refused = Refused::default(),
            Ok(false) => return,
            Err(refusal) => {
                tracing::debug!(error = %refusal, "some of what waits keeps its moments for now");
                pause(&stop, refused.again()).await;
            }
        }
    }
}
