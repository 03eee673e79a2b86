//! The store under constant load and retention: what goes makes room for what comes.

use std::sync::Arc;

use tidegate::appliance::intake::{Created, Submit};
use tidegate::appliance::retention::Round;
use tidegate::appliance::runs::Scope;
use tidegate::appliance::{Appliance, Settings, start::start};
use tidegate::base::name::Name;
use tidegate::base::time::{ManualClock, Span, Time};
use tidegate::model::retention::Retention;
use tidegate::model::task::Task;
use tidegate::store::open::{CACHE_BYTES, open_dir};
use tokio::task::JoinSet;

/// Seconds of load, runs of each, and bytes of a payload.
const SECONDS: usize = 180;
const RUNS_PER_SECOND: usize = 100;
const PAYLOAD_BYTES: usize = 4_000;
/// Runs are kept for so many seconds: from then on as many go as come.
const KEPT: Span = Span::from_secs(10);

async fn live_and_die(appliance: Appliance) {
    let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES)).into_bytes();
    let name = |text: &str| Name::new(text).unwrap();
    let mut wanted = Submit::plain(name("work"), name("acme"), name("prod"), Some(payload));
    wanted.tags = vec!["some".to_owned()];
    let Created::Kept { run, .. } = appliance.create(wanted, false).await.unwrap() else {
        panic!("it is not flushed")
    };
    appliance.cancel(run.id, None, "api", &Scope::default()).await.unwrap();
}

/// Retention until a round finds nothing more.
async fn retain(appliance: &Appliance) {
    let mut round = Round::default();
    loop {
        let slice = appliance.retain(round).await.unwrap();
        if !slice.more {
            return;
        }
        round = slice.round;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_stops_growing_under_constant_load() {
    let place = tempfile::tempdir().unwrap();
    let dir = open_dir(place.path(), CACHE_BYTES, Arc::new(|_| {})).unwrap();
    let clock = Arc::new(ManualClock::at(Time(1_700_000_000_000)));
    let retention = Retention { runs: KEPT, ..Retention::default() };
    let settings = Settings { retention, ..Settings::default() };
    let on_fault = Box::new(|fault: &_| panic!("{fault}"));
    let (appliance, writer) = start(dir.disk.clone(), clock.clone(), settings, on_fault).unwrap();
    let url = "https://agent.example/run".to_owned();
    let task = Task::pushed(Name::new("work").unwrap(), url, appliance.now());
    appliance.put_task(task).await.unwrap();
    let file = place.path().join("tidegate.redb");
    let mut lengths = Vec::new();
    for _ in 0..SECONDS {
        let mut runs = JoinSet::new();
        for _ in 0..RUNS_PER_SECOND {
            runs.spawn(live_and_die(appliance.clone()));
        }
        runs.join_all().await;
        clock.advance(Span::from_secs(1));
        retain(&appliance).await;
        lengths.push(std::fs::metadata(&file).unwrap().len());
    }
    let removed = appliance.retention_figures().removed.runs as usize;
    assert!(removed >= (SECONDS - 12) * RUNS_PER_SECOND, "{removed} went");
    // The file grows by doubling, and how much of it waits for a checkpoint differs: one step is no
    // growth. If nothing were used again, nine times as much would need three steps or four.
    let (early, last) = (lengths[SECONDS / 9], lengths[SECONDS - 1]);
    assert!(last <= 2 * early, "the file grows: {lengths:?}");
    drop(appliance);
    writer.stop();
}
