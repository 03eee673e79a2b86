//! The way of a run that is pulled: through one stream or several, attempt by attempt; and what a
//! worker that lost it can still do, which is nothing.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::keys::command::{Answer, Command, ReadGroup, Refs};
use crate::ledger::runs::report::Reported;
use crate::ledger::streams::requeue::Floors;
use crate::ledger::testing::*;
use crate::model::stream::{GroupStart, KeyName, Start, StreamId};
use crate::store::kinds::count::Total;
use crate::store::kinds::run as run_rows;

/// A run that `w1` has.
fn taken() -> (World, RunId, Given) {
    let mut world = World::pulling(&[pull_task("work")]);
    let run = world.submit("work");
    let given = world.pull_one("work", "w1");
    assert_eq!(given.run, run);
    (world, run, given)
}

fn is_late(reported: &Reported) -> bool {
    matches!(reported, Reported::Late { .. })
}

#[test]
fn pulled_run_goes_round() {
    let (mut world, run, given) = taken();
    assert_eq!((given.attempt, given.fence, given.text("task")), (1, 1, "work"));
    assert_eq!((given.text("payload"), given.text("org")), ("{\"n\":1}", "acme"));
    assert_eq!(world.status(run), "executing");
    assert_eq!(world.ack("work", &[given.id]), 1);
    assert_eq!(world.status(run), "completed");
    assert_eq!((world.stream("work").length, world.pending("work").len()), (0, 0));
    assert_eq!(world.ack("work", &[given.id]), 0, "once is enough");
    assert_eq!(world.total(Total::LateResults), 0, "and repeating it is no late result");
}

#[test]
fn report_with_fence_completes() {
    let (mut world, run, given) = taken();
    assert!(!is_late(&world.complete(run, Some(given.fence)).unwrap()));
    assert_eq!(world.status(run), "completed");
    assert_eq!(world.ask(|rows| run_rows::output(rows, run)).unwrap().unwrap(), b"42");
    assert_eq!(world.stream("work").length, 0);
    assert_eq!(world.ack("work", &[given.id]), 0);
}

#[test]
fn s07_killed_worker_runs_elsewhere_once() {
    let (mut world, run, first) = taken();
    assert_eq!(world.advance(Span(59_999)).rescue(&Floors::default(), all_dead), 0);
    assert_eq!(world.advance(Span(1)).rescue(&Floors::default(), all_dead), 1);
    assert_eq!(world.status(run), "queued");
    let second = world.pull_one("work", "w2");
    assert_eq!((second.run, second.attempt, second.fence), (run, 2, 2));
    assert!(world.pull("work", "w3").is_empty());
    let item = &world.pending("work")[0];
    assert_eq!((item.deliveries, item.first_delivered_at), (2, START), "s28");

    // The first worker was slow, not dead: whatever it says counts for nothing, and is told.
    assert_eq!(world.ack("work", &[first.id]), 0);
    assert_eq!(world.status(run), "executing");
    assert!(is_late(&world.complete(run, Some(first.fence)).unwrap()));
    assert!(is_late(&world.fail(run, false, Some(first.fence)).unwrap()));
    assert!(is_late(&world.heartbeat(run, first.fence).unwrap()));
    assert_eq!(world.timeline(run), ["late_result", "late_result", "late_result"]);
    assert_eq!(world.total(Total::LateResults), 3);
    assert_eq!(world.ack("work", &[second.id]), 1);
    assert_eq!(world.status(run), "completed");
    let classes: Vec<String> =
        world.attempts(run).into_iter().filter(|a| !a.late).map(|a| a.class).collect();
    assert_eq!(classes, ["success", "worker_lost"]);
}

