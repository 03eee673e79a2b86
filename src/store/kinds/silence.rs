//! Silences of alerts.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::alert::silence::Silence;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct SilenceRow {
    rule: Option<String>,
    subject: Option<String>,
    from: i64,
    until: i64,
    reason: String,
    by: String,
    created_at: i64,
}

impl Record for SilenceRow {
    const KIND: &'static str = "silence";
}

fn key(id: Id) -> Key {
    Key::new(Table::Silence).id(id)
}

pub fn put(tx: &mut Tx<'_>, silence: &Silence) {
    let row = SilenceRow {
        rule: silence.rule.clone(),
        subject: silence.subject.clone(),
        from: silence.from.0,
        until: silence.until.0,
        reason: silence.reason.clone(),
        by: silence.by.clone(),
        created_at: silence.created_at.0,
    };
    tx.put(key(silence.id), &row);
}

pub fn exists(rows: &dyn Rows, id: Id) -> Result<bool, Fault> {
    Ok(rows.get(key(id).bytes())?.is_some())
}

pub fn remove(tx: &mut Tx<'_>, id: Id) {
    tx.remove(key(id));
}

/// Silences, oldest first; also those that are to come, and those that are over and not yet removed.
pub fn list(rows: &dyn Rows, limit: usize) -> Result<Vec<Silence>, Fault> {
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let row: SilenceRow = codec::decode(value)?;
        Ok(Silence {
            id: last_id(key)?,
            rule: row.rule,
            subject: row.subject,
            from: Time(row.from),
            until: Time(row.until),
            reason: row.reason,
            by: row.by,
            created_at: Time(row.created_at),
        })
    };
    collect(rows, &Span::prefix(&Key::new(Table::Silence)), limit)?.iter().map(read).collect()
}
