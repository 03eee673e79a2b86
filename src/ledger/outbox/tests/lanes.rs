//! Whose turn it is: fairness, priority, limits, pauses.

use crate::base::id::Id;
use crate::base::time::Span;
use crate::ledger::outbox::claim::LANE_SHARE;
use crate::ledger::outbox::pauses;
use crate::ledger::testing::*;
use crate::model::delivery::{Lane, PauseScope};
use crate::model::refusal::Code;
use crate::model::run::Mirror;
use crate::model::task::KeyRule;
use crate::store::kinds::pause;

fn keyed(world: &mut World, task: &str, key: &str) -> Id {
    world.submit_with(task, |run| run.concurrency_key = Some(key.to_owned())).unwrap().run.id
}

fn ids(deliveries: &[crate::ledger::outbox::claim::Delivery]) -> Vec<Id> {
    deliveries.iter().map(|delivery| delivery.run.id).collect()
}

#[test]
fn a15_stuck_run_stops_nobody() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let stuck = world.submit("work");
    let others: Vec<Id> = (0..100).map(|_| world.submit("work")).collect();
    for delivery in world.claim("work") {
        let remote = world.fresh_remote();
        let answer = if delivery.run.id == stuck { http(500, "down") } else { good(remote) };
        world.answer(&delivery, answer);
    }
    assert!(others.iter().all(|id| world.run(*id).mirror == Mirror::Live));
    assert_eq!(world.status(stuck), "queued");
    world.checking = true;
    world.check();
}

/// With L lanes waiting, a lane has its turn after at most L x LANE_SHARE deliveries of others.
#[test]
fn noisy_env_delays_by_a_stated_bound() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    for _ in 0..1_000 {
        world.submit_with("work", |run| run.env = n("noisy")).unwrap();
    }
    for _ in 0..10 {
        world.submit_with("work", |run| run.env = n("quiet")).unwrap();
    }
    for max in [1, 5, 64] {
        let (mut others, mut quiet) = (0, 0);
        while quiet < 10 {
            for delivery in world.claim_some("work", max).deliveries {
                if delivery.run.env == n("quiet") {
                    quiet += 1;
                } else if quiet < 10 {
                    others += 1;
                }
            }
        }
        assert!(others <= 2 * LANE_SHARE, "{others} went before with claims of {max}");
        world.restart();
    }
    world.checking = true;
    world.check();
}

