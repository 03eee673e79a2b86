//! Rows in redb: snapshots for readers, one durable commit per batch.
//!
//! Default durability is redb's one-phase commit with one fdatasync. A commit that fails leaves
//! its outcome unknown and latches the database; [`Disk::reopen`] is the way out of a full disk.
//! One empty quick-repair commit when the writer falls idle makes the next open instant; on
//! every commit it would cost more the larger the file is.

use std::fmt;
use std::sync::RwLock;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::changes::Changes;
use super::fault::Fault;
use super::rows::{Rows, Span, Visit, read_count};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

/// How often and how long [`Disk::reopen`] waits for readers of the old file.
const REOPEN_TRIES: u32 = 200;
const REOPEN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Opens the database anew; called at start and after a full disk.
pub type Opener = Box<dyn Fn() -> Result<Database, Fault> + Send + Sync>;

/// The store on disk. Cheap reads from any thread; one thread writes.
pub struct Disk {
    /// `None` only while it is being reopened.
    db: RwLock<Option<Database>>,
    opener: Opener,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub fn open(opener: Opener) -> Result<Disk, Fault> {
        let db = opener()?;
        create_table(&db)?;
        Ok(Disk { db: RwLock::new(Some(db)), opener })
    }

    /// A consistent view; keep it short, a long one makes the file grow.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.with_db(|db| {
            let read = db.begin_read().map_err(fault)?;
            Ok(Snapshot { table: read.open_table(ROWS).map_err(fault)? })
        })
    }

    /// Writes `changes` in one durable commit.
    pub fn commit(&self, changes: &Changes) -> Result<(), Fault> {
        self.with_db(|db| {
            let mut write = db.begin_write().map_err(fault)?;
            write.set_durability(Durability::Immediate).map_err(fault)?;
            {
                let mut table = write.open_table(ROWS).map_err(fault)?;
                for (key, value) in &changes.rows {
                    match value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice()),
                        None => table.remove(key.as_slice()),
                    }
                    .map_err(fault)?;
                }
                for (key, delta) in changes.counts.iter().filter(|(_, delta)| **delta != 0) {
                    let before = match table.get(key.as_slice()).map_err(fault)? {
                        Some(bytes) => read_count(bytes.value())?,
                        None => 0,
                    };
                    match before + delta {
                        0 => drop(table.remove(key.as_slice()).map_err(fault)?),
                        after => {
                            let bytes = after.to_le_bytes();
                            table.insert(key.as_slice(), bytes.as_slice()).map_err(fault)?;
                        }
                    }
                }
            }
            write.commit().map_err(fault)
        })
    }

    /// An empty commit that also stores which pages are free, so that the next open after a
    /// kill need not read the whole file.
    pub fn commit_quick_repair(&self) -> Result<(), Fault> {
        self.with_db(|db| {
            let mut write = db.begin_write().map_err(fault)?;
            write.set_quick_repair(true);
            write.commit().map_err(fault)
        })
    }

    /// Closes and opens the database. Until that succeeds every read and write says `closed`.
    ///
    /// Readers keep the old file open for as long as they live, which is moments: readers to come
    /// wait, and the open is tried again.
    pub fn reopen(&self) -> Result<(), Fault> {
        let mut slot = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(slot.take());
        let mut tries = 0;
        let db = loop {
            match (self.opener)() {
                Err(Fault::Closed) if tries < REOPEN_TRIES => {
                    tries += 1;
                    std::thread::sleep(REOPEN_PAUSE);
                }
                other => break other?,
            }
        };
        create_table(&db)?;
        *slot = Some(db);
        Ok(())
    }

    /// Closes the file properly; later calls say `closed`.
    pub fn close(&self) {
        let mut slot = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(slot.take());
    }

    fn with_db<T>(&self, act: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let slot = self.db.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.as_ref().map_or(Err(Fault::Closed), act)
    }
}

fn create_table(db: &Database) -> Result<(), Fault> {
    let read = db.begin_read().map_err(fault)?;
    if read.open_table(ROWS).is_ok() {
        return Ok(());
    }
    drop(read);
    let write = db.begin_write().map_err(fault)?;
    drop(write.open_table(ROWS).map_err(fault)?);
    write.commit().map_err(fault)
}

/// A consistent view of the rows on disk.
pub struct Snapshot {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl Rows for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table.get(key).map_err(fault)?.map(|guard| guard.value().to_vec()))
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let mut range = self.table.range(span.lo.as_slice()..span.hi.as_slice()).map_err(fault)?;
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

/// Turns any error of redb into ours; a full disk is told from every other failure.
pub(super) fn fault(error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        redb::Error::Io(io) if is_full(&io) => Fault::Full(io.to_string()),
        redb::Error::Corrupted(what) => Fault::Corrupt(what),
        redb::Error::DatabaseClosed | redb::Error::DatabaseAlreadyOpen => Fault::Closed,
        other => Fault::Io(other.to_string()),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
