//! Whether rows, indexes, timers and counters of a whole store tell the same story.
//!
//! The questions are those that tests and the simulator ask after every act, put so that a store of
//! any size answers them in bounded memory: tables are read once, in the order of their keys, and
//! what belongs to a row is looked up. That an index holds nothing else is told by counting it. Only
//! counters are kept while they are counted again; beyond [`COUNTERS_MAX`] they are left out, and
//! the report says so.
//!
//! Read and decoded: runs, entries of the buffer, outbox and dead letters, batches, sharded runs and
//! shards, keys, streams, groups and pending rows, schedules, tasks, callbacks, bulk jobs. Of other
//! tables rows are counted; their bytes are covered by the sums of whatever holds them.

mod counts;
mod outbox;
mod parts;
mod runs;
mod schedules;
mod streams;
mod watched;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::store::backup::BackupError;
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, Span};
use crate::store::tables::Table;

use watched::Watched;

/// Problems that are told one by one; more are counted.
pub const PROBLEMS_MAX: usize = 20;
/// Counters that are counted again.
pub const COUNTERS_MAX: usize = 500_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows by table, in the order of their numbers.
    pub tables: BTreeMap<u8, u64>,
    /// The first problems, in words.
    pub problems: Vec<String>,
    /// How many there are.
    pub found: u64,
    /// What was not checked, and why.
    pub left_out: Vec<String>,
}

impl Report {
    /// `None` when all is well.
    pub fn summary(&self) -> Option<String> {
        let first = self.problems.first()?;
        Some(match self.found {
            1 => first.clone(),
            more => format!("{first}, and {} more problems", more - 1),
        })
    }

    /// Rows by the names of their tables.
    pub fn by_name(&self) -> impl Iterator<Item = (String, u64)> {
        self.tables.iter().map(|(number, rows)| {
            let name = Table::from_number(*number).map(|table| format!("{table:?}"));
            (name.unwrap_or_else(|| format!("table {number}")), *rows)
        })
    }
}

/// Told how many more rows were read, often none; an error ends the work. It is told every few rows
/// that are read or looked up, so that it may leave the processor to others.
pub type Watch<'w> = dyn FnMut(u64) -> Result<(), BackupError> + 'w;

/// Asks all questions.
///
/// # Errors
/// When rows cannot be read at all, or whoever watches says so. A row that cannot be decoded is a
/// problem that the report names.
pub fn verify<'w>(rows: &'w dyn Rows, watch: &'w mut Watch<'w>) -> Result<Report, BackupError> {
    let watched = Watched::new(rows, watch);
    let mut check = Check {
        rows: &watched,
        watched: &watched,
        report: Report::default(),
        counters: Some(BTreeMap::new()),
        indexed: BTreeMap::new(),
        unreadable: 0,
    };
    match check.ask_all() {
        Ok(()) => Ok(check.report),
        Err(fault) => Err(watched.canceled().unwrap_or(BackupError::Store(fault))),
    }
}

/// What is asked of a row.
type Visit<'v, 'c> = dyn FnMut(&mut Check<'c>, &[u8], &[u8]) -> Result<(), Fault> + 'v;

struct Check<'c> {
    rows: &'c dyn Rows,
    /// The same rows.
    watched: &'c Watched<'c>,
    report: Report,
    /// Counted again; `None` once they are too many.
    counters: Option<BTreeMap<Vec<u8>, i64>>,
    /// Rows that indexes and timers must have, by table.
    indexed: BTreeMap<Table, u64>,
    /// Entries of the buffer that cannot be read.
    unreadable: u64,
}

impl<'c> Check<'c> {
    fn ask_all(&mut self) -> Result<(), Fault> {
        self.count_rows()?;
        self.check_runs()?;
        self.check_buffer()?;
        self.check_outbox()?;
        self.check_ready()?;
        self.check_letters()?;
        self.check_batches()?;
        self.check_sharded()?;
        self.check_delivered()?;
        self.check_schedules()?;
        self.check_keys()?;
        self.check_forgotten()?;
        self.check_indexes();
        self.check_counters()
    }

    fn count_rows(&mut self) -> Result<(), Fault> {
        let everything = Span { lo: vec![0], hi: vec![0xff], newest_first: false };
        let mut tables = BTreeMap::new();
        self.scan(&everything, &mut |_, key, _| {
            *tables.entry(key.first().copied().unwrap_or(0)).or_default() += 1;
            Ok(())
        })?;
        self.report.tables = tables;
        for number in self.report.tables.clone().into_keys() {
            self.expect(Table::from_number(number).is_some(), || {
                format!("rows of a table {number} that is not known")
            });
        }
        Ok(())
    }

    /// Every row of a table. A row that `visit` cannot decode is a problem; what else goes wrong ends
    /// the work.
    fn each(&mut self, table: Table, visit: &mut Visit<'_, 'c>) -> Result<(), Fault> {
        self.scan(&Span::prefix(&Key::new(table)), &mut |check, key, value| match visit(
            check, key, value,
        ) {
            Err(fault @ (Fault::Corrupt(_) | Fault::Newer(_))) => {
                check.problem(format!("{table:?} {}: {fault}", key[1..].escape_ascii()));
                Ok(())
            }
            other => other,
        })
    }

    fn scan(&mut self, span: &Span, visit: &mut Visit<'_, 'c>) -> Result<(), Fault> {
        let rows = self.rows;
        rows.scan(span, &mut |key, value| {
            self.watched.has_read_one();
            visit(self, key, value)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn problem(&mut self, what: String) {
        self.report.found += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(what);
        }
    }

    fn expect(&mut self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.problem(what());
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        found: T,
        expected: T,
        what: impl FnOnce() -> String,
    ) {
        if found != expected {
            let what = what();
            self.problem(format!("{what}: found {found:?}, expected {expected:?}"));
        }
    }

    /// An index row that must be there, and is counted.
    fn indexed(
        &mut self,
        table: Table,
        key: Key,
        what: impl FnOnce() -> String,
    ) -> Result<(), Fault> {
        *self.indexed.entry(table).or_default() += 1;
        let there = self.rows.get(key.bytes())?.is_some();
        self.expect(there, || format!("{} has no row of {table:?}", what()));
        Ok(())
    }

    /// Indexes hold what they must, as was looked up; they hold no more if they are no longer.
    fn check_indexes(&mut self) {
        const INDEXES: [Table; 19] = [
            Table::ByStatus,
            Table::ByTask,
            Table::ByEnv,
            Table::ByTag,
            Table::Remote,
            Table::HookOf,
            Table::Ready,
            Table::DeadById,
            Table::CallbackOf,
            Table::BufferQueue,
            Table::BufferWaits,
            Table::Due,
            Table::BatchWork,
            Table::ShardOfRun,
            Table::ShardHeld,
            Table::ShardError,
            Table::ShardedOpen,
            Table::KeyNumber,
            Table::KeyDue,
        ];
        for table in INDEXES {
            let spare = matches!(table, Table::Due | Table::BufferQueue | Table::BufferWaits);
            if self.unreadable > 0 && spare {
                self.report.left_out.push(format!(
                    "spare rows of {table:?}: {} entries of the buffer cannot be read",
                    self.unreadable
                ));
                continue;
            }
            let found = self.report.tables.get(&(table as u8)).copied().unwrap_or(0);
            let expected = self.indexed.get(&table).copied().unwrap_or(0);
            self.same(found, expected, || format!("rows of {table:?}"));
        }
    }
}

#[cfg(test)]
mod tests;
