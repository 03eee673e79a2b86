//! Sharded runs that are long over: they go when their last run has gone, with all their rows.

use super::*;
use crate::base::time::Span;
use crate::ledger::retain::Removed;
use crate::ledger::shards::plan::discard;
use crate::model::retention::Retention;
use crate::store::key::Key;
use crate::store::rows::{Span as Keys, collect_keys};
use crate::store::tables::Table;

const TABLES: [Table; 10] = [
    Table::ShardedRun,
    Table::ShardPlan,
    Table::ShardedOpen,
    Table::ShardedKey,
    Table::Shard,
    Table::ShardOfRun,
    Table::ShardHeld,
    Table::ShardError,
    Table::Delivered,
    Table::Body,
];

/// How many rows there are of what sharded runs are made of.
fn rows_left(world: &World) -> Vec<(Table, usize)> {
    let count = |table| {
        let all = Keys::prefix(&Key::new(table));
        world.ask(|view: &dyn Rows| collect_keys(view, &all, 10_000)).unwrap().len()
    };
    TABLES.map(|table| (table, count(table))).into_iter().filter(|(_, rows)| *rows > 0).collect()
}

/// Lets all runs of a sharded run end, one of them with an error, and delivers of each.
fn through(world: &mut World, id: Id) {
    world.pass(id);
    let runs = world.runs_of(id);
    for (at, run) in runs.iter().enumerate() {
        match at {
            0 => drop(world.deliver_error(*run, "k", "no quota")),
            _ => drop(world.deliver(*run, "k", "[1]")),
        }
        world.cancel_run(*run);
    }
}

#[test]
fn finished_sharded_run_goes_behind_its_last_run() {
    let mut world = World::with(push_task("triage"));
    let id = world.in_window("w", 3).unwrap().head.id;
    through(&mut world, id);
    let runs = world.runs_of(id);
    // Its own time is over before that of its runs: it waits for them.
    let kept = Retention { sharded_runs: Span::from_days(1), ..Retention::default() };
    world.advance(Span::from_days(29));
    assert_eq!(world.retain(&kept).0, Removed::default());
    world.advance(Span::from_days(2));
    let kept_long = Retention { sharded_runs: Span::from_days(60), ..kept };
    let removed = world.retain(&kept_long).0;
    assert_eq!((removed.runs, removed.sharded_runs), (3, 0));
    assert_eq!(world.runs_of(id), [], "the links are null");
    assert_eq!(world.states(id)[0], ShardState::Failed, "and what was delivered stays");
    assert_eq!(world.message(id).as_deref(), Some("no quota"));
    assert_eq!(world.pass(id).made, 0, "a null link is not taken for undispatched");

    assert_eq!(world.retain(&kept).0.sharded_runs, 1);
    assert!(world.ask(|view| heads::get(view, id)).unwrap().is_none(), "nobody sees it");
    assert_eq!(world.retain(&kept).0, Removed::default(), "once is enough");
    let again = world.in_window("w", 1).unwrap();
    assert!(!again.cached && again.head.id != id, "its window is free");
    while world.act(|tx| discard(tx, id)).unwrap() {}
    let others = again.head.id;
    world.pass(others);
    assert!(runs.iter().all(|run| world.ask(|view| rows::of_run(view, *run)).unwrap().is_none()));
    through(&mut world, others);
    world.advance(Span::from_days(31));
    world.retain(&kept);
    assert_eq!(world.retain(&kept).0.sharded_runs, 1, "the round behind that of its runs");
    while world.act(|tx| discard(tx, others)).unwrap() {}
    assert_eq!(rows_left(&world), []);
}

#[test]
fn what_is_not_finished_stays_for_ever() {
    let mut world = World::with(push_task("triage"));
    let waits = world.shard_it(2, 1);
    let half = world.shard_it(2, 1);
    world.pass(half);
    let runs = world.runs_of(half);
    world.cancel_run(runs[0]);
    world.advance(Span::from_days(400));
    let removed = world.retain(&Retention::default()).0;
    assert_eq!((removed.runs, removed.sharded_runs), (1, 0));
    assert_eq!(world.runs_of(half), runs[1..]);
    assert_eq!(world.pass(waits).made, 2);
}

#[test]
fn deliveries_of_a_plain_run_go_with_it() {
    let mut world = World::with(push_task("triage"));
    let run = world.live("triage");
    world.deliver(run, "k", "[1]");
    world.cancel_run(run);
    world.complete(run, None).unwrap();
    world.advance(Span::from_days(31));
    assert_eq!(world.retain(&Retention::default()).0.runs, 1);
    assert_eq!(rows_left(&world), []);
}
