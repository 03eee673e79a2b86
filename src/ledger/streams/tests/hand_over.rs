//! Acknowledged messages leave, and a step of work is one change.

use crate::base::time::Span;
use crate::ledger::keys::command::{Answer, Command, Expiry, Refs, SetIf};
use crate::ledger::streams::handover::add_all;
use crate::ledger::testing::*;
use crate::model::refusal::Code;
use crate::model::stream::{Fields, KeyName, StreamId};

#[test]
fn s01_acked_messages_leave_the_stream() {
    let mut world = World::new();
    world.group("jobs");
    for round in 0..20 {
        world.add("jobs", &round.to_string());
        let ids = world.read("jobs", "w");
        let done = world.hand_over("jobs", &ids, None).unwrap();
        assert_eq!((done.acked, done.deleted), (1, 1));
    }
    let stream = world.stream("jobs");
    assert_eq!((stream.length, stream.added), (0, 20));
    assert_eq!((world.pending("jobs"), world.group_item("jobs").pending), (vec![], 0));
}

#[test]
fn s01_message_stays_while_another_group_needs_it() {
    let mut world = World::new();
    world.group("jobs").group_named("jobs", "others");
    let id = world.add("jobs", "1");
    let ids = world.read("jobs", "w");
    let done = world.hand_over("jobs", &ids, None).unwrap();
    assert_eq!((done.acked, done.deleted), (1, 0), "the others have not read it");
    let start = crate::model::stream::GroupStart::New;
    assert_eq!(world.read_as("jobs", "others", "o", start, 9).len(), 1);
    let answer = world.ask_for(Command::AckDelete {
        key: KeyName::of("jobs"),
        group: "others".into(),
        refs: Refs::Acked,
        ids: vec![id],
    });
    assert_eq!(answer, Ok(Answer::Each(vec![1])));
    assert_eq!(world.stream("jobs").length, 0);
}

#[test]
fn s26_step_is_one_change_or_none() {
    let mut world = World::new();
    world.group("lookup");
    let first = world.add("lookup", "1");
    let second = world.add("lookup", "2");
    world.read("lookup", "w");
    let done = world.hand_over("lookup", &[first], Some("score")).unwrap();
    assert_eq!((done.acked, done.deleted), (1, 1));
    assert_eq!(world.entries("score"), [done.next.unwrap()]);
    // Its worker is late with one of them: nothing is done, so nothing is lost or doubled.
    let before = world.dump();
    assert_refused(world.hand_over("lookup", &[first, second], Some("score")), Code::Conflict);
    assert_refused(world.hand_over("none", &[first], Some("score")), Code::GroupNotFound);
    assert_eq!(world.dump(), before);
    // Neither when the next stream takes nothing.
    world.ask_for(text("taken")).unwrap();
    let before = world.dump();
    assert_refused(world.hand_over("lookup", &[second], Some("taken")), Code::WrongType);
    assert_eq!(world.dump(), before);
    // Named twice is named once.
    let done = world.hand_over("lookup", &[second, second], Some("score")).unwrap();
    assert_eq!(done.acked, 1);
}

fn text(name: &str) -> Command {
    let (value, when, expiry) = ("x".into(), SetIf::Always, Expiry::None);
    Command::Set { key: KeyName::of(name), value, when, expiry, get: false }
}

#[test]
fn s26_next_may_be_the_same_stream() {
    let mut world = World::new();
    world.group("loop");
    world.add("loop", "1");
    for _ in 0..3 {
        let ids = world.read("loop", "w");
        assert_eq!(ids.len(), 1);
        world.advance(Span(1)).hand_over("loop", &ids, Some("loop")).unwrap();
    }
    assert_eq!(world.stream("loop").length, 1);
}

#[test]
fn s26_added_together_or_not_at_all() {
    let mut world = World::new();
    let fields = |value: &str| Fields::from_parts(&["v", value]);
    let all = vec![fields("1"), fields("2"), fields("3")];
    let ids = world.act(|tx| add_all(tx, &KeyName::of("s"), all.clone())).unwrap();
    assert_eq!(world.entries("s"), ids);
    let key = KeyName::of("s");
    let last = StreamId::new(u64::MAX, u64::MAX - 2);
    world.ask_for(Command::SetId { key, last, added: None, max_deleted: None }).unwrap();
    let before = world.dump();
    assert_refused(world.act(|tx| add_all(tx, &KeyName::of("s"), all)), Code::EntryIdsUsedUp);
    assert_eq!(world.dump(), before);
}
