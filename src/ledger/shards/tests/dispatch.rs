//! Dispatch: one run for each shard, the truth about those without, and resuming them alone.

use super::*;
use crate::base::time::Span;
use crate::ledger::shards::forget::forget_run;
use crate::ledger::shards::save;
use crate::ledger::tasks::register;
use crate::model::refusal::Code;
use crate::model::run::Status;
use crate::model::shard::{Phase, ShardError};
use crate::store::kinds::count::{self, Total};
use crate::store::kinds::run::{self as run_rows, Body};
use crate::store::rows::counter;

/// A world in which the task goes after two of five shards.
fn partial() -> (World, Id) {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(5, 1);
    world.slice(id, 2);
    for run in world.runs_of(id) {
        world.cancel_run(run);
    }
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    assert_eq!(world.pass(id), Slice { made: 0, failed: 3, more: false });
    (world, id)
}

#[test]
fn shards_of_pushed_and_of_pulled_tasks_get_runs() {
    for task in [push_task("triage"), pull_task()] {
        let mut world = World::with(task);
        let id = world.shard_it(12, 5);
        assert_eq!(world.slice(id, 2), Slice { made: 2, failed: 0, more: true });
        assert_eq!(world.slice(id, 2), Slice { made: 1, failed: 0, more: false });
        assert_eq!(world.slice(id, 2), Slice::default());
        assert_eq!(world.head(id).phase, Phase::Running);
        assert_eq!(world.states(id), [ShardState::Dispatched; 3]);
        let told = world.told(id);
        assert_eq!(told.runs.into_iter().collect::<Vec<_>>(), [(Status::Queued, 3)]);
        assert_eq!(told.error, None);
    }
}

#[test]
fn a34_partial_failure_is_told() {
    let (world, id) = partial();
    assert_eq!(world.message(id).as_deref(), Some("3 of 5 shards failed to dispatch"));
    let head = world.head(id);
    assert_eq!((head.phase, head.finished_at), (Phase::Incomplete, None));
    assert_eq!(head.error.unwrap().kind, ShardError::DISPATCH);
    let shards = world.shards(id);
    assert!(shards[2..].iter().all(|shard| shard.state == ShardState::Planned));
    let error = shards[2].error.clone().unwrap();
    assert_eq!(
        (error.kind.as_str(), error.code.as_str()),
        (ShardError::DISPATCH, "task_not_found")
    );
    let failures = count::total(Total::ShardsNotDispatched);
    assert_eq!(world.ask(|view| counter(view, &failures)).unwrap(), 3);
}

