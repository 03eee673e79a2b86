//! How runs end: canceled, completed, failed; and what comes too late.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::outbox::claim::Delivery;
use crate::ledger::outbox::settle::Settled;
use crate::ledger::runs::report::Reported;
use crate::ledger::testing::*;
use crate::model::outcome::Answer;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Mirror;
use crate::store::kinds::count::Total;
use crate::store::kinds::run as run_rows;

fn is_late(reported: Result<Reported, Refusal>) -> bool {
    matches!(reported.unwrap(), Reported::Late { .. })
}

/// A run whose first attempt is out.
fn out() -> (World, RunId, Delivery) {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    (world, id, delivery)
}

#[test]
fn cancel_in_every_state() {
    for (state, expected) in [
        ("delayed", Ok("canceled")),
        ("queued", Ok("canceled")),
        ("backing off", Ok("canceled")),
        ("out", Ok("canceling")),
        ("live", Ok("canceling")),
        ("canceled", Ok("canceled")),
        ("canceling", Ok("canceling")),
        ("completed", Err(Code::NotAllowedInState)),
        ("failed", Err(Code::NotAllowedInState)),
        ("expired", Err(Code::NotAllowedInState)),
    ] {
        let mut world = World::with(push_task("work"));
        let id = match state {
            "delayed" => {
                let delay = Some(Span::from_secs(60));
                world.submit_with("work", |run| run.delay = delay).unwrap().run.id
            }
            "expired" => {
                let ttl = Some(Span::from_secs(60));
                world.submit_with("work", |run| run.ttl = ttl).unwrap().run.id
            }
            _ => world.submit("work"),
        };
        match state {
            "delayed" | "queued" => {}
            "canceled" => drop(world.cancel(id).unwrap()),
            "expired" => drop(world.after(Span::from_mins(1))),
            _ => {
                let delivery = world.claim_one("work");
                match state {
                    "backing off" => drop(world.answer(&delivery, http(500, "down"))),
                    "live" => drop(world.answer(&delivery, good(1))),
                    "completed" => drop(world.answer(&delivery, done(1))),
                    "failed" => drop(world.answer(&delivery, http(400, "no"))),
                    "canceling" => drop(world.cancel(id).unwrap()),
                    _ => {}
                }
            }
        }
        let before = world.dump();
        let answer = world.cancel(id).map(|run| run.status.as_str()).map_err(|no| no.code);
        assert_eq!(answer, expected, "{state}");
        if state == "canceled" || state == "canceling" || expected.is_err() {
            assert_eq!(world.dump(), before, "{state}: repeating changes nothing");
        } else {
            assert_eq!(world.run(id).cancel_reason.as_deref(), Some("because"), "{state}");
        }
    }
    assert_refused(World::new().cancel(crate::base::id::Id::MIN), Code::RunNotFound);
}

#[test]
fn canceling_ends_canceled_whatever_comes() {
    type Ending = fn(&mut World, RunId, &Delivery);
    let answers: [Answer; 6] =
        [good(1), done(1), http(400, "no"), http(500, "down"), http(410, "gone"), timeout()];
    let endings: [Ending; 7] = [
        |world, id, _| drop(world.complete(id, None).unwrap()),
        |world, id, _| drop(world.fail(id, false, None).unwrap()),
        |world, id, _| drop(world.fail(id, true, None).unwrap()),
        |world, id, out| drop(world.complete(id, Some(out.run.fence)).unwrap()),
        |world, _, _| {
            world.after(Span::from_secs(91));
        },
        |world, _, _| {
            world.restart();
        },
        |world, id, out| {
            world.damage(id, |_, run| run.max_attempts = Some(1));
            world.answer(out, http(500, "down"));
            assert!(world.letter(id).is_none(), "a canceled run leaves no dead letter");
        },
    ];
    for index in 0..answers.len() + endings.len() {
        let (mut world, id, delivery) = out();
        world.cancel(id).unwrap();
        match answers.get(index) {
            Some(answer) => drop(world.answer(&delivery, answer.clone())),
            None => endings[index - answers.len()](&mut world, id, &delivery),
        }
        assert_eq!(world.status(id), "canceled", "{index}");
        assert!(world.after(Span::from_days(2)).claim("work").is_empty(), "{index}");
    }
}

#[test]
fn canceling_live_run_ends_by_its_deadline() {
    let mut world = World::with(push_task("work"));
    let id = world.live("work");
    world.cancel(id).unwrap();
    world.after(Span::from_hours(1));
    assert_eq!((world.status(id), world.run(id).mirror), ("canceled", Mirror::Live));
}

#[test]
fn completion_keeps_the_output() {
    let mut world = World::with(push_task("work"));
    let id = world.live("work");
    world.complete(id, None).unwrap();
    assert_eq!(world.status(id), "completed");
    let output = world.ask(|rows| run_rows::output(rows, id)).unwrap();
    assert_eq!(output.as_deref(), Some(&b"42"[..]));
    let before = world.dump();
    assert!(!is_late(world.complete(id, None)) && !is_late(world.complete(id, Some(1))));
    assert_eq!(world.dump(), before, "repeating it changes nothing");
}

