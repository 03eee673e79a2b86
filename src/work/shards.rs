//! The duty that gives shards their runs, a slice at a time and with regard for everybody else.
//!
//! Sharded runs take turns, a slice each. A slice is one transaction, so a stop or a kill leaves
//! nothing half done, and whatever is still to do is found again at the next start. While nobody
//! else writes, slices are large and the next one is under way before the last is on disk; as soon
//! as somebody does, they are small, one at a time, and followed by a pause.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::base::id::Id;
use crate::base::time::Stopwatch;
use crate::model::refusal::Refusal;

/// Shards of a slice, and slices under way at once: while others write, and while nobody does.
const BUSY: Pace = Pace { shards: 50, slices: 1 };
const QUIET: Pace = Pace { shards: 250, slices: 2 };
/// Nothing is to be done, and no hint came for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// After a refusal (the queue is full, the disk is full): first and longest wait; it doubles.
const REFUSED_FIRST: Duration = Duration::from_millis(100);
const REFUSED_LONGEST: Duration = Duration::from_secs(5);
/// While others write, so many times as long as its slice took is left to them.
const SHARE_OF_OTHERS: u32 = 2;
const POLITE_PAUSE_LONGEST: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
struct Pace {
    shards: usize,
    slices: usize,
}

/// Dispatches until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut after = None;
    let mut refused = REFUSED_FIRST;
    let mut pace = BUSY;
    while !stop.is_cancelled() {
        let commands_before = appliance.commands_done();
        let watch = Stopwatch::start();
        let pause = match round(&appliance, &mut after, pace).await {
            Ok(0) => {
                tokio::select! {
                    // A hint that came since the last look is kept.
                    () = appliance.shards_wake().notified() => {}
                    () = tokio::time::sleep(IDLE_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
                None
            }
            Ok(own) => {
                refused = REFUSED_FIRST;
                let others = appliance.commands_done().saturating_sub(commands_before) > own;
                pace = if others { BUSY } else { QUIET };
                let left = watch.elapsed() * SHARE_OF_OTHERS;
                others.then(|| left.min(POLITE_PAUSE_LONGEST))
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

/// Slices before it is looked again who else writes.
const ROUND_SLICES: u64 = 8;

/// Some slices of the sharded runs whose turn it is; gives how many commands that took.
async fn round(appliance: &Appliance, after: &mut Option<Id>, pace: Pace) -> Result<u64, Refusal> {
    let most = if pace.slices > 1 { ROUND_SLICES } else { 1 };
    let (mut own, mut under_way) = (0, FuturesUnordered::new());
    loop {
        while own < most && under_way.len() < pace.slices {
            let Some(id) = appliance.next_to_dispatch(*after)? else { break };
            *after = Some(id);
            own += 1;
            under_way.push(async move { (id, appliance.dispatch_slice(id, pace.shards).await) });
        }
        let Some((id, slice)) = under_way.next().await else { break };
        let failed = slice?.failed;
        if failed > 0 {
            tracing::warn!(sharded_run = %id, failed, "shards failed to dispatch");
        }
    }
    if own == 0 {
        *after = None;
        return Ok(u64::from(appliance.discard_plans(false).await?));
    }
    Ok(own)
}
