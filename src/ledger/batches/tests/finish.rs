//! When a batch is done, and who hears of it.

use super::{Batching, exhaust, items, order};
use crate::ledger::batches::create::Order;
use crate::ledger::tasks::register;
use crate::ledger::testing::*;
use crate::store::kinds::run as run_rows;

#[test]
fn a_batch_is_done_when_its_last_run_ends() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 3);
    let out = world.claim("work");
    world.answer(&out[0], done(1));
    world.answer(&out[1], http(404, "no"));
    assert_eq!(world.state(id), "1 executing, 1 completed, 1 failed");
    assert!(world.news().iter().all(|what| what != "batch_done"));
    world.cancel(out[2].run.id).unwrap();
    assert_eq!(world.state(id), "1 canceling, 1 completed, 1 failed");
    world.answer(&out[2], done(2));
    assert_eq!(world.state(id), "1 completed, 1 failed, 1 canceled; done");
    assert_eq!(world.counted(id).batch.finished_at, Some(world.now));
    assert_eq!(world.news().iter().filter(|what| *what == "batch_done").count(), 1);
}

#[test]
fn the_callback_is_a_run_made_with_the_last_end() {
    let mut world = World::with(push_task("work"));
    world.register(push_task("hear"));
    let id = world.batch_calling("work", 2, "hear");
    let out = world.claim("work");
    world.answer(&out[0], done(1));
    assert!(world.claim("hear").is_empty());
    world.answer(&out[1], done(2));
    let heard = world.claim_one("hear");
    let callback = world.counted(id).batch.callback.unwrap();
    assert_eq!(callback.run, Some(heard.run.id));
    let body = world.ask(|rows| run_rows::body(rows, heard.run.id)).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body.payload.unwrap()).unwrap();
    assert_eq!(body["batch"]["id"], id.to_string());
    assert_eq!(body["batch"]["counts"]["completed"], 2);
    assert_eq!(body["batch"]["counts"]["failed"], 0);
    assert_eq!(body["batch"]["total"], 2);
    // It is retried like any run.
    world.answer(&heard, http(500, "down"));
    world.after(crate::base::time::Span::from_secs(2));
    let again = world.claim_one("hear");
    assert_eq!(again.run.id, heard.run.id);
}

/// A revived run opens its batch again, so that `done` never lies; nobody is called twice.
#[test]
fn a_revived_run_opens_its_batch_and_calls_nobody_again() {
    let mut world = World::with(push_task("work"));
    world.register(push_task("hear"));
    let id = world.batch_calling("work", 2, "hear");
    let out = world.claim("work");
    world.answer(&out[0], done(1));
    exhaust(&mut world, &out[1]);
    assert_eq!(world.state(id), "1 completed, 1 failed; done");
    let heard = world.claim_one("hear");
    world.answer(&heard, done(2));
    world.retry_now(out[1].run.id).unwrap();
    assert_eq!(world.state(id), "1 queued, 1 completed");
    let again = world.claim_one("work");
    world.answer(&again, done(3));
    assert_eq!(world.state(id), "2 completed; done");
    assert!(world.claim("hear").is_empty(), "called twice");
}

#[test]
fn a_replay_is_no_run_of_the_batch() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 1);
    let run = world.runs_of(id)[0];
    world.cancel(run).unwrap();
    let fresh =
        world.act(|tx| crate::ledger::runs::replay::replay(tx, run, None)).unwrap().receipt.run;
    assert_eq!(fresh.batch, None);
    assert_eq!(world.state(id), "1 canceled; done");
}

/// Nothing of its own is left to wait for: it is done with its creation.
#[test]
fn a_batch_of_known_runs_is_done_at_once() {
    let mut world = World::with(push_task("work"));
    world.register(push_task("hear"));
    world.submit_with("work", |run| run.idempotency_key = Some("a".into())).unwrap();
    let mut wanted = items("work", 1);
    wanted[0].idempotency_key = Some("a".to_owned());
    let order = Order { callback: Some(n("hear")), ..order(1) };
    let id = world.batch_of(&order, wanted, None).unwrap();
    assert_eq!(world.state(id), "; done");
    world.claim_one("hear");
}

#[test]
fn a_callback_without_its_task_says_so() {
    let mut world = World::with(push_task("work"));
    world.register(push_task("hear"));
    let id = world.batch_calling("work", 1, "hear");
    world.act(|tx| register::remove(tx, &n("hear"))).unwrap();
    world.cancel(world.runs_of(id)[0]).unwrap();
    let callback = world.counted(id).batch.callback.unwrap();
    assert!(callback.run.is_none() && callback.error.unwrap().starts_with("task_not_found"));
    assert!(world.news().contains(&"batch_callback_failed".to_owned()));
}

/// Its callback and its runs may share a task, and so an ordered lane.
#[test]
fn a_batch_may_call_its_own_task() {
    use crate::model::task::Ordering;
    for ordering in [Ordering::None, Ordering::Key, Ordering::Strict] {
        let mut world = World::with(ordered("work", ordering));
        let id = world.batch_calling("work", 2, "work");
        for turn in 0..3 {
            let out = world.claim("work");
            assert!(!out.is_empty() || turn == 2, "{ordering:?}: the lane is forgotten");
            for delivery in out {
                let remote = world.fresh_remote();
                world.answer(&delivery, done(remote));
            }
        }
        assert_eq!(world.state(id), "2 completed; done");
        let callback = world.counted(id).batch.callback.unwrap().run.unwrap();
        assert_eq!(world.status(callback), "completed", "{ordering:?}");
    }
}

#[test]
fn runs_that_are_pulled_finish_their_batch() {
    let mut world = World::with(pull_task("pulled"));
    let id = world.batch("pulled", 3);
    assert_eq!(world.state(id), "3 queued");
    for run in world.runs_of(id) {
        world.complete(run, None).unwrap_err();
        world.cancel(run).unwrap();
    }
    assert_eq!(world.state(id), "3 canceled; done");
}
