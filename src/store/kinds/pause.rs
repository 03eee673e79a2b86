//! Deliveries that someone stopped, by scope.

use bincode::{Decode, Encode};

use crate::base::time::Time;
use crate::model::delivery::{Lane, Pause, PauseScope};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// Most pauses at a time.
pub const PAUSES_MAX: usize = 1_000;

#[derive(Encode, Decode)]
struct PauseRow {
    reason: String,
    since: i64,
    until: Option<i64>,
}

impl Record for PauseRow {
    const KIND: &'static str = "pause";
}

fn key(scope: &PauseScope) -> Key {
    let key = Key::new(Table::Pause);
    match scope {
        PauseScope::All => key.u8(1),
        PauseScope::Task(task) => key.u8(2).text(task.as_str()),
        PauseScope::Org(org) => key.u8(3).text(org.as_str()),
        PauseScope::Lane { task, lane } => {
            key.u8(4).text(task.as_str()).text(&lane.org).text(&lane.env).text(&lane.key)
        }
    }
}

pub fn get(rows: &dyn Rows, scope: &PauseScope) -> Result<Option<Pause>, Fault> {
    Ok(load::<PauseRow>(rows, &key(scope))?.map(|row| from_row(scope.clone(), row)))
}

pub fn put(tx: &mut Tx<'_>, pause: &Pause) {
    let row = PauseRow {
        reason: pause.reason.clone(),
        since: pause.since.0,
        until: pause.until.map(|t| t.0),
    };
    tx.put(key(&pause.scope), &row);
}

pub fn remove(tx: &mut Tx<'_>, scope: &PauseScope) {
    tx.remove(key(scope));
}

/// Every pause, also those that are over and not yet swept.
pub fn list(rows: &dyn Rows) -> Result<Vec<Pause>, Fault> {
    collect(rows, &Span::prefix(&Key::new(Table::Pause)), PAUSES_MAX)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new(key);
            let number = reader.u8()?;
            let scope = match number {
                1 => PauseScope::All,
                2 => PauseScope::Task(super::name(&reader.text()?)?),
                3 => PauseScope::Org(super::name(&reader.text()?)?),
                4 => PauseScope::Lane {
                    task: super::name(&reader.text()?)?,
                    lane: Lane { org: reader.text()?, env: reader.text()?, key: reader.text()? },
                },
                _ => return Err(Fault::Corrupt(format!("a pause has scope {number}"))),
            };
            Ok(from_row(scope, codec::decode(value)?))
        })
        .collect()
}

fn from_row(scope: PauseScope, row: PauseRow) -> Pause {
    Pause { scope, reason: row.reason, since: Time(row.since), until: row.until.map(Time) }
}
