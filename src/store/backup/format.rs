//! Bytes of a backup: header, blocks and trailer, pure.

use std::collections::BTreeMap;

use crate::base::time::Time;
use crate::store::codec::ROW_BYTES_MAX;

use super::{Amount, Contents, Stamp};

pub const MAGIC: &[u8; 16] = b"tidegate backup\n";
/// Of the file's layout.
pub const VERSION: u32 = 1;
pub const HEADER_BYTES: usize = 68;
const TOOL_BYTES: usize = 24;

pub const BLOCK_MARK: [u8; 4] = *b"tgb:";
pub const BLOCK_HEADER_BYTES: usize = 20;
/// A block is closed once it holds so much: large enough to pack well, small enough to be read for
/// the sake of one row, and to be packed before anyone else waits for the processor.
pub const BLOCK_BYTES: usize = 64 << 10;
/// The most that a reader takes: the largest row behind others, and its key. Blocks were closed at
/// 256 KiB once.
pub const BLOCK_BYTES_MAX: usize = (256 << 10) + ROW_BYTES_MAX + (128 << 10);

pub const TRAILER_MARK: [u8; 4] = *b"tgt:";
const TABLE_BYTES: usize = 17;
pub const DIGEST_BYTES: usize = 32;

const ROW_HEADER_BYTES: usize = 6;

pub fn header(stamp: &Stamp) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
    bytes[20..24].copy_from_slice(&stamp.format.to_le_bytes());
    bytes[24..32].copy_from_slice(&stamp.created_at.0.to_le_bytes());
    bytes[32..40].copy_from_slice(&stamp.sequence.to_le_bytes());
    let tool = &stamp.tool.as_bytes()[..stamp.tool.len().min(TOOL_BYTES)];
    bytes[40..40 + tool.len()].copy_from_slice(tool);
    let sum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What the first bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    NotOurs,
    Damaged,
    /// Its layout has a version that is not known here.
    Newer(u32),
    Is(Stamp),
}

pub fn read_header(bytes: &[u8; HEADER_BYTES]) -> Header {
    if bytes[..16] != *MAGIC {
        return Header::NotOurs;
    }
    if bytes[HEADER_BYTES - 4..] != crc32fast::hash(&bytes[..HEADER_BYTES - 4]).to_le_bytes() {
        return Header::Damaged;
    }
    let version = u32_at(bytes, 16);
    if version != VERSION {
        return Header::Newer(version);
    }
    let tool = String::from_utf8_lossy(&bytes[40..40 + TOOL_BYTES]);
    Header::Is(Stamp {
        format: u32_at(bytes, 20),
        created_at: Time(u64_at(bytes, 24) as i64),
        sequence: u64_at(bytes, 32),
        tool: tool.trim_end_matches('\0').to_owned(),
    })
}

/// Numbers before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    pub rows: u32,
    /// Unpacked.
    pub bytes: u32,
    pub stored: u32,
    sum: u32,
}

impl BlockHeader {
    pub fn of(rows: u32, bytes: usize, stored: &[u8]) -> BlockHeader {
        let bound = "blocks are bounded far below 4 GiB";
        let mut header = BlockHeader {
            rows,
            bytes: u32::try_from(bytes).expect(bound),
            stored: u32::try_from(stored.len()).expect(bound),
            sum: 0,
        };
        header.sum = header.sum_over(stored);
        header
    }

    pub fn to_bytes(self) -> [u8; BLOCK_HEADER_BYTES] {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        bytes[..4].copy_from_slice(&BLOCK_MARK);
        for (at, number) in [self.rows, self.bytes, self.stored, self.sum].into_iter().enumerate() {
            bytes[4 + at * 4..8 + at * 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Behind the mark. `None` when no block is so large.
    pub fn read(bytes: &[u8; BLOCK_HEADER_BYTES - 4]) -> Option<BlockHeader> {
        let [rows, size, stored, sum] = [0, 4, 8, 12].map(|at| u32_at(bytes, at));
        let fits = size as usize <= BLOCK_BYTES_MAX
            && stored as usize <= zstd::zstd_safe::compress_bound(BLOCK_BYTES_MAX);
        fits.then_some(BlockHeader { rows, bytes: size, stored, sum })
    }

    pub fn fits(&self, stored: &[u8]) -> bool {
        self.sum == self.sum_over(stored)
    }

    fn sum_over(&self, stored: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for number in [self.rows, self.bytes, self.stored] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(stored);
        hasher.finalize()
    }
}

/// All but the digest.
pub fn trailer(contents: &Contents) -> Vec<u8> {
    let mut bytes = TRAILER_MARK.to_vec();
    bytes.extend_from_slice(&(contents.tables.len() as u32).to_le_bytes());
    for (table, amount) in &contents.tables {
        bytes.push(*table);
        bytes.extend_from_slice(&amount.rows.to_le_bytes());
        bytes.extend_from_slice(&amount.bytes.to_le_bytes());
    }
    bytes.extend_from_slice(&contents.blocks.to_le_bytes());
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Behind the mark, with the digest; `None` when it does not fit.
pub fn read_trailer(rest: &[u8]) -> Option<(Contents, [u8; DIGEST_BYTES])> {
    let (rest, digest) = rest.split_last_chunk::<DIGEST_BYTES>()?;
    let (body, sum) = rest.split_last_chunk::<4>()?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&TRAILER_MARK);
    hasher.update(body);
    if hasher.finalize().to_le_bytes() != *sum {
        return None;
    }
    let (count, rest) = body.split_first_chunk::<4>()?;
    let (tables, blocks) = rest.split_last_chunk::<8>()?;
    if tables.len() != u32::from_le_bytes(*count) as usize * TABLE_BYTES {
        return None;
    }
    let amount = |at: &[u8]| Amount { rows: u64_at(at, 1), bytes: u64_at(at, 9) };
    let tables: BTreeMap<u8, Amount> =
        tables.chunks_exact(TABLE_BYTES).map(|at| (at[0], amount(at))).collect();
    Some((Contents { tables, blocks: u64::from_le_bytes(*blocks) }, *digest))
}

/// The longest trailer, with its digest and without its mark.
pub const TRAILER_BYTES_MAX: usize = 4 + 256 * TABLE_BYTES + 8 + 4 + DIGEST_BYTES;

/// Takes a row off the front of a block; `None` when it does not fit.
pub fn take_row<'b>(block: &mut &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
    let (head, rest) = block.split_first_chunk::<ROW_HEADER_BYTES>()?;
    let key = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let value = u32_at(head, 2) as usize;
    let (key, rest) = rest.split_at_checked(key)?;
    let (value, rest) = rest.split_at_checked(value)?;
    *block = rest;
    Some((key, value))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
