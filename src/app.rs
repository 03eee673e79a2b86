//! Composition: opens, builds, starts in order, stops in reverse.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::appliance::pulse::Pulse;
use crate::appliance::{self, Appliance};
use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::base::time::{Clock, Span, SystemClock};
use crate::config::settings::Settings;
use crate::engine::writer::{OnFault, Writer};
use crate::front::http::door::Door;
use crate::front::http::router::router;
use crate::front::http::server;
use crate::front::http::state::{About, ChannelTest, ChannelTested, Front, Probe, Probed, Shared};
use crate::front::resp;
use crate::model::refusal::{Class, Refusal};
use crate::model::signature::sign;
use crate::store::fault::Fault;
use crate::store::open::{OpenError, RepairProgress, open_dir};
use crate::work::alerts;
use crate::work::alerts::channels::Channels;
use crate::work::dispatch::driver;
use crate::work::dispatch::sender::{self, Outgoing, Sender};
use crate::work::fleet;

/// How long deliveries that are out may take at the end.
const DRAIN: Span = Span::from_secs(20);

/// Time between two questions of a start that waits for the store.
const START_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Why the appliance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on `{address}`: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the store cannot be read: {0}")]
    Store(#[from] Fault),
    #[error("deliveries cannot be sent: {0}")]
    Sender(#[from] sender::SenderError),
    #[error("the start was refused: {0}")]
    Refused(#[from] Refusal),
}

/// A running appliance.
pub struct App {
    pub appliance: Appliance,
    pub http: SocketAddr,
    pub redis: SocketAddr,
    stop: CancellationToken,
    duties: Vec<JoinHandle<()>>,
    doors: Vec<JoinHandle<()>>,
    writer: Writer,
    _dir: crate::store::open::DataDir,
}

/// Opens the store, starts writer, duties and doors; returns once it is ready.
pub async fn start(settings: Settings, on_fault: OnFault) -> Result<App, StartError> {
    let stop = CancellationToken::new();
    let (listener, http) = listen(settings.http).await?;
    let (redis_listener, redis) = listen(settings.redis).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The doors answer `not_ready` and `LOADING` while the store is opened, which may take a while
    // after a kill.
    let door = Door::default();
    let serving = server::serve(listener, door.router(), server::Settings::default(), stop.clone());
    let mut doors = vec![tokio::spawn(serving)];
    let redis_door = Arc::new(resp::door::Door::new(
        clock.clone(),
        resp::door::Settings::default(),
        Entropy::from_system().hex(40),
        redis.port(),
    ));
    let serving = resp::server::serve(redis_listener, redis_door.clone(), stop.clone());
    doors.push(tokio::spawn(serving));

    let (path, cache) = (settings.data_dir.clone(), settings.cache_bytes);
    let dir = tokio::task::spawn_blocking(move || open_dir(&path, cache, repair_progress()))
        .await
        .expect("opening does not panic")?;
    let sender = Arc::new(Sender::new(&sender::Settings {
        allow: settings.allow.clone(),
        ca_file: settings.ca_file.clone(),
        ..sender::Settings::default()
    })?);
    let (appliance, writer) = appliance::start::start(
        dir.disk.clone(),
        clock.clone(),
        appliance::Settings {
            sync_budget: settings.sync_budget,
            buffer: settings.buffer,
            retention: settings.retention,
            alerts: settings.alerts.settings.clone(),
            ..appliance::Settings::default()
        },
        on_fault,
    )?;
    let recovered = patiently(|| appliance.recover()).await?;
    if recovered > 0 {
        tracing::info!(deliveries = recovered, "took back claims that were out at the last stop");
    }
    while patiently(|| appliance.discard_plans(true)).await? {}
    for mut task in settings.tasks.clone() {
        (task.created_at, task.updated_at) = (clock.now(), clock.now());
        patiently(|| appliance.put_task(task.clone())).await?;
    }
    let named: Vec<_> = settings.tasks.iter().map(|task| task.name.clone()).collect();
    patiently(|| appliance.release_tasks(named.clone())).await?;
    let pulse = Arc::new(Pulse::default());
    let mut to_people = settings.alerts.channels;
    if to_people.server.is_empty() {
        to_people.server = format!("http://{http}");
    }
    let to_people = Arc::new(Channels::new(to_people, clock.clone())?);
    let mut duties = vec![
        tokio::spawn(driver::run(appliance.clone(), sender.clone(), stop.clone(), DRAIN)),
        tokio::spawn(fleet::judge(appliance.clone(), clock.now(), stop.clone())),
        tokio::spawn(fleet::requeue(
            appliance.clone(),
            settings.floors.clone(),
            clock.now(),
            stop.clone(),
        )),
        tokio::spawn(fleet::janitor(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::pulse::run(appliance.clone(), pulse.clone(), stop.clone())),
        tokio::spawn(crate::work::monitor::run(appliance.clone(), pulse.clone(), stop.clone())),
        tokio::spawn(crate::work::purge::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::jobs::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::retain::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::drain::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::batches::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::shards::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::sweep::run(
            appliance.clone(),
            {
                let appliance = appliance.clone();
                move || crate::work::sweep::Turn::from(&appliance.gate().settings())
            },
            stop.clone(),
        )),
    ];
    for channel in settings.alerts.settings.channels {
        let (appliance, to_people, stop) = (appliance.clone(), to_people.clone(), stop.clone());
        duties.push(tokio::spawn(alerts::deliver(appliance, to_people, channel, stop)));
    }
    door.open(router(Front::new(Shared {
        appliance: appliance.clone(),
        about: Arc::new(About {
            version: env!("CARGO_PKG_VERSION"),
            address: format!("http://{http}"),
            redis,
            hosts: settings.hosts.clone(),
            data_dir: settings.data_dir.clone(),
            started_at: clock.now(),
            durability: "fsync before every answer".to_owned(),
        }),
        pulse,
        probe: probe(sender, clock),
        channel_test: channel_test(appliance.clone(), to_people),
        allow: settings.allow,
        stop: stop.clone(),
    })));
    redis_door.open(appliance.clone());
    if let Err(error) = write_addresses(&settings.data_dir, http, redis) {
        // A convenience for scripts; a full disk must not keep the pages away.
        tracing::warn!(%error, "`addresses.json` cannot be written");
    }
    Ok(App { appliance, http, redis, stop, duties, doors, writer, _dir: dir })
}

/// Binds an address; gives the one in use, since port 0 picks any.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Asks again while the store takes no writes. On a full disk the door says `not_ready` until there
/// is room; a process that ended instead would only be started again, and again.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    loop {
        match ask().await {
            Err(refusal) if refusal.code.class() == Class::Unavailable => {
                tracing::warn!(error = %refusal, "the start waits for the store");
                tokio::time::sleep(START_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

impl App {
    /// Stops intake, lets what is out come home, commits, closes the file.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.doors.into_iter().chain(self.duties) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the appliance ended badly");
            }
        }
        let writer = self.writer;
        let ended = tokio::task::spawn_blocking(move || writer.stop()).await;
        if let Err(error) = ended {
            tracing::error!(%error, "the writer ended badly");
        }
    }
}

/// Where an appliance listens, as scripts read it.
pub fn addresses(http: SocketAddr, redis: SocketAddr) -> serde_json::Value {
    serde_json::json!({ "http": format!("http://{http}"), "redis": format!("redis://{redis}") })
}

/// Where a running appliance listens, for scripts.
fn write_addresses(dir: &Path, http: SocketAddr, redis: SocketAddr) -> io::Result<()> {
    let text = addresses(http, redis).to_string();
    let draft = dir.join("tmp-addresses.json");
    std::fs::write(&draft, text + "\n")?;
    std::fs::rename(draft, dir.join("addresses.json"))
}

fn repair_progress() -> RepairProgress {
    Arc::new(|done| {
        tracing::info!(percent = (done * 100.0) as u32, "checking the store after a kill");
    })
}

/// Test messages of an operator.
fn channel_test(appliance: Appliance, to_people: Arc<Channels>) -> ChannelTest {
    Arc::new(move |wanted| {
        let (appliance, to_people) = (appliance.clone(), to_people.clone());
        Box::pin(async move {
            let mut all = Vec::new();
            for channel in wanted {
                let tested = alerts::test(&appliance, &to_people, channel).await;
                let error = tested.outcome.err().map(|failed| failed.error);
                all.push(ChannelTested { channel, error, elapsed_ms: tested.elapsed_ms });
            }
            all
        })
    })
}

/// A signed test call of an operator.
fn probe(sender: Arc<Sender>, clock: Arc<dyn Clock>) -> Probe {
    Arc::new(move |task, endpoint| {
        let (sender, now) = (sender.clone(), clock.now());
        Box::pin(async move {
            let Some(push) = task.push().cloned() else {
                unreachable!("only push tasks have endpoints")
            };
            let id = Minter::new(Entropy::from_system()).mint(now).to_string();
            let body =
                serde_json::json!({ "test": true, "external_idempotency_key": id }).to_string();
            let seconds = now.0.div_euclid(1_000);
            let signature = sign(&id, seconds, body.as_bytes(), endpoint.secrets.active(now));
            let header = HeaderName::from_static;
            let sent = sender
                .send(Outgoing {
                    url: push.url,
                    timeout: push.timeout,
                    headers: vec![
                        (http::header::CONTENT_TYPE, "application/json".to_owned()),
                        (header("webhook-id"), id),
                        (header("webhook-timestamp"), seconds.to_string()),
                        (header("webhook-signature"), signature),
                    ],
                    body: Bytes::from(body),
                })
                .await;
            Probed { answer: sent.answer, elapsed_ms: sent.elapsed_ms }
        })
    })
}
