//! The fleet as doors and duties see it: heartbeats in, the snapshot out, and the three looks that
//! keep it in order: who is alive, whose work is lost, what can be tidied away.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::ledger::fleet::cleanup::{self, Reclaimed, Trimmed};
use crate::ledger::fleet::tick::{Connected, Ticked, tick};
use crate::ledger::fleet::{self, WORKERS_MAX};
use crate::ledger::streams::open::{pending_count, pending_count_of};
use crate::ledger::streams::requeue;
use crate::model::refusal::Refusal;
use crate::model::stream::{KeyName, lag};
use crate::model::worker::{FleetEvent, HEARTBEAT_TTL, State, Worker, WorkerType, is_fresh};
use crate::store::fault::Fault;
use crate::store::kinds::key::Value;
use crate::store::kinds::{group as groups, key as keys, worker as rows};
use crate::store::rows::Rows;

pub use crate::ledger::fleet::Beat;
pub use crate::ledger::streams::requeue::Floors;

use super::presence::Who;
use super::{Appliance, unreadable};

/// Types of workers that one snapshot shows.
pub const TYPES_MAX: usize = 1_000;
const GROUPS_MAX: usize = 100;

/// A worker with what is seen of it.
#[derive(Clone, Debug)]
pub struct WorkerView {
    pub worker: Worker,
    pub pending: u64,
    /// Since it read last.
    pub idle: Option<Span>,
    pub connected: bool,
}

/// A type of workers with its stream.
#[derive(Clone, Debug)]
pub struct TypeView {
    pub kind: WorkerType,
    pub workers: Vec<WorkerView>,
    pub backlog: u64,
    pub pending: u64,
    pub lag: Option<u64>,
    /// Task limits of those alive.
    pub capacity: u64,
}

impl TypeView {
    /// Backlog for each place of the living; without any, whether there is a backlog at all.
    pub fn utilization(&self) -> f64 {
        match (self.capacity, self.backlog) {
            (0, 0) => 0.0,
            (0, _) => 1.0,
            (capacity, backlog) => backlog as f64 / capacity as f64,
        }
    }
}

/// What tidying came to.
#[derive(Clone, Debug, Default)]
pub struct Cleaned {
    pub streams: Vec<Trimmed>,
    pub consumers: Vec<(String, usize)>,
}

impl Appliance {
    pub async fn worker_beat(&self, beat: Beat) -> Result<Worker, Refusal> {
        self.call(move |tx| fleet::beat(tx, beat)).await
    }

    pub async fn worker_shutdown(
        &self,
        stream: String,
        consumer: String,
    ) -> Result<Worker, Refusal> {
        self.call(move |tx| fleet::shutdown(tx, &stream, &consumer)).await
    }

    pub async fn forget_workers(&self, stream: String) -> Result<usize, Refusal> {
        self.call(move |tx| fleet::forget(tx, &stream)).await
    }

    fn connected(&self) -> Connected {
        self.presence().all().into_iter().map(|who| (who.stream, who.consumer)).collect()
    }

    /// Judges every worker. `watched_since`: since when signs of life are seen at all.
    pub async fn fleet_tick(&self, watched_since: Time) -> Result<Ticked, Refusal> {
        let connected = self.connected();
        self.call(move |tx| tick(tx, &connected, watched_since)).await
    }

    /// Gives back what lost workers held; gives how much, and when to look again.
    pub async fn requeue(
        &self,
        floors: &Floors,
        watched_since: Time,
    ) -> Result<(usize, Option<Time>, bool), Refusal> {
        let found = self.look_for_lost(floors, watched_since)?;
        let (next, more) = (found.next, found.more);
        if found.lost.is_empty() {
            return Ok((0, next, more));
        }
        let (lost, most) = (found.lost, floors.max_deliveries);
        let given = self.call(move |tx| requeue::give_back(tx, lost, most)).await?;
        Ok((given, next, more))
    }

