//! One look at an appliance of its own.

use std::sync::Arc;

use crate::appliance::fleet::Beat;
use crate::appliance::intake::Submit;
use crate::appliance::pulse::Pulse;
use crate::appliance::runs::Scope;
use crate::appliance::{Appliance, Settings, start::start};
use crate::base::name::Name;
use crate::base::time::{ManualClock, Span, Time};
use crate::ledger::outbox::claim::{Claim, Turn};
use crate::model::history::Scope as Of;
use crate::model::sample::{Metric, Series};
use crate::model::task::Task;
use crate::store::disk::Disk;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn started() -> (Appliance, crate::engine::writer::Writer, Arc<ManualClock>) {
    let disk = Arc::new(Disk::in_memory().unwrap());
    let clock = Arc::new(ManualClock::at(Time(1_699_920_000_000)));
    let on_fault = Box::new(|fault: &_| panic!("{fault}"));
    let (appliance, writer) = start(disk, clock.clone(), Settings::default(), on_fault).unwrap();
    let url = "https://agent.example/run".to_owned();
    appliance.put_task(Task::pushed(name("work"), url, appliance.now())).await.unwrap();
    let submit = Submit::plain(name("work"), name("acme"), name("prod"), None);
    appliance.create(submit, false).await.unwrap();
    appliance
        .worker_beat(Beat {
            stream: "resize".to_owned(),
            consumer: "w<1>".to_owned(),
            started_at: None,
            task_limit: 10,
            info: None,
        })
        .await
        .unwrap();
    appliance.fleet_tick(appliance.now()).await.unwrap();
    (appliance, writer, clock)
}

/// Rules 31 and 34: looking changes nothing, and what cannot be measured spoils nothing.
#[tokio::test]
async fn s31_samples_have_no_side_effects() {
    let (appliance, writer, clock) = started().await;
    let pulse = Pulse::default();
    let commands = appliance.commands_done();
    let events = appliance.fleet_events(None, 10).unwrap();
    clock.advance(Span::from_secs(20));
    let first = appliance.sample(&pulse);
    assert_eq!(first.get(Metric::Runs, "queued"), Some(1.0));
    assert_eq!(first.get(Metric::TaskQueued, "work"), Some(1.0));
    assert_eq!(first.get(Metric::OrgQueued, "acme"), Some(1.0));
    assert_eq!(first.get(Metric::OrgQueued, "acme/prod"), Some(1.0));
    assert_eq!(first.get(Metric::EndpointState, "work/closed"), Some(1.0));
    assert_eq!(first.get(Metric::OutboxOldestSeconds, ""), Some(20.0));
    assert_eq!(first.get(Metric::BackupAgeSeconds, ""), None, "there is none");
    assert_eq!(first.get(Metric::WorkersStale, "resize"), Some(1.0));
    assert_eq!(first.get(Metric::CreatedTotal, ""), Some(1.0));
    assert!(first.get(Metric::MemoryBytes, "").unwrap() > 1e6);
    assert_eq!(first.failed, []);
    // The worker was not judged by being looked at; the same look twice tells the same.
    let second = appliance.sample(&pulse);
    let but_memory = |sample: &crate::model::sample::Sample| {
        let mut values = sample.values.clone();
        values.remove(&Series::new(Metric::MemoryBytes, ""));
        values
    };
    assert_eq!(but_memory(&first), but_memory(&second));
    assert_eq!(appliance.commands_done(), commands);
    assert_eq!(appliance.fleet_events(None, 10).unwrap(), events);
    drop(appliance);
    writer.stop();
}

/// Rule 34: a part that fails is named, the others are there.
#[tokio::test]
async fn s34_part_that_fails_spoils_nothing_else() {
    let (appliance, writer, _) = started().await;
    let mut sample = crate::model::sample::Sample::default();
    let broken: super::Part = |_, _| {
        Err(crate::model::refusal::Refusal::new(crate::model::refusal::Code::Internal, "no"))
    };
    appliance.measure(&[("broken", broken), ("overview", super::parts::overview)], &mut sample);
    assert_eq!(sample.failed, [("broken".to_owned(), "no".to_owned())]);
    assert_eq!(sample.get(Metric::Runs, "queued"), Some(1.0));
    drop(appliance);
    writer.stop();
}

/// A tick keeps what was measured, and how long runs took since the one before.
#[tokio::test]
async fn tick_keeps_values_and_times() {
    let (appliance, writer, clock) = started().await;
    clock.advance(Span::from_secs(2));
    let claim = Claim { endpoint: name("work"), max: 1, turn: Turn::default() };
    let claimed = appliance.claim(claim).await.unwrap();
    let run = claimed.deliveries[0].row.id;
    clock.advance(Span::from_millis(1_500));
    appliance.complete(run, None, None, &Scope::default()).await.unwrap();
    let sample = appliance.sample(&Pulse::default());
    assert!(appliance.history_tick(&sample).await.unwrap().fresh);
    assert!(!appliance.history_tick(&sample).await.unwrap().fresh);
    let window = appliance.window(None, Some(appliance.now().plus(Span(1)))).unwrap();
    let wanted = [Series::new(Metric::FinishedTotal, "")];
    let found = appliance.history_values(&wanted, &window).unwrap();
    assert_eq!(found[&wanted[0]].iter().map(|point| point.mean).collect::<Vec<_>>(), [1.0]);
    for (scope, name) in [(Of::Task, "work"), (Of::Org, "acme"), (Of::Env, "acme/prod")] {
        let (names, more) = appliance.history_names(scope).unwrap();
        assert_eq!((&names, more), (&vec![name.to_owned()], false));
        let times = appliance.history_times(scope, &names, &window).unwrap();
        let [latency] = times[name].values().collect::<Vec<_>>()[..] else { panic!("one bucket") };
        assert_eq!((latency.wait.count(), latency.wait.max_ms()), (1, 2_000));
        assert_eq!((latency.run.count(), latency.run.max_ms()), (1, 1_500));
    }
    drop(appliance);
    writer.stop();
}
