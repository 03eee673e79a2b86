//! Shards: their heads, which run is whose, and which of them have an error.

use std::collections::HashMap;

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::model::run::Status;
use crate::model::shard::{Shard, ShardError, ShardState};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, collect_keys, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// An error as rows hold it.
#[derive(Encode, Decode)]
pub(super) struct ErrorRow {
    kind: String,
    code: String,
    message: String,
}

impl ErrorRow {
    pub(super) fn of(error: &ShardError) -> ErrorRow {
        let ShardError { kind, code, message } = error.clone();
        ErrorRow { kind, code, message }
    }

    pub(super) fn into_error(self) -> ShardError {
        ShardError { kind: self.kind, code: self.code, message: self.message }
    }
}

#[derive(Encode, Decode)]
struct ShardRow {
    size: u32,
    state: u8,
    planned_run: [u8; 16],
    has_run: bool,
    dispatched_at: Option<i64>,
    error: Option<ErrorRow>,
    ended: Option<u8>,
}

impl Record for ShardRow {
    const KIND: &'static str = "shard";
}

fn of(table: Table, sharded: Id) -> Key {
    Key::new(table).id(sharded)
}

fn key(sharded: Id, index: u32) -> Key {
    of(Table::Shard, sharded).u32(index)
}

pub fn get(rows: &dyn Rows, sharded: Id, index: u32) -> Result<Option<Shard>, Fault> {
    let row = load::<ShardRow>(rows, &key(sharded, index))?;
    row.map(|row| from_row(sharded, index, row)).transpose()
}

/// Writes the head of a shard and the marks that follow from it.
pub fn put(tx: &mut Tx<'_>, before: Option<&Shard>, after: &Shard) {
    let row = ShardRow {
        size: after.size,
        state: after.state as u8,
        planned_run: after.planned_run.0,
        has_run: after.run.is_some(),
        dispatched_at: after.dispatched_at.map(|at| at.0),
        error: after.error.as_ref().map(ErrorRow::of),
        ended: after.ended.map(|status| status as u8),
    };
    tx.put(key(after.sharded, after.index), &row);
    let was = before.map_or((false, false), |shard| (shard.is_held(), shard.error.is_some()));
    let is = (after.is_held(), after.error.is_some());
    mark(tx, Table::ShardHeld, after, was.0, is.0);
    mark(tx, Table::ShardError, after, was.1, is.1);
}

fn mark(tx: &mut Tx<'_>, table: Table, shard: &Shard, was: bool, is: bool) {
    let key = of(table, shard.sharded).u32(shard.index);
    match (was, is) {
        (false, true) => tx.mark(key),
        (true, false) => tx.remove(key),
        (true, true) | (false, false) => {}
    }
}

/// Removes a shard and its marks.
pub fn remove(tx: &mut Tx<'_>, shard: &Shard) {
    mark(tx, Table::ShardHeld, shard, shard.is_held(), false);
    mark(tx, Table::ShardError, shard, shard.error.is_some(), false);
    tx.remove(key(shard.sharded, shard.index));
}

/// At most `limit` shards from the given one on, in order.
pub fn list(rows: &dyn Rows, sharded: Id, from: u32, limit: usize) -> Result<Vec<Shard>, Fault> {
    let span = Span::prefix(&of(Table::Shard, sharded)).from(&key(sharded, from));
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        from_row(sharded, index_of(key)?, codec::decode(value)?)
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// At most `limit` shards with an error, from the given one on, in order.
pub fn with_error(
    rows: &dyn Rows,
    sharded: Id,
    from: u32,
    limit: usize,
) -> Result<Vec<Shard>, Fault> {
    let marked = marked(rows, Table::ShardError, sharded, from, limit)?;
    let found = marked.into_iter().map(|index| get(rows, sharded, index));
    Ok(found.collect::<Result<Vec<_>, Fault>>()?.into_iter().flatten().collect())
}

/// At most `limit` shards whose run could not be made, from the given one on, in order.
pub fn held(rows: &dyn Rows, sharded: Id, from: u32, limit: usize) -> Result<Vec<u32>, Fault> {
    marked(rows, Table::ShardHeld, sharded, from, limit)
}

fn marked(
    rows: &dyn Rows,
    table: Table,
    sharded: Id,
    from: u32,
    limit: usize,
) -> Result<Vec<u32>, Fault> {
    let all = of(table, sharded);
    let span = Span::prefix(&all).from(&all.u32(from));
    collect_keys(rows, &span, limit)?.iter().map(|key| index_of(key)).collect()
}

/// The index that ends a key, behind the id of the sharded run.
fn index_of(key: &[u8]) -> Result<u32, Fault> {
    let mut reader = KeyReader::new(key);
    reader.id()?;
    reader.u32()
}

fn from_row(sharded: Id, index: u32, row: ShardRow) -> Result<Shard, Fault> {
    let status = |number| super::word(Status::from_number(number), "status", number);
    Ok(Shard {
        sharded,
        index,
        size: row.size,
        state: super::word(ShardState::from_number(row.state), "state", row.state)?,
        planned_run: Id(row.planned_run),
        run: row.has_run.then_some(Id(row.planned_run)),
        dispatched_at: row.dispatched_at.map(Time),
        error: row.error.map(ErrorRow::into_error),
        ended: row.ended.map(status).transpose()?,
    })
}

/// Which shard a run works on.
#[derive(Encode, Decode)]
struct LinkRow {
    sharded: [u8; 16],
    index: u32,
}

impl Record for LinkRow {
    const KIND: &'static str = "link from a run to its shard";
}

fn link_key(run: RunId) -> Key {
    Key::new(Table::ShardOfRun).id(run)
}

pub fn of_run(rows: &dyn Rows, run: RunId) -> Result<Option<(Id, u32)>, Fault> {
    Ok(load::<LinkRow>(rows, &link_key(run))?.map(|row| (Id(row.sharded), row.index)))
}

/// Those of the given runs, in ascending order, that work on a shard already.
pub fn linked(rows: &dyn Rows, runs: &[RunId]) -> Result<HashMap<RunId, (Id, u32)>, Fault> {
    super::of_many(rows, Table::ShardOfRun, runs, |value| {
        codec::decode::<LinkRow>(value).map(|row| (Id(row.sharded), row.index))
    })
}

pub fn link(tx: &mut Tx<'_>, run: RunId, shard: &Shard) {
    tx.put(link_key(run), &LinkRow { sharded: shard.sharded.0, index: shard.index });
}

pub fn unlink(tx: &mut Tx<'_>, run: RunId) {
    tx.remove(link_key(run));
}
