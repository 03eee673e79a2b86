//! Drives the core: waits for hints, timers and answers, and does what it returns. The only part
//! of dispatch that awaits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::appliance::Appliance;
use crate::appliance::receivers::{Claim, Delivery};
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::engine::hub::Hints;
use crate::model::refusal::{Class, Code};

use super::clock::Watch;
use super::core::{Act, ClaimedShape, Core, Event, IN_FLIGHT_MAX};
use super::deliver;
use super::sender::Sender;

/// Longest sleep: the clock may be set meanwhile.
const LOOK_EVERY: Span = Span::from_secs(1);
/// A settlement that is refused (full queue, full disk) is tried again this much later.
const SETTLE_PAUSE: Duration = Duration::from_millis(250);

/// Runs until `stop`, then waits until what is out has been settled, at most `drain`.
pub async fn run(appliance: Appliance, sender: Arc<Sender>, stop: CancellationToken, drain: Span) {
    let (events, inbox) = mpsc::channel(IN_FLIGHT_MAX * 2);
    let driver = Driver { appliance, sender, events, tasks: TaskTracker::new() };
    let tasks = driver.tasks.clone();
    driver.run(inbox, &stop).await;
    tasks.close();
    if tokio::time::timeout(drain.to_duration(), tasks.wait()).await.is_err() {
        tracing::warn!(
            "deliveries still out at the end; their keys are sent again after the start"
        );
    }
}

struct Driver {
    appliance: Appliance,
    sender: Arc<Sender>,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
}

impl Driver {
    async fn run(&self, mut inbox: mpsc::Receiver<Event>, stop: &CancellationToken) {
        let mut core = Core::new();
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = self.first_look() => first,
        };
        let mut watch = Watch::new(self.appliance.clone(), stop.clone());
        let mut now = self.appliance.now();
        watch.look(now).await;
        self.act(core.on(first, now));
        loop {
            // Asked with the moment of the last turn: what fell due since then is due at once.
            let wake = core.wake_at(now);
            let event = tokio::select! {
                () = stop.cancelled() => return watch.note().await,
                Some(event) = inbox.recv() => event,
                () = self.appliance.hub().work.notified() => self.hints(),
                () = self.sleep_until(wake) => Event::Tick,
            };
            now = self.appliance.now();
            watch.look(now).await;
            let mut acts = core.on(event, now);
            // What else is here already is taken in before the next wait.
            for _ in 0..IN_FLIGHT_MAX {
                let Ok(event) = inbox.try_recv() else { break };
                acts.extend(core.on(event, now));
            }
            self.act(acts);
        }
    }

    /// Everything that has work, since hints of the process before this one are gone.
    async fn first_look(&self) -> Event {
        loop {
            match self.appliance.endpoints_with_work() {
                Ok(endpoints) => return Event::Hints { endpoints, timer: None },
                Err(refusal) => {
                    tracing::warn!(error = %refusal, "the outbox could not be looked through");
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
            }
        }
    }

    fn hints(&self) -> Event {
        let Hints { endpoints, timer } = self.appliance.hub().take_hints();
        Event::Hints { endpoints: endpoints.into_iter().collect(), timer }
    }

    async fn sleep_until(&self, wake: Option<Time>) {
        let left = wake.map_or(LOOK_EVERY, |at| at.since(self.appliance.now()).min(LOOK_EVERY));
        tokio::time::sleep(left.to_duration()).await;
    }

    fn act(&self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Claim(claim) => {
                    let (appliance, sender) = (self.appliance.clone(), self.sender.clone());
                    let (events, tasks) = (self.events.clone(), self.tasks.clone());
                    self.tasks.spawn(claim_and_send(appliance, sender, events, tasks, claim));
                }
                Act::Fire => {
                    let (appliance, events) = (self.appliance.clone(), self.events.clone());
                    tokio::spawn(async move {
                        let event = match appliance.fire().await {
                            Ok(fired) => Event::Fired(fired),
                            Err(_) => Event::FireRefused,
                        };
                        // The driver may have ended; then nobody needs to know.
                        let _ = events.send(event).await;
                    });
                }
            }
        }
    }
}

async fn claim_and_send(
    appliance: Appliance,
    sender: Arc<Sender>,
    events: mpsc::Sender<Event>,
    tasks: TaskTracker,
    claim: Claim,
) {
    let endpoint = claim.endpoint.clone();
    match appliance.claim(claim).await {
        Ok(claimed) => {
            let shape = ClaimedShape::of(&claimed);
            let _ =
                events.send(Event::Claimed { endpoint: endpoint.clone(), claimed: shape }).await;
            for delivery in claimed.deliveries {
                let (appliance, sender) = (appliance.clone(), sender.clone());
                let (events, endpoint) = (events.clone(), endpoint.clone());
                tasks.spawn(deliver_one(appliance, sender, events, endpoint, delivery));
            }
        }
        Err(_) => {
            let _ = events.send(Event::ClaimRefused { endpoint }).await;
        }
    }
}

async fn deliver_one(
    appliance: Appliance,
    sender: Arc<Sender>,
    events: mpsc::Sender<Event>,
    endpoint: Name,
    delivery: Delivery,
) {
    let sent = sender.send(deliver::request(&delivery, appliance.now())).await;
    let report = deliver::report(&delivery, sent, appliance.now());
    if let Some((code, detail)) = deliver::complaint(&report.outcome) {
        let run = &delivery.run;
        tracing::warn!(
            run = %run.id, task = %run.task, org = %run.org, env = %run.env,
            attempt = report.attempt, code, detail, "an agent's answer ends a delivery"
        );
    }
    // However long it takes: the answer is here, and its fence judges it when there is room.
    loop {
        match appliance.settle(report.clone()).await {
            Err(refusal) if refusal.code == Code::ShuttingDown => {
                tracing::warn!(run = %delivery.run.id, "an answer came too late for this process");
                break;
            }
            // `unknown` may have been committed: settling again then finds its row gone.
            Err(refusal) if matches!(refusal.code.class(), Class::Busy | Class::Unavailable) => {
                tokio::time::sleep(SETTLE_PAUSE).await;
            }
            Ok(_) => break,
            Err(refusal) => {
                tracing::error!(run = %delivery.run.id, error = %refusal, "an answer could not be applied");
                break;
            }
        }
    }
    let _ = events.send(Event::Freed { endpoint }).await;
}
