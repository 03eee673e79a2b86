//! A buffered run looks like a queued one, and can be edited like one.

use super::{Buffering, roomy};
use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::ask::list::{Filter, list};
use crate::ledger::runs::edit::{add_tags, reschedule, set_metadata};
use crate::ledger::runs::{cancel::cancel, replay::replay};
use crate::ledger::testing::*;
use crate::model::refusal::Code;
use crate::model::run::Status;
use crate::model::task::{Delivery, Flush};

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_buffered_run_reads_like_a_queued_one() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    let run = world.run(id);
    assert_eq!((run.status, run.buffered, run.attempts), (Status::Queued, true, 0));
    assert!(world.claim("work").is_empty(), "it is delivered before it is a run");
    let why = world.ask(|rows| crate::ledger::ask::waiting::because(rows, &run, world.now));
    assert!(why.unwrap().unwrap().contains("buffer of `acme/prod`"));
    world.drain(10);
    let out = world.claim_one("work");
    assert_eq!((out.run.id, out.run.buffered), (id, false));
    world.answer(&out, done(1));
    assert_eq!(world.run(id).status, Status::Completed);
}

#[test]
fn b09_b13_c18_c19_one_key_is_one_run_whatever_way_it_took() {
    let mut world = World::with(push_task("work"));
    let key = |command: &mut crate::ledger::runs::submit::Submit| {
        command.idempotency_key = Some("k".to_owned());
    };
    let first = world.accept_with("work", &roomy(), key).unwrap();
    assert!(!first.cached);
    for _ in 0..30 {
        let again = world.accept_with("work", &roomy(), key).unwrap();
        assert_eq!((again.run.id, again.cached), (first.run.id, true));
        let direct = world.submit_with("work", key).unwrap();
        assert_eq!((direct.run.id, direct.cached), (first.run.id, true));
    }
    world.drain(10);
    assert_eq!(world.submit_with("work", key).unwrap().run.id, first.run.id);
    let other = world.accept_with("work", &roomy(), |command| {
        key(command);
        command.fingerprint = 8;
    });
    assert_refused(other, Code::IdempotencyMismatch);
}

#[test]
fn b20_tags_are_all_or_nothing_and_count_what_is_new() {
    let mut world = World::with(push_task("work"));
    let id = world.accept_with("work", &roomy(), |run| run.tags = strings(&["a", "b"])).unwrap();
    let id = id.run.id;
    let mut tag = |words: &[&str]| world.act(|tx| add_tags(tx, id, strings(words)));
    assert_eq!(tag(&["b", "c", "c"]).unwrap().1, 1);
    assert_refused(tag(&["1", "2", "3", "4", "5", "6", "7", "8"]), Code::TooManyTags);
    world.drain(1);
    assert_eq!(world.run(id).tags, ["a", "b", "c"]);
    let tagged = Filter { tag: Some("c".to_owned()), ..Filter::default() };
    assert_eq!(world.ask(|rows| list(rows, &tagged, 10, None)).unwrap().runs.len(), 1);
}

#[test]
fn a09_no_tags_stay_no_tags() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    world.act(|tx| add_tags(tx, id, Vec::new())).unwrap();
    world.act(|tx| set_metadata(tx, id, None, None)).unwrap();
    world.drain(1);
    assert_eq!(world.run(id).tags, Vec::<String>::new());
    let canceled = world.accept("work");
    world.act(|tx| cancel(tx, canceled, None, "api")).unwrap();
    assert_eq!(world.run(canceled).tags, Vec::<String>::new());
}

#[test]
fn b18_b19_metadata_moves_its_version_and_loses_nothing() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    for version in 0..50 {
        let text = Some(format!("{{\"n\":{version}}}"));
        let run = world.act(|tx| set_metadata(tx, id, text, Some(version))).unwrap();
        assert_eq!((run.metadata_version, run.buffered), (version + 1, true));
    }
    let late = world.act(|tx| set_metadata(tx, id, None, Some(3)));
    assert_refused(late, Code::VersionConflict);
    world.drain(1);
    let run = world.run(id);
    assert_eq!((run.metadata.as_deref(), run.metadata_version), (Some("{\"n\":49}"), 50));
}

