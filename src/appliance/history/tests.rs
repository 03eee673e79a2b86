//! Windows and summaries of an appliance of its own.

use std::sync::Arc;

use super::*;
use crate::appliance::fleet::Beat;
use crate::appliance::pulse::Pulse;
use crate::appliance::{Settings, start::start};
use crate::base::time::ManualClock;
use crate::store::disk::Disk;

const START: Time = Time(1_699_920_000_000);

fn started() -> (Appliance, crate::engine::writer::Writer, Arc<ManualClock>) {
    let disk = Arc::new(Disk::in_memory().unwrap());
    let clock = Arc::new(ManualClock::at(START));
    let on_fault = Box::new(|fault: &_| panic!("{fault}"));
    let (appliance, writer) = start(disk, clock.clone(), Settings::default(), on_fault).unwrap();
    (appliance, writer, clock)
}

/// Rules 12 and 33: a crash is told from a clean stop, and counts once.
#[tokio::test]
async fn s33_one_crash_counts_once() {
    let (appliance, writer, clock) = started();
    for consumer in ["stops", "crashes"] {
        let beat = Beat {
            stream: "resize".to_owned(),
            consumer: consumer.to_owned(),
            started_at: None,
            task_limit: 1,
            info: None,
        };
        appliance.worker_beat(beat).await.unwrap();
    }
    appliance.fleet_tick(START).await.unwrap();
    appliance.worker_shutdown("resize".to_owned(), "stops".to_owned()).await.unwrap();
    for _ in 0..5 {
        clock.advance(Span::from_secs(20));
        appliance.fleet_tick(START).await.unwrap();
        // Looking at it, however often, adds nothing.
        appliance.sample(&Pulse::default());
    }
    let window = appliance.window(None, None).unwrap();
    let summary = appliance.history_summary(&window).unwrap();
    assert_eq!((summary.crashes, summary.events_cut), (1, false));
    let earlier = appliance.window(None, Some(START)).unwrap();
    assert_eq!(appliance.history_summary(&earlier).unwrap(), Summary::default());
    drop(appliance);
    writer.stop();
}

#[test]
fn windows_are_checked() {
    let (appliance, writer, _) = started();
    let field = |from, to| appliance.window(from, to).unwrap_err().message;
    assert!(field(Some(START), Some(START)).contains("before `to`"));
    assert!(field(Some(START.plus(Span(1))), None).contains("before `to`"));
    assert!(field(Some(Time(0)), None).contains("400d"));
    assert!(field(Some(Time(-1)), Some(Time(0))).contains("400d"));
    let day = appliance.window(None, None).unwrap();
    assert_eq!((day.from, day.to), (START.minus(Span::from_hours(24)), START));
    drop(appliance);
    writer.stop();
}

#[test]
fn names_beyond_the_bound_are_told_together() {
    let name = |text: String| crate::base::name::Name::new(&text).unwrap();
    let mut taken = std::collections::HashMap::new();
    let mut latency = Latency::default();
    latency.run.record(5);
    let count = TIMES_MAX + 7;
    for n in 0..count {
        let whose =
            Some((name(format!("t{n:05}")), name("acme".into()), name("prod".into()), None));
        taken.insert(whose, latency.clone());
    }
    taken.insert(None, latency);
    let times = named(taken);
    let runs = |name: &str| times[&(Scope::Task, name.to_owned())].run.count();
    assert_eq!((runs("t00000"), runs(OTHERS)), (1, 9));
    assert_eq!(times.keys().filter(|(scope, _)| *scope == Scope::Task).count(), TIMES_MAX);
    assert_eq!(times[&(Scope::Org, "acme".to_owned())].run.count(), count as u64);
}
