//! What was committed since the store's last checkpoint, one record after the other.
//!
//! A durable commit of redb writes some eight scattered pages before its one sync; the same rows
//! as one record, over bytes that the file already has, are synced in a third of the time. So a
//! batch becomes durable here, and redb takes it over [beside](super::keeper) the writer. The file
//! has two areas. While one is written, a checkpoint (a durable commit of redb) makes the records
//! of the other superfluous, so that the writer can go on there when the first is full.
//!
//! ```text
//! header   "tidegate journal", version u32, identity u64, bytes of an area u64, CRC-32   40 bytes
//! areas    two of the same size, each with records from its front on
//! record   mark u32, length u32, sequence u64, CRC-32 of identity, these and body        20 bytes, body
//! body     for each row: key length u16, value length u32 (none: the row goes away), key, value
//! ```
//! Numbers are little-endian. Rows carry what is, never by how much it changed: applying a record
//! twice, or one whose successors were applied already, ends in the same rows.
//!
//! Sequences only grow, so what an earlier lap left behind the last record is never taken for one.
//! A record that is torn was not acknowledged, and ends the journal; but when a whole record of a
//! higher sequence lies anywhere else, acknowledged rows are lost, and that is told as damage. So is
//! a length that the file never has: its end was cut off. What nothing can tell is whether the very
//! last record was torn by a power cut or was damaged later.

use std::ops::Range;
use std::sync::Arc;

use redb::StorageBackend;

use super::disk::io_fault;
use super::fault::Fault;

mod hand;
mod record;

use hand::{Hand, Page};
use record::{Draft, HEADER_BYTES, Header, Record, damaged, has_later};

pub use record::Row;
pub(super) use record::put_row;

/// The file grows by so many zeros at once: writes that follow need no new blocks.
const GROWTH_BYTES: u64 = 1 << 20;

/// Where the records of an area end.
#[derive(Clone, Copy, Debug, Default)]
struct Area {
    /// From its front.
    bytes: u64,
    /// Sequence of its last record; 0 when it has none.
    last: u64,
}

/// What became of a record that was to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// [`Journal::finish`] waits until it is durable.
    Yes,
    /// Nothing was written: both areas are in use until a checkpoint holds this sequence.
    Full(u64),
    /// Nothing was written: no area could ever hold it.
    TooLarge,
}

/// The records in the order in which they were committed.
pub struct Journal {
    file: Arc<dyn StorageBackend>,
    hand: Hand,
    header: Header,
    /// Bytes that the file has.
    length: u64,
    areas: [Area; 2],
    /// The area that is written.
    current: usize,
    /// Sequence of the latest record.
    last: u64,
    buffer: Vec<u8>,
    /// Bytes of the record that is being written.
    under_way: Option<u64>,
}

impl Journal {
    /// Makes an empty journal of a store, over whatever the file holds.
    ///
    /// With `beside`, large records are written by a thread of their own.
    pub fn create(
        file: Box<dyn StorageBackend>,
        beside: bool,
        identity: u64,
        bytes_max: u64,
    ) -> Result<Journal, Fault> {
        let header = Header { identity, area_bytes: (bytes_max - HEADER_BYTES as u64) / 2 };
        file.set_len(0).map_err(|error| io_fault(&error))?;
        file.set_len(HEADER_BYTES as u64).map_err(|error| io_fault(&error))?;
        file.write(0, &header.to_bytes()).map_err(|error| io_fault(&error))?;
        file.sync_data().map_err(|error| io_fault(&error))?;
        Journal::over(file, beside, header, HEADER_BYTES as u64)
    }

    fn over(
        file: Box<dyn StorageBackend>,
        beside: bool,
        header: Header,
        length: u64,
    ) -> Result<Journal, Fault> {
        let file: Arc<dyn StorageBackend> = Arc::from(file);
        let hand = Hand::new(beside, file.clone())?;
        let (areas, current, last) = ([Area::default(); 2], 0, 0);
        let (buffer, under_way) = (Vec::new(), None);
        Ok(Journal { file, hand, header, length, areas, current, last, buffer, under_way })
    }

