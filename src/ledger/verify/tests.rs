//! Nothing is found in a store that acts made (every test of acts looks), and whatever is missing or
//! too much in one is found.

use super::*;
use crate::base::time::Span as Time;
use crate::ledger::testing::*;
use crate::model::task::Ordering;
use crate::store::changes::Changes;
use crate::store::kinds::count;
use crate::store::memory::Memory;
use crate::store::rows::{Row, collect};

/// Runs in many states, pushed, ordered and pulled, and a dead letter.
fn rows() -> Vec<Row> {
    let mut world = World::pulling(&[pull_task("p")]);
    world.register(push_task("t"));
    world.register(crate::model::task::Task {
        concurrency: Some(2),
        ..ordered("o", Ordering::Strict)
    });
    world.live("t");
    world.dead("t");
    world.submit_with("t", |submit| submit.tags = vec!["urgent".to_owned()]).unwrap();
    world.submit_with("t", |submit| submit.delay = Some(Time::from_hours(1))).unwrap();
    for _ in 0..2 {
        world.submit("o");
        world.submit("p");
    }
    world.claim("o");
    world.pull("p", "worker");
    world.add("s", "value");
    world.ask(|rows| collect(rows, &everything(), usize::MAX)).unwrap()
}

fn everything() -> Span {
    Span { lo: vec![0], hi: vec![0xff], newest_first: false }
}

fn report(rows: &[Row]) -> Report {
    let mut memory = Memory::default();
    let rows = rows.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    memory.apply(&Changes { rows, ..Changes::default() }).unwrap();
    verify(&memory, &mut |_| Ok(())).unwrap()
}

/// Rows that tell a story of their own: nothing else is derived from them, nor they from others.
const ALONE: [Table; 12] = [
    Table::Meta,
    Table::Body,
    Table::Output,
    Table::Idem,
    Table::Endpoint,
    Table::Attempt,
    Table::Event,
    Table::Notice,
    Table::ConsumerName,
    Table::Again,
    Table::Lane,
    Table::Task,
];

#[test]
fn row_that_is_missing_is_found() {
    let all = rows();
    assert_eq!(report(&all), Report { tables: report(&all).tables, ..Report::default() });
    let mut tried = std::collections::BTreeSet::new();
    for at in 0..all.len() {
        let table = Table::from_number(all[at].0[0]).unwrap();
        let only_grows = [count::total(count::Total::Created), count::key_numbers()];
        let apart = only_grows.iter().any(|of| all[at].0.starts_with(&of.bytes()[..2]));
        let wakes =
            table == Table::Due && all[at].0[1] == crate::model::delivery::Timer::Again as u8;
        if ALONE.contains(&table) || apart || wakes {
            continue;
        }
        tried.insert(table);
        let mut some = all.clone();
        some.remove(at);
        assert!(report(&some).summary().is_some(), "without {:?} {:02x?}", table, all[at].0);
    }
    assert!(tried.len() > 15, "{tried:?}");
}

#[test]
fn row_that_nobody_has_is_found() {
    let all = rows();
    for table in [Table::ByStatus, Table::ByTag, Table::Ready, Table::Due, Table::DeadById] {
        let place = all.iter().position(|(key, _)| key[0] == table as u8).unwrap();
        let (mut key, value) = all[place].clone();
        let last = key.len() - 1;
        key[last] ^= 1;
        let mut more = all.clone();
        more.push((key, value));
        assert!(report(&more).summary().is_some(), "with one more row of {table:?}");
    }
    let mut more = all;
    more.push((vec![254, 1], vec![]));
    assert!(report(&more).summary().unwrap().contains("table 254"));
}

#[test]
fn row_that_cannot_be_read_is_named() {
    for table in [Table::Run, Table::Outbox, Table::Dead, Table::Key, Table::Count] {
        let mut all = rows();
        let place = all.iter().position(|(key, _)| key[0] == table as u8).unwrap();
        all[place].1.truncate(3);
        let said = report(&all).summary().unwrap();
        assert!(said.contains("is damaged"), "{table:?}: {said}");
    }
}

#[test]
fn problems_are_bounded() {
    let mut all = rows();
    all.retain(|(key, _)| key[0] != Table::Count as u8);
    let found = report(&all);
    assert!(found.problems.len() <= PROBLEMS_MAX && found.found >= found.problems.len() as u64);
    assert!(found.summary().unwrap().contains("more problems"));
}

#[test]
fn whoever_watches_may_end_it() {
    let mut memory = Memory::default();
    let rows = (0..5_000_u32).map(|n| ([&[1], &n.to_be_bytes()[..]].concat(), Some(vec![])));
    memory.apply(&Changes { rows: rows.collect(), ..Changes::default() }).unwrap();
    let mut told = 0;
    let ended = verify(&memory, &mut |rows| {
        told += rows;
        Err(BackupError::Canceled("enough".to_owned()))
    });
    assert!(matches!(ended, Err(BackupError::Canceled(_))) && told < watched::ROWS_PER_WORD);
}
