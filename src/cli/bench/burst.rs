//! A burst of one env beside another env that works quietly: what the buffer takes, what the others
//! notice, and how fast it is drained.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

use super::figures::Figures;
use super::stages::{Times, gather, name};
use super::wire::Client;
use crate::appliance::Appliance;
use crate::appliance::intake::{Created, Submit};
use crate::base::time::Stopwatch;
use crate::model::buffer::{DrainerPatch, OrgPatch, Patch};

/// Runs of the burst, and those who send them.
const BURST: u64 = 50_000;
const CLIENTS: usize = 64;
/// The other env sends one so often.
const QUIET_EVERY: Duration = Duration::from_millis(10);
/// How long it is measured alone.
const QUIET_FOR: Duration = Duration::from_secs(10);
/// Entries of a drain that is measured alone.
const DRAINED: u64 = 100_000;

/// What the burst needs to know.
pub struct Burst {
    pub appliance: Appliance,
    pub http: SocketAddr,
    pub payload: Arc<str>,
}

/// Who drains meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drainer {
    Off,
    On,
}

impl Burst {
    pub async fn run(&self, show: impl Fn(Figures)) -> Result<(), String> {
        self.switch(false, Drainer::On).await?;
        // Files that grow for the first time are not what is asked for.
        self.send(false, "held", BURST).await;
        let quiet = self.start_quiet();
        tokio::time::sleep(QUIET_FOR).await;
        show(quiet.end("other env, quiet").await);
        for over_http in [false, true] {
            let door = if over_http { "HTTP" } else { "Rust boundary" };
            // What is delivered takes its part of the machine, as in a burst that is not a test.
            let ways = [
                ("full submits", "held", false, Drainer::On),
                ("into the buffer", "held", true, Drainer::Off),
                ("into the buffer, drained", "held", true, Drainer::On),
                ("full submits, delivered", "cycle", false, Drainer::On),
                ("into the buffer, drained and delivered", "cycle", true, Drainer::On),
            ];
            for (what, task, buffered, drainer) in ways {
                self.switch(buffered, drainer).await?;
                let target = self.finished()? + if task == "cycle" { BURST } else { 0 };
                let quiet = self.start_quiet();
                let burst = self.send(over_http, task, BURST).await;
                show(burst.named(format!("burst, {door}, {what}")));
                show(quiet.end("  other env meanwhile").await);
                self.switch(buffered, Drainer::On).await?;
                self.empty().await?;
                self.delivered(target).await?;
            }
        }
        self.switch(true, Drainer::Off).await?;
        self.send(false, "held", DRAINED).await;
        let waiting = self.depth()?;
        let watch = Stopwatch::start();
        self.switch(true, Drainer::On).await?;
        self.empty().await?;
        let took = watch.elapsed();
        show(Figures::of("drain of the buffer", 0, took, Vec::new(), 0).with_count(waiting));
        self.switch(false, Drainer::On).await
    }

    async fn switch(&self, enabled: bool, drainer: Drainer) -> Result<(), String> {
        let patch = Patch {
            enabled: Some(enabled),
            threshold: Some(1),
            drainer: Some(DrainerPatch {
                enabled: Some(drainer == Drainer::On),
                ..DrainerPatch::default()
            }),
            ..Patch::default()
        };
        let set = self.appliance.set_buffer(patch, "bench").await;
        set.map_err(|refusal| refusal.to_string())?;
        let org = OrgPatch { enabled: Some(true), shadow: None };
        let set = self.appliance.set_org_buffer(name("burst"), org, "bench").await;
        set.map(|_| ()).map_err(|refusal| refusal.to_string())
    }

    fn depth(&self) -> Result<u64, String> {
        Ok(self.appliance.buffer_figures().map_err(|refusal| refusal.to_string())?.depth)
    }

    async fn empty(&self) -> Result<(), String> {
        while self.depth()? > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    fn finished(&self) -> Result<u64, String> {
        let totals = self.appliance.totals().map_err(|refusal| refusal.to_string())?;
        Ok(totals.finished as u64)
    }

    /// Waits until so many runs have finished.
    async fn delivered(&self, target: u64) -> Result<(), String> {
        while self.finished()? < target {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn submit(&self, task: &str, org: &str) -> Submit {
        let payload = Some(self.payload.as_bytes().to_vec());
        Submit::plain(name(task), name(org), name("prod"), payload)
    }

    /// Sends so many runs, as fast as they are taken.
    async fn send(&self, over_http: bool, task: &str, count: u64) -> Figures {
        let sent = Arc::new(AtomicU64::new(0));
        let body: Arc<str> = format!(
            "{{\"task\":\"{task}\",\"org\":\"burst\",\"env\":\"prod\",\"payload\":{}}}",
            self.payload
        )
        .into();
        let mut tasks = JoinSet::new();
        let whole = Stopwatch::start();
        for _ in 0..CLIENTS {
            let (appliance, http, submit) =
                (self.appliance.clone(), self.http, self.submit(task, "burst"));
            let (sent, body) = (sent.clone(), body.clone());
            tasks.spawn(async move {
                let mut times = Times::default();
                let mut connection = match over_http {
                    true => Client::connect(http).await.ok(),
                    false => None,
                };
                while sent.fetch_add(1, Ordering::Relaxed) < count {
                    let one = Stopwatch::start();
                    let good = match &mut connection {
                        Some(connection) => {
                            matches!(connection.post("/v1/runs", &body).await, Ok((201, _)))
                        }
                        None => matches!(
                            appliance.create(submit.clone(), false).await,
                            Ok(Created::Kept { .. })
                        ),
                    };
                    times.note(one, good);
                }
                times
            });
        }
        gather("burst", CLIENTS, whole, tasks).await
    }

    /// An env that sends a run every 10 ms.
    fn start_quiet(&self) -> Quiet {
        let stop = Arc::new(AtomicBool::new(false));
        let (appliance, submit, stopped) =
            (self.appliance.clone(), self.submit("held", "quiet"), stop.clone());
        let whole = Stopwatch::start();
        let task = tokio::spawn(async move {
            let mut times = Times::default();
            let mut beat = tokio::time::interval(QUIET_EVERY);
            while !stopped.load(Ordering::Relaxed) {
                beat.tick().await;
                let one = Stopwatch::start();
                let created = appliance.create(submit.clone(), false).await;
                times.note(one, matches!(created, Ok(Created::Kept { .. })));
            }
            times
        });
        Quiet { stop, whole, task }
    }
}

struct Quiet {
    stop: Arc<AtomicBool>,
    whole: Stopwatch,
    task: JoinHandle<Times>,
}

impl Quiet {
    async fn end(self, what: &str) -> Figures {
        self.stop.store(true, Ordering::Relaxed);
        let took = self.whole.elapsed();
        let times = self.task.await.unwrap_or_default();
        Figures::of(what, 1, took, times.micros, times.errors)
    }
}
