//! Planning: whole or not at all, once for each window and key.

use super::*;
use crate::ledger::shards::plan::{PLANNED_AT_ONCE_MAX, add, begin, discard, seal, shard_size};
use crate::model::refusal::Code;
use crate::model::shard::{Phase, SHARD_SIZE_MAX};
use crate::store::key::Key;
use crate::store::rows::{Span, collect_keys};
use crate::store::tables::Table;

fn empty(world: &World, table: Table) -> bool {
    let span = Span::prefix(&Key::new(table));
    world.ask(|view| collect_keys(view, &span, 1)).unwrap().is_empty()
}

#[test]
fn a30_sizes_are_clamped_where_they_are_used() {
    assert_eq!(shard_size(Some(0), Some(7)), 1);
    assert_eq!(shard_size(None, Some(0)), 1);
    assert_eq!(shard_size(None, Some(7)), 7);
    assert_eq!(shard_size(None, None), 5);
    assert_eq!(shard_size(Some(u32::MAX), None), SHARD_SIZE_MAX);
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(3, shard_size(Some(0), None));
    assert_eq!(world.shards(id).len(), 3);
}

#[test]
fn chunks_keep_the_order_of_their_items() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(5, 2);
    assert_eq!(world.head(id).phase, Phase::Dispatching);
    assert!(world.runs_of(id).is_empty(), "the plan comes before any run");
    world.pass(id);
    for (index, run) in world.runs_of(id).into_iter().enumerate() {
        let items = [vec![0, 1], vec![2, 3], vec![4]];
        let shard = serde_json::json!({ "sharded_run": id, "index": index, "count": 3 });
        let expected = serde_json::json!({ "items": items[index], "shard": shard });
        assert_eq!(world.payload(run), expected);
        assert_eq!(world.run(run).tags, ["night"]);
    }
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(0, 5);
    let head = world.head(id);
    assert_eq!((head.phase, head.finished_at), (Phase::Finished, Some(world.now)));
    for table in [Table::Shard, Table::Run, Table::Outbox, Table::ShardedOpen] {
        assert!(empty(&world, table), "{table:?}");
    }
}

#[test]
fn parts_of_a_plan_are_seen_by_nobody() {
    let mut world = World::with(push_task("triage"));
    let (command, mut parts) = planned(6, 2);
    let command = Plan { window: Some("w".to_owned()), ..command };
    let id = world.act(|tx| begin(tx, command)).unwrap().head.id;
    let rest = parts.split_off(2);
    world.act(|tx| add(tx, id, 0, parts)).unwrap();
    assert_refused(world.act(|tx| add(tx, id, 0, rest.clone())), Code::Conflict);
    assert_refused(world.act(|tx| seal(tx, id)), Code::Conflict);
    assert!(empty(&world, Table::ShardedRun) && empty(&world, Table::ShardedKey));
    assert_eq!(world.slice(id, 9), Slice::default());
    world.act(|tx| add(tx, id, 2, rest)).unwrap();
    world.act(|tx| seal(tx, id)).unwrap();
    assert_eq!(world.pass(id).made, 3);
    assert!(empty(&world, Table::ShardPlan));
}

#[test]
fn given_up_plans_leave_nothing() {
    let mut world = World::with(push_task("triage"));
    world.checking = false;
    let before = world.dump();
    let (command, mut parts) = planned(PLANNED_AT_ONCE_MAX + 3, 1);
    let id = world.act(|tx| begin(tx, command)).unwrap().head.id;
    let rest = parts.split_off(PLANNED_AT_ONCE_MAX);
    world.act(|tx| add(tx, id, 0, parts)).unwrap();
    world.act(|tx| add(tx, id, PLANNED_AT_ONCE_MAX as u32, rest)).unwrap();
    world.check_all();
    assert!(world.act(|tx| discard(tx, id)).unwrap());
    world.check_all();
    assert!(!world.act(|tx| discard(tx, id)).unwrap());
    assert!(!world.act(|tx| discard(tx, id)).unwrap());
    assert_eq!(world.dump(), before);
}