#[test]
fn a35_partial_error_outlives_deliveries_and_goes_on_resume() {
    let (mut world, id) = partial();
    let run = world.runs_of(id)[0];
    world.deliver(run, "1", r#"{"ok":true}"#);
    assert_eq!(world.message(id).as_deref(), Some("3 of 5 shards failed to dispatch"));
    // A resume that does not help changes nothing but the count of failures.
    world.try_again(id);
    assert_eq!(world.pass(id).failed, 3);
    assert_eq!(world.message(id).as_deref(), Some("3 of 5 shards failed to dispatch"));
    world.register(push_task("triage"));
    world.try_again(id);
    assert_eq!(world.slice(id, 2), Slice { made: 2, failed: 0, more: true });
    assert_eq!(world.message(id).as_deref(), Some("1 of 5 shards failed to dispatch"));
    assert_eq!(world.pass(id).made, 1);
    assert_eq!(world.head(id).error, None);
    assert_eq!(world.head(id).phase, Phase::Running);
}

#[test]
fn a41_nothing_is_complete_while_shards_have_no_run() {
    let (mut world, id) = partial();
    assert_eq!(world.head(id).finished_at, None);
    world.register(push_task("triage"));
    // All fail, all are tried again, all are dispatched.
    let other = world.shard_it(3, 1);
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    assert_eq!(world.pass(other).failed, 3);
    assert_eq!(world.message(other).as_deref(), Some("3 of 3 shards failed to dispatch"));
    world.register(push_task("triage"));
    for id in [id, other] {
        world.try_again(id);
        world.pass(id);
        for run in world.runs_of(id) {
            world.cancel_run(run);
        }
        assert_eq!(world.head(id).phase, Phase::Finished);
    }
}

#[test]
fn resume_touches_only_what_has_no_run() {
    let (mut world, id) = partial();
    let before = world.shards(id);
    world.register(push_task("triage"));
    world.try_again(id);
    world.try_again(id);
    assert_eq!(world.pass(id).made, 3);
    assert_eq!(world.shards(id)[..2], before[..2]);
    world.try_again(id);
    assert_eq!(world.pass(id), Slice::default());
}

#[test]
fn a_stream_that_takes_no_runs_holds_shards_back() {
    let mut world = World::with(pull_task());
    let id = world.shard_it(3, 1);
    world
        .act(|tx| {
            use crate::ledger::keys::command::{Command, Expiry, SetIf};
            let key = crate::model::stream::KeyName::of("triage");
            let (when, expiry, get) = (SetIf::Always, Expiry::None, false);
            crate::ledger::keys::apply(
                tx,
                Command::Set { key, value: "taken".into(), when, expiry, get },
            )
        })
        .unwrap();
    assert_eq!(world.pass(id).failed, 3);
    assert_eq!(world.shards(id)[0].error.as_ref().unwrap().code, "conflict_type");
}

#[test]
fn a36_one_run_works_on_one_shard() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(2, 1);
    world.slice(id, 1);
    let shards = world.shards(id);
    let run = shards[0].run.unwrap();
    let linked = world.ask(|view| rows::linked(view, &[run])).unwrap();
    let works_on = linked.get(&run).copied();
    assert_eq!((run, works_on), (shards[0].planned_run, Some((id, 0))));
    // The same run on a second shard, and a second run on the same shard.
    assert_refused(world.act(|tx| save::link(tx, &shards[1], run, works_on)), Code::Conflict);
    let other = world.submit("triage");
    assert_refused(world.act(|tx| save::link(tx, &shards[0], other, None)), Code::Conflict);
    assert_eq!(world.shards(id), shards);
}

#[test]
fn a37_a38_forgotten_runs_leave_shards_and_results() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(3, 1);
    world.pass(id);
    let runs = world.runs_of(id);
    world.deliver(runs[0], "1", r#"{"ok":true}"#);
    assert_refused(world.act(|tx| forget_run(tx, runs[0])), Code::NotAllowedInState);
    for run in &runs {
        world.cancel_run(*run);
    }
    for run in &runs {
        assert!(world.act(|tx| forget_run(tx, *run)).unwrap());
        assert!(!world.act(|tx| forget_run(tx, *run)).unwrap());
    }
    // A null link of a dispatched shard is not one that has still to be dispatched.
    let shards = world.shards(id);
    assert!(shards.iter().all(|shard| shard.run.is_none() && !shard.wants_run()));
    world.try_again(id);
    assert_eq!(world.pass(id), Slice::default());
    assert_eq!(world.shards(id), shards);
    let told = world.told(id);
    assert_eq!(told.runs.clone().into_iter().collect::<Vec<_>>(), [(Status::Canceled, 3)]);
    assert_eq!((told.shards_in(ShardState::Delivered), told.head.phase), (1, Phase::Finished));
    let kept = world.ask(|view| crate::store::kinds::delivered::list(view, runs[0], 9)).unwrap();
    assert_eq!(kept.len(), 1);
    let (page, next) =
        world.ask(|view| crate::ledger::shards::told::shards(view, id, 0, 2)).unwrap();
    assert_eq!((page.len(), next), (2, Some(2)));
    assert!(page.iter().all(|told| told.run.is_none()));
}