#[test]
fn higher_priority_goes_first() {
    let mut world = World::with(push_task("work"));
    let mut expected = Vec::new();
    for priority in [0, 100, -100, 100, 1] {
        let run = world.submit_with("work", |run| run.priority = priority).unwrap().run;
        expected.push((-i32::from(priority), run.id));
    }
    expected.sort();
    assert_eq!(ids(&world.claim("work")), expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

#[test]
fn task_limit_holds_and_frees() {
    let mut task = push_task("work");
    task.concurrency = Some(2);
    let mut world = World::with(task);
    for _ in 0..5 {
        world.submit("work");
    }
    let out = world.claim("work");
    assert_eq!(out.len(), 2);
    world.answer(&out[0], good(1));
    assert!(world.claim("work").is_empty(), "a live run keeps its place");
    world.complete(out[0].run.id, None).unwrap();
    world.answer(&out[1], http(500, "down"));
    assert_eq!(world.claim("work").len(), 2);
}

#[test]
fn key_limit_blocks_its_key_only() {
    let mut task = push_task("work");
    task.concurrency = Some(1);
    let mut world = World::with(task);
    let a: Vec<Id> = (0..3).map(|_| keyed(&mut world, "work", "a")).collect();
    let b = keyed(&mut world, "work", "b");
    let out = world.claim("work");
    assert_eq!(ids(&out), [a[0], b]);
    world.answer(&out[0], done(1));
    assert_eq!(ids(&world.claim("work")), [a[1]]);
    world.cancel(a[2]).unwrap();
    world.fail(a[1], false, None).unwrap();
    assert!(world.claim("work").is_empty());
}

/// Lanes that had been found blocked under the old limit were never looked at again.
#[test]
fn higher_limit_lets_blocked_lanes_go() {
    for low in [0, 1] {
        let mut task = push_task("work");
        task.concurrency = Some(low);
        task.concurrency_key = Some(KeyRule::Org);
        let mut world = World::with(task.clone());
        for _ in 0..4 {
            world.submit("work");
        }
        assert_eq!(world.claim("work").len(), low as usize);
        task.concurrency = Some(3);
        assert_eq!(world.register(task.clone()).claim("work").len(), 3 - low as usize);
        task.concurrency = None;
        assert_eq!(world.register(task).claim("work").len(), 1);
    }
}

#[test]
fn key_rule_stays_while_runs_are_open() {
    let mut task = push_task("work");
    task.concurrency = Some(1);
    let mut world = World::with(task.clone());
    let id = world.live("work");
    task.concurrency_key = Some(KeyRule::Org);
    assert_refused(world.try_register(task.clone()), Code::TaskInUse);
    world.complete(id, None).unwrap();
    assert_eq!(world.try_register(task), Ok(false));
}

#[test]
fn every_pause_stops_its_scope_only() {
    let lane = Lane { org: "acme".into(), env: "prod".into(), key: String::new() };
    for (scope, expected) in [
        (PauseScope::All, 0),
        (PauseScope::Task(n("work")), 1),
        (PauseScope::Org(n("acme")), 2),
        (PauseScope::Lane { task: n("work"), lane }, 3),
    ] {
        let mut world = World::with(push_task("work"));
        world.register(push_task("other"));
        world.submit("work");
        world.submit_with("work", |run| run.env = n("test")).unwrap();
        world.submit_with("work", |run| run.org = n("umbrella")).unwrap();
        world.submit_with("other", |run| run.org = n("umbrella")).unwrap();
        world.pause(scope.clone(), None);
        let given = world.claim("work").len() + world.claim("other").len();
        assert_eq!(given, expected, "{scope:?}");
        world.resume(&scope);
        let rest = world.claim("work").len() + world.claim("other").len();
        assert_eq!(given + rest, 4, "{scope:?}");
        assert_refused(world.act(|tx| pauses::resume(tx, &scope)), Code::PauseNotFound);
    }
}

#[test]
fn pause_of_an_org_stops_a_strict_lane() {
    let mut world = World::with(ordered("work", crate::model::task::Ordering::Strict));
    let id = world.submit("work");
    world.submit_with("work", |run| run.org = n("umbrella")).unwrap();
    let scope = PauseScope::Org(n("acme"));
    world.pause(scope.clone(), Some(START.plus(Span::from_secs(9))));
    let claimed = world.claim_some("work", 64);
    assert!(claimed.deliveries.is_empty(), "strict stops at the head");
    assert_eq!(world.resume(&scope).claim_one("work").run.id, id);
}

/// A round over more lanes than one claim visits forgot the pauses that the first claims met.
#[test]
fn end_of_a_pause_is_not_missed() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    for index in 0..150 {
        keyed(&mut world, "work", &format!("k{index:03}"));
    }
    let until = START.plus(Span::from_secs(9));
    let lane = Lane { org: "acme".into(), env: "prod".into(), key: "k003".into() };
    world.pause(PauseScope::Lane { task: n("work"), lane }, Some(until));
    world.pause(PauseScope::Org(n("acme")), None);
    let mut claimed = world.claim_some("work", 64);
    while claimed.more {
        claimed = world.claim_some("work", 64);
    }
    assert_eq!((claimed.deliveries.len(), claimed.wake_at), (0, Some(until)));
}

#[test]
fn pauses_that_are_over_make_room() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let scope = |index: usize| PauseScope::Task(n(&format!("t{index}")));
    for index in 0..pause::PAUSES_MAX {
        world.pause(scope(index), Some(START.plus(Span::from_secs(9))));
    }
    let more = |world: &mut World| {
        world.act(|tx| pauses::pause(tx, PauseScope::All, "full".to_owned(), None))
    };
    assert_refused(more(&mut world), Code::NotAllowedInState);
    world.advance(Span::from_secs(9));
    assert!(more(&mut world).is_ok());
    assert_eq!(world.ask(pause::list).unwrap().len(), 1);
}

/// Acts of one batch see each other's counters.
#[test]
fn task_with_a_run_of_the_same_batch_stays() {
    let mut world = World::with(push_task("work"));
    world.batching = true;
    let id = world.submit("work");
    let remove =
        |world: &mut World| world.act(|tx| crate::ledger::tasks::register::remove(tx, &n("work")));
    assert_refused(remove(&mut world), Code::TaskInUse);
    world.cancel(id).unwrap();
    assert!(remove(&mut world).is_ok());
}
