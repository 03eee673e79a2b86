//! Rows in redb: snapshots for readers, one durable commit per batch.
//!
//! A batch becomes durable as a record of the [journal](super::journal) while redb applies it in
//! memory, and is shown when both are done: nothing is visible that is not durable. A checkpoint is
//! a durable commit of redb that holds all of it; it is due when the journal is full, when the
//! writer falls idle, and at the end. It also stores which pages are free (quick repair), so that
//! an open after a kill need not read the whole file. Without a journal (a store in memory) every
//! batch is a durable commit of redb.
//!
//! A commit that fails leaves its outcome unknown and latches the store; [`Disk::reopen`] is the
//! way out of a full disk.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, WriteTransaction,
};

use super::apply::{ChangedRows, write_rows};
use super::changes::Changes;
use super::fault::Fault;
use super::journal::{Journal, Pen, Row};
use super::rows::{Rows, Span, Visit, read_count};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

/// What the store knows of its journal: changed by checkpoints only.
const JOURNAL: TableDefinition<'static, &'static str, u64> = TableDefinition::new("journal");
const IDENTITY: &str = "identity";
const CHECKPOINT: &str = "checkpoint";

/// Bytes of records in the journal from which an idle writer makes a checkpoint. Fewer are applied
/// again in a moment.
const IDLE_BYTES: u64 = 256 << 10;

/// How often and how long [`Disk::reopen`] waits for readers of the old file.
const REOPEN_TRIES: u32 = 200;
const REOPEN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The files of a store.
pub struct Files {
    pub db: Database,
    /// A store in memory has none.
    pub journal: Option<JournalFile>,
}

/// Where the journal is written.
pub struct JournalFile {
    pub file: Box<dyn StorageBackend>,
    pub pen: Pen,
    /// Becomes the identity of a store that has no journal yet.
    pub identity: u64,
    /// Size of the file, and so of what is applied again after a kill.
    pub bytes_max: u64,
}

/// Opens the files anew; called at start and after a full disk.
pub type Opener = Box<dyn Fn() -> Result<Files, Fault> + Send + Sync>;

/// The store on disk. Cheap reads from any thread; one thread writes.
pub struct Disk {
    /// `None` only while it is being reopened.
    open: RwLock<Option<Open>>,
    opener: Opener,
}

struct Open {
    db: Database,
    /// Locked by the one writer.
    journal: Option<Mutex<Written>>,
}

struct Written {
    journal: Journal,
    /// A record may be durable that the store has not applied: only opening it anew helps.
    is_behind: bool,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub fn open(opener: Opener) -> Result<Disk, Fault> {
        let open = Open::new(opener()?)?;
        Ok(Disk { open: RwLock::new(Some(open)), opener })
    }

    /// A store without a file, for tests.
    #[cfg(test)]
    pub fn in_memory() -> Result<Disk, Fault> {
        Disk::open(Box::new(|| {
            let backend = redb::backends::InMemoryBackend::new();
            let db = Database::builder().create_with_backend(backend).map_err(fault)?;
            Ok(Files { db, journal: None })
        }))
    }

    /// A consistent view; keep it short, a long one makes the file grow.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.with_open(|open| {
            let read = open.db.begin_read().map_err(fault)?;
            Ok(Snapshot { table: read.open_table(ROWS).map_err(fault)? })
        })
    }

    /// Writes `changes` in one durable commit.
    pub fn commit(&self, changes: &Changes) -> Result<(), Fault> {
        self.with_open(|open| open.commit(changes))
    }

    /// Writes all that is durable into the main file, where the next open finds it at once.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        self.with_open(Open::checkpoint)
    }

    /// A checkpoint, if an idle writer should make one.
    pub fn checkpoint_when_idle(&self) -> Result<(), Fault> {
        self.with_open(|open| match &open.journal {
            Some(written) if lock(written).journal.bytes() < IDLE_BYTES => Ok(()),
            _ => open.checkpoint(),
        })
    }

    /// Closes and opens the database. Until that succeeds every read and write says `closed`.
    ///
    /// Readers keep the old file open for as long as they live, which is moments: the open is
    /// tried again until they are gone.
    pub fn reopen(&self) -> Result<(), Fault> {
        self.close();
        let mut tries = 0;
        let files = loop {
            match (self.opener)() {
                Err(Fault::Closed) if tries < REOPEN_TRIES => {
                    tries += 1;
                    std::thread::sleep(REOPEN_PAUSE);
                }
                other => break other?,
            }
        };
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Open::new(files)?);
        Ok(())
    }

    /// Closes the file properly; later calls say `closed`.
    pub fn close(&self) {
        let mut slot = self.open.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
    }

    fn with_open<T>(&self, act: impl FnOnce(&Open) -> Result<T, Fault>) -> Result<T, Fault> {
        let slot = self.open.read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map_or(Err(Fault::Closed), act)
    }
}

impl Open {
    /// Applies what the journal holds beyond the last checkpoint.
    fn new(files: Files) -> Result<Open, Fault> {
        let db = files.db;
        create_tables(&db)?;
        let Some(JournalFile { file, pen, identity, bytes_max }) = files.journal else {
            return Ok(Open { db, journal: None });
        };
        let journal = match journal_row(&db, IDENTITY)? {
            None => {
                // Until the store knows its journal there was none.
                let journal = Journal::create(file, pen, identity, bytes_max)?;
                let write = db.begin_write().map_err(fault)?;
                put_journal_row(&write, IDENTITY, identity)?;
                write.commit().map_err(fault)?;
                journal
            }
            Some(identity) => {
                let checkpoint = journal_row(&db, CHECKPOINT)?.unwrap_or(0);
                Journal::open(file, pen, identity, bytes_max, checkpoint, |rows| replay(&db, rows))?
            }
        };
        let written = Written { journal, is_behind: false };
        Ok(Open { db, journal: Some(Mutex::new(written)) })
    }