#[test]
fn complete_before_the_answer_arrives() {
    let (mut world, id, delivery) = out();
    world.complete(id, Some(delivery.run.fence)).unwrap();
    assert_eq!(world.answer(&delivery, http(500, "down")), Settled::AfterEnd);
    assert_eq!((world.status(id), world.row(id)), ("completed", None));
}

#[test]
fn stale_fence_is_kept_aside() {
    let (mut world, id, first) = out();
    world.answer(&first, http(500, "down"));
    world.after(Span::from_secs(2)).claim_one("work");
    assert!(is_late(world.complete(id, Some(first.run.fence))));
    assert!(is_late(world.fail(id, false, Some(first.run.fence))));
    assert!(is_late(world.heartbeat(id, first.run.fence)));
    assert_eq!(world.status(id), "executing");
    let late: Vec<_> = world.attempts(id).into_iter().filter(|attempt| attempt.late).collect();
    assert_eq!(late.len(), 2, "each is kept, in one millisecond too");
    assert!(late.iter().any(|attempt| attempt.body == b"42"), "with what it said");
    assert_eq!(world.total(Total::LateResults), 2);
    world.complete(id, Some(2)).unwrap();
    assert!(is_late(world.fail(id, false, Some(2))), "over is over");
    assert_eq!(world.status(id), "completed");
}

#[test]
fn report_without_fence_needs_an_attempt() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let before = world.dump();
    for fence in [None, Some(0), Some(1)] {
        // Fence 0 once completed a run that had never been sent.
        assert_refused(world.complete(id, fence), Code::NotAllowedInState);
        assert_refused(world.fail(id, false, fence), Code::NotAllowedInState);
    }
    assert_eq!(world.dump(), before);
}

#[test]
fn agent_reports_between_two_attempts() {
    let (mut world, id, delivery) = out();
    world.answer(&delivery, timeout());
    assert_eq!(world.status(id), "queued");
    assert_refused(world.complete(id, None), Code::NotAllowedInState);
    assert!(!is_late(world.complete(id, Some(delivery.run.fence))));
    assert_eq!(world.status(id), "completed");
    assert!(world.after(Span::from_secs(2)).claim("work").is_empty());
}

#[test]
fn repeated_failure_is_harmless() {
    let mut world = World::with(push_task("work"));
    let id = world.live("work");
    world.fail(id, false, Some(1)).unwrap();
    assert_eq!((world.code(id).as_str(), world.run(id).mirror), ("boom", Mirror::Live));
    let before = world.dump();
    assert!(!is_late(world.fail(id, false, Some(1))));
    assert_eq!(world.dump(), before);
}

#[test]
fn given_back_run_is_queued_again() {
    let mut world = World::with(push_task("work"));
    let id = world.live("work");
    let remote = world.run(id).remote_id.unwrap();
    world.fail(id, true, None).unwrap();
    let run = world.run(id);
    assert_eq!((run.status.as_str(), run.mirror, run.remote_id), ("queued", Mirror::Pending, None));
    assert_eq!(run.last_failure.unwrap().code, "failed_by_agent");
    // The number is free again, for this run too.
    let delivery = world.after(Span::from_secs(6)).claim_one("work");
    assert_eq!((delivery.row.id, delivery.run.attempts), (id, 2));
    world.answer(&delivery, good(remote));
    assert_eq!(world.run(id).remote_id, Some(remote));
    let classes: Vec<_> = world.attempts(id).into_iter().map(|attempt| attempt.class).collect();
    assert_eq!(classes, ["success", "failed_by_agent", "success"], "no line takes another's place");
}

#[test]
fn given_back_too_often_is_dead() {
    let mut world = World::with(push_task("work"));
    let id = world.submit_with("work", |run| run.max_attempts = Some(2)).unwrap().run.id;
    for _ in 0..2 {
        let delivery = world.after(Span::from_secs(10)).claim_one("work");
        let remote = world.fresh_remote();
        world.answer(&delivery, good(remote));
        world.fail(id, true, None).unwrap();
    }
    assert_eq!(world.code(id), "retries_exhausted");
    assert!(world.letter(id).is_some());
}

#[test]
fn totals_tell_what_happened() {
    let mut world = World::with(push_task("work"));
    let (done_id, failed) = (world.live("work"), world.live("work"));
    let canceled = world.submit("work");
    world.complete(done_id, None).unwrap();
    world.fail(failed, false, None).unwrap();
    world.cancel(canceled).unwrap();
    use Total::{Attempts, Completed, Created, Failed, Finished};
    let totals = [Created, Attempts, Finished, Completed, Failed].map(|which| world.total(which));
    assert_eq!(totals, [3, 2, 3, 1, 1]);
}
