//! What the writer measures of itself: for pages and `/metrics`, never for decisions.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::latest::Latest;
use crate::base::time::{Span, monotonic_micros};

/// How many of the latest commits the percentiles look at, and how old they may be: an idle night must
/// not keep the slow commits of an evening.
const COMMITS_KEPT: usize = 1_024;
const COMMITS_AGE: Span = Span::from_mins(10);

/// Counters and the latest commit times of one writer.
#[derive(Debug, Default)]
pub struct Gauges {
    pub commits: AtomicU64,
    pub commands: AtomicU64,
    pub refused_busy: AtomicU64,
    pub read_only: AtomicBool,
    /// Readers that wait.
    pub parked: AtomicUsize,
    /// Microseconds of the latest commit.
    latest_commit: AtomicU64,
    recent: Mutex<Latest<COMMITS_KEPT>>,
}

/// A look at the writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriterFigures {
    pub commits: u64,
    pub commands: u64,
    pub refused_busy: u64,
    pub read_only: bool,
    /// Readers that wait for something to read.
    pub parked: usize,
    /// Of the latest commits; 0 if there was none for a while, as for the two below.
    pub commit_p50_ms: f64,
    pub commit_p99_ms: f64,
    pub batch_mean: f64,
}

impl Gauges {
    pub fn committed(&self, took: Duration, commands: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
        self.latest_commit.store(took.as_micros() as u64, Ordering::Relaxed);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.put(monotonic_micros(), took, commands);
    }

    /// How long the latest commit took, from taking its commands to releasing their answers.
    pub fn latest_commit(&self) -> Duration {
        Duration::from_micros(self.latest_commit.load(Ordering::Relaxed))
    }

    pub fn look(&self) -> WriterFigures {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let of = recent.figures(monotonic_micros(), COMMITS_AGE);
        WriterFigures {
            commits: self.commits.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            refused_busy: self.refused_busy.load(Ordering::Relaxed),
            read_only: self.read_only.load(Ordering::Relaxed),
            parked: self.parked.load(Ordering::Relaxed),
            commit_p50_ms: of.map_or(0.0, |of| of.p50_ms),
            commit_p99_ms: of.map_or(0.0, |of| of.p99_ms),
            batch_mean: of.map_or(0.0, |of| of.size_mean),
        }
    }
}
