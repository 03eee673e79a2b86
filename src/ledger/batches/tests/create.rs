//! All of a batch or nothing.

use super::{Batching, items, order};
use crate::base::time::Span;
use crate::ledger::ask::batches::{self as ask, Filter};
use crate::ledger::ask::list;
use crate::ledger::batches::create::{Order, at_item, known, open, seal};
use crate::ledger::batches::find;
use crate::ledger::runs::submit::{IDEMPOTENCY_KEPT, Submit};
use crate::ledger::tasks::register;
use crate::ledger::testing::*;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;

fn keyed(task: &str, key: &str) -> Submit {
    Submit { idempotency_key: Some(key.to_owned()), ..request(task) }
}

#[test]
fn a_batch_makes_its_runs_in_order() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 5);
    assert_eq!(world.state(id), "5 queued");
    let runs = world.runs_of(id);
    assert_eq!(runs.len(), 5);
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(world.run(*run).batch, Some((id, index as u32)));
    }
    assert!(runs.is_sorted());
    assert_eq!(world.claim("work").len(), 5);
    assert_eq!(world.state(id), "5 executing");
}

/// Until the seal nobody can find, list, count, start or wait for any of it.
#[test]
fn nothing_is_seen_before_the_seal() {
    let mut world = World::with(push_task("work"));
    let before = world.dump();
    let id = world.staged(&order(5), items("work", 5)).unwrap();
    assert!(world.claim("work").is_empty());
    let seen = |world: &World| {
        let batch = world.ask(|rows| find(rows, id)).unwrap();
        let listed = world.ask(|rows| ask::list(rows, &Filter::default(), 9, None)).unwrap();
        let filter = list::Filter { batch: Some(id), ..list::Filter::default() };
        let of_batch = world.ask(|rows| list::list(rows, &filter, 9, None)).unwrap();
        let all = list::Filter::default();
        let runs = world.ask(|rows| list::list(rows, &all, 9, None)).unwrap();
        (batch.is_some(), listed.batches.len(), of_batch.runs.len(), runs.runs.len())
    };
    assert_eq!(seen(&world), (false, 0, 0, 0));
    // Given up, it leaves nothing behind.
    world.go_on(id);
    assert_eq!(world.dump(), before);
    let id = world.batch("work", 5);
    let seen = world.ask(|rows| find(rows, id)).unwrap();
    assert!(seen.is_some_and(|batch| batch.is_whole()));
}

#[test]
fn a_sealed_batch_is_made_whole_whoever_goes_on() {
    let mut world = World::with(push_task("work"));
    let id = world.staged(&order(5), items("work", 5)).unwrap();
    world.act(|tx| seal(tx, id, None)).unwrap();
    assert_eq!(world.state(id), "");
    assert_eq!(world.counted(id).unmade(), 5);
    // A crash in between: what was made stays, the rest follows.
    world.act(|tx| crate::ledger::batches::go_on(tx, id, 2)).unwrap();
    assert_eq!(world.state(id), "2 queued");
    world.restart();
    world.go_on(id);
    assert_eq!(world.state(id), "5 queued");
    assert!(world.ask(|rows| crate::store::kinds::batch::with_work(rows, 9)).unwrap().is_empty());
}

#[test]
fn an_item_that_is_refused_is_named_and_takes_all_with_it() {
    let mut world = World::with(push_task("work"));
    let before = world.dump();
    let mut wanted = items("work", 4);
    wanted[3].task = n("nobody");
    let order = order(4);
    let refusal = world.staged(&order, wanted).unwrap_err();
    assert_eq!(refusal.code, Code::TaskNotFound);
    assert!(refusal.message.starts_with("items[3]: "), "{refusal}");
    assert_eq!(refusal.details.unwrap()["index"], 3);
    let open = world.ask(|rows| crate::store::kinds::batch::with_work(rows, 9)).unwrap();
    world.go_on(open[0]);
    assert_eq!(world.dump(), before, "rows are left");

    let field = at_item(7, Refusal::field("steps", "too many"));
    assert_eq!(field.message, "`items[7].steps`: too many");
    assert_eq!(field.details.unwrap()["field"], "items[7].steps");
}

#[test]
fn known_keys_stand_for_the_runs_that_have_them() {
    let mut world = World::with(push_task("work"));
    let earlier = world.submit_with("work", |run| run.idempotency_key = Some("a".into())).unwrap();
    let wanted = vec![keyed("work", "a"), keyed("work", "b"), request("work"), keyed("work", "b")];
    let id = world.batch_of(&order(4), wanted, None).unwrap();
    let runs = world.runs_of(id);
    assert_eq!(runs[0], earlier.run.id, "known before");
    assert_eq!(runs[1], runs[3], "known from an item in front of it");
    assert_eq!(world.run(earlier.run.id).batch, None, "it stays what it was");
    assert_eq!(world.counted(id).batch.total, 2);
    assert_eq!(world.state(id), "2 queued");
    // Afterwards the keys are bound as those of any run.
    let again = world.submit_with("work", |run| run.idempotency_key = Some("b".into())).unwrap();
    assert_eq!((again.run.id, again.cached), (runs[1], true));
    let filter = list::Filter { batch: Some(id), ..list::Filter::default() };
    let page = world.ask(|rows| list::list(rows, &filter, 9, None)).unwrap();
    let listed: Vec<_> = page.runs.iter().map(|run| run.id).collect();
    assert_eq!(listed, [runs[1], runs[2]]);
}

