//! Ticks, packing and answers over a store in memory.

use std::collections::BTreeMap;

use super::ask;
use super::forget::{Round, forget};
use super::pack::pack;
use super::tick::{Ticked, Times, write};
use crate::base::time::{Span, Time};
use crate::ledger::testing::World;
use crate::model::history::{Latency, Scope, Tier, TimesByBucket, Window};
use crate::model::sample::{Metric, Sample, Series};
use crate::store::key::Key;
use crate::store::kinds::{history as rows, remove_some};
use crate::store::rows::{Span as Keys, collect, collect_keys};
use crate::store::tables::Table;

/// The start of an hour, and of a day.
const START: Time = Time(1_699_920_000_000);

fn world() -> World {
    let mut world = World::new();
    world.now = START;
    world
}

fn sample(at: Time, values: &[(&str, f64)]) -> Sample {
    let mut sample = Sample { at, ..Sample::default() };
    for (name, value) in values {
        sample.values.insert(Series::parse(name).unwrap(), *value);
    }
    sample
}

fn times(of: &[(&str, &[u64])]) -> Times {
    let mut times = Times::new();
    for (name, lengths) in of {
        let mut latency = Latency::default();
        lengths.iter().for_each(|ms| latency.run.record(*ms));
        times.insert((Scope::Task, (*name).to_owned()), latency);
    }
    times
}

fn tick(world: &mut World, values: &[(&str, f64)], lengths: Times) -> Ticked {
    let sample = sample(world.now, values);
    world.act(|tx| write(tx, &sample, lengths)).unwrap()
}

fn pack_all(world: &mut World) {
    while world.act(pack).unwrap() {}
}

fn points(world: &World, name: &str, window: &Window) -> Vec<(i64, f64)> {
    let wanted = [Series::parse(name).unwrap()];
    let found = world.ask(|rows| ask::values(rows, &wanted, window)).unwrap();
    let secs = START.0 / 1_000;
    // Means are kept in thousandths.
    let rounded = |mean: f64| (mean * 100.0).round() / 100.0;
    found[&wanted[0]].iter().map(|point| (point.at_secs - secs, rounded(point.mean))).collect()
}

fn window(from_secs: i64, to_secs: i64, now: Time) -> Window {
    Window::new(START.plus(Span::from_secs(from_secs)), START.plus(Span::from_secs(to_secs)), now)
}

/// Rule 35.
#[test]
fn s35_same_tick_twice_does_not_double() {
    let mut world = world();
    assert!(tick(&mut world, &[("outbox_due", 3.0)], Times::new()).fresh);
    assert!(!tick(&mut world, &[("outbox_due", 9.0)], Times::new()).fresh);
    let hour = window(0, 3_600, world.now);
    assert_eq!(points(&world, "outbox_due", &hour), [(0, 3.0)]);
    world.advance(Span::from_hours(2));
    pack_all(&mut world);
    assert_eq!(points(&world, "outbox_due", &hour), [(0, 3.0)]);
    // A clock that went back finds its hour packed: what is there stays, gaps are filled.
    world.now = START;
    tick(&mut world, &[("outbox_due", 5.0)], Times::new());
    world.now = START.plus(Span::from_secs(60));
    tick(&mut world, &[("outbox_due", 7.0)], Times::new());
    world.advance(Span::from_hours(2));
    assert_eq!(points(&world, "outbox_due", &hour), [(0, 3.0), (60, 7.0)]);
    pack_all(&mut world);
    assert_eq!(points(&world, "outbox_due", &hour), [(0, 3.0), (60, 7.0)]);
}

