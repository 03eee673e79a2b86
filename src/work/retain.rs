//! The duty of retention: round after round over what is over and old, a slice at a time and with
//! regard for everybody else.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::retention::Round;
use crate::base::time::Span;

use super::pace::{Slice, pause};

/// Shortest and longest time between two rounds; between them a tenth of the shortest age.
const ROUND_MIN: Span = Span::from_secs(1);
const ROUND_MAX: Span = Span::from_mins(1);
const ROUNDS_PER_AGE: i64 = 10;
/// Looking at what is not due yet takes this part of the time at most: there may be many runs that
/// took longer than they are kept.
const LOOK_SHARE: u32 = 20;
/// After a refusal (the queue is full, the disk is full) it is tried again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Removes until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut round = Round::default();
    let mut looked = Duration::ZERO;
    while !stop.is_cancelled() {
        let begun = Slice::begin(&appliance);
        let wait = match appliance.retain(std::mem::take(&mut round)).await {
            Ok(slice) => {
                if slice.idle {
                    looked += begun.elapsed();
                }
                if slice.more {
                    round = slice.round;
                    begun.polite(&appliance)
                } else {
                    let age = Span(appliance.retention().shortest().0 / ROUNDS_PER_AGE);
                    let period = age.clamp(ROUND_MIN, ROUND_MAX).to_duration();
                    period.max(std::mem::take(&mut looked).saturating_mul(LOOK_SHARE))
                }
            }
            Err(refusal) => {
                tracing::debug!(error = %refusal, "nothing is removed for now");
                REFUSED_PAUSE
            }
        };
        pause(&stop, wait).await;
    }
}