#[test]
fn one_key_with_two_contents_is_refused() {
    let mut world = World::with(push_task("work"));
    let mut wanted = vec![keyed("work", "a"), keyed("work", "a")];
    wanted[1].fingerprint = 8;
    let refusal = world.staged(&order(2), wanted).unwrap_err();
    assert_eq!(refusal.code, Code::IdempotencyMismatch);
    assert_eq!(refusal.details.unwrap()["index"], 1);
}

#[test]
fn a_key_of_a_batch_that_is_being_created_waits_for_it() {
    let mut world = World::with(push_task("work"));
    let id = world.staged(&order(2), vec![keyed("work", "a"), request("work")]).unwrap();
    let single =
        |world: &mut World| world.submit_with("work", |run| run.idempotency_key = Some("a".into()));
    assert_refused(single(&mut world), Code::InFlight);
    // Given up, the key is free; made, it is bound.
    world.go_on(id);
    let free = single(&mut world).unwrap();
    assert!(!free.cached);
    let id = world.batch_of(&order(1), vec![keyed("work", "c")], None).unwrap();
    let made = world.submit_with("work", |run| run.idempotency_key = Some("c".into())).unwrap();
    assert_eq!((made.cached, made.run.batch), (true, Some((id, 0))));
}

#[test]
fn a_batch_with_a_key_is_created_once() {
    let mut world = World::with(push_task("work"));
    let mut order = Order { idempotency_key: Some("k".into()), ..order(2) };
    let id = world.staged(&order, items("work", 2)).unwrap();
    let again = |world: &mut World, order: &Order| {
        let now = world.now;
        world.act(|tx| known(tx, order, now)).map(|found| found.map(|batch| batch.id))
    };
    assert_refused(again(&mut world, &order), Code::InFlight);
    world.act(|tx| seal(tx, id, None)).unwrap();
    assert_refused(again(&mut world, &order), Code::InFlight);
    world.go_on(id);
    assert_eq!(again(&mut world, &order), Ok(Some(id)));
    order.fingerprint = 8;
    assert_refused(again(&mut world, &order), Code::IdempotencyMismatch);
    world.advance(IDEMPOTENCY_KEPT);
    assert_eq!(again(&mut world, &order), Ok(None));
    // One that was given up frees its key.
    let id = world.staged(&order, items("work", 2)).unwrap();
    world.go_on(id);
    assert_eq!(again(&mut world, &order), Ok(None));
}

/// Nobody can be refused after the seal: a run that cannot be made says so, and the batch ends.
#[test]
fn a_task_that_goes_meanwhile_fails_its_runs() {
    let mut world = World::with(push_task("work"));
    let id = world.staged(&order(3), items("work", 3)).unwrap();
    world.act(|tx| seal(tx, id, None)).unwrap();
    world.act(|tx| register::remove(tx, &n("work"))).unwrap();
    world.go_on(id);
    assert_eq!(world.state(id), "3 system_failure; done");
    assert_eq!(world.code(world.runs_of(id)[0]), "batch_failed");
}

#[test]
fn delays_and_lives_go_on_while_a_batch_is_made() {
    let mut world = World::with(push_task("work"));
    let mut wanted = items("work", 3);
    wanted[0].delay = Some(Span::from_secs(5));
    wanted[1].ttl = Some(Span::from_secs(5));
    wanted[2].delay = Some(Span::from_mins(5));
    let id = world.staged(&order(3), wanted).unwrap();
    world.act(|tx| seal(tx, id, None)).unwrap();
    world.advance(Span::from_secs(10));
    world.go_on(id);
    let found: Vec<_> = world.runs_of(id).iter().map(|run| world.run(*run).status).collect();
    assert_eq!(found, [Status::Queued, Status::Expired, Status::Delayed]);
}

#[test]
fn a_callback_must_be_pushed() {
    let mut world = World::with(pull_task("pulled"));
    let order = Order { callback: Some(n("pulled")), ..order(1) };
    let refusal = world.act(|tx| open(tx, &order)).unwrap_err();
    assert_eq!(refusal.details.unwrap()["field"], "callback.task");
    let order = Order { callback: Some(n("nobody")), ..order };
    assert_refused(world.act(|tx| open(tx, &order)), Code::TaskNotFound);
}

#[test]
fn pages_of_runs_and_of_batches_are_whole() {
    let mut world = World::with(push_task("work"));
    let ids: Vec<_> = (0..3).map(|_| world.batch("work", 5)).collect();
    let filter = list::Filter { batch: Some(ids[1]), ..list::Filter::default() };
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.ask(|rows| list::list(rows, &filter, 2, cursor)).unwrap();
        found.extend(page.runs.iter().map(|run| run.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, world.runs_of(ids[1]));
    let elsewhere = world.ask(|rows| list::list(rows, &filter, 2, Some(found[0]))).unwrap();
    assert!(elsewhere.runs.is_empty(), "a cursor of another list");
    let first = world.ask(|rows| ask::list(rows, &Filter::default(), 2, None)).unwrap();
    let rest = world.ask(|rows| ask::list(rows, &Filter::default(), 2, first.next)).unwrap();
    let listed: Vec<_> =
        first.batches.iter().chain(&rest.batches).map(|counted| counted.batch.id).collect();
    assert!(listed.iter().rev().eq(&ids) && rest.next.is_none());
    let other = Filter { org: Some(n("globex")), ..Filter::default() };
    assert!(world.ask(|rows| ask::list(rows, &other, 2, None)).unwrap().batches.is_empty());
}
