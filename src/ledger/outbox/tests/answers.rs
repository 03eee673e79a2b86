//! What answers do to run and row, and which answers count.

use crate::base::time::Span;
use crate::ledger::outbox::save;
use crate::ledger::outbox::settle::Settled;
use crate::ledger::runs::submit::delivery_of;
use crate::ledger::testing::*;
use crate::model::run::{Mirror, Status};
use crate::model::task::{Delivery as How, Ordering};
use crate::store::kinds::count::Total;
use crate::store::kinds::task as tasks;

#[test]
fn a06_remote_id_zero_is_live() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    assert_eq!(world.answer(&delivery, good(0)), Settled::Applied);
    let run = world.run(id);
    assert_eq!((run.remote_id, run.mirror), (Some(0), Mirror::Live));
    assert!(world.claim("work").is_empty(), "a second drain sends nothing");
}

/// A row that is there although its run is live already (row 2 of the table).
#[test]
fn a06_live_run_is_not_sent_again() {
    let mut world = World::with(push_task("work"));
    let id = world.live("work");
    world.checking = false;
    world.damage(id, |_, run| {
        // The state lags behind: the agent has it, yet it stands in line.
        run.status = Status::Queued;
        run.deadline = None;
    });
    let (run, task) = (world.run(id), push_task("work"));
    world.act(|tx| Ok(save::save(tx, None, Some(&delivery_of(&run, &task)))?)).unwrap();
    world.checking = true;
    assert!(world.claim("work").is_empty());
    assert_eq!((world.status(id), world.run(id).mirror), ("executing", Mirror::Live));
    assert_eq!(world.row(id), None);
    world.complete(id, None).unwrap();
    assert_eq!(world.status(id), "completed");
}

#[test]
fn a07_unknown_task_fails_unsent() {
    for ordering in [Ordering::None, Ordering::Key, Ordering::Strict] {
        let mut world = World::with(ordered("work", ordering));
        let (first, second) = (world.submit("work"), world.submit("work"));
        world.checking = false;
        world.write(|tx| tasks::remove(tx, &n("work")));
        assert!(world.claim("work").is_empty());
        assert_eq!([world.code(first), world.code(second)], ["unknown_type"; 2], "{ordering:?}");
        assert!(world.attempts(first).is_empty() && world.row(second).is_none());
    }
}

#[test]
fn a07_pull_task_fails_unsent() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let mut pulled = push_task("work");
    pulled.delivery = How::Pull { stream: "s".to_owned(), lease: Span::from_secs(60) };
    world.write(|tx| tasks::put(tx, &pulled));
    assert!(world.claim("work").is_empty());
    assert_eq!((world.status(id), world.code(id)), ("failed", "unsupported_type".to_owned()));
}

/// Once the bad head of an ordered lane took the lane's mark away with it.
#[test]
fn a08_malformed_payload_does_not_stall() {
    for ordering in [Ordering::None, Ordering::Key, Ordering::Strict] {
        let mut world = World::with(ordered("work", ordering));
        let (bad, next) = (world.submit("work"), world.submit("work"));
        world.damage(bad, |body, _| body.payload = Some(b"{\"n\":".to_vec()));
        let delivery = world.claim_one("work");
        assert_eq!(delivery.run.id, next, "{ordering:?}");
        assert_eq!(world.code(bad), "invalid_payload");
        assert!(world.attempts(bad).is_empty(), "nothing was sent");
    }
}

#[test]
fn a08_context_must_be_an_object() {
    let mut world = World::with(push_task("work"));
    for (context, sent) in
        [("{\"user\":1}", Some(true)), ("{}", Some(false)), ("null", Some(false)), ("3", None)]
    {
        let given = Some(context.as_bytes().to_vec());
        let id = world.submit_with("work", |run| run.body.context = given).unwrap().run.id;
        let deliveries = world.claim("work");
        assert_eq!(deliveries.first().map(|delivery| delivery.send_context), sent, "{context}");
        assert_eq!(world.code(id), if sent.is_none() { "invalid_payload" } else { "" });
    }
}

