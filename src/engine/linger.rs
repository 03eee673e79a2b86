//! How long the writer waits for company before it commits.
//!
//! Callers that wait for their answers come back with their next command right after they got it.
//! A writer that goes on at once with whatever is queued then splits them into two crowds that take
//! turns, each paying for a commit of its own: with 16 callers on a fast disk that costs two fifths
//! of the throughput. So it waits for those it has just answered, a moment and no longer, and only
//! while that pays: whoever thinks between two commands makes it stop waiting.

use std::time::Duration;

/// Longest wait: a fraction of a commit.
const LONGEST: Duration = Duration::from_micros(120);
/// Commits without waiting after a wait that brought little.
const PAUSE_FIRST: u32 = 16;
const PAUSE_LONGEST: u32 = 1_024;

/// Decides how many commands are worth waiting for.
#[derive(Debug)]
pub(super) struct Linger {
    /// Commands of the latest batch: so many callers may be about to come back.
    answered: usize,
    /// Commits left before the next wait is tried.
    pause: u32,
    next_pause: u32,
}

impl Default for Linger {
    fn default() -> Linger {
        Linger { answered: 0, pause: 0, next_pause: PAUSE_FIRST }
    }
}

impl Linger {
    /// How many commands to wait for, and how long, when `queued` are here.
    pub fn wanted(&self, queued: usize) -> Option<(usize, Duration)> {
        let company = self.answered + queued > 2;
        (self.pause == 0 && self.answered > 0 && company)
            .then_some((queued + self.answered, LONGEST))
    }

    /// A wait is over: `queued` were here before it and `gathered` after.
    pub fn waited(&mut self, queued: usize, gathered: usize) {
        // Half of those who were answered came back: they wait for nothing else.
        if (gathered - queued) * 2 >= self.answered {
            self.next_pause = PAUSE_FIRST;
        } else {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(PAUSE_LONGEST);
        }
    }

    /// A batch was answered.
    pub fn answered(&mut self, commands: usize) {
        self.answered = commands;
        self.pause = self.pause.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_caller_never_waits() {
        let mut linger = Linger::default();
        for _ in 0..100 {
            assert_eq!(linger.wanted(1), None);
            linger.answered(1);
        }
    }

    #[test]
    fn two_crowds_become_one() {
        let mut linger = Linger::default();
        linger.answered(8);
        assert_eq!(linger.wanted(8), Some((16, LONGEST)));
        linger.waited(8, 16);
        linger.answered(16);
        assert!(linger.wanted(1).is_some());
    }

    #[test]
    fn waiting_in_vain_becomes_rare() {
        let mut linger = Linger::default();
        linger.answered(8);
        let mut waits = 0;
        for _ in 0..10_000 {
            if linger.wanted(8).is_some() {
                waits += 1;
                linger.waited(8, 9);
            }
            linger.answered(8);
        }
        assert!(waits < 25, "{waits} waits in 10,000 commits");
    }
}
