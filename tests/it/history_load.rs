//! How much thirty days of history cost: bytes, queries and the sampler. Not a part of the gate; the
//! figures of the README come from here:
//!
//! `cargo test --release --test it history_load -- --ignored --nocapture`
//!
//! `TIDEGATE_HISTORY_DIR=DIR` keeps the thirty days in DIR; the next time only the questions are asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate::appliance::fleet::Beat;
use tidegate::appliance::history::Round;
use tidegate::appliance::pulse::Pulse;
use tidegate::appliance::{Appliance, Settings, start::start};
use tidegate::base::entropy::Entropy;
use tidegate::base::name::Name;
use tidegate::base::time::{ManualClock, Span, Stopwatch, Time};
use tidegate::ledger::keys::command::{Command, ReadGroup};
use tidegate::model::history::{Part, Scope, Took};
use tidegate::model::sample::{Metric, Sample, Series};
use tidegate::model::stream::{Fields, GroupStart, KeyName, Start, StreamId};
use tidegate::store::open::{CACHE_BYTES, JOURNAL_FILE, STORE_FILE, open_dir};

const START: Time = Time(1_699_920_000_000);
/// Of thirty days.
const TICKS: i64 = 30 * 2_880;
const KEPT: &str = "TIDEGATE_HISTORY_DIR";
const STREAMS: usize = 50;
const WORKERS: usize = 200;
const SERIES: usize = 1_000;
/// Runs of each task that end between two ticks.
const RUNS: u64 = 20;
/// A query's time is the median of so many.
const ASKED: usize = 15;

#[tokio::test]
#[ignore = "takes minutes, and wants a release build"]
async fn thirty_days_are_small_and_quick() {
    let (temporary, kept) = (tempfile::tempdir().unwrap(), std::env::var_os(KEPT));
    let dir = kept.as_deref().map_or(temporary.path(), Path::new);
    let is_there = dir.join(STORE_FILE).exists();
    let opened = open_dir(dir, CACHE_BYTES, Arc::new(|_| {})).unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let settings = Settings { data_dir: Some(dir.to_owned()), ..Settings::default() };
    let on_fault = Box::new(|fault: &_| panic!("{fault}"));
    let (appliance, writer) =
        start(opened.disk.clone(), clock.clone(), settings, on_fault).unwrap();
    let before = bytes(dir);
    if is_there {
        clock.set(START.plus(Span::from_secs(30 * (TICKS - 1))));
    } else {
        thirty_days(&appliance, &clock, dir).await;
    }
    ask(&appliance);
    drop(appliance);
    writer.stop();
    println!(
        "closed: {} MB, {} of them now",
        bytes(dir) / 1_000_000,
        (bytes(dir) - before) / 1_000_000
    );
}

/// Measures the sampler, and keeps thirty days of history.
async fn thirty_days(appliance: &Appliance, clock: &ManualClock, dir: &Path) {
    fleet(appliance).await;
    let pulse = Pulse::default();
    appliance.feel(&pulse);
    let measured = appliance.sample(&pulse);
    let took = median(|| drop(appliance.sample(&pulse)));
    println!("a sample of {} series takes {took:?}: one in 3 s", measured.values.len());

    let before = bytes(dir);
    let mut entropy = Entropy::from_seed(1);
    let mut walk: Vec<i64> = (0..SERIES as i64).collect();
    let (watch, mut packing) = (Stopwatch::start(), Duration::ZERO);
    for tick in 0..TICKS {
        clock.set(START.plus(Span::from_secs(30 * tick)));
        let sample = next(appliance, &mut walk, &mut entropy);
        appliance.timings().add(runs(&mut entropy));
        assert!(appliance.history_tick(&sample).await.unwrap().fresh);
        if tick % 120 == 3 {
            let watch = Stopwatch::start();
            while appliance.history_pack().await.unwrap() {}
            let mut round = appliance.history_forget(Round::default()).await.unwrap();
            while round.more {
                round = appliance.history_forget(round).await.unwrap();
            }
            packing += watch.elapsed();
        }
        if tick % 28_800 == 28_799 {
            println!("{} days: {} MB", (tick + 1) / 2_880, (bytes(dir) - before) / 1_000_000);
        }
    }
    println!("all ticks took {:?}, {packing:?} of it packing and forgetting", watch.elapsed());
}

