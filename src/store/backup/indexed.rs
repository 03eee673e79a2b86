//! A backup as rows that can be asked for in any order: the index is made while it is read and
//! checked from front to end, and takes some hundred bytes for every 64 KiB of rows.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::fault::Fault;
use crate::store::rows::{Rows, Span, Visit};

use super::format::{BLOCK_HEADER_BYTES, BlockHeader, take_row};
use super::read::{Reader, unpack};
use super::{BackupError, Summary, Watch};

/// Unpacked blocks that are kept; most hold 64 KiB, few as much as the largest row.
const BLOCKS_KEPT: usize = 128;

/// A block and where it is.
struct Place {
    first_key: Vec<u8>,
    at: u64,
    header: BlockHeader,
}

/// The rows of a block, and where each begins: they are asked for one by one.
struct Rowed {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Rowed {
    fn of(bytes: Vec<u8>) -> Rowed {
        let (mut starts, mut rest) = (Vec::new(), &bytes[..]);
        loop {
            let start = bytes.len() - rest.len();
            if take_row(&mut rest).is_none() {
                break;
            }
            starts.push(start as u32);
        }
        Rowed { bytes, starts }
    }

    fn row(&self, at: usize) -> Option<(&[u8], &[u8])> {
        self.row_from(*self.starts.get(at)?)
    }

    fn row_from(&self, start: u32) -> Option<(&[u8], &[u8])> {
        take_row(&mut &self.bytes[start as usize..])
    }

    /// How many rows have keys below this one.
    fn below(&self, key: &[u8]) -> usize {
        self.starts.partition_point(|start| self.row_from(*start).is_some_and(|row| row.0 < key))
    }
}

/// A whole backup, opened for questions.
pub struct Indexed {
    file: File,
    places: Vec<Place>,
    /// The latest ones used, newest last.
    kept: Mutex<VecDeque<(usize, Arc<Rowed>)>>,
    pub summary: Summary,
}

impl Indexed {
    /// Reads and checks all of it.
    pub fn open(path: &Path, watch: &mut Watch<'_>) -> Result<Indexed, BackupError> {
        let mut reader = Reader::open(path)?;
        let file = File::open(path).map_err(BackupError::io(path))?;
        let mut places = Vec::new();
        while let Some(block) = reader.next_block()? {
            let first_key = take_row(&mut &block.rows[..]).map(|(key, _)| key.to_vec());
            let first_key = first_key.unwrap_or_default();
            places.push(Place { first_key, at: block.at, header: block.header });
            watch(reader.progress())?;
        }
        let summary = reader.end()?;
        Ok(Indexed { file, places, kept: Mutex::default(), summary })
    }

    fn block(&self, number: usize) -> Result<Arc<Rowed>, Fault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().rposition(|(of, _)| *of == number)
            && let Some(found) = kept.remove(at)
        {
            kept.push_back(found.clone());
            return Ok(found.1);
        }
        drop(kept);
        let place = &self.places[number];
        let mut stored = vec![0; place.header.stored as usize];
        let read = self.file.read_exact_at(&mut stored, place.at + BLOCK_HEADER_BYTES as u64);
        read.map_err(|error| crate::store::disk::io_fault(&error))?;
        let rows = Some(stored).filter(|stored| place.header.fits(stored));
        let rows = rows.and_then(|stored| unpack(&place.header, &stored)).ok_or_else(|| {
            Fault::Corrupt(format!("block {number} of the backup changed while it was read"))
        })?;
        let rows = Arc::new(Rowed::of(rows));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= BLOCKS_KEPT {
            kept.pop_front();
        }
        kept.push_back((number, rows.clone()));
        Ok(rows)
    }

    /// The block in which `key` is, if it is there at all.
    fn block_of(&self, key: &[u8]) -> usize {
        self.places.partition_point(|place| &place.first_key[..] <= key).saturating_sub(1)
    }
}

impl Rows for Indexed {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if self.places.is_empty() {
            return Ok(None);
        }
        let rows = self.block(self.block_of(key))?;
        let found = rows.row(rows.below(key)).filter(|(found, _)| *found == key);
        Ok(found.map(|(_, value)| value.to_vec()))
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() || self.places.is_empty() {
            return Ok(());
        }
        let (first, last) = (self.block_of(&span.lo), self.block_of(&span.hi));
        let numbers: &mut dyn Iterator<Item = usize> =
            if span.newest_first { &mut (first..=last).rev() } else { &mut (first..=last) };
        for number in numbers {
            let rows = self.block(number)?;
            let within = rows.below(&span.lo)..rows.below(&span.hi);
            let flow = if span.newest_first {
                visit_all(within.rev().filter_map(|at| rows.row(at)), visit)?
            } else {
                visit_all(within.filter_map(|at| rows.row(at)), visit)?
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn visit_all<'b>(
    rows: impl Iterator<Item = (&'b [u8], &'b [u8])>,
    visit: &mut Visit<'_>,
) -> Result<ControlFlow<()>, Fault> {
    for (key, value) in rows {
        if visit(key, value)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
