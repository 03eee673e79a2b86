//! The sentences, as a table.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::outbox::endpoints;
use crate::ledger::testing::*;
use crate::model::delivery::{Lane, PauseScope};
use crate::model::task::Ordering;
use crate::store::kinds::task as tasks;

use super::because;

fn sentence(world: &World, id: RunId) -> String {
    let run = world.run(id);
    world.ask(|rows| because(rows, &run, world.now)).unwrap().unwrap_or_default()
}

fn check(change: impl FnOnce(&mut World) -> RunId, expected: &str) {
    let mut world = World::with(push_task("work"));
    let id = change(&mut world);
    assert_eq!(sentence(&world, id).replace(&id.to_string(), "itself"), expected);
}

#[test]
fn waiting_is_told_in_a_sentence() {
    check(|world| world.submit("work"), "it is in line and goes out as soon as its turn comes");
    check(
        |world| {
            let delay = Some(Span::from_mins(1));
            world.submit_with("work", |run| run.delay = delay).unwrap().run.id
        },
        "it is delayed until 2025-06-15T15:07:40.000Z",
    );
    check(
        |world| {
            let id = world.submit("work");
            let delivery = world.claim_one("work");
            world.answer(&delivery, asking_for(500, "60"));
            world.advance(Span::from_mins(1));
            id
        },
        "attempt 1 failed (server_error); the next is due at 2025-06-15T15:07:40.000Z",
    );
    check(
        |world| {
            let id = world.submit("work");
            let delivery = world.claim_one("work");
            world.answer(&delivery, asking_for(500, "60"));
            id
        },
        "endpoint `work` takes nothing until 2025-06-15T15:07:40.000Z: paused by the endpoint's retry-after",
    );
    check(
        |world| {
            world.act(|tx| endpoints::disable(tx, &n("work"))).unwrap();
            world.submit("work")
        },
        "endpoint `work` takes nothing: disabled by an operator",
    );
    check(
        |world| {
            let mut task = push_task("work");
            task.concurrency = Some(1);
            world.register(task).live("work");
            world.submit("work")
        },
        "task `work` has reached its limit: 1 of 1 execute",
    );
    check(
        |world| {
            let mut task = push_task("work");
            task.concurrency = Some(1);
            world.register(task);
            let key = || Some("k".to_owned());
            world.submit_with("work", |run| run.concurrency_key = key()).unwrap();
            let id = world.submit_with("work", |run| run.concurrency_key = key()).unwrap().run.id;
            world.claim_one("work");
            id
        },
        "key `k` has reached its limit: 1 of 1 execute",
    );
    check(
        |world| {
            let id = world.submit("work");
            world.checking = false;
            world.write(|tx| tasks::remove(tx, &n("work")));
            id
        },
        "task `work` is not registered",
    );
}

#[test]
fn pauses_are_told_with_their_end() {
    let lane = Lane { org: "acme".into(), env: "prod".into(), key: String::new() };
    for (scope, words) in [
        (PauseScope::All, "all deliveries are paused"),
        (PauseScope::Task(n("work")), "task `work` is paused"),
        (PauseScope::Org(n("acme")), "org `acme` is paused"),
        (PauseScope::Lane { task: n("work"), lane }, "its lane is paused"),
    ] {
        let mut world = World::with(push_task("work"));
        let id = world.submit("work");
        world.pause(scope.clone(), None);
        assert_eq!(sentence(&world, id), format!("{words}: maintenance"));
        world.pause(scope, Some(START.plus(Span::from_mins(1))));
        let until = "until 2025-06-15T15:07:40.000Z";
        assert_eq!(sentence(&world, id), format!("{words} {until}: maintenance"));
        world.advance(Span::from_mins(1));
        assert!(sentence(&world, id).starts_with("it is in line"));
    }
}

#[test]
fn order_is_told_by_the_head() {
    let mut world = World::with(ordered("work", Ordering::Strict));
    let (first, second) = (world.submit("work"), world.submit("work"));
    let ahead = format!("its lane is delivered in order and run {first} is ahead of it");
    assert_eq!(sentence(&world, second), ahead);
    let delivery = world.claim_one("work");
    assert_eq!(sentence(&world, second), ahead);
    assert_eq!(sentence(&world, first), "", "it is out");
    world.answer(&delivery, good(1));
    assert!(sentence(&world, second).starts_with("it is in line"));
}
