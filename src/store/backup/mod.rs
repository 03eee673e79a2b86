//! One file that holds all rows as they were at one commit.
//!
//! ```text
//! header   "tidegate backup\n", version u32, data format u32, created i64 (milliseconds),
//!          sequence u64, version of the tool (24 bytes, filled with zeros), CRC-32       68 bytes
//! blocks   mark "tgb:", rows u32, bytes u32, stored bytes u32, CRC-32 of the three
//!          numbers and of what is stored, then so many stored bytes: zstd                20 bytes, body
//! trailer  mark "tgt:", tables u32, for each its number u8, rows u64 and bytes u64;
//!          blocks u64, CRC-32, then SHA-256 of everything before
//! ```
//! Numbers are little-endian. What a block holds is rows in key order, each as key length u16, value
//! length u32, key, value; keys ascend over the whole file. The trailer is the end of the file, so
//! one that is cut short is told from one that is whole, and a flipped bit is found twice: by the
//! sum of its block, which names the place, and by the digest.
//!
//! The store holds one journal and one file of redb; this holds neither. It is written from a view,
//! so writers go on, and it restores into a store of its own, compacted.

mod file;
mod format;
mod indexed;
mod read;
mod write;

pub use file::{
    BACKUP_SUFFIX, DRAFT_SUFFIX, create, discard_drafts, free_bytes, list_files, write_synced,
};
pub use indexed::Indexed;
pub use read::Reader;
pub use write::write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::time::Time;

use super::fault::Fault;
use super::open::format_in;
use super::rows::Rows;
use super::tables::Table;

/// What the file says of itself before its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of the rows; see [`FORMAT`](super::tables::FORMAT).
    pub format: u32,
    pub created_at: Time,
    /// The commit that it ends with.
    pub sequence: u64,
    /// The version of Tidegate that wrote it.
    pub tool: String,
}

/// Rows and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub rows: u64,
    pub bytes: u64,
}

/// What the file says of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// By the number of the table.
    pub tables: BTreeMap<u8, Amount>,
    pub blocks: u64,
}

impl Contents {
    pub fn total(&self) -> Amount {
        let mut total = Amount::default();
        for amount in self.tables.values() {
            total.rows += amount.rows;
            total.bytes += amount.bytes;
        }
        total
    }

    pub fn rows_of(&self, table: Table) -> u64 {
        self.tables.get(&(table as u8)).map_or(0, |amount| amount.rows)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        let amount = self.tables.entry(key.first().copied().unwrap_or(0)).or_default();
        amount.rows += 1;
        amount.bytes += (key.len() + value.len()) as u64;
    }
}

/// A whole backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub stamp: Stamp,
    pub contents: Contents,
    pub file_bytes: u64,
    /// SHA-256 of all but the last 32 bytes.
    pub digest: [u8; 32],
}

impl Summary {
    pub fn digest_text(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How far a backup is, or its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub rows: u64,
    /// Of the file, so far.
    pub file_bytes: u64,
}

/// Whether the rows of a backup are of the data format that its header names: without it no store
/// could be opened over them.
pub fn check_format(path: &Path, stamp: &Stamp, rows: &dyn Rows) -> Result<(), BackupError> {
    let (said, found) = (stamp.format, format_in(rows)?);
    match found == Some(said) {
        true => Ok(()),
        false => {
            let found = found.map_or("nothing".to_owned(), |found| found.to_string());
            let how = format!("its header says data format {said}, its rows say {found}");
            Err(BackupError::Damaged { path: path.to_owned(), how })
        }
    }
}

/// Told after every block; an error ends the work.
pub type Watch<'w> = dyn FnMut(Progress) -> Result<(), BackupError> + 'w;

/// Why there is no backup, or no reading it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the backup `{path}` is damaged: {how}")]
    Damaged { path: PathBuf, how: String },
    #[error("`{0}` is no backup of Tidegate")]
    NotOurs(PathBuf),
    #[error("the backup `{path}` was written by a newer Tidegate ({what}): install that version")]
    Newer { path: PathBuf, what: String },
    #[error("`{path}` cannot be used: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("`{0}` exists already; choose another name")]
    Exists(PathBuf),
    #[error(
        "`{path}` has room for {free} bytes and the backup may need {needed}: make room, or write it elsewhere"
    )]
    NoSpace { path: PathBuf, free: u64, needed: u64 },
    #[error("the backup was given up: {0}")]
    Canceled(String),
    #[error(transparent)]
    Store(#[from] Fault),
}

impl BackupError {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
        move |source| BackupError::Io { path: path.to_owned(), source }
    }

    /// Whether the file itself is to blame.
    pub fn is_damage(&self) -> bool {
        matches!(self, BackupError::Damaged { .. } | BackupError::NotOurs(_))
    }
}

#[cfg(test)]
mod tests;
