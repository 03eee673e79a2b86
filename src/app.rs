//! Composition: opens, builds, starts in order, stops in reverse.

pub mod reload;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::appliance::pulse::Pulse;
use crate::appliance::{self, Appliance};
use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::base::time::{Clock, Span, SystemClock, Time};
use crate::config::settings::{Certificate, Settings, TlsSettings};
use crate::engine::writer::{OnFault, Writer};
use crate::front::http::door::Door;
use crate::front::http::listening::Listening;
use crate::front::http::router::{Routes, router};
use crate::front::http::server;
use crate::front::http::state::{About, ChannelTest, ChannelTested, Front, Probe, Probed, Shared};
use crate::front::resp;
use crate::front::tls::{Tls, TlsError, self_sign};
use crate::model::alert::Channel;
use crate::model::refusal::{Class, Refusal};
use crate::model::signature::sign;
use crate::store::open::{DataDir, OpenError, RepairProgress, open_dir, unharmed};
use crate::work::alerts;
use crate::work::alerts::channels::Channels;
use crate::work::dispatch::driver;
use crate::work::dispatch::sender::{self, Outgoing, Sender};
use crate::work::fleet;

use reload::{Reloader, channel_settings, in_force, put_tasks};

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
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("deliveries cannot be sent: {0}")]
    Sender(#[from] sender::SenderError),
    #[error("the start was refused: {0}")]
    Refused(#[from] Refusal),
    #[error(
        "`{0}` is reachable from outside and nobody was let in yet: make a token first with \
         `tidegate token create --name admin --role admin`, for the same data directory, or bind a \
         loopback address"
    )]
    NoAccess(SocketAddr),
}

/// A running appliance.
pub struct App {
    pub appliance: Appliance,
    pub http: SocketAddr,
    pub redis: SocketAddr,
    pub addresses: Addresses,
    pub reloader: Reloader,
    stop: CancellationToken,
    duties: Vec<JoinHandle<()>>,
    doors: Vec<JoinHandle<()>>,
    writer: Writer,
    _dir: DataDir,
}

/// Sockets that were bound before, by whoever started the process.
#[derive(Debug, Default)]
pub struct Sockets {
    pub http: Option<std::net::TcpListener>,
    pub redis: Option<std::net::TcpListener>,
}

/// Opens the store, starts writer, duties and doors; returns once it is ready.
pub async fn start(settings: Settings, on_fault: OnFault) -> Result<App, StartError> {
    start_on(Sockets::default(), settings, on_fault).await
}

/// Like [`start`], by another clock than the machine's.
pub async fn start_by(
    clock: Arc<dyn Clock>,
    settings: Settings,
    on_fault: OnFault,
) -> Result<App, StartError> {
    start_with(clock, Sockets::default(), settings, on_fault).await
}

/// Like [`start`], on sockets that may be bound already.
pub async fn start_on(
    sockets: Sockets,
    settings: Settings,
    on_fault: OnFault,
) -> Result<App, StartError> {
    start_with(Arc::new(SystemClock), sockets, settings, on_fault).await
}

