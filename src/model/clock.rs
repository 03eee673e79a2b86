//! What is known of the clock: what it showed last, and its steps back that timers have yet to follow.

use crate::base::id::Id;
use crate::base::time::{Span, Time};

/// Smaller steps are those of a clock that is kept right: nothing is moved for them, and nobody told.
pub const CLOCK_STEP: Span = Span::from_mins(1);
/// Steps that are remembered at once; a further one lengthens the last, which nothing has followed yet.
const STEPS_MAX: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What the clock showed when it was noted last.
    pub seen: Time,
    /// Oldest first; timers follow one after the other.
    pub steps: Vec<Step>,
}

/// A step back, and how far timers have followed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the clock showed before. Timers that ended earlier had fired by then.
    pub from: Time,
    pub by: Span,
    /// Kinds of timers that have followed.
    pub kinds: u8,
    /// Of the next kind, the last one that was looked at.
    pub after: Option<(Time, Id)>,
}

impl Known {
    pub fn at(now: Time) -> Known {
        Known { seen: now, steps: Vec::new() }
    }

    /// Takes in what the clock shows, and the latest that this process saw it show; gives how far it was
    /// set back, if it was.
    pub fn note(&mut self, now: Time, latest: Time) -> Option<Span> {
        let from = self.seen.max(latest);
        let by = from.since(now);
        self.seen = now;
        if by < CLOCK_STEP {
            return None;
        }
        let is_full = self.steps.len() == STEPS_MAX;
        match self.steps.last_mut().filter(|_| is_full) {
            Some(last) => last.by = Span(last.by.0.saturating_add(by.0)),
            None => self.steps.push(Step { from, by, kinds: 0, after: None }),
        }
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time(1_700_000_000_000);
    const HOUR: Span = Span::from_hours(1);
    const LONGER: Span = Span(HOUR.0 + 9_000);

    fn step(from: Time, by: Span) -> Step {
        Step { from, by, kinds: 0, after: None }
    }

    #[test]
    fn steps_back_are_told_once() {
        let mut known = Known::at(NOON);
        let later = NOON.plus(HOUR);
        for (now, latest, told) in [
            (NOON.plus(Span::from_secs(30)), NOON, None),
            // Set forward; then seen by this process and not noted yet.
            (later, NOON, None),
            (later.minus(Span::from_secs(59)), later, None),
            (NOON, later.plus(Span::from_secs(9)), Some(LONGER)),
            (NOON, NOON, None),
            // While it was down: nothing was seen but what stands in the store.
            (NOON.minus(HOUR), Time::ZERO, Some(HOUR)),
        ] {
            assert_eq!(known.note(now, latest), told, "{now:?} after {latest:?}");
            assert_eq!(known.seen, now);
        }
        let first = step(later.plus(Span::from_secs(9)), LONGER);
        assert_eq!(known.steps, [first, step(NOON, HOUR)]);
    }

    #[test]
    fn many_steps_lengthen_the_last() {
        let mut known = Known::at(NOON);
        for count in 1..=6 {
            let now = NOON.minus(Span(HOUR.0 * count));
            assert_eq!(known.note(now, Time::ZERO), Some(HOUR));
        }
        assert_eq!(known.steps.len(), STEPS_MAX);
        let sum: i64 = known.steps.iter().map(|step| step.by.0).sum();
        assert_eq!(sum, 6 * HOUR.0);
    }
}
