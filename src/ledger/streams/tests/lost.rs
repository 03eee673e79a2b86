//! Work whose worker is gone: who decides that it is, who gets it, and what becomes of what no
//! worker can do.

use std::collections::HashMap;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::ledger::keys::command::Command;
use crate::ledger::streams::requeue::{Floors, GIVEN_BACK_MAX, give_back};
use crate::ledger::testing::*;
use crate::model::notice::Notice;
use crate::model::stream::{Entry, GroupStart, KeyName, StreamId};

fn floors() -> Floors {
    Floors::default()
}

/// A stream with one entry that `w1` has.
fn taken() -> (World, StreamId) {
    let mut world = World::new();
    world.group("jobs");
    let id = world.add("jobs", "1");
    assert_eq!(world.read("jobs", "w1"), [id]);
    (world, id)
}

#[test]
fn s07_killed_worker_gives_way() {
    let (mut world, id) = taken();
    assert_eq!(world.advance(Span(29_999)).rescue(&floors(), all_dead), 0, "below the floor");
    assert!(world.read("jobs", "w2").is_empty());
    assert_eq!(world.advance(Span(1)).rescue(&floors(), all_dead), 1);
    assert_eq!(world.heard.len(), 1, "whoever waits for the stream looks at once");
    assert_eq!(world.read("jobs", "w2"), [id]);
    let item = &world.pending("jobs")[0];
    assert_eq!((item.consumer.as_ref(), item.deliveries), (&b"w2"[..], 2));
    assert_eq!((item.first_delivered_at, item.delivered_at), (START, world.now));
}

#[test]
fn s08_slow_but_live_worker_is_not_robbed() {
    let (mut world, _) = taken();
    for hours in [1, 10, 100] {
        world.advance(Span::from_hours(hours));
        assert_eq!(world.rescue(&floors(), |_, _, who| (who == b"w1").then_some(START)), 0);
    }
    let (mut world, _) = taken();
    // Its heartbeat is missed for a moment.
    assert_eq!(world.advance(Span(20_000)).rescue(&floors(), all_dead), 0);
    assert_eq!(world.advance(Span(20_000)).rescue(&floors(), |_, _, _| Some(START)), 0);
}

#[test]
fn s08_name_that_lives_again_lost_its_old_work() {
    let (mut world, id) = taken();
    // A worker was killed, and another one started under its name.
    world.advance(Span(30_000));
    let since = world.now.minus(Span(5_000));
    assert_eq!(world.rescue(&floors(), |_, _, _| Some(since)), 1);
    assert_eq!(world.read("jobs", "w1"), [id]);
    assert_eq!(world.advance(Span(60_000)).rescue(&floors(), |_, _, _| Some(since)), 0);
}

#[test]
fn s09_two_reclaimers_get_each_once() {
    let (mut world, id) = taken();
    world.advance(Span(60_000));
    let (first, second) = (world.look(&floors(), all_dead), world.look(&floors(), all_dead));
    assert_eq!(first.lost, second.lost);
    assert_eq!(world.act(|tx| give_back(tx, first.lost, 5)), Ok(1));
    assert_eq!(world.act(|tx| give_back(tx, second.lost, 5)), Ok(0));
    assert_eq!(world.read("jobs", "w2"), [id]);
    assert!(world.read("jobs", "w3").is_empty());

    let (mut world, id) = taken();
    world.advance(Span(60_000));
    let floor = Span(30_000);
    assert_eq!(world.claim_ids("jobs", "w2", floor, &[id], false).len(), 1);
    assert_eq!(world.claim_ids("jobs", "w3", floor, &[id], false).len(), 0);
    assert_eq!(world.auto_claim("jobs", "w3", floor).len(), 0);
}

