//! The duty that goes on with batches: it makes what a crash interrupted, clears away what was never
//! sealed, and cancels the rest of those that are to be canceled, a slice per commit.
//!
//! It looks once at the start, when somebody rings, and now and then: the store says what there is.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;

/// Between two slices: others come first.
const PAUSE: Duration = Duration::from_millis(3);
/// After a refusal (the queue is full, the disk is full) it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Nobody rang for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(5);

/// Goes on with batches until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match turn(&appliance, &stop).await {
            Turn::Done => IDLE_PAUSE,
            Turn::More => PAUSE,
            Turn::Refused => REFUSED_PAUSE,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // A ring that came since the last look is kept.
            () = appliance.creating().work.notified(), if pause == IDLE_PAUSE => {}
        }
    }
}

enum Turn {
    Done,
    More,
    Refused,
}

/// A slice for each batch that has work, so that a long one does not hold up the others.
async fn turn(appliance: &Appliance, stop: &CancellationToken) -> Turn {
    let Ok(batches) = appliance.batches_with_work() else { return Turn::Refused };
    let mut turn = Turn::Done;
    for id in batches {
        if stop.is_cancelled() {
            return Turn::Done;
        }
        match appliance.go_on_with_batch(id).await {
            Ok(true) => turn = Turn::More,
            Ok(false) => {}
            Err(refusal) => {
                tracing::warn!(batch = %id, %refusal, "a batch is left for later");
                return Turn::Refused;
            }
        }
    }
    turn
}
