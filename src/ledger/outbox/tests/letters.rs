//! Dead letters: how rows get there and how they come back.

use crate::base::time::Span;
use crate::ledger::outbox::revive::{Filter, Replayed, replay};
use crate::ledger::outbox::settle::Settled;
use crate::ledger::testing::*;
use crate::model::refusal::Code;
use crate::model::retry::RetryPolicy;
use crate::model::run::Mirror;
use crate::model::task::{KeyRule, Ordering};

fn counts(matched: usize, replayed: usize) -> Replayed {
    Replayed { matched, replayed, skipped: 0, more: false }
}

#[test]
fn exhausted_attempts_end_as_dead_letter() {
    let mut world = World::with(push_task("work"));
    let id = world.dead("work");
    assert_eq!((world.status(id), world.code(id).as_str()), ("failed", "retries_exhausted"));
    assert_eq!(world.attempts(id).len(), 5);
    assert_eq!(world.row(id), None);
    assert!(world.news().contains(&"exhausted".to_owned()), "{:?}", world.news());
}

#[test]
fn run_can_ask_for_fewer_attempts() {
    let mut world = World::with(push_task("work"));
    let id = world.submit_with("work", |run| run.max_attempts = Some(1)).unwrap().run.id;
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(500, "down"));
    assert!(world.letter(id).is_some());
}

#[test]
fn age_ends_an_interactive_series() {
    let mut task = push_task("work");
    task.retry = RetryPolicy::Interactive;
    let mut world = World::with(task);
    let id = world.submit("work");
    let mut attempts = 0;
    while world.letter(id).is_none() {
        for delivery in world.claim("work") {
            attempts += 1;
            world.answer(&delivery, http(500, "down"));
        }
        world.after(Span::from_mins(73));
    }
    assert!((20..=30).contains(&attempts), "{attempts}");
}

#[test]
fn retried_letter_starts_a_new_series() {
    let mut world = World::with(push_task("work"));
    let id = world.dead("work");
    let old = world.letter(id).unwrap().row.fence;
    let row = world.retry_now(id).unwrap();
    assert_eq!((row.id, row.attempts), (id, 0));
    assert_eq!((world.status(id), world.run(id).mirror), ("queued", Mirror::Pending));
    assert!(world.run(id).finished_at.is_none() && world.letter(id).is_none());
    for _ in 0..4 {
        let delivery = world.claim_one("work");
        assert!(delivery.row.id == id && delivery.row.fence > old);
        world.answer(&delivery, http(500, "down"));
        world.after(Span::from_mins(1));
    }
    let delivery = world.claim_one("work");
    assert_eq!(delivery.run.attempts, 10, "attempts of a run are numbered on");
    world.answer(&delivery, good(3));
    assert_eq!(world.run(id).mirror, Mirror::Live);
    assert_refused(world.retry_now(id), Code::OutboxNotFound);
}

/// The agent gave its last attempt back and then answered it: the dead letter, tried again, was
/// taken for delivered and its run stood in line for ever.
#[test]
fn letter_of_an_answered_run_can_be_retried() {
    let mut world = World::with(push_task("work"));
    let id = world.submit_with("work", |run| run.max_attempts = Some(1)).unwrap().run.id;
    let delivery = world.claim_one("work");
    world.fail(id, true, Some(delivery.run.fence)).unwrap();
    assert!(world.letter(id).is_some());
    assert_eq!(world.answer(&delivery, good(5)), Settled::AfterEnd);
    assert_eq!(world.run(id).mirror, Mirror::Failed);
    world.retry_now(id).unwrap();
    let delivery = world.claim_one("work");
    world.answer(&delivery, good(5));
    assert_eq!(world.run(id).remote_id, Some(5));
}

#[test]
fn waiting_row_can_go_at_once() {
    let mut world = World::with(push_task("work"));
    let delayed = Some(Span::from_hours(1));
    let id = world.submit_with("work", |run| run.delay = delayed).unwrap().run.id;
    assert!(world.claim("work").is_empty());
    world.retry_now(id).unwrap();
    let out = world.claim_one("work");
    assert_refused(world.retry_now(id), Code::InFlight);
    world.answer(&out, http(500, "down"));
    world.retry_now(id).unwrap();
    assert_eq!(world.claim_one("work").run.attempts, 2);
}

#[test]
fn dry_run_counts_the_same_set() {
    let mut world = World::with(ordered("strict", Ordering::Strict));
    let mut shared = push_task("shared");
    shared.concurrency_key = Some(KeyRule::Org);
    world.register(shared);
    for task in ["strict", "shared"] {
        for (org, env) in [("acme", "prod"), ("acme", "test"), ("umbrella", "prod")] {
            let place = |run: &mut crate::ledger::runs::submit::Submit| {
                (run.org, run.env, run.max_attempts) = (n(org), n(env), Some(1));
            };
            world.submit_with(task, place).unwrap();
            let delivery = world.claim_one(task);
            world.answer(&delivery, http(500, "down"));
        }
        world.advance(Span::from_mins(1));
    }
    let all = Filter::default();
    let org = Filter { org: Some(n("acme")), ..Filter::default() };
    let env = Filter { env: Some(n("prod")), ..org.clone() };
    let task = Filter { endpoint: Some(n("strict")), ..Filter::default() };
    let code = Filter { code: Some("nothing".to_owned()), ..Filter::default() };
    let early = Filter { to: Some(START.plus(Span::from_mins(1))), ..Filter::default() };
    let late = Filter { from: Some(START.plus(Span::from_mins(1))), ..Filter::default() };
    for (filter, expected) in
        [(&all, 6), (&org, 4), (&env, 2), (&task, 3), (&code, 0), (&early, 3), (&late, 3)]
    {
        let before = world.dump();
        let dry = world.act(|tx| replay(tx, filter, true)).unwrap();
        assert_eq!(dry, counts(expected, 0), "{filter:?}");
        assert_eq!(world.dump(), before, "a dry run changes nothing");
    }
    assert_eq!(world.act(|tx| replay(tx, &env, false)).unwrap(), counts(2, 2));
    assert_eq!(world.act(|tx| replay(tx, &env, true)).unwrap(), counts(0, 0));
    assert_eq!(world.act(|tx| replay(tx, &all, false)).unwrap(), counts(4, 4));
    // The strict lane gives one at a time.
    assert_eq!([world.claim("strict").len(), world.claim("shared").len()], [1, 3]);
}

#[test]
fn letter_takes_the_lane_of_its_task() {
    let mut world = World::with(push_task("work"));
    let id = world.dead("work");
    world.register(ordered("work", Ordering::Strict));
    let other = world.submit("work");
    world.retry_now(id).unwrap();
    assert!(world.row(id).unwrap().ordered);
    assert_eq!(world.claim_one("work").run.id, id, "it is older");
    assert_eq!(world.status(other), "queued");
}
