//! What was committed since the store's last checkpoint, one record after the other.
//!
//! A durable commit of redb writes some eight scattered pages before its one sync; the same rows
//! as one record, over bytes that the file already has, are synced in a third of the time. So a
//! batch becomes durable here, redb applies it in memory, and a checkpoint (a durable commit of
//! redb) makes all of it superfluous now and then: the next record starts at the front again.
//!
//! ```text
//! header   "tidegate journal", version u32, identity u64, CRC-32 of these        32 bytes
//! record   mark u32, length u32, sequence u64, CRC-32 of body and of these       20 bytes, body
//! body     for each row: key length u16, value length u32 (REMOVED: none), key, value
//! ```
//! Numbers are little-endian. Rows carry what is, never by how much it changed: applying a record
//! twice, or one whose successors were applied already, ends in the same rows.
//!
//! Sequences only grow, so what an earlier lap left behind the last record is never taken for one.
//! A record that is torn was not acknowledged, and ends the journal; but when a whole record of a
//! higher sequence lies behind it, acknowledged rows are lost, and that is told as damage.

use std::sync::Arc;

use redb::StorageBackend;

use super::disk::io_fault;
use super::fault::Fault;

mod pen;

pub use pen::Pen;
use pen::{Hand, Page};

const MAGIC: &[u8; 16] = b"tidegate journal";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;

const MARK: [u8; 4] = *b"tgj:";
const RECORD_HEADER_BYTES: usize = 20;
const ROW_HEADER_BYTES: usize = 6;
/// In place of a value's length: the row goes away.
const REMOVED: u32 = u32::MAX;

/// The file grows by so many zeros at once: writes that follow need no new blocks.
const GROWTH_BYTES: u64 = 1 << 20;

/// A row: its key, and its value unless it goes away.
pub type Row<'r> = (&'r [u8], Option<&'r [u8]>);

/// Where a journal goes on.
struct Place {
    position: u64,
    length: u64,
    last: u64,
}

/// The records in the order in which they were committed.
pub struct Journal {
    file: Arc<dyn StorageBackend>,
    hand: Hand,
    /// Where the next record goes.
    position: u64,
    /// Bytes that the file has.
    length: u64,
    /// Records never go beyond it.
    bytes_max: u64,
    /// Sequence of the latest record.
    last: u64,
    buffer: Vec<u8>,
    /// Where the record ends that is being written.
    under_way: Option<u64>,
}

impl Journal {
    /// Makes an empty journal of a store, over whatever the file holds.
    pub fn create(
        file: Box<dyn StorageBackend>,
        pen: Pen,
        identity: u64,
        bytes_max: u64,
    ) -> Result<Journal, Fault> {
        file.set_len(0).map_err(|error| io_fault(&error))?;
        file.set_len(HEADER_BYTES as u64).map_err(|error| io_fault(&error))?;
        file.write(0, &header(identity)).map_err(|error| io_fault(&error))?;
        file.sync_data().map_err(|error| io_fault(&error))?;
        let position = HEADER_BYTES as u64;
        Journal::over(file, pen, bytes_max, Place { position, length: position, last: 0 })
    }

    fn over(
        file: Box<dyn StorageBackend>,
        pen: Pen,
        bytes_max: u64,
        Place { position, length, last }: Place,
    ) -> Result<Journal, Fault> {
        let file: Arc<dyn StorageBackend> = Arc::from(file);
        let hand = Hand::new(pen, file.clone())?;
        let (buffer, under_way) = (Vec::new(), None);
        Ok(Journal { file, hand, position, length, bytes_max, last, buffer, under_way })
    }

