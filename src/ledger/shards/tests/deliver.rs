//! Deliveries: once for each name, told to the one shard, with a message in every case.

use super::*;
use crate::ledger::shards::deliver::{DELIVERIES_BYTES_MAX, DELIVERIES_MAX, RESULT_BYTES_MAX};
use crate::model::refusal::Code;
use crate::model::run::Status;
use crate::model::shard::{Phase, ShardError};

fn dispatched(shards: usize) -> (World, Id, Vec<RunId>) {
    let mut world = World::with(push_task("triage"));
    let id = world.shard_it(shards, 1);
    world.pass(id);
    let runs = world.runs_of(id);
    (world, id, runs)
}

#[test]
fn a31_siblings_do_not_clear_errors() {
    let (mut world, id, runs) = dispatched(2);
    world.deliver_error(runs[0], "1", "no quota");
    world.deliver(runs[1], "1", "[1]");
    assert_eq!(world.states(id), [ShardState::Failed, ShardState::Delivered]);
    assert_eq!(world.message(id).as_deref(), Some("no quota"));
    // Neither an empty result nor an invalid one clears it, nor the end of its run.
    for (key, result) in [("2", "{}"), ("3", "null"), ("4", "7")] {
        world.deliver(runs[0], key, result);
        assert_eq!(world.states(id)[0], ShardState::Failed);
    }
    let delivery = world.claim("triage").into_iter().find(|found| found.run.id == runs[0]).unwrap();
    world.answer(&delivery, done(5));
    assert_eq!(world.run(runs[0]).status, Status::Completed);
    assert_eq!(world.states(id)[0], ShardState::Failed);
    world.deliver(runs[0], "5", r#"{"ok":true}"#);
    assert_eq!((world.states(id)[0], world.message(id)), (ShardState::Delivered, None));
}

#[test]
fn a32_links_stand_on_shards_alone() {
    let (mut world, id, runs) = dispatched(3);
    world.deliver(runs[2], "1", "[1]");
    let told = world.told(id);
    assert_eq!((told.shards_in(ShardState::Delivered), told.head.error), (1, None));
    assert_eq!(world.states(id)[2], ShardState::Delivered);
}

#[test]
fn a33_first_error_of_a_shard_is_that_of_the_whole() {
    let (mut world, id, runs) = dispatched(3);
    assert!(world.told(id).error.is_none());
    world.deliver_error(runs[2], "1", "third");
    world.deliver_error(runs[1], "1", "second");
    let (shard, error) = world.told(id).error.unwrap();
    assert_eq!((shard, error.message.as_str()), (Some(1), "second"));
    assert_eq!(error.kind, ShardError::DELIVERY);
    let all = world.ask(|view| crate::ledger::shards::told::errors(view, id)).unwrap();
    assert_eq!(all.iter().map(|shard| shard.index).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a39_results_find_their_shard_in_the_batch_that_made_it() {
    let mut world = World::with(push_task("triage"));
    world.batching = true;
    let id = world.shard_it(1, 1);
    world.slice(id, 1);
    let run = world.runs_of(id)[0];
    assert_eq!(world.deliver(run, "1", "[1]").shard, Some((id, 0)));
    assert_eq!(world.states(id), [ShardState::Delivered]);
}

#[test]
fn a42_every_bad_delivery_has_a_message() {
    let reported = |code: Option<&str>, message: Option<&str>| {
        let (code, message) = (code.map(str::to_owned), message.map(str::to_owned));
        Delivery { error: Some(Reported { code, message }), ..result_of("k", "[1]") }
    };
    for (delivery, code, begin) in [
        (reported(None, None), "delivery_error", "the agent reported an error and"),
        (reported(None, Some("  ")), "delivery_error", "the agent reported an error and"),
        (reported(Some("quota"), None), "quota", "the agent reported an error and"),
        (reported(Some(""), Some("broken")), "delivery_error", "broken"),
        (result_of("k", ""), "no_result", "the agent delivered neither"),
        (result_of("k", " null "), "no_result", "the agent delivered neither"),
        (result_of("k", "{ }"), "empty_result", "the agent delivered an empty"),
        (result_of("k", "[\n]"), "empty_result", "the agent delivered an empty"),
        (result_of("k", "true"), "invalid_result", "the agent delivered a result that is no"),
        (result_of("k", "\"x\""), "invalid_result", "the agent delivered a result that is no"),
        (result_of("k", "0"), "invalid_result", "the agent delivered a result that is no"),
    ] {
        let (mut world, id, runs) = dispatched(1);
        let taken = world.try_deliver(runs[0], delivery.clone()).unwrap();
        assert!(!taken.delivered.is_valid());
        let error = world.shards(id)[0].error.clone().unwrap();
        assert_eq!((error.kind.as_str(), error.code.as_str()), (ShardError::DELIVERY, code));
        assert!(error.message.starts_with(begin), "{delivery:?}: {}", error.message);
    }
}

#[test]
fn a43_repeats_are_given_what_is_there() {
    let (mut world, id, runs) = dispatched(1);
    let first = world.deliver(runs[0], "1", r#"{"n":1}"#);
    assert!(!first.cached);
    let before = world.dump();
    let again = world.deliver(runs[0], "1", r#"{"n":2}"#);
    assert!(again.cached);
    assert_eq!(again.delivered, first.delivered);
    // Also an error that comes late under a name that has its result.
    assert!(world.deliver_error(runs[0], "1", "late").cached);
    assert_eq!(world.dump(), before);
    // In one batch as well.
    world.batching = true;
    assert!(!world.deliver(runs[0], "2", "[2]").cached);
    assert!(world.deliver(runs[0], "2", "[2]").cached);
    assert_eq!(world.states(id), [ShardState::Delivered]);
}

#[test]
fn errors_are_kept_until_their_result_comes() {
    let (mut world, id, runs) = dispatched(1);
    world.deliver_error(runs[0], "1", "first");
    assert!(world.deliver_error(runs[0], "1", "second").cached);
    assert_eq!(world.message(id).as_deref(), Some("first"));
    let taken = world.deliver(runs[0], "1", "[1]");
    assert!(!taken.cached && taken.delivered.is_valid());
    assert_eq!(world.states(id), [ShardState::Delivered]);
    let kept = world.ask(|view| crate::store::kinds::delivered::list(view, runs[0], 9)).unwrap();
    assert_eq!(kept, [taken.delivered]);
}

#[test]
fn a44_deliveries_of_others_change_nothing() {
    let (mut world, id, runs) = dispatched(1);
    let before = world.dump();
    let nobody = Id([9; 16]);
    assert_refused(world.try_deliver(nobody, result_of("1", "[1]")), Code::RunNotFound);
    assert_eq!(world.dump(), before);
    // A run without a shard takes them as well, and no shard moves.
    let plain = world.submit("triage");
    assert_eq!(world.deliver(plain, "1", "[1]").shard, None);
    assert_eq!(world.states(id), [ShardState::Dispatched]);
    assert_eq!(world.deliver(runs[0], "1", "[1]").shard, Some((id, 0)));
}

#[test]
fn a45_unknown_words_are_kept_as_text() {
    let (mut world, id, runs) = dispatched(2);
    let error = Reported { code: Some("never_heard_of".to_owned()), message: None };
    let delivery = Delivery { kind: "novel".to_owned(), error: Some(error), ..result_of("1", "") };
    world.try_deliver(runs[0], delivery).unwrap();
    assert_eq!(world.shards(id)[0].error.as_ref().unwrap().code, "never_heard_of");
    let delivery = Delivery { kind: "novel".to_owned(), ..result_of("1", r#"{"skip":"new"}"#) };
    assert!(world.try_deliver(runs[1], delivery).unwrap().delivered.is_valid());
    // A kind of error of a later version reads as it stands.
    let shard = world.shards(id)[0].clone();
    let error = ShardError::new("from_the_future", "c", "m");
    world
        .act(|tx| {
            let after = Shard { error: Some(error.clone()), ..shard.clone() };
            crate::ledger::shards::save::save(tx, &shard, &after);
            Ok(())
        })
        .unwrap();
    assert_eq!(world.told(id).error, Some((Some(0), error)));
}

#[test]
fn runs_of_any_state_take_deliveries() {
    let (mut world, id, runs) = dispatched(1);
    world.cancel_run(runs[0]);
    assert_eq!(world.states(id), [ShardState::Failed]);
    world.deliver(runs[0], "1", "[1]");
    assert_eq!(world.states(id), [ShardState::Delivered]);
    assert_eq!(world.head(id).phase, Phase::Finished);
}

#[test]
fn deliveries_of_a_run_are_bounded() {
    let (mut world, _, runs) = dispatched(1);
    world.checking = false;
    let large = format!("[\"{}\"]", "x".repeat(RESULT_BYTES_MAX - 4));
    for key in 0..DELIVERIES_BYTES_MAX as usize / RESULT_BYTES_MAX {
        world.deliver(runs[0], &key.to_string(), &large);
    }
    assert_refused(world.try_deliver(runs[0], result_of("one more", &large)), Code::TooLarge);
    let (mut world, _, runs) = dispatched(1);
    world.checking = false;
    for key in 0..DELIVERIES_MAX {
        world.deliver(runs[0], &key.to_string(), "[1]");
    }
    assert_refused(world.try_deliver(runs[0], result_of("x", "[1]")), Code::TooManyDeliveries);
    assert!(world.deliver(runs[0], "7", "[1]").cached);
    world.check_all();
}
