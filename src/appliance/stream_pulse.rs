//! How fast entries are added to streams: differences of their counters, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::time::{Span, Time};
use crate::model::stream::KeyName;

/// What `now` means in a rate.
const RATE_OVER: Span = Span::from_secs(60);
/// Samples kept: a minute of them, at one in three seconds.
const SAMPLES_MAX: usize = 21;
/// Time between two looks for streams that are new.
const LOOK_EVERY: Span = Span::from_secs(10);

/// Samples of how many entries were ever added, by number of the stream.
#[derive(Debug, Default)]
pub struct StreamPulse(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    watched: Vec<KeyName>,
    looked_at: Option<Time>,
    samples: VecDeque<(Time, HashMap<u64, u64>)>,
}

impl StreamPulse {
    /// Streams that are measured; of the one behind them only that it is there is known.
    pub const STREAMS_MAX: usize = 500;

    /// It is time to look for new streams.
    pub fn looks_around(&self, now: Time) -> bool {
        let looked_at = self.lock().looked_at;
        looked_at.is_none_or(|at| at > now || now.since(at) >= LOOK_EVERY)
    }

    pub fn watch(&self, now: Time, streams: Vec<KeyName>) {
        let mut inner = self.lock();
        (inner.watched, inner.looked_at) = (streams, Some(now));
    }

    pub fn watched(&self) -> Vec<KeyName> {
        self.lock().watched.clone()
    }

    pub fn sample(&self, now: Time, added: HashMap<u64, u64>) {
        let samples = &mut self.lock().samples;
        // A clock that stepped back would make rates negative: start anew.
        if samples.back().is_some_and(|(at, _)| *at >= now) {
            samples.clear();
        }
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((now, added));
    }

    /// Entries added per second over the last minute, or as long as the stream is watched.
    pub fn added_per_s(&self, stream: u64, now: Time) -> Option<f64> {
        let inner = self.lock();
        let from = now.minus(RATE_OVER);
        let known = inner.samples.iter().filter(|(at, _)| *at >= from);
        let mut known = known.filter_map(|(at, added)| Some((*at, *added.get(&stream)?)));
        let (first_at, first) = known.next()?;
        let (last_at, last) = known.next_back()?;
        let over_s = last_at.since(first_at).as_millis() as f64 / 1_000.0;
        // XSETID can set the counter back.
        (over_s > 0.0 && last >= first).then(|| (last - first) as f64 / over_s)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_watched_streams() {
        let pulse = StreamPulse::default();
        assert!(pulse.looks_around(Time(0)));
        pulse.watch(Time(0), vec![KeyName::of("jobs")]);
        assert!(!pulse.looks_around(Time(9_999)));
        assert!(pulse.looks_around(Time(10_000)));
        for n in 0..30_u64 {
            let mut added = HashMap::from([(1, n * 50)]);
            if n > 27 {
                added.insert(2, 7);
            }
            pulse.sample(Time(n as i64 * 5_000), added);
        }
        let now = Time(29 * 5_000);
        assert_eq!(pulse.added_per_s(1, now), Some(10.0));
        assert_eq!(pulse.added_per_s(2, now), Some(0.0));
        assert_eq!(pulse.added_per_s(3, now), None);
        pulse.sample(now.plus(Span(5_000)), HashMap::from([(1, 3), (2, 0)]));
        assert_eq!(pulse.added_per_s(1, now), None, "it was set back");
        pulse.sample(Time(1), HashMap::new());
        assert_eq!(pulse.added_per_s(2, Time(1)), None);
    }
}
