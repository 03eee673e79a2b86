//! One file per kind of row: its key, its bytes, and the value that the floors above see.

pub mod access;
pub mod alert;
pub mod alert_message;
pub mod attempt;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod buffer_settings;
pub mod buffer_sweep;
pub mod buffered;
pub mod callback;
pub mod clock;
pub mod count;
pub mod delivered;
pub mod due;
pub mod endpoint;
pub mod entry;
pub mod event;
pub mod follow_up;
pub mod group;
pub mod history;
pub mod idem;
pub mod job;
pub mod key;
pub mod outbox;
pub mod pause;
pub mod pending;
pub mod ready;
pub mod round;
pub mod run;
pub mod run_index;
pub mod schedule;
pub mod shard;
pub mod sharded;
pub mod silence;
pub mod task;
pub mod times;
pub mod worker;

#[cfg(test)]
mod golden;

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;

use super::fault::Fault;
use super::key::{Key, last_id};
use super::rows::{Rows, Span, collect_keys};
use super::tables::Table;
use super::tx::Tx;

/// A name that was checked when it was written.
fn name(text: &str) -> Result<Name, Fault> {
    Name::new(text).map_err(|_| Fault::Corrupt(format!("a row holds the name {text:?}")))
}

/// Removes at most `limit` rows of `span`; gives how many.
pub fn remove_some(tx: &mut Tx<'_>, span: &Span, limit: usize) -> Result<usize, Fault> {
    let found = collect_keys(tx, span, limit)?;
    let count = found.len();
    for key in found {
        tx.remove_raw(key);
    }
    Ok(count)
}

/// Rows of a table whose keys are one id, of things that were created before `before`, oldest first,
/// behind the given one; empty when there can be none.
fn of_age(table: Table, before: Time, after: Option<Id>) -> Span {
    let all = Key::new(table);
    let span = Span::prefix(&all).before(&all.clone().id(Id::floor_of(before)));
    match after {
        Some(id) => span.from(&all.id(id).u8(0)),
        None => span,
    }
}

/// Rows of strangers that [`of_many`] reads for each one that is wanted.
const STRANGERS_MAX: usize = 3;

/// The rows of a table whose keys are one of these ids, which stand in ascending order. Ids that were
/// minted together lie side by side, so one look over them all costs less than one for each; where
/// too much else lies between them, the rest are looked up one by one.
fn of_many<T>(
    rows: &dyn Rows,
    table: Table,
    ids: &[Id],
    read: impl Fn(&[u8]) -> Result<T, Fault>,
) -> Result<HashMap<Id, T>, Fault> {
    let mut found = HashMap::with_capacity(ids.len());
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(found) };
    let key = |id: Id| Key::new(table).id(id);
    let span = Span::prefix(&Key::new(table)).from(&key(*first)).before(&key(*last).u8(0));
    let mut wanted = ids.iter().copied().peekable();
    let mut looks = ids.len().saturating_mul(STRANGERS_MAX + 1);
    rows.scan(&span, &mut |key, value| {
        if looks == 0 {
            return Ok(ControlFlow::Break(()));
        }
        looks -= 1;
        let id = last_id(key)?;
        while wanted.next_if(|next| *next < id).is_some() {}
        if wanted.next_if_eq(&id).is_some() {
            found.insert(id, read(value)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if looks == 0 {
        for id in wanted {
            if let Some(value) = rows.get(key(id).bytes())? {
                found.insert(id, read(&value)?);
            }
        }
    }
    Ok(found)
}

/// A number that stands for a word.
fn word<T>(found: Option<T>, what: &str, number: u8) -> Result<T, Fault> {
    found.ok_or_else(|| Fault::Corrupt(format!("a row holds {number} as its {what}")))
}
