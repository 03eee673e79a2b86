//! Rules that are about what goes wrong: rows that cannot be read, bindings that lead nowhere, ends
//! that are not told.

use super::{Buffering, roomy};
use crate::base::id::{Id, RunId};
use crate::base::time::Span;
use crate::ledger::buffer::drain::is_for_good;
use crate::ledger::runs::edit::{add_tags, set_metadata};
use crate::ledger::runs::submit::Submit;
use crate::ledger::runs::{cancel::cancel, replay::replay};
use crate::ledger::tasks::register;
use crate::ledger::testing::*;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;
use crate::store::key::Key;
use crate::store::kinds::idem::Binding;
use crate::store::kinds::{buffered, idem};
use crate::store::tables::Table;

fn keyed(command: &mut Submit) {
    command.idempotency_key = Some("k".to_owned());
}

fn spoil(world: &mut World, id: RunId) {
    world.write(|tx| tx.put_raw(Key::new(Table::Buffered).id(id), vec![1, 0, 77]));
}

/// Upstream took "the database is unreachable" for the end of a run, since it stood in another
/// field. Here the few codes that cannot change are named, and every other one is tried again.
#[test]
fn a04_only_what_cannot_change_ends_a_run_at_once() {
    let for_good: Vec<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|code| is_for_good(&Refusal::new(*code, "a test")))
        .collect();
    assert_eq!(for_good, [Code::TaskNotFound, Code::NotAllowedInState]);
}

#[test]
fn b12_a_binding_without_its_run_blocks_no_key() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let ways: [fn(&mut World) -> RunId; 2] = [
        |world| world.accept_with("work", &roomy(), keyed).unwrap().run.id,
        |world| world.submit_with("work", keyed).unwrap().run.id,
    ];
    for make in ways {
        let first = world.accept_with("work", &roomy(), keyed).unwrap().run.id;
        spoil(&mut world, first);
        let healed = make(&mut world);
        assert_ne!(healed, first, "the key is free while the entry cannot be read");
        assert_eq!(make(&mut world), healed);
        world.drain(10);
        assert_eq!(make(&mut world), healed, "what is buried takes no key along");
        world.write(|tx| {
            let binding = Binding { run: Id([9; 16]), fingerprint: 7, bound_at: tx.now() };
            idem::put(tx, &n("acme"), &n("prod"), "k", &binding);
        });
        let again = make(&mut world);
        assert_ne!(again, Id([9; 16]), "there is no such run");
        world.advance(crate::ledger::runs::submit::IDEMPOTENCY_KEPT);
    }
}

#[test]
fn b25_a_slice_holds_no_more_than_was_asked_for() {
    let mut world = World::with(push_task("work"));
    for _ in 0..20 {
        world.accept("work");
    }
    for count in [1, 7, 3] {
        assert_eq!(world.drain(count).total(), count);
    }
    assert_eq!(world.drain(100).total(), 9);
}

#[test]
fn b27_every_end_in_the_buffer_has_its_time() {
    let mut world = World::with(push_task("work"));
    world.register({
        let mut task = pull_task("pull");
        task.name = n("pull");
        task
    });
    world.take_name("pull");
    let short = |run: &mut Submit| run.ttl = Some(Span::from_secs(1));
    let canceled = world.accept("work");
    world.act(|tx| cancel(tx, canceled, None, "api")).unwrap();
    let by_timer = world.accept_with("work", &roomy(), short).unwrap().run.id;
    world.after(Span::from_secs(2));
    let at_drain = world.accept_with("work", &roomy(), short).unwrap().run.id;
    world.advance(Span::from_secs(2));
    let failed = world.accept("pull");
    for _ in 0..4 {
        world.drain(10);
        world.after(Span::from_secs(10));
    }
    for (id, status) in [
        (canceled, Status::Canceled),
        (by_timer, Status::Expired),
        (at_drain, Status::Expired),
        (failed, Status::SystemFailure),
    ] {
        let run = world.run(id);
        assert_eq!((run.status, run.buffered), (status, false));
        let at = run.finished_at.expect("a final status has its time");
        assert!(at >= run.created_at && at <= world.now);
    }
}

