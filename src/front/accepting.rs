//! What both doors do when connections cannot be taken, and how seldom they say so.
//!
//! Mostly file handles are short then, and come back when something is closed: the error passes and
//! is waited out. Without the pause it would keep a core busy, and without a limit a line for each
//! try, or for each client, would fill the disk.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::base::time::Stopwatch;

/// Pauses after a failed accept: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Least time between two lines about the same thing.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Says yes once a minute.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Stopwatch>>);

impl Seldom {
    pub fn is_due(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if due {
            *told = Some(Stopwatch::start());
        }
        due
    }
}

/// The accept loop of one door.
#[derive(Debug)]
pub struct Accepting {
    pause: Duration,
    failed: Seldom,
    full: Seldom,
}

impl Default for Accepting {
    fn default() -> Accepting {
        Accepting { pause: PAUSE_MIN, failed: Seldom::default(), full: Seldom::default() }
    }
}

impl Accepting {
    /// A connection was taken.
    pub fn took(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// None could be taken: waits before the next try, longer each time.
    pub async fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        // The client gave up before we came; says nothing about the next one.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        if self.failed.is_due() {
            tracing::warn!(
                %error,
                "cannot accept connections; if files are short, raise `LimitNOFILE`"
            );
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// All seats are taken: a client is turned away.
    pub fn turns_away(&self, connections_max: usize, client: &dyn std::fmt::Display) {
        if self.full.is_due() {
            tracing::warn!(connections_max, %client, "all connections are in use, turning clients away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_until_one_is_taken() {
        let mut accepting = Accepting::default();
        let short = io::Error::other("too many open files");
        let mut pauses = Vec::new();
        for _ in 0..4 {
            pauses.push(accepting.pause.as_millis());
            accepting.failed(&short).await;
        }
        assert_eq!(pauses, [10, 20, 40, 80]);
        assert!(!accepting.failed.is_due(), "it was said once");
        accepting.took();
        assert_eq!(accepting.pause, PAUSE_MIN);
        accepting.failed(&io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(accepting.pause, PAUSE_MIN);
    }
}
