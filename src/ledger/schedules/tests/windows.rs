//! Windows begin once, whatever happens around them.

use super::*;
use crate::base::time::Span;
use crate::ledger::outbox::fire;
use crate::model::delivery::Timer;
use crate::model::refusal::Code;
use crate::model::schedule::{ROUNDS_KEPT, SCHEDULES_MAX};
use crate::store::kinds::due;

#[test]
fn a40_redelivered_window_makes_one_run() {
    let mut world = world();
    world.at(at("09:59"));
    assert_eq!(world.count_runs(), 0);
    world.at(at("10:00"));
    assert_eq!(world.history(), ["11-21T10:00 done 1+0 missed 0"]);
    let run = world.made()[0];
    assert_eq!(
        world.metadata(run),
        r#"{"schedule":"nightly","window":"2026-11-21T10:00:00.000Z"}"#
    );
    // The timer fires again, late and with what it once said: nothing follows.
    let id = world.progress().id;
    world.act(|tx| super::super::turn::fire(tx, id, at("10:00"))).unwrap();
    world.restart().fire();
    assert_eq!(world.made(), [run]);
    world.at(at("22:00"));
    assert_eq!(world.count_runs(), 2);
}

#[test]
fn a_clock_that_goes_back_repeats_no_window() {
    let mut world = world();
    world.at(at("10:00")).at(at("22:00"));
    world.at(at("09:00")).at(at("10:00")).at(at("21:59")).at(at("22:00"));
    assert_eq!(world.count_runs(), 2);
    // The page says why nothing is begun until the clock has come there again.
    let told = world.tell_it();
    assert_eq!(told.silent_until(at("09:00")), Some(at("22:00")));
    assert_eq!(told.silent_until(at("22:00")), None);
    world.at(at("22:00").plus(Span::from_hours(12)));
    assert_eq!(world.count_runs(), 3);
}

#[test]
fn nothing_is_begun_while_paused() {
    let mut world = world();
    world.pause_it(true);
    world.pause_it(true);
    let id = world.progress().id;
    assert_eq!(world.ask(|view| due::after(view, Timer::Schedule, None, 9)).unwrap(), []);
    world.at(at("10:00")).at(at("12:00"));
    world.pause_it(false);
    world.fire();
    assert_eq!(world.count_runs(), 0, "a window of the pause is not made up for");
    world.at(at("22:00"));
    assert_eq!(world.history(), ["11-21T22:00 done 1+0 missed 0"]);
    assert_eq!(world.progress().id, id);
}

#[test]
fn a_run_by_hand_is_no_window() {
    let mut world = world();
    world.pause_it(true);
    let round = world.run_now().unwrap();
    assert_eq!((round.window, round.made, round.begun.by.as_str()), (None, 1, "api"));
    assert_eq!(world.metadata(world.made()[0]), r#"{"schedule":"nightly","window":null}"#);
    world.pause_it(false);
    world.at(at("10:00"));
    world.run_now().unwrap();
    let history = world.history();
    assert_eq!(history[0], "by hand done 1+0 missed 0");
    assert_eq!(history[1], "11-21T10:00 done 1+0 missed 0");
    assert_eq!(world.count_runs(), 3);
}

#[test]
fn a_changed_expression_makes_up_for_nothing() {
    let mut world = world();
    world.now = at("13:00");
    // The 10:00 window has not begun yet; the new expression would have fired at noon.
    world.change(|wanted| wanted.cron = "0 12 * * *".to_owned());
    world.fire();
    assert_eq!(world.count_runs(), 0);
    let next = world.progress().next.unwrap();
    assert_eq!(next, at("12:00").plus(Span::from_days(1)));
    let revision = |world: &World| world.tell_it().schedule.revision;
    assert_eq!(revision(&world), 2);
    world.change(|_| {});
    assert_eq!(revision(&world), 2, "nothing was changed");
    world.change(|wanted| wanted.work = Work::Payload(None));
    assert_eq!((revision(&world), world.progress().next), (3, Some(next)));
    world.change(|wanted| wanted.timezone = "Europe/Berlin".to_owned());
    assert_eq!(world.progress().next, Some(at("11:00").plus(Span::from_days(1))));
}

#[test]
fn another_schedule_of_the_name_repeats_no_window() {
    let mut world = world();
    world.at(at("10:00"));
    world.delete_it();
    assert_refused(world.run_now(), Code::ScheduleNotFound);
    world.fire();
    assert_eq!(world.count_runs(), 1, "what it made stays");
    world.now = at("09:00");
    world.put("nightly", wanted("0 10,22 * * *")).unwrap();
    world.at(at("10:00"));
    assert_eq!(world.count_runs(), 1);
    world.at(at("22:00"));
    assert_eq!(world.count_runs(), 2);
}

#[test]
fn deleted_schedules_leave_only_a_tombstone() {
    let mut world = world_with(|wanted| wanted.orgs = org_names(250));
    world.at(at("10:00"));
    world.delete_it();
    world.fire();
    let left = |world: &World| world.ask(|view| rows::tombstones(view, 9)).unwrap().len();
    assert_eq!((left(&world), world.ask(|view| rows::count(view, 9)).unwrap()), (1, 0));
    world.act(fire::fire).unwrap();
    world.advance(set::TOMBSTONE_KEPT);
    world.put("other", wanted("@daily")).unwrap();
    world.act(|tx| set::delete(tx, &n("other"))).unwrap();
    assert_eq!(left(&world), 1, "the old one went, that of the other came");
}

#[test]
fn rounds_are_remembered_up_to_a_bound() {
    let mut world = world_with(|wanted| wanted.cron = "0 * * * *".to_owned());
    for hour in 0..ROUNDS_KEPT as i64 + 30 {
        world.at(at("09:00").plus(Span::from_hours(hour)));
    }
    assert!(world.rounds().len() <= ROUNDS_KEPT);
    assert_eq!(world.count_runs(), ROUNDS_KEPT + 30);
}

#[test]
fn unknown_tasks_and_one_too_many_are_refused() {
    let mut world = world();
    let unknown = Wanted { task: n("nothing"), ..wanted("@daily") };
    assert_refused(world.put("other", unknown), Code::TaskNotFound);
    world.checking = false;
    for at in 1..SCHEDULES_MAX {
        world.put(&format!("s{at}"), wanted("@daily")).unwrap();
    }
    assert_refused(world.put("more", wanted("@daily")), Code::TooManySchedules);
    world.change(|wanted| wanted.cron = "@hourly".to_owned());
}
