//! The duty that gives shards their runs, a slice at a time and with regard for everybody else.
//!
//! Sharded runs take turns, a slice each. A slice is one transaction, so a stop or a kill leaves
//! nothing half done, and whatever is still to do is found again at the next start.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::base::id::Id;
use crate::base::time::Stopwatch;
use crate::model::refusal::Refusal;

/// Nothing is to be done, and no hint came for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// After a refusal (the queue is full, the disk is full): first and longest wait; it doubles.
const REFUSED_FIRST: Duration = Duration::from_millis(100);
const REFUSED_LONGEST: Duration = Duration::from_secs(5);
/// While others write, so many times as long as its slice took is left to them.
const SHARE_OF_OTHERS: u32 = 2;
const POLITE_PAUSE_LONGEST: Duration = Duration::from_millis(50);

/// Dispatches until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut after = None;
    let mut refused = REFUSED_FIRST;
    while !stop.is_cancelled() {
        let commands_before = appliance.commands_done();
        let watch = Stopwatch::start();
        let pause = match turn(&appliance, &mut after).await {
            Ok(true) => {
                refused = REFUSED_FIRST;
                let others = appliance.commands_done().saturating_sub(commands_before) > 1;
                let left = watch.elapsed() * SHARE_OF_OTHERS;
                others.then(|| left.min(POLITE_PAUSE_LONGEST))
            }
            Ok(false) => {
                tokio::select! {
                    // A hint that came since the last look is kept.
                    () = appliance.shards_wake().notified() => {}
                    () = tokio::time::sleep(IDLE_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
                None
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "shards are not dispatched for now");
                let pause = refused;
                refused = (refused * 2).min(REFUSED_LONGEST);
                Some(pause)
            }
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// One slice of the next sharded run; gives whether there was something to do.
async fn turn(appliance: &Appliance, after: &mut Option<Id>) -> Result<bool, Refusal> {
    let Some(id) = appliance.next_to_dispatch(*after)? else {
        *after = None;
        return appliance.discard_plans(false).await;
    };
    *after = Some(id);
    let slice = appliance.dispatch_slice(id).await?;
    if slice.failed > 0 {
        tracing::warn!(sharded_run = %id, failed = slice.failed, "shards failed to dispatch");
    }
    Ok(true)
}