async fn start_with(
    clock: Arc<dyn Clock>,
    sockets: Sockets,
    settings: Settings,
    on_fault: OnFault,
) -> Result<App, StartError> {
    let stop = CancellationToken::new();
    let (listener, http) = listen(sockets.http, settings.http).await?;
    let (redis_listener, redis) = listen(sockets.redis, settings.redis).await?;
    // The doors answer `not_ready` and `LOADING` while the store is opened, which may take a while
    // after a kill.
    let counted = appliance::Doors::default();
    let door = Door::default();
    let tls = tls_of(&settings, &[http, redis], clock.now())?;
    let wanted = |by: fn(&TlsSettings) -> bool| {
        tls.clone().filter(|_| settings.tls.as_ref().is_some_and(by))
    };
    let (http_tls, redis_tls) = (wanted(|of| of.http), wanted(|of| of.redis));
    let addresses = Addresses {
        http: format!("{}://{http}", if http_tls.is_some() { "https" } else { "http" }),
        redis: format!("{}://{redis}", if redis_tls.is_some() { "rediss" } else { "redis" }),
    };
    let listening = Listening::Port(listener, http_tls);
    let serving = server::serve(
        listening,
        door.router(),
        http_clients(&settings, counted.http.clone()),
        stop.clone(),
    );
    let mut doors = vec![tokio::spawn(serving)];
    let redis_door = Arc::new(resp::door::Door::new(
        clock.clone(),
        resp::door::Settings { tls: redis_tls, ..redis_clients(&settings, counted.redis.clone()) },
        Entropy::from_system().hex(40),
        redis.port(),
    ));
    let serving = resp::server::serve(redis_listener, redis_door.clone(), stop.clone());
    doors.push(tokio::spawn(serving));

    let (dir, appliance, writer) = open(&settings, clock.clone(), counted, on_fault).await?;
    if let Some(open) = [http, redis].into_iter().find(|at| !at.ip().is_loopback())
        && !appliance.is_set_up()
    {
        stop.cancel();
        stop_writer(writer).await;
        return Err(StartError::NoAccess(open));
    }
    let sender = Arc::new(sender_of(&settings)?);
    match Listening::in_dir(&settings.data_dir) {
        Ok(local) => {
            let serving =
                server::serve(local, door.router(), server::Settings::default(), stop.clone());
            doors.push(tokio::spawn(serving));
        }
        // Verbs of the command line cannot reach it then; everything else works.
        Err(error) => tracing::warn!(%error, "`admin.sock` cannot be made in the data directory"),
    }
    let recovered = patiently(|| appliance.recover()).await?;
    if recovered > 0 {
        tracing::info!(deliveries = recovered, "took back claims that were out at the last stop");
    }
    while patiently(|| appliance.discard_plans(true)).await? {}
    patiently(|| put_tasks(&appliance, &settings.tasks)).await?;
    let pulse = Arc::new(Pulse::default());
    let to_people =
        Arc::new(Channels::new(channel_settings(&settings, &addresses.http), clock.clone())?);
    let watched = tls.map(|tls| tokio::spawn(tls.watch(stop.clone())));
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
        tokio::spawn(crate::work::monitor::run(appliance.clone(), pulse.clone(), stop.clone())),
        tokio::spawn(crate::work::monitor::history(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::purge::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::jobs::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::retain::run(appliance.clone(), stop.clone())),
        tokio::spawn(crate::work::backup::run(appliance.clone(), stop.clone())),
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
    for channel in Channel::ALL.iter().copied() {
        let (appliance, to_people, stop) = (appliance.clone(), to_people.clone(), stop.clone());
        duties.push(tokio::spawn(alerts::deliver(appliance, to_people, channel, stop)));
    }
    duties.extend(watched);
    let about = about(&settings, &addresses, redis, clock.now());
    let reloader = Reloader {
        appliance: appliance.clone(),
        to_people: to_people.clone(),
        in_force: Arc::new(in_force(&settings, clock.now())),
        started_with: settings.clone(),
        http: addresses.http.clone(),
    };
    door.open(router(Front::new(Shared {
        appliance: appliance.clone(),
        about: Arc::new(about),
        configuration: reloader.in_force.clone(),
        pulse,
        probe: probe(sender, clock),
        channel_test: channel_test(appliance.clone(), to_people),
        allow: settings.allow,
        stop: stop.clone(),
    })));
    redis_door.open(appliance.clone());
    if let Err(error) = write_addresses(&settings.data_dir, &addresses) {
        // A convenience for scripts; a full disk must not keep the pages away.
        tracing::warn!(%error, "`addresses.json` cannot be written");
    }
    Ok(App { appliance, reloader, http, redis, addresses, stop, duties, doors, writer, _dir: dir })
}

/// Opens the store and starts its writer.
async fn open(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    doors: appliance::Doors,
    on_fault: OnFault,
) -> Result<(DataDir, Appliance, Writer), StartError> {
    let (path, cache) = (settings.data_dir.clone(), settings.cache_bytes);
    let dir = tokio::task::spawn_blocking(move || open_dir(&path, cache, repair_progress()))
        .await
        .expect("opening does not panic")?;
    let inside = appliance::Settings {
        sync_budget: settings.sync_budget,
        buffer: settings.buffer,
        retention: settings.retention,
        alerts: Arc::new(settings.alerts.settings.clone()),
        data_dir: Some(settings.data_dir.clone()),
        backup: settings.backup.clone(),
        doors,
        ..appliance::Settings::default()
    };
    let disk = dir.disk.clone();
    let started = unharmed(|| appliance::start::start(disk, clock, inside, on_fault));
    let (appliance, writer) =
        started.map_err(|fault| OpenError::Store { dir: settings.data_dir.clone(), fault })?;
    Ok((dir, appliance, writer))
}

/// What clients of HTTP may do.
fn http_clients(settings: &Settings, connections: TaskTracker) -> server::Settings {
    let defaults = server::Settings::default();
    let (wanted, timeout) = (&settings.clients, settings.clients.request_timeout);
    server::Settings {
        connections_max: wanted.http_connections_max,
        header_read_timeout: timeout.unwrap_or(defaults.header_read_timeout),
        body_read_timeout: timeout.unwrap_or(defaults.body_read_timeout),
        connections,
        ..defaults
    }
}

/// What clients of the Redis protocol may do.
fn redis_clients(settings: &Settings, connections: TaskTracker) -> resp::door::Settings {
    let defaults = resp::door::Settings::default();
    let (wanted, timeout) = (&settings.clients, settings.clients.request_timeout);
    resp::door::Settings {
        connections_max: wanted.redis_connections_max,
        request_timeout: timeout.map_or(defaults.request_timeout, Span::to_duration),
        connections,
        ..defaults
    }
}

fn sender_of(settings: &Settings) -> Result<Sender, sender::SenderError> {
    Sender::new(&sender::Settings {
        allow: settings.allow.clone(),
        ca_file: settings.ca_file.clone(),
        ..sender::Settings::default()
    })
}

fn about(settings: &Settings, addresses: &Addresses, redis: SocketAddr, now: Time) -> About {
    About {
        version: env!("CARGO_PKG_VERSION"),
        address: addresses.http.clone(),
        redis,
        data_dir: settings.data_dir.clone(),
        started_at: now,
        durability: "fsync before every answer".to_owned(),
    }
}

/// The API over a data directory that no appliance serves: no doors and no duties, so nothing
/// happens but what is asked for.
pub struct Offline {
    router: Routes,
    appliance: Appliance,
    writer: Writer,
    _dir: DataDir,
}

impl Offline {
    pub async fn open(settings: Settings, on_fault: OnFault) -> Result<Offline, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let doors = appliance::Doors::default();
        let (dir, appliance, writer) = open(&settings, clock.clone(), doors, on_fault).await?;
        let sender = Arc::new(sender_of(&settings)?);
        let addresses = Addresses {
            http: format!("http://{}", settings.http),
            redis: format!("redis://{}", settings.redis),
        };
        let about = about(&settings, &addresses, settings.redis, clock.now());
        let to_people =
            Arc::new(Channels::new(channel_settings(&settings, &addresses.http), clock.clone())?);
        let router = router(Front::new(Shared {
            appliance: appliance.clone(),
            about: Arc::new(about),
            configuration: Arc::new(in_force(&settings, appliance.now())),
            pulse: Arc::default(),
            probe: probe(sender, clock),
            channel_test: channel_test(appliance.clone(), to_people),
            allow: settings.allow,
            stop: CancellationToken::new(),
        }));
        Ok(Offline { router, appliance, writer, _dir: dir })
    }

    /// Answers as a running appliance would; the request is trusted.
    pub async fn ask(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        server::ask(self.router.clone(), request).await
    }

    pub async fn close(self) {
        drop((self.router, self.appliance));
        stop_writer(self.writer).await;
    }
}

