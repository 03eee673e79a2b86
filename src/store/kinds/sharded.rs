//! Sharded runs: their heads, those whose plan is being written, those that dispatch works on, and
//! the windows and keys that they are bound to.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span as Length, Time};
use crate::model::shard::{Phase, ShardedRun, Wishes};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, first_key, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::shard::ErrorRow;

#[derive(Encode, Decode)]
struct ShardedRow {
    phase: u8,
    task: String,
    org: String,
    env: String,
    created_at: i64,
    finished_at: Option<i64>,
    items: u32,
    shards: u32,
    shard_size: u32,
    window: Option<String>,
    schedule: Option<String>,
    idempotency_key: Option<String>,
    fingerprint: u64,
    tags: Vec<String>,
    priority: i8,
    ttl: Option<i64>,
    max_attempts: Option<u32>,
    concurrency_key: Option<String>,
    next: u32,
    retry_from: Option<u32>,
    held: u32,
    error: Option<ErrorRow>,
}

impl Record for ShardedRow {
    const KIND: &'static str = "sharded run";
}

fn key(id: Id) -> Key {
    Key::new(Table::ShardedRun).id(id)
}

fn plan_key(id: Id) -> Key {
    Key::new(Table::ShardPlan).id(id)
}

fn open_key(id: Id) -> Key {
    Key::new(Table::ShardedOpen).id(id)
}

/// One whose plan is complete.
pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<ShardedRun>, Fault> {
    load::<ShardedRow>(rows, &key(id))?.map(|row| from_row(id, row)).transpose()
}

/// One whose plan is being written.
pub fn plan(rows: &dyn Rows, id: Id) -> Result<Option<ShardedRun>, Fault> {
    load::<ShardedRow>(rows, &plan_key(id))?.map(|row| from_row(id, row)).transpose()
}

/// Writes a head where its phase puts it.
pub fn put(tx: &mut Tx<'_>, run: &ShardedRun) {
    let row = to_row(run);
    match run.phase {
        Phase::Planning => tx.put(plan_key(run.id), &row),
        Phase::Dispatching | Phase::Incomplete | Phase::Running | Phase::Finished => {
            tx.put(key(run.id), &row);
        }
    }
}

/// The plan is complete, or given up: its head is not among the unfinished plans any more.
pub fn remove_plan(tx: &mut Tx<'_>, id: Id) {
    tx.remove(plan_key(id));
}

/// The oldest plan that is being written.
pub fn oldest_plan(rows: &dyn Rows) -> Result<Option<Id>, Fault> {
    let found = first_key(rows, &Span::prefix(&Key::new(Table::ShardPlan)))?;
    found.map(|key| last_id(&key)).transpose()
}

/// Dispatch has something to do with it.
pub fn open(tx: &mut Tx<'_>, id: Id) {
    tx.mark(open_key(id));
}

pub fn close(tx: &mut Tx<'_>, id: Id) {
    tx.remove(open_key(id));
}

/// The one that dispatch looks at after the given one, round and round.
pub fn next_open(rows: &dyn Rows, after: Option<Id>) -> Result<Option<Id>, Fault> {
    let all = Span::prefix(&Key::new(Table::ShardedOpen));
    let behind = |id: Id| all.clone().from(&open_key(id).u8(0));
    let found = match after {
        Some(id) => first_key(rows, &behind(id))?,
        None => None,
    };
    let found = match found {
        Some(key) => Some(key),
        None => first_key(rows, &all)?,
    };
    found.map(|key| last_id(&key)).transpose()
}

