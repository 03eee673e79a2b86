//! The fleet as acts: heartbeats, looks, lost work, tidying.

use super::tick::{Connected, tick};
use super::*;
use crate::base::time::Span;
use crate::ledger::keys::apply;
use crate::ledger::keys::command::{Add, Command, Expiry, ReadGroup, SetIf};
use crate::ledger::streams::requeue::{self, Floors};
use crate::ledger::testing::World;
use crate::model::stream::{Fields, GroupStart, NewId, Start};
use crate::model::worker::{EventKind, FleetEvent};
use bytes::Bytes;

const LONG_AGO: Time = Time(0);

fn look(world: &mut World) {
    world.act(|tx| tick(tx, &Connected::new(), LONG_AGO)).unwrap();
}

fn beats(world: &mut World, consumer: &str) {
    let beat_of = Beat {
        stream: "arax".into(),
        consumer: consumer.into(),
        started_at: None,
        task_limit: 10,
        info: None,
    };
    world.act(|tx| beat(tx, beat_of)).unwrap();
}

fn states(world: &World) -> Vec<(String, &'static str)> {
    let listed = world.ask(|rows| crate::store::kinds::worker::list(rows, None, 100)).unwrap();
    listed.into_iter().map(|worker| (worker.consumer, worker.state.as_str())).collect()
}

fn events(world: &World) -> Vec<FleetEvent> {
    let found = world.ask(|rows| crate::store::kinds::worker::events(rows, None, 100)).unwrap();
    found.into_iter().rev().map(|(_, event)| event).collect()
}

fn told(world: &World) -> Vec<String> {
    let one = |event: FleetEvent| {
        format!("{} {}->{} {}", event.kind.as_str(), event.from, event.to, event.state.as_str())
    };
    events(world).into_iter().map(one).collect()
}

/// A stream with a group, and so many entries that `c1` was given.
fn with_pending(count: usize) -> World {
    let mut world = World::new();
    let key = KeyName::of("arax");
    let group = Bytes::from_static(b"consumer");
    for _ in 0..count {
        let fields = Fields::from_parts(&["a", "1"]);
        let add = Add { key: key.clone(), create: true, trim: None, id: NewId::Any, fields };
        world.act(|tx| apply(tx, Command::Add(add))).unwrap();
    }
    let create = Command::GroupCreate {
        key: key.clone(),
        group: group.clone(),
        start: Start::After(Default::default()),
        create_stream: true,
        entries_read: None,
    };
    world.act(|tx| apply(tx, create)).unwrap();
    let read = ReadGroup {
        group,
        consumer: Bytes::from_static(b"c1"),
        keys: vec![(key, GroupStart::New)],
        count: None,
        no_ack: false,
        claim: None,
    };
    world.act(|tx| apply(tx, Command::ReadGroup(read))).unwrap();
    world
}

#[test]
fn s22_every_crash_counts_for_its_own_worker() {
    let mut world = World::new();
    for name in ["c1", "c2", "c3"] {
        beats(&mut world, name);
    }
    look(&mut world);
    assert_eq!(told(&world), ["scale_up 0->3 alive"]);
    world.advance(Span::from_secs(14));
    beats(&mut world, "c1");
    beats(&mut world, "c2");
    world.advance(Span::from_secs(2));
    // One of three, and another process in its place at once.
    beats(&mut world, "c4");
    look(&mut world);
    let expected = [("c1", "alive"), ("c2", "alive"), ("c3", "crashed"), ("c4", "alive")];
    assert_eq!(states(&world), expected.map(|(name, state)| (name.to_owned(), state)));
    assert_eq!(told(&world)[1..], ["crash 3->3 crashed"]);
    assert_eq!(events(&world)[1].severity(), "critical");
}

#[test]
fn s21_a_notice_speaks_only_for_its_own_worker() {
    let mut world = World::new();
    beats(&mut world, "c1");
    beats(&mut world, "c2");
    look(&mut world);
    world.act(|tx| shutdown(tx, "arax", "c1")).unwrap();
    look(&mut world);
    world.advance(Span::from_secs(16));
    look(&mut world);
    let expected = [("c1", "stopped"), ("c2", "crashed")];
    assert_eq!(states(&world), expected.map(|(name, state)| (name.to_owned(), state)));
    let kind = world.ask(|rows| crate::store::kinds::worker::get_type(rows, "arax"));
    let kind = kind.unwrap().unwrap();
    assert_eq!((kind.state_word(), kind.crashes), ("crashed", 1));
    // Long after, nothing is decided anew.
    world.advance(Span::from_secs(600));
    look(&mut world);
    assert_eq!(told(&world).len(), 4);
}

#[test]
fn s23_recovery_starts_from_none() {
    let mut world = World::new();
    beats(&mut world, "c1");
    look(&mut world);
    world.advance(Span::from_secs(20));
    look(&mut world);
    beats(&mut world, "c2");
    look(&mut world);
    let scale = ["scale_up 0->1 alive", "crash 1->0 crashed", "scale_down 1->0 crashed"];
    assert_eq!(told(&world)[..3], scale);
    assert_eq!(told(&world)[3], "scale_up 0->1 alive");
}