    /// Opens the journal of a store whose checkpoint holds everything up to sequence `after`, and
    /// gives the rows of each later record, with its sequence, to `take`.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the file belongs to another store, when a record is damaged, or when
    /// records are missing.
    pub fn open(
        file: Box<dyn StorageBackend>,
        beside: bool,
        identity: u64,
        after: u64,
        mut take: impl FnMut(u64, &mut dyn Iterator<Item = Row<'_>>),
    ) -> Result<Journal, Fault> {
        let length = file.len().map_err(|error| io_fault(&error))?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged("is too long"))?];
        file.read(0, &mut bytes).map_err(|error| io_fault(&error))?;
        let header = Header::read(&bytes, identity)?;
        if !is_own_length(length, header) {
            return Err(damaged("is cut short: it is part of the store"));
        }
        let mut journal = Journal::over(file, beside, header, length)?;
        let chains = [0, 1].map(|area| Chain::read(&bytes, journal.place_of(area), identity));
        let mut order: Vec<usize> = (0..2).filter(|area| chains[*area].last > after).collect();
        order.sort_by_key(|area| chains[*area].first);
        journal.last = after;
        for area in order {
            let chain = &chains[area];
            if chain.first > journal.last + 1 {
                return Err(damaged(match journal.last == after {
                    true => "begins after the end of the store: the two are of different times",
                    false => "misses records between others",
                }));
            }
            for record in records(chain.bytes, identity).filter(|found| found.sequence > after) {
                take(record.sequence, &mut record.rows());
            }
            journal.areas[area] = Area { bytes: chain.bytes.len() as u64, last: chain.last };
            (journal.current, journal.last) = (area, chain.last);
        }
        for (area, chain) in chains.iter().enumerate() {
            let place = journal.place_of(area);
            let rest = place.start + chain.bytes.len()..place.end.min(bytes.len());
            let rest = bytes.get(rest).unwrap_or_default();
            if has_later(rest, journal.last, identity) {
                return Err(damaged("has a damaged record before whole ones"));
            }
            if chain.last > after {
                // A record may be whole in the memory of the system only, after a sync that failed.
                let written = journal.file.write(place.start as u64, chain.bytes);
                written.map_err(|error| io_fault(&error))?;
            }
        }
        if journal.last > after {
            journal.file.sync_data().map_err(|error| io_fault(&error))?;
        }
        Ok(journal)
    }

    /// Begins to make rows durable, while a checkpoint holds everything up to `checkpoint`.
    pub fn start<'r>(
        &mut self,
        rows: impl Iterator<Item = Row<'r>>,
        checkpoint: u64,
    ) -> Result<Started, Fault> {
        let mut draft = Draft::new(std::mem::take(&mut self.buffer));
        for row in rows {
            draft.put(row);
            if draft.len() > self.header.area_bytes {
                return Ok(Started::TooLarge);
            }
        }
        let bytes = draft.len();
        if self.areas[self.current].bytes + bytes > self.header.area_bytes {
            let next = 1 - self.current;
            if self.areas[next].last > checkpoint {
                self.buffer = draft.give_up();
                return Ok(Started::Full(self.areas[next].last));
            }
            self.current = next;
            self.areas[next] = Area::default();
        }
        let position = self.position();
        self.make_room(position + bytes)?;
        let bytes_of_record = draft.finish(self.header.identity, self.last + 1);
        self.hand.start(Page { position, bytes: bytes_of_record })?;
        self.under_way = Some(bytes);
        Ok(Started::Yes)
    }

    /// Waits until the record that was started is durable.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let Some(bytes) = self.under_way.take() else { return Ok(()) };
        self.buffer = self.hand.finish()?;
        self.buffer.shrink_to(GROWTH_BYTES as usize);
        self.last += 1;
        let area = &mut self.areas[self.current];
        *area = Area { bytes: area.bytes + bytes, last: self.last };
        Ok(())
    }

    /// A checkpoint holds everything up to sequence `last`: the next record goes to the front.
    pub fn restart(&mut self, last: u64) {
        (self.areas, self.current, self.last) = ([Area::default(); 2], 0, last);
    }

    /// Sequence of the latest record, which is durable.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Sequence of the last record of the area that is not written now; 0 when it has none.
    pub fn last_of_other(&self) -> u64 {
        self.areas[1 - self.current].last
    }

    /// Bytes of records that a checkpoint would make superfluous.
    pub fn bytes(&self) -> u64 {
        self.areas.iter().map(|area| area.bytes).sum()
    }

    fn place_of(&self, area: usize) -> Range<usize> {
        let bytes = self.header.area_bytes as usize;
        let start = HEADER_BYTES + area * bytes;
        start..start + bytes
    }

    /// Where the next record goes.
    fn position(&self) -> u64 {
        self.place_of(self.current).start as u64 + self.areas[self.current].bytes
    }

    /// Zeros up to and beyond `end`, so that later records overwrite what is there.
    fn make_room(&mut self, end: u64) -> Result<(), Fault> {
        if end <= self.length {
            return Ok(());
        }
        let longest = self.place_of(1).end as u64;
        let length = end.next_multiple_of(GROWTH_BYTES).min(longest);
        self.file.set_len(length).map_err(|error| io_fault(&error))?;
        let zeros = vec![0; (length - self.length) as usize];
        self.file.write(self.length, &zeros).map_err(|error| io_fault(&error))?;
        self.length = length;
        Ok(())
    }
}

/// Whether a journal can have this length: that of its header, or grown from there in whole steps.
fn is_own_length(length: u64, header: Header) -> bool {
    let longest = HEADER_BYTES as u64 + 2 * header.area_bytes;
    length == HEADER_BYTES as u64 || length.is_multiple_of(GROWTH_BYTES) || length == longest
}

/// The whole records of an area, from its front, each with the sequence after the one before.
struct Chain<'b> {
    bytes: &'b [u8],
    first: u64,
    /// 0 without a record.
    last: u64,
}

impl<'b> Chain<'b> {
    fn read(bytes: &'b [u8], place: Range<usize>, identity: u64) -> Chain<'b> {
        let area = bytes.get(place.start..place.end.min(bytes.len())).unwrap_or_default();
        let (mut first, mut last, mut end) = (0, 0, 0);
        for record in records(area, identity) {
            if last == 0 {
                first = record.sequence;
            } else if record.sequence != last + 1 {
                break;
            }
            last = record.sequence;
            end += record.len();
        }
        Chain { bytes: &area[..end], first, last }
    }
}

fn records(bytes: &[u8], identity: u64) -> impl Iterator<Item = Record<'_>> {
    let mut place = 0;
    std::iter::from_fn(move || {
        let record = Record::at(bytes, place, identity)?;
        place += record.len();
        Some(record)
    })
}

#[cfg(test)]
mod tests;
