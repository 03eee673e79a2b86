//! Answers that runs wait for from outside, by their own id and by run; and those that came.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, first_key, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// An answer that a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    pub id: Id,
    pub run: RunId,
    pub created_at: Time,
}

/// An answer that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub id: Id,
    pub run: RunId,
    pub created_at: Time,
    pub answered_at: Time,
    /// JSON text.
    pub body: String,
}

#[derive(Encode, Decode)]
struct AnsweredRow {
    created_at: i64,
    answered_at: i64,
    body: String,
}

impl Record for AnsweredRow {
    const KIND: &'static str = "answer of a callback";
}

#[derive(Encode, Decode)]
struct CallbackRow {
    run: [u8; 16],
    created_at: i64,
}

impl Record for CallbackRow {
    const KIND: &'static str = "callback";
}

fn key(id: Id) -> Key {
    Key::new(Table::Callback).id(id)
}

fn of(run: RunId) -> Key {
    Key::new(Table::CallbackOf).id(run)
}

pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<Callback>, Fault> {
    Ok(load::<CallbackRow>(rows, &key(id))?.map(|row| Callback {
        id,
        run: Id(row.run),
        created_at: Time(row.created_at),
    }))
}

pub fn put(tx: &mut Tx<'_>, callback: &Callback) {
    let row = CallbackRow { run: callback.run.0, created_at: callback.created_at.0 };
    tx.put(key(callback.id), &row);
    tx.mark(of(callback.run).id(callback.id));
    tx.count(super::count::callbacks(), 1);
}

pub fn remove(tx: &mut Tx<'_>, callback: &Callback) {
    tx.remove(key(callback.id));
    tx.remove(of(callback.run).id(callback.id));
    tx.count(super::count::callbacks(), -1);
}

/// The callbacks of a run, oldest first.
pub fn of_run(rows: &dyn Rows, run: RunId, limit: usize) -> Result<Vec<Callback>, Fault> {
    let mut found = Vec::new();
    for (key, _) in collect(rows, &Span::prefix(&of(run)), limit)? {
        found.extend(get(rows, last_id(&key)?)?);
    }
    Ok(found)
}

/// The callback that was expected first, of all runs: ids are minted in order of time.
pub fn oldest(rows: &dyn Rows) -> Result<Option<Callback>, Fault> {
    match first_key(rows, &Span::prefix(&Key::new(Table::Callback)))? {
        Some(key) => get(rows, last_id(&key)?),
        None => Ok(None),
    }
}

fn answers_of(run: RunId) -> Key {
    Key::new(Table::CallbackAnswer).id(run)
}

/// Every answer that a run was given.
pub fn answers_span(run: RunId) -> Span {
    Span::prefix(&answers_of(run))
}

pub fn put_answer(tx: &mut Tx<'_>, answer: &Answered) {
    let row = AnsweredRow {
        created_at: answer.created_at.0,
        answered_at: answer.answered_at.0,
        body: answer.body.clone(),
    };
    tx.put(answers_of(answer.run).id(answer.id), &row);
}

/// The answers that a run was given, by age of the callback.
pub fn answers(rows: &dyn Rows, run: RunId, limit: usize) -> Result<Vec<Answered>, Fault> {
    let found = collect(rows, &answers_span(run), limit)?;
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let row: AnsweredRow = codec::decode(value)?;
        Ok(Answered {
            id: last_id(key)?,
            run,
            created_at: Time(row.created_at),
            answered_at: Time(row.answered_at),
            body: row.body,
        })
    };
    found.iter().map(read).collect()
}
