//! Who puts into redb what the journal made durable: a thread beside the writer, so that nobody
//! waits for redb's commits and checkpoints.
//!
//! The writer adds a commit to [`Recent`] and shows it at once. The keeper takes the collection
//! away, and the writer begins a new one; when redb has the rows, readers find them there. So a
//! reader looks at no more than three places, and rows that came and went in between cost redb
//! little.
//!
//! A failure stays: redb cannot tell what became of it, so the store must be opened anew, and what
//! the keeper did not take over is found in the journal.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase};

use crate::base::panics::caught;

use super::apply::{ChangedRows, write_rows};
use super::disk::{CHECKPOINT, ROWS, fault, io_fault, put_journal_row};
use super::fault::Fault;
use super::recent::Recent;
use super::view::{Base, View};

/// Bytes of rows that redb does not have, from which the writer waits for the keeper.
const RECENT_BYTES_MAX: u64 = 4 << 20;
/// Fewer bytes than these may wait for company: redb takes many rows for little more than few.
const GATHER_BYTES: u64 = 512 << 10;
const GATHER: Duration = Duration::from_millis(3);

/// Who does the work beside the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hands {
    /// Threads of their own.
    Threads,
    /// The writer, in its turn, when redb is so many commits behind: one order of all operations
    /// on the disk, for the simulator.
    Writer { behind: u64 },
}

/// Redb, and what it does not have yet.
struct Main {
    db: Database,
    /// Whether there is a journal, which a checkpoint makes superfluous.
    journaled: bool,
    /// Locked, in this order where more than one is: while rows are added,
    adding: Mutex<()>,
    turn: Mutex<Turn>,
    view: Mutex<Arc<View>>,
    /// The turn changed.
    changed: Condvar,
}

/// How far each side is.
#[derive(Debug, Default)]
struct Turn {
    /// The latest commit, the latest that redb has, and the latest that a checkpoint holds.
    added: u64,
    applied: u64,
    checkpoint: u64,
    /// Checkpoints asked for, and those of them that were made.
    wanted: u64,
    served: u64,
    failed: Option<Fault>,
    is_over: bool,
}

impl Turn {
    fn has_work(&self) -> bool {
        self.added > self.applied || self.wanted > self.served
    }

    /// Why it cannot go on, told once; it is closed from then on.
    fn check(&mut self) -> Result<(), Fault> {
        match self.failed.replace(Fault::Closed) {
            Some(fault) => Err(fault),
            None => {
                self.failed = None;
                Ok(())
            }
        }
    }
}

pub(super) struct Keeper {
    main: Arc<Main>,
    hands: Hands,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Over a store that has everything up to a checkpoint, if it has a journal, and `recent` with
    /// what came after, up to commit `last`.
    pub fn start(
        db: Database,
        hands: Hands,
        checkpoint: Option<u64>,
        recent: Recent,
        last: u64,
    ) -> Result<Keeper, Fault> {
        let journaled = checkpoint.is_some();
        let checkpoint = checkpoint.unwrap_or(last);
        let (base, recent) = (Arc::new(base(&db)?), Arc::new(recent));
        let view = View { base, leaving: None, recent, sequence: last };
        let turn = Turn { added: last, applied: checkpoint, checkpoint, ..Turn::default() };
        let main = Arc::new(Main {
            db,
            journaled,
            adding: Mutex::new(()),
            turn: Mutex::new(turn),
            view: Mutex::new(Arc::new(view)),
            changed: Condvar::new(),
        });
        let thread = match hands {
            Hands::Writer { .. } => None,
            Hands::Threads => {
                let main = main.clone();
                let thread = std::thread::Builder::new().name("keeper".to_owned());
                Some(thread.spawn(move || main.keep()).map_err(|error| io_fault(&error))?)
            }
        };
        Ok(Keeper { main, hands, thread })
    }

    pub fn view(&self) -> Arc<View> {
        lock(&self.main.view).clone()
    }

    /// The latest commit that a checkpoint holds.
    pub fn checkpointed(&self) -> u64 {
        lock(&self.main.turn).checkpoint
    }

    /// Waits until there is room for the rows of another commit; told of what failed meanwhile.
    pub fn make_room(&self) -> Result<(), Fault> {
        if let Hands::Writer { behind } = self.hands {
            let turn = lock(&self.main.turn);
            let is_due = turn.added > turn.applied + behind || turn.wanted > turn.served;
            drop(turn);
            if is_due {
                self.main.work();
            }
        }
        self.wait_until(|_| lock(&self.main.view).recent.bytes() <= RECENT_BYTES_MAX)
    }

    /// Adds the rows of a commit and shows them once `finish` made them durable.
    pub fn add(
        &self,
        sequence: u64,
        rows: ChangedRows,
        finish: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let adding = lock(&self.main.adding);
        self.view().recent.add(sequence, rows);
        let finished = finish();
        let mut turn = lock(&self.main.turn);
        if let Err(fault) = finished {
            turn.failed = Some(Fault::Closed);
            return Err(fault);
        }
        turn.added = sequence;
        drop(turn);
        self.main.show(|view| View { sequence, ..view });
        drop(adding);
        self.main.changed.notify_all();
        Ok(())
    }

    /// Adds the rows of a commit, which a checkpoint makes durable before they are shown.
    pub fn add_durably(&self, sequence: u64, rows: ChangedRows) -> Result<(), Fault> {
        let adding = lock(&self.main.adding);
        self.view().recent.add(sequence, rows);
        let mut turn = lock(&self.main.turn);
        turn.added = sequence;
        drop(turn);
        let wanted = self.want_checkpoint();
        drop(adding);
        self.wait_until(|turn| turn.served >= wanted)?;
        self.main.show(|view| View { sequence, ..view });
        Ok(())
    }