#[test]
fn b21_only_a_delayed_run_is_rescheduled() {
    let mut world = World::with(push_task("work"));
    let plain = world.accept("work");
    let moved = |world: &mut World, id: RunId, secs| {
        world.act(|tx| reschedule(tx, id, Span::from_secs(secs)))
    };
    assert_refused(moved(&mut world, plain, 5), Code::NotAllowedInState);
    let delay = Some(Span::from_secs(60));
    let id = world.accept_with("work", &roomy(), |run| run.delay = delay).unwrap().run.id;
    assert_eq!(world.run(id).status, Status::Delayed);
    let run = moved(&mut world, id, 5).unwrap();
    assert_eq!(run.due_at, world.now.plus(Span::from_secs(5)));
    world.drain(10);
    assert_eq!(world.run(id).status, Status::Delayed);
    world.after(Span::from_secs(5));
    assert_eq!(world.claim("work").len(), 2);
}

#[test]
fn c09_a_delay_that_is_over_and_a_time_to_live_count_from_the_accept() {
    let mut world = World::with(push_task("work"));
    let delay = Some(Span::from_secs(60));
    let delayed = world.accept_with("work", &roomy(), |run| run.delay = delay).unwrap().run.id;
    let ttl = Some(Span::from_secs(5));
    let short = world.accept_with("work", &roomy(), |run| run.ttl = ttl).unwrap().run.id;
    let accepted = world.now;
    world.advance(Span::from_secs(61));
    // Nobody had the time to fire its timer.
    world.drain(10);
    assert_eq!(world.run(delayed).status, Status::Queued);
    let expired = world.run(short);
    assert_eq!((expired.status, expired.created_at), (Status::Expired, accepted));
    let next = world.accept_with("work", &roomy(), |run| run.ttl = ttl).unwrap().run.id;
    world.after(Span::from_secs(6));
    assert_eq!(world.run(next).status, Status::Expired, "its timer works in the buffer as well");
    assert_eq!(world.drain(10).total(), 0);
}

#[test]
fn a06_a07_c11_a_cancel_always_ends_canceled() {
    let mut world = World::with(push_task("work"));
    let reason = Some("no longer needed".to_owned());
    let id = world.accept("work");
    let run = world.act(|tx| cancel(tx, id, reason.clone(), "api")).unwrap();
    assert_eq!((run.status, run.buffered), (Status::Canceled, false));
    assert_eq!(run.finished_at, Some(world.now), "b27");
    assert_eq!(world.act(|tx| cancel(tx, id, None, "api")).unwrap().status, Status::Canceled);
    assert_eq!(world.drain(10).total(), 0);
    assert_eq!(world.run(id).cancel_reason, reason);

    // Canceled in the very batch that makes it real, before and after.
    for early in [true, false] {
        let id = world.accept("work");
        world.batching = true;
        if !early {
            assert_eq!(world.drain(10).made, 1);
        }
        world.act(|tx| cancel(tx, id, None, "api")).unwrap();
        if early {
            assert_eq!(world.drain(10).made, 0);
        }
        world.commit();
        world.batching = false;
        assert_eq!(world.run(id).status, Status::Canceled);
        assert!(world.claim("work").is_empty());
    }
}

#[test]
fn a_replay_of_a_buffered_run_is_a_run_of_its_own() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    let fresh = world.act(|tx| replay(tx, id, None)).unwrap().receipt.run;
    assert_ne!(fresh.id, id);
    assert!(world.run(id).buffered && !fresh.buffered);
    let body = |id| world.ask(|rows| crate::store::kinds::run::body(rows, id)).unwrap();
    assert_eq!(body(fresh.id), body(id));
}

#[test]
fn c10_lists_show_buffered_runs_once_while_they_become_real() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let mut ids: Vec<RunId> = (0..60)
        .map(|n| if n % 3 == 0 { world.submit("work") } else { world.accept("work") })
        .collect();
    ids.reverse();
    let (acme, prod) = (Some(n("acme")), Some(n("prod")));
    let filters = [
        Filter::default(),
        Filter { statuses: vec![Status::Queued], ..Filter::default() },
        Filter { task: Some(n("work")), ..Filter::default() },
        Filter { org: acme.clone(), env: prod, ..Filter::default() },
        Filter { org: acme, ..Filter::default() },
    ];
    for filter in filters {
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let page = world.ask(|rows| list(rows, &filter, 7, before)).unwrap();
            found.extend(page.runs.iter().map(|run| run.id));
            world.drain(2);
            let Some(next) = page.next else { break };
            before = Some(next);
        }
        assert_eq!(found, ids, "{filter:?}");
    }
    let none = Filter { org: Some(n("other")), ..Filter::default() };
    assert!(world.ask(|rows| list(rows, &none, 7, None)).unwrap().runs.is_empty());
    world.check_all();
}

