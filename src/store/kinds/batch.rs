//! Batches: the head, its runs in order, what is staged before the seal, keys, and open work.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::batch::{Batch, Callback, Cancel};
use crate::model::run::Run;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::rows::{Rows, Span, collect, collect_keys, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::idem::Binding;
use super::of_age;
use super::run::{RunRow, RunRowUntil1, from_row, to_row};

#[derive(Encode, Decode)]
struct BatchRow {
    org: String,
    env: String,
    created_at: i64,
    sealed_at: Option<i64>,
    finished_at: Option<i64>,
    items: u32,
    staged: u32,
    total: u32,
    bytes: u64,
    buffered: bool,
    made: u32,
    idempotency_key: Option<String>,
    fingerprint: u64,
    callback: Option<CallbackRow>,
    cancel: Option<CancelRow>,
}

#[derive(Encode, Decode)]
struct CallbackRow {
    task: String,
    run: Option<[u8; 16]>,
    error: Option<String>,
}

#[derive(Encode, Decode)]
struct CancelRow {
    requested_at: i64,
    reason: Option<String>,
    by: String,
    next: u32,
    canceled: u32,
    ended_at: Option<i64>,
}

impl Record for BatchRow {
    const KIND: &'static str = "batch";
}

/// Every batch, oldest first.
pub fn all() -> Key {
    Key::new(Table::Batch)
}

fn key(id: Id) -> Key {
    all().id(id)
}

/// A batch, sealed or not.
pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<Batch>, Fault> {
    load::<BatchRow>(rows, &key(id))?.map(|row| from_batch_row(id, row)).transpose()
}

/// Reads the value of a batch's row that a scan came by.
pub fn read(id: Id, value: &[u8]) -> Result<Batch, Fault> {
    from_batch_row(id, codec::decode(value)?)
}

pub fn put(tx: &mut Tx<'_>, batch: &Batch) {
    let row = BatchRow {
        org: batch.org.to_string(),
        env: batch.env.to_string(),
        created_at: batch.created_at.0,
        sealed_at: batch.sealed_at.map(|at| at.0),
        finished_at: batch.finished_at.map(|at| at.0),
        items: batch.items,
        staged: batch.staged,
        total: batch.total,
        bytes: batch.bytes,
        buffered: batch.buffered,
        made: batch.made,
        idempotency_key: batch.idempotency_key.clone(),
        fingerprint: batch.fingerprint,
        callback: batch.callback.as_ref().map(|callback| CallbackRow {
            task: callback.task.to_string(),
            run: callback.run.map(|id| id.0),
            error: callback.error.clone(),
        }),
        cancel: batch.cancel.as_ref().map(|cancel| CancelRow {
            requested_at: cancel.requested_at.0,
            reason: cancel.reason.clone(),
            by: cancel.by.clone(),
            next: cancel.next,
            canceled: cancel.canceled,
            ended_at: cancel.ended_at.map(|at| at.0),
        }),
    };
    tx.put(key(batch.id), &row);
    match batch.has_work() {
        true => tx.mark(work().id(batch.id)),
        false => tx.remove(work().id(batch.id)),
    }
}

fn from_batch_row(id: Id, row: BatchRow) -> Result<Batch, Fault> {
    let callback = |row: CallbackRow| {
        Ok(Callback { task: super::name(&row.task)?, run: row.run.map(Id), error: row.error })
    };
    let cancel = |row: CancelRow| Cancel {
        requested_at: Time(row.requested_at),
        reason: row.reason,
        by: row.by,
        next: row.next,
        canceled: row.canceled,
        ended_at: row.ended_at.map(Time),
    };
    Ok(Batch {
        id,
        org: super::name(&row.org)?,
        env: super::name(&row.env)?,
        created_at: Time(row.created_at),
        sealed_at: row.sealed_at.map(Time),
        finished_at: row.finished_at.map(Time),
        items: row.items,
        staged: row.staged,
        total: row.total,
        bytes: row.bytes,
        buffered: row.buffered,
        made: row.made,
        idempotency_key: row.idempotency_key,
        fingerprint: row.fingerprint,
        callback: row.callback.map(callback).transpose()?,
        cancel: row.cancel.map(cancel),
    })
}

/// At most `limit` batches that were created before `before`, oldest first, behind the given one.
pub fn created_before(
    rows: &dyn Rows,
    before: Time,
    after: Option<Id>,
    limit: usize,
) -> Result<Vec<Batch>, Fault> {
    let span = of_age(Table::Batch, before, after);
    let found = if span.is_empty() { Vec::new() } else { collect(rows, &span, limit)? };
    found.iter().map(|(key, value)| read(last_id(key)?, value)).collect()
}

/// Removes a head, with its key if that is still its own, and the mark of its work.
pub fn remove(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), Fault> {
    tx.remove(key(batch.id));
    tx.remove(work().id(batch.id));
    unbind(tx, batch)
}

/// Removes its key, if that is still its own.
pub fn unbind(tx: &mut Tx<'_>, batch: &Batch) -> Result<(), Fault> {
    if let Some(text) = &batch.idempotency_key
        && binding(tx, &batch.org, &batch.env, text)?.is_some_and(|bound| bound.run == batch.id)
    {
        tx.remove(key_of(&batch.org, &batch.env, text));
    }
    Ok(())
}

/// The mark of every batch that has work left.
fn work() -> Key {
    Key::new(Table::BatchWork)
}

/// At most `limit` batches with work left, oldest first.
pub fn with_work(rows: &dyn Rows, limit: usize) -> Result<Vec<Id>, Fault> {
    collect_keys(rows, &Span::prefix(&work()), limit)?.iter().map(|key| last_id(key)).collect()
}

fn key_of(org: &Name, env: &Name, text: &str) -> Key {
    Key::new(Table::BatchKey).text(org.as_str()).text(env.as_str()).text(text)
}

/// What an idempotency key of batches is bound to; [`Binding::run`] is the batch.
pub fn binding(
    rows: &dyn Rows,
    org: &Name,
    env: &Name,
    text: &str,
) -> Result<Option<Binding>, Fault> {
    super::idem::load_at(rows, &key_of(org, env, text))
}

pub fn bind(tx: &mut Tx<'_>, org: &Name, env: &Name, text: &str, bound: &Binding) {
    super::idem::put_at(tx, key_of(org, env, text), bound);
}

/// What stands for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub index: u32,
    pub run: RunId,
    /// The batch made it; else it was there already under the item's idempotency key.
    pub own: bool,
}

