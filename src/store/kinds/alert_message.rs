//! The history of alerts, and messages on their way to people.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::alert::message::{Draft, Item, Message};
use crate::model::alert::{Channel, Line, What};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, collect_keys, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::alert::severity;

#[derive(Encode, Decode)]
struct LineRow {
    at: i64,
    what: u8,
    rule: String,
    subject: String,
    severity: u8,
    detail: String,
    silenced: bool,
    message: Option<[u8; 16]>,
}

impl Record for LineRow {
    const KIND: &'static str = "alert line";
}

#[derive(Encode, Decode)]
struct ItemPart {
    rule: String,
    subject: String,
    severity: u8,
    detail: String,
    since: i64,
}

#[derive(Encode, Decode)]
struct MessageRow {
    what: u8,
    items: Vec<ItemPart>,
    more: u64,
    created_at: i64,
    due_at: i64,
    attempts: u32,
    first_attempt_at: Option<i64>,
    last_error: String,
    dead_at: Option<i64>,
}

impl Record for MessageRow {
    const KIND: &'static str = "alert message";
}

fn what(number: u8) -> Result<What, Fault> {
    super::word(What::from_number(number), "kind of message", number)
}

/// Adds a line to the history.
pub fn tell(tx: &mut Tx<'_>, line: &Line) {
    let row = LineRow {
        at: line.at.0,
        what: line.what as u8,
        rule: line.rule.clone(),
        subject: line.subject.clone(),
        severity: line.severity as u8,
        detail: line.detail.clone(),
        silenced: line.silenced,
        message: line.message.map(|id| id.0),
    };
    let id = tx.mint();
    tx.put(Key::new(Table::AlertLine).id(id), &row);
}

/// Lines newest first, those before `before`.
pub fn lines(rows: &dyn Rows, before: Option<Id>, limit: usize) -> Result<Vec<(Id, Line)>, Fault> {
    let table = Key::new(Table::AlertLine);
    let mut span = Span::prefix(&table).newest_first();
    if let Some(before) = before {
        span = span.before(&table.id(before));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let row: LineRow = codec::decode(value)?;
        let line = Line {
            at: Time(row.at),
            what: what(row.what)?,
            rule: row.rule,
            subject: row.subject,
            severity: severity(row.severity)?,
            detail: row.detail,
            silenced: row.silenced,
            message: row.message.map(Id),
        };
        Ok((last_id(key)?, line))
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// Removes lines that are older than `before` or beyond the newest `kept`, at most `limit`.
pub fn forget_lines(
    tx: &mut Tx<'_>,
    before: Time,
    kept: usize,
    limit: usize,
) -> Result<usize, Fault> {
    let all = collect_keys(tx, &Span::prefix(&Key::new(Table::AlertLine)), kept + limit)?;
    let beyond = all.len().saturating_sub(kept);
    let mut removed = 0;
    for (at, key) in all.into_iter().enumerate() {
        if at >= beyond && last_id(&key)?.time() >= before {
            break;
        }
        tx.remove_raw(key);
        removed += 1;
    }
    Ok(removed)
}

fn message_key(channel: Channel, id: Id) -> Key {
    Key::new(Table::AlertMessage).u8(channel as u8).id(id)
}

pub fn put(tx: &mut Tx<'_>, channel: Channel, message: &Message) {
    let part = |item: &Item| ItemPart {
        rule: item.rule.clone(),
        subject: item.subject.clone(),
        severity: item.severity as u8,
        detail: item.detail.clone(),
        since: item.since.0,
    };
    let row = MessageRow {
        what: message.draft.what as u8,
        items: message.draft.items.iter().map(part).collect(),
        more: message.draft.more,
        created_at: message.created_at.0,
        due_at: message.due_at.0,
        attempts: message.attempts,
        first_attempt_at: message.first_attempt_at.map(|at| at.0),
        last_error: message.last_error.clone(),
        dead_at: message.dead_at.map(|at| at.0),
    };
    tx.put(message_key(channel, message.id), &row);
}

fn from_row(id: Id, row: MessageRow) -> Result<Message, Fault> {
    let item = |part: ItemPart| {
        Ok(Item {
            rule: part.rule,
            subject: part.subject,
            severity: severity(part.severity)?,
            detail: part.detail,
            since: Time(part.since),
        })
    };
    let items = row.items.into_iter().map(item).collect::<Result<_, Fault>>()?;
    Ok(Message {
        id,
        draft: Draft { what: what(row.what)?, items, more: row.more },
        created_at: Time(row.created_at),
        due_at: Time(row.due_at),
        attempts: row.attempts,
        first_attempt_at: row.first_attempt_at.map(Time),
        last_error: row.last_error,
        dead_at: row.dead_at.map(Time),
    })
}

pub fn get(rows: &dyn Rows, channel: Channel, id: Id) -> Result<Option<Message>, Fault> {
    load::<MessageRow>(rows, &message_key(channel, id))?.map(|row| from_row(id, row)).transpose()
}

/// Messages of a channel, oldest first: those that wait and those that were given up.
pub fn list(rows: &dyn Rows, channel: Channel, limit: usize) -> Result<Vec<Message>, Fault> {
    let prefix = Key::new(Table::AlertMessage).u8(channel as u8);
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| from_row(last_id(key)?, codec::decode(value)?);
    collect(rows, &Span::prefix(&prefix), limit)?.iter().map(read).collect()
}

pub fn remove(tx: &mut Tx<'_>, channel: Channel, id: Id) {
    tx.remove(message_key(channel, id));
}
