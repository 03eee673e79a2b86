//! Rows that nobody sees go in bounded pieces.

use super::*;
use crate::ledger::keys::purge::{PURGE_ROWS_MAX, purge};
use crate::store::key::Key;
use crate::store::kinds::entry::{Purge, purges, put_purge};
use crate::store::kinds::key as rows;
use crate::store::rows::{Span as Keys, collect_keys};
use crate::store::tables::Table;

fn rows_of_streams(world: &World) -> usize {
    let count = |table| {
        let span = Keys::prefix(&Key::new(table));
        world.ask(|view| collect_keys(view, &span, usize::MAX)).unwrap().len()
    };
    let tables = [
        Table::Entry,
        Table::Group,
        Table::Consumer,
        Table::ConsumerName,
        Table::Pending,
        Table::Again,
    ];
    tables.into_iter().map(count).sum()
}

#[test]
fn rows_of_a_removed_stream_go() {
    let mut world = World::new();
    run(&mut world, "STREAM s 5 0\n STREAM t 3 0\n DEL s => 1");
    // Group, consumer and its name, then entries, pending rows and some that come again.
    assert_eq!(rows_of_streams(&world), (3 + 5 + 5 + 2) + (3 + 3 + 3 + 1));
    assert_eq!(world.act(purge), Ok(false));
    assert_eq!(rows_of_streams(&world), 3 + 3 + 3 + 1);
    assert_eq!(world.ask(|view| purges(view, 9)).unwrap(), []);
    run(&mut world, "DEL t => 1\n PURGE");
    assert_eq!(rows_of_streams(&world), 0);
}

#[test]
fn large_streams_go_in_pieces() {
    let mut world = World::new();
    let length = PURGE_ROWS_MAX as u64;
    run(&mut world, &format!("STREAM s {length} 0\n STREAM t 3 0\n DEL s t => 2"));
    let all = rows_of_streams(&world);
    assert_eq!(world.act(purge), Ok(true));
    assert_eq!(rows_of_streams(&world), all - PURGE_ROWS_MAX);
    assert_eq!(world.act(purge), Ok(true));
    assert_eq!(world.act(purge), Ok(false));
    assert_eq!(rows_of_streams(&world), 0);
    assert_eq!(world.act(purge), Ok(false));
}

#[test]
fn only_what_was_cut_off_goes() {
    let mut world = World::new();
    run(&mut world, "STREAM s 5 0");
    let first = StreamId::new(4, 0);
    world.write(|tx| {
        let mut entry = rows::get(tx, &key("s")).unwrap().unwrap();
        let Value::Stream(stream) = &mut entry.value else { panic!("no stream") };
        (stream.first, stream.length, stream.max_deleted) = (first, 2, StreamId::new(3, 0));
        put_purge(tx, &Purge::Below(stream.number, first));
        rows::put(tx, &key("s"), &entry);
    });
    let before = rows_of_streams(&world);
    run(&mut world, "PURGE");
    assert_eq!(rows_of_streams(&world), before - 3);
    assert_eq!(world.ask(|view| purges(view, 9)).unwrap(), []);
}

#[test]
fn counters_that_move_in_the_same_batch_go_too() {
    let mut world = World::new();
    run(&mut world, "STREAM s 3 0");
    let number = world.ask(|view| rows::get(view, &key("s"))).unwrap().unwrap().number;
    world.batching = true;
    // An entry is acknowledged, and then all of it goes, before anything is written.
    world.checking = false;
    world.write(|tx| {
        let id = StreamId::new(1, 0);
        let row = pending::get(tx, number, 1, id).unwrap();
        pending::save(tx, (number, 1, id), row.as_ref(), None);
        tx.count(count::pending(number, 1), -1);
        tx.count(count::pending_of(number, 1, 1), -1);
    });
    world.checking = true;
    run(&mut world, "STREAM t 3 0\n DEL s t => 2\n PURGE");
    world.commit();
    world.check();
    assert!(world.dump().lines().count() <= 1, "{}", world.dump());
}
