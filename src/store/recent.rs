//! Rows that are durable in the journal and that redb does not have yet.
//!
//! A commit adds its rows under its sequence, and readers see those up to the sequence that they
//! started with. So a row keeps what it was before: a moment later redb has taken it all over, and
//! the whole collection goes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::apply::{Change, ChangedRows};
use super::rows::Span;

/// Rows that are added in one go; readers come in between.
const ADDED_AT_ONCE: usize = 256;
/// Rows that a scan takes at first, and at most: it holds nobody up while it visits them.
const TAKEN_FIRST: usize = 4;
const TAKEN_MAX: usize = 256;

/// A value, or nothing for a row that went away.
type Value = Option<Vec<u8>>;

/// Rows by key, each with its values by sequence.
#[derive(Debug, Default)]
pub(super) struct Recent {
    rows: RwLock<BTreeMap<Vec<u8>, Row>>,
    bytes: AtomicU64,
}

/// What a row was, oldest first.
#[derive(Debug)]
struct Row {
    first: (u64, Value),
    later: Vec<(u64, Value)>,
}

impl Row {
    fn at(&self, sequence: u64) -> Option<&Value> {
        let mut newest_first = self.later.iter().rev().chain([&self.first]);
        newest_first.find(|(since, _)| *since <= sequence).map(|(_, value)| value)
    }

    fn newest(&self) -> &Value {
        &self.later.last().unwrap_or(&self.first).1
    }
}

impl Recent {
    /// Adds the rows of a commit, which nobody sees before a reader starts with its sequence.
    pub fn add(&self, sequence: u64, rows: ChangedRows) {
        let bytes: usize = rows.iter().map(|(key, value)| bytes_of(key, value)).sum();
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut held = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            for (key, value) in rows.by_ref().take(ADDED_AT_ONCE) {
                use std::collections::btree_map::Entry::{Occupied, Vacant};
                match held.entry(key) {
                    Vacant(place) => {
                        place.insert(Row { first: (sequence, value), later: Vec::new() });
                    }
                    Occupied(row) => row.into_mut().later.push((sequence, value)),
                }
            }
        }
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A row for a reader that started with `sequence`; `None` when it is not here.
    pub fn get(&self, key: &[u8], sequence: u64) -> Option<Value> {
        if self.bytes() == 0 {
            return None;
        }
        self.held().get(key)?.at(sequence).cloned()
    }

    /// The rows of a span for a reader that started with `sequence`.
    pub fn range(&self, span: &Span, sequence: u64) -> Range<'_> {
        let is_done = self.bytes() == 0 || span.is_empty();
        let taken = VecDeque::new();
        Range { recent: self, sequence, rest: span.clone(), taken, at_once: TAKEN_FIRST, is_done }
    }

    /// Gives the newest values in key order. For a collection to which nothing is added any more.
    pub fn with_newest<T>(&self, act: impl FnOnce(&mut dyn Iterator<Item = Change<'_>>) -> T) -> T {
        let held = self.held();
        act(&mut held.iter().map(|(key, row)| (key.as_slice(), row.newest().as_deref())))
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<Vec<u8>, Row>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(key: &[u8], value: &Value) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

/// Rows in the order of a span, taken in groups: a visitor may read again, or take its time.
pub(super) struct Range<'r> {
    recent: &'r Recent,
    sequence: u64,
    rest: Span,
    taken: VecDeque<(Vec<u8>, Value)>,
    at_once: usize,
    is_done: bool,
}

impl Range<'_> {
    fn take_more(&mut self) {
        let held = self.recent.held();
        let bounds = (Bound::Included(&self.rest.lo[..]), Bound::Excluded(&self.rest.hi[..]));
        let range = held.range::<[u8], _>(bounds);
        let rows: &mut dyn Iterator<Item = _> =
            if self.rest.newest_first { &mut range.rev() } else { &mut range.into_iter() };
        let (mut last, mut found) = (None, 0);
        for (key, row) in rows.take(self.at_once) {
            (last, found) = (Some(key), found + 1);
            if let Some(value) = row.at(self.sequence) {
                self.taken.push_back((key.clone(), value.clone()));
            }
        }
        match last {
            Some(key) if self.rest.newest_first => self.rest.hi = key.clone(),
            Some(key) => self.rest.lo = [key, &[0][..]].concat(),
            None => {}
        }
        self.is_done = found < self.at_once || self.rest.is_empty();
        self.at_once = (self.at_once * 4).min(TAKEN_MAX);
    }
}

impl Iterator for Range<'_> {
    type Item = (Vec<u8>, Value);

    fn next(&mut self) -> Option<(Vec<u8>, Value)> {
        while self.taken.is_empty() && !self.is_done {
            self.take_more();
        }
        self.taken.pop_front()
    }
}
