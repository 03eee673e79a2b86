//! The one index of things that happen later. Each kind of timer is a queue of its own, so its
//! rows ascend and listing one kind is one scan.

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::Timer;
use crate::model::notice::Notice;
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, first_key};
use crate::store::tables::Table;
use crate::store::tx::Tx;

fn queue(timer: Timer) -> Key {
    Key::new(Table::Due).u8(timer as u8)
}

pub fn set(tx: &mut Tx<'_>, timer: Timer, at: Time, id: Id) {
    tx.mark(queue(timer).time(at).id(id));
    tx.notify(Notice::Timer(at));
}

pub fn clear(tx: &mut Tx<'_>, timer: Timer, at: Time, id: Id) {
    tx.remove(queue(timer).time(at).id(id));
}

pub fn is_set(rows: &dyn Rows, timer: Timer, at: Time, id: Id) -> Result<bool, Fault> {
    Ok(rows.get(queue(timer).time(at).id(id).bytes())?.is_some())
}

/// At most `limit` timers of a kind that are due at `now`, earliest first.
pub fn due(
    rows: &dyn Rows,
    timer: Timer,
    now: Time,
    limit: usize,
) -> Result<Vec<(Time, Id)>, Fault> {
    let span = Span::prefix(&queue(timer))
        .before(&queue(timer).time(now.plus(crate::base::time::Span(1))));
    list(rows, &span, limit)
}

/// At most `limit` timers of a kind after the given one, earliest first.
pub fn after(
    rows: &dyn Rows,
    timer: Timer,
    from: Option<(Time, Id)>,
    limit: usize,
) -> Result<Vec<(Time, Id)>, Fault> {
    let mut span = Span::prefix(&queue(timer));
    if let Some((at, id)) = from {
        span = span.from(&queue(timer).time(at).id(id).u8(0));
    }
    list(rows, &span, limit)
}

fn list(rows: &dyn Rows, span: &Span, limit: usize) -> Result<Vec<(Time, Id)>, Fault> {
    collect(rows, span, limit)?.iter().map(|(key, _)| read(key)).collect()
}

fn read(key: &[u8]) -> Result<(Time, Id), Fault> {
    let mut reader = KeyReader::new(key);
    reader.u8()?;
    Ok((reader.time()?, reader.id()?))
}

/// When the next timer of any kind fires.
pub fn next(rows: &dyn Rows) -> Result<Option<Time>, Fault> {
    let mut next: Option<Time> = None;
    for timer in Timer::ALL {
        if let Some(key) = first_key(rows, &Span::prefix(&queue(timer)))? {
            let (at, _) = read(&key)?;
            next = Some(next.map_or(at, |earlier| earlier.min(at)));
        }
    }
    Ok(next)
}