    fn commit(&self, changes: &Changes) -> Result<(), Fault> {
        let write = self.db.begin_write().map_err(fault)?;
        let mut table = write.open_table(ROWS).map_err(fault)?;
        let counts = counts(&table, changes)?;
        let Some(mut written) = self.lock()? else {
            write_changes(&mut table, changes, &counts)?;
            drop(table);
            return commit_durably(write, None);
        };
        let is_journaled = written.journal.start(rows_of(changes, &counts))?;
        // Until redb holds it as well; a failure on either side is for the next open to settle.
        written.is_behind = is_journaled;
        let applied = write_changes(&mut table, changes, &counts);
        drop(table);
        written.journal.finish()?;
        applied?;
        if is_journaled {
            commit_in_memory(write)?;
            written.is_behind = false;
            Ok(())
        } else {
            commit_durably(write, Some(written))
        }
    }

    fn checkpoint(&self) -> Result<(), Fault> {
        let write = self.db.begin_write().map_err(fault)?;
        commit_durably(write, self.lock()?)
    }

    fn lock(&self) -> Result<Option<MutexGuard<'_, Written>>, Fault> {
        match self.journal.as_ref().map(lock) {
            Some(written) if written.is_behind => Err(Fault::Closed),
            other => Ok(other),
        }
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A commit of redb that the next one that is durable makes durable.
fn commit_in_memory(mut write: WriteTransaction) -> Result<(), Fault> {
    write.set_durability(Durability::None).map_err(fault)?;
    write.commit().map_err(fault)
}

/// A durable commit of redb, which holds all records of the journal.
fn commit_durably(
    mut write: WriteTransaction,
    mut written: Option<MutexGuard<'_, Written>>,
) -> Result<(), Fault> {
    write.set_durability(Durability::Immediate).map_err(fault)?;
    write.set_quick_repair(written.is_some());
    if let Some(written) = &written {
        put_journal_row(&write, CHECKPOINT, written.journal.last())?;
    }
    write.commit().map_err(fault)?;
    if let Some(written) = &mut written {
        written.journal.restart();
    }
    Ok(())
}

/// What the counters that move are afterwards.
fn counts(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    changes: &Changes,
) -> Result<ChangedRows, Fault> {
    let moved = changes.counts.iter().filter(|(_, delta)| **delta != 0);
    moved
        .map(|(key, delta)| {
            let before = match table.get(key.as_slice()).map_err(fault)? {
                Some(bytes) => read_count(bytes.value())?,
                None => 0,
            };
            let after = before + delta;
            Ok((key.clone(), (after != 0).then(|| after.to_le_bytes().to_vec())))
        })
        .collect()
}

fn rows_of<'c>(changes: &'c Changes, counts: &'c ChangedRows) -> impl Iterator<Item = Row<'c>> {
    changes.rows.iter().chain(counts).map(|(key, value)| (key.as_slice(), value.as_deref()))
}

/// Applies a record of the journal.
fn replay(db: &Database, rows: &mut dyn Iterator<Item = Row<'_>>) -> Result<(), Fault> {
    let write = db.begin_write().map_err(fault)?;
    {
        let mut table = write.open_table(ROWS).map_err(fault)?;
        for (key, value) in rows {
            match value {
                Some(value) => drop(table.insert(key, value).map_err(fault)?),
                None => drop(table.remove(key).map_err(fault)?),
            }
        }
    }
    commit_in_memory(write)
}

fn write_changes(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    changes: &Changes,
    counts: &ChangedRows,
) -> Result<(), Fault> {
    write_rows(table, &changes.rows)?;
    write_rows(table, counts)
}

fn create_tables(db: &Database) -> Result<(), Fault> {
    let read = db.begin_read().map_err(fault)?;
    if read.open_table(ROWS).is_ok() && read.open_table(JOURNAL).is_ok() {
        return Ok(());
    }
    drop(read);
    let write = db.begin_write().map_err(fault)?;
    drop(write.open_table(ROWS).map_err(fault)?);
    drop(write.open_table(JOURNAL).map_err(fault)?);
    write.commit().map_err(fault)
}

fn journal_row(db: &Database, name: &str) -> Result<Option<u64>, Fault> {
    let read = db.begin_read().map_err(fault)?;
    let table = read.open_table(JOURNAL).map_err(fault)?;
    Ok(table.get(name).map_err(fault)?.map(|number| number.value()))
}

fn put_journal_row(write: &WriteTransaction, name: &str, number: u64) -> Result<(), Fault> {
    let mut table = write.open_table(JOURNAL).map_err(fault)?;
    table.insert(name, number).map_err(fault)?;
    Ok(())
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
        redb::Error::Io(io) => io_fault(&io),
        redb::Error::Corrupted(what) => Fault::Corrupt(what),
        // `PreviousIo`: latched by a failed commit until it is opened anew.
        redb::Error::DatabaseClosed
        | redb::Error::DatabaseAlreadyOpen
        | redb::Error::PreviousIo => Fault::Closed,
        other => Fault::Io(other.to_string()),
    }
}

pub(super) fn io_fault(error: &std::io::Error) -> Fault {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => Fault::Full(error.to_string()),
        _ => Fault::Io(error.to_string()),
    }
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
