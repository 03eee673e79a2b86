//! Rows on disk: consistent views for readers, one durable commit per batch.
//!
//! A batch becomes durable as a record of the [journal](super::journal), is shown at once, and redb
//! takes it over [beside](super::keeper) the writer: nothing is visible that is not durable. A
//! checkpoint is a durable commit of redb that holds all of it; one is due when an area of the
//! journal is full, when the writer falls idle, and at the end. It also stores which pages are free
//! (quick repair), so that an open after a kill need not read the whole file. Without a journal (a
//! store in memory) every batch is a durable commit of redb.
//!
//! A write that fails leaves its outcome unknown and latches the store; [`Disk::reopen`] is the
//! way out of a full disk.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition, WriteTransaction};

use super::apply::ChangedRows;
use super::changes::Changes;
use super::fault::Fault;
use super::journal::{Journal, Row, Started};
use super::keeper::Keeper;
use super::recent::Recent;
use super::rows::{Rows, read_count};
use super::syncs::{Syncs, Timed};

pub use super::keeper::Hands;
pub use super::view::Snapshot;

pub(super) const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("rows");

/// What the store knows of its journal: changed by checkpoints only.
const JOURNAL: TableDefinition<'static, &'static str, u64> = TableDefinition::new("journal");
const IDENTITY: &str = "identity";
pub(super) const CHECKPOINT: &str = "checkpoint";

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
    pub hands: Hands,
    /// Becomes the identity of a store that has no journal yet.
    pub identity: u64,
    /// Size of a new file, and so of what is applied again after a kill.
    pub bytes_max: u64,
}

/// Opens the files anew; called at start and after a full disk.
pub type Opener = Box<dyn Fn() -> Result<Files, Fault> + Send + Sync>;

/// The store on disk. Cheap reads from any thread; one thread writes.
pub struct Disk {
    /// `None` only while it is being reopened.
    open: RwLock<Option<Open>>,
    opener: Opener,
    syncs: Arc<Syncs>,
}

struct Open {
    keeper: Keeper,
    /// Locked by the one writer.
    written: Mutex<Written>,
}

/// What the writer made durable.
#[derive(Default)]
struct Written {
    /// A store in memory has none.
    journal: Option<Journal>,
    /// The latest commit.
    last: u64,
    /// The commit at the end of the area of the journal for which a checkpoint was asked last.
    wanted_after: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    pub fn open(opener: Opener) -> Result<Disk, Fault> {
        let syncs = Arc::<Syncs>::default();
        let open = Open::new(opener()?, &syncs)?;
        Ok(Disk { open: RwLock::new(Some(open)), opener, syncs })
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
        self.with_open(|open| Ok(Snapshot(open.keeper.view())))
    }

    /// Writes `changes` in one durable commit.
    pub fn commit(&self, changes: Changes) -> Result<(), Fault> {
        self.with_open(|open| open.commit(changes))
    }

