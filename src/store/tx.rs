//! One command's view of the store: what is committed, what the batch before it changed, and
//! its own changes on top. Nothing is written until the engine merges and commits.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::entropy::Entropy;
use crate::base::id::{Id, Minter};
use crate::base::time::Time;
use crate::model::history::Took;
use crate::model::notice::Notice;
use crate::model::refusal::Refusal;

use super::changes::Changes;
use super::codec::{self, Record};
use super::fault::{Fault, Stop};
use super::key::Key;
use super::merged::scan_merged;
use super::rows::{self, Rows, Span, Visit};
use super::tables::Table;

/// A transaction of one command. Reads see its own writes.
pub struct Tx<'a> {
    base: &'a dyn Rows,
    batch: &'a Changes,
    own: Changes,
    now: Time,
    minter: &'a mut Minter,
}

impl<'a> Tx<'a> {
    pub fn new(
        base: &'a dyn Rows,
        batch: &'a Changes,
        now: Time,
        minter: &'a mut Minter,
    ) -> Tx<'a> {
        Tx { base, batch, own: Changes::default(), now, minter }
    }

    /// The moment of this command; the same for a whole batch.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A fresh id, above every id before it.
    pub fn mint(&mut self) -> Id {
        self.minter.mint(self.now)
    }

    pub fn entropy(&mut self) -> &mut Entropy {
        self.minter.entropy()
    }

    pub fn put<R: Record>(&mut self, key: Key, row: &R) {
        self.own.rows.insert(key.into_bytes(), Some(codec::encode(row)));
    }

    /// An index row: a key without a value.
    pub fn mark(&mut self, key: Key) {
        self.own.rows.insert(key.into_bytes(), Some(Vec::new()));
    }

    pub fn put_raw(&mut self, key: Key, value: Vec<u8>) {
        self.own.rows.insert(key.into_bytes(), Some(value));
    }

    pub fn remove(&mut self, key: Key) {
        self.own.rows.insert(key.into_bytes(), None);
    }

    /// Removes a row that a scan came by.
    pub fn remove_raw(&mut self, key: Vec<u8>) {
        self.own.rows.insert(key, None);
    }

    /// Moves a counter.
    pub fn count(&mut self, key: Key, delta: i64) {
        *self.own.counts.entry(key.into_bytes()).or_default() += delta;
    }

    /// Brings counters whose keys begin with `prefix` back to 0, at most `limit` of them; gives how
    /// many. They are moved, not removed: what the batch moves them by is applied after its rows.
    pub fn clear_counters(&mut self, prefix: &Key, limit: usize) -> Result<usize, Fault> {
        let span = Span::prefix(prefix);
        let mut keys: BTreeSet<_> =
            rows::collect_keys(self.base, &span, limit)?.into_iter().collect();
        for changes in [&self.own, self.batch] {
            let moved = changes.counts.range(span.lo.clone()..span.hi.clone());
            keys.extend(moved.map(|(key, _)| key.clone()));
        }
        let mut cleared = 0;
        for key in keys {
            if cleared == limit {
                break;
            }
            if let Some(row) = self.moved_counter(&key)? {
                *self.own.counts.entry(key).or_default() -= rows::read_count(&row)?;
                cleared += 1;
            }
        }
        Ok(cleared)
    }

    /// Where a counter stands, this command's movements included.
    pub fn counter(&self, key: &Key) -> Result<i64, Fault> {
        rows::counter(self, key)
    }

    /// A counter as a row, with the movements of this batch; scans do not see those.
    fn moved_counter(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        moved_counter(self.base, &[&self.own, self.batch], key)
    }

    pub fn load<R: Record>(&self, key: &Key) -> Result<Option<R>, Fault> {
        rows::load(self, key)
    }

    /// A hint that goes out after the commit.
    pub fn notify(&mut self, notice: Notice) {
        self.own.notices.push(notice);
    }

    /// A length of time that is counted after the commit.
    pub fn took(&mut self, took: Took) {
        self.own.took.push(took);
    }

    /// Runs a part of the command that leaves no trace when it is refused.
    pub fn attempt<T>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop>,
    ) -> Result<Result<T, Refusal>, Fault> {
        let below = Below { base: self.base, batch: self.batch };
        let mut part = Tx::new(&below, &self.own, self.now, self.minter);
        let answer = act(&mut part);
        let own = part.into_changes();
        match answer {
            Ok(answer) => {
                self.own.merge(own);
                Ok(Ok(answer))
            }
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(fault)) => Err(fault),
        }
    }

    /// What this command changes.
    pub fn into_changes(self) -> Changes {
        self.own
    }
}

