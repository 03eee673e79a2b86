//! Runs: the head, which changes with every step, and body and output, which are written once.

use std::collections::HashMap;

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::model::run::{Mirror, Run, RunError, Status};
use crate::model::stream::StreamId;
use crate::model::trace::Trace;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::buffered;

/// The row as of version 1.0.
#[derive(Encode, Decode)]
struct RunRow0 {
    status: u8,
    task: String,
    org: String,
    env: String,
    tags: Vec<String>,
    metadata: Option<String>,
    metadata_version: u64,
    idempotency_key: Option<String>,
    fingerprint: u64,
    priority: i8,
    concurrency_key: Option<String>,
    attempts: u32,
    max_attempts: Option<u32>,
    fence: u32,
    created_at: i64,
    due_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    expires_at: Option<i64>,
    deadline: Option<i64>,
    mirror: u8,
    remote_id: Option<i64>,
    error: Option<(String, String)>,
    last_failure: Option<(String, String)>,
    parent: Option<[u8; 16]>,
    replay_of: Option<[u8; 16]>,
    batch: Option<([u8; 16], u32)>,
    shard: Option<([u8; 16], u32)>,
    steps: Vec<String>,
    step: u32,
    traceparent: Option<String>,
    payload_bytes: u32,
    has_context: bool,
    has_output: bool,
    cancel_reason: Option<String>,
    events: u32,
}

/// The row as of version 1.1, which rows of the buffer hold too.
#[derive(Encode, Decode)]
pub(super) struct RunRowUntil1 {
    old: RunRow0,
    new: RunRow1,
}

#[derive(Encode, Decode)]
pub(super) struct RunRow {
    pub(super) old: RunRowUntil1,
    pub(super) new: RunRow2,
}

/// What version 1.1 added.
#[derive(Default, Encode, Decode)]
struct RunRow1 {
    stream: Option<String>,
    entry: Option<(u64, u64)>,
    attempt_at: Option<i64>,
    series_from: u32,
    series_at: Option<i64>,
    callbacks: u32,
}

/// What version 1.2 added.
#[derive(Default, Encode, Decode)]
pub(super) struct RunRow2 {
    tracestate: Option<String>,
}

impl Record for RunRow {
    const KIND: &'static str = "run";
    const MINOR: u8 = 2;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<RunRow, Fault>> {
        let old: Result<RunRowUntil1, Fault> = match (major, minor) {
            (1, 0) => codec::decode_body::<RunRow0>(RunRow::KIND, body).map(|(old, _)| old.into()),
            (1, 1) => codec::decode_body(RunRow::KIND, body).map(|(old, _)| old),
            _ => return None,
        };
        Some(old.map(RunRow::from))
    }
}

impl From<RunRow0> for RunRowUntil1 {
    fn from(old: RunRow0) -> RunRowUntil1 {
        // Before there were series, all attempts were one.
        let series_at = old.started_at;
        RunRowUntil1 { old, new: RunRow1 { series_at, ..RunRow1::default() } }
    }
}

impl From<RunRowUntil1> for RunRow {
    fn from(old: RunRowUntil1) -> RunRow {
        RunRow { old, new: RunRow2::default() }
    }
}

pub fn key(id: RunId) -> Key {
    Key::new(Table::Run).id(id)
}

/// Every run, oldest first.
pub fn all() -> Key {
    Key::new(Table::Run)
}

/// A run, wherever its head stands: among the runs, or still in the burst buffer.
pub fn get(rows: &dyn Rows, id: RunId) -> Result<Option<Run>, Fault> {
    match load::<RunRow>(rows, &key(id))? {
        Some(row) => from_row(id, row).map(Some),
        None => Ok(buffered::get(rows, id)?.map(|entry| entry.run)),
    }
}

/// Reads the value of a run's row that a scan came by.
pub fn read(id: RunId, value: &[u8]) -> Result<Run, Fault> {
    from_row(id, codec::decode(value)?)
}

pub fn put(tx: &mut Tx<'_>, run: &Run) {
    tx.put(key(run.id), &to_row(run));
}

/// Head, body and output of a run.
pub fn remove(tx: &mut Tx<'_>, id: RunId) {
    for table in [Table::Run, Table::Body, Table::Output] {
        tx.remove(Key::new(table).id(id));
    }
}

/// Whether there is such a run, or the burst buffer has it.
pub fn exists(rows: &dyn Rows, id: RunId) -> Result<bool, Fault> {
    Ok(rows.get(key(id).bytes())?.is_some() || buffered::get(rows, id)?.is_some())
}