    /// Asks for a checkpoint; gives its number.
    pub fn want_checkpoint(&self) -> u64 {
        let mut turn = lock(&self.main.turn);
        turn.wanted += 1;
        self.main.changed.notify_all();
        turn.wanted
    }

    /// Makes a checkpoint of all that was added.
    pub fn checkpoint(&self) -> Result<(), Fault> {
        let wanted = self.want_checkpoint();
        self.wait_until(|turn| turn.served >= wanted)
    }

    /// Waits until a checkpoint holds commit `sequence`.
    pub fn wait_for_checkpoint_of(&self, sequence: u64) -> Result<(), Fault> {
        let turn = lock(&self.main.turn);
        let is_coming = turn.checkpoint >= sequence || turn.wanted > turn.served;
        drop(turn);
        if !is_coming {
            self.want_checkpoint();
        }
        self.wait_until(|turn| turn.checkpoint >= sequence)
    }

    /// Waits until redb has all that was added.
    pub fn settle(&self) -> Result<(), Fault> {
        self.wait_until(|turn| turn.applied >= turn.added)
    }

    /// Nothing goes on before the store is opened anew.
    pub fn fail(&self) {
        lock(&self.main.turn).failed = Some(Fault::Closed);
    }

    fn wait_until(&self, is_so: impl Fn(&Turn) -> bool) -> Result<(), Fault> {
        let mut turn = lock(&self.main.turn);
        loop {
            turn.check()?;
            if is_so(&turn) {
                return Ok(());
            }
            turn = match self.hands {
                Hands::Threads => {
                    self.main.changed.wait(turn).unwrap_or_else(PoisonError::into_inner)
                }
                Hands::Writer { .. } => {
                    drop(turn);
                    self.main.work();
                    lock(&self.main.turn)
                }
            };
        }
    }
}

/// What redb does not have is in the journal: nothing is taken over any more.
impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.main.turn).is_over = true;
        self.main.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and told as faults.
            let _ = thread.join();
        }
    }
}

impl Main {
    /// The thread.
    fn keep(&self) {
        loop {
            let mut turn = lock(&self.turn);
            while !turn.is_over && (turn.failed.is_some() || !turn.has_work()) {
                turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            if turn.is_over {
                return;
            }
            let may_gather = turn.wanted == turn.served;
            drop(turn);
            if may_gather && lock(&self.view).recent.bytes() < GATHER_BYTES {
                std::thread::sleep(GATHER);
            }
            if let Err(said) = caught(|| self.work()) {
                let fault = Fault::Panicked(format!("the keeper of the store: {said}"));
                lock(&self.turn).failed = Some(fault);
                self.changed.notify_all();
            }
        }
    }

    /// Takes over everything that was added by now.
    fn work(&self) {
        let Some(load) = self.take_away() else { return };
        let base = self.take_over(&load);
        let mut turn = lock(&self.turn);
        match base {
            Ok(base) => {
                self.show(|view| View { base: Arc::new(base), leaving: None, ..view });
                turn.applied = load.up_to;
                turn.served = load.checkpoints;
                if load.is_checkpoint {
                    turn.checkpoint = load.up_to;
                }
            }
            Err(fault) => turn.failed = Some(fault),
        }
        drop(turn);
        self.changed.notify_all();
    }

    fn take_away(&self) -> Option<Load> {
        let _adding = lock(&self.adding);
        let turn = lock(&self.turn);
        if turn.failed.is_some() {
            return None;
        }
        let mut rows = Arc::default();
        self.show(|view| {
            rows = view.recent.clone();
            View { leaving: Some(view.recent), recent: Arc::default(), ..view }
        });
        let is_checkpoint = turn.wanted > turn.served;
        Some(Load { rows, up_to: turn.added, checkpoints: turn.wanted, is_checkpoint })
    }

    fn take_over(&self, load: &Load) -> Result<Base, Fault> {
        let mut write = self.db.begin_write().map_err(fault)?;
        let mut table = write.open_table(ROWS).map_err(fault)?;
        load.rows.with_newest(|rows| write_rows(&mut table, rows))?;
        drop(table);
        if load.is_checkpoint {
            write.set_durability(Durability::Immediate).map_err(fault)?;
            write.set_quick_repair(self.journaled);
            if self.journaled {
                put_journal_row(&write, CHECKPOINT, load.up_to)?;
            }
        } else {
            // The journal makes it durable, and the next checkpoint.
            write.set_durability(Durability::None).map_err(fault)?;
        }
        write.commit().map_err(fault)?;
        base(&self.db)
    }

    fn show(&self, change: impl FnOnce(View) -> View) {
        let mut shown = lock(&self.view);
        let next = Arc::new(change(View::clone(&shown)));
        let before = std::mem::replace(&mut *shown, next);
        drop(shown);
        // It may hold the last of many rows.
        drop(before);
    }
}

/// What redb takes over in one commit.
struct Load {
    rows: Arc<Recent>,
    up_to: u64,
    /// The number of checkpoints that were asked for by then.
    checkpoints: u64,
    is_checkpoint: bool,
}

fn base(db: &Database) -> Result<Base, Fault> {
    let read = db.begin_read().map_err(fault)?;
    Ok(Base(read.open_table(ROWS).map_err(fault)?))
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
