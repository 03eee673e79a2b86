//! Batches that are long over: they go when their last run has gone, with all their rows.

use super::*;
use crate::ledger::retain::Removed;
use crate::ledger::runs::cancel;
use crate::model::retention::Retention;
use crate::store::key::Key;
use crate::store::rows::{Span as Keys, collect_keys};
use crate::store::tables::Table;

const TABLES: [Table; 5] =
    [Table::Batch, Table::BatchStaged, Table::BatchRun, Table::BatchKey, Table::BatchWork];

fn rows_left(world: &World) -> usize {
    let count = |table| {
        let all = Keys::prefix(&Key::new(table));
        world.ask(|rows| collect_keys(rows, &all, 10_000)).unwrap().len()
    };
    TABLES.map(count).into_iter().sum()
}

#[test]
fn batch_goes_behind_its_last_run() {
    let mut world = World::with(push_task("work"));
    let order = Order { idempotency_key: Some("night".to_owned()), ..order(3) };
    let id = world.batch_of(&order, items("work", 3), None).unwrap();
    for run in world.runs_of(id) {
        world.act(|tx| cancel::cancel(tx, run, None, "api")).unwrap();
    }
    assert_eq!(world.state(id), "3 canceled; done");
    // Its own time is over before that of its runs: it waits for them.
    let kept = Retention { batches: Span::from_days(1), ..Retention::default() };
    world.advance(Span::from_days(29));
    assert_eq!(world.retain(&kept).0, Removed::default());
    world.advance(Span::from_days(2));
    let kept_long = Retention { batches: Span::from_days(60), ..kept };
    let removed = world.retain(&kept_long).0;
    assert_eq!((removed.runs, removed.batches), (3, 0));
    assert_eq!(world.state(id), "3 canceled; done", "it counts what it had");

    assert_eq!(world.retain(&kept).0.batches, 1);
    assert!(world.ask(|rows| find(rows, id)).unwrap().is_none(), "nobody sees it");
    let again = world.batch_of(&order, items("work", 3), None).unwrap();
    assert_ne!(again, id, "its key is free");
    world.go_on(id);
    assert_eq!(world.runs_of(id), []);
    assert_eq!(world.retain(&kept).0, Removed::default());
    assert_eq!(world.state(again), "3 queued");
    for run in world.runs_of(again) {
        world.act(|tx| cancel::cancel(tx, run, None, "api")).unwrap();
    }
    world.advance(Span::from_days(31));
    world.retain(&kept);
    assert_eq!(world.retain(&kept).0.batches, 1, "the round behind that of its runs");
    world.go_on(again);
    assert_eq!(rows_left(&world), 0);
}

#[test]
fn open_batch_stays() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 2);
    let run = world.runs_of(id)[0];
    world.act(|tx| cancel::cancel(tx, run, None, "api")).unwrap();
    world.advance(Span::from_days(31));
    let removed = world.retain(&Retention::default()).0;
    assert_eq!((removed.runs, removed.batches), (1, 0));
    assert_eq!(world.state(id), "1 queued, 1 canceled");
}
