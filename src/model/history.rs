//! Thirty days of history: how finely it is kept, and which buckets a window is answered in.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::histogram::{Histogram, Merging};
use super::words::words;

/// Seconds from one tick to the next.
pub const TICK_SECS: i64 = 30;
pub const HOUR_SECS: i64 = 3_600;
pub const DAY_SECS: i64 = 86_400;
/// Ticks of an hour.
pub const HOUR_TICKS: usize = (HOUR_SECS / TICK_SECS) as usize;

/// Every tick is kept for this long, and so are lengths of time in steps of five minutes; older windows
/// are answered in steps of five minutes, and lengths of time by the hour.
pub const RAW_KEPT: Span = Span::from_days(7);
/// All else.
pub const KEPT: Span = Span::from_days(30);

/// Most points of an answer for one series, about.
pub const POINTS_MAX: i64 = 200;
/// Longest window that is answered.
pub const WINDOW_MAX: Span = Span::from_days(400);
/// Sizes of buckets, in seconds.
const BUCKETS: [i64; 11] = [30, 60, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
/// Beyond a year or so.
const BUCKET_LONGEST: i64 = 7 * DAY_SECS;

/// Which tick a moment belongs to: half minutes since 1970.
pub fn tick_of(time: Time) -> u32 {
    u32::try_from(time.0.div_euclid(TICK_SECS * 1_000)).unwrap_or(0)
}

/// How finely values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Each tick.
    Raw,
    /// Five minutes.
    Fine,
    /// An hour.
    Coarse,
}

impl Resolution {
    pub fn step_secs(self) -> i64 {
        match self {
            Resolution::Raw => TICK_SECS,
            Resolution::Fine => 300,
            Resolution::Coarse => HOUR_SECS,
        }
    }

    /// Seconds that one row of values spans.
    pub fn block_secs(self) -> i64 {
        match self {
            Resolution::Raw => HOUR_SECS,
            Resolution::Fine | Resolution::Coarse => DAY_SECS,
        }
    }

    /// Steps of one row.
    pub fn block_steps(self) -> usize {
        (self.block_secs() / self.step_secs()) as usize
    }
}

/// How finely lengths of time are kept. Rows of four hours are made of those of hours, and make long
/// windows quick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    FiveMinutes,
    Hour,
    FourHours,
}

impl Tier {
    pub fn step_secs(self) -> i64 {
        match self {
            Tier::FiveMinutes => 300,
            Tier::Hour => HOUR_SECS,
            Tier::FourHours => 4 * HOUR_SECS,
        }
    }

    /// Seconds that one row spans.
    pub fn block_secs(self) -> i64 {
        match self {
            Tier::FiveMinutes => HOUR_SECS,
            Tier::Hour | Tier::FourHours => DAY_SECS,
        }
    }
}

/// What is known of one step: the mean and the highest of `count` values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    pub mean: f64,
    pub max: f64,
    pub count: u32,
}

impl Slot {
    pub fn one(value: f64) -> Slot {
        Slot { mean: value, max: value, count: 1 }
    }

    /// Of several; `None` of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Slot> {
        let (mut sum, mut max, mut count) = (0.0, f64::NEG_INFINITY, 0);
        for value in values {
            (sum, max, count) = (sum + value, f64::max(max, value), count + 1);
        }
        (count > 0).then(|| Slot { mean: sum / f64::from(count), max, count })
    }
}

/// From `from` (included) to `to` (excluded), in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Time,
    pub to: Time,
    /// Size of a bucket in seconds; it starts at a multiple of it since 1970.
    pub bucket_secs: i64,
    pub resolution: Resolution,
    /// It begins before [`RAW_KEPT`].
    pub is_old: bool,
}

impl Window {
    /// The smallest buckets that make about [`POINTS_MAX`] points of the window.
    pub fn new(from: Time, to: Time, now: Time) -> Window {
        let secs = (to.since(from).as_millis() / 1_000).max(60);
        let fits = |bucket: &&i64| **bucket * POINTS_MAX >= secs;
        let mut bucket_secs = BUCKETS.iter().find(fits).copied().unwrap_or(BUCKET_LONGEST);
        let is_old = from < now.minus(RAW_KEPT);
        if is_old {
            bucket_secs = bucket_secs.max(Resolution::Fine.step_secs());
        }
        let coarsest_first = [Resolution::Coarse, Resolution::Fine, Resolution::Raw];
        let resolution = coarsest_first.into_iter().find(|one| one.step_secs() <= bucket_secs);
        Window { from, to, bucket_secs, resolution: resolution.unwrap_or(Resolution::Raw), is_old }
    }

