//! How long the disk takes to make the journal durable, for pages and `/metrics`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::base::time::Stopwatch;

/// Latest syncs that are looked at.
const KEPT: usize = 512;

/// Microseconds of the latest syncs, in a ring.
#[derive(Debug, Default)]
pub(super) struct Syncs(Mutex<(Vec<u32>, usize)>);

impl Syncs {
    fn took(&self, watch: Stopwatch) {
        let micros = u32::try_from(watch.elapsed().as_micros()).unwrap_or(u32::MAX);
        let (latest, next) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() < KEPT {
            latest.push(micros);
        } else {
            latest[*next] = micros;
        }
        *next = (*next + 1) % KEPT;
    }

    /// `None` before the first.
    pub fn p99_ms(&self) -> Option<f64> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        latest.sort_unstable();
        let last = latest.len().checked_sub(1)?;
        Some(f64::from(latest[(last as f64 * 0.99).round() as usize]) / 1_000.0)
    }
}

/// A file whose syncs are timed.
#[derive(Debug)]
pub(super) struct Timed {
    pub file: Box<dyn StorageBackend>,
    pub syncs: Arc<Syncs>,
}

impl StorageBackend for Timed {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let watch = Stopwatch::start();
        let synced = self.file.sync_data();
        self.syncs.took(watch);
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
