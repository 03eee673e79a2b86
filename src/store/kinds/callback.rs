//! Outstanding answers of runs, by their own id and by run.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::store::codec::Record;
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// An answer that a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    pub id: Id,
    pub run: RunId,
    pub created_at: Time,
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
}

pub fn remove(tx: &mut Tx<'_>, callback: &Callback) {
    tx.remove(key(callback.id));
    tx.remove(of(callback.run).id(callback.id));
}

/// The callbacks of a run, oldest first.
pub fn of_run(rows: &dyn Rows, run: RunId, limit: usize) -> Result<Vec<Callback>, Fault> {
    let mut found = Vec::new();
    for (key, _) in collect(rows, &Span::prefix(&of(run)), limit)? {
        found.extend(get(rows, last_id(&key)?)?);
    }
    Ok(found)
}
