//! A computer that holds the store: its disk, the open store on it, and the ways in which both go
//! down. Everything that reaches the disk is hashed, over all lives of the process.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};

use redb::Database;
use tidegate::base::entropy::Entropy;
use tidegate::base::id::Id;
use tidegate::ledger::ask::newest::newest_id;
use tidegate::store::disk::{Disk as Store, Files, Hands, JournalFile};
use tidegate::store::fault::Fault;
use tidegate::store::open::{format_of, write_format};
use tidegate::store::rows::{Rows, Span};
use tidegate::store::tables::FORMAT;

use crate::disk::{Disk, Trouble};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power goes: unsynced writes are kept, dropped or torn.
    Power,
    /// The process is killed: what it wrote stays.
    Kill,
    /// It is told to stop.
    Stop,
}

/// So small that checkpoints happen all the time.
const JOURNAL_BYTES_MAX: u64 = 64 << 10;

pub struct Machine {
    /// The disk that the opener finds; replaced by what a power cut leaves of it.
    slot: Arc<Mutex<Disk>>,
    store: Option<Store>,
    cache_bytes: usize,
    opens: usize,
    /// Of the disk, when it was opened.
    failures_before: u64,
    /// Over the disks that are gone.
    hash: u64,
}

impl Machine {
    /// A machine with a whole, empty store: creation is guarded by a rename, not by redb.
    pub fn new(cache_bytes: usize) -> Machine {
        let slot = Arc::new(Mutex::new(Disk::new()));
        let mut machine =
            Machine { slot, store: None, cache_bytes, opens: 0, failures_before: 0, hash: 0 };
        machine.open().expect("a healthy disk takes a new store");
        write_format(machine.store()).expect("a healthy disk takes a commit");
        machine
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open between two turns")
    }

    pub fn disk(&self) -> Disk {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the store; the disk may fail meanwhile.
    pub fn open(&mut self) -> Result<(), Fault> {
        assert!(self.store.is_none(), "the store is open already");
        self.failures_before = self.disk().failures();
        let (slot, cache_bytes) = (self.slot.clone(), self.cache_bytes);
        // A thread beside the writer may be quick or slow.
        self.opens += 1;
        let hands = Hands::Writer { behind: [0, 3, 40][self.opens % 3] };
        let opener = move || {
            let disk = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let journal = JournalFile {
                file: Box::new(disk.journal()),
                hands,
                identity: 7,
                bytes_max: JOURNAL_BYTES_MAX,
            };
            let built = Database::builder().set_cache_size(cache_bytes).create_with_backend(disk);
            let db = built.map_err(|error| match error {
                redb::DatabaseError::Storage(redb::StorageError::Io(io))
                    if io.kind() == ErrorKind::StorageFull =>
                {
                    Fault::Full(io.to_string())
                }
                other => Fault::Io(other.to_string()),
            })?;
            Ok(Files { db, journal: Some(journal) })
        };
        self.store = Some(Store::open(Box::new(opener))?);
        Ok(())
    }

    /// Whether the disk failed since the store was opened. The store may tell of it only later: what
    /// was acknowledged is safe in its journal.
    pub fn has_failed(&self) -> bool {
        self.disk().failures() > self.failures_before
    }

    /// The format row is there from the first day on.
    pub fn check_format(&self) -> Result<(), Fault> {
        let found = format_of(self.store())?;
        assert_eq!(found, Some(FORMAT), "the format number is lost");
        Ok(())
    }

    /// Ends the process; the disk is healthy afterwards.
    pub fn end(&mut self, how: End, entropy: &mut Entropy) {
        let disk = self.disk();
        match how {
            End::Power => {}
            End::Kill => {
                // Nothing that redb does while it is dropped reaches the disk.
                disk.fail_at(1, Trouble::Lasting(ErrorKind::Other));
                self.store = None;
                disk.heal();
            }
            End::Stop => {
                if let Some(store) = self.store.take() {
                    // A failing disk makes an orderly stop a kill; the next start copes.
                    let _ = store.checkpoint();
                    store.close();
                }
                disk.heal();
            }
        }
        if how == End::Power || disk.is_off() {
            let image = disk.cut(entropy);
            self.hash = self.hash();
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Disk::from_image(image);
            self.store = None;
        }
    }

    /// Over all operations of all disks so far.
    pub fn hash(&self) -> u64 {
        (self.hash.rotate_left(7) ^ self.disk().hash()).wrapping_mul(0x0000_0100_0000_01b3)
    }

    /// A hash over all rows: equal for equal contents.
    pub fn contents(&self) -> Result<u64, Fault> {
        let mut hash = tidegate::base::hash::Fnv::default();
        let all = Span { lo: vec![0], hi: vec![0xff], newest_first: false };
        self.store().snapshot()?.scan(&all, &mut |key, value| {
            hash = hash.write(&(key.len() as u32).to_le_bytes()).write(key).write(value);
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(hash.finish())
    }

    /// The newest id: those minted after a restart stay above it.
    pub fn newest(&self) -> Result<Option<Id>, Fault> {
        newest_id(&self.store().snapshot()?)
    }
}
