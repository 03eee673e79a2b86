//! Windows that were missed.

use super::*;
use crate::base::time::Span;
use crate::model::schedule::{LATE_MAX, MISSED_COUNTED_MAX};

fn days(days: i64) -> Time {
    at("12:00").plus(Span::from_days(days))
}

#[test]
fn the_last_missed_window_is_begun_once() {
    let mut world = world();
    world.at(days(3));
    assert_eq!(world.history(), ["11-24T10:00 done 1+0 missed 6"]);
    world.fire();
    assert_eq!(world.count_runs(), 1);
    world.at(at("22:00").plus(Span::from_days(3)));
    assert_eq!(world.history()[0], "11-24T22:00 done 1+0 missed 0");
}

#[test]
fn missed_windows_are_skipped_when_asked() {
    let mut world = world_with(|wanted| wanted.missed = Missed::Skip);
    world.at(days(3));
    assert_eq!(world.history(), ["11-24T10:00 skipped 0+0 missed 7"]);
    assert_eq!(world.count_runs(), 0);
    assert_eq!(world.tell_it().last_round(), None);
    // A little late is on time.
    world.at(at("22:00").plus(Span::from_days(3)).plus(LATE_MAX));
    assert_eq!(world.history()[0], "11-24T22:00 done 1+0 missed 0");
    // And one that is on time is begun also when others before it were missed.
    world.at(at("22:00").plus(Span::from_days(9)));
    assert_eq!(world.history()[0], "11-30T22:00 done 1+0 missed 11");
}

#[test]
fn years_of_absence_are_one_look() {
    let mut world = world_with(|wanted| wanted.cron = "* * * * *".to_owned());
    world.at(days(4_000));
    assert_eq!(world.count_runs(), 1);
    let round = &world.rounds()[0];
    assert_eq!(round.missed, MISSED_COUNTED_MAX.saturating_sub(1));
    assert_eq!(round.window, Some(days(4_000)));
}