#[test]
fn the_end_of_runs_is_the_end_of_the_whole() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(3, 1);
    world.slice(id, 2);
    let runs = world.runs_of(id);
    for delivery in world.claim("triage") {
        world.answer(&delivery, done(delivery.row.created_at.0 + i64::from(delivery.row.fence)));
    }
    let finals = world.told(id).runs.iter().filter(|(status, _)| status.is_final()).count();
    assert!(finals > 0 && world.head(id).finished_at.is_none());
    assert_eq!(runs.len(), 2);
    world.advance(Span::from_secs(9));
    world.pass(id);
    let last = world.runs_of(id)[2];
    world.cancel_run(last);
    assert_eq!(world.head(id).finished_at, Some(world.now));
}

#[test]
fn failed_runs_show_on_the_whole_until_they_are_revived() {
    let mut world = World::with(Task { retry: retries(1), ..push_task("triage") });
    let id = world.shard_it(2, 1);
    world.pass(id);
    let runs = world.runs_of(id);
    for delivery in world.claim("triage") {
        world.answer(&delivery, http(502, "no"));
    }
    assert_eq!(world.states(id), [ShardState::Failed; 2]);
    assert_eq!(world.head(id).phase, Phase::Finished);
    let (shard, error) = world.told(id).error.unwrap();
    assert_eq!((shard, error.kind.as_str()), (Some(0), ShardError::RUN));
    assert!(error.message.contains("`failed`"), "{}", error.message);
    // A valid delivery stands, whatever the run does; the other run is tried again.
    world.deliver(runs[0], "1", r#"{"ok":true}"#);
    world.act(|tx| crate::ledger::outbox::revive::retry(tx, runs[1])).unwrap();
    assert_eq!(world.states(id), [ShardState::Delivered, ShardState::Dispatched]);
    assert_eq!((world.head(id).phase, world.head(id).finished_at), (Phase::Running, None));
    let delivery = world.claim_one("triage");
    world.answer(&delivery, done(77));
    assert_eq!(world.states(id), [ShardState::Delivered; 2]);
    assert_eq!((world.head(id).phase, world.message(id)), (Phase::Finished, None));
}

#[test]
fn unreadable_plans_stop_and_say_so() {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(5, 1);
    world.checking = false;
    world
        .act(|tx| {
            let planned_run = save::must_get(tx, id, 1)?.planned_run;
            crate::store::kinds::run::remove_body(tx, planned_run);
            Ok(())
        })
        .unwrap();
    assert_eq!(world.pass(id), Slice { made: 4, failed: 1, more: false });
    assert_eq!(world.head(id).error.unwrap().kind, ShardError::PLAN);
    assert_eq!(world.head(id).phase, Phase::Incomplete);
}

#[test]
fn inputs_are_found_among_those_of_others() {
    let mut world = World::with(push_task("triage"));
    let ids: Vec<RunId> = (0..40).map(|_| world.act(|tx| Ok(tx.mint())).unwrap()).collect();
    world.checking = false; // They are inputs of nobody.
    for (at, id) in ids.iter().enumerate() {
        let body = Body { payload: Some(vec![at as u8]), context: None };
        world
            .act(|tx| {
                run_rows::put_body(tx, *id, &body);
                Ok(())
            })
            .unwrap();
    }
    for step in [1, 3, 13, 39] {
        let mut asked: Vec<RunId> = ids.iter().copied().step_by(step).collect();
        asked.extend(world.act(|tx| Ok(tx.mint())));
        let found = world.ask(|view| run_rows::bodies(view, &asked)).unwrap();
        let payload = |id: &RunId| found.get(id).and_then(|body| body.payload.clone());
        let expected: Vec<_> = (0..40_u8).step_by(step).map(|at| Some(vec![at])).collect();
        assert_eq!(asked.iter().map(payload).collect::<Vec<_>>(), [expected, vec![None]].concat());
    }
    assert!(world.ask(|view| run_rows::bodies(view, &[])).unwrap().is_empty());
}
