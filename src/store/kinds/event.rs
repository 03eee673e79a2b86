//! Lines of a run's timeline, and operational events for people.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::model::delivery::Line;
use crate::model::run::Run;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, Span, collect};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// Most lines that one timeline shows.
pub const LINES_SHOWN_MAX: usize = 500;

#[derive(Encode, Decode)]
struct LineRow {
    at: i64,
    what: String,
    detail: String,
    by: String,
    attempt: Option<u32>,
}

impl Record for LineRow {
    const KIND: &'static str = "event";
}

fn to_row(line: &Line) -> LineRow {
    LineRow {
        at: line.at.0,
        what: line.what.clone(),
        detail: line.detail.clone(),
        by: line.by.clone(),
        attempt: line.attempt,
    }
}

fn read(value: &[u8]) -> Result<Line, Fault> {
    let row: LineRow = codec::decode(value)?;
    Ok(Line {
        at: Time(row.at),
        what: row.what,
        detail: row.detail,
        by: row.by,
        attempt: row.attempt,
    })
}

/// Adds a line and moves the run's line number on; the caller saves the run.
pub fn add(tx: &mut Tx<'_>, run: &mut Run, line: &Line) {
    tx.put(Key::new(Table::Event).id(run.id).u32(run.events), &to_row(line));
    run.events = run.events.saturating_add(1);
}

/// Every line of a run.
pub fn of(run: RunId) -> Span {
    Span::prefix(&Key::new(Table::Event).id(run))
}

/// Operational events that are older than `before`.
pub fn announced_before(before: Time) -> Span {
    let table = Key::new(Table::Notice);
    Span::prefix(&table).before(&table.clone().id(Id::floor_of(before)))
}

/// The lines of a run, oldest first.
pub fn list(rows: &dyn Rows, run: RunId, limit: usize) -> Result<Vec<Line>, Fault> {
    collect(rows, &of(run), limit)?.iter().map(|(_, value)| read(value)).collect()
}

/// Adds an operational event: `what` is a stable word, `detail` a sentence for a person.
pub fn announce(tx: &mut Tx<'_>, line: &Line) {
    let id = tx.mint();
    tx.put(Key::new(Table::Notice).id(id), &to_row(line));
}

/// Operational events, newest first.
pub fn announced(rows: &dyn Rows, limit: usize) -> Result<Vec<(Id, Line)>, Fault> {
    let span = Span::prefix(&Key::new(Table::Notice)).newest_first();
    collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| Ok((crate::store::key::last_id(key)?, read(value)?)))
        .collect()
}
