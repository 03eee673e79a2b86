//! Creating runs: keys, delays, times to live, refusals, replays.

use crate::base::time::Span;
use crate::ledger::runs::replay::replay;
use crate::ledger::runs::submit::IDEMPOTENCY_KEPT;
use crate::ledger::testing::*;
use crate::model::refusal::Code;
use crate::store::kinds::count::Total;
use crate::store::kinds::run as run_rows;

#[test]
fn refused_submit_leaves_no_rows() {
    let mut world = World::with(push_task("work"));
    let bind = |run: &mut crate::ledger::runs::submit::Submit, body| {
        (run.idempotency_key, run.fingerprint) = (Some("k".to_owned()), body);
    };
    world.submit_with("work", |run| bind(run, 1)).unwrap();
    let before = world.dump();
    assert_refused(world.submit_with("none", |_| {}), Code::TaskNotFound);
    let steps = |run: &mut crate::ledger::runs::submit::Submit| run.steps = vec!["s".to_owned()];
    assert_refused(world.submit_with("work", steps), Code::InvalidField);
    assert_refused(world.submit_with("work", |run| bind(run, 2)), Code::IdempotencyMismatch);
    assert_eq!(world.dump(), before);
}

#[test]
fn a29_same_key_makes_no_second_run() {
    let mut world = World::with(push_task("work"));
    let keyed = |world: &mut World| {
        world.submit_with("work", |run| run.idempotency_key = Some("k".to_owned())).unwrap()
    };
    let first = keyed(&mut world);
    assert!(!first.cached);
    let before = world.dump();
    for ended in [false, true] {
        let again = keyed(&mut world);
        assert_eq!((again.cached, again.run.id), (true, first.run.id), "ended: {ended}");
        if !ended {
            assert_eq!(world.dump(), before);
            world.cancel(first.run.id).unwrap();
        }
    }
    // A retry goes on with the row that is there; nothing is added.
    let id = world.submit("work");
    let rows = world.dump().lines().count();
    world.retry_now(id).unwrap();
    assert_eq!(world.dump().lines().count(), rows);
}

#[test]
fn key_belongs_to_org_and_env() {
    let mut world = World::with(push_task("work"));
    let mut ids = std::collections::BTreeSet::new();
    for (org, env) in [("acme", "prod"), ("acme", "test"), ("umbrella", "prod"), ("acme", "prod")] {
        let place = |run: &mut crate::ledger::runs::submit::Submit| {
            (run.org, run.env, run.idempotency_key) = (n(org), n(env), Some("k".to_owned()));
        };
        ids.insert(world.submit_with("work", place).unwrap().run.id);
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn key_is_free_after_a_day() {
    let mut world = World::with(push_task("work"));
    let keyed = |world: &mut World, body| {
        world.submit_with("work", |run| {
            (run.idempotency_key, run.fingerprint) = (Some("k".to_owned()), body);
        })
    };
    let first = keyed(&mut world, 1).unwrap();
    world.advance(Span(IDEMPOTENCY_KEPT.0 - 1));
    assert!(keyed(&mut world, 1).unwrap().cached);
    assert_refused(keyed(&mut world, 2), Code::IdempotencyMismatch);
    world.advance(Span(1));
    let second = keyed(&mut world, 2).unwrap();
    assert!(!second.cached && second.run.id != first.run.id);
}

/// Two requests with one key in one batch, before anything is committed.
#[test]
fn key_holds_within_a_batch() {
    let mut world = World::with(push_task("work"));
    world.batching = true;
    let keyed = |world: &mut World| {
        world.submit_with("work", |run| run.idempotency_key = Some("k".to_owned())).unwrap()
    };
    let (first, second) = (keyed(&mut world), keyed(&mut world));
    assert_eq!((second.cached, first.run.id), (true, second.run.id));
    world.commit();
    assert_eq!(world.total(Total::Created), 1);
}

#[test]
fn delayed_run_goes_out_in_time() {
    let mut world = World::with(push_task("work"));
    let delay = Some(Span::from_secs(90));
    let id = world.submit_with("work", |run| run.delay = delay).unwrap().run.id;
    assert_eq!(world.status(id), "delayed");
    assert!(world.after(Span(89_999)).claim("work").is_empty());
    assert_eq!(world.after(Span(1)).claim_one("work").run.id, id);
}

#[test]
fn waiting_run_expires() {
    let mut task = push_task("work");
    task.ttl = Some(Span::from_mins(10));
    let mut world = World::with(task);
    let by_task = world.submit("work");
    let given = Some(Span::from_mins(1));
    let by_run = world.submit_with("work", |run| run.ttl = given).unwrap().run.id;
    // A delay does not eat the time to live.
    let delay = |run: &mut crate::ledger::runs::submit::Submit| {
        (run.delay, run.ttl) = (Some(Span::from_hours(1)), Some(Span::from_mins(1)));
    };
    let delayed = world.submit_with("work", delay).unwrap().run.id;
    world.after(Span::from_mins(1));
    assert_eq!([world.status(by_run), world.status(by_task)], ["expired", "queued"]);
    assert_eq!(world.code(by_run), "ttl_expired");
    world.after(Span::from_mins(9));
    assert_eq!([world.status(by_task), world.status(delayed)], ["expired", "delayed"]);
    world.after(Span::from_mins(51));
    assert_eq!([world.status(delayed), world.status(by_task)], ["expired", "expired"]);
    assert!(world.claim("work").is_empty());
    assert_eq!(world.total(Total::Failed), 3);
}

#[test]
fn started_run_does_not_expire() {
    let mut task = push_task("work");
    task.ttl = Some(Span::from_mins(1));
    let mut world = World::with(task);
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, asking_for(503, "600"));
    world.after(Span::from_mins(5));
    assert_eq!(world.status(id), "queued");
}

#[test]
fn replay_is_a_fresh_run() {
    let mut world = World::with(push_task("work"));
    let full = |run: &mut crate::ledger::runs::submit::Submit| {
        run.body.context = Some(b"{\"user\":1}".to_vec());
        run.tags = vec!["a".to_owned(), "b".to_owned()];
        run.metadata = Some("{}".to_owned());
        run.idempotency_key = Some("k".to_owned());
        run.concurrency_key = Some("c".to_owned());
        (run.priority, run.max_attempts) = (5, Some(2));
        (run.delay, run.ttl) = (Some(Span::from_mins(1)), Some(Span::from_mins(2)));
    };
    let old = world.submit_with("work", full).unwrap().run.id;
    world.cancel(old).unwrap();
    let new = world.act(|tx| replay(tx, old, None)).unwrap().receipt.run;
    assert!(new.id != old && new.replay_of == Some(old) && new.idempotency_key.is_none());
    assert_eq!((new.status.as_str(), new.due_at), ("queued", world.now));
    let kept = world.run(old);
    assert_eq!(
        (new.tags, new.metadata, new.priority, new.max_attempts, new.concurrency_key),
        (kept.tags, kept.metadata, kept.priority, kept.max_attempts, kept.concurrency_key)
    );
    assert_eq!(new.expires_at, Some(world.now.plus(Span::from_mins(2))));
    let body = |id| world.ask(|rows| run_rows::body(rows, id)).unwrap();
    assert_eq!(body(new.id), body(old));
    assert_eq!(world.status(old), "canceled");
    assert!(world.timeline(old).contains(&"replayed".to_owned()));
    assert_refused(
        world.act(|tx| replay(tx, new.parent.unwrap_or(crate::base::id::Id::MIN), None)),
        Code::RunNotFound,
    );
}