/// Upstream read a date that was none as "canceled at some time". A head is read whole, as what
/// it was written, or not at all.
#[test]
fn b28_a_damaged_head_is_never_another_run() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let id = world
        .accept_with("work", &roomy(), |run| {
            keyed(run);
            run.tags = vec!["t".to_owned()];
            run.delay = Some(Span::from_secs(60));
        })
        .unwrap()
        .run
        .id;
    let key = || Key::new(Table::Buffered).id(id);
    let bytes = world.ask(|rows| rows.get(key().bytes())).unwrap().unwrap();
    let whole = world.ask(|rows| buffered::get(rows, id)).unwrap();
    assert!(whole.is_some());
    let damaged = (0..bytes.len())
        .map(|length| bytes[..length].to_vec())
        .chain([[&bytes[..], &[0]].concat(), [&[2], &bytes[1..]].concat()]);
    for damaged in damaged {
        world.write(|tx| tx.put_raw(key(), damaged));
        assert_eq!(world.ask(|rows| buffered::get(rows, id)).unwrap(), None);
        assert_refused(world.act(|tx| cancel(tx, id, None, "api")), Code::RunUnreadable);
    }
    world.write(|tx| tx.put_raw(key(), bytes));
    assert_eq!(world.ask(|rows| buffered::get(rows, id)).unwrap(), whole);
}

#[test]
fn b29_a_replay_without_a_trace_has_none() {
    let mut world = World::with(push_task("work"));
    let id = world.accept("work");
    assert_eq!(world.run(id).trace, None);
    assert_eq!(world.act(|tx| replay(tx, id, None)).unwrap().receipt.run.trace, None);
}

/// Upstream answered "busy", so callers came again until they gave up.
#[test]
fn c15_what_cannot_be_read_is_told_before_and_after_its_turn() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let id = world.accept("work");
    spoil(&mut world, id);
    for _ in 0..2 {
        assert_refused(world.act(|tx| cancel(tx, id, None, "api")), Code::RunUnreadable);
        assert_refused(world.act(|tx| add_tags(tx, id, vec!["t".to_owned()])), Code::RunUnreadable);
        assert_refused(world.act(|tx| set_metadata(tx, id, None, None)), Code::RunUnreadable);
        assert_refused(world.act(|tx| replay(tx, id, None)), Code::RunUnreadable);
        world.drain(10);
    }
    let never = world.act(|tx| cancel(tx, Id([3; 16]), None, "api"));
    assert_refused(never, Code::RunNotFound);
}

/// An entry that backed off is in no queue, so no turn would ever come to it: its env would be
/// taken for full and old for ever, and its task for one with an open run.
#[test]
fn b35_c16_what_backs_off_and_cannot_be_read_is_buried_when_its_time_comes() {
    let mut world = World::with(push_task("work"));
    world.register({
        let mut task = pull_task("pull");
        task.name = n("pull");
        task
    });
    world.take_name("pull");
    let bad = world.accept("pull");
    assert_eq!(world.drain(10).retried, 1);
    let delayed = world
        .accept_with("work", &roomy(), |run| run.delay = Some(Span::from_hours(1)))
        .unwrap()
        .run
        .id;
    world.checking = false;
    spoil(&mut world, bad);
    spoil(&mut world, delayed);
    world.after(Span::from_secs(2));
    assert_eq!(world.drain(10).dead, 1, "the one whose turn it is");
    world.checking = true;
    world.check_all();
    let dead = world.ask(|rows| buffered::dead(rows, 9)).unwrap();
    assert_eq!(dead.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [delayed, bad]);
    assert_eq!(world.ask(|rows| buffered::oldest(rows, None)).unwrap(), None);
    // Nothing of it is counted any more, so its task can go.
    for task in ["work", "pull"] {
        world.act(|tx| register::remove(tx, &n(task))).unwrap();
    }
}
