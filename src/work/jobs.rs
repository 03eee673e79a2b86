//! The duty of bulk jobs: a slice of each open one in turn, with regard for everybody else.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::model::refusal::Refusal;

use super::pace::{Slice, pause};

/// Nothing was asked for so long: it looks anyway, for previews that nobody confirmed.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// After a refusal (the queue is full, the disk is full) it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Works until `stop`. What a crash left behind goes on at the start.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match turn(&appliance, &stop).await {
            Ok(true) => {}
            Ok(false) => tokio::select! {
                () = stop.cancelled() => return,
                // A call that came since the last look is kept.
                () = appliance.job_wake().called() => {}
                () = tokio::time::sleep(IDLE_PAUSE) => {}
            },
            Err(refusal) => {
                tracing::debug!(error = %refusal, "bulk jobs wait");
                pause(&stop, REFUSED_PAUSE).await;
            }
        }
    }
}

/// One slice of each job; whether one of them has more to do.
async fn turn(appliance: &Appliance, stop: &CancellationToken) -> Result<bool, Refusal> {
    let mut more = false;
    for id in appliance.open_jobs()? {
        let slice = Slice::begin(appliance);
        if appliance.job_step(id).await? {
            more = true;
            pause(stop, slice.polite(appliance)).await;
        }
        if stop.is_cancelled() {
            return Ok(false);
        }
    }
    Ok(more)
}
