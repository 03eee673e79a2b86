//! Expiries: conditions, removal when the time has come, and streams that hold runs.

use super::*;
use crate::ledger::outbox::fire::{FIRE_MAX, fire};
use crate::model::delivery::Timer;
use crate::model::notice::Notice;
use crate::store::kinds::{due, key as rows};

#[test]
fn expire_obeys_its_conditions() {
    check(
        r#"
        PEXPIRE a 10 => 0
        SET a 1
        PEXPIRE a 1000 XX => 0
        PEXPIRE a 1000 GT => 0
        PTTL a => -1
        PEXPIRE a 1000 LT => 1
        PEXPIRE a 1000 LT => 0
        PEXPIRE a 1000 GT => 0
        PEXPIRE a 900 GT => 0
        PEXPIRE a 900 NX => 0
        PEXPIRE a 900 XX LT => 1
        PTTL a => 900
        PEXPIRE a 1100 XX GT => 1
        PTTL a => 1100
        PEXPIRE a 5 => 1
        PTTL a => 5
        PERSIST a => 1
        PERSIST a => 0
        PERSIST x => 0
        PTTL a => -1
        PTTL x => -2
        PEXPIRE a 10 NX => 1
        "#,
    );
}

#[test]
fn expiry_in_the_past_removes_at_once() {
    check(
        r#"
        MSET a 1 b 2 c 3
        PEXPIRE a 0 => 1
        PEXPIRE b -5 XX => 0
        PEXPIRE b -5 NX => 1
        EXISTS a b => 0
        DBSIZE 0 => 1
        "#,
    );
}

#[test]
fn time_removes_keys() {
    check(
        r#"
        SET a 1 PX 10
        SET b 1 PX 20
        STREAM s 3 0
        PEXPIRE s 10 => 1
        DBSIZE 0 => 3
        WAIT 10
        DBSIZE 0 => 3
        FIRE
        DBSIZE 0 => 1
        PURGE
        WAIT 10
        FIRE
        DBSIZE 0 => 0
        "#,
    );
}

#[test]
fn runs_outlive_an_expiry() {
    let mut world = World::new();
    run(
        &mut world,
        "STREAM s 2 1\n PEXPIRE s 10 => !not_allowed_holds_runs\n DEL s => !not_allowed_holds_runs",
    );
    for later in ["FIRE", "PERSIST s => 0", "EXISTS s => 1"] {
        // As if the run had come after the expiry was set.
        world.write(|tx| {
            let before = rows::get(tx, &key("s")).unwrap().unwrap();
            let at = Some(tx.now().plus(Span(10)));
            let after = rows::Entry { expires_at: at, ..before.clone() };
            rows::save(tx, &key("s"), Some(&before), Some(&after));
        });
        run(&mut world, "PTTL s => 10\n WAIT 10\n PTTL s => -1\n TYPE s => stream");
        run(&mut world, later);
        run(&mut world, "PTTL s => -1\n FIRE\n EXISTS s => 1\n WAIT 1000\n FIRE\n EXISTS s => 1");
    }
}

#[test]
fn firing_tells_when_keys_expire_next() {
    let mut world = World::new();
    let start = world.now;
    run(&mut world, "SET a 1 PX 10\n SET b 1 PX 5000");
    let slack = rows::EXPIRY_SLACK;
    assert_eq!(world.act(fire).unwrap().next, Some(start.plus(Span(10)).plus(slack)));
    run(&mut world, "WAIT 15");
    let fired = world.act(fire).unwrap();
    assert_eq!((fired.count, fired.next), (1, Some(start.plus(Span(5000)).plus(slack))));

    world.checking = false;
    for n in 0..=FIRE_MAX {
        run(&mut world, &format!("SET k{n} 1 PX 20"));
    }
    world.checking = true;
    run(&mut world, "WAIT 20");
    let fired = world.act(fire).unwrap();
    assert_eq!((fired.count, fired.next), (FIRE_MAX, Some(world.now)));
    assert_eq!(world.act(fire).unwrap().count, 1);
}

#[test]
fn expiry_that_no_key_has_is_cleared() {
    let mut world = World::new();
    run(&mut world, "SET a 1 PX 50");
    let before = world.ask(|view| rows::get(view, &key("a"))).unwrap().unwrap();
    // As if an expiry had been forgotten when its key got another.
    world.checking = false;
    world.write(|tx| {
        let stale = rows::Entry { expires_at: Some(tx.now().plus(Span(5))), ..before.clone() };
        rows::save(tx, &key("a"), None, Some(&stale));
        rows::save(tx, &key("a"), Some(&rows::Entry { expires_at: None, ..stale }), Some(&before));
        tx.count(crate::store::kinds::count::keys(0), -1);
    });
    run(&mut world, "WAIT 5\n FIRE");
    world.checking = true;
    run(&mut world, "PTTL a => 45");
}

#[test]
fn entries_that_come_again_wake_their_readers() {
    let mut world = World::new();
    run(&mut world, "STREAM s 2 0\n RENAME s t");
    let number = world.ask(|view| rows::get(view, &key("t"))).unwrap().unwrap().number;
    let at = world.now.plus(Span(10));
    for (db, stream, expected) in
        [(0, number, vec![Notice::Key(key("t"))]), (1, number, vec![]), (0, number + 1, vec![])]
    {
        world.write(|tx| due::set(tx, Timer::Again, at, pending::again_timer(db, stream, 1)));
        world.now = at;
        assert_eq!(world.act(fire).unwrap().count, 1);
        assert_eq!(world.heard, expected);
        assert_eq!(world.ask(due::next).unwrap(), None);
    }
}
