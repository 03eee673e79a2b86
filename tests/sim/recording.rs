//! History as a seed lives it: ticks of now and of long ago, hours that are packed in slices, old rows
//! that go, while clocks jump and the power goes in the middle of it.
//!
//! What must hold: a value that was acknowledged is there once (rule 35), one whose answer was not heard
//! is there or is not; windows tell them alike before an hour is packed, meanwhile and afterwards; steps
//! of five minutes and of an hour are made of just these values; a run counts once.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::history::ask;
use tidegate::ledger::history::forget::Round;
use tidegate::ledger::history::tick::Times;
use tidegate::model::history::{
    HOUR_SECS, HOUR_TICKS, Latency, Point, RAW_KEPT, Resolution, Scope, TICK_SECS, Window, tick_of,
};
use tidegate::model::refusal::Code;
use tidegate::model::sample::{Metric, Sample, Series};
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::answers::Waiting;
use crate::checks;
use crate::command::{Answer, Command, Said};
use crate::mix::{once_in, one};
use crate::world::{Turn, Who, World};

/// Together more than one slice of an hour.
const SERIES: usize = 100;
const TASKS: usize = 60;
/// What a small tick brings of each.
const FEW: usize = 10;
/// Those that the model follows: of the first slice and of the last.
const FOLLOWED: [usize; 3] = [0, 57, 99];
const FOLLOWED_TASKS: [usize; 3] = [0, 31, 59];
/// Means are kept in thousandths.
const MEAN_KEPT_TO: f64 = 0.001;
/// Slices after which an end must come.
const SLICES_MAX: usize = 10_000;

/// What the seeds of a test met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    fresh: usize,
    stale: usize,
    packed: usize,
    /// Packed in parts.
    parts: usize,
    forgotten: usize,
}

impl Met {
    fn all(&mut self) -> [&mut usize; 5] {
        let Met { fresh, stale, packed, parts, forgotten } = self;
        [fresh, stale, packed, parts, forgotten]
    }

    pub fn add(&mut self, mut other: Met) {
        for (mine, others) in self.all().into_iter().zip(other.all()) {
            *mine += *others;
        }
    }

    pub fn is_enough(mut self) -> bool {
        self.all().into_iter().all(|met| *met > 0)
    }
}

/// What a series may be at a tick.
#[derive(Debug, Default)]
struct Cell {
    /// It was told to be written.
    is_there: bool,
    /// In the order in which they were asked for: the first that was written counts.
    may_be: Vec<f64>,
}

/// Runs of a task that were told to be counted, and those that may be.
#[derive(Debug, Default)]
struct Counted {
    surely: u64,
    perhaps: u64,
}

#[derive(Default)]
pub struct Recording {
    pub met: Met,
    on: bool,
    /// Samples that were made: each has a value of its own.
    made: u64,
    /// When the newest of them was.
    last: Option<Time>,
    round: Round,
    /// Packing said that there is more.
    more: bool,
    cells: BTreeMap<(usize, u32), Cell>,
    counted: BTreeMap<(usize, u32), Counted>,
    /// What is older than this hour may be gone.
    kept_since: u32,
}

fn series(number: usize) -> Series {
    Series::new(Metric::StreamLength, format!("s{number:03}"))
}

fn task(number: usize) -> String {
    format!("t{number:02}")
}

fn hour_of(tick: u32) -> u32 {
    tick / HOUR_TICKS as u32
}

impl Recording {
    pub fn random(entropy: &mut Entropy) -> Recording {
        Recording { on: once_in(entropy, 3), ..Recording::default() }
    }

    pub fn turns(&self) -> Vec<(Turn, u64)> {
        if self.on { vec![(Turn::History, 8)] } else { Vec::new() }
    }

    /// The process ends: where a round stood is forgotten.
    pub fn restarted(&mut self) {
        self.round = Round::default();
    }

    fn next(&mut self, entropy: &mut Entropy, now: Time) -> Command {
        match entropy.below(8) {
            0..=3 => self.tick(entropy, now),
            4..=6 => Command::PackHistory,
            _ => Command::ForgetHistory(self.round.clone()),
        }
    }