    /// Writes all that is durable into the main file, where the next open finds it at once.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        self.with_open(Open::checkpoint)
    }

    /// Waits until redb has all that was committed; with a checkpoint, if an idle writer should make
    /// one.
    pub fn checkpoint_when_idle(&self) -> Result<(), Fault> {
        self.with_open(Open::checkpoint_when_idle)
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
        *self.open.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Open::new(files, &self.syncs)?);
        Ok(())
    }

    /// How long the slowest of a hundred of the latest syncs of the journal took.
    pub fn sync_p99_ms(&self) -> Option<f64> {
        self.syncs.p99_ms()
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
    /// What the journal holds beyond the last checkpoint is there at once; the keeper takes it over
    /// as it does all else, and nobody misses it when the disk is full.
    fn new(files: Files, syncs: &Arc<Syncs>) -> Result<Open, Fault> {
        let (db, recent) = (files.db, Recent::default());
        create_tables(&db)?;
        let Some(JournalFile { file, hands, identity, bytes_max }) = files.journal else {
            let keeper = Keeper::start(db, Hands::Writer { behind: 0 }, None, recent, 0)?;
            return Ok(Open { keeper, written: Mutex::default() });
        };
        let beside = hands == Hands::Threads;
        let file = Box::new(Timed { file, syncs: syncs.clone() });
        let checkpoint = journal_row(&db, CHECKPOINT)?.unwrap_or(0);
        let journal = match journal_row(&db, IDENTITY)? {
            None => {
                // Until the store knows its journal there was none.
                let journal = Journal::create(file, beside, identity, bytes_max)?;
                let write = db.begin_write().map_err(fault)?;
                put_journal_row(&write, IDENTITY, identity)?;
                write.commit().map_err(fault)?;
                journal
            }
            Some(identity) => {
                Journal::open(file, beside, identity, checkpoint, |sequence, rows| {
                    let owned = |(key, value): Row<'_>| (key.to_vec(), value.map(<[u8]>::to_vec));
                    recent.add(sequence, rows.map(owned).collect());
                })?
            }
        };
        let last = journal.last();
        let keeper = Keeper::start(db, hands, Some(checkpoint), recent, last)?;
        let written = Written { last, journal: Some(journal), wanted_after: 0 };
        Ok(Open { keeper, written: Mutex::new(written) })
    }

    fn commit(&self, changes: Changes) -> Result<(), Fault> {
        let mut written = lock(&self.written);
        self.keeper.make_room()?;
        let mut rows = changes.rows;
        rows.extend(counts(&*self.keeper.view(), &changes.counts)?);
        if self.start(&mut written, &rows)? {
            written.last += 1;
            let Written { journal, last, wanted_after } = &mut *written;
            self.keeper.add(*last, rows, || journal.as_mut().map_or(Ok(()), Journal::finish))?;
            let left = journal.as_ref().map_or(0, Journal::last_of_other);
            if left > *wanted_after {
                // The other area is full: it is needed again when this one is.
                *wanted_after = left;
                self.keeper.want_checkpoint();
            }
            return Ok(());
        }
        written.last += 1;
        self.keeper.add_durably(written.last, rows)?;
        written.restart();
        Ok(())
    }

    /// Starts a record of the rows; false when they need a checkpoint to be durable.
    fn start(&self, written: &mut Written, rows: &ChangedRows) -> Result<bool, Fault> {
        let Some(journal) = &mut written.journal else { return Ok(false) };
        loop {
            let rows = rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
            let started = journal.start(rows, self.keeper.checkpointed());
            // Some of the record may be on the disk: only opening it anew can tell.
            match started.inspect_err(|_| self.keeper.fail())? {
                Started::Yes => return Ok(true),
                Started::TooLarge => return Ok(false),
                Started::Full(until) => self.keeper.wait_for_checkpoint_of(until)?,
            }
        }
    }

    fn checkpoint(&self) -> Result<(), Fault> {
        let mut written = lock(&self.written);
        self.keeper.checkpoint()?;
        written.restart();
        Ok(())
    }

    fn checkpoint_when_idle(&self) -> Result<(), Fault> {
        let bytes = lock(&self.written).journal.as_ref().map_or(0, Journal::bytes);
        if bytes < IDLE_BYTES { self.keeper.settle() } else { self.checkpoint() }
    }
}

impl Written {
    /// After a checkpoint of all of it.
    fn restart(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.restart(self.last);
        }
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the counters that move are afterwards.
fn counts(rows: &dyn Rows, moved: &BTreeMap<Vec<u8>, i64>) -> Result<ChangedRows, Fault> {
    let moved = moved.iter().filter(|(_, delta)| **delta != 0);
    moved
        .map(|(key, delta)| {
            let before = rows.get(key)?.map_or(Ok(0), |bytes| read_count(&bytes))?;
            let after = before + delta;
            Ok((key.clone(), (after != 0).then(|| after.to_le_bytes().to_vec())))
        })
        .collect()
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

pub(super) fn put_journal_row(
    write: &WriteTransaction,
    name: &str,
    number: u64,
) -> Result<(), Fault> {
    let mut table = write.open_table(JOURNAL).map_err(fault)?;
    table.insert(name, number).map_err(fault)?;
    Ok(())
}

/// Turns any error of redb into ours; a full disk is told from every other failure.
pub(super) fn fault(error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        // A file that is none of redb's, or no longer.
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            Fault::Corrupt(io.to_string())
        }
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
mod tests;