#[test]
fn c08_past_its_limits_the_buffer_refuses_and_says_why() {
    let mut world = World::with(push_task("work"));
    let caps = crate::ledger::buffer::accept::Caps { env_max: 2, total_max: 3, ..roomy() };
    let other = |run: &mut crate::ledger::runs::submit::Submit| run.org = n("globex");
    world.accept_with("work", &caps, |_| {}).unwrap();
    world.accept_with("work", &caps, |_| {}).unwrap();
    let refusal = world.accept_with("work", &caps, |_| {}).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after), (Code::LimitBuffer, Some(Span::from_secs(1))));
    assert!(refusal.message.contains("2 runs of `acme/prod` wait, at most 2"), "{refusal}");
    world.accept_with("work", &caps, other).unwrap();
    assert_refused(world.accept_with("work", &caps, other), Code::LimitBuffer);
    let small = crate::ledger::buffer::accept::Caps { env_bytes_max: 1_000, ..roomy() };
    assert_refused(world.accept_with("work", &small, |_| {}), Code::LimitBuffer);
    world.drain(10);
    world.accept_with("work", &caps, |_| {}).unwrap();
}

#[test]
fn what_cannot_wait_is_made_at_once() {
    let mut task = push_task("now");
    if let Delivery::Push(push) = &mut task.delivery {
        push.flush = Flush::Sync;
    }
    let mut world = World::with(task);
    let receipt = world.accept_with("now", &roomy(), |_| {}).unwrap();
    assert!(receipt.flush && !receipt.run.buffered);
    assert_refused(world.accept_with("no-such", &roomy(), |_| {}), Code::TaskNotFound);
}

#[test]
fn b10_a_key_whose_time_is_over_makes_a_new_run() {
    let mut world = World::with(push_task("work"));
    let key = |command: &mut crate::ledger::runs::submit::Submit| {
        command.idempotency_key = Some("k".to_owned());
    };
    let first = world.accept_with("work", &roomy(), key).unwrap().run.id;
    world.advance(crate::ledger::runs::submit::IDEMPOTENCY_KEPT);
    let second = world.accept_with("work", &roomy(), key).unwrap();
    assert!(!second.cached && second.run.id != first);
    assert_eq!(world.accept_with("work", &roomy(), key).unwrap().run.id, second.run.id);
    assert_eq!(world.drain(10).made, 2, "both were promised");
}

#[test]
fn b01_c01_nothing_leaves_but_through_the_drain() {
    let mut world = World::with(push_task("work"));
    let ids: Vec<RunId> = (0..3).map(|_| world.accept("work")).collect();
    for _ in 0..40 {
        world.after(Span::from_hours(24));
        world.restart();
    }
    assert!(ids.iter().all(|id| world.run(*id).buffered));
    assert_eq!(world.drain(10).made, 3);
}

/// Upstream left buffered runs out of the count and of the action, each in its own way.
#[test]
fn b32_bulk_jobs_count_and_act_on_buffered_runs() {
    use crate::ledger::jobs::{Create, create, step};
    use crate::model::job::Action;
    let mut world = World::with(push_task("work"));
    let early = world.accept("work");
    let late = world.accept("work");
    let bulk = |world: &mut World, action| {
        let create_it = Create { action, filter: Filter::default(), dry_run: false, by: "api" };
        world.act(|tx| create(tx, create_it)).unwrap()
    };
    let job = bulk(&mut world, Action::Cancel);
    assert_eq!(job.matched, 2);
    // One of them becomes real between count and action, and stays the same run.
    world.drain(1);
    assert!(!world.run(early).buffered && world.run(late).buffered);
    world.act(|tx| step(tx, job.id)).unwrap();
    assert_eq!((world.status(early), world.status(late)), ("canceled", "canceled"));

    let waiting = world.accept("work");
    let job = bulk(&mut world, Action::Replay);
    assert_eq!(job.matched, 3);
    world.act(|tx| step(tx, job.id)).unwrap();
    assert_eq!(world.total(crate::store::kinds::count::Total::Created), 6);
    assert!(world.run(waiting).buffered);
}

#[test]
fn retention_leaves_buffered_runs_alone() {
    use crate::ledger::retain::{Round, look, remove};
    use crate::model::retention::Retention;
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    world.advance(Span::from_days(99));
    let kept = Retention { runs: Span::from_secs(1), runs_max: 1, ..Retention::default() };
    let (now, mut round) = (world.now, Round::default());
    let due = world.ask(|rows| look(rows, now, &kept, &mut round)).unwrap();
    world.act(|tx| remove(tx, &due, &kept)).unwrap();
    assert!(due.runs.is_empty() && world.run(id).buffered);
}
