//! The sentences, as a table.

use crate::base::id::RunId;
use crate::base::time::{Span, Time};
use crate::ledger::fleet::tick::{Connected, tick};
use crate::ledger::fleet::{self, Beat};
use crate::ledger::outbox::endpoints;
use crate::ledger::streams::requeue::Floors;
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

/// A worker of stream `work` sends a heartbeat, and the fleet is looked at.
fn beats(world: &mut World, consumer: &str) {
    let beat = Beat {
        stream: "work".to_owned(),
        consumer: consumer.to_owned(),
        started_at: None,
        task_limit: 1,
        info: None,
    };
    world.act(|tx| fleet::beat(tx, beat)).unwrap();
    look(world);
}

fn look(world: &mut World) {
    world.act(|tx| tick(tx, &Connected::new(), Time(0))).unwrap();
}

#[test]
fn pulled_run_waits_for_workers() {
    let mut world = World::new();
    world.register(pull_task("work"));
    let id = world.submit("work");
    let none = "stream `work` has no consumer group, so no worker can read it";
    assert_eq!(sentence(&world, id), none);
    world.group("work");
    assert_eq!(sentence(&world, id), "no worker of stream `work` has been seen");
    beats(&mut world, "w1");
    let idle = "1 worker of stream `work` is alive and has yet to read it";
    assert_eq!(sentence(&world, id), idle);

    // Another run keeps the worker busy.
    assert_eq!(world.pull_one("work", "w1").run, id);
    assert_eq!(sentence(&world, id), "", "it is out");
    let waits = world.submit("work");
    let busy = "1 worker of stream `work` is alive and has yet to read it; \
                delivered and not acknowledged: 1, to be read: 1";
    assert_eq!(sentence(&world, waits), busy);
    beats(&mut world, "w2");
    world.submit("work");
    let two = "2 workers of stream `work` are alive and have yet to read it; \
               delivered and not acknowledged: 1, to be read: 2";
    assert_eq!(sentence(&world, waits), two);

    world.advance(Span::from_mins(1));
    look(&mut world);
    let gone = "no worker of stream `work` is alive; the last one crashed at \
                2025-06-15T15:07:40.000Z";
    assert_eq!(sentence(&world, waits), gone);
    beats(&mut world, "w3");
    world.act(|tx| fleet::shutdown(tx, "work", "w3")).unwrap();
    look(&mut world);
    assert!(sentence(&world, waits).contains("the last one stopped at"));
}

#[test]
fn pulled_run_waits_between_attempts() {
    let mut world = World::pulling(&[pull_task("work")]);
    let id = world.submit("work");
    beats(&mut world, "w1");
    let given = world.pull_one("work", "w1");
    world.nack("work", &[given.id], Span::from_mins(1));
    let later = "attempt 1 failed (given_back); the next is due at 2025-06-15T15:07:40.000Z";
    assert_eq!(sentence(&world, id), later);
    world.after(Span::from_mins(1));
    beats(&mut world, "w1");
    let due = "1 worker of stream `work` is alive and has yet to read it";
    assert_eq!(sentence(&world, id), due, "its own entry does not keep a worker busy");
    world.pull_one("work", "w1");
    world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    beats(&mut world, "w1");
    assert_eq!(sentence(&world, id), due);
}

#[test]
fn what_holds_pushes_back_is_no_reason_to_a_pulled_run() {
    let mut world = World::pulling(&[pull_task("work")]);
    let id = world.submit("work");
    beats(&mut world, "w1");
    let before = sentence(&world, id);
    world.pause(PauseScope::All, None);
    world.pause(PauseScope::Task(n("work")), None);
    assert_eq!(sentence(&world, id), before);
    assert_eq!(world.pull_one("work", "w1").run, id, "it is read in spite of them");
}