    fn tick(&mut self, entropy: &mut Entropy, now: Time) -> Command {
        let [hour, day] = [Span::from_hours(1), Span::from_days(1)];
        let ago =
            [Span::ZERO, Span::ZERO, hour, Span(2 * hour.0), Span(8 * day.0), Span(31 * day.0)];
        let late = Span::from_secs(TICK_SECS * entropy.below(12) as i64);
        let at = match self.last {
            // The same tick twice.
            Some(last) if once_in(entropy, 5) => last,
            _ => now.minus(one(entropy, &ago)).minus(late),
        };
        self.last = Some(at);
        self.made += 1;
        let mut sample = Sample { at, ..Sample::default() };
        for number in 0..one(entropy, &[FEW, SERIES]) {
            let Series { metric, subject } = series(number);
            sample.put(metric, subject, self.made as f64);
        }
        let mut times = Times::new();
        for number in 0..one(entropy, &[0, FEW, TASKS]) {
            let mut latency = Latency::default();
            latency.run.record(10);
            times.insert((Scope::Task, task(number)), latency);
        }
        self.asked(&sample, &times);
        Command::Tick(Box::new(sample), times)
    }

    /// The model of a tick: its number, and the cells and tasks that are followed and in it.
    fn followed(sample: &Sample, times: &Times) -> (u32, Vec<(usize, f64)>, Vec<usize>) {
        let values = FOLLOWED
            .into_iter()
            .filter_map(|number| Some((number, *sample.values.get(&series(number))?)));
        let tasks = FOLLOWED_TASKS.into_iter();
        let tasks = tasks.filter(|number| times.contains_key(&(Scope::Task, task(*number))));
        (tick_of(sample.at), values.collect(), tasks.collect())
    }

    fn asked(&mut self, sample: &Sample, times: &Times) {
        let (tick, values, tasks) = Recording::followed(sample, times);
        for (number, value) in values {
            let cell = self.cells.entry((number, tick)).or_default();
            if !cell.is_there {
                cell.may_be.push(value);
            }
        }
        for number in tasks {
            self.counted.entry((number, hour_of(tick))).or_default().perhaps += 1;
        }
    }

    /// These are about to run: whatever becomes of them, what is too old may be gone.
    pub fn about_to_run(&mut self, waiting: &[Waiting], now: Time) {
        if waiting.iter().any(|(command, ..)| matches!(command, Command::ForgetHistory(_))) {
            let hour = hour_of(tick_of(now.minus(RAW_KEPT)));
            self.kept_since = self.kept_since.max(hour);
        }
    }

