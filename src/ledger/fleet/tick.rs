//! One look at the fleet: who is alive, who went and how, and what that means for its type.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::ledger::streams::open::pending_count_of;
use crate::model::notice::Notice;
use crate::model::stream::KeyName;
use crate::model::worker::{EventKind, FleetEvent, GONE_KEPT, Signs, State, Worker, WorkerType};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{group as groups, key as keys, worker as rows};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::WORKERS_MAX;

/// Events are kept for this long, and removed so many at a time.
const EVENTS_KEPT: Span = Span::from_days(30);
const EVENTS_REMOVED_MAX: usize = 200;
/// Streams, groups and consumers that a look walks through.
const STREAMS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 100;

/// A consumer of any group of a stream, for whom a connection stands.
pub type Connected = BTreeSet<(KeyName, Bytes)>;

/// Who is judged: a stream's name and a consumer's.
type Name = (String, String);

/// What a look changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    pub came: usize,
    pub went: usize,
}

/// Judges every worker that is known, and those that read without ever having said a word.
pub fn tick(tx: &mut Tx<'_>, connected: &Connected, watched_since: Time) -> Result<Ticked, Stop> {
    let now = tx.now();
    let signs = signs(tx, connected)?;
    let mut known: BTreeMap<Name, Worker> = rows::list(tx, None, WORKERS_MAX)?
        .into_iter()
        .map(|worker| ((worker.stream.clone(), worker.consumer.clone()), worker))
        .collect();
    for ((stream, consumer), signs) in &signs {
        let name = (stream.clone(), consumer.clone());
        if !known.contains_key(&name) && known.len() < WORKERS_MAX {
            let worker = super::fresh(stream, consumer, now);
            if worker.judge(signs, now, watched_since) == State::Alive {
                known.insert(name, worker);
            }
        }
    }
    let mut ticked = Ticked::default();
    let mut by_type: BTreeMap<String, Vec<(Worker, State)>> = BTreeMap::new();
    for (name, worker) in known {
        let none = Signs::default();
        let state = worker.judge(signs.get(&name).unwrap_or(&none), now, watched_since);
        match (worker.state, state) {
            (State::Alive, State::Stopped | State::Crashed) => ticked.went += 1,
            (State::Stopped | State::Crashed, State::Alive) => ticked.came += 1,
            _ => {}
        }
        by_type.entry(worker.stream.clone()).or_default().push((worker, state));
    }
    for (stream, workers) in by_type {
        look_at_type(tx, stream, workers)?;
    }
    rows::forget_events(tx, Time(now.0 - EVENTS_KEPT.0), EVENTS_REMOVED_MAX)?;
    if ticked != Ticked::default() {
        tx.notify(Notice::Page);
    }
    Ok(ticked)
}

/// What is seen of every consumer of every stream that HTTP and tasks know.
fn signs(rows: &dyn Rows, connected: &Connected) -> Result<BTreeMap<Name, Signs>, Fault> {
    let mut signs: BTreeMap<Name, Signs> = BTreeMap::new();
    let (streams, _) = keys::streams(rows, 0, None, STREAMS_MAX)?;
    for (key, stream) in streams {
        for (_, group) in groups::list(rows, stream.number, GROUPS_MAX)? {
            let consumers = groups::consumers(rows, stream.number, group.number, WORKERS_MAX)?;
            for (name, consumer) in consumers {
                let text = String::from_utf8_lossy(&name).into_owned();
                let seen = signs.entry((key.text(), text)).or_default();
                let number = consumer.number;
                seen.read_at = seen.read_at.max(Some(consumer.seen_at));
                seen.pending += pending_count_of(rows, stream.number, group.number, number)?;
                seen.connected |= connected.contains(&(key.clone(), name.into()));
            }
        }
    }
    Ok(signs)
}

/// Writes who changed, and what that means for the type.
fn look_at_type(
    tx: &mut Tx<'_>,
    stream: String,
    workers: Vec<(Worker, State)>,
) -> Result<(), Stop> {
    let now = tx.now();
    let known = rows::get_type(tx, &stream)?;
    let alive = workers.iter().filter(|(_, state)| *state == State::Alive).count() as u32;
    let mut crashed = 0;
    for (mut worker, state) in workers {
        if worker.state == state {
            if state != State::Alive && now.since(worker.changed_at) >= GONE_KEPT {
                rows::remove(tx, &worker);
            }
            continue;
        }
        crashed += u64::from(state == State::Crashed);
        if state == State::Crashed {
            rows::tell(
                tx,
                &FleetEvent {
                    at: now,
                    kind: EventKind::Crash,
                    worker: stream.clone(),
                    consumer: worker.consumer.clone(),
                    from: known.as_ref().map_or(0, |kind| kind.alive),
                    to: alive,
                    state,
                },
            );
        }
        worker.state = state;
        worker.changed_at = now;
        rows::put(tx, &worker);
    }
    let Some(before) = known.or_else(|| (alive > 0).then(|| new_type(&stream, now))) else {
        return Ok(());
    };
    let mut after = before.clone();
    after.crashes += crashed;
    if alive != before.alive {
        after.alive = alive;
        after.state = match (alive, crashed) {
            (1.., _) => State::Alive,
            (0, 0) => State::Stopped,
            (0, _) => State::Crashed,
        };
        after.changed_at = now;
        let kind = if alive > before.alive { EventKind::ScaleUp } else { EventKind::ScaleDown };
        rows::tell(
            tx,
            &FleetEvent {
                at: now,
                kind,
                worker: stream,
                consumer: String::new(),
                from: before.alive,
                to: alive,
                state: after.state,
            },
        );
    }
    if alive > 0 {
        after.last_alive = alive;
        // A change worth a write once a minute, for "last seen alive".
        if now.since(after.seen_alive_at) >= Span::from_mins(1) || alive != before.alive {
            after.seen_alive_at = now;
        }
    } else if before.alive > 0 {
        after.seen_alive_at = now;
    }
    if after != before {
        rows::put_type(tx, &after);
    }
    Ok(())
}

fn new_type(stream: &str, now: Time) -> WorkerType {
    WorkerType {
        stream: stream.to_owned(),
        state: State::Stopped,
        changed_at: now,
        known_since: now,
        alive: 0,
        last_alive: 0,
        seen_alive_at: now,
        crashes: 0,
    }
}
