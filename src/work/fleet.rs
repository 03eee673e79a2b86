//! The duties of the fleet: judging who is alive, giving back the work of those who are not, and
//! tidying up behind them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::fleet::Floors;
use crate::base::time::{Stopwatch, Time};
use crate::model::worker::Watched;

/// Between two looks at who is alive.
const TICK: Duration = Duration::from_secs(2);
/// Shortest and longest time between two looks for lost work.
const LOOK_MIN: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A look may take this part of the time at most.
const LOOK_SHARE: u32 = 20;
/// Between two rounds of the janitor.
const JANITOR: Duration = Duration::from_secs(300);

/// Judges the fleet until `stop`.
pub async fn judge(appliance: Appliance, started_at: Time, stop: CancellationToken) {
    let mut watched = Watched::since(started_at);
    while !stop.is_cancelled() {
        let since = watched.look(appliance.now());
        if let Err(refusal) = appliance.fleet_tick(since).await {
            tracing::debug!(error = %refusal, "the fleet could not be judged");
        }
        wait(TICK, &stop).await;
    }
}

/// Gives lost work back until `stop`.
pub async fn requeue(
    appliance: Appliance,
    floors: Floors,
    started_at: Time,
    stop: CancellationToken,
) {
    let mut watched = Watched::since(started_at);
    while !stop.is_cancelled() {
        let watch = Stopwatch::start();
        let since = watched.look(appliance.now());
        let pause = match appliance.requeue(&floors, since).await {
            Ok((given, next, more)) => {
                if given > 0 {
                    tracing::info!(entries = given, "work of lost workers goes to the next ones");
                }
                match (more, next) {
                    (true, _) => Duration::ZERO,
                    (false, Some(at)) => at.since(appliance.now()).to_duration(),
                    (false, None) => LOOK_MAX,
                }
            }
            Err(refusal) => {
                tracing::debug!(error = %refusal, "lost work could not be given back");
                LOOK_MAX
            }
        };
        let least = LOOK_MIN.max(watch.elapsed() * LOOK_SHARE);
        if !pause.is_zero() {
            wait(pause.min(LOOK_MAX).max(least), &stop).await;
        }
    }
}

/// Tidies at the start and then every five minutes until `stop`.
pub async fn janitor(appliance: Appliance, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(refusal) = appliance.cleanup(true).await {
            tracing::debug!(error = %refusal, "nothing could be tidied");
        }
        wait(JANITOR, &stop).await;
    }
}

async fn wait(span: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(span) => {}
    }
}
