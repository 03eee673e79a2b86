//! How fast a stranger may guess: failures by address and by user name, and the growing pause
//! behind them. Kept in memory and bounded; who starts anew after a restart has lost that much.

use std::collections::BTreeMap;

use crate::base::time::{Span, Time};

/// Failures that have no consequence: people mistype.
const FREE: u32 = 5;
/// The first pause; it doubles with each further failure.
const PAUSE_MIN: Span = Span::from_secs(1);
const PAUSE_MAX: Span = Span::from_mins(15);
/// A key without a failure for so long starts anew.
const FORGOTTEN_AFTER: Span = Span::from_hours(1);
/// Least time between two lines of the audit log about guesses.
const TOLD_EVERY: Span = Span::from_mins(1);
/// Keys that are remembered; the one that failed longest ago goes first.
const KEYS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Time,
}

impl Failures {
    /// Until when nothing is tried.
    fn until(self) -> Time {
        let Some(beyond) = self.count.checked_sub(FREE) else { return self.last };
        if beyond == 0 {
            return self.last;
        }
        let doubled = PAUSE_MIN.0.saturating_mul(1 << (beyond - 1).min(20));
        self.last.plus(Span(doubled).min(PAUSE_MAX))
    }
}

/// The failures of everyone.
#[derive(Debug, Default)]
pub struct Attempts {
    by_key: BTreeMap<String, Failures>,
    /// Failures since the start of the process.
    failed: u64,
    /// When the audit log was told of guesses last.
    told: Option<Time>,
}

impl Attempts {
    /// How long `key` must wait before it may try, if it must. A clock that was set back makes it
    /// wait for one more pause, not until it has caught up.
    pub fn wait(&mut self, key: &str, now: Time) -> Option<Span> {
        let failures = self.by_key.get_mut(key)?;
        failures.last = failures.last.min(now);
        let until = failures.until();
        (now < until).then(|| until.since(now))
    }

    /// Counts a failure; true when the audit log should tell of it, because it is the first of this
    /// key that has a pause, and there was no such line for a while.
    #[must_use]
    pub fn fail(&mut self, key: &str, now: Time) -> bool {
        self.failed += 1;
        if self.by_key.len() >= KEYS_MAX && !self.by_key.contains_key(key) {
            self.make_room(now);
        }
        let failures =
            self.by_key.entry(key.to_owned()).or_insert(Failures { count: 0, last: now });
        if now.since(failures.last) > FORGOTTEN_AFTER {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
        let is_first = failures.count == FREE + 1;
        let was_told = self.told.is_some_and(|told| told <= now && now.since(told) < TOLD_EVERY);
        if is_first && !was_told {
            self.told = Some(now);
        }
        is_first && !was_told
    }

    pub fn succeed(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    pub fn failed(&self) -> u64 {
        self.failed
    }

    fn make_room(&mut self, now: Time) {
        self.by_key.retain(|_, failures| now.since(failures.last) <= FORGOTTEN_AFTER);
        if self.by_key.len() < KEYS_MAX {
            return;
        }
        let oldest = self.by_key.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let (mut attempts, now) = (Attempts::default(), Time::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let _ = attempts.fail("a", now);
            pauses.push(attempts.wait("a", now).map_or(0, |span| span.as_secs_ceil()));
        }
        assert_eq!(pauses[..10], [0, 0, 0, 0, 0, 1, 2, 4, 8, 16]);
        assert_eq!(pauses[19], 900);
        assert_eq!(attempts.wait("b", now), None);
        assert_eq!(attempts.wait("a", now.plus(PAUSE_MAX)), None);
        assert_eq!(attempts.failed(), 20);
    }

    #[test]
    fn success_and_time_are_a_fresh_start() {
        let (mut attempts, now) = (Attempts::default(), Time::ZERO);
        for _ in 0..10 {
            let _ = attempts.fail("a", now);
        }
        attempts.succeed("a");
        assert_eq!(attempts.wait("a", now), None);
        for _ in 0..10 {
            let _ = attempts.fail("a", now);
        }
        let later = now.plus(FORGOTTEN_AFTER).plus(Span(1));
        let _ = attempts.fail("a", later);
        assert_eq!(attempts.wait("a", later), None);
    }

    #[test]
    fn audit_log_is_told_once_in_a_while() {
        let mut attempts = Attempts::default();
        let mut told = Vec::new();
        for (key, at) in [("a", 0), ("b", 1), ("c", 60_000), ("d", 1_000), ("e", 2_000)] {
            for nth in 0..20 {
                if attempts.fail(key, Time(at)) {
                    told.push((key, nth));
                }
            }
        }
        // The clock of `d` was set back; that does not silence the log.
        assert_eq!(told, [("a", 5), ("c", 5), ("d", 5)]);
    }

    #[test]
    fn clock_that_was_set_back_locks_nobody_out() {
        let (mut attempts, now) = (Attempts::default(), Time(Span::from_days(700).0));
        for _ in 0..9 {
            let _ = attempts.fail("a", now);
        }
        let before = Time(Span::from_days(1).0);
        let wait = attempts.wait("a", before).unwrap();
        assert_eq!(wait, Span::from_secs(8), "the pause that it had, and no more");
        assert_eq!(attempts.wait("a", before.plus(wait)), None);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut attempts = Attempts::default();
        for n in 0..KEYS_MAX + 10 {
            let _ = attempts.fail(&n.to_string(), Time(n as i64));
        }
        assert_eq!(attempts.by_key.len(), KEYS_MAX);
        assert!(!attempts.by_key.contains_key("0"));
    }
}