/// The same answers before, while and after an hour is packed.
#[test]
fn packing_changes_no_answer() {
    let mut world = world();
    let names: Vec<String> = (0..300).map(|n| format!("stream_length:stream-{n:03}")).collect();
    for n in 0..120_i64 {
        // Ticks 40 to 49 are missing: a gap, not zeros.
        if !(40..50).contains(&n) {
            let values: Vec<_> = names.iter().map(|name| (name.as_str(), n as f64)).collect();
            let lengths = times(&[("resize", &[n as u64 * 10]), ("mail", &[1, 2])]);
            tick(&mut world, &values, lengths);
        }
        world.advance(Span::from_secs(30));
    }
    world.advance(Span::from_hours(1));
    let ask_all = |world: &World| {
        let mut told = Vec::new();
        for (from, to) in [(0, 3_600), (0, 20_000), (600, 1_215), (-90_000, 3_600), (0, 600_000)] {
            let window = window(from, to, world.now);
            for name in ["stream_length:stream-000", "stream_length:stream-299"] {
                told.push(format!("{:?}", points(world, name, &window)));
            }
            let names = ["resize".to_owned(), "mail".to_owned()];
            let found = world.ask(|rows| ask::times(rows, Scope::Task, &names, &window)).unwrap();
            told.push(format!("{found:?}"));
        }
        told
    };
    let before = ask_all(&world);
    assert!(before[0].contains("(1170, 39.0), (1500, 50.0)"), "{}", before[0]);
    let mut slices = 0;
    loop {
        slices += 1;
        let more = world.act(pack).unwrap();
        assert_eq!(ask_all(&world), before, "after {slices} slices");
        if !more {
            break;
        }
    }
    assert_eq!(slices, 3);
    assert_eq!(world.ask(rows::first_ticks).unwrap(), [None, None]);
}

/// Rule 17, through rows: upstream a month was some 86,000 points.
#[test]
fn s17_no_window_of_a_month_is_told_in_many_points() {
    let mut world = world();
    for n in 0..30 * 48 {
        tick(&mut world, &[("outbox_due", f64::from(n))], Times::new());
        world.advance(Span::from_mins(30));
        pack_all(&mut world);
    }
    let now = world.now;
    for (days, least) in [(1, 40), (3, 100), (7, 160), (14, 150), (30, 170), (400, 4)] {
        let told =
            points(&world, "outbox_due", &Window::new(now.minus(Span::from_days(days)), now, now));
        assert!((least..=201).contains(&told.len()), "{days} days: {} points", told.len());
    }
}

/// The mark of an hour that is being packed was lost to an earlier hour, and its runs counted twice.
#[test]
fn s35_runs_count_once_when_a_clock_goes_back_while_an_hour_is_packed() {
    let mut world = world();
    world.now = START.plus(Span::from_hours(1));
    let names: Vec<String> = (0..200).map(|n| format!("task-{n:03}")).collect();
    let lengths: Vec<(&str, &[u64])> = names.iter().map(|name| (name.as_str(), &[7][..])).collect();
    tick(&mut world, &[], times(&lengths));
    world.advance(Span::from_hours(2));
    assert!(world.act(pack).unwrap(), "the first slice of several");
    world.now = START;
    tick(&mut world, &[("outbox_due", 1.0)], times(&lengths));
    world.advance(Span::from_hours(5));
    pack_all(&mut world);
    let all = window(0, 90_000, world.now);
    let found = world.ask(|rows| ask::times(rows, Scope::Task, &names, &all)).unwrap();
    for (name, buckets) in found {
        let runs: u64 = buckets.values().map(|latency| latency.run.count()).sum();
        assert_eq!(runs, 2, "{name}");
    }
    assert_eq!(world.ask(rows::first_ticks).unwrap(), [None, None]);
}

