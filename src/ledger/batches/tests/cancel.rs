//! Canceling what is left of a batch.

use super::{Batching, exhaust};
use crate::base::id::Id;
use crate::ledger::batches::cancel::{go_on, request};
use crate::ledger::batches::create::seal;
use crate::ledger::testing::*;
use crate::model::batch::Batch;

fn ask(world: &mut World, id: Id) -> Batch {
    world.act(|tx| request(tx, id, Some("enough".to_owned()), "api", 2)).unwrap()
}

#[test]
fn the_rest_is_canceled_slice_by_slice_and_survives_a_restart() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 7);
    let out = world.claim_some("work", 2).deliveries;
    world.answer(&out[0], done(1));
    let batch = ask(&mut world, id);
    assert_eq!(batch.cancel.as_ref().map(|job| (job.next, job.canceled)), Some((2, 1)));
    assert_eq!(world.state(id), "5 queued, 1 canceling, 1 completed");
    assert_eq!(world.counted(id).cancelable(), 5);
    // Asked again, it goes on as it was.
    assert_eq!(ask(&mut world, id), batch);
    world.restart();
    world.go_on(id);
    assert_eq!(world.counted(id).cancelable(), 0);
    let job = world.counted(id).batch.cancel.unwrap();
    assert_eq!((job.next, job.canceled), (7, 6));
    assert!(job.ended_at.is_some());
    // What the agent makes of its work decides nothing any more.
    world.answer(&out[1], done(2));
    assert_eq!(world.state(id), "1 completed, 6 canceled; done");
    let run = world.run(world.runs_of(id)[6]);
    assert_eq!(run.cancel_reason.as_deref(), Some("enough"));
}

#[test]
fn a_batch_that_is_done_is_left_alone() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 2);
    ask(&mut world, id);
    assert_eq!(world.state(id), "2 canceled; done");
    world.go_on(id);
    let before = world.dump();
    ask(&mut world, id);
    assert_eq!(world.dump(), before);
}

#[test]
fn a_batch_that_is_still_made_is_canceled_behind_the_making() {
    let mut world = World::with(push_task("work"));
    let id = world.staged(&super::order(5), super::items("work", 5)).unwrap();
    assert!(world.act(|tx| request(tx, id, None, "api", 2)).is_err(), "nobody sees it yet");
    world.act(|tx| seal(tx, id, None)).unwrap();
    ask(&mut world, id);
    assert!(world.act(|tx| go_on(tx, id, 2)).unwrap(), "it waits");
    world.go_on(id);
    assert_eq!(world.state(id), "5 canceled; done");
}

/// A second request reaches what came back to life after the first.
#[test]
fn a_batch_that_opened_again_can_be_canceled_again() {
    let mut world = World::with(push_task("work"));
    let id = world.batch("work", 2);
    let out = world.claim("work");
    world.answer(&out[1], good(1));
    exhaust(&mut world, &out[0]);
    ask(&mut world, id);
    world.act(|tx| crate::ledger::runs::report::complete(tx, out[1].run.id, None, None)).unwrap();
    world.go_on(id);
    world.retry_now(out[0].run.id).unwrap();
    assert_eq!(world.state(id), "1 queued, 1 canceled");
    ask(&mut world, id);
    world.go_on(id);
    assert_eq!(world.state(id), "2 canceled; done");
}