    fn look_for_lost(
        &self,
        floors: &Floors,
        watched_since: Time,
    ) -> Result<requeue::Look, Refusal> {
        let now = self.now();
        let snapshot = self.snapshot()?;
        let known = rows::list(&snapshot, None, WORKERS_MAX).map_err(unreadable)?;
        let beating: HashMap<(String, String), Worker> = known
            .into_iter()
            .filter(|worker| worker.beat_at.is_some())
            .map(|worker| ((worker.stream.clone(), worker.consumer.clone()), worker))
            .collect();
        let young = now.since(watched_since) < HEARTBEAT_TTL;
        let alive = |stream: &KeyName, group: &Bytes, consumer: &[u8]| {
            if young {
                return Some(Time(i64::MIN));
            }
            let name = (stream.text(), String::from_utf8_lossy(consumer).into_owned());
            match beating.get(&name).filter(|_| stream.db == 0) {
                // What it was given before it started is of an earlier life under the same name.
                Some(worker) => {
                    let here = worker.beat_at.is_some_and(|at| is_fresh(at, now));
                    (here && worker.marker_at < worker.beat_at).then_some(worker.started_at)
                }
                None => {
                    let who = Who {
                        stream: stream.clone(),
                        group: group.clone(),
                        consumer: Bytes::copy_from_slice(consumer),
                    };
                    self.presence().is_here(&who).then_some(Time(i64::MIN))
                }
            }
        };
        requeue::look(&snapshot, now, floors, &alive).map_err(unreadable)
    }

    /// Tidies: entries that everyone is done with, and consumers that are gone.
    pub async fn cleanup(&self, workers_only: bool) -> Result<Cleaned, Refusal> {
        let connected = self.connected();
        self.call(move |tx| {
            Ok(Cleaned {
                streams: cleanup::trim_done(tx, workers_only)?,
                consumers: cleanup::remove_stale(tx, &connected)?,
            })
        })
        .await
    }

    pub async fn reclaim_dead(&self, min_idle: Span, dry_run: bool) -> Result<Reclaimed, Refusal> {
        let connected = self.connected();
        self.call(move |tx| cleanup::reclaim_dead(tx, &connected, min_idle, dry_run)).await
    }

    /// Everyone who is known, by type.
    pub fn workers(&self) -> Result<Vec<TypeView>, Refusal> {
        let snapshot = self.snapshot()?;
        self.read_workers(&snapshot).map_err(unreadable)
    }

    fn read_workers(&self, view: &dyn Rows) -> Result<Vec<TypeView>, Fault> {
        let now = self.now();
        let connected = self.connected();
        let mut types = Vec::new();
        for kind in rows::types(view, TYPES_MAX)? {
            let name = KeyName::of(&kind.stream);
            let stream = match keys::get(view, &name)?.map(|entry| entry.value) {
                Some(Value::Stream(stream)) => Some(stream),
                Some(Value::Text(_)) | None => None,
            };
            let mut seen: BTreeMap<String, (u64, Time)> = BTreeMap::new();
            let (mut pending, mut worst) = (0, Some(0));
            if let Some(stream) = &stream {
                for (_, group) in groups::list(view, stream.number, GROUPS_MAX)? {
                    pending += pending_count(view, stream.number, group.number)?;
                    let lag = lag(stream, &group, stream.first());
                    worst = worst.zip(lag).map(|(worst, lag): (u64, u64)| worst.max(lag));
                    for (name, consumer) in
                        groups::consumers(view, stream.number, group.number, WORKERS_MAX)?
                    {
                        let number = consumer.number;
                        let held = pending_count_of(view, stream.number, group.number, number)?;
                        let name = String::from_utf8_lossy(&name).into_owned();
                        let known = seen.entry(name).or_insert((0, consumer.seen_at));
                        *known = (known.0 + held, known.1.max(consumer.seen_at));
                    }
                }
            }
            let workers: Vec<WorkerView> = rows::list(view, Some(&kind.stream), WORKERS_MAX)?
                .into_iter()
                .map(|worker| {
                    let found = seen.get(&worker.consumer);
                    let consumer = Bytes::from(worker.consumer.clone());
                    WorkerView {
                        pending: found.map_or(0, |(pending, _)| *pending),
                        idle: found.map(|(_, at)| now.since(*at)),
                        connected: connected.contains(&(name.clone(), consumer)),
                        worker,
                    }
                })
                .collect();
            let living = workers.iter().filter(|view| view.worker.state == State::Alive);
            types.push(TypeView {
                capacity: living.map(|view| u64::from(view.worker.task_limit)).sum(),
                backlog: stream.map_or(0, |stream| stream.length),
                pending,
                lag: worst,
                workers,
                kind,
            });
        }
        Ok(types)
    }

    /// What happened to the fleet, newest first.
    pub fn fleet_events(
        &self,
        before: Option<Id>,
        limit: usize,
    ) -> Result<Vec<(Id, FleetEvent)>, Refusal> {
        rows::events(&self.snapshot()?, before, limit).map_err(unreadable)
    }
}
