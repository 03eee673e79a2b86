//! What must be true of all batches, by counting everything again.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::Id;
use crate::ledger::buffer::accept::size_of;
use crate::model::batch::Batch;
use crate::model::run::Run;
use crate::store::key::{Key, last_id};
use crate::store::kinds::{batch as batches, count, run as run_rows};
use crate::store::rows::Rows;
use crate::store::tables::Table;

use super::invariants::table;

/// Every batch, sealed or not.
pub fn all(rows: &dyn Rows) -> Vec<Batch> {
    let read =
        |(key, value): (Vec<u8>, Vec<u8>)| batches::read(last_id(&key).unwrap(), &value).unwrap();
    table(rows, Table::Batch).into_iter().map(read).collect()
}

/// Runs that a batch made and that retention has removed since.
fn gone(rows: &dyn Rows, batch: &Batch) -> usize {
    let made = batches::items(rows, batch.id, 0, usize::MAX).unwrap();
    let own = made.iter().filter(|item| item.own && item.index < batch.made);
    own.filter(|item| !run_rows::exists(rows, item.run).unwrap()).count()
}

/// The counters that runs of batches move, and what batches take of the buffer ahead of their entries.
pub fn counts<'a>(rows: &dyn Rows, runs: impl Iterator<Item = &'a Run>) -> Vec<(Key, i64)> {
    let mut counts = Vec::new();
    let mut shrunk = BTreeSet::new();
    for batch in all(rows).iter().filter(|batch| batch.sealed_at.is_some()) {
        if gone(rows, batch) == 0 {
            continue;
        }
        // They keep counting as what they were; [`check`] adds up how many they are.
        shrunk.insert(batch.id);
        for (status, count) in count::batch_statuses(rows, batch.id).unwrap() {
            counts.push((count::batch(batch.id, status), count as i64));
        }
    }
    for run in runs {
        let Some((batch, _)) = run.batch else { continue };
        if !shrunk.contains(&batch) {
            counts.push((count::batch(batch, run.status), 1));
        }
        if !run.status.is_final() {
            counts.push((count::batch_open(batch), 1));
        }
    }
    for batch in all(rows).iter().filter(|batch| batch.buffered) {
        for item in batches::items(rows, batch.id, batch.made, usize::MAX).unwrap() {
            if item.own {
                let bytes = size_of(&run_rows::body(rows, item.run).unwrap()) as i64;
                let of = (&batch.org, &batch.env);
                counts.push((count::buffered(), 1));
                counts.push((count::buffered_of(of.0, of.1), 1));
                counts.push((count::buffered_bytes(), bytes));
                counts.push((count::buffered_bytes_of(of.0, of.1), bytes));
            }
        }
    }
    counts
}

/// A batch is done if and only if all of its runs were made and have ended; what is staged belongs to
/// items that are still to be made, and open work is marked.
pub fn check<'a>(rows: &dyn Rows, runs: impl Iterator<Item = &'a Run>) {
    let mut of: BTreeMap<Id, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        if let Some((batch, _)) = run.batch {
            of.entry(batch).or_default().push(run);
        }
    }
    let (mut staged, mut items_in_all) = (0, 0);
    for batch in all(rows) {
        let about = format!("batch {}", batch.id);
        let items = batches::items(rows, batch.id, 0, usize::MAX).unwrap();
        items_in_all += items.len();
        let made = of.remove(&batch.id).unwrap_or_default();
        if batch.sealed_at.is_none() {
            assert!(made.is_empty(), "{about} has runs before its seal");
            staged += items.iter().filter(|item| item.own && item.index >= batch.made).count();
            continue;
        }
        let indexes: Vec<u32> = items.iter().map(|item| item.index).collect();
        assert_eq!(indexes, (0..batch.items).collect::<Vec<_>>(), "{about}: items");
        let own: Vec<_> = items.iter().filter(|item| item.own).collect();
        assert_eq!(own.len(), batch.total as usize, "{about}: total");
        let (ready, waiting): (Vec<&batches::Item>, Vec<&batches::Item>) =
            own.into_iter().partition(|item| item.index < batch.made);
        assert_eq!(ready.len(), made.len() + gone(rows, &batch), "{about}: runs that were made");
        let counted: u64 =
            count::batch_statuses(rows, batch.id).unwrap().iter().map(|(_, n)| *n).sum();
        assert_eq!(counted, ready.len() as u64, "{about}: runs that are counted");
        for item in &ready {
            let Some(run) = run_rows::get(rows, item.run).unwrap() else { continue };
            assert_eq!(run.batch, Some((batch.id, item.index)), "{about}: run {}", run.id);
        }
        for item in &waiting {
            let run = batches::staged(rows, item.run).unwrap().unwrap();
            assert_eq!(run.batch, Some((batch.id, item.index)), "{about}: staged {}", run.id);
        }
        staged += waiting.len();
        let ended = made.iter().all(|run| run.status.is_final());
        assert_eq!(batch.is_done(), batch.is_whole() && ended, "{about}: done");
        if batch.is_done() {
            assert!(batch.callback.iter().all(|c| c.is_over()), "{about}: nobody was called");
        }
        let marked = batches::with_work(rows, usize::MAX).unwrap().contains(&batch.id);
        assert_eq!(marked, batch.has_work(), "{about}: open work");
    }
    assert_eq!(table(rows, Table::BatchStaged).len(), staged, "staged runs");
    assert_eq!(table(rows, Table::BatchRun).len(), items_in_all, "items of batches");
    assert!(of.is_empty(), "runs of batches that are not there: {:?}", of.keys());
}