#[test]
fn a40_redelivered_window_makes_one_run() {
    let mut world = World::with(push_task("triage"));
    let first = world.in_window("2026-11-21T10:00", 5).unwrap();
    assert!(!first.cached);
    let id = first.head.id;
    // Killed after two of five: the redelivery finds the plan, and the rest is dispatched once.
    assert_eq!(world.slice(id, 2).made, 2);
    world.restart();
    let again = world.in_window("2026-11-21T10:00", 4).unwrap();
    assert!(again.cached && again.head.id == id);
    assert_eq!(world.pass(id).made, 3);
    let runs = world.runs_of(id);
    assert_eq!(runs.len(), 5);
    for run in &runs {
        world.cancel_run(*run);
    }
    let over = world.in_window("2026-11-21T10:00", 5).unwrap();
    assert!(over.cached && over.head.phase == Phase::Finished);
    assert_eq!(world.pass(id), Slice::default());
    assert_eq!(world.runs_of(id), runs);
    assert_ne!(world.in_window("2026-11-21T22:00", 5).unwrap().head.id, id);
}

#[test]
fn a40_windows_of_schedules_tasks_and_orgs_are_apart() {
    let mut world = World::with(push_task("triage"));
    let mut ids = std::collections::BTreeSet::new();
    for (org, schedule) in
        [("acme", None), ("blue", None), ("acme", Some("a")), ("acme", Some("b"))]
    {
        for _ in 0..2 {
            let (command, parts) = planned(2, 1);
            let (window, schedule) = (Some("w".to_owned()), schedule.map(str::to_owned));
            let command = Plan { org: n(org), window, schedule, ..command };
            ids.insert(world.act(|tx| plan(tx, command, parts)).unwrap().head.id);
        }
    }
    assert_eq!(ids.len(), 4);
}

#[test]
fn a40_two_plans_of_one_window_become_one() {
    let mut world = World::with(push_task("triage"));
    let ids = [(), ()].map(|()| {
        let (command, parts) = planned(3, 1);
        let command = Plan { window: Some("w".to_owned()), ..command };
        let id = world.act(|tx| begin(tx, command)).unwrap().head.id;
        world.act(|tx| add(tx, id, 0, parts)).unwrap();
        id
    });
    assert!(!world.act(|tx| seal(tx, ids[0])).unwrap().cached);
    let second = world.act(|tx| seal(tx, ids[1])).unwrap();
    assert!(second.cached && second.head.id == ids[0]);
    assert!(!world.act(|tx| discard(tx, ids[1])).unwrap());
    assert!(empty(&world, Table::ShardPlan));
    assert_eq!(world.pass(ids[0]).made, 3);
}

#[test]
fn keys_bind_one_body_for_a_day() {
    let mut world = World::with(push_task("triage"));
    let ask = |world: &mut World, items| {
        let (command, parts) = planned(items, 1);
        let command = Plan { idempotency_key: Some("k".to_owned()), ..command };
        world.act(|tx| plan(tx, command, parts))
    };
    let id = ask(&mut world, 2).unwrap().head.id;
    assert_eq!(ask(&mut world, 2).unwrap().head.id, id);
    assert_refused(ask(&mut world, 3), Code::IdempotencyMismatch);
    world.advance(crate::ledger::runs::submit::IDEMPOTENCY_KEPT);
    assert_ne!(ask(&mut world, 3).unwrap().head.id, id);
}

#[test]
fn plans_without_a_task_or_too_large_are_refused() {
    let mut world = World::new();
    let before = world.dump();
    let (command, parts) = planned(2, 1);
    assert_refused(world.act(|tx| plan(tx, command, parts)), Code::TaskNotFound);
    world.register(push_task("triage"));
    let (command, parts) = planned(PLANNED_AT_ONCE_MAX + 1, 1);
    assert_refused(world.act(|tx| plan(tx, command, parts)), Code::InvalidField);
    assert!(empty(&world, Table::ShardPlan) && before.is_empty());
}
