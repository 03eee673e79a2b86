//! What the connections of the Redis door share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::Limits;
use super::session::Session;
use crate::appliance::Appliance;
use crate::base::time::{Span, Time};

/// What a client may do to the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Open connections; those above are told so and closed.
    pub connections_max: usize,
    pub limits: Limits,
    /// How long a request may take to arrive, from its first byte.
    pub request_timeout: Duration,
    /// How long a client may take nothing of its replies.
    pub write_stall_timeout: Duration,
    /// How long replies that are under way may take when the server stops.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connections_max: 10_000,
            limits: Limits::default(),
            request_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// Shared by all connections.
pub struct Door {
    pub appliance: Appliance,
    pub settings: Settings,
    pub started_at: Time,
    /// 40 hex digits, another one after each start.
    pub run_id: String,
    pub port: u16,
    pub requests: AtomicU64,
    ids: AtomicU64,
    clients: Mutex<BTreeMap<u64, String>>,
    rate: Mutex<(Time, u64, u64)>,
}

impl Door {
    pub fn new(appliance: Appliance, settings: Settings, run_id: String, port: u16) -> Door {
        let now = appliance.now();
        Door {
            started_at: now,
            appliance,
            settings,
            run_id,
            port,
            requests: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            clients: Mutex::default(),
            rate: Mutex::new((now, 0, 0)),
        }
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
        lock(&self.clients).insert(session.id, session.line(session.since));
    }

    pub fn forget(&self, id: u64) {
        lock(&self.clients).remove(&id);
    }

    /// One line for each connection.
    pub fn list(&self, me: &Session) -> String {
        self.note(me);
        lock(&self.clients).values().map(|line| format!("{line}\n")).collect()
    }

    /// Requests a second since someone asked last, at least a second ago.
    pub fn per_second(&self) -> u64 {
        let now = self.appliance.now();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
