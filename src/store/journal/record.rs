//! Bytes of the journal: its header, and records with their rows.

use crate::store::fault::Fault;

const MAGIC: &[u8; 16] = b"tidegate journal";
/// 1 had one area, and sums without the identity.
const VERSION: u32 = 2;
pub(super) const HEADER_BYTES: usize = 40;

const MARK: [u8; 4] = *b"tgj:";
const RECORD_HEADER_BYTES: usize = 20;
const ROW_HEADER_BYTES: usize = 6;
/// In place of a value's length: the row goes away.
const REMOVED: u32 = u32::MAX;

/// A row: its key, and its value unless it goes away.
pub type Row<'r> = (&'r [u8], Option<&'r [u8]>);

/// What the file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the store that it belongs to.
    pub identity: u64,
    pub area_bytes: u64,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.identity.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.area_bytes.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..36]);
        bytes[36..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Of the journal of the store with this identity.
    pub fn read(bytes: &[u8], identity: u64) -> Result<Header, Fault> {
        let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(damaged("is missing or cut short: it is part of the store"));
        };
        if found[..16] == *MAGIC && number(&found[16..20]) < u64::from(VERSION) {
            return Err(damaged("is older than the first release"));
        }
        if found[36..] != crc32fast::hash(&found[..36]).to_le_bytes() || found[..16] != *MAGIC {
            return Err(damaged("has a damaged header"));
        }
        if found[16..20] != VERSION.to_le_bytes() {
            return Err(Fault::Newer("the journal".to_owned()));
        }
        let header =
            Header { identity: number(&found[20..28]), area_bytes: number(&found[28..36]) };
        if header.identity != identity {
            return Err(damaged("belongs to another store"));
        }
        Ok(header)
    }
}

pub(super) fn damaged(how: &str) -> Fault {
    Fault::Corrupt(format!("its journal {how}"))
}

/// Rows as a record under way: [`Draft::finish`] makes it whole.
pub(super) struct Draft(Vec<u8>);

impl Draft {
    /// Over a buffer that is used again.
    pub fn new(mut buffer: Vec<u8>) -> Draft {
        buffer.clear();
        buffer.resize(RECORD_HEADER_BYTES, 0);
        Draft(buffer)
    }

    pub fn put(&mut self, row: Row<'_>) {
        put_row(&mut self.0, row);
    }

    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn finish(self, identity: u64, sequence: u64) -> Vec<u8> {
        let mut bytes = self.0;
        let body = u32::try_from(bytes.len() - RECORD_HEADER_BYTES)
            .expect("a record fits into an area, which is smaller than 4 GiB");
        bytes[..4].copy_from_slice(&MARK);
        bytes[4..8].copy_from_slice(&body.to_le_bytes());
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        let sum = sum(identity, &bytes[4..16], &bytes[RECORD_HEADER_BYTES..]);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The buffer again.
    pub fn give_up(self) -> Vec<u8> {
        self.0
    }
}

/// The identity of the store goes in: bytes that somebody sent never look like a record of it.
fn sum(identity: u64, numbers: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity.to_le_bytes());
    hasher.update(numbers);
    hasher.update(body);
    hasher.finalize()
}

pub(in crate::store) fn put_row(buffer: &mut Vec<u8>, (key, value): Row<'_>) {
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
pub(super) struct Record<'b> {
    pub sequence: u64,
    body: &'b [u8],
}

impl<'b> Record<'b> {
    pub fn at(bytes: &'b [u8], place: usize, identity: u64) -> Option<Record<'b>> {
        let (head, rest) = bytes.get(place..)?.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        if head[..4] != MARK {
            return None;
        }
        let body = rest.get(..number(&head[4..8]) as usize)?;
        let is_whole = sum(identity, &head[4..16], body).to_le_bytes() == head[16..20];
        is_whole.then(|| Record { sequence: number(&head[8..16]), body })
    }

    pub fn len(&self) -> usize {
        RECORD_HEADER_BYTES + self.body.len()
    }

    pub fn rows(&self) -> Rows<'b> {
        Rows(self.body)
    }
}

/// Whether a whole record of a sequence above `last` lies anywhere in `bytes`.
pub(super) fn has_later(bytes: &[u8], last: u64, identity: u64) -> bool {
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| **window == MARK);
    let mut records = marks.filter_map(|(place, _)| Record::at(bytes, place, identity));
    records.any(|record| record.sequence > last)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Rows of a body that was checked against its sum.
pub(super) struct Rows<'b>(&'b [u8]);

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