    /// The same window for lengths of time, which are kept more coarsely.
    pub fn of_times(self) -> Window {
        let kept = if self.is_old { Resolution::Coarse } else { Resolution::Fine };
        let bucket_secs = self.bucket_secs.max(kept.step_secs());
        Window { bucket_secs, resolution: self.resolution.max(kept), ..self }
    }

    /// What tells lengths of time of any part of the window.
    pub fn tier(&self) -> Tier {
        if self.of_times().resolution == Resolution::Coarse {
            Tier::Hour
        } else {
            Tier::FiveMinutes
        }
    }

    /// What tells lengths of time of a block of [`Window::tier`] in the fewest steps: nothing else, or
    /// four hours at once when the window holds all of it and has buckets as large.
    pub fn coarser_tier(&self, block: u32) -> Option<Tier> {
        let (tier, block_ms) = (Tier::FourHours, Tier::FourHours.block_secs() * 1_000);
        let from_ms = i64::from(block) * block_ms;
        let holds_all = self.from.0 <= from_ms && from_ms + block_ms <= self.to.0;
        let is_same = self.tier().block_secs() == tier.block_secs();
        (is_same && holds_all && self.bucket_secs % tier.step_secs() == 0).then_some(tier)
    }

    /// First second of the bucket of a moment.
    pub fn bucket_of(&self, secs: i64) -> i64 {
        secs.div_euclid(self.bucket_secs) * self.bucket_secs
    }

    /// Whether a step that starts then is in the window; the step that the window begins in is.
    pub fn holds(&self, step_start_secs: i64, step_secs: i64) -> bool {
        let from = self.from.0.div_euclid(1_000 * step_secs) * step_secs;
        let start_ms = step_start_secs.saturating_mul(1_000);
        let from_ms = if step_secs == TICK_SECS { self.from.0 } else { from * 1_000 };
        start_ms >= from_ms && start_ms < self.to.0
    }

    /// Numbers of the rows of a resolution that the window touches.
    pub fn blocks(&self, block_secs: i64) -> std::ops::Range<u32> {
        let number = |ms: i64| u32::try_from(ms.div_euclid(1_000 * block_secs)).unwrap_or(0);
        number(self.from.0)..number(self.to.0.saturating_sub(1)).saturating_add(1)
    }
}

/// Steps gathered into the buckets of a window.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Vec<Bucket>);

/// Steps of one bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    at_secs: i64,
    sum: f64,
    max: f64,
    count: u64,
}

/// A bucket of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// First second of the bucket.
    pub at_secs: i64,
    pub mean: f64,
    pub max: f64,
}

impl Buckets {
    pub fn add(&mut self, bucket: i64, slot: Slot) {
        let (sum, count) = (slot.mean * f64::from(slot.count), u64::from(slot.count));
        let fresh = Bucket { at_secs: bucket, sum, max: slot.max, count };
        // Most steps come in their order.
        let newest = self.0.last().map_or(i64::MIN, |last| last.at_secs);
        let at = match bucket.cmp(&newest) {
            Ordering::Greater => Err(self.0.len()),
            Ordering::Equal => Ok(self.0.len() - 1),
            Ordering::Less => self.0.binary_search_by_key(&bucket, |found| found.at_secs),
        };
        match at {
            Ok(at) => {
                let found = &mut self.0[at];
                (found.sum, found.count) = (found.sum + sum, found.count + count);
                found.max = found.max.max(slot.max);
            }
            Err(at) => self.0.insert(at, fresh),
        }
    }

    /// Oldest first; buckets without values are absent.
    pub fn points(&self) -> Vec<Point> {
        let point = |bucket: &Bucket| Point {
            at_secs: bucket.at_secs,
            mean: bucket.sum / bucket.count as f64,
            max: bucket.max,
        };
        self.0.iter().map(point).collect()
    }
}

/// What lengths of time are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Task = 1,
    Stream = 2,
    Org = 3,
    /// Named `org/env`.
    Env = 4,
}

words!(Scope { Task "task", Stream "stream", Org "org", Env "env" });

/// How long runs waited and ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// From when a run could have started to its start.
    pub wait: Histogram,
    /// From its start to its end.
    pub run: Histogram,
}

