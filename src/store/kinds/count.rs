//! Counters that live in the write path, so that no page depends on a scan.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::model::delivery::{Lane, RowState};
use crate::model::run::Status;
use crate::model::shard::ShardState;
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, after_prefix};
use crate::store::rows::{Rows, Span, counter, first_key, read_count};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// What is counted. The numbers are on disk.
mod scope {
    pub const ALL: u8 = 1;
    pub const TASK: u8 = 2;
    pub const ENV: u8 = 3;
    pub const SLOTS: u8 = 4;
    pub const OUTBOX: u8 = 5;
    pub const TOTAL: u8 = 6;
    pub const KEYS: u8 = 7;
    pub const KEY_NUMBERS: u8 = 8;
    pub const PENDING: u8 = 9;
    pub const CALLBACKS: u8 = 20;
    pub const BUFFER: u8 = 21;
    pub const BUFFER_ENV: u8 = 22;
    pub const BATCH: u8 = 30;
    pub const BATCH_OPEN: u8 = 31;
    pub const SHARDED: u8 = 32;
    pub const DELIVERED: u8 = 33;
}

/// Runs of a status, in all.
pub fn all(status: Status) -> Key {
    Key::new(Table::Count).u8(scope::ALL).u8(status as u8)
}

/// Runs of a status of one task.
pub fn task(task: &Name, status: Status) -> Key {
    Key::new(Table::Count).u8(scope::TASK).text(task.as_str()).u8(status as u8)
}

/// Runs of a status of one env.
pub fn env(org: &Name, env: &Name, status: Status) -> Key {
    Key::new(Table::Count).u8(scope::ENV).text(org.as_str()).text(env.as_str()).u8(status as u8)
}

/// Places taken under the concurrency limit of a task.
pub fn slots(task: &Name) -> Key {
    Key::new(Table::Count).u8(scope::SLOTS).text(task.as_str())
}

/// Places taken under the limit of one lane of a task.
pub fn lane_slots(task: &Name, lane: &Lane) -> Key {
    slots(task).text(&lane.org).text(&lane.env).text(&lane.key)
}

/// Rows of the outbox: waiting or ready (0), leased (1), dead (2).
fn outbox(state: u8) -> Key {
    Key::new(Table::Count).u8(scope::OUTBOX).u8(state)
}

pub fn outbox_state(state: RowState) -> Key {
    outbox(match state {
        RowState::Ready | RowState::Waiting => 0,
        RowState::Leased { .. } => 1,
    })
}

/// Counters of rows that are due and of rows that are leased.
pub fn outbox_open() -> (Key, Key) {
    (outbox(0), outbox(1))
}

pub fn outbox_dead() -> Key {
    outbox(2)
}

/// Keys of a database.
pub fn keys(db: u8) -> Key {
    Key::new(Table::Count).u8(scope::KEYS).u8(db)
}

/// Pending entries of a group; of its consumers when followed by their number.
pub fn pending(stream: u64, group: u32) -> Key {
    Key::new(Table::Count).u8(scope::PENDING).u64(stream).u32(group)
}

/// Every pending counter of a stream.
pub fn pending_all(stream: u64) -> Key {
    Key::new(Table::Count).u8(scope::PENDING).u64(stream)
}

pub fn pending_of(stream: u64, group: u32, consumer: u32) -> Key {
    pending(stream, group).u32(consumer)
}

/// Answers that runs wait for from outside.
pub fn callbacks() -> Key {
    Key::new(Table::Count).u8(scope::CALLBACKS)
}

/// Entries of the burst buffer, in all.
pub fn buffered() -> Key {
    Key::new(Table::Count).u8(scope::BUFFER).u8(0)
}

/// Their bytes.
pub fn buffered_bytes() -> Key {
    Key::new(Table::Count).u8(scope::BUFFER).u8(1)
}

/// Entries of one env.
pub fn buffered_of(org: &Name, env: &Name) -> Key {
    Key::new(Table::Count).u8(scope::BUFFER_ENV).text(org.as_str()).text(env.as_str()).u8(0)
}

/// Bytes of the entries of one env.
pub fn buffered_bytes_of(org: &Name, env: &Name) -> Key {
    Key::new(Table::Count).u8(scope::BUFFER_ENV).text(org.as_str()).text(env.as_str()).u8(1)
}

/// Moves the counters of the buffer.
pub fn move_buffered(tx: &mut Tx<'_>, (org, env): (&Name, &Name), entries: i64, bytes: i64) {
    tx.count(buffered(), entries);
    tx.count(buffered_bytes(), bytes);
    tx.count(buffered_of(org, env), entries);
    tx.count(buffered_bytes_of(org, env), bytes);
}

/// Every env that has entries in the buffer, up to `limit`.
pub fn buffered_envs(rows: &dyn Rows, limit: usize) -> Result<Vec<(Name, Name)>, Fault> {
    jump(
        rows,
        Span::prefix(&Key::new(Table::Count).u8(scope::BUFFER_ENV)),
        scope::BUFFER_ENV,
        limit,
    )
}

/// Runs of a status of one batch.
pub fn batch(batch: Id, status: Status) -> Key {
    Key::new(Table::Count).u8(scope::BATCH).id(batch).u8(status as u8)
}

/// Runs of a batch that have not ended.
pub fn batch_open(batch: Id) -> Key {
    Key::new(Table::Count).u8(scope::BATCH_OPEN).id(batch)
}

