//! The attempts log: one row a try, under the id of the outbox row it was made for.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::Attempt;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, Span, collect};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// Most attempts that one page shows.
pub const ATTEMPTS_SHOWN_MAX: usize = 200;

#[derive(Encode, Decode)]
struct AttemptRow {
    number: u32,
    started_at: i64,
    elapsed_ms: u32,
    status: Option<u16>,
    class: String,
    detail: String,
    body: Vec<u8>,
    next_at: Option<i64>,
    late: bool,
}

impl Record for AttemptRow {
    const KIND: &'static str = "attempt";
}

/// The one timely answer of an attempt.
pub fn put(tx: &mut Tx<'_>, owner: Id, attempt: &Attempt) {
    tx.put(key(owner, attempt.number).u8(0), &to_row(attempt));
}

/// What else is known of an attempt: a late answer, or what its agent reported by a call of its
/// own. There may be many, and none takes the place of another.
pub fn put_beside(tx: &mut Tx<'_>, owner: Id, attempt: &Attempt) {
    let line = tx.mint();
    tx.put(key(owner, attempt.number).u8(1).id(line), &to_row(attempt));
}

fn key(owner: Id, number: u32) -> Key {
    Key::new(Table::Attempt).id(owner).u32(number)
}

fn to_row(attempt: &Attempt) -> AttemptRow {
    AttemptRow {
        number: attempt.number,
        started_at: attempt.started_at.0,
        elapsed_ms: attempt.elapsed_ms,
        status: attempt.status,
        class: attempt.class.clone(),
        detail: attempt.detail.clone(),
        body: attempt.body.clone(),
        next_at: attempt.next_at.map(|t| t.0),
        late: attempt.late,
    }
}

/// Every row of an owner.
pub fn of(owner: Id) -> Span {
    Span::prefix(&Key::new(Table::Attempt).id(owner))
}

/// Every attempt of the owners whose ids are below `before`, those of the oldest first, behind the
/// row `after`.
pub fn of_old(before: Id, after: Option<&[u8]>) -> Span {
    let mut span = Span::prefix(&Key::new(Table::Attempt));
    if let Some(after) = after {
        span.lo = after.to_vec();
        span.lo.push(0);
    }
    span.before(&Key::new(Table::Attempt).id(before))
}

/// When the attempt of a row began.
pub fn started_at(value: &[u8]) -> Result<Time, Fault> {
    Ok(read(value)?.started_at)
}

/// The latest attempts of an owner, newest first.
pub fn latest(rows: &dyn Rows, owner: Id, limit: usize) -> Result<Vec<Attempt>, Fault> {
    let span = of(owner).newest_first();
    collect(rows, &span, limit)?.iter().map(|(_, value)| read(value)).collect()
}

fn read(value: &[u8]) -> Result<Attempt, Fault> {
    let row: AttemptRow = codec::decode(value)?;
    Ok(Attempt {
        number: row.number,
        started_at: Time(row.started_at),
        elapsed_ms: row.elapsed_ms,
        status: row.status,
        class: row.class,
        detail: row.detail,
        body: row.body,
        next_at: row.next_at.map(Time),
        late: row.late,
    })
}
