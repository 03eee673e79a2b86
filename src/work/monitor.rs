//! The duty that looks at everything every few seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::pulse::Pulse;

/// Time from one look to the next, the work included.
const SAMPLE_EVERY: Duration = Duration::from_secs(3);

/// Samples until `stop`.
pub async fn run(appliance: Appliance, pulse: Arc<Pulse>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let sample = appliance.keep_sample(appliance.sample(&pulse));
        for (part, why) in &sample.failed {
            tracing::warn!(part, why, "not measured");
        }
        super::alerts::look(&appliance, sample).await;
    }
}