/// How long answers take.
fn ask(appliance: &Appliance) {
    let now = appliance.now();
    let names: Vec<Series> =
        (0..100).map(|n| Series::new(Metric::StreamLength, format!("series-{n}"))).collect();
    for (words, span, ago) in [
        ("1 h", Span::from_hours(1), Span::ZERO),
        ("6 h", Span::from_hours(6), Span::ZERO),
        ("24 h", Span::from_hours(24), Span::ZERO),
        ("7 d", Span::from_days(7), Span::ZERO),
        ("30 d", Span::from_days(30), Span::ZERO),
        ("1 h, 6 days ago", Span::from_hours(1), Span::from_days(6)),
        ("3 d, 20 days ago", Span::from_days(3), Span::from_days(20)),
    ] {
        let to = now.minus(ago);
        let window = appliance.window(Some(to.minus(span)), Some(to)).unwrap();
        for count in [1, 10, 100] {
            let took = median(|| {
                let found = appliance.history_values(&names[..count], &window).unwrap();
                assert!(found.values().all(|points| (10..=201).contains(&points.len())));
            });
            println!("{words}, {count} series: {took:?}");
        }
    }
    let names: Vec<String> = (0..STREAMS).map(task).collect();
    for (words, span) in [("1 h", 1), ("24 h", 24), ("16 d", 384), ("30 d", 720)] {
        let window = appliance.window(Some(now.minus(Span::from_hours(span))), None).unwrap();
        for count in [1, STREAMS] {
            let took = median(|| {
                let found = appliance.history_times(Scope::Task, &names[..count], &window);
                assert!(found.unwrap().values().all(|buckets| (10..=201).contains(&buckets.len())));
            });
            println!("{words}, how long runs of {count} tasks took: {took:?}");
        }
    }
    let month = appliance.window(Some(now.minus(Span::from_days(30))), None).unwrap();
    println!("summary of 30 d: {:?}", median(|| drop(appliance.history_summary(&month).unwrap())));
}

/// Two hundred workers of fifty streams, each with a group whose consumers hold entries.
async fn fleet(appliance: &Appliance) {
    for stream in 0..STREAMS {
        let entry = Fields::from_parts(&["n", "1"]);
        let name = KeyName::of(&format!("stream-{stream:02}"));
        appliance.add_entries(name.clone(), vec![entry; 20]).await.unwrap();
        let create = Command::GroupCreate {
            key: name,
            group: "workers".into(),
            start: Start::After(StreamId::MIN),
            create_stream: false,
            entries_read: None,
        };
        appliance.requests(vec![create], false).await.remove(0).unwrap();
    }
    for worker in 0..WORKERS {
        let beat = Beat {
            stream: format!("stream-{:02}", worker % STREAMS),
            consumer: format!("worker-{worker}"),
            started_at: None,
            task_limit: 10,
            info: None,
        };
        let read = ReadGroup {
            group: "workers".into(),
            consumer: beat.consumer.clone().into(),
            keys: vec![(KeyName::of(&beat.stream), GroupStart::New)],
            count: Some(3),
            no_ack: false,
            claim: None,
        };
        appliance.requests(vec![Command::ReadGroup(read)], false).await.remove(0).unwrap();
        appliance.worker_beat(beat).await.unwrap();
    }
    appliance.fleet_tick(appliance.now()).await.unwrap();
}

/// A third never changes, a third now and then, a third always, and some of it is no whole number.
fn next(appliance: &Appliance, walk: &mut [i64], entropy: &mut Entropy) -> Sample {
    let mut sample = Sample { at: appliance.now(), ..Sample::default() };
    for (index, value) in walk.iter_mut().enumerate() {
        let moves = match index % 3 {
            0 => false,
            1 => entropy.below(20) == 0,
            _ => true,
        };
        if moves {
            *value = (*value + entropy.below(41) as i64 - 20).max(0);
        }
        let value = *value as f64 / if index % 6 == 5 { 7.0 } else { 1.0 };
        sample.put(Metric::StreamLength, format!("series-{index}"), value);
    }
    sample
}

fn task(number: usize) -> String {
    format!("task-{number:02}")
}

/// How long the runs waited and ran that ended between two ticks: each task has a pace of its own.
fn runs(entropy: &mut Entropy) -> Vec<Took> {
    let name = |text: String| Name::new(&text).unwrap();
    let mut took = Vec::new();
    for number in 0..STREAMS {
        for _ in 0..RUNS {
            for part in [Part::Wait, Part::Run] {
                took.push(Took {
                    task: name(task(number)),
                    org: name(format!("org-{}", number % 10)),
                    env: name("prod".to_owned()),
                    stream: Some(format!("stream-{number:02}")),
                    part,
                    span: Span((number as i64 + 1) * (entropy.below(200) as i64 + 5)),
                });
            }
        }
    }
    took
}

fn median(mut act: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..ASKED)
        .map(|_| {
            let watch = Stopwatch::start();
            act();
            watch.elapsed()
        })
        .collect();
    took.sort();
    took[ASKED / 2]
}

/// What the files take on the disk.
fn bytes(dir: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let size = |file| std::fs::metadata(dir.join(file)).map_or(0, |data| data.blocks() * 512);
    [STORE_FILE, JOURNAL_FILE].map(size).iter().sum()
}
