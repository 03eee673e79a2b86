//! Everything that is measured, in one look that changes nothing.

mod parts;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::base::time::{Span, Time};
use crate::model::refusal::Refusal;
use crate::model::sample::{Metric, Sample};

use super::Appliance;
use super::pulse::Pulse;

/// What changes slowly, or costs more to find, is measured once in this time and kept in between.
const SLOW_EVERY: Span = Span::from_secs(15);

/// The newest sample.
#[derive(Debug)]
pub struct Newest {
    all: watch::Sender<Option<Arc<Sample>>>,
    slow: Mutex<Option<Arc<Sample>>>,
    /// When and how many commits there were at the sample before.
    commits: Mutex<Option<(Time, u64)>>,
}

impl Default for Newest {
    fn default() -> Newest {
        Newest { all: watch::Sender::new(None), slow: Mutex::default(), commits: Mutex::default() }
    }
}

type Part = fn(&Appliance, &mut Sample) -> Result<(), Refusal>;

const QUICK: [(&str, Part); 7] = [
    ("overview", parts::overview),
    ("fleet", parts::fleet),
    ("buffer", parts::buffer),
    ("callbacks", parts::callbacks),
    ("doors", parts::doors),
    ("envs", parts::envs),
    ("endpoints", parts::endpoints),
];

const SLOW: [(&str, Part); 2] = [("files", parts::files), ("backups", parts::backups)];

impl Appliance {
    /// Measures everything. A part that fails is named in the sample and spoils nothing else (7.34).
    pub fn sample(&self, pulse: &Pulse) -> Sample {
        let mut sample = Sample { at: self.now(), ..Sample::default() };
        let rates = pulse.rates(sample.at);
        // Just after a start there is nothing to compare with, and 0 would be a lie.
        if rates.over_s > 0.0 {
            sample.put(Metric::CreatedPerSecond, "", rates.created);
            sample.put(Metric::FinishedPerSecond, "", rates.finished);
            sample.put(Metric::FailedPerSecond, "", rates.failed);
        }
        self.measure(&QUICK, &mut sample);
        if let Err(refusal) = parts::streams(self, &pulse.streams, &mut sample) {
            sample.failed.push(("streams".to_owned(), refusal.message));
        }
        self.put_commit_rate(&mut sample);
        let slow = self.slow_sample(sample.at);
        sample.values.extend(slow.values.iter().map(|(series, value)| (series.clone(), *value)));
        sample.failed.extend(slow.failed.iter().cloned());
        sample.left_out.extend(slow.left_out.iter().cloned());
        sample
    }

    fn measure(&self, parts: &[(&str, Part)], sample: &mut Sample) {
        for (name, part) in parts {
            if let Err(refusal) = part(self, sample) {
                sample.failed.push(((*name).to_owned(), refusal.message));
            }
        }
    }

    /// What is measured less often.
    fn slow_sample(&self, now: Time) -> Arc<Sample> {
        let mut kept = self.newest.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let young = |slow: &&Arc<Sample>| slow.at <= now && now.since(slow.at) < SLOW_EVERY;
        if let Some(slow) = kept.as_ref().filter(young) {
            return slow.clone();
        }
        let mut slow = Sample { at: now, ..Sample::default() };
        self.measure(&SLOW, &mut slow);
        kept.insert(Arc::new(slow)).clone()
    }

    fn put_commit_rate(&self, sample: &mut Sample) {
        let (now, commits) = (sample.at, self.writer_figures().commits);
        let mut known = self.newest.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, before)) = known.replace((now, commits)).filter(|(at, _)| *at < now) {
            let seconds = now.since(at).as_millis() as f64 / 1_000.0;
            let rate = commits.saturating_sub(before) as f64 / seconds;
            sample.put(Metric::CommitsPerSecond, "", rate);
        }
    }

    /// Makes a sample the one that readers get.
    pub fn keep_sample(&self, sample: Sample) -> Arc<Sample> {
        let sample = Arc::new(sample);
        self.newest.all.send_replace(Some(sample.clone()));
        sample
    }

    /// The newest sample; `None` just after the start.
    pub fn newest_sample(&self) -> Option<Arc<Sample>> {
        self.newest.all.borrow().clone()
    }

    /// Tells of every new sample; whoever is slow misses the older ones.
    pub fn samples(&self) -> watch::Receiver<Option<Arc<Sample>>> {
        self.newest.all.subscribe()
    }
}

#[cfg(test)]
mod tests;