/// Binds an address unless that was done before; gives the one in use, since port 0 picks any.
async fn listen(
    bound: Option<std::net::TcpListener>,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = match bound {
        Some(bound) => TcpListener::from_std(bound).map_err(failed)?,
        None => TcpListener::bind(address).await.map_err(failed)?,
    };
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
        // Behind the last deliveries.
        if let Err(refusal) = self.appliance.history_flush().await {
            tracing::warn!(error = %refusal, "history misses how long the last runs took");
        }
        stop_writer(self.writer).await;
    }
}

/// Commits what came before, and closes the file.
async fn stop_writer(writer: Writer) {
    if let Err(error) = tokio::task::spawn_blocking(move || writer.stop()).await {
        tracing::error!(%error, "the writer ended badly");
    }
}

/// Where an appliance listens, as people and scripts read it.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// `http://` or `https://`.
    pub http: String,
    /// `redis://` or `rediss://`.
    pub redis: String,
}

/// The certificate, if one is wanted.
fn tls_of(settings: &Settings, bound: &[SocketAddr], now: Time) -> Result<Option<Tls>, TlsError> {
    let Some(wanted) = &settings.tls else { return Ok(None) };
    let files = match &wanted.certificate {
        Certificate::Files(files) => files.clone(),
        Certificate::SelfSigned => {
            let addresses: Vec<_> = bound.iter().map(SocketAddr::ip).collect();
            self_sign(&settings.data_dir.join("keys"), &settings.hosts, &addresses, now)?
        }
    };
    let tls = Tls::read(files)?;
    tracing::info!(fingerprint = %tls.fingerprint(), "the certificate of this appliance");
    Ok(Some(tls))
}

/// Where a running appliance listens, for scripts.
fn write_addresses(dir: &Path, addresses: &Addresses) -> io::Result<()> {
    let text = serde_json::to_string(addresses)?;
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
