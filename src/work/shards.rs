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
    let mut refused = REFUSED_FIRST;
    while !stop.is_cancelled() {
        let pause = match dispatch_all(&appliance, &stop).await {
            Ok(()) => {
                refused = REFUSED_FIRST;
                tokio::select! {
                    // A hint that came since the last look is kept.
                    () = appliance.shards_wake().notified() => {}
                    () = tokio::time::sleep(IDLE_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "shards are not dispatched for now");
                refused
            }
        };
        wait(&stop, pause).await;
        refused = (refused * 2).min(REFUSED_LONGEST);
    }
}

/// Dispatches until there is nothing more to do, and removes plans that nobody writes any more.
async fn dispatch_all(appliance: &Appliance, stop: &CancellationToken) -> Result<(), Refusal> {
    let (mut after, mut pace): (Option<Id>, _) = (None, BUSY);
    let mut under_way = FuturesUnordered::new();
    let (mut watch, mut seen) = (Stopwatch::start(), appliance.commands_done());
    while !stop.is_cancelled() {
        while under_way.len() < pace.slices {
            let Some(id) = appliance.next_to_dispatch(after)? else { break };
            after = Some(id);
            under_way.push(async move { (id, appliance.dispatch_slice(id, pace.shards).await) });
        }
        let Some((id, slice)) = under_way.next().await else { break };
        let failed = slice?.failed;
        if failed > 0 {
            tracing::warn!(sharded_run = %id, failed, "shards failed to dispatch");
        }
        let done = appliance.commands_done();
        // Its own are the one that came home, and those that may have been done beside it.
        let own = 1 + under_way.len() as u64;
        let others = done.saturating_sub(seen) > own;
        seen = done;
        if others {
            pace = BUSY;
            wait(stop, (watch.elapsed() * SHARE_OF_OTHERS).min(POLITE_PAUSE_LONGEST)).await;
        } else {
            pace = QUIET;
        }
        watch = Stopwatch::start();
    }
    while appliance.discard_plans(false).await? {}
    Ok(())
}

async fn wait(stop: &CancellationToken, span: Duration) {
    tokio::select! {
        () = tokio::time::sleep(span) => {}
        () = stop.cancelled() => {}
    }
}
