//! Marks of follow-ups: which of them a run still has, and when they were done. A run is kept while
//! one of its follow-ups is to be delivered; what is left of those that are done goes in its time.

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect_keys, first_key};
use crate::store::tables::Table;
use crate::store::tx::Tx;

fn of(run: RunId) -> Key {
    Key::new(Table::HookOf).id(run)
}

/// A follow-up of a run is in the outbox.
pub fn link(tx: &mut Tx<'_>, run: RunId, row: Id) {
    tx.mark(of(run).id(row));
}

pub fn unlink(tx: &mut Tx<'_>, run: RunId, row: Id) {
    tx.remove(of(run).id(row));
}

/// Whether a run has a follow-up in the outbox.
pub fn has_any(rows: &dyn Rows, run: RunId) -> Result<bool, Fault> {
    Ok(first_key(rows, &Span::prefix(&of(run)))?.is_some())
}

fn done_at(at: Time) -> Key {
    Key::new(Table::HookDone).time(at)
}

/// Nothing but attempts is left of a row that belongs to no run.
pub fn set_done(tx: &mut Tx<'_>, id: Id) {
    let at = tx.now();
    tx.mark(done_at(at).id(id));
}

pub fn clear_done(tx: &mut Tx<'_>, at: Time, id: Id) {
    tx.remove(done_at(at).id(id));
}

/// At most `limit` of those that were done before `before`, oldest first.
pub fn done(rows: &dyn Rows, before: Time, limit: usize) -> Result<Vec<(Time, Id)>, Fault> {
    let span = Span::prefix(&Key::new(Table::HookDone)).before(&done_at(before));
    let read = |key: &Vec<u8>| {
        let mut reader = KeyReader::new(key);
        Ok((reader.time()?, reader.id()?))
    };
    collect_keys(rows, &span, limit)?.iter().map(read).collect()
}
