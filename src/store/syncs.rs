//! How long the disk takes to make the journal durable, for pages and `/metrics`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::base::latest::Latest;
use crate::base::time::{Span, Stopwatch, monotonic_micros};

/// Latest syncs that are looked at.
const KEPT: usize = 512;
/// How old they may be.
const AGE: Span = Span::from_mins(10);

/// The latest syncs.
#[derive(Debug, Default)]
pub(super) struct Syncs(Mutex<Latest<KEPT>>);

impl Syncs {
    fn took(&self, watch: Stopwatch) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.put(monotonic_micros(), watch.elapsed(), 1);
    }

    /// `None` before the first, and when there was none for a while.
    pub fn p99_ms(&self) -> Option<f64> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.figures(monotonic_micros(), AGE).map(|of| of.p99_ms)
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