impl Latency {
    pub fn merge(&mut self, other: &Latency) {
        self.wait.merge(&other.wait);
        self.run.merge(&other.run);
    }

    /// What all of them come to.
    pub fn total<'l>(all: impl Iterator<Item = &'l Latency>) -> Latency {
        let [mut wait, mut run] = [Merging::default(), Merging::default()];
        for latency in all {
            wait.merge(&latency.wait);
            run.merge(&latency.run);
        }
        Latency { wait: wait.take(), run: run.take() }
    }
}

/// Gathers lengths of time by bucket of a window; what belongs to one comes best one after the other.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    open: Option<i64>,
    merging: [Merging; 2],
    done: TimesByBucket,
}

/// Lengths of time by first second of their bucket.
pub type TimesByBucket = BTreeMap<i64, Latency>;

impl Gathering {
    /// Where the waiting and the running times of a bucket go.
    pub fn bucket(&mut self, bucket: i64) -> &mut [Merging; 2] {
        if self.open != Some(bucket) {
            self.close();
            self.open = Some(bucket);
        }
        &mut self.merging
    }

    pub fn add(&mut self, bucket: i64, latency: &Latency) {
        let [wait, run] = self.bucket(bucket);
        wait.merge(&latency.wait);
        run.merge(&latency.run);
    }

    /// Everything that was gathered; nothing is left.
    pub fn take(&mut self) -> TimesByBucket {
        self.close();
        std::mem::take(&mut self.done)
    }

    fn close(&mut self) {
        let Some(bucket) = self.open.take() else { return };
        let [wait, run] = self.merging.each_mut().map(Merging::take);
        let latency = Latency { wait, run };
        match self.done.entry(bucket) {
            Entry::Vacant(free) => drop(free.insert(latency)),
            Entry::Occupied(mut known) => known.get_mut().merge(&latency),
        }
    }
}

/// Which part of a run's life took how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Wait,
    Run,
}

/// A length of time that was seen in a transaction; it is counted once that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Took {
    pub task: Name,
    pub org: Name,
    pub env: Name,
    pub stream: Option<String>,
    pub part: Part,
    pub span: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000);

    /// Rule 17: no window makes more than about 200 points.
    #[test]
    fn s17_windows_have_few_points() {
        for (span, bucket, resolution) in [
            (Span::from_secs(1), 30, Resolution::Raw),
            (Span::from_hours(1), 30, Resolution::Raw),
            (Span::from_hours(6), 300, Resolution::Fine),
            (Span::from_hours(24), 600, Resolution::Fine),
            (Span::from_days(7), 3_600, Resolution::Coarse),
            (Span::from_days(30), 14_400, Resolution::Coarse),
            (WINDOW_MAX, BUCKET_LONGEST, Resolution::Coarse),
        ] {
            let window = Window::new(NOW.minus(span), NOW, NOW);
            assert_eq!((window.bucket_secs, window.resolution), (bucket, resolution), "{span}");
            assert!(span.0 / 1_000 / window.bucket_secs <= POINTS_MAX, "{span}");
        }
        let old = NOW.minus(Span::from_days(20));
        let window = Window::new(old, old.plus(Span::from_hours(1)), NOW);
        assert_eq!((window.bucket_secs, window.resolution), (300, Resolution::Fine));
    }

    #[test]
    fn buckets_start_at_multiples_and_windows_are_half_open() {
        let window = Window::new(Time(1_000_015_000), Time(1_000_075_000), Time(1_000_075_000));
        assert_eq!((window.bucket_secs, window.bucket_of(1_000_019)), (30, 999_990));
        for (secs, held) in
            [(1_000_014, false), (1_000_015, true), (1_000_074, true), (1_000_075, false)]
        {
            assert_eq!(window.holds(secs, TICK_SECS), held, "{secs}");
        }
        assert_eq!(Time(1_000_015_000).0.div_euclid(3_600_000), 277);
        assert_eq!(window.blocks(HOUR_SECS), 277..278);
    }

    #[test]
    fn means_are_weighted_and_gaps_stay_gaps() {
        let mut buckets = Buckets::default();
        buckets.add(0, Slot { mean: 10.0, max: 20.0, count: 3 });
        buckets.add(0, Slot::one(2.0));
        buckets.add(600, Slot::one(1.0));
        let points = buckets.points();
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].mean, points[0].max, points[1].at_secs), (8.0, 20.0, 600));
        assert_eq!(Slot::of(std::iter::empty()), None);
    }
}
