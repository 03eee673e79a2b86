//! Rows in redb: snapshots for readers, one durable commit per batch.
//!
//! Default durability is redb's one-phase commit with one fdatasync. A commit that fails leaves
//! its outcome unknown and latches the database; [`Disk::reopen`] is the way out of a full disk.
//! One empty quick-repair commit when the writer falls idle makes the next open instant; on
//! every commit it would cost more the larger the file is.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::RwLock;

use redb::{
    CursorError, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table,
    TableDefinition,
};

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

    /// A store without a file, for tests.
    #[cfg(test)]
    pub fn in_memory() -> Result<Disk, Fault> {
        Disk::open(Box::new(|| {
            let backend = redb::backends::InMemoryBackend::new();
            Database::builder().create_with_backend(backend).map_err(fault)
        }))
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
                write_rows(&mut table, &changes.rows)?;
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
    /// Readers keep the old file open for as long as they live, which is moments: the open is
    /// tried again until they are gone.
    pub fn reopen(&self) -> Result<(), Fault> {
        self.close();
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
        *self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(db);
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

/// Rows of one kind in a row from which the cursor is quicker than single inserts.
const RUN_MIN: usize = 4;

/// Writes rows in key order. New rows of one kind mostly go to the end of their kind, side by
/// side: a cursor puts such a run in at less than half the cost of single inserts.
fn write_rows(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    rows: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> Result<(), Fault> {
    let mut rest: Vec<(&[u8], Option<&[u8]>)> =
        rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
    rest.reverse();
    while let Some((key, value)) = rest.pop() {
        let Some(value) = value else {
            table.remove(key).map_err(fault)?;
            continue;
        };
        let same_kind =
            |row: &&(&[u8], Option<&[u8]>)| row.1.is_some() && row.0.first() == key.first();
        let run = 1 + rest.iter().rev().take(RUN_MIN).take_while(same_kind).count();
        if run < RUN_MIN {
            table.insert(key, value).map_err(fault)?;
            continue;
        }
        rest.push((key, Some(value)));
        if !write_run(table, &mut rest)? {
            // The first one replaces a row that is there.
            rest.pop();
            table.insert(key, value).map_err(fault)?;
        }
    }
    Ok(())
}

/// Puts in what fits between two rows that are there; false when not even the first one does.
fn write_run(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    rest: &mut Vec<(&[u8], Option<&[u8]>)>,
) -> Result<bool, Fault> {
    let Some((first, _)) = rest.last() else { return Ok(false) };
    let mut cursor = table.upper_bound_mut(Bound::Excluded(*first)).map_err(fault)?;
    let mut wrote = false;
    while let Some((key, Some(value))) = rest.last() {
        match cursor.insert_before(*key, *value) {
            Ok(()) => {}
            Err(CursorError::UnorderedKey) => break,
            Err(CursorError::Storage(error)) => return Err(fault(error)),
            Err(error) => return Err(Fault::Io(error.to_string())),
        }
        rest.pop();
        wrote = true;
    }
    cursor.close().map_err(fault)?;
    Ok(wrote)
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
        // `PreviousIo`: latched by a failed commit until it is opened anew.
        redb::Error::DatabaseClosed
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::PreviousIo => Fault::Closed,
        other => Fault::Io(other.to_string()),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::Memory;

    fn all(rows: &dyn Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
        let everything = Span { lo: vec![0], hi: vec![0xff; 4], newest_first: false };
        crate::store::rows::collect(rows, &everything, usize::MAX).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever mixture of new, changed and removed rows a batch holds, and wherever they fall
        /// between rows that are there, the disk holds what an ordered map holds.
        #[test]
        fn commits_equal_an_ordered_map(
            batches in proptest::collection::vec(
                proptest::collection::btree_map((1u8..4, 0u8..60), any::<Option<u8>>(), 0..80), 1..6),
            counts in proptest::collection::btree_map(0u8..4, -2i64..3, 0..4),
        ) {
            let disk = Disk::in_memory().unwrap();
            let mut memory = Memory::default();
            for batch in batches {
                let mut changes = Changes::default();
                for ((kind, key), value) in batch {
                    changes.rows.insert(vec![kind, key], value.map(|v| vec![v; 40]));
                }
                changes.counts = counts.iter().map(|(k, v)| (vec![9, *k], *v)).collect();
                disk.commit(&changes).unwrap();
                memory.apply(&changes).unwrap();
            }
            prop_assert_eq!(all(&disk.snapshot().unwrap()), all(&memory));
        }
    }
}
