//! What is made of many runs: batches, sharded runs and what is delivered for them.

use std::collections::BTreeMap;

use crate::base::id::Id;
use crate::ledger::buffer::accept::size_of;
use crate::model::batch::{Batch, ITEMS_MAX};
use crate::model::run::Status;
use crate::model::shard::{Phase, Shard, ShardState, ShardedRun};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::kinds::{
    batch as batches, count, delivered, run as run_rows, shard as shards, sharded as heads,
};
use crate::store::rows::counter;
use crate::store::tables::Table;

use super::Check;

/// Shards that are read at once.
const SHARDS_AT_ONCE: usize = 256;

impl Check<'_> {
    pub fn check_batches(&mut self) -> Result<(), Fault> {
        let (mut staged, mut items) = (0, 0);
        self.each(Table::Batch, &mut |check, key, value| {
            let batch = batches::read(last_id(key)?, value)?;
            let (own, of) = check.check_batch(&batch)?;
            (staged, items) = (staged + own, items + of);
            Ok(())
        })?;
        let found = |check: &Check<'_>, of: Table| check.report.tables.get(&(of as u8)).copied();
        self.same(found(self, Table::BatchStaged).unwrap_or(0), staged, || {
            "staged runs".to_owned()
        });
        self.same(found(self, Table::BatchRun).unwrap_or(0), items, || {
            "items of batches".to_owned()
        });
        Ok(())
    }

    /// Gives how many of its runs are staged, and how many items it has.
    fn check_batch(&mut self, batch: &Batch) -> Result<(u64, u64), Fault> {
        let what = || format!("batch {}", batch.id);
        let items = batches::items(self.rows, batch.id, 0, ITEMS_MAX + 1)?;
        let own = || items.iter().filter(|item| item.own);
        let work = Key::new(Table::BatchWork).id(batch.id);
        if batch.sealed_at.is_none() {
            // A duty looks after it, unless it was given up.
            let is_marked = self.rows.get(work.bytes())?.is_some();
            *self.indexed.entry(Table::BatchWork).or_default() += u64::from(is_marked);
            // Of one that retention took out of sight nothing is staged.
            let staged = own().filter(|item| item.index >= batch.made).count();
            return Ok((staged as u64, items.len() as u64));
        }
        let in_order = items.iter().enumerate().all(|(at, item)| item.index as usize == at);
        let is_whole = in_order && items.len() == batch.items as usize;
        self.expect(is_whole, || format!("{}: items", what()));
        self.same(own().count(), batch.total as usize, || format!("{}: total", what()));
        let (mut staged, mut all_ended) = (0, true);
        let (mut there, mut gone) = (BTreeMap::<Status, i64>::new(), 0);
        for item in own() {
            let run = match item.index < batch.made {
                true => run_rows::get(self.rows, item.run)?,
                false => batches::staged(self.rows, item.run)?,
            };
            if run.is_none() && item.index < batch.made {
                gone += 1;
                continue;
            }
            let of = run.as_ref().and_then(|run| run.batch);
            self.same(of, Some((batch.id, item.index)), || format!("{}: run {}", what(), item.run));
            if let Some(run) = run.filter(|_| item.index < batch.made) {
                all_ended &= run.status.is_final();
                *there.entry(run.status).or_default() += 1;
            } else {
                staged += 1;
                if batch.buffered {
                    let bytes = size_of(&run_rows::body(self.rows, item.run)?) as i64;
                    self.count_buffered((&batch.org, &batch.env), bytes);
                }
            }
        }
        self.same(batch.is_done(), batch.is_whole() && all_ended, || format!("{}: done", what()));
        if batch.has_work() {
            self.indexed(Table::BatchWork, work, what)?;
        }
        self.check_gone(batch, &there, gone)?;
        Ok((staged, items.len() as u64))
    }

    /// Runs that retention removed go on to count as what they were.
    fn check_gone(
        &mut self,
        batch: &Batch,
        there: &BTreeMap<Status, i64>,
        gone: i64,
    ) -> Result<(), Fault> {
        if gone == 0 {
            return Ok(());
        }
        let mut counted = 0;
        for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
            let key = count::batch(batch.id, status);
            let more = counter(self.rows, &key)? - there.get(&status).copied().unwrap_or(0);
            counted += more;
            self.add(key, more);
        }
        self.same(counted, gone, || format!("batch {}: runs that are gone", batch.id));
        Ok(())
    }

    pub fn check_sharded(&mut self) -> Result<(), Fault> {
        for table in [Table::ShardPlan, Table::ShardedRun] {
            self.each(table, &mut |check, key, _| {
                let id = last_id(key)?;
                let head = match table {
                    Table::ShardPlan => heads::plan(check.rows, id)?,
                    _ => heads::get(check.rows, id)?,
                };
                head.map_or(Ok(()), |head| check.check_one_sharded(&head))
            })?;
        }
        Ok(())
    }

    fn check_one_sharded(&mut self, head: &ShardedRun) -> Result<(), Fault> {
        let what = || format!("{} sharded run {}", head.phase.as_str(), head.id);
        let (mut next, mut items, mut held) = (0_u32, 0_u64, 0_u32);
        loop {
            let slice = shards::list(self.rows, head.id, next, SHARDS_AT_ONCE)?;
            for shard in &slice {
                self.same(shard.index, next, || format!("{}: order of its shards", what()));
                next = shard.index + 1;
                items += u64::from(shard.size);
                held += u32::from(shard.is_held());
                self.check_shard(head, shard)?;
            }
            if slice.len() < SHARDS_AT_ONCE {
                break;
            }
        }
        if head.phase == Phase::Planning {
            return Ok(());
        }
        self.same(next, head.shards, || format!("{}: shards", what()));
        self.same(items, u64::from(head.items), || format!("{}: items", what()));
        self.same(held, head.held, || format!("{}: held shards", what()));
        if head.phase == Phase::Dispatching {
            let key = Key::new(Table::ShardedOpen).id(head.id);
            self.indexed(Table::ShardedOpen, key, what)?;
        }
        Ok(())
    }

    fn check_shard(&mut self, head: &ShardedRun, shard: &Shard) -> Result<(), Fault> {
        let what = || format!("shard {} of {}", shard.index, head.id);
        let place = |table| Key::new(table).id(shard.sharded).u32(shard.index);
        let planned = shard.state == ShardState::Planned;
        let is_right =
            planned == shard.dispatched_at.is_none() && !(planned && shard.run.is_some());
        self.expect(is_right, || format!("{}: when it was dispatched", what()));
        if shard.is_held() {
            self.indexed(Table::ShardHeld, place(Table::ShardHeld), what)?;
        }
        if shard.error.is_some() {
            self.indexed(Table::ShardError, place(Table::ShardError), what)?;
        }
        let mut status = shard.ended;
        if let Some(id) = shard.run {
            let run = run_rows::get(self.rows, id)?;
            let of = run.as_ref().and_then(|run| run.shard);
            self.same(of, Some((head.id, shard.index)), || format!("{}: its run", what()));
            *self.indexed.entry(Table::ShardOfRun).or_default() += 1;
            let link = shards::of_run(self.rows, id)?;
            self.same(link, Some((head.id, shard.index)), || format!("{}: its link", what()));
            status = run.map(|run| run.status);
        }
        self.add(count::shards(head.id, shard.state), 1);
        if let Some(status) = status {
            self.add(count::sharded_runs(head.id, status), 1);
        }
        let is_over = match shard.run {
            Some(_) => status.is_some_and(|status| status.is_final()),
            None => shard.dispatched_at.is_some(),
        };
        if head.phase != Phase::Planning && !is_over {
            self.add(count::shards_open(head.id), 1);
        }
        Ok(())
    }

    pub fn check_delivered(&mut self) -> Result<(), Fault> {
        let mut last: Option<Id> = None;
        self.each(Table::Delivered, &mut |check, key, _| {
            let run = KeyReader::new(key).id()?;
            if last.replace(run) == Some(run) {
                return Ok(());
            }
            let (deliveries, bytes) = count::delivered(run);
            let found = delivered::list(check.rows, run, usize::MAX)?;
            check.add(deliveries, found.len() as i64);
            let sizes = found.iter().filter_map(|one| one.result.as_ref()).map(Vec::len);
            check.add(bytes, sizes.sum::<usize>() as i64);
            Ok(())
        })
    }
}
