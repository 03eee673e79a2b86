//! Rows that nobody sees go in bounded pieces.

use super::*;
use crate::ledger::keys::purge::{PURGE_ROWS_MAX, purge};
use crate::store::key::Key;
use crate::store::kinds::entry::{Purge, TABLES_OF_A_STREAM, purges, put_purge};
use crate::store::kinds::key as rows;
use crate::store::rows::{Span as Keys, collect_keys};

fn rows_of_streams(world: &World) -> usize {
    let count = |table| {
        let span = Keys::prefix(&Key::new(table));
        world.ask(|view| collect_keys(view, &span, usize::MAX)).unwrap().len()
    };
    TABLES_OF_A_STREAM.into_iter().map(count).sum()
}

#[test]
fn rows_of_a_removed_stream_go() {
    let mut world = World::new();
    run(&mut world, "STREAM s 5 0\n STREAM t 3 0\n DEL s => 1");
    // Group, consumer and its name, then entry, pending and some that come again.
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
        put_purge(tx, &Purge { stream: stream.number, below: Some(first) });
        rows::put(tx, &key("s"), &entry);
    });
    let before = rows_of_streams(&world);
    run(&mut world, "PURGE");
    assert_eq!(rows_of_streams(&world), before - 3);
    assert_eq!(world.ask(|view| purges(view, 9)).unwrap(), []);
}