#[test]
fn late_acknowledgement_before_the_next_attempt() {
    let (mut world, run, first) = taken();
    world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    assert_eq!(world.ack("work", &[first.id]), 0);
    assert_eq!(
        (world.status(run), world.timeline(run)),
        ("queued", vec!["late_result".to_owned()])
    );
    // With its fence it is in time: nobody else has begun.
    assert!(!is_late(&world.complete(run, Some(first.fence)).unwrap()));
    assert_eq!((world.status(run), world.stream("work").length), ("completed", 0));
    let classes: Vec<String> = world.attempts(run).into_iter().map(|a| a.class).collect();
    assert_eq!(classes, ["success", "worker_lost"], "no line takes another's place");
}

#[test]
fn s08_signs_of_life_keep_a_run() {
    let (mut world, run, given) = taken();
    for _ in 0..5 {
        assert!(!is_late(&world.advance(Span(50_000)).heartbeat(run, given.fence).unwrap()));
        assert_eq!(world.rescue(&Floors::default(), all_dead), 0);
    }
    let claimed =
        world.advance(Span(59_999)).claim_ids("work", "w1", Span::ZERO, &[given.id], true);
    assert_eq!(claimed[0].id, given.id, "a claim of its own without delivery is a sign, too");
    assert_eq!(world.advance(Span(59_999)).rescue(&Floors::default(), all_dead), 0);
    assert_eq!((world.run(run).attempts, world.ack("work", &[given.id])), (1, 1));
}

#[test]
fn s09_claimed_run_has_one_owner() {
    let (mut world, run, first) = taken();
    let claim = |world: &mut World, who: &str| {
        world.claim_ids("work", who, Span(30_000), &[first.id], false)
    };
    assert!(claim(&mut world, "w2").is_empty(), "it is not idle");
    world.advance(Span(30_000));
    let second = Given::of(&claim(&mut world, "w2")[0]);
    assert!(claim(&mut world, "w3").is_empty(), "exactly one gets it");
    assert_eq!((second.run, second.attempt), (run, 2));
    assert!(second.id != first.id, "the attempt has an id of its own");
    assert_eq!(world.ack("work", &[first.id]), 0, "so the old one completes nothing");
    assert_eq!((world.status(run), world.timeline(run).len()), ("executing", 1));
    let third = Given::of(&world.advance(Span(1)).auto_claim("work", "w3", Span::ZERO)[0]);
    assert_eq!((third.attempt, world.ack("work", &[second.id])), (3, 0));
    assert_eq!(world.ack("work", &[third.id]), 1);
    assert_eq!(world.status(run), "completed");
}

#[test]
fn claims_cannot_go_on_for_ever() {
    let (mut world, run, _) = taken();
    for _ in 0..4 {
        assert_eq!(world.advance(Span(1)).auto_claim("work", "w2", Span::ZERO).len(), 1);
    }
    assert!(world.advance(Span(1)).auto_claim("work", "w2", Span::ZERO).is_empty());
    assert_eq!(
        (world.status(run), world.code(run).as_str()),
        ("failed", "max_deliveries_exceeded")
    );
}

#[test]
fn s27_own_run_is_read_again() {
    let (mut world, run, given) = taken();
    let own = world.advance(Span(50_000)).own("work", "w1");
    assert_eq!(Given::of(&own[0]), given, "the same attempt");
    assert_eq!(world.run(run).attempts, 1);
    assert_eq!(world.advance(Span(50_000)).rescue(&Floors::default(), all_dead), 0);
    assert_eq!(world.ack("work", &[given.id]), 1);
}

#[test]
fn given_back_waits_for_its_delay() {
    let (mut world, run, first) = taken();
    let behind = world.submit("work");
    assert_eq!(world.nack("work", &[first.id], Span::from_secs(10)), 1);
    assert_eq!(world.nack("work", &[first.id], Span::ZERO), 0, "once");
    assert_eq!(world.pull_one("work", "w2").run, behind, "it holds up nobody");
    assert!(world.after(Span(9_999)).pull("work", "w2").is_empty());
    world.after(Span(1));
    let stream = KeyName::of("work");
    let woken = world.ask(|rows| crate::store::kinds::due::next(rows)).unwrap();
    assert!(woken.is_none_or(|at| at > world.now), "its timer has fired for {stream:?}");
    let second = world.pull_one("work", "w2");
    assert_eq!((second.run, second.attempt), (run, 2));
    assert_eq!(world.run(run).due_at, START.plus(Span::from_secs(10)));
}

