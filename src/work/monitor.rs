//! The duty that looks at everything every few seconds, and the one that keeps history.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::history::Round;
use crate::appliance::pulse::Pulse;
use crate::base::time::Span;
use crate::model::history::tick_of;

use super::pace::{Refused, Slice, pause};

/// Time from one look to the next, the work included.
const SAMPLE_EVERY: Duration = Duration::from_secs(3);
/// Time from one round over what is old to the next.
const FORGET_EVERY: Span = Span::from_hours(1);

/// Samples until `stop`.
pub async fn run(appliance: Appliance, pulse: Arc<Pulse>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        appliance.feel(&pulse);
        let sample = appliance.keep_sample(appliance.sample(&pulse));
        if sample.failed != failing {
            failing.clone_from(&sample.failed);
            for (part, why) in &failing {
                tracing::warn!(part, why, "not measured");
            }
        }
        super::alerts::look(&appliance, sample).await;
    }
}

/// Writes the first sample of every half minute into history, packs what is over, and removes what is
/// old, until `stop`. How often pages look changes nothing here (7.6).
pub async fn history(appliance: Appliance, stop: CancellationToken) {
    let mut samples = appliance.samples();
    let (mut last, mut forgot_at) = (0, None);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = samples.changed() => if changed.is_err() { return },
        }
        let Some(sample) = samples.borrow_and_update().clone() else { continue };
        let tick = tick_of(sample.at);
        if tick == last {
            continue;
        }
        last = tick;
        match appliance.history_tick(&sample).await {
            Ok(ticked) if ticked.left_out > 0 => {
                tracing::warn!(series = ticked.left_out, "there are too many series for history");
            }
            Ok(_) => {}
            // A tick that is missing is a gap, and never a zero.
            Err(refusal) => tracing::debug!(error = %refusal, "a tick of history is missing"),
        }
        pack(&appliance, &stop).await;
        let now = appliance.now();
        if forgot_at.is_none_or(|at| at > now || now.since(at) >= FORGET_EVERY) {
            forgot_at = Some(now);
            forget(&appliance, &stop).await;
        }
    }
}

async fn pack(appliance: &Appliance, stop: &CancellationToken) {
    let mut refused = Refused::default();
    while !stop.is_cancelled() {
        let slice = Slice::begin(appliance);
        match appliance.history_pack().await {
            Ok(false) => return,
            Ok(true) => {
                pause(stop, slice.polite(appliance)).await;
            }
            Err(refusal) => {
                tracing::debug!(error = %refusal, "history is not packed for now");
                return pause(stop, refused.again()).await;
            }
        }
    }
}

async fn forget(appliance: &Appliance, stop: &CancellationToken) {
    let mut round = Round::default();
    while !stop.is_cancelled() {
        let slice = Slice::begin(appliance);
        match appliance.history_forget(std::mem::take(&mut round)).await {
            Ok(next) if next.more => {
                pause(stop, slice.polite(appliance)).await;
                round = next;
            }
            Ok(_) => return,
            // What is left goes with the next round.
            Err(refusal) => {
                return tracing::debug!(error = %refusal, "no history is removed for now");
            }
        }
    }
}