#[test]
fn s10_lease_beats_floor_beats_default() {
    let mut world = World::pulling(&[pull_task("runs")]);
    world.group("quick").group("usual");
    world.submit("runs");
    for stream in ["quick", "usual"] {
        world.add(stream, "1");
    }
    for stream in ["runs", "quick", "usual"] {
        assert_eq!(world.read(stream, "w").len(), 1);
    }
    let of = HashMap::from([("quick".to_owned(), Span(10_000)), ("runs".to_owned(), Span(1))]);
    let floors = Floors { of, ..floors() };
    for (ms, expected) in
        [(9_999, 0), (10_000, 1), (29_999, 0), (30_000, 1), (59_999, 0), (60_000, 1)]
    {
        world.now = START.plus(Span(ms));
        assert_eq!(world.rescue(&floors, all_dead), expected, "after {ms} ms");
    }
}

#[test]
fn s20_check_and_act_are_one() {
    type Meanwhile = fn(&mut World, StreamId);
    let changes: [Meanwhile; 4] = [
        |world, id| assert_eq!(world.ack("jobs", &[id]), 1),
        |world, id| assert_eq!(world.claim_ids("jobs", "w2", Span::ZERO, &[id], false).len(), 1),
        |world, id| assert_eq!(world.nack("jobs", &[id], Span::from_secs(9)), 1),
        |world, _| assert_eq!(world.own("jobs", "w1").len(), 1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (mut world, id) = taken();
        let found = world.advance(Span(60_000)).look(&floors(), all_dead);
        assert_eq!(found.lost.len(), 1);
        world.advance(Span(1));
        change(&mut world, id);
        let before = world.dump();
        assert_eq!(world.act(|tx| give_back(tx, found.lost, 5)), Ok(0), "{number}");
        assert_eq!(world.dump(), before, "{number}");
    }
}

#[test]
fn s27_too_many_deliveries_are_buried() {
    let (mut world, id) = taken();
    for _ in 0..4 {
        assert_eq!(world.advance(Span(30_000)).rescue(&floors(), all_dead), 1);
        assert_eq!(world.read("jobs", "w1"), [id]);
    }
    assert_eq!(world.advance(Span(30_000)).rescue(&floors(), all_dead), 1);
    assert!(world.read("jobs", "w1").is_empty());
    assert_eq!((world.stream("jobs").length, world.pending("jobs").len()), (0, 0));
    let Entry { fields, .. } = the_entry(&mut world, "jobs.dead");
    let text =
        |name: &str| String::from_utf8(fields.get(name.as_bytes()).unwrap().to_vec()).unwrap();
    assert_eq!((text("v"), text("tidegate-id")), ("1".to_owned(), id.to_string()));
    assert!(text("tidegate-reason").contains("delivered 5 times, the last to `w1`"));
}

fn the_entry(world: &mut World, stream: &str) -> Entry {
    use crate::ledger::keys::command::{Answer, Command};
    let (from, to) = (StreamId::MIN, StreamId::MAX);
    let key = KeyName::of(stream);
    match world.ask_for(Command::Range { key, from, to, newest_first: false, count: None }) {
        Ok(Answer::Entries(mut entries)) if entries.len() == 1 => entries.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn s27_buried_for_one_group_stays_for_another() {
    let mut world = World::new();
    world.group("jobs").group_named("jobs", "others");
    world.add("jobs", "1");
    let floors = Floors { max_deliveries: 1, ..floors() };
    assert_eq!(world.read("jobs", "w1").len(), 1);
    assert_eq!(world.advance(Span(30_000)).rescue(&floors, all_dead), 1);
    assert_eq!((world.stream("jobs").length, world.stream("jobs.dead").length), (1, 1));
    assert_eq!(world.read_as("jobs", "others", "o", GroupStart::New, 9).len(), 1);
}

#[test]
fn s27_deleted_entries_are_not_buried() {
    let (mut world, id) = taken();
    let key = KeyName::of("jobs");
    world.count(crate::ledger::keys::command::Command::Delete { key, ids: vec![id] });
    let floors = Floors { max_deliveries: 1, ..floors() };
    assert_eq!(world.advance(Span(30_000)).rescue(&floors, all_dead), 1);
    assert!(world.pending("jobs").is_empty());
    let dead = world
        .ask(|rows| crate::ledger::streams::open::look(rows, START, &KeyName::of("jobs.dead")));
    assert!(matches!(dead, Ok(None)), "no stream is made for nothing");
}

#[test]
fn s27_own_work_is_read_again() {
    let (mut world, id) = taken();
    world.advance(Span(10_000));
    // The worker was started anew and asks for what it left undone.
    let own = world.own("jobs", "w1");
    assert_eq!((own[0].id, own.len()), (id, 1));
    assert_eq!(world.pending("jobs")[0].deliveries, 2);
    assert!(world.own("jobs", "w2").is_empty());
}

#[test]
fn s28_every_pending_row_is_looked_at() {
    let mut world = World::new();
    world.group("jobs");
    world.checking = false;
    let count = GIVEN_BACK_MAX * 2 + 7;
    for _ in 0..count {
        world.add("jobs", "1");
    }
    // Slow and alive, with hundreds of rows before those of the dead one.
    let slow =
        world.read_as("jobs", GROUP, "slow", GroupStart::New, 600_u64.min(count as u64 - 10));
    let dead = world.read("jobs", "dead");
    assert_eq!(slow.len() + dead.len(), count);
    let alive = |_: &KeyName, _: &Bytes, who: &[u8]| (who == b"slow").then_some(Time(0));
    assert_eq!(world.advance(Span(30_000)).rescue(&floors(), alive), dead.len());
    assert_eq!(world.rescue(&floors(), all_dead), slow.len(), "in as many acts as it takes");
    world.check_all();
    let kept = world.pending("jobs");
    assert!(kept.iter().all(|item| item.first_delivered_at == START && item.idle.is_none()));
}

#[test]
fn s36_every_database_is_looked_at() {
    use crate::ledger::keys::command::{Add, Command, ReadGroup};
    use crate::model::stream::{Fields, NewId, Start};
    let mut world = World::new();
    let key = KeyName::new(15, "far");
    let fields = Fields::from_parts(&["a", "b"]);
    let add = Add { key: key.clone(), create: true, trim: None, id: NewId::Any, fields };
    world.ask_for(Command::Add(add)).unwrap();
    world
        .ask_for(Command::GroupCreate {
            key: key.clone(),
            group: "g".into(),
            start: Start::After(StreamId::MIN),
            create_stream: false,
            entries_read: None,
        })
        .unwrap();
    let keys = vec![(key, GroupStart::New)];
    let (count, no_ack, claim) = (None, false, None);
    let read = ReadGroup { group: "g".into(), consumer: "c".into(), keys, count, no_ack, claim };
    world.ask_for(Command::ReadGroup(read)).unwrap();
    assert_eq!(world.advance(Span(30_000)).rescue(&floors(), all_dead), 1);
}

#[test]
fn s37_look_says_when_to_look_again() {
    let (mut world, _) = taken();
    let found = world.look(&floors(), all_dead);
    assert_eq!(found.next, Some(START.plus(Span(30_000))), "no worker is needed for that");
    world.advance(Span(30_000)).rescue(&floors(), all_dead);
    assert_eq!(world.look(&floors(), all_dead).next, None);
}

/// A reader that wanted three, and found three that were deleted meanwhile, waited for ever while
/// others stood behind them.
#[test]
fn deleted_ones_hide_nothing_that_was_given_back() {
    for (deleted, count) in [(3, 3), (1, 1), (250, 1)] {
        let mut world = World::new();
        world.group("jobs");
        let ids: Vec<StreamId> =
            (0..deleted + 2).map(|n| world.add("jobs", &n.to_string())).collect();
        world.read_as("jobs", GROUP, "w", GroupStart::New, 1_000);
        world.nack("jobs", &ids, Span::ZERO);
        let (key, gone) = (KeyName::of("jobs"), ids[..deleted].to_vec());
        world.ask_for(Command::Delete { key, ids: gone }).unwrap();
        // Where many are gone a look takes a part of them, and asks for another one.
        let mut read = Vec::new();
        while read.is_empty() {
            world.heard.clear();
            read = world.read_as("jobs", GROUP, "w", GroupStart::New, count);
            let again = Notice::Key(KeyName::of("jobs"));
            assert!(!read.is_empty() || world.heard.contains(&again), "{:?}", world.heard);
        }
        assert_eq!(read[0].id, ids[deleted]);
    }
}
