//! How runs that are pulled end without being done; what clients of the Redis protocol cannot do to
//! them; and that nothing is waited for when a run has ended.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::keys::command::{Command, ExpireIf, Expiry, SetIf};
use crate::ledger::outbox::revive::{self, Filter, Replayed};
use crate::ledger::runs::{callbacks, edit};
use crate::ledger::streams::requeue::Floors;
use crate::ledger::testing::*;
use crate::model::refusal::Code;
use crate::model::stream::{KeyName, StreamId};
use crate::model::task::Task;
use crate::store::kinds::task as tasks;

fn taken(task: Task) -> (World, RunId, Given) {
    let name = task.name.to_string();
    let mut world = World::pulling(&[task]);
    let run = world.submit(&name);
    let given = world.pull_one(&name, "w1");
    (world, run, given)
}

fn limited(max_deliveries: u32) -> Task {
    Task { max_deliveries: Some(max_deliveries), ..pull_task("work") }
}

#[test]
fn s27_lost_too_often_is_dead_with_its_reason() {
    let mut world = World::pulling(&[limited(2)]);
    let run = world.submit("work");
    for _ in 0..2 {
        world.pull_one("work", "w1");
        world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    }
    assert_eq!(
        (world.status(run), world.code(run).as_str()),
        ("failed", "max_deliveries_exceeded")
    );
    let letter = world.letter(run).unwrap();
    assert!(letter.detail.contains("2 deliveries") && letter.detail.contains("`w1`"), "{letter:?}");
    assert_eq!((letter.row.attempts, world.stream("work").length), (2, 0));

    // Revived, it has as many deliveries as before.
    world.retry_now(run).unwrap();
    assert_eq!((world.status(run), world.letter(run)), ("queued", None));
    let given = world.pull_one("work", "w2");
    assert_eq!(given.attempt, 3);
    world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    let given = world.pull_one("work", "w2");
    assert_eq!(world.ack("work", &[given.id]), 1);
    assert_eq!(world.status(run), "completed");
}

/// Revived without its task, a run stood in its stream with nothing to say how often and how long
/// it is tried, and its letter, which tells why it died, was gone.
#[test]
fn dead_letter_stays_without_its_task() {
    let mut world = World::pulling(&[limited(1)]);
    let run = world.submit("work");
    world.pull_one("work", "w1");
    world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
    assert_eq!(world.status(run), "failed");
    world.write(|tx| tasks::remove(tx, &n("work")));
    let before = world.dump();

    assert_refused(world.retry_now(run), Code::TaskNotFound);
    let replayed = world.act(|tx| revive::replay(tx, &Filter::default(), false)).unwrap();
    assert_eq!(replayed, Replayed { matched: 0, replayed: 0, skipped: 1, more: false });
    assert_eq!(world.dump(), before);
    assert!(world.letter(run).is_some() && world.pull("work", "w1").is_empty());

    // With the task it is an ordinary dead letter again.
    world.register(limited(1)).retry_now(run).unwrap();
    let given = world.pull_one("work", "w1");
    assert_eq!((given.run, world.ack("work", &[given.id])), (run, 1));
    assert_eq!((world.status(run), world.letter(run)), ("completed", None));
}

#[test]
fn failures_are_counted_by_the_retry_policy() {
    let (mut world, run, mut given) = taken(limited(1));
    for attempt in 1..5 {
        assert_eq!(given.attempt, attempt, "max_deliveries counts lost workers only");
        world.fail(run, true, Some(given.fence)).unwrap();
        given = world.after(Span::from_mins(1)).pull_one("work", "w1");
    }
    world.fail(run, true, Some(given.fence)).unwrap();
    assert_eq!((world.status(run), world.code(run).as_str()), ("failed", "retries_exhausted"));
    assert!(world.letter(run).is_some());
}

#[test]
fn final_failure_is_no_dead_letter() {
    let (mut world, run, given) = taken(pull_task("work"));
    world.fail(run, false, Some(given.fence)).unwrap();
    assert_eq!((world.status(run), world.code(run).as_str()), ("failed", "boom"));
    assert_eq!((world.letter(run), world.stream("work").length), (None, 0));
}

