//! What becomes of entries on their way out.

use super::{Buffering, roomy};
use crate::base::id::Id;
use crate::base::time::Span;
use crate::ledger::buffer::drain::BUFFER_FAILED;
use crate::ledger::tasks::register;
use crate::ledger::testing::*;
use crate::model::run::Status;
use crate::store::key::Key;
use crate::store::kinds::{buffered, idem};
use crate::store::tables::Table;

#[test]
fn b30_c06_out_of_the_buffer_in_one_transaction() {
    let mut world = World::with(push_task("work"));
    let ids: Vec<_> = (0..5).map(|_| world.accept("work")).collect();
    // The invariants are looked at after each act: never both, never neither.
    assert_eq!(world.drain(2).made, 2);
    assert_eq!(world.drain(50).made, 3);
    let out: Vec<_> = world.claim("work").iter().map(|delivery| delivery.run.id).collect();
    assert_eq!(out, ids, "b23: oldest first");
}

#[test]
fn c07_the_accept_is_the_creation() {
    let mut world = World::with(push_task("work"));
    let (first, accepted) = (world.accept("work"), world.now);
    world.advance(Span::from_secs(30));
    let direct = world.submit("work");
    world.drain(10);
    let run = world.run(first);
    assert_eq!((run.created_at, run.due_at), (accepted, accepted));
    let out: Vec<_> = world.claim("work").iter().map(|delivery| delivery.run.id).collect();
    assert_eq!(out, [first, direct], "what came later does not overtake");
}

#[test]
fn b03_c17_a_failure_keeps_tags_metadata_and_key() {
    let mut world = World::with(push_task("work"));
    let id = world
        .accept_with("work", &roomy(), |run| {
            run.tags = vec!["t".to_owned()];
            run.metadata = Some("{\"m\":1}".to_owned());
            run.idempotency_key = Some("k".to_owned());
        })
        .unwrap()
        .run
        .id;
    // Registered again it would be drained; without its task it cannot.
    world
        .act(|tx| {
            crate::store::kinds::task::remove(tx, &n("work"));
            Ok(())
        })
        .unwrap();
    let drained = world.drain(10);
    assert_eq!((drained.made, drained.failed), (1, 1));
    let run = world.run(id);
    assert_eq!(run.status, Status::SystemFailure);
    let error = run.error.unwrap();
    assert_eq!(error.code, BUFFER_FAILED);
    assert!(error.message.contains("no task `work`"), "{}", error.message);
    assert_eq!((run.tags.len(), run.metadata.is_some()), (1, true));
    assert_eq!(run.idempotency_key.as_deref(), Some("k"));
    let bound = world.ask(|rows| idem::get(rows, &n("acme"), &n("prod"), "k")).unwrap();
    assert_eq!(bound.unwrap().run, id, "b12: the key names the run that there is");
}

/// A stream's name that a string has: nothing can be lined up there.
fn blocked(world: &mut World) {
    let mut task = pull_task("pull");
    task.name = n("pull");
    world.register(task);
    world.take_name("pull");
}

#[test]
fn b02_c05_a_failing_entry_backs_off_and_ends_visibly_while_others_go_on() {
    let mut world = World::with(push_task("work"));
    blocked(&mut world);
    let bad = world.accept("pull");
    let good = world.accept("work");
    let first = world.drain(10);
    assert_eq!((first.made, first.retried), (1, 1));
    assert!(!world.run(good).buffered && world.run(bad).buffered);
    let why =
        world.ask(|rows| crate::ledger::ask::waiting::because(rows, &world.run(bad), world.now));
    assert!(why.unwrap().unwrap().contains("tried again at"));
    // Not before its time, and no spin.
    assert_eq!(world.drain(10).total(), 0);
    world.after(Span::from_secs(1));
    assert_eq!(world.drain(10).retried, 1);
    world.after(Span::from_secs(1));
    assert_eq!(world.drain(10).total(), 0, "the second wait is longer");
    world.after(Span::from_secs(1));
    let last = world.drain(10);
    assert_eq!((last.made, last.failed), (1, 1));
    let run = world.run(bad);
    assert_eq!(run.status, Status::SystemFailure);
    let error = run.error.unwrap();
    assert_eq!(error.code, BUFFER_FAILED);
    assert!(error.message.contains("conflict_type"), "{}", error.message);
}

#[test]
fn b23_what_backed_off_is_the_next_of_its_env() {
    let mut world = World::with(push_task("work"));
    blocked(&mut world);
    let bad = world.accept("pull");
    world.drain(10);
    let later = world.accept("work");
    world.free_name("pull");
    world.after(Span::from_secs(1));
    assert_eq!(world.drain(1).made, 1);
    assert!(!world.run(bad).buffered && world.run(later).buffered);
    assert_eq!(world.run(bad).status, Status::Queued);
}

#[test]
fn b35_c16_what_cannot_be_read_is_kept_for_people_and_stops_nobody() {
    let mut world = World::with(push_task("work"));
    let bad = world.accept("work");
    let good = world.accept("work");
    world.checking = false;
    let key = Key::new(Table::Buffered).id(bad);
    world
        .act(|tx| {
            tx.put_raw(key, vec![1, 0, 77]);
            Ok(())
        })
        .unwrap();
    assert!(world.ask(|rows| crate::store::kinds::run::get(rows, bad)).unwrap().is_none());
    let drained = world.drain(10);
    assert_eq!((drained.made, drained.dead), (1, 1));
    assert!(!world.run(good).buffered);
    let dead = world.ask(|rows| buffered::dead(rows, 10)).unwrap();
    assert_eq!((dead[0].0, dead[0].1.org.as_str(), dead[0].1.bytes.len()), (bad, "acme", 3));
    let count = world.ask(|rows| {
        crate::store::rows::counter(rows, &crate::store::kinds::count::buffered_bytes())
    });
    assert_eq!(count.unwrap(), 0);
}

#[test]
fn b24_a_place_in_the_queue_without_an_entry_is_passed_over() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    world
        .act(|tx| {
            tx.mark(buffered::queue(&n("acme"), &n("prod")).id(Id([1; 16])));
            Ok(())
        })
        .unwrap();
    let good = world.accept("work");
    let drained = world.drain(10);
    assert_eq!((drained.made, drained.gone), (1, 1));
    assert!(!world.run(good).buffered);
    world.check_all();
}

#[test]
fn a_task_that_came_back_drains_what_waited() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    let secret = crate::model::signature::Secret::from_bytes(&[7; 32]).unwrap();
    let task = push_task("work");
    world.act(|tx| register::put(tx, task, secret).map(|_| ())).unwrap();
    world.drain(1);
    assert_eq!(world.run(id).status, Status::Queued);
}
