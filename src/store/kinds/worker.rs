//! Workers, their types, and what happened to them.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::worker::{EventKind, FleetEvent, State, Worker, WorkerType};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct WorkerRow {
    state: u8,
    changed_at: i64,
    started_at: i64,
    beat_at: Option<i64>,
    marker_at: Option<i64>,
    lost_at: Option<i64>,
    task_limit: u32,
    info: Option<String>,
}

impl Record for WorkerRow {
    const KIND: &'static str = "worker";
}

#[derive(Encode, Decode)]
struct TypeRow {
    state: u8,
    changed_at: i64,
    known_since: i64,
    alive: u32,
    last_alive: u32,
    seen_alive_at: i64,
    crashes: u64,
}

impl Record for TypeRow {
    const KIND: &'static str = "worker type";
}

#[derive(Encode, Decode)]
struct EventRow {
    at: i64,
    kind: u8,
    worker: String,
    consumer: String,
    from: u32,
    to: u32,
    state: u8,
}

impl Record for EventRow {
    const KIND: &'static str = "fleet event";
}

fn state(number: u8) -> Result<State, Fault> {
    super::word(State::from_number(number), "state of a worker", number)
}

fn key(stream: &str, consumer: &str) -> Key {
    Key::new(Table::Worker).text(stream).text(consumer)
}

pub fn get(rows: &dyn Rows, stream: &str, consumer: &str) -> Result<Option<Worker>, Fault> {
    let row = load::<WorkerRow>(rows, &key(stream, consumer))?;
    row.map(|row| worker(stream.to_owned(), consumer.to_owned(), row)).transpose()
}

pub fn put(tx: &mut Tx<'_>, worker: &Worker) {
    let row = WorkerRow {
        state: worker.state as u8,
        changed_at: worker.changed_at.0,
        started_at: worker.started_at.0,
        beat_at: worker.beat_at.map(|at| at.0),
        marker_at: worker.marker_at.map(|at| at.0),
        lost_at: worker.lost_at.map(|at| at.0),
        task_limit: worker.task_limit,
        info: worker.info.clone(),
    };
    tx.put(key(&worker.stream, &worker.consumer), &row);
}

pub fn remove(tx: &mut Tx<'_>, worker: &Worker) {
    tx.remove(key(&worker.stream, &worker.consumer));
}

fn worker(stream: String, consumer: String, row: WorkerRow) -> Result<Worker, Fault> {
    Ok(Worker {
        stream,
        consumer,
        state: state(row.state)?,
        changed_at: Time(row.changed_at),
        started_at: Time(row.started_at),
        beat_at: row.beat_at.map(Time),
        marker_at: row.marker_at.map(Time),
        lost_at: row.lost_at.map(Time),
        task_limit: row.task_limit,
        info: row.info,
    })
}

/// Workers by stream and name: of one type, or of all.
pub fn list(rows: &dyn Rows, stream: Option<&str>, limit: usize) -> Result<Vec<Worker>, Fault> {
    let table = Key::new(Table::Worker);
    let prefix = stream.map_or(table.clone(), |stream| table.text(stream));
    collect(rows, &Span::prefix(&prefix), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new(key);
            worker(reader.text()?, reader.text()?, codec::decode(value)?)
        })
        .collect()
}

fn type_key(stream: &str) -> Key {
    Key::new(Table::WorkerType).text(stream)
}

pub fn get_type(rows: &dyn Rows, stream: &str) -> Result<Option<WorkerType>, Fault> {
    let row = load::<TypeRow>(rows, &type_key(stream))?;
    row.map(|row| type_of(stream.to_owned(), row)).transpose()
}

pub fn put_type(tx: &mut Tx<'_>, kind: &WorkerType) {
    let row = TypeRow {
        state: kind.state as u8,
        changed_at: kind.changed_at.0,
        known_since: kind.known_since.0,
        alive: kind.alive,
        last_alive: kind.last_alive,
        seen_alive_at: kind.seen_alive_at.0,
        crashes: kind.crashes,
    };
    tx.put(type_key(&kind.stream), &row);
}

pub fn remove_type(tx: &mut Tx<'_>, stream: &str) {
    tx.remove(type_key(stream));
}

fn type_of(stream: String, row: TypeRow) -> Result<WorkerType, Fault> {
    Ok(WorkerType {
        stream,
        state: state(row.state)?,
        changed_at: Time(row.changed_at),
        known_since: Time(row.known_since),
        alive: row.alive,
        last_alive: row.last_alive,
        seen_alive_at: Time(row.seen_alive_at),
        crashes: row.crashes,
    })
}

pub fn types(rows: &dyn Rows, limit: usize) -> Result<Vec<WorkerType>, Fault> {
    collect(rows, &Span::prefix(&Key::new(Table::WorkerType)), limit)?
        .iter()
        .map(|(key, value)| type_of(KeyReader::new(key).text()?, codec::decode(value)?))
        .collect()
}

/// Adds an event under a fresh id.
pub fn tell(tx: &mut Tx<'_>, event: &FleetEvent) {
    let row = EventRow {
        at: event.at.0,
        kind: event.kind as u8,
        worker: event.worker.clone(),
        consumer: event.consumer.clone(),
        from: event.from,
        to: event.to,
        state: event.state as u8,
    };
    let id = tx.mint();
    tx.put(Key::new(Table::FleetEvent).id(id), &row);
}

/// Events newest first, those before `before`.
pub fn events(
    rows: &dyn Rows,
    before: Option<Id>,
    limit: usize,
) -> Result<Vec<(Id, FleetEvent)>, Fault> {
    let table = Key::new(Table::FleetEvent);
    let mut span = Span::prefix(&table).newest_first();
    if let Some(before) = before {
        span = span.before(&table.id(before));
    }
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let row: EventRow = codec::decode(value)?;
            let kind = super::word(EventKind::from_number(row.kind), "kind of event", row.kind)?;
            Ok((
                last_id(key)?,
                FleetEvent {
                    at: Time(row.at),
                    kind,
                    worker: row.worker,
                    consumer: row.consumer,
                    from: row.from,
                    to: row.to,
                    state: state(row.state)?,
                },
            ))
        })
        .collect()
}

/// Removes at most `limit` of the oldest events, those before `before`.
pub fn forget_events(tx: &mut Tx<'_>, before: Time, limit: usize) -> Result<usize, Fault> {
    let span = Span::prefix(&Key::new(Table::FleetEvent));
    let mut removed = 0;
    for (key, value) in collect(tx, &span, limit)? {
        let row: EventRow = codec::decode(&value)?;
        if Time(row.at) >= before {
            break;
        }
        tx.remove_raw(key);
        removed += 1;
    }
    Ok(removed)
}