/// The items of a batch, in order.
pub fn items_of(batch: Id) -> Key {
    Key::new(Table::BatchRun).id(batch)
}

const OWN: &[u8] = &[];
const EARLIER: &[u8] = &[1];

pub fn put_item(tx: &mut Tx<'_>, batch: Id, item: Item) {
    let value = if item.own { OWN } else { EARLIER };
    tx.put_raw(items_of(batch).u32(item.index).id(item.run), value.to_vec());
}

pub fn remove_item(tx: &mut Tx<'_>, batch: Id, item: Item) {
    tx.remove(items_of(batch).u32(item.index).id(item.run));
}

/// At most `limit` items from index `from` on.
pub fn items(rows: &dyn Rows, batch: Id, from: u32, limit: usize) -> Result<Vec<Item>, Fault> {
    let span = Span::prefix(&items_of(batch)).from(&items_of(batch).u32(from));
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        reader.id()?;
        let (index, run) = (reader.u32()?, reader.id()?);
        Ok(Item { index, run, own: value != EARLIER })
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// A run that waits for the seal of its batch, or to be made after it.
#[derive(Encode, Decode)]
struct StagedRow(RunRow);

impl Record for StagedRow {
    const KIND: &'static str = "staged run";
    const MINOR: u8 = 1;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<StagedRow, Fault>> {
        ((major, minor) == (1, 0)).then(|| {
            let (old, _) = codec::decode_body::<RunRowUntil1>(StagedRow::KIND, body)?;
            Ok(StagedRow(old.into()))
        })
    }
}

fn staged_key(id: RunId) -> Key {
    Key::new(Table::BatchStaged).id(id)
}

pub fn stage(tx: &mut Tx<'_>, run: &Run) {
    tx.put(staged_key(run.id), &StagedRow(to_row(run)));
}

/// A run that is staged: nobody but its batch knows of it.
pub fn staged(rows: &dyn Rows, id: RunId) -> Result<Option<Run>, Fault> {
    load::<StagedRow>(rows, &staged_key(id))?.map(|row| from_row(id, row.0)).transpose()
}

pub fn unstage(tx: &mut Tx<'_>, id: RunId) {
    tx.remove(staged_key(id));
}