#[test]
fn failed_attempt_is_retried_with_backoff() {
    let (mut world, run, first) = taken();
    assert!(!is_late(&world.fail(run, true, Some(first.fence)).unwrap()));
    assert_eq!(world.status(run), "queued");
    assert_eq!(world.run(run).last_failure.unwrap().code, "failed_by_agent");
    assert!(world.pull("work", "w1").is_empty(), "not before its backoff is over");
    let given = world.after(Span::from_secs(2)).pull_one("work", "w1");
    assert_eq!((given.run, given.attempt, given.id != first.id), (run, 2, true));
    assert_eq!(world.ack("work", &[first.id]), 0);
    assert_eq!(world.ack("work", &[given.id]), 1);
}

#[test]
fn retry_keeps_its_place_in_line() {
    let (mut world, run, first) = taken();
    let behind = world.submit("work");
    world.nack("work", &[first.id], Span::ZERO);
    let order: Vec<RunId> = world.pull("work", "w2").iter().map(|given| given.run).collect();
    assert_eq!(order, [run, behind]);
}

#[test]
fn many_attempts_use_up_a_block() {
    let mut task = pull_task("work");
    task.max_deliveries = Some(1_000);
    let mut world = World::pulling(&[task]);
    let run = world.submit("work");
    let behind = world.submit("work");
    world.checking = false;
    for attempt in 1..=600 {
        let given = world.pull("work", "w").into_iter().find(|given| given.run == run).unwrap();
        assert_eq!(given.attempt, attempt);
        assert_eq!(world.nack("work", &[given.id], Span::ZERO), 1);
        if attempt % 100 == 0 {
            world.check_all();
        }
    }
    assert_eq!((world.status(run), world.status(behind)), ("queued", "executing"));
    assert_eq!(world.stream("work").length, 2);
}

#[test]
fn steps_lead_through_streams() {
    let mut world = World::pulling(&["lookup", "score", "rank"].map(pull_task));
    let steps = ["lookup", "score", "rank"].map(str::to_owned).to_vec();
    let run = world.submit_with("lookup", |run| run.steps = steps).unwrap().run.id;
    let first = world.pull_one("lookup", "w");
    assert_eq!(first.text("step"), "0");
    world.advance(Span(250)).complete(run, Some(first.fence)).unwrap();
    assert_eq!((world.stream("lookup").length, world.stream("score").length), (0, 1), "s26");
    assert_eq!(world.run(run).stream.as_deref(), Some("score"));
    assert!(is_late(&world.complete(run, Some(first.fence)).unwrap()), "a repeated report");
    assert_eq!((world.status(run), world.run(run).step), ("queued", 1), "does no second step");

    let second = world.pull_one("score", "w");
    assert_eq!(
        (second.text("step"), second.text("output")),
        ("1", "42"),
        "it knows what was found"
    );
    assert_eq!(world.ack("lookup", &[first.id]), 0, "a step is done once");
    // A worker of the middle is lost: only its step is done again.
    world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    let second = world.pull_one("score", "w2");
    assert_eq!((second.text("step"), second.attempt), ("1", 3));
    assert_eq!(world.ack("score", &[second.id]), 1);
    let third = world.pull_one("rank", "w");
    assert_eq!((third.text("step"), world.status(run)), ("2", "executing"));
    assert_eq!(world.ack("rank", &[third.id]), 1);
    assert_eq!(world.status(run), "completed");
    for stream in ["lookup", "score", "rank"] {
        assert_eq!((world.stream(stream).length, world.stream(stream).runs), (0, 0));
    }
    let done = world.timeline(run).into_iter().filter(|what| what == "step_done").count();
    assert_eq!(done, 2);
}

