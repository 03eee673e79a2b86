//! What readers see: the rows of redb, and over them what it does not have yet.

use std::sync::Arc;

use redb::{ReadOnlyTable, ReadableTableMetadata};

use super::disk::fault;
use super::fault::Fault;
use super::merged::scan_merged;
use super::recent::Recent;
use super::rows::{Rows, Span, Visit};

/// Rows as redb has them at one moment.
pub(super) struct Base(pub ReadOnlyTable<&'static [u8], &'static [u8]>);

/// A consistent view of all rows: everything up to one commit.
#[derive(Clone)]
pub(super) struct View {
    pub base: Arc<Base>,
    /// What redb is taking over at this moment.
    pub leaving: Option<Arc<Recent>>,
    /// What came after.
    pub recent: Arc<Recent>,
    /// The commit that it ends with.
    pub sequence: u64,
}

/// A view for a reader; keep it short, a long one makes the file grow.
pub struct Snapshot(pub(super) Arc<View>);

impl Snapshot {
    /// The commit that it ends with.
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// How many rows there are, give or take what came a moment ago.
    pub fn rows_about(&self) -> u64 {
        // It stands in the root of the table; a read that fails is told by the scan that follows.
        self.0.base.0.len().unwrap_or(0)
    }
}

impl Rows for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(key)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.0.scan(span, visit)
    }
}

impl Rows for View {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let above = [Some(&self.recent), self.leaving.as_ref()];
        let known = above.into_iter().flatten().find_map(|rows| rows.get(key, self.sequence));
        known.map_or_else(|| self.base.get(key), Ok)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let recent = self.recent.range(span, self.sequence);
        match &self.leaving {
            None => scan_merged(&*self.base, recent, span, visit),
            Some(leaving) => {
                let below = Below { base: &self.base, rows: leaving, sequence: self.sequence };
                scan_merged(&below, recent, span, visit)
            }
        }
    }
}

/// Redb's rows with those over them that it is taking over.
struct Below<'v> {
    base: &'v Base,
    rows: &'v Recent,
    sequence: u64,
}

impl Rows for Below<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.rows.get(key, self.sequence).map_or_else(|| self.base.get(key), Ok)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        scan_merged(self.base, self.rows.range(span, self.sequence), span, visit)
    }
}

impl Rows for Base {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key).map_err(fault)?.map(|guard| guard.value().to_vec()))
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let mut range = self.0.range(span.lo.as_slice()..span.hi.as_slice()).map_err(fault)?;
        loop {
            let next = if span.newest_first { range.next_back() } else { range.next() };
            let Some(row) = next else { return Ok(()) };
            let (key, value) = row.map_err(fault)?;
            if visit(key.value(), value.value())?.is_break() {
                return Ok(());
            }
        }
    }
}