pub(super) fn to_row(run: &Run) -> RunRow {
    let pair =
        |error: &Option<RunError>| error.as_ref().map(|e| (e.code.clone(), e.message.clone()));
    let old = RunRow0 {
        status: run.status as u8,
        task: run.task.to_string(),
        org: run.org.to_string(),
        env: run.env.to_string(),
        tags: run.tags.clone(),
        metadata: run.metadata.clone(),
        metadata_version: run.metadata_version,
        idempotency_key: run.idempotency_key.clone(),
        fingerprint: run.fingerprint,
        priority: run.priority,
        concurrency_key: run.concurrency_key.clone(),
        attempts: run.attempts,
        max_attempts: run.max_attempts,
        fence: run.fence,
        created_at: run.created_at.0,
        due_at: run.due_at.0,
        started_at: run.started_at.map(|t| t.0),
        finished_at: run.finished_at.map(|t| t.0),
        expires_at: run.expires_at.map(|t| t.0),
        deadline: run.deadline.map(|t| t.0),
        mirror: run.mirror as u8,
        remote_id: run.remote_id,
        error: pair(&run.error),
        last_failure: pair(&run.last_failure),
        parent: run.parent.map(|id| id.0),
        replay_of: run.replay_of.map(|id| id.0),
        batch: run.batch.map(|(id, index)| (id.0, index)),
        shard: run.shard.map(|(id, index)| (id.0, index)),
        steps: run.steps.clone(),
        step: run.step,
        traceparent: run.trace.as_ref().map(|trace| trace.parent.clone()),
        payload_bytes: run.payload_bytes,
        has_context: run.has_context,
        has_output: run.has_output,
        cancel_reason: run.cancel_reason.clone(),
        events: run.events,
    };
    let new = RunRow1 {
        stream: run.stream.clone(),
        entry: run.entry.map(|id| (id.ms, id.seq)),
        attempt_at: run.attempt_at.map(|at| at.0),
        series_from: run.series_from,
        series_at: run.series_at.map(|at| at.0),
        callbacks: run.callbacks,
    };
    let newest = RunRow2 { tracestate: run.trace.as_ref().and_then(|trace| trace.state.clone()) };
    RunRow { old: RunRowUntil1 { old, new }, new: newest }
}

pub(super) fn from_row(id: RunId, row: RunRow) -> Result<Run, Fault> {
    let RunRow { old: RunRowUntil1 { old: row, new }, new: newest } = row;
    let error =
        |pair: Option<(String, String)>| pair.map(|(code, message)| RunError { code, message });
    let mirror = [Mirror::Pending, Mirror::Live, Mirror::Failed];
    let mirror = mirror.into_iter().find(|mirror| *mirror as u8 == row.mirror);
    Ok(Run {
        id,
        status: super::word(Status::from_number(row.status), "status", row.status)?,
        task: super::name(&row.task)?,
        org: super::name(&row.org)?,
        env: super::name(&row.env)?,
        tags: row.tags,
        metadata: row.metadata,
        metadata_version: row.metadata_version,
        idempotency_key: row.idempotency_key,
        fingerprint: row.fingerprint,
        priority: row.priority,
        concurrency_key: row.concurrency_key,
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        fence: row.fence,
        created_at: Time(row.created_at),
        due_at: Time(row.due_at),
        started_at: row.started_at.map(Time),
        finished_at: row.finished_at.map(Time),
        expires_at: row.expires_at.map(Time),
        deadline: row.deadline.map(Time),
        mirror: super::word(mirror, "mirror", row.mirror)?,
        remote_id: row.remote_id,
        error: error(row.error),
        last_failure: error(row.last_failure),
        parent: row.parent.map(Id),
        replay_of: row.replay_of.map(Id),
        batch: row.batch.map(|(id, index)| (Id(id), index)),
        shard: row.shard.map(|(id, index)| (Id(id), index)),
        steps: row.steps,
        step: row.step,
        trace: row.traceparent.map(|parent| Trace { parent, state: newest.tracestate }),
        payload_bytes: row.payload_bytes,
        has_context: row.has_context,
        has_output: row.has_output,
        cancel_reason: row.cancel_reason,
        events: row.events,
        stream: new.stream,
        entry: new.entry.map(|(ms, seq)| StreamId::new(ms, seq)),
        attempt_at: new.attempt_at.map(Time),
        series_from: new.series_from,
        series_at: new.series_at.map(Time),
        callbacks: new.callbacks,
        buffered: false,
    })
}

/// What the caller sent, as JSON text, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Body {
    pub payload: Option<Vec<u8>>,
    pub context: Option<Vec<u8>>,
}

impl Record for Body {
    const KIND: &'static str = "body";
}

pub fn body(rows: &dyn Rows, id: RunId) -> Result<Body, Fault> {
    Ok(load(rows, &Key::new(Table::Body).id(id))?.unwrap_or_default())
}

/// What several runs are to work on, their ids in ascending order.
pub fn bodies(rows: &dyn Rows, ids: &[RunId]) -> Result<HashMap<RunId, Body>, Fault> {
    super::of_many(rows, Table::Body, ids, codec::decode)
}

/// Written only when there is something to keep.
pub fn put_body(tx: &mut Tx<'_>, id: RunId, body: &Body) {
    if body.payload.is_some() || body.context.is_some() {
        tx.put(Key::new(Table::Body).id(id), body);
    }
}

/// Removes what a run was to work on that was never made.
pub fn remove_body(tx: &mut Tx<'_>, id: RunId) {
    tx.remove(Key::new(Table::Body).id(id));
}

/// JSON text, exactly as the agent gave it.
pub fn output(rows: &dyn Rows, id: RunId) -> Result<Option<Vec<u8>>, Fault> {
    rows.get(Key::new(Table::Output).id(id).bytes())
}

pub fn put_output(tx: &mut Tx<'_>, id: RunId, output: Vec<u8>) {
    tx.put_raw(Key::new(Table::Output).id(id), output);
}
