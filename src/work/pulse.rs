//! The duty that samples counters for rates and the chart of the last half hour.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::pulse::{Pulse, SAMPLE_EVERY};

/// Samples until `stop`.
pub async fn run(appliance: Appliance, pulse: Arc<Pulse>, stop: CancellationToken) {
    loop {
        // A read that fails is shown by readiness; a missing sample is a gap in the chart.
        if let Ok(totals) = appliance.totals() {
            pulse.sample(appliance.now(), totals);
        }
        // Likewise: the rate of a stream is then not known.
        let _ = appliance.sample_streams(&pulse.streams);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SAMPLE_EVERY.to_duration()) => {}
        }
    }
}
