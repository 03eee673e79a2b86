//! The duty that empties the burst buffer, a slice at a time and with regard for everybody else.
//!
//! A slice is one transaction: entries are taken out and become runs, or nothing happened. So a stop
//! takes nothing out any more once it is asked for, and a kill leaves nothing half done.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::buffer::Rotation;
use crate::base::time::Stopwatch;

/// After a refusal (the queue is full, the disk is full): first and longest wait; it doubles.
const REFUSED_FIRST: Duration = Duration::from_millis(100);
const REFUSED_LONGEST: Duration = Duration::from_secs(5);
/// How often a drainer that is switched off looks whether it is on again.
const OFF_PAUSE: Duration = Duration::from_millis(500);
/// Nothing waits, and no hint came for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// How often what the gate knows of the buffer is brought in line with the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While others write, so many times as long as its slice took is left to them.
const SHARE_OF_OTHERS: u32 = 2;
const POLITE_PAUSE_LONGEST: Duration = Duration::from_millis(50);

/// Drains until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut rotation = Rotation::default();
    let mut refused = REFUSED_FIRST;
    let mut looked: Option<Stopwatch> = None;
    while !stop.is_cancelled() {
        if looked.is_none_or(|watch| watch.elapsed() >= LOOK_EVERY) {
            // A store that is opened anew refuses; the next turn looks again.
            let _ = appliance.look_at_buffer();
            looked = Some(Stopwatch::start());
        }
        let drainer = appliance.gate().settings().drainer;
        if !drainer.enabled {
            pause(&stop, OFF_PAUSE).await;
            continue;
        }
        let commands_before = appliance.commands_done();
        let watch = Stopwatch::start();
        let slice = appliance.drain_buffer(
            rotation.clone(),
            drainer.concurrency as usize,
            drainer.max_attempts,
        );
        match slice.await {
            Ok((drained, next)) => {
                refused = REFUSED_FIRST;
                rotation = next;
                if drained.failed > 0 || drained.dead > 0 {
                    let (failed, dead) = (drained.failed, drained.dead);
                    tracing::warn!(failed, dead, "entries of the buffer could not become runs");
                }
                if drained.total() == 0 {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        // A hint that came since the last look is kept.
                        () = appliance.hub().buffer.notified() => {}
                        () = tokio::time::sleep(IDLE_PAUSE) => {}
                    }
                    continue;
                }
                let others = appliance.commands_done().saturating_sub(commands_before) > 1;
                if others {
                    let left = watch.elapsed() * SHARE_OF_OTHERS;
                    pause(&stop, left.min(POLITE_PAUSE_LONGEST)).await;
                }
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "the buffer is not drained for now");
                pause(&stop, refused).await;
                refused = (refused * 2).min(REFUSED_LONGEST);
            }
        }
    }
}

async fn pause(stop: &CancellationToken, span: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(span) => {}
    }
}
