//! Orgs of a schedule: spread, each for itself, tried again when they fail.

use super::super::turn::ORGS_AT_ONCE;
use super::*;
use crate::base::time::Span;
use crate::ledger::outbox::fire;
use crate::ledger::tasks::register;
use crate::model::schedule::{RETRY_FIRST, RETRY_LONGEST, place};
use crate::model::shard::Phase;
use crate::store::kinds::sharded as heads;

#[test]
fn orgs_have_their_turns_over_the_spread() {
    let spread = Span::from_mins(60);
    let orgs = org_names(40);
    let mut world = world_with(|wanted| {
        wanted.orgs.clone_from(&orgs);
        wanted.spread = spread;
    });
    for minute in 0..=60 {
        let now = at("10:00").plus(Span::from_mins(minute));
        world.at(now);
        let round = &world.rounds()[0];
        let had: Vec<Name> = world.slots(round).into_iter().map(|slot| slot.org).collect();
        let due = |org: &&Name| at("10:00").plus(place(org, spread).0) <= now;
        let expected: Vec<Name> = orgs.iter().filter(due).cloned().collect();
        assert_eq!(had, expected, "at minute {minute}");
    }
    assert_eq!(world.history(), ["11-21T10:00 done 40+0 missed 0"]);
}

#[test]
fn a40_killed_in_the_middle_goes_on_where_it_was() {
    let count = 2 * ORGS_AT_ONCE + 10;
    let mut world = world_with(|wanted| wanted.orgs = org_names(count));
    world.now = at("10:00");
    world.act(fire::fire).unwrap();
    world.act(fire::fire).unwrap();
    assert_eq!(world.made().len(), ORGS_AT_ONCE, "a slice is bounded");
    // It was down until after the next window: nobody is forgotten, and nobody gets two.
    world.restart().at(at("23:00"));
    assert_eq!(
        world.history(),
        [
            format!("11-21T22:00 done {count}+0 missed 0"),
            format!("11-21T10:00 done {count}+0 missed 0")
        ]
    );
}

#[test]
fn a_pause_holds_a_round_and_loses_nobody() {
    let spread = Span::from_mins(60);
    let mut world = world_with(|wanted| {
        wanted.orgs = org_names(40);
        wanted.spread = spread;
    });
    world.at(at("10:30"));
    let had = world.count_runs();
    assert!((1..40).contains(&had), "{had}");
    world.pause_it(true);
    world.at(at("11:30"));
    assert_eq!(world.count_runs(), had);
    world.pause_it(false);
    world.fire();
    assert_eq!(world.history(), ["11-21T10:00 done 40+0 missed 0"]);
}

#[test]
fn a_run_by_hand_is_one_at_a_time() {
    let count = ORGS_AT_ONCE + 10;
    let mut world = world_with(|wanted| wanted.orgs = org_names(count));
    let round = world.run_now().unwrap();
    assert_eq!(round.made as usize, ORGS_AT_ONCE);
    assert_refused(world.run_now(), crate::model::refusal::Code::Conflict);
    world.restart().fire();
    assert_eq!(world.history(), [format!("by hand done {count}+0 missed 0")]);
    world.run_now().unwrap();
}

#[test]
fn a41_failure_of_an_org_is_its_own_and_is_tried_again() {
    let mut world = world_with(|wanted| wanted.orgs = org_names(3));
    // Somebody takes the task away.
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    world.at(at("10:00"));
    assert_eq!(world.history(), ["11-21T10:00 open 0+3 missed 0"]);
    let slot = world.slots(&world.rounds()[0]).remove(0);
    assert!(matches!(&slot.got, Got::Nothing { code, .. } if code == "task_not_found"));
    world.after(RETRY_FIRST);
    assert_eq!(world.slots(&world.rounds()[0])[0].tries, 2);
    world.register(push_task("triage"));
    world.after(Span(RETRY_FIRST.0 * 2));
    assert_eq!(world.history(), ["11-21T10:00 done 3+0 missed 0"]);
    assert_eq!(world.count_runs(), 3);
    world.after(RETRY_LONGEST);
    assert_eq!(world.count_runs(), 3);
}

#[test]
fn a_window_that_failed_is_given_up_at_the_next() {
    let mut world = world_with(|wanted| wanted.orgs = org_names(2));
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    let mut now = at("10:00");
    while now < at("21:50") {
        world.at(now);
        now = now.plus(Span::from_mins(5));
    }
    let tries = world.slots(&world.rounds()[0])[0].tries;
    assert!((40..60).contains(&tries), "{tries}: pauses grow up to a bound");
    world.register(push_task("triage"));
    world.now = at("22:00");
    world.fire();
    assert_eq!(
        world.history(),
        ["11-21T22:00 done 2+0 missed 0", "11-21T10:00 given_up 0+2 missed 0"]
    );
}

#[test]
fn orgs_that_left_are_not_tried_again() {
    let mut world = world_with(|wanted| wanted.orgs = org_names(3));
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    world.at(at("10:00"));
    world.register(push_task("triage"));
    world.change(|wanted| wanted.orgs = org_names(1));
    world.after(RETRY_FIRST);
    assert_eq!(world.history(), ["11-21T10:00 done 1+0 missed 0"]);
}

#[test]
fn a_round_whose_orgs_all_left_ends() {
    let mut world = world_with(|wanted| wanted.orgs = org_names(3));
    world.act(|tx| register::remove(tx, &n("triage"))).unwrap();
    world.at(at("10:00"));
    world.register(push_task("triage"));
    // Its place is before those that were tried: its first window is the next one.
    world.change(|wanted| wanted.orgs = vec![n("aaa")]);
    world.after(RETRY_FIRST);
    assert_eq!(world.history(), ["11-21T10:00 done 0+0 missed 0"]);
    world.at(at("22:00"));
    assert_eq!(world.history()[0], "11-21T22:00 done 1+0 missed 0");
}

#[test]
fn items_become_one_sharded_run_for_each_org() {
    let items = Work::Items { text: b"[1,2,3,4,5]".to_vec(), items: 5, shard_size: Some(2) };
    let mut world = world_with(|wanted| {
        wanted.orgs = org_names(2);
        wanted.work = items.clone();
    });
    world.at(at("10:00")).restart().fire();
    let slots = world.slots(&world.rounds()[0]);
    for slot in &slots {
        let Got::Sharded(id) = slot.got else { panic!("{slot:?}") };
        let head = world.ask(|view| heads::get(view, id)).unwrap().unwrap();
        assert_eq!((head.shards, head.items, head.phase), (3, 5, Phase::Dispatching));
        assert_eq!(head.window.as_deref(), Some("2026-11-21T10:00:00.000Z"));
        assert_eq!((head.schedule.as_deref(), &head.org), (Some("nightly"), &slot.org));
    }
    let id = world.run_now().unwrap().id;
    assert_eq!(world.rounds()[0].id, id);
    assert_eq!(world.history()[0], "by hand done 2+0 missed 0");
    assert_eq!(world.ask(|view| heads::newest(view, None, 9)).unwrap().len(), 4);
}