impl Rows for Tx<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        for changes in [&self.own, self.batch] {
            if let Some(value) = changes.rows.get(key) {
                return Ok(value.clone());
            }
        }
        if key.first() == Some(&(Table::Count as u8)) {
            return self.moved_counter(key);
        }
        self.base.get(key)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let inner = Overlaid { base: self.base, over: &self.batch.rows };
        Overlaid { base: &inner, over: &self.own.rows }.scan(span, visit)
    }
}

/// What stands below a part of a command: all that came before the command.
struct Below<'a> {
    base: &'a dyn Rows,
    batch: &'a Changes,
}

impl Rows for Below<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(value) = self.batch.rows.get(key) {
            return Ok(value.clone());
        }
        if key.first() == Some(&(Table::Count as u8)) {
            return moved_counter(self.base, &[self.batch], key);
        }
        self.base.get(key)
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        Overlaid { base: self.base, over: &self.batch.rows }.scan(span, visit)
    }
}

fn moved_counter(
    base: &dyn Rows,
    layers: &[&Changes],
    key: &[u8],
) -> Result<Option<Vec<u8>>, Fault> {
    let row = base.get(key)?;
    let mut moves = layers.iter().filter_map(|changes| changes.counts.get(key)).peekable();
    if moves.peek().is_none() {
        return Ok(row);
    }
    let before = row.map_or(Ok(0), |bytes| rows::read_count(&bytes))?;
    let after = moves.fold(before, |sum, delta| sum + delta);
    Ok((after != 0).then(|| after.to_le_bytes().to_vec()))
}

/// A view with a layer of changes over it.
struct Overlaid<'a> {
    base: &'a dyn Rows,
    over: &'a BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Rows for Overlaid<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.over.get(key).map_or_else(|| self.base.get(key), |value| Ok(value.clone()))
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        let range = self.over.range(span.lo.clone()..span.hi.clone());
        let layer: Box<dyn Iterator<Item = _>> =
            if span.newest_first { Box::new(range.rev()) } else { Box::new(range) };
        scan_merged(self.base, layer.map(|(key, value)| (key, value.as_ref())), span, visit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::Memory;

    proptest! {
        /// Merged scans over two layers equal a scan of the plain result, in both directions,
        /// wherever the visitor stops.
        #[test]
        fn scans_see_all_layers(
            base in proptest::collection::btree_map(0u8..20, any::<u8>(), 0..12),
            batch in proptest::collection::btree_map(0u8..20, any::<Option<u8>>(), 0..12),
            own in proptest::collection::btree_map(0u8..20, any::<Option<u8>>(), 0..12),
            lo in 0u8..20, hi in 0u8..22, newest_first: bool, limit in 1usize..8,
        ) {
            let mut memory = Memory::default();
            let mut plain: BTreeMap<u8, u8> = base.clone();
            let mut first = Changes::default();
            for (k, v) in &base { first.rows.insert(vec![*k], Some(vec![*v])); }
            memory.apply(&first).unwrap();
            let mut changes = Changes::default();
            for (k, v) in &batch { changes.rows.insert(vec![*k], v.map(|v| vec![v])); }
            let mut minter = Minter::new(Entropy::from_seed(0));
            let mut tx = Tx::new(&memory, &changes, Time(0), &mut minter);
            for (k, v) in &own { tx.own.rows.insert(vec![*k], v.map(|v| vec![v])); }
            for (k, v) in batch.iter().chain(&own) {
                match v { Some(v) => { plain.insert(*k, *v); } None => { plain.remove(k); } }
            }
            let mut expected: Vec<(Vec<u8>, Vec<u8>)> = plain
                .iter().filter(|(k, _)| (lo..hi).contains(k)).map(|(k, v)| (vec![*k], vec![*v])).collect();
            if newest_first { expected.reverse(); }
            expected.truncate(limit);
            let span = Span { lo: vec![lo], hi: vec![hi], newest_first };
            prop_assert_eq!(rows::collect(&tx, &span, limit).unwrap(), expected);
        }
    }
}
