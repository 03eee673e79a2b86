//! What the connections of the Redis door share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::frame::Limits;
use super::reply::Reply;
use super::session::Session;
use crate::appliance::Appliance;
use crate::base::time::{Clock, Span, Time};
use crate::front::accepting::Seldom;
use crate::front::tls::Tls;

/// What a client may do to the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What connections shake hands with first, if there is a certificate.
    pub tls: Option<Tls>,
    /// Open connections; those above are told so and closed.
    pub connections_max: usize,
    pub limits: Limits,
    /// How long a request may take to arrive, from its first byte, and the proof of a client where
    /// one is wanted, from its opening.
    pub request_timeout: Duration,
    /// How long the first request of a connection may wait for the store to open. Most clients take
    /// what they hear then for an error.
    pub opening_wait: Duration,
    /// How often a reader that waits is looked at again: its token may have been revoked since.
    pub proof_every: Duration,
    /// How long a client may take nothing of its replies.
    pub write_stall_timeout: Duration,
    /// How long replies that are under way may take when the server stops.
    pub drain_timeout: Duration,
    /// Where open connections are counted.
    pub connections: TaskTracker,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            tls: None,
            connections_max: 10_000,
            limits: Limits::default(),
            request_timeout: Duration::from_secs(30),
            opening_wait: Duration::from_secs(2),
            proof_every: Duration::from_secs(5),
            write_stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            connections: TaskTracker::new(),
        }
    }
}

/// Shared by all connections.
pub struct Door {
    appliance: SetOnce<Appliance>,
    clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub started_at: Time,
    /// 40 hex digits, another one after each start.
    pub run_id: String,
    pub port: u16,
    pub requests: AtomicU64,
    ids: AtomicU64,
    clients: Mutex<BTreeMap<u64, (Time, String)>>,
    rate: Mutex<(Time, u64, u64)>,
    /// Whether the log tells of a client that was dropped.
    pub dropped: Seldom,
}

impl Door {
    /// Until the store is open clients are told so.
    pub fn new(clock: Arc<dyn Clock>, settings: Settings, run_id: String, port: u16) -> Door {
        let now = clock.now();
        Door {
            started_at: now,
            appliance: SetOnce::new(),
            clock,
            settings,
            run_id,
            port,
            requests: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            clients: Mutex::default(),
            rate: Mutex::new((now, 0, 0)),
            dropped: Seldom::default(),
        }
    }

    /// From now on requests reach the store.
    pub fn open(&self, appliance: Appliance) {
        if self.appliance.set(appliance).is_err() {
            tracing::error!("the door was opened twice; the second appliance is ignored");
        }
    }

    /// `None` while the store is being opened.
    pub fn appliance(&self) -> Option<&Appliance> {
        self.appliance.get()
    }

    /// Returns once the store is open, or was not for as long as a client may wait.
    pub async fn opens(&self) {
        // What comes after is told to clients.
        let _ = timeout(self.settings.opening_wait, self.appliance.wait()).await;
    }

    /// Whether clients have to say who they are.
    pub fn wants_proof(&self) -> bool {
        self.appliance().is_some_and(Appliance::is_set_up)
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections that were ever taken.
    pub fn taken(&self) -> u64 {
        self.ids.load(Ordering::Relaxed)
    }

    pub fn connected(&self) -> usize {
        lock(&self.clients).len()
    }

    /// Tells what CLIENT LIST says of a connection.
    pub fn note(&self, session: &Session) {
        lock(&self.clients).insert(session.id, (session.since, session.line()));
    }

    pub fn forget(&self, id: u64) {
        lock(&self.clients).remove(&id);
    }

    /// One line for each connection.
    pub fn list(&self, me: &Session) -> String {
        self.note(me);
        let clients = lock(&self.clients);
        clients.values().map(|(since, line)| self.aged(*since, line)).collect()
    }

    /// The line of one connection.
    pub fn line(&self, me: &Session) -> String {
        self.aged(me.since, &me.line())
    }

    fn aged(&self, since: Time, line: &str) -> String {
        format!("{line} age={}\n", self.now().since(since).0 / 1_000)
    }

    /// Requests a second since someone asked last, at least a second ago.
    pub fn per_second(&self) -> u64 {
        let now = self.now();
        let total = self.requests.load(Ordering::Relaxed);
        let mut rate = lock(&self.rate);
        let (at, before, known) = *rate;
        let passed = now.since(at);
        if passed < Span::from_secs(1) {
            return known;
        }
        let fresh = (total - before) * 1_000 / passed.0.unsigned_abs();
        *rate = (now, total, fresh);
        fresh
    }
}

/// What clients hear while the store is being opened. They know the code, and come again.
pub fn loading() -> Reply {
    Reply::error("LOADING tidegate is opening its store")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
