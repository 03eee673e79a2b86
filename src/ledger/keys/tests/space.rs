//! Keys as such: finding, removing, renaming, listing, flushing.

use super::*;
use crate::model::notice::Notice;

#[test]
fn keys_are_counted_and_removed() {
    check(
        r#"
        MSET a 1 b 2 3/a 3
        STREAM s 3 0
        DBSIZE 0 => 3
        DBSIZE 3 => 1
        EXISTS a b a x s => 4
        TYPE a => string
        TYPE s => stream
        TYPE x => none
        DEL a a x s => 2
        EXISTS a s => 0
        DBSIZE 0 => 1
        STREAM busy 3 1
        DEL b busy => !not_allowed_holds_runs
        EXISTS b busy => 2
        "#,
    );
}

#[test]
fn expired_keys_are_not_there() {
    check(
        r#"
        SET a 1 PX 10
        WAIT 10
        EXISTS a => 0
        TYPE a => none
        PTTL a => -2
        PERSIST a => 0
        PEXPIRE a 10 => 0
        DEL a => 0
        GETDEL a => nil
        STRLEN a => 0
        RENAME a b => !key_not_found
        SCAN 0 0 10 => end
        SET a 1 PX 10
        WAIT 10
        INCRBY a 5 => 5
        PTTL a => -1
        "#,
    );
}

#[test]
fn rename_takes_value_and_expiry_along() {
    check(
        r#"
        RENAME a a => !key_not_found
        SET a 1 PX 500
        RENAME a a
        RENAMENX a a => no
        RENAME a b
        EXISTS a => 0
        GET b => "1"
        PTTL b => 500
        SET c 3
        RENAMENX b c => no
        RENAME b c
        PTTL c => 500
        DBSIZE 0 => 1
        SET d 4 PX 10
        WAIT 10
        RENAMENX c d
        GET d => "1"
        "#,
    );
}

#[test]
fn renamed_stream_keeps_its_rows() {
    check(
        r#"
        STREAM s 5 0
        STREAM t 4 0
        RENAME s t
        TYPE s => none
        TYPE t => stream
        PURGE
        SET a 1
        RENAME a t
        GET t => "1"
        PURGE
        STREAM busy 5 2
        RENAME busy u => !not_allowed_holds_runs
        RENAME t busy => !not_allowed_holds_runs
        RENAMENX t busy => no
        RENAME busy busy
        EXISTS t busy => 2
        "#,
    );
}

#[test]
fn scan_lists_keys_in_order_of_creation() {
    check(
        r#"
        MSET d 1 a 2 c 3 5/x 9
        STREAM b 1 0
        SCAN 0 0 10 => d:string a:string c:string b:stream end
        SCAN 0 0 2 => d:string a:string after 2
        SCAN 0 2 2 => c:string b:stream after 5
        SCAN 0 5 2 => end
        SCAN 0 0 0 => d:string after 1
        RENAME d z
        SET a 7
        SCAN 0 0 10 => z:string a:string c:string b:stream end
        DEL a => 1
        SET a 8
        SCAN 0 0 10 => z:string c:string b:stream a:string end
        SCAN 5 0 10 => x:string end
        SCAN 0 18446744073709551615 10 => end
        PEXPIRE c 10 => 1
        WAIT 10
        SCAN 0 0 2 => z:string after 3
        "#,
    );
}

#[test]
fn flush_removes_a_piece_at_a_time() {
    check(
        r#"
        MSET a 1 b 2 c 3 3/a 4 15/b 5
        STREAM s 2 0
        SET t 1 PX 10
        WAIT 10
        FLUSHDB 3 10 => 1
        FLUSHDB 0 2 => 2
        DBSIZE 0 => 3
        FLUSHDB all 2 => 2
        FLUSHDB all 2 => 2
        FLUSHDB all 2 => 0
        PURGE
        STREAM busy 2 1
        SET a 1
        FLUSHDB 0 10 => !not_allowed_holds_runs
        FLUSHDB all 10 => !not_allowed_holds_runs
        EXISTS a busy => 2
        "#,
    );
}

#[test]
fn sizes_include_what_came_before_in_a_batch() {
    let mut world = World::new();
    world.batching = true;
    run(&mut world, "MSET a 1 b 2\n DBSIZE 0 => 2\n DEL a => 1\n DBSIZE 0 => 1");
}

#[test]
fn readers_are_woken_when_streams_come_and_go() {
    let told = |name| Notice::Key(key(name));
    for (request, expected) in [
        ("DEL s", vec![Notice::Purge, told("s")]),
        ("SET s 1", vec![Notice::Purge, told("s")]),
        ("MSET b 1 s 1", vec![Notice::Purge, told("s")]),
        ("PEXPIRE s 0", vec![Notice::Purge, told("s")]),
        ("RENAME s t", vec![told("s"), told("t")]),
        ("RENAME a s", vec![Notice::Purge, told("s"), told("a"), told("s")]),
        ("FLUSHDB 0 9", vec![Notice::Purge, told("s"), told("a")]),
        ("SET a 2", vec![]),
        ("INCRBY a 2", vec![]),
    ] {
        let mut world = World::new();
        run(&mut world, "STREAM s 2 0\n SET a 1");
        answer(&mut world, request);
        assert_eq!(world.heard, expected, "{request}");
    }
}
