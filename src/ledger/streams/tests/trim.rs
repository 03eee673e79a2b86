//! What is cut off a stream, and what is spared.

use crate::base::time::Span;
use crate::ledger::keys::command::{Answer, Command, Refs, Trim, TrimBy};
use crate::ledger::streams::open::Opened;
use crate::ledger::streams::trim::{safe_bound, trim};
use crate::ledger::testing::*;
use crate::model::stream::{GroupStart, KeyName, StreamId};

fn cut(by: TrimBy, refs: Refs) -> Trim {
    Trim { by, roughly: false, limit: None, refs }
}

/// Looks what every group is done with and cuts it, in one transaction as the janitor does.
fn safe_trim(world: &mut World, stream: &str) -> u64 {
    let key = KeyName::of(stream);
    world
        .act(|tx| {
            let Some(mut opened) = Opened::find(tx, &key)? else { return Ok(0) };
            let Some(below) = safe_bound(tx, &opened)? else { return Ok(0) };
            let count = trim(tx, &mut opened, &cut(TrimBy::MinId(below), Refs::Keep))?;
            opened.save(tx);
            Ok(count)
        })
        .unwrap()
}

#[test]
fn s04_trim_spares_what_is_pending() {
    let mut world = World::new();
    world.group("jobs").group_named("jobs", "others");
    let ids: Vec<StreamId> = (0..6).map(|n| world.add("jobs", &n.to_string())).collect();
    assert_eq!(safe_trim(&mut world, "jobs"), 0, "nobody has read anything");
    assert_eq!(world.read_as("jobs", GROUP, "w", GroupStart::New, 4).len(), 4);
    world.ack("jobs", &[ids[0], ids[1], ids[3]]);
    assert_eq!(safe_trim(&mut world, "jobs"), 0, "the others have not read");
    assert_eq!(world.read_as("jobs", "others", "o", GroupStart::New, 5).len(), 5);
    assert_eq!(safe_trim(&mut world, "jobs"), 0, "the others have it pending");
    let ack = |ids: &[StreamId]| Command::Ack {
        key: KeyName::of("jobs"),
        group: "others".into(),
        ids: ids.to_vec(),
    };
    assert_eq!(world.count(ack(&ids[..5])), 5);
    assert_eq!(safe_trim(&mut world, "jobs"), 2, "up to the first that is pending");
    world.ack("jobs", &[ids[2]]);
    assert_eq!(safe_trim(&mut world, "jobs"), 2, "up to the first that was not delivered");
    assert_eq!(world.entries("jobs"), ids[4..]);
}

#[test]
fn s04_given_back_is_spared_too() {
    let mut world = World::new();
    world.group("jobs");
    let ids = [world.add("jobs", "1"), world.add("jobs", "2")];
    world.read("jobs", "w");
    world.nack("jobs", &ids[..1], Span::from_secs(60));
    world.ack("jobs", &ids[1..]);
    assert_eq!(safe_trim(&mut world, "jobs"), 0);
    world.advance(Span::from_secs(60));
    assert_eq!(world.read("jobs", "w"), ids[..1]);
    world.ack("jobs", &ids[..1]);
    assert_eq!(safe_trim(&mut world, "jobs"), 2);
}

#[test]
fn s20_trim_of_what_is_acked_only() {
    let mut world = World::new();
    world.group("jobs");
    let ids: Vec<StreamId> = (0..5).map(|n| world.add("jobs", &n.to_string())).collect();
    world.read_as("jobs", GROUP, "w", GroupStart::New, 3);
    world.ack("jobs", &[ids[0], ids[2]]);
    let key = KeyName::of("jobs");
    let trim = cut(TrimBy::Length(0), Refs::Acked);
    assert_eq!(world.ask_for(Command::Trim { key, trim }), Ok(Answer::Count(2)));
    assert_eq!(world.entries("jobs"), [ids[1], ids[3], ids[4]]);
    assert_eq!(world.stream("jobs").first, ids[1]);
}

#[test]
fn s04_runs_are_never_cut() {
    let mut world = World::pulling(&[pull_task("jobs")]);
    let before = world.add("jobs", "1");
    let run = world.submit("jobs");
    let after = world.add("jobs", "2");
    let entry = world.run(run).entry.unwrap();
    for by in [TrimBy::Length(0), TrimBy::MinId(StreamId::MAX)] {
        for refs in [Refs::Keep, Refs::Delete, Refs::Acked] {
            let key = KeyName::of("jobs");
            world.ask_for(Command::Trim { key, trim: cut(by, refs) }).unwrap();
        }
    }
    assert_eq!(world.entries("jobs"), [entry, after], "up to the first run; not {before}");
    for refs in [Refs::Keep, Refs::Delete, Refs::Acked] {
        let key = KeyName::of("jobs");
        let answer = world.ask_for(Command::DeleteWith { key, refs, ids: vec![entry] });
        assert_eq!(answer, Ok(Answer::Each(vec![2])), "kept");
    }
    let key = KeyName::of("jobs");
    assert_eq!(world.count(Command::Delete { key, ids: vec![entry] }), 0);
    assert_eq!(world.read("jobs", "w"), [entry, after]);
    assert_eq!(world.status(run), "executing");
}
