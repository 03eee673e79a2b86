//! The latest lengths of time: so many, and none of them old, so that what they say is of now.

use super::time::Span;

/// A length of time that was measured then, of so many things.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// Microseconds of the monotonic clock.
    at: i64,
    micros: u32,
    size: u32,
}

/// A ring of the latest `N`.
#[derive(Clone, Debug, Default)]
pub struct Latest<const N: usize> {
    ring: Vec<Took>,
    next: usize,
}

/// What the latest come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub size_mean: f64,
}

impl<const N: usize> Latest<N> {
    /// One more; `now` is in microseconds of the monotonic clock.
    pub fn put(&mut self, now: i64, took: std::time::Duration, size: usize) {
        let (at, size) = (now, u32::try_from(size).unwrap_or(u32::MAX));
        let took = Took { at, micros: u32::try_from(took.as_micros()).unwrap_or(u32::MAX), size };
        if self.ring.len() < N {
            self.ring.push(took);
        } else {
            self.ring[self.next] = took;
        }
        self.next = (self.next + 1) % N;
    }

    /// Of those that are not older than `age`; `None` if there is none.
    pub fn figures(&self, now: i64, age: Span) -> Option<Figures> {
        let oldest = now.saturating_sub(age.as_millis().saturating_mul(1_000));
        let young = self.ring.iter().filter(|took| took.at >= oldest);
        let total: u64 = young.clone().map(|took| u64::from(took.size)).sum();
        let mut sorted: Vec<u32> = young.map(|took| took.micros).collect();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let at = |q: f64| f64::from(sorted[(last as f64 * q).round() as usize]) / 1_000.0;
        let size_mean = total as f64 / sorted.len() as f64;
        Some(Figures { p50_ms: at(0.5), p99_ms: at(0.99), size_mean })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn what_is_old_says_nothing_of_now() {
        let mut latest = Latest::<4>::default();
        let age = Span::from_secs(10);
        assert_eq!(latest.figures(0, age), None);
        latest.put(SECOND, Duration::from_millis(900), 1);
        latest.put(9 * SECOND, Duration::from_millis(2), 3);
        let both = latest.figures(10 * SECOND, age).unwrap();
        assert_eq!((both.p99_ms, both.size_mean), (900.0, 2.0));
        assert_eq!(latest.figures(12 * SECOND, age).unwrap().p99_ms, 2.0);
        assert_eq!(latest.figures(60 * SECOND, age), None);
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let mut latest = Latest::<4>::default();
        (1..=6).for_each(|n| latest.put(0, Duration::from_millis(n), 1));
        let found = latest.figures(0, Span::from_secs(1)).unwrap();
        assert_eq!((found.p50_ms, found.p99_ms), (5.0, 6.0));
    }
}
