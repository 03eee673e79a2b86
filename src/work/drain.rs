//! The duty that empties the burst buffer, a slice at a time and with regard for everybody else.
//!
//! A slice is one transaction: entries are taken out and become runs, or nothing happened. So a stop
//! takes nothing out any more once it is asked for, and a kill leaves nothing half done.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::appliance::buffer::Rotation;
use crate::base::time::Stopwatch;

use super::pace::{Refused, Slice, pause};

/// How often a drainer that is switched off looks whether it is on again.
const OFF_PAUSE: Duration = Duration::from_millis(500);
/// Nothing waits, and no hint came for so long: it looks anyway.
const IDLE_PAUSE: Duration = Duration::from_secs(5);
/// How often what the gate knows of the buffer is brought in line with the store.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Drains until `stop`.
pub async fn run(appliance: Appliance, stop: CancellationToken) {
    let mut rotation = Rotation::default();
    let mut refused = Refused::default();
    let mut looked: Option<Stopwatch> = None;
    while !stop.is_cancelled() {
        if looked.is_none_or(|watch| watch.elapsed() >= LOOK_EVERY) {
            // A store that is opened anew refuses; the next turn looks again.
            let _ = appliance.look_at_buffer();
            looked = Some(Stopwatch::start());
        }
        let drainer = appliance.gate().settings().drainer;
        if !drainer.enabled {
            pause(&stop, OFF_PAUSE).await;
            continue;
        }
        let begun = Slice::begin(&appliance);
        let slice = appliance.drain_buffer(
            // A refusal loses it: the turns begin anew then, as after a restart.
            std::mem::take(&mut rotation),
            drainer.concurrency as usize,
            drainer.max_attempts,
        );
        match slice.await {
            Ok((drained, next)) => {
                refused = Refused::default();
                rotation = next;
                if drained.failed > 0 || drained.dead > 0 {
                    let (failed, dead) = (drained.failed, drained.dead);
                    tracing::warn!(failed, dead, "entries of the buffer could not become runs");
                }
                if drained.total() == 0 {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        // A hint that came since the last look is kept.
                        () = appliance.hub().buffer.notified() => {}
                        () = tokio::time::sleep(IDLE_PAUSE) => {}
                    }
                    continue;
                }
                let wait = begun.polite(&appliance);
                if !wait.is_zero() {
                    pause(&stop, wait).await;
                }
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "the buffer is not drained for now");
                pause(&stop, refused.again()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;
    use crate::appliance::intake::{Created, Submit};
    use crate::appliance::runs::Scope;
    use crate::appliance::{Settings, start::start};
    use crate::base::name::Name;
    use crate::base::time::{ManualClock, Span, Time};
    use crate::engine::writer::Writer;
    use crate::model::buffer::{BufferSettings, OrgPatch};
    use crate::model::refusal::Code;
    use crate::model::run::{Run, Status};
    use crate::model::task::Task;
    use crate::store::disk::Disk;

    fn n(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    /// An appliance whose env is diverted after its first run; nobody drains yet.
    async fn started() -> (Appliance, Writer) {
        let disk = Arc::new(Disk::in_memory().unwrap());
        let clock = Arc::new(ManualClock::at(Time(1_000_000)));
        let buffer = BufferSettings { enabled: true, threshold: 1, ..BufferSettings::default() };
        let settings = Settings { buffer, ..Settings::default() };
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        let (appliance, writer) = start(disk, clock, settings, on_fault).unwrap();
        let url = "https://agent.example/run".to_owned();
        appliance.put_task(Task::pushed(n("work"), url, appliance.now())).await.unwrap();
        let on = OrgPatch { enabled: Some(true), shadow: None };
        appliance.set_org_buffer(n("acme"), on, "api").await.unwrap();
        (appliance, writer)
    }

    async fn create(appliance: &Appliance, key: Option<&str>) -> (Run, bool) {
        let mut submit = Submit::plain(n("work"), n("acme"), n("prod"), None);
        submit.idempotency_key = key.map(str::to_owned);
        match appliance.create(submit, false).await.unwrap() {
            Created::Kept { run, cached } => (run, cached),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a03_the_duty_drains_and_b31_whoever_waits_hears_of_it() {
        let (appliance, writer) = started().await;
        create(&appliance, None).await;
        let (run, _) = create(&appliance, None).await;
        assert!(run.buffered);
        let waiter = {
            let (appliance, id) = (appliance.clone(), run.id);
            tokio::spawn(async move {
                appliance.run_final(id, &Scope::default(), Span::from_secs(30)).await
            })
        };
        let stop = CancellationToken::new();
        let duty = tokio::spawn(super::run(appliance.clone(), stop.clone()));
        while appliance.buffer_figures().unwrap().depth > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!appliance.run_row(run.id, &Scope::default()).unwrap().buffered);
        assert!(!waiter.is_finished(), "it is no end to become real");
        appliance.cancel(run.id, None, "api", &Scope::default()).await.unwrap();
        assert_eq!(waiter.await.unwrap().unwrap().run.status, Status::Canceled);
        stop.cancel();
        duty.await.unwrap();
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn b09_thirty_cold_calls_of_one_key_are_one_run() {
        let (appliance, writer) = started().await;
        let mut calls = JoinSet::new();
        for _ in 0..30 {
            let appliance = appliance.clone();
            calls.spawn(async move { create(&appliance, Some("k")).await });
        }
        let answers = calls.join_all().await;
        assert!(answers.iter().all(|(run, _)| run.id == answers[0].0.id));
        assert_eq!(answers.iter().filter(|(_, cached)| !cached).count(), 1);
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn c04_nothing_is_taken_out_after_a_stop() {
        let (appliance, writer) = started().await;
        for _ in 0..5 {
            create(&appliance, None).await;
        }
        let stop = CancellationToken::new();
        stop.cancel();
        super::run(appliance.clone(), stop).await;
        assert_eq!(appliance.buffer_figures().unwrap().depth, 4);
        drop(appliance);
        writer.stop();
    }

    #[tokio::test]
    async fn b15_another_env_sees_and_changes_nothing() {
        let (appliance, writer) = started().await;
        create(&appliance, None).await;
        let (run, _) = create(&appliance, None).await;
        let other = Scope { org: Some(n("globex")), env: None };
        assert!(appliance.run(run.id, &other).is_err());
        assert!(appliance.cancel(run.id, None, "api", &other).await.is_err());
        assert!(appliance.add_tags(run.id, vec!["t".to_owned()], &other).await.is_err());
        assert!(appliance.run_row(run.id, &Scope::default()).unwrap().buffered);
        drop(appliance);
        writer.stop();
    }

    /// Upstream gave up after three tries, and lost what the others wrote.
    #[tokio::test]
    async fn b18_fifty_changes_at_once_all_land_while_it_becomes_real() {
        let (appliance, writer) = started().await;
        create(&appliance, None).await;
        let (run, _) = create(&appliance, None).await;
        let mut changes = JoinSet::new();
        for number in 0..50 {
            let (appliance, id) = (appliance.clone(), run.id);
            changes.spawn(async move {
                let all = Scope::default();
                loop {
                    let seen = appliance.run_row(id, &all).unwrap();
                    let text = format!("{},{number}", seen.metadata.unwrap_or_default());
                    let version = Some(seen.metadata_version);
                    match appliance.set_metadata(id, Some(text), version, &all).await {
                        Ok(_) => break,
                        Err(refusal) => assert_eq!(refusal.code, Code::VersionConflict),
                    }
                }
            });
        }
        let stop = CancellationToken::new();
        let duty = tokio::spawn(super::run(appliance.clone(), stop.clone()));
        changes.join_all().await;
        let run = appliance.run_row(run.id, &Scope::default()).unwrap();
        assert_eq!(run.metadata_version, 50);
        let mut landed: Vec<u32> =
            run.metadata.unwrap().split(',').filter_map(|number| number.parse().ok()).collect();
        landed.sort_unstable();
        assert!(landed.into_iter().eq(0..50));
        stop.cancel();
        duty.await.unwrap();
        drop(appliance);
        writer.stop();
    }
}
