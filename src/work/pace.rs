//! How duties that write in slices leave room for everybody else.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// While others write, so many times as long as its slice took is left to them.
const SHARE_OF_OTHERS: u32 = 2;
const POLITE_PAUSE_LONGEST: Duration = Duration::from_millis(50);

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