#[test]
fn a16_bad_gateway_then_good() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let first = world.claim_one("work");
    world.answer(&first, http(502, "bad gateway"));
    assert_eq!((world.status(id), world.run(id).mirror), ("queued", Mirror::Pending));
    let second = world.after(Span::from_secs(2)).claim_one("work");
    world.answer(&second, good(5));
    assert_eq!((first.row.id, second.row.id), (id, id), "the key is the same in both");
    assert_eq!(world.run(id).remote_id, Some(5));
    let classes: Vec<_> = world.attempts(id).into_iter().map(|a| (a.number, a.class)).collect();
    assert_eq!(classes, [(2, "success".to_owned()), (1, "server_error".to_owned())]);
}

#[test]
fn a17_late_failure_leaves_live_alone() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let slow = world.claim_one("work");
    // The claim ends before its answer comes; the next attempt succeeds.
    let quick = world.after(Span::from_mins(2)).claim_one("work");
    assert_eq!(world.answer(&quick, good(5)), Settled::Applied);
    assert_eq!(world.answer(&slow, http(400, "no")), Settled::Late);
    assert_eq!((world.run(id).mirror, world.run(id).remote_id), (Mirror::Live, Some(5)));
    assert!(world.timeline(id).contains(&"late_result".to_owned()));
    assert_eq!(world.attempts(id).iter().filter(|attempt| attempt.late).count(), 1);
    assert_eq!(world.total(Total::LateResults), 1);
}

#[test]
fn a18_timeout_sends_the_same_key() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let first = world.claim_one("work");
    world.answer(&first, timeout());
    let second = world.after(Span::from_secs(2)).claim_one("work");
    assert_eq!((second.row.id, second.row.fence > first.row.fence), (id, true));
    // The agent had accepted the first one and answers with the same number.
    world.answer(&second, good(9));
    assert_eq!(world.run(id).remote_id, Some(9));
}

#[test]
fn a19_double_answers_have_one_outcome() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    assert!(world.claim("work").is_empty(), "a leased row is not out twice");
    assert_eq!(world.answer(&delivery, good(5)), Settled::Applied);
    assert_eq!(world.answer(&delivery, good(6)), Settled::Late);
    assert_eq!(world.run(id).remote_id, Some(5));
}

#[test]
fn a20_restart_sends_the_same_key() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let before = world.claim_one("work");
    world.restart();
    assert_eq!(world.status(id), "queued");
    let after = world.claim_one("work");
    assert_eq!((after.row.id, after.run.attempts), (id, 2));
    assert_eq!(world.answer(&before, good(5)), Settled::Late, "the old fence no longer counts");
    assert_eq!(world.answer(&after, good(5)), Settled::Applied);
    assert_eq!(world.run(id).mirror, Mirror::Live);
}

#[test]
fn restart_takes_back_every_claim() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    for _ in 0..600 {
        world.submit("work");
    }
    assert_eq!(world.claim("work").len(), 600);
    world.restart();
    world.checking = true;
    world.check();
    world.checking = false;
    assert_eq!(world.claim("work").len(), 600);
}

#[test]
fn a21_missing_run_leaves_no_row() {
    for ordering in [Ordering::None, Ordering::Strict] {
        let mut world = World::with(ordered("work", ordering));
        let (gone, next) = (world.submit("work"), world.submit("work"));
        world.checking = false;
        world.erase(gone);
        let delivery = world.claim_one("work");
        world.check();
        assert_eq!((delivery.run.id, world.row(gone)), (next, None), "{ordering:?}");
        // The same while its call is out.
        world.erase(next);
        assert_eq!(world.answer(&delivery, good(1)), Settled::Applied);
        assert_eq!(world.row(next), None);
    }
}

#[test]
fn a22_failed_run_reads_as_failed() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(400, "no such flow"));
    let run = world.run(id);
    assert_eq!((run.status, run.mirror), (Status::Failed, Mirror::Failed));
    assert_eq!(run.error.unwrap().code, "terminal_failure");
    assert!(world.letter(id).is_none(), "what does not heal is no dead letter");
}