#[test]
fn canceled_while_it_waits() {
    let mut world = World::pulling(&[pull_task("work")]);
    let run = world.submit("work");
    world.cancel(run).unwrap();
    assert_eq!((world.status(run), world.stream("work").length), ("canceled", 0));
    assert!(world.pull("work", "w").is_empty());
    // Also between two attempts.
    let (mut world, run, given) = taken(pull_task("work"));
    world.nack("work", &[given.id], Span::from_secs(9));
    world.cancel(run).unwrap();
    assert_eq!((world.status(run), world.stream("work").length), ("canceled", 0));
    assert_eq!((world.pending("work").len(), world.ack("work", &[given.id])), (0, 0));
}

#[test]
fn canceled_while_it_executes() {
    type Ending = fn(&mut World, RunId, &Given);
    let endings: [Ending; 8] = [
        |world, _, given| assert_eq!(world.ack("work", &[given.id]), 1),
        |world, run, given| drop(world.complete(run, Some(given.fence)).unwrap()),
        |world, run, given| drop(world.fail(run, true, Some(given.fence)).unwrap()),
        |world, run, given| drop(world.fail(run, false, Some(given.fence)).unwrap()),
        |world, _, given| assert_eq!(world.nack("work", &[given.id], Span::ZERO), 1),
        |world, _, _| {
            assert_eq!(world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead), 1);
        },
        |world, _, given| {
            assert!(world.claim_ids("work", "w2", Span::ZERO, &[given.id], false).is_empty());
        },
        |world, _, _| {
            world.after(Span::from_hours(1));
        },
    ];
    for (number, end) in endings.into_iter().enumerate() {
        let (mut world, run, given) = taken(limited(1));
        world.cancel(run).unwrap();
        assert_eq!(world.status(run), "canceling", "{number}");
        let heard = world.heartbeat(run, given.fence).unwrap();
        assert!(format!("{heard:?}").contains("Canceling"), "its worker is told");
        assert_eq!(Given::of(&world.own("work", "w1")[0]).text("canceling"), "1", "{number}");
        end(&mut world, run, &given);
        assert_eq!(world.status(run), "canceled", "{number}");
        assert_eq!((world.stream("work").length, world.letter(run)), (0, None), "{number}");
    }
}

#[test]
fn time_to_live_ends_what_nobody_takes() {
    let mut world = World::pulling(&[pull_task("work")]);
    let ttl = Some(Span::from_secs(60));
    let waits = world.submit_with("work", |run| run.ttl = ttl).unwrap().run.id;
    world.after(Span(59_999));
    let late = world.submit_with("work", |run| run.ttl = ttl).unwrap().run.id;
    world.after(Span(1));
    assert_eq!((world.status(waits), world.code(waits).as_str()), ("expired", "ttl_expired"));
    assert_eq!(world.pull_one("work", "w").run, late, "what was started has no such end");
    world.after(Span::from_mins(10));
    assert_eq!(world.status(late), "executing");
}

#[test]
fn longest_duration_is_that_of_an_attempt() {
    let (mut world, run, given) = taken(pull_task("work"));
    world.after(Span::from_mins(59));
    world.fail(run, true, Some(given.fence)).unwrap();
    let given = world.after(Span::from_secs(2)).pull_one("work", "w1");
    world.after(Span::from_mins(59));
    assert_eq!(world.status(run), "executing");
    world.after(Span::from_mins(1));
    assert_eq!((world.status(run), world.code(run).as_str()), ("failed", "max_duration_exceeded"));
    assert_eq!((world.stream("work").length, world.ack("work", &[given.id])), (0, 0));
}

