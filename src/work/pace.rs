//! How duties that write in slices leave room for everybody else, and wait while they are refused.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::base::time::Stopwatch;

/// While others write, so many times as long as its slice took is left to them.
const SHARE_OF_OTHERS: u32 = 2;
const POLITE_PAUSE_LONGEST: Duration = Duration::from_millis(50);
/// After a refusal (the queue is full, the disk is full): first and longest wait; it doubles.
const REFUSED_FIRST: Duration = Duration::from_millis(100);
const REFUSED_LONGEST: Duration = Duration::from_secs(5);

/// A slice of one command that is under way.
pub struct Slice {
    watch: Stopwatch,
    commands: u64,
}

impl Slice {
    pub fn begin(appliance: &Appliance) -> Slice {
        Slice { watch: Stopwatch::start(), commands: appliance.commands_done() }
    }

    pub fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    /// The pause after it: others write when more was done than its own command.
    pub fn polite(&self, appliance: &Appliance) -> Duration {
        let others = appliance.commands_done().saturating_sub(self.commands) > 1;
        polite(self.elapsed(), others)
    }
}

/// The pause after a slice that took `slice`.
pub fn polite(slice: Duration, others_write: bool) -> Duration {
    match others_write {
        true => (slice * SHARE_OF_OTHERS).min(POLITE_PAUSE_LONGEST),
        false => Duration::ZERO,
    }
}

/// Waits, unless it is asked to stop.
pub async fn pause(stop: &CancellationToken, span: Duration) {
    if span.is_zero() {
        return tokio::task::yield_now().await;
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(span) => {}
    }
}

/// How long to wait after refusals in a row.
pub struct Refused(Duration);

impl Default for Refused {
    fn default() -> Refused {
        Refused(REFUSED_FIRST)
    }
}

impl Refused {
    /// The wait after this one; the next is twice as long.
    pub fn again(&mut self) -> Duration {
        let next = (self.0 * 2).min(REFUSED_LONGEST);
        std::mem::replace(&mut self.0, next)
    }
}