/// At most `limit` of them, newest first, before the given one.
pub fn newest(rows: &dyn Rows, before: Option<Id>, limit: usize) -> Result<Vec<ShardedRun>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::ShardedRun)).newest_first();
    if let Some(id) = before {
        span = span.before(&key(id));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| from_row(last_id(key)?, codec::decode(value)?);
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// At most `limit` of them that were created before `before`, oldest first, behind the given one.
pub fn created_before(
    rows: &dyn Rows,
    before: Time,
    after: Option<Id>,
    limit: usize,
) -> Result<Vec<ShardedRun>, Fault> {
    let span = super::of_age(Table::ShardedRun, before, after);
    let found = if span.is_empty() { Vec::new() } else { collect(rows, &span, limit)? };
    found.iter().map(|(key, value)| from_row(last_id(key)?, codec::decode(value)?)).collect()
}

/// Its head is not among those whose plan is complete any more.
pub fn remove(tx: &mut Tx<'_>, id: Id) {
    tx.remove(key(id));
}

fn to_row(run: &ShardedRun) -> ShardedRow {
    ShardedRow {
        phase: run.phase as u8,
        task: run.task.to_string(),
        org: run.org.to_string(),
        env: run.env.to_string(),
        created_at: run.created_at.0,
        finished_at: run.finished_at.map(|at| at.0),
        items: run.items,
        shards: run.shards,
        shard_size: run.shard_size,
        window: run.window.clone(),
        schedule: run.schedule.clone(),
        idempotency_key: run.idempotency_key.clone(),
        fingerprint: run.fingerprint,
        tags: run.wishes.tags.clone(),
        priority: run.wishes.priority,
        ttl: run.wishes.ttl.map(|ttl| ttl.0),
        max_attempts: run.wishes.max_attempts,
        concurrency_key: run.wishes.concurrency_key.clone(),
        next: run.next,
        retry_from: run.retry_from,
        held: run.held,
        error: run.error.as_ref().map(ErrorRow::of),
    }
}

fn from_row(id: Id, row: ShardedRow) -> Result<ShardedRun, Fault> {
    Ok(ShardedRun {
        id,
        phase: super::word(Phase::from_number(row.phase), "phase", row.phase)?,
        task: super::name(&row.task)?,
        org: super::name(&row.org)?,
        env: super::name(&row.env)?,
        created_at: Time(row.created_at),
        finished_at: row.finished_at.map(Time),
        items: row.items,
        shards: row.shards,
        shard_size: row.shard_size,
        window: row.window,
        schedule: row.schedule,
        idempotency_key: row.idempotency_key,
        fingerprint: row.fingerprint,
        wishes: Wishes {
            tags: row.tags,
            priority: row.priority,
            ttl: row.ttl.map(Length),
            max_attempts: row.max_attempts,
            concurrency_key: row.concurrency_key,
        },
        next: row.next,
        retry_from: row.retry_from,
        held: row.held,
        error: row.error.map(ErrorRow::into_error),
    })
}

/// What makes a sharded run the only one of its kind.
#[derive(Clone, Copy, Debug)]
pub enum Unique<'a> {
    /// Org, task, window.
    Task(&'a Name, &'a Name, &'a str),
    /// Org, schedule, window.
    Schedule(&'a Name, &'a str, &'a str),
    /// Org, env, idempotency key.
    Key(&'a Name, &'a Name, &'a str),
}

impl Unique<'_> {
    fn key(self) -> Key {
        let key = |kind: u8, org: &Name, of: &str, text: &str| {
            Key::new(Table::ShardedKey).u8(kind).text(org.as_str()).text(of).text(text)
        };
        match self {
            Unique::Task(org, task, window) => key(1, org, task.as_str(), window),
            Unique::Schedule(org, schedule, window) => key(2, org, schedule, window),
            Unique::Key(org, env, text) => key(3, org, env.as_str(), text),
        }
    }
}

/// The sharded run that a window or key belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bound {
    sharded: [u8; 16],
    pub fingerprint: u64,
    bound_at: i64,
}

impl Record for Bound {
    const KIND: &'static str = "window or key of a sharded run";
}

impl Bound {
    pub fn of(run: &ShardedRun) -> Bound {
        let (sharded, fingerprint) = (run.id.0, run.fingerprint);
        Bound { sharded, fingerprint, bound_at: run.created_at.0 }
    }

    pub fn sharded(&self) -> Id {
        Id(self.sharded)
    }

    pub fn bound_at(&self) -> Time {
        Time(self.bound_at)
    }
}

pub fn bound(rows: &dyn Rows, unique: Unique<'_>) -> Result<Option<Bound>, Fault> {
    load(rows, &unique.key())
}

pub fn bind(tx: &mut Tx<'_>, unique: Unique<'_>, run: &ShardedRun) {
    tx.put(unique.key(), &Bound::of(run));
}

/// A window or key belongs to nobody any more, if it was this one's.
pub fn unbind(tx: &mut Tx<'_>, unique: Unique<'_>, id: Id) -> Result<(), Fault> {
    if bound(tx, unique)?.is_some_and(|bound| bound.sharded() == id) {
        tx.remove(unique.key());
    }
    Ok(())
}