#[test]
fn a49_taken_remote_id_fails_once() {
    let mut world = World::with(push_task("work"));
    let owner = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, good(5));
    let second = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, good(5));
    assert_eq!(
        (world.status(second), world.code(second).as_str()),
        ("failed", "remote_id_conflict")
    );
    let message = world.run(second).error.unwrap().message;
    assert!(message.contains(&owner.to_string()) && message.contains(&second.to_string()));
    assert!(world.after(Span::from_days(1)).claim("work").is_empty(), "no loop");
    assert_eq!(world.run(owner).remote_id, Some(5));
}

#[test]
fn same_number_of_two_agents_is_fine() {
    let mut world = World::with(push_task("one"));
    world.register(push_task("two"));
    for task in ["one", "two"] {
        let id = world.submit(task);
        let delivery = world.claim_one(task);
        world.answer(&delivery, good(5));
        assert_eq!(world.run(id).mirror, Mirror::Live);
    }
}

#[test]
fn conflicts_are_retried_five_times() {
    let mut task = push_task("work");
    task.retry = retries(100);
    let mut world = World::with(task);
    let id = world.submit("work");
    let mut sent = 0;
    while !world.run(id).status.is_final() {
        let delivery = world.claim_one("work");
        world.answer(&delivery, http(409, "still running"));
        world.after(Span::from_mins(1));
        sent += 1;
    }
    assert_eq!((sent, world.code(id).as_str()), (6, "conflict"));
}

#[test]
fn malformed_good_answer_is_retried_on_request() {
    let mut task = push_task("work");
    task.retry_malformed = 1;
    let mut world = World::with(task);
    let id = world.submit("work");
    for status in ["queued", "failed"] {
        let delivery = world.claim_one("work");
        world.answer(&delivery, http(200, "<html>"));
        assert_eq!(world.status(id), status);
        world.after(Span::from_mins(1));
    }
    assert_eq!(world.code(id), "invalid_json_body");
}

#[test]
fn done_answer_completes_with_output() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, done(5));
    let run = world.run(id);
    assert_eq!((run.status, run.mirror, run.has_output), (Status::Completed, Mirror::Live, true));
}

#[test]
fn answer_after_completion_adopts_the_number() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.complete(id, Some(delivery.run.fence)).unwrap();
    assert_eq!(world.answer(&delivery, good(5)), Settled::AfterEnd);
    assert_eq!((world.run(id).mirror, world.run(id).remote_id), (Mirror::Live, Some(5)));
    assert_eq!(world.total(Total::LateResults), 0);
}

/// A submit makes no call: however slow an agent is, it keeps nobody.
#[test]
fn a55_submit_waits_for_nobody() {
    let mut world = World::with(push_task("work"));
    let slow = world.submit("work");
    let out = world.claim_one("work");
    let id = world.submit("work");
    assert_eq!((world.status(slow), world.status(id)), ("executing", "queued"));
    world.answer(&out, good(1));
    assert_eq!(world.run(slow).mirror, Mirror::Live);
}

#[test]
fn long_runs_time_out() {
    let mut task = push_task("work");
    task.max_duration = Span::from_mins(10);
    let mut world = World::with(task);
    let live = world.live("work");
    let id = world.submit("work");
    let out = world.claim_one("work");
    let renewed = |world: &mut World| world.heartbeat(id, out.run.fence).unwrap();
    for _ in 0..12 {
        renewed(&mut world);
        world.after(Span::from_secs(50));
    }
    assert_eq!([world.code(live), world.code(id)], ["max_duration_exceeded"; 2]);
    assert_eq!(world.answer(&out, good(77)), Settled::AfterEnd);
    assert_eq!(world.run(id).mirror, Mirror::Failed, "a failed mirror stays failed");
}

#[test]
fn heartbeat_keeps_the_claim() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let out = world.claim_one("work");
    for _ in 0..5 {
        world.heartbeat(id, out.run.fence).unwrap();
        world.after(Span::from_secs(50));
    }
    assert_eq!(world.status(id), "executing");
    world.after(Span::from_secs(61));
    assert_eq!(world.status(id), "queued");
}
