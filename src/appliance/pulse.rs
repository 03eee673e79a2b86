//! Rates of the last half hour, from samples of the counters, in memory: gone after a restart,
//! which only a young chart shows.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::base::time::{Span, Time};

use super::Appliance;
use super::overview::Totals;
use super::stream_pulse::StreamPulse;

/// Samples kept: half an hour, at one in three seconds.
const SAMPLES_MAX: usize = 601;
/// What `now` means in a rate.
const RATE_OVER: Span = Span::from_secs(60);

/// Samples of the counters.
#[derive(Debug, Default)]
pub struct Pulse {
    samples: Mutex<VecDeque<(Time, Totals)>>,
    /// Those of streams.
    pub streams: StreamPulse,
}

/// Per second, over the last minute or as long as there are samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub created: f64,
    pub finished: f64,
    pub failed: f64,
    pub over_s: f64,
}

/// One step of the chart, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    pub at: Time,
    pub created: f64,
    pub completed: f64,
    pub failed: f64,
}

impl Appliance {
    /// Takes a sample of all counters that rates are made from.
    pub fn feel(&self, pulse: &Pulse) {
        // A read that fails is shown by readiness; a missing sample is a gap in the chart.
        if let Ok(totals) = self.totals() {
            pulse.sample(self.now(), totals);
        }
        // Likewise: the rate of a stream is then not known.
        let _ = self.sample_streams(&pulse.streams);
    }
}

impl Pulse {
    pub fn sample(&self, now: Time, totals: Totals) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that stepped back would make rates negative: start anew.
        if samples.back().is_some_and(|(at, _)| *at >= now) {
            samples.clear();
        }
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((now, totals));
    }

    pub fn rates(&self, now: Time) -> Rates {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((last_at, last)) = samples.back() else { return Rates::default() };
        let from = now.minus(RATE_OVER);
        let first = samples.iter().find(|(at, _)| *at >= from);
        let Some((first_at, first)) = first.filter(|(at, _)| at < last_at) else {
            return Rates::default();
        };
        let over_s = last_at.since(*first_at).as_millis() as f64 / 1_000.0;
        let rate = |a: i64, b: i64| (b - a) as f64 / over_s;
        Rates {
            created: rate(first.created, last.created),
            finished: rate(first.finished, last.finished),
            failed: rate(first.failed, last.failed),
            over_s,
        }
    }

    /// The chart's steps, oldest first, each of `per_step` samples.
    pub fn steps(&self, per_step: usize) -> Vec<Step> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let picked: Vec<_> = samples.iter().rev().step_by(per_step.max(1)).collect();
        picked
            .windows(2)
            .rev()
            .map(|pair| {
                let ((end, b), (start, a)) = (pair[0], pair[1]);
                let span = (end.since(*start).as_millis() as f64 / 1_000.0).max(0.001);
                let rate = |a: i64, b: i64| ((b - a) as f64 / span).max(0.0);
                Step {
                    at: *end,
                    created: rate(a.created, b.created),
                    completed: rate(a.completed, b.completed),
                    failed: rate(a.failed, b.failed),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_over_time() {
        let pulse = Pulse::default();
        assert_eq!(pulse.rates(Time(0)), Rates::default());
        for n in 0..10 {
            let totals = Totals { created: n * 50, finished: n * 25, ..Totals::default() };
            pulse.sample(Time(n * 5_000), totals);
        }
        let rates = pulse.rates(Time(45_000));
        assert_eq!((rates.created, rates.finished, rates.over_s), (10.0, 5.0, 45.0));
        assert_eq!(pulse.steps(3).len(), 3);
        assert!(pulse.steps(3).iter().all(|step| step.created == 10.0));
        pulse.sample(Time(1_000), Totals::default());
        assert_eq!(pulse.rates(Time(1_000)), Rates::default());
    }
}
