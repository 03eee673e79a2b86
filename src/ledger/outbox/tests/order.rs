//! Ordered lanes: one at a time, in order, and nobody outside waits.

use crate::base::id::Id;
use crate::base::time::Span;
use crate::ledger::testing::*;
use crate::model::task::{KeyRule, Ordering};

/// Three runs of key `a` and one of key `b`.
fn world(ordering: Ordering) -> (World, Vec<Id>, Id) {
    let mut world = World::with(ordered("work", ordering));
    let submit = |world: &mut World, key: &str| {
        world.submit_with("work", |run| run.concurrency_key = Some(key.to_owned())).unwrap().run.id
    };
    let a = (0..3).map(|_| submit(&mut world, "a")).collect();
    let b = submit(&mut world, "b");
    (world, a, b)
}

fn claimed(world: &mut World) -> Vec<Id> {
    world.claim("work").iter().map(|delivery| delivery.run.id).collect()
}

#[test]
fn head_backing_off_blocks_its_lane_only() {
    let (mut world, a, b) = world(Ordering::Key);
    let out = world.claim("work");
    assert_eq!([out[0].run.id, out[1].run.id], [a[0], b]);
    world.answer(&out[0], http(500, "down"));
    assert!(claimed(&mut world).is_empty(), "nothing passes the head");
    let head = world.after(Span::from_secs(2)).claim_one("work");
    assert_eq!(head.run.id, a[0]);
    world.answer(&head, good(1));
    assert_eq!(claimed(&mut world), [a[1]], "delivered is enough; it need not be done");
}

#[test]
fn strict_is_one_line_for_the_task() {
    let (mut world, a, b) = world(Ordering::Strict);
    for id in [a[0], a[1], a[2], b] {
        let delivery = world.claim_one("work");
        assert_eq!(delivery.run.id, id);
        let remote = world.fresh_remote();
        world.answer(&delivery, good(remote));
    }
}

#[test]
fn priority_does_not_pass_in_order() {
    let mut world = World::with(ordered("work", Ordering::Strict));
    let first = world.submit("work");
    world.submit_with("work", |run| run.priority = 100).unwrap();
    assert_eq!(claimed(&mut world), [first]);
}

#[test]
fn leaving_head_frees_the_next() {
    for way in ["cancel waiting", "cancel backing off", "cancel out", "dead", "terminal", "gone"] {
        let (mut world, a, _) = world(Ordering::Key);
        world.checking = way != "gone";
        if way == "cancel waiting" {
            world.cancel(a[0]).unwrap();
            assert_eq!(claimed(&mut world)[0], a[1], "{way}");
            continue;
        }
        let head = world.claim("work").remove(0);
        match way {
            "cancel backing off" => {
                world.answer(&head, http(500, "down"));
                assert!(claimed(&mut world).is_empty());
                assert_eq!(world.cancel(a[0]).unwrap().status.as_str(), "canceled");
            }
            "cancel out" => {
                world.cancel(a[0]).unwrap();
                assert!(claimed(&mut world).is_empty(), "its attempt is still out");
                world.answer(&head, http(500, "down"));
                assert_eq!(world.status(a[0]), "canceled");
            }
            "dead" => {
                world.damage(a[0], |_, run| run.max_attempts = Some(1));
                world.answer(&head, http(500, "down"));
                assert!(world.letter(a[0]).is_some());
            }
            "terminal" => drop(world.answer(&head, http(400, "no"))),
            _ => {
                world.erase(a[0]);
                world.answer(&head, good(1));
            }
        }
        assert_eq!(claimed(&mut world), [a[1]], "{way}");
    }
}

/// A run that its agent gave back stands before the one that is out by then: once both were out.
#[test]
fn given_back_run_waits_for_the_one_out() {
    let (mut world, a, _) = world(Ordering::Key);
    let first = world.claim("work").remove(0);
    world.answer(&first, good(1));
    let second = world.claim_one("work");
    world.fail(a[0], true, None).unwrap();
    world.after(Span::from_secs(2));
    assert!(claimed(&mut world).is_empty(), "one at a time");
    world.answer(&second, http(500, "down"));
    let again = world.claim_one("work");
    assert_eq!(again.run.id, a[0], "the older goes first");
    world.answer(&again, good(2));
    assert_eq!(world.after(Span::from_secs(2)).claim_one("work").run.id, a[1]);
}

#[test]
fn revived_run_waits_for_the_one_out() {
    let mut world = World::with(ordered("work", Ordering::Strict));
    let old = world.dead("work");
    let id = world.submit("work");
    let out = world.claim_one("work");
    world.retry_now(old).unwrap();
    assert!(claimed(&mut world).is_empty());
    world.heartbeat(id, out.run.fence).unwrap();
    assert!(claimed(&mut world).is_empty());
    world.restart();
    assert_eq!(claimed(&mut world), [id], "who was tried before stays ahead");
    world.complete(id, None).unwrap();
    assert_eq!(claimed(&mut world), [old]);
}

#[test]
fn delayed_run_does_not_hold_the_lane() {
    let mut world = World::with(ordered("work", Ordering::Strict));
    let hour = Some(Span::from_hours(1));
    let delayed = world.submit_with("work", |run| run.delay = hour).unwrap().run.id;
    let next = world.submit("work");
    assert_eq!(claimed(&mut world), [next]);
    world.complete(next, None).unwrap();
    world.after(Span::from_hours(1));
    assert_eq!(claimed(&mut world), [delayed]);
}

#[test]
fn orgs_and_envs_have_lanes_of_their_own() {
    let mut task = ordered("work", Ordering::Key);
    task.concurrency_key = Some(KeyRule::Org);
    let mut world = World::with(task);
    for (org, env) in [("acme", "prod"), ("acme", "test"), ("umbrella", "prod")] {
        let place = |run: &mut crate::ledger::runs::submit::Submit| {
            (run.org, run.env) = (n(org), n(env));
        };
        world.submit_with("work", place).unwrap();
    }
    assert_eq!(claimed(&mut world).len(), 2, "the envs of an org share its lane");
}