#[test]
fn s11_a_type_is_known_until_it_is_forgotten() {
    let mut world = World::new();
    beats(&mut world, "c1");
    look(&mut world);
    world.advance(Span::from_hours(30));
    look(&mut world);
    world.advance(Span::from_hours(30));
    look(&mut world);
    assert!(states(&world).is_empty());
    assert!(
        world.ask(|rows| crate::store::kinds::worker::get_type(rows, "arax")).unwrap().is_some()
    );
    world.act(|tx| forget(tx, "arax")).unwrap();
    let refusal = world.act(|tx| forget(tx, "arax")).unwrap_err();
    assert_eq!(refusal.code, Code::WorkerNotFound);
    beats(&mut world, "c1");
    look(&mut world);
    assert_eq!(told(&world).last().unwrap(), "scale_up 0->1 alive");
}

#[test]
fn s24_keys_of_known_workers_are_read_by_their_value() {
    let mut world = World::new();
    let mut set = |key: &str, value: &str| {
        let command = Command::Set {
            key: KeyName::new(0, key.to_owned()),
            value: Bytes::from(value.to_owned()),
            when: SetIf::Always,
            expiry: Expiry::None,
            get: false,
        };
        world.act(|tx| apply(tx, command)).unwrap();
    };
    set(
        "worker:heartbeat:a:b:c",
        r#"{"stream":"a:b","consumer":"c","started_at":12.5,"last_seen":13,"task_limit":4}"#,
    );
    set("worker:heartbeat:x:y", "not JSON");
    set("worker:shutdown:a:b:c", r#"{"stream":"a:b","consumer":"c","signum":15,"ts":14}"#);
    let listed = world.ask(|rows| crate::store::kinds::worker::list(rows, None, 10)).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].stream.as_str(), listed[0].consumer.as_str()), ("a:b", "c"));
    assert_eq!(listed[0].task_limit, 4);
    assert!(listed[0].marker_at.is_some());
}

#[test]
fn readers_without_heartbeats_are_seen_too() {
    let mut world = with_pending(2);
    look(&mut world);
    assert_eq!(states(&world), [("c1".to_owned(), "alive")]);
    world.advance(Span::from_secs(16));
    let here = Connected::from([(KeyName::of("arax"), Bytes::from_static(b"c1"))]);
    world.act(|tx| tick(tx, &here, LONG_AGO)).unwrap();
    assert_eq!(states(&world), [("c1".to_owned(), "alive")]);
    look(&mut world);
    assert_eq!(states(&world), [("c1".to_owned(), "crashed")]);
    assert_eq!(events(&world)[1].kind, EventKind::Crash);
}

#[test]
fn s37_work_of_the_lost_is_given_back_by_the_server() {
    let mut world = with_pending(3);
    let floors = Floors::default();
    let now = |world: &World| world.now;
    let look_with = |world: &World, since: Option<Time>| {
        world.ask(|rows| requeue::look(rows, now(world), &floors, &|_, _, _| since)).unwrap()
    };
    // 8: below its floor, and with a live worker, nothing is taken.
    world.advance(Span::from_secs(29));
    let early = look_with(&world, None);
    assert!(early.lost.is_empty() && early.next == Some(world.now.plus(Span::from_secs(1))));
    world.advance(Span::from_secs(600));
    assert!(look_with(&world, Some(Time(0))).lost.is_empty());
    // Started after it was given the work: that was an earlier life.
    let reborn = look_with(&world, Some(world.now));
    assert_eq!(reborn.lost.len(), 3);
    let lost = look_with(&world, None).lost;
    assert_eq!(world.act(|tx| requeue::give_back(tx, lost.clone(), 5)).unwrap(), 3);
    // 9, 20: what changed since the look is left alone.
    assert_eq!(world.act(|tx| requeue::give_back(tx, lost, 5)).unwrap(), 0);
}

#[test]
fn s05_consumers_that_are_gone_are_removed_and_no_others() {
    let mut world = with_pending(0);
    world.advance(Span::from_mins(59));
    let none = Connected::new();
    assert!(world.act(|tx| cleanup::remove_stale(tx, &none)).unwrap().is_empty());
    world.advance(Span::from_mins(2));
    let here = Connected::from([(KeyName::of("arax"), Bytes::from_static(b"c1"))]);
    assert!(world.act(|tx| cleanup::remove_stale(tx, &here)).unwrap().is_empty());
    let removed = world.act(|tx| cleanup::remove_stale(tx, &none)).unwrap();
    assert_eq!(removed, [("arax".to_owned(), 1)]);
    let mut busy = with_pending(1);
    busy.advance(Span::from_hours(5));
    assert!(busy.act(|tx| cleanup::remove_stale(tx, &none)).unwrap().is_empty());
}

#[test]
fn s18_a_dry_run_counts_the_same_and_changes_nothing() {
    let mut world = with_pending(3);
    world.advance(Span::from_hours(2));
    let none = Connected::new();
    let before = world.dump();
    let hour = Span::from_hours(1);
    let dry = world.act(|tx| cleanup::reclaim_dead(tx, &none, hour, true)).unwrap();
    assert_eq!(world.dump(), before);
    let real = world.act(|tx| cleanup::reclaim_dead(tx, &none, hour, false)).unwrap();
    assert_eq!(dry, real);
    assert_eq!((real.messages, real.consumers), (3, 1));
    let length = world.act(|tx| apply(tx, Command::Length { key: KeyName::of("arax") })).unwrap();
    assert_eq!(length, crate::ledger::keys::command::Answer::Count(0));
}

#[test]
fn s04_trimming_spares_what_is_pending_or_unread() {
    let mut world = with_pending(3);
    let trimmed = world.act(|tx| cleanup::trim_done(tx, false)).unwrap();
    assert!(trimmed.is_empty(), "{trimmed:?}");
}
