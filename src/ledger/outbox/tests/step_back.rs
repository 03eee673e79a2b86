//! Clocks that are set back by hours.

use crate::base::time::{Span, Time};
use crate::ledger::outbox::step_back::{follow, note};
use crate::ledger::testing::*;
use crate::model::task::{Delivery as How, Task};

const HOUR: Span = Span::from_hours(1);

/// The clock shows an hour less, and whoever saw that tells.
fn set_back(world: &mut World) {
    let before = world.now;
    world.now = before.minus(HOUR);
    let noted = world.act(|tx| note(tx, before)).unwrap();
    assert_eq!((noted.set_back_by, noted.more), (Some(HOUR), true));
    follow_all(world);
}

fn follow_all(world: &mut World) {
    for _ in 0..1_000 {
        if !world.act(follow).unwrap() {
            return;
        }
    }
    panic!("it comes to no end");
}

fn pulled() -> Task {
    let mut task = push_task("pulled");
    task.delivery = How::Pull { stream: "s".to_owned(), lease: Span::from_mins(1) };
    task
}

#[test]
fn retries_come_in_their_time() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(503, ""));
    assert!(world.claim("work").is_empty(), "it backs off");
    set_back(&mut world);
    assert!(world.after(Span(100)).claim("work").is_empty(), "not at once either");
    world.after(Span::from_mins(1));
    assert_eq!(world.claim("work").len(), 1);
    assert_eq!(world.status(id), "executing");
}

#[test]
fn delays_and_limits_are_as_long_as_they_were() {
    let mut world = World::with(push_task("work"));
    world.register(pulled());
    let minutes = |count| Span::from_mins(count);
    let delayed = |world: &mut World, task: &str, span: Span| {
        world.submit_with(task, |submit| submit.delay = Some(span)).unwrap().run.id
    };
    let (push, pull) =
        (delayed(&mut world, "work", minutes(10)), delayed(&mut world, "pulled", minutes(10)));
    let late = delayed(&mut world, "work", minutes(120));
    let live = world.live("work");
    set_back(&mut world);
    for id in [push, pull, late] {
        assert_eq!(world.status(id), "delayed");
    }
    world.after(minutes(9));
    assert_eq!([world.status(push), world.status(pull)], ["delayed"; 2]);
    world.after(minutes(2));
    assert_eq!([world.status(push), world.status(pull)], ["queued"; 2]);
    assert_eq!(world.status(late), "delayed");
    // The limit of the run that is under way is an hour, as long as it was.
    world.after(minutes(48));
    assert_eq!(world.status(live), "executing");
    world.after(minutes(2));
    assert_ne!(world.status(live), "executing");
    world.after(minutes(60));
    assert_eq!(world.status(late), "queued");
}

#[test]
fn many_are_moved_once_each() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let mut due = Vec::new();
    for n in 0..300 {
        let delay = Span::from_mins(n + 1);
        let at = world.now.plus(delay);
        let id = world.submit_with("work", |submit| submit.delay = Some(delay)).unwrap().run.id;
        due.push((id, at));
    }
    set_back(&mut world);
    for (id, at) in due {
        assert_eq!(world.run(id).due_at, at.minus(HOUR));
        assert_eq!(world.row(id).map(|row| row.due_at), Some(at.minus(HOUR)));
    }
    world.check_all();
}

/// What another process began goes on, step by step, and nobody needs to have seen a step: what stands in
/// the store tells it.
#[test]
fn steps_are_followed_across_restarts() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let look = |world: &mut World| {
        let noted = world.act(|tx| note(tx, Time::ZERO)).unwrap();
        assert_eq!(noted.at, world.now);
        (noted.set_back_by, noted.more)
    };
    let mut due = Vec::new();
    for n in 0..300 {
        let delay = Span::from_mins(200 + n);
        let run = world.submit_with("work", |submit| submit.delay = Some(delay)).unwrap().run;
        due.push((run.id, run.due_at));
    }
    assert_eq!(look(&mut world), (None, false));
    world.now = world.now.minus(HOUR);
    assert_eq!(look(&mut world), (Some(HOUR), true));
    assert!(world.act(follow).unwrap(), "one slice of several");
    // Killed; the clock is set back again before the next start.
    world.now = world.now.minus(HOUR);
    assert_eq!(look(&mut world), (Some(HOUR), true));
    follow_all(&mut world);
    for (id, at) in due {
        assert_eq!(world.run(id).due_at, at.minus(HOUR).minus(HOUR));
    }
    assert_eq!(look(&mut world), (None, false));
    world.check_all();
}