/// How many runs of a batch stand where; statuses that count 0 are left out.
pub fn batch_statuses(rows: &dyn Rows, id: Id) -> Result<Vec<(Status, u64)>, Fault> {
    let mut found = Vec::new();
    for status in Status::ALL {
        let count = counter(rows, &batch(id, status))?;
        if let Ok(count @ 1..) = u64::try_from(count) {
            found.push((status, count));
        }
    }
    Ok(found)
}

/// Brings counters back to nothing: what they counted is gone.
pub fn clear(tx: &mut Tx<'_>, keys: impl IntoIterator<Item = Key>) -> Result<(), Fault> {
    for key in keys {
        let value = tx.counter(&key)?;
        if value != 0 {
            tx.count(key, -value);
        }
    }
    Ok(())
}

/// Moves the counters of the batch of a run.
pub fn move_batch(tx: &mut Tx<'_>, id: Id, from: Option<Status>, to: Option<Status>) {
    for (status, delta) in [(from, -1), (to, 1)] {
        if let Some(status) = status {
            tx.count(batch(id, status), delta);
            if !status.is_final() {
                tx.count(batch_open(id), delta);
            }
        }
    }
}

/// What is counted of one sharded run, by a number behind its id: its runs by their status, its
/// shards by their state, and what is not over.
fn sharded(id: Id, what: u8) -> Key {
    Key::new(Table::Count).u8(scope::SHARDED).id(id).u8(what)
}

/// Numbers of states come behind those of statuses.
const STATES: u8 = 100;
const OPEN: u8 = 200;

/// Runs of a status of one sharded run.
pub fn sharded_runs(id: Id, status: Status) -> Key {
    sharded(id, status as u8)
}

/// Its shards in a state.
pub fn shards(id: Id, state: ShardState) -> Key {
    sharded(id, STATES + state as u8)
}

/// Its shards that have no run yet, or one that is not final.
pub fn shards_open(id: Id) -> Key {
    sharded(id, OPEN)
}

/// What agents delivered of a run, and its bytes.
pub fn delivered(run: Id) -> (Key, Key) {
    let key = |what| Key::new(Table::Count).u8(scope::DELIVERED).id(run).u8(what);
    (key(0), key(1))
}

/// Numbers that were given to keys and streams.
pub fn key_numbers() -> Key {
    Key::new(Table::Count).u8(scope::KEY_NUMBERS)
}

/// Everything that ever happened: a number that only grows, for rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Total {
    Created = 1,
    Completed = 2,
    Failed = 3,
    Finished = 4,
    Attempts = 5,
    LateResults = 6,
    HooksFailed = 7,
    ShardsNotDispatched = 30,
}

pub fn total(total: Total) -> Key {
    Key::new(Table::Count).u8(scope::TOTAL).u8(total as u8)
}

/// Moves the three counters that a run's status stands in.
pub fn move_status(
    tx: &mut Tx<'_>,
    of: (&Name, &Name, &Name),
    from: Option<Status>,
    to: Option<Status>,
) {
    let (task_name, org, env_name) = of;
    for (status, delta) in [(from, -1), (to, 1)] {
        if let Some(status) = status {
            tx.count(all(status), delta);
            tx.count(task(task_name, status), delta);
            tx.count(env(org, env_name, status), delta);
        }
    }
}

/// A task's or an env's counters in one go: statuses that count 0 are absent.
pub fn by_status(rows: &dyn Rows, scope_key: &Key) -> Result<Vec<(Status, i64)>, Fault> {
    let mut found = Vec::new();
    rows.scan(&Span::prefix(scope_key), &mut |key, value| {
        let number = key.last().copied().unwrap_or_default();
        let status = super::word(Status::from_number(number), "status", number)?;
        found.push((status, read_count(value)?));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub fn all_statuses() -> Key {
    Key::new(Table::Count).u8(scope::ALL)
}

pub fn task_statuses(task: &Name) -> Key {
    Key::new(Table::Count).u8(scope::TASK).text(task.as_str())
}

pub fn env_statuses(org: &Name, env: &Name) -> Key {
    Key::new(Table::Count).u8(scope::ENV).text(org.as_str()).text(env.as_str())
}

/// Every env that has runs, up to `limit`, found by jumping from one to the next.
pub fn envs(rows: &dyn Rows, limit: usize) -> Result<Vec<(Name, Name)>, Fault> {
    jump(rows, Span::prefix(&Key::new(Table::Count).u8(scope::ENV)), scope::ENV, limit)
}

/// The envs of one org that have runs.
pub fn envs_of(rows: &dyn Rows, org: &Name, limit: usize) -> Result<Vec<(Name, Name)>, Fault> {
    let span = Span::prefix(&Key::new(Table::Count).u8(scope::ENV).text(org.as_str()));
    jump(rows, span, scope::ENV, limit)
}

fn jump(
    rows: &dyn Rows,
    mut span: Span,
    scope: u8,
    limit: usize,
) -> Result<Vec<(Name, Name)>, Fault> {
    let mut found = Vec::new();
    while found.len() < limit && !span.is_empty() {
        let Some(key) = first_key(rows, &span)? else { break };
        let mut reader = KeyReader::new(&key);
        reader.u8()?;
        let (org, env) = (super::name(&reader.text()?)?, super::name(&reader.text()?)?);
        let counters = Key::new(Table::Count).u8(scope).text(org.as_str()).text(env.as_str());
        span.lo = after_prefix(counters.bytes());
        found.push((org, env));
    }
    Ok(found)
}