/// Rule 28, through rows: a month of hours merges into the percentiles of all its runs.
#[test]
fn s28_percentiles_of_a_window_are_those_of_its_runs() {
    let mut world = world();
    for hour in 0..30_u64 {
        // One hour with a hundred slow runs among many with one quick run each.
        let lengths = if hour == 7 { vec![9_000; 100] } else { vec![10] };
        tick(&mut world, &[], times(&[("resize", &lengths)]));
        world.advance(Span::from_hours(1));
        pack_all(&mut world);
    }
    let all = window(0, 30 * 3_600, world.now);
    let names = ["resize".to_owned()];
    let found = world.ask(|rows| ask::times(rows, Scope::Task, &names, &all)).unwrap();
    let mut merged = Latency::default();
    found["resize"].values().for_each(|latency| merged.merge(latency));
    assert_eq!(merged.run.count(), 129);
    let runs =
        |window: Window| world.ask(|rows| ask::runs(rows, Scope::Task, &names, &window)).unwrap();
    assert_eq!(runs(all), BTreeMap::from([("resize".to_owned(), 129)]));
    assert_eq!(runs(window(7 * 3_600, 9 * 3_600, world.now))["resize"], 101);
    assert_eq!(runs(window(40 * 3_600, 41 * 3_600, world.now)), BTreeMap::new());
    assert!((merged.run.quantile_ms(0.5) - 9_000.0).abs() < 150.0);
    assert_eq!(merged.run.quantile_ms(0.1), 10.0);
}

/// Long windows read whole days in steps of four hours; they tell what its hours tell, whether they cut
/// days or not, and of days that were packed before there were such steps.
#[test]
fn s28_four_hours_tell_what_their_hours_tell() {
    let mut world = world();
    for hour in 0..40 * 24_u64 {
        // Some hours are idle.
        if hour % 7 != 3 {
            tick(&mut world, &[], times(&[("resize", &[hour, hour * 3, 20])]));
        }
        world.advance(Span::from_hours(1));
        pack_all(&mut world);
    }
    let names = ["resize".to_owned()];
    let ask = |world: &World, window: &Window| {
        let mut found = world.ask(|rows| ask::times(rows, Scope::Task, &names, window)).unwrap();
        found.remove("resize").unwrap()
    };
    let check = |world: &World, from: i64, to: i64| {
        let whole = window(from, to, world.now);
        assert_eq!(whole.bucket_secs % Tier::FourHours.step_secs(), 0);
        // The same hours, bucket by bucket, each asked for by itself.
        let mut expected = TimesByBucket::new();
        for hour in from.div_euclid(3_600)..(to + 3_599).div_euclid(3_600) {
            let told = ask(world, &window(hour * 3_600, (hour + 1) * 3_600, world.now));
            let at = START.0 / 1_000 + hour * 3_600;
            for latency in told.values() {
                expected.entry(whole.bucket_of(at)).or_default().merge(latency);
            }
        }
        assert!(expected.len() > 100);
        assert_eq!(ask(world, &whole), expected, "{from} to {to}");
    };
    let day = 86_400;
    let windows =
        [(10 * day, 40 * day), (10 * day + 5_000, 39 * day + 40_000), (9 * day, 36 * day)];
    for (from, to) in windows {
        check(&world, from, to);
    }
    let prefix = Keys::prefix(&Key::new(Table::TimesFourHours));
    let keys = world.ask(|rows| collect_keys(rows, &prefix, usize::MAX)).unwrap();
    assert_eq!(keys.len(), 40);
    world.act(|tx| Ok(remove_some(tx, &prefix, 20)?)).unwrap();
    for (from, to) in windows {
        check(&world, from, to);
    }
}

/// Rows with many buckets are squeezed, and tell the same.
#[test]
fn squeezed_lengths_are_whole() {
    let mut world = world();
    let lengths: Vec<u64> = (1..400).map(|n| n * 37).collect();
    for _ in 0..12 {
        tick(&mut world, &[], times(&[("resize", &lengths)]));
        world.advance(Span::from_mins(5));
    }
    world.advance(Span::from_hours(2));
    pack_all(&mut world);
    let span = Keys::prefix(&Key::new(Table::TimesFine));
    let rows = world.ask(|rows| collect(rows, &span, 9)).unwrap();
    let bytes: usize = rows.iter().map(|(_, value)| value.len()).sum();
    assert!(rows.len() <= 2 && bytes < 1_000, "{} rows of {bytes} bytes", rows.len());
    let names = ["resize".to_owned()];
    let all = window(0, 7_200, world.now);
    let found = world.ask(|rows| ask::times(rows, Scope::Task, &names, &all)).unwrap();
    let mut merged = Latency::default();
    found["resize"].values().for_each(|latency| merged.merge(latency));
    let mut expected = crate::model::histogram::Histogram::default();
    (0..12).for_each(|_| lengths.iter().for_each(|ms| expected.record(*ms)));
    assert_eq!(merged.run, expected);
}

