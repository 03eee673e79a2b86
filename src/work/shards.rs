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

use super::pace::{Refused, pause, polite};

/// Shards of a slice, and slices under way at once: while others write, and while nobody does.
const BUSY: Pace = Pace { shards: 50, slices: 1 };
const QUIET: Pace = Pace { shards: 250, slices: 2 };
/// Nothing is to be done, and no hint came for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Pace {
    shards: usize,
    slices: usize,
}

/// Dispatches until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut refused = Refused::default();
    while !stop.is_cancelled() {
        match dispatch_all(&appliance, &stop).await {
            Ok(()) => {
                refused = Refused::default();
                tokio::select! {
                    // A hint that came since the last look is kept.
                    () = appliance.shards_wake().notified() => {}
                    () = tokio::time::sleep(IDLE_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "shards are not dispatched for now");
                pause(&stop, refused.again()).await;
            }
        }
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
            pause(stop, polite(watch.elapsed(), others)).await;
        } else {
            pace = QUIET;
        }
        watch = Stopwatch::start();
    }
    while appliance.discard_plans(false).await? {}
    Ok(())
}