/// A report that is sent twice once completed the step behind its own, which nobody had begun.
#[test]
fn repeated_report_completes_one_step() {
    let mut world = World::pulling(&["lookup", "score"].map(pull_task));
    let steps = ["lookup", "score"].map(str::to_owned).to_vec();
    let run = world.submit_with("lookup", |run| run.steps = steps).unwrap().run.id;
    let given = world.pull_one("lookup", "w");
    for _ in 0..3 {
        let _ = world.complete(run, Some(given.fence));
        let _ = world.complete(run, None);
    }
    assert_eq!((world.status(run), world.run(run).step), ("queued", 1));
    let given = world.pull_one("score", "w");
    assert!(!is_late(&world.complete(run, Some(given.fence)).unwrap()));
    assert_eq!(world.status(run), "completed");
}

#[test]
fn one_run_goes_to_one_group() {
    let mut world = World::pulling(&[pull_task("work")]);
    world.group_named("work", "others");
    let run = world.submit("work");
    let given = world.pull_one("work", "w1");
    assert!(world.read_as("work", "others", "o", GroupStart::New, 9).is_empty());
    world.nack("work", &[given.id], Span::ZERO);
    assert!(world.read_as("work", "others", "o", GroupStart::New, 9).is_empty());
    let again = world.pull_one("work", "w1");
    assert_eq!((again.run, again.attempt), (run, 2));
    assert_eq!(world.ack("work", &[again.id]), 1);
}

#[test]
fn group_set_back_robs_nobody() {
    let (mut world, run, given) = taken();
    world.ask_for(set_group_id(StreamId::MIN)).unwrap();
    assert!(world.pull("work", "w2").is_empty());
    assert_eq!(world.run(run).attempts, 1);
    world.nack("work", &[given.id], Span::from_secs(9));
    world.ask_for(set_group_id(StreamId::MIN)).unwrap();
    assert!(world.pull("work", "w2").is_empty(), "nor is its delay cut short");
    assert_eq!(world.after(Span::from_secs(9)).pull_one("work", "w2").attempt, 2);
}

fn set_group_id(id: StreamId) -> Command {
    let (key, group, start) = (KeyName::of("work"), GROUP.into(), Start::After(id));
    Command::GroupSetId { key, group, start, entries_read: None }
}

#[test]
fn reader_without_acknowledgements_gets_runs_pending() {
    let mut world = World::pulling(&[pull_task("work")]);
    let run = world.submit("work");
    let keys = vec![(KeyName::of("work"), GroupStart::New)];
    let (group, consumer, count) = (GROUP.into(), "w".into(), None);
    let read = ReadGroup { group, consumer, keys, count, no_ack: true, claim: None };
    world.ask_for(Command::ReadGroup(read)).unwrap();
    assert_eq!((world.status(run), world.pending("work").len()), ("executing", 1));
}

#[test]
fn deleted_entries_stay_deleted_beside_an_acknowledged_run() {
    for steps in [1, 2] {
        let mut world = World::pulling(&[pull_task("work")]);
        let plain = world.add("work", "plain");
        let run =
            world.submit_with("work", |run| run.steps = vec!["work".into(); steps]).unwrap().run.id;
        let ids = world.read("work", "w1");
        assert_eq!((ids.len(), ids[0]), (2, plain));
        let answer = world.ask_for(Command::AckDelete {
            key: KeyName::of("work"),
            group: GROUP.into(),
            refs: Refs::Keep,
            ids,
        });
        assert_eq!(answer, Ok(Answer::Each(vec![1, 1])));
        assert_eq!(world.stream("work").length, steps as u64 - 1);
        assert_eq!(world.status(run), ["completed", "queued"][steps - 1]);
    }
}