/// Rule 24: a subject may hold any character, also those that separate.
#[test]
fn s24_subjects_hold_any_character() {
    let mut world = world();
    tick(&mut world, &[("stream_length:a:b,c", 1.0), ("stream_length:a", 2.0)], Times::new());
    let found = world.ask(|rows| ask::by_prefix(rows, "stream_length:a:", 10)).unwrap();
    assert_eq!(found, [Series::new(Metric::StreamLength, "a:b,c")]);
    assert_eq!(world.ask(|rows| ask::by_prefix(rows, "stream_l", 10)).unwrap().len(), 2);
    assert_eq!(world.ask(|rows| ask::by_prefix(rows, "", 1)).unwrap().len(), 1);
}

/// Ages of rows differ; nothing is left of what is older than all of them, the series neither.
#[test]
fn s06_old_history_goes_in_slices() {
    let mut world = world();
    let names: Vec<String> = (0..300).map(|n| format!("stream_length:{n}")).collect();
    let values: Vec<_> = names.iter().map(|name| (name.as_str(), 4.0)).collect();
    tick(&mut world, &values, times(&[("resize", &[5])]));
    let count = |world: &World, prefix: u8| {
        let span = Keys { lo: vec![prefix], hi: vec![prefix + 1], newest_first: false };
        world.ask(|rows| collect_keys(rows, &span, usize::MAX)).unwrap().len()
    };
    let forget_all = |world: &mut World| {
        let mut round = Round::default();
        loop {
            round = world.act(|tx| forget(tx, round.clone())).unwrap();
            if !round.more {
                break;
            }
        }
    };
    world.advance(Span::from_hours(2));
    pack_all(&mut world);
    forget_all(&mut world);
    assert_eq!(
        [93, 94, 95, 96, 97, 99, 90].map(|table| count(&world, table)),
        [300, 300, 300, 1, 1, 1, 301]
    );
    world.advance(Span::from_days(8));
    forget_all(&mut world);
    assert_eq!(
        [93, 94, 95, 96, 97, 99, 90].map(|table| count(&world, table)),
        [0, 300, 300, 0, 1, 1, 301]
    );
    let old = window(0, 3_600, world.now);
    assert_eq!(points(&world, "stream_length:1", &old), [(0, 4.0)]);
    // Lengths of time by the hour.
    let all = ["resize".to_owned()];
    let found = world.ask(|rows| ask::times(rows, Scope::Task, &all, &old)).unwrap();
    assert_eq!(found["resize"].keys().collect::<Vec<_>>(), [&(START.0 / 1_000)]);
    world.advance(Span::from_days(24));
    forget_all(&mut world);
    assert_eq!([93, 94, 95, 96, 97, 99, 90].map(|table| count(&world, table)), [0; 7]);
    assert_eq!(world.ask(rows::state).unwrap().known, 0);
}

#[test]
fn sums_of_a_window_come_from_what_only_grows() {
    let mut world = world();
    for n in 0..480_i64 {
        tick(&mut world, &[("created_total", 1_000.0 + n as f64)], Times::new());
        world.advance(Span::from_secs(30));
        pack_all(&mut world);
    }
    let grown = |from, to| {
        let window = window(from, to, world.now);
        world.ask(|rows| ask::growth(rows, Metric::CreatedTotal, &window)).unwrap()
    };
    assert_eq!(grown(3_600, 7_200), 120.0);
    assert!((grown(0, 14_400) - 479.0).abs() <= 1.0, "{}", grown(0, 14_400));
    let all = window(0, 14_400, world.now);
    let peaks = world.ask(|rows| ask::peaks(rows, Metric::StreamLength, &all, 10)).unwrap();
    assert_eq!(peaks, BTreeMap::<String, f64>::new().into_iter().collect::<Vec<_>>());
}
