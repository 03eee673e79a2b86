//! What the writer measures of itself: for pages and `/metrics`, never for decisions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How many of the latest commits the percentiles look at.
const COMMITS_KEPT: usize = 1_024;

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
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Microseconds of the latest commits, in a ring.
    micros: Vec<u32>,
    sizes: Vec<u32>,
    next: usize,
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
    pub commit_p50_ms: f64,
    pub commit_p99_ms: f64,
    pub batch_mean: f64,
}

impl Gauges {
    pub fn committed(&self, took: Duration, commands: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
        self.latest_commit.store(took.as_micros() as u64, Ordering::Relaxed);
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if recent.micros.len() < COMMITS_KEPT {
            recent.micros.push(micros);
            recent.sizes.push(commands as u32);
        } else {
            let at = recent.next;
            recent.micros[at] = micros;
            recent.sizes[at] = commands as u32;
        }
        recent.next = (recent.next + 1) % COMMITS_KEPT;
    }

    /// How long the latest commit took, from taking its commands to releasing their answers.
    pub fn latest_commit(&self) -> Duration {
        Duration::from_micros(self.latest_commit.load(Ordering::Relaxed))
    }

    pub fn look(&self) -> WriterFigures {
        let recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut sorted = recent.micros.clone();
        sorted.sort_unstable();
        let at = |q: f64| {
            let index = ((sorted.len().max(1) - 1) as f64 * q).round() as usize;
            sorted.get(index).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        let total: u64 = recent.sizes.iter().map(|size| u64::from(*size)).sum();
        WriterFigures {
            commits: self.commits.load(Ordering::Relaxed),
            commands: self.commands.load(Ordering::Relaxed),
            refused_busy: self.refused_busy.load(Ordering::Relaxed),
            read_only: self.read_only.load(Ordering::Relaxed),
            parked: self.parked.load(Ordering::Relaxed),
            commit_p50_ms: at(0.5),
            commit_p99_ms: at(0.99),
            batch_mean: total as f64 / recent.sizes.len().max(1) as f64,
        }
    }
}