    /// Opens the journal of a store whose checkpoint holds everything up to sequence `after`, and
    /// gives each later record to `apply`.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the file belongs to another store, when a record is damaged, or when
    /// records are missing.
    pub fn open(
        file: Box<dyn StorageBackend>,
        pen: Pen,
        identity: u64,
        bytes_max: u64,
        after: u64,
        mut apply: impl FnMut(&mut dyn Iterator<Item = Row<'_>>) -> Result<(), Fault>,
    ) -> Result<Journal, Fault> {
        let length = file.len().map_err(|error| io_fault(&error))?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged("is too long"))?];
        file.read(0, &mut bytes).map_err(|error| io_fault(&error))?;
        check_header(&bytes, identity)?;
        let (mut place, mut last) = (HEADER_BYTES, None);
        while let Some(record) = Record::at(&bytes, place)
            && last.is_none_or(|last| record.sequence == last + 1)
        {
            if record.sequence > after {
                if last.is_none() && record.sequence > after + 1 {
                    return Err(damaged(
                        "begins after the end of the store: the two are of different times",
                    ));
                }
                apply(&mut Rows(record.body))?;
            }
            last = Some(record.sequence);
            place += RECORD_HEADER_BYTES + record.body.len();
        }
        let last = last.unwrap_or(after).max(after);
        if has_later(&bytes[place..], last) {
            return Err(damaged("has a damaged record before whole ones"));
        }
        // Restarted at the front when the checkpoint holds it all.
        let place_of_next = Place { position: place as u64, length, last };
        let mut journal = Journal::over(file, pen, bytes_max, place_of_next)?;
        if last == after {
            journal.restart();
        } else {
            // A record may be whole in the memory of the system only, after a sync that failed.
            journal.file.write(0, &bytes[..place]).map_err(|error| io_fault(&error))?;
            journal.file.sync_data().map_err(|error| io_fault(&error))?;
        }
        Ok(journal)
    }

    /// Begins to make rows durable, which [`Journal::finish`] ends; false, and nothing is written,
    /// when there is no room before the next checkpoint.
    pub fn start<'r>(&mut self, rows: impl Iterator<Item = Row<'r>>) -> Result<bool, Fault> {
        let sequence = self.last + 1;
        self.buffer.clear();
        self.buffer.resize(RECORD_HEADER_BYTES, 0);
        for row in rows {
            if self.position + (self.buffer.len() as u64) >= self.bytes_max {
                return Ok(false);
            }
            put_row(&mut self.buffer, row);
        }
        let end = self.position + self.buffer.len() as u64;
        let body = u32::try_from(self.buffer.len() - RECORD_HEADER_BYTES).unwrap_or(u32::MAX);
        if end > self.bytes_max || body == u32::MAX {
            return Ok(false);
        }
        self.buffer[..4].copy_from_slice(&MARK);
        self.buffer[4..8].copy_from_slice(&body.to_le_bytes());
        self.buffer[8..16].copy_from_slice(&sequence.to_le_bytes());
        let sum = sum(&self.buffer[4..16], &self.buffer[RECORD_HEADER_BYTES..]);
        self.buffer[16..20].copy_from_slice(&sum.to_le_bytes());
        self.make_room(end)?;
        let page = Page { position: self.position, bytes: std::mem::take(&mut self.buffer) };
        self.hand.start(page)?;
        self.under_way = Some(end);
        Ok(true)
    }

    /// Waits until the record that was started is durable.
    pub fn finish(&mut self) -> Result<(), Fault> {
        let Some(end) = self.under_way.take() else { return Ok(()) };
        self.buffer = self.hand.finish()?;
        self.buffer.shrink_to(GROWTH_BYTES as usize);
        self.position = end;
        self.last += 1;
        Ok(())
    }

    /// The store holds everything up to [`Journal::last`]: the next record goes to the front.
    pub fn restart(&mut self) {
        self.position = HEADER_BYTES as u64;
    }

    /// Sequence of the latest record, which is durable.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Bytes of records since the last checkpoint.
    pub fn bytes(&self) -> u64 {
        self.position - HEADER_BYTES as u64
    }

    /// Zeros up to and beyond `end`, so that later records overwrite what is there.
    fn make_room(&mut self, end: u64) -> Result<(), Fault> {
        if end <= self.length {
            return Ok(());
        }
        let length = end.next_multiple_of(GROWTH_BYTES).min(self.bytes_max).max(end);
        self.file.set_len(length).map_err(|error| io_fault(&error))?;
        let zeros = vec![0; (length - self.length) as usize];
        self.file.write(self.length, &zeros).map_err(|error| io_fault(&error))?;
        self.length = length;
        Ok(())
    }
}

fn header(identity: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..16].copy_from_slice(MAGIC);
    header[16..20].copy_from_slice(&VERSION.to_le_bytes());
    header[20..28].copy_from_slice(&identity.to_le_bytes());
    let sum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn check_header(bytes: &[u8], identity: u64) -> Result<(), Fault> {
    let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(damaged("is missing or cut short: it is part of the store"));
    };
    if found[28..] != crc32fast::hash(&found[..28]).to_le_bytes() || found[..16] != *MAGIC {
        return Err(damaged("has a damaged header"));
    }
    if found[16..20] != VERSION.to_le_bytes() {
        return Err(Fault::Newer("the journal".to_owned()));
    }
    if found[..] != header(identity) {
        return Err(damaged("belongs to another store"));
    }
    Ok(())
}

fn damaged(how: &str) -> Fault {
    Fault::Corrupt(format!("its journal {how}"))
}

fn sum(numbers: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(numbers);
    hasher.update(body);
    hasher.finalize()
}

fn put_row(buffer: &mut Vec<u8>, (key, value): Row<'_>) {
    let key_length = u16::try_from(key.len()).expect("keys are checked to be shorter than 64 KiB");
    let value_length = value.map_or(REMOVED, |value| {
        u32::try_from(value.len()).expect("rows are checked to be shorter than 4 GiB")
    });
    buffer.extend_from_slice(&key_length.to_le_bytes());
    buffer.extend_from_slice(&value_length.to_le_bytes());
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value.unwrap_or_default());
}

/// A record that is whole.
struct Record<'b> {
    sequence: u64,
    body: &'b [u8],
}

impl Record<'_> {
    fn at(bytes: &[u8], place: usize) -> Option<Record<'_>> {
        let (head, rest) = bytes.get(place..)?.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        if head[..4] != MARK {
            return None;
        }
        let body = rest.get(..number(&head[4..8]) as usize)?;
        let is_whole = sum(&head[4..16], body).to_le_bytes() == head[16..20];
        is_whole.then(|| Record { sequence: number(&head[8..16]), body })
    }
}

/// Whether a whole record of a sequence above `last` lies anywhere in `bytes`.
fn has_later(bytes: &[u8], last: u64) -> bool {
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| **window == MARK);
    let mut records = marks.filter_map(|(place, _)| Record::at(bytes, place));
    records.any(|record| record.sequence > last)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Rows of a body that was checked against its sum.
struct Rows<'b>(&'b [u8]);

impl<'b> Iterator for Rows<'b> {
    type Item = Row<'b>;

    fn next(&mut self) -> Option<Row<'b>> {
        if self.0.is_empty() {
            return None;
        }
        let (head, rest) = self.0.split_at(ROW_HEADER_BYTES);
        let (key, rest) = rest.split_at(number(&head[..2]) as usize);
        let value_length = number(&head[2..]);
        if value_length == u64::from(REMOVED) {
            self.0 = rest;
            return Some((key, None));
        }
        let (value, rest) = rest.split_at(value_length as usize);
        self.0 = rest;
        Some((key, Some(value)))
    }
}

#[cfg(test)]
mod tests;