#[test]
fn delayed_run_comes_when_it_is_due() {
    let mut world = World::pulling(&[pull_task("work")]);
    let delay = Some(Span::from_secs(60));
    let run = world.submit_with("work", |run| run.delay = delay).unwrap().run.id;
    assert_eq!((world.status(run), world.stream("work").length), ("delayed", 0));
    world.act(|tx| edit::reschedule(tx, run, Span::from_secs(90))).unwrap();
    assert!(world.after(Span::from_secs(89)).pull("work", "w").is_empty());
    assert_eq!(world.after(Span::from_secs(1)).pull_one("work", "w").run, run);
}

#[test]
fn requests_never_lose_a_run() {
    let mut world = World::pulling(&[pull_task("work")]);
    let run = world.submit("work");
    world.pull_one("work", "w");
    let waits = world.submit("work");
    let key = || KeyName::of("work");
    let at = world.now.plus(Span(1));
    let when = ExpireIf::default();
    let ids = vec![world.run(run).entry.unwrap(), world.run(waits).entry.unwrap()];
    let set = Command::Set {
        key: key(),
        value: "x".into(),
        when: SetIf::Always,
        expiry: Expiry::None,
        get: false,
    };
    let (last, added, max_deleted) = (ids[1], None, None);
    let refused = [
        Command::Expire { key: key(), at, when },
        Command::Remove { keys: vec![key()] },
        Command::Rename { from: key(), to: KeyName::of("x"), only_if_missing: false },
        Command::GroupDestroy { key: key(), group: GROUP.into() },
        Command::SetId { key: key(), last, added, max_deleted },
        set,
    ];
    let before = world.dump();
    for command in refused {
        let said = format!("{command:?}");
        assert_eq!(world.ask_for(command).unwrap_err().code, Code::HoldsRuns, "{said}");
    }
    assert_eq!(world.count(Command::Delete { key: key(), ids }), 0);
    assert_eq!(world.dump(), before);
    // What is not refused goes round them.
    let _ = world.ask_for(Command::Flush { db: None, limit: 100 });
    world.after(Span::from_secs(1));
    let consumer = "w".into();
    world.count(Command::ConsumerDelete { key: key(), group: GROUP.into(), consumer });
    let given = world.pull("work", "w2");
    assert_eq!([given[0].run, given[1].run], [run, waits]);
    assert_eq!(world.ack("work", &[given[0].id, given[1].id]), 2);
    assert_eq!([world.status(run), world.status(waits)], ["completed", "completed"]);
}

/// Once a stream could not be used, every timer of the appliance stood still behind this one.
#[test]
fn unusable_stream_ends_the_run_alone() {
    let mut world = World::pulling(&[pull_task("work"), pull_task("fine")]);
    let text = |name: &str| Command::Set {
        key: KeyName::of(name),
        value: "x".into(),
        when: SetIf::Always,
        expiry: Expiry::None,
        get: false,
    };
    let delay = Some(Span::from_secs(1));
    let bad = world.submit_with("work", |run| run.delay = delay).unwrap().run.id;
    let good = world.submit_with("fine", |run| run.delay = delay).unwrap().run.id;
    world.ask_for(text("work")).unwrap();
    world.after(Span::from_secs(1));
    assert_eq!((world.status(bad), world.status(good)), ("system_failure", "queued"));
    assert_eq!(world.code(bad), "stream_unusable");
    assert_refused(world.submit_with("work", |_| {}), Code::WrongType);

    let steps = vec!["fine".to_owned(), "work".to_owned()];
    let given = world.pull_one("fine", "w");
    assert_eq!(world.ack("fine", &[given.id]), 1);
    let run = world.submit_with("fine", |run| run.steps = steps).unwrap().run.id;
    let given = world.pull_one("fine", "w");
    assert_eq!(world.ack("fine", &[given.id]), 1, "its worker has done its part");
    assert_eq!(world.status(run), "system_failure");
    assert_eq!(world.stream("fine").length, 0);
}

