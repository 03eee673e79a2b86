//! History where the power goes at every operation of the disk, one after another: between a tick and
//! its packing, in the middle of an hour that is being packed, while old rows go. Nothing that was
//! written is lost, and nothing counts twice.

use tidegate::base::time::{Span, Time};
use tidegate::ledger::history::forget::{Round, forget};
use tidegate::ledger::history::pack::pack;
use tidegate::ledger::history::tick::{Times, write};
use tidegate::ledger::history::{SERIES_AT_ONCE, ask};
use tidegate::model::history::{Latency, Scope, Window};
use tidegate::model::sample::{Metric, Sample, Series};
use tidegate::store::tables::Table;

use crate::checks;
use crate::disk::Trouble;
use crate::keep::{Process, at_every_operation};

/// The start of a day.
const START: Time = Time(1_699_920_000_000);
const TICKS: u64 = 6;
/// More than one slice of an hour.
const SERIES: usize = SERIES_AT_ONCE + 20;

/// The sample of a tick, and lengths of time seen before it: one run of each task.
fn tick(number: u64) -> (Sample, Times) {
    let at = START.plus(Span::from_secs(30 * number as i64));
    let mut sample = Sample { at, ..Sample::default() };
    for series in 0..SERIES {
        sample.put(Metric::StreamLength, format!("s{series:03}"), (number + 1) as f64);
    }
    let mut times = Times::new();
    for task in ["mail", "resize"] {
        let mut latency = Latency::default();
        latency.run.record(10 * (number + 1));
        times.insert((Scope::Task, task.to_owned()), latency);
    }
    (sample, times)
}

fn check(process: &Process, written: &[u64], about: &str) {
    let end = START.plus(Span::from_hours(1));
    let window = Window::new(START, end, end);
    process.ask(|rows| {
        let names = ["s000", "s127", "s128", "s147"];
        let wanted = names.map(|name| Series::new(Metric::StreamLength, name));
        let found = ask::values(rows, &wanted, &window).expect("values can be read");
        let expected: Vec<f64> = written.iter().map(|number| (number + 1) as f64).collect();
        for (series, points) in found {
            let told: Vec<f64> = points.iter().map(|point| point.mean).collect();
            assert_eq!(told, expected, "{series}, {about}");
        }
        let tasks = ["mail".to_owned(), "resize".to_owned()];
        let found = ask::times(rows, Scope::Task, &tasks, &window).expect("times can be read");
        for (task, buckets) in found {
            let runs: u64 = buckets.values().map(|latency| latency.run.count()).sum();
            assert_eq!(runs, written.len() as u64, "runs of {task}, {about}");
        }
    });
}

#[test]
fn history_is_neither_lost_nor_doubled_whenever_the_power_goes() {
    at_every_operation(|nth| {
        let mut process = Process::start();
        process.now = START;
        process.machine.disk().fail_at(nth, Trouble::PowerOff);
        let mut written = Vec::new();
        for number in 0..TICKS {
            let (sample, times) = tick(number);
            process.now = sample.at;
            // What is not known to be written is not written again: a run counts at most once.
            match process.act(move |tx| write(tx, &sample, times)) {
                Some(_) => written.push(number),
                None => {
                    let first = process.ask(tidegate::store::kinds::history::first_ticks);
                    first.expect("ticks can be read");
                    let (sample, _) = tick(number);
                    let kept = process.ask(|rows| {
                        let tick = tidegate::model::history::tick_of(sample.at);
                        tidegate::store::kinds::history::has_tick(rows, tick)
                    });
                    if kept.expect("ticks can be read") {
                        written.push(number);
                    }
                }
            }
            check(&process, &written, &format!("cut at {nth}, tick {number}"));
        }
        process.now = START.plus(Span::from_hours(2));
        loop {
            let more = process.act(pack);
            check(&process, &written, &format!("cut at {nth}, while packed"));
            if more == Some(false) {
                break;
            }
        }
        let open = [Table::HistoryTick, Table::HistoryTimes];
        let left = process.ask(|rows| open.map(|table| checks::keys(rows, table).len()));
        assert_eq!(left, [0, 0], "cut at {nth}");
        process.now = START.plus(Span::from_days(40));
        let mut round = Round::default();
        loop {
            let next = round.clone();
            match process.act(move |tx| forget(tx, next)) {
                Some(next) if !next.more => break,
                Some(next) => round = next,
                None => round = Round::default(),
            }
        }
        let all = [Table::HistoryRaw, Table::HistoryFine, Table::TimesFine, Table::HistorySeries];
        let left = process.ask(|rows| all.map(|table| checks::keys(rows, table).len()));
        assert_eq!(left, [0; 4], "cut at {nth}");
        process.cuts()
    });
}
