//! Rows whose reader gives word every few of them, so that whoever watches can leave the processor to
//! others and end the work in the middle of it.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use crate::store::backup::BackupError;
use crate::store::fault::Fault;
use crate::store::rows::{Rows, Span, Visit};

use super::Watch;

/// Rows that are read or looked up between two words; one look-up takes up to some tens of
/// microseconds.
pub const ROWS_PER_WORD: u64 = 8;

pub struct Watched<'c> {
    rows: &'c dyn Rows,
    watch: RefCell<&'c mut Watch<'c>>,
    looks: Cell<u64>,
    /// Rows that the watcher is to be told of; what is looked up for their sake is not told.
    read: Cell<u64>,
    canceled: RefCell<Option<BackupError>>,
}

impl<'c> Watched<'c> {
    pub fn new(rows: &'c dyn Rows, watch: &'c mut Watch<'c>) -> Watched<'c> {
        let (looks, read, canceled) = Default::default();
        Watched { rows, watch: RefCell::new(watch), looks, read, canceled }
    }

    pub fn has_read_one(&self) {
        self.read.set(self.read.get() + 1);
    }

    /// Why the watcher ended the work.
    pub fn canceled(&self) -> Option<BackupError> {
        self.canceled.take()
    }

    fn look(&self) -> Result<(), Fault> {
        self.looks.set(self.looks.get() + 1);
        if !self.looks.get().is_multiple_of(ROWS_PER_WORD) {
            return Ok(());
        }
        (self.watch.borrow_mut())(self.read.take()).map_err(|error| {
            self.canceled.replace(Some(error));
            Fault::Closed
        })
    }
}

impl Rows for Watched<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.look()?;
        self.rows.get(key)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let mut ended = Ok(());
        self.rows.scan(span, &mut |key, value| {
            ended = self.look();
            if ended.is_err() {
                return Ok(ControlFlow::Break(()));
            }
            visit(key, value)
        })?;
        ended
    }
}