    pub fn heard(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Tick(sample, times), Ok(Said::Ticked(ticked))) => {
                assert_eq!(ticked.left_out, 0, "there is room for every series");
                self.met.fresh += usize::from(ticked.fresh);
                self.met.stale += usize::from(!ticked.fresh);
                self.ticked(sample, times, Some(ticked.fresh));
            }
            (Command::Tick(sample, times), Err(refusal)) if refusal.code != Code::Unknown => {
                self.ticked(sample, times, None);
            }
            (Command::PackHistory, Ok(Said::More(more))) => {
                self.met.packed += 1;
                self.met.parts += usize::from(*more);
                self.more = *more;
            }
            (Command::ForgetHistory(_), Ok(Said::Forgotten(round))) => {
                self.met.forgotten += 1;
                self.round = round.clone();
            }
            _ => {}
        }
    }

    /// `fresh`: whether its values were written; `None` when nothing of it was done.
    fn ticked(&mut self, sample: &Sample, times: &Times, fresh: Option<bool>) {
        let (tick, values, tasks) = Recording::followed(sample, times);
        for (number, value) in values {
            let cell = self.cells.entry((number, tick)).or_default();
            let Some(at) = cell.may_be.iter().position(|asked| *asked == value) else { continue };
            if cell.is_there {
                continue;
            }
            if fresh == Some(true) {
                // Whoever asked later came too late.
                cell.may_be.truncate(at + 1);
                cell.is_there = true;
            } else {
                cell.may_be.remove(at);
            }
        }
        for number in tasks {
            let counted = self.counted.entry((number, hour_of(tick))).or_default();
            counted.perhaps -= 1;
            counted.surely += u64::from(fresh.is_some());
        }
    }

    pub fn check(&self, view: &dyn Rows) {
        for hour in self.hours() {
            for (number, found) in told(view, hour, Resolution::Raw) {
                let found: BTreeMap<i64, f64> =
                    found.iter().map(|point| (point.at_secs / TICK_SECS, point.mean)).collect();
                for tick in hour * HOUR_TICKS as u32..(hour + 1) * HOUR_TICKS as u32 {
                    let (cell, value) = (self.cells.get(&(number, tick)), found.get(&tick.into()));
                    let fits = match (cell, value) {
                        (None, value) => value.is_none(),
                        (Some(cell), None) => !cell.is_there,
                        (Some(cell), Some(value)) => cell.may_be.contains(value),
                    };
                    assert!(fits, "series {number} at tick {tick} is {value:?}, not {cell:?}");
                }
            }
        }
        self.check_runs(view);
    }

    /// Hours with values that are kept.
    fn hours(&self) -> BTreeSet<u32> {
        let hours = self.cells.keys().map(|(_, tick)| hour_of(*tick));
        hours.filter(|hour| *hour >= self.kept_since).collect()
    }

    fn check_runs(&self, view: &dyn Rows) {
        let hours = || self.counted.keys().map(|(_, hour)| *hour);
        let (Some(first), Some(last)) = (hours().min(), hours().max()) else { return };
        let since = first.max(self.kept_since);
        let start = |hour: u32| Time(i64::from(hour) * HOUR_SECS * 1_000);
        // What comes while its hour is packed counts for the next one.
        let window = Window {
            from: start(since),
            to: start(last.max(since) + 2),
            bucket_secs: HOUR_SECS,
            resolution: Resolution::Coarse,
            is_old: false,
        };
        let names = FOLLOWED_TASKS.map(task);
        let found = ask::times(view, Scope::Task, &names, &window).expect("times can be read");
        for number in FOLLOWED_TASKS {
            let runs: u64 = found[&task(number)].values().map(|latency| latency.run.count()).sum();
            let (mut least, mut most) = (0, 0);
            for ((_, hour), counted) in self.counted.iter().filter(|((of, _), _)| *of == number) {
                if *hour >= since {
                    least += counted.surely;
                }
                if hour + 1 >= since {
                    most += counted.surely + counted.perhaps;
                }
            }
            assert!(
                (least..=most).contains(&runs),
                "{runs} runs of task {number} count, not {least} to {most}"
            );
        }
    }

    /// Once every hour is packed.
    fn check_packed(&self, view: &dyn Rows) {
        for table in [Table::HistoryTick, Table::HistoryTimes] {
            assert!(checks::keys(view, table).is_empty(), "something is not packed");
        }
        for hour in self.hours() {
            let raw = told(view, hour, Resolution::Raw);
            for resolution in [Resolution::Fine, Resolution::Coarse] {
                let step = resolution.step_secs();
                for (number, found) in told(view, hour, resolution) {
                    let mut steps: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
                    for point in &raw[&number] {
                        steps.entry(point.at_secs / step * step).or_default().push(point.mean);
                    }
                    let expected = steps.into_iter().map(|(at_secs, values)| Point {
                        at_secs,
                        mean: values.iter().sum::<f64>() / values.len() as f64,
                        max: values.iter().copied().fold(0.0, f64::max),
                    });
                    let expected: Vec<Point> = expected.collect();
                    let same = |(a, b): (&Point, &Point)| {
                        (a.at_secs, a.max) == (b.at_secs, b.max)
                            && (a.mean - b.mean).abs() < MEAN_KEPT_TO
                    };
                    let alike =
                        expected.len() == found.len() && expected.iter().zip(&found).all(same);
                    assert!(alike, "series {number}, hour {hour}: {found:?}, not {expected:?}");
                }
            }
        }
    }
}

/// An hour of the series that are followed.
fn told(view: &dyn Rows, hour: u32, resolution: Resolution) -> BTreeMap<usize, Vec<Point>> {
    let start = Time(i64::from(hour) * HOUR_SECS * 1_000);
    let to = start.plus(Span::from_secs(HOUR_SECS));
    let bucket_secs = resolution.step_secs();
    let window = Window { from: start, to, bucket_secs, resolution, is_old: false };
    let wanted = FOLLOWED.map(series);
    let mut found = ask::values(view, &wanted, &window).expect("values can be read");
    FOLLOWED.map(|number| (number, found.remove(&series(number)).unwrap_or_default())).into()
}

impl World {
    pub fn record(&mut self) {
        let now = self.now();
        let command = self.recording.next(&mut self.entropy, now);
        self.ask(command, Who::Duty);
    }

    /// Time goes on until every hour is over, and all of them are packed.
    pub fn end_history(&mut self) {
        let last = self.recording.cells.keys().map(|(_, tick)| i64::from(*tick)).max();
        let Some(last) = last else { return };
        let over = last * TICK_SECS * 1_000 + 3 * HOUR_SECS * 1_000;
        self.tick += (over - self.now().0).max(0);
        for slice in 0.. {
            assert!(slice < SLICES_MAX, "packing has no end");
            self.ask(Command::PackHistory, Who::Duty);
            self.batch(usize::MAX);
            if !self.recording.more {
                break;
            }
        }
        let view = self.machine.store().snapshot().expect("a healthy disk can be read");
        self.recording.check(&view);
        self.recording.check_packed(&view);
    }
}