#[test]
fn used_up_ids_end_the_run() {
    let mut task = pull_task("work");
    task.max_deliveries = Some(1_000);
    let mut world = World::pulling(&[task]);
    let run = world.submit("work");
    let (key, last) = (KeyName::of("work"), StreamId::MAX);
    let set = Command::SetId { key, last, added: None, max_deleted: None };
    world.ask_for(set).unwrap();
    assert_refused(world.submit_with("work", |_| {}), Code::EntryIdsUsedUp);
    world.checking = false;
    while world.status(run) == "queued" {
        let given = world.pull_one("work", "w");
        world.nack("work", &[given.id], Span::ZERO);
    }
    world.check_all();
    assert_eq!((world.status(run), world.run(run).attempts), ("system_failure", 256));
}

#[test]
fn s02_ended_runs_wait_for_nothing() {
    type Ending = fn(&mut World, RunId, &Given);
    let endings: [(&str, Ending); 8] = [
        ("completed", |world, _, given| assert_eq!(world.ack("work", &[given.id]), 1)),
        ("completed", |world, run, _| drop(world.complete(run, None).unwrap())),
        ("failed", |world, run, _| drop(world.fail(run, false, None).unwrap())),
        ("failed", |world, _, _| {
            world.advance(Span::from_mins(1)).rescue(&Floors::default(), all_dead);
        }),
        ("failed", |world, _, _| {
            world.after(Span::from_hours(1));
        }),
        ("canceled", |world, run, given| {
            world.cancel(run).unwrap();
            world.ack("work", &[given.id]);
        }),
        ("canceled", |world, run, _| {
            world.damage(run, |_, run| run.steps = vec!["work".to_owned(); 2]);
            world.complete(run, None).unwrap();
            world.cancel(run).unwrap();
        }),
        ("completed", |world, run, given| {
            world
                .act(|tx| {
                    let open = callbacks::of_run(tx, run)?.open;
                    callbacks::answer(tx, open[0].id, "{}".to_owned())
                })
                .unwrap();
            world.ack("work", &[given.id]);
        }),
    ];
    for (number, (status, end)) in endings.into_iter().enumerate() {
        let (mut world, run, given) = taken(limited(1));
        for _ in 0..3 {
            world.advance(Span(1)).act(|tx| callbacks::expect(tx, run)).unwrap();
        }
        let waits = world.ask(|rows| callbacks::outstanding(rows)).unwrap();
        assert_eq!(waits, (3, Some(START.plus(Span(1)))));
        end(&mut world, run, &given);
        assert_eq!(world.status(run), status, "{number}");
        assert_eq!(world.ask(|rows| callbacks::outstanding(rows)).unwrap(), (0, None), "{number}");
        assert_refused(world.act(|tx| callbacks::expect(tx, run)), Code::NotAllowedInState);
    }
    let mut world = World::pulling(&[pull_task("work")]);
    let ttl = Some(Span::from_secs(1));
    let run = world.submit_with("work", |run| run.ttl = ttl).unwrap().run.id;
    let callback = world.act(|tx| callbacks::expect(tx, run)).unwrap();
    world.after(Span::from_secs(1));
    assert_eq!(world.status(run), "expired");
    assert_eq!(world.timeline(run), ["callback_expected", "callbacks_dropped"]);
    let answer = world.act(|tx| callbacks::answer(tx, callback.id, "1".to_owned()));
    assert_refused(answer, Code::CallbackNotFound);
}

#[test]
fn s02_pushed_runs_wait_for_nothing_either() {
    let mut world = World::with(push_task("work"));
    let run = world.live("work");
    let first = world.act(|tx| callbacks::expect(tx, run)).unwrap();
    world.act(|tx| callbacks::expect(tx, run)).unwrap();
    world.act(|tx| callbacks::answer(tx, first.id, "{\"found\":3}".to_owned())).unwrap();
    let again = world.act(|tx| callbacks::answer(tx, first.id, "{}".to_owned()));
    assert_refused(again, Code::CallbackNotFound);
    world.complete(run, None).unwrap();
    let found = world.ask(|rows| callbacks::of_run(rows, run)).unwrap();
    assert_eq!((found.open.len(), found.answered[0].body.as_str()), (0, "{\"found\":3}"));
}
