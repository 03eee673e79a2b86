//! The audit log: who changed what, when and from where. Its ids are times.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::access::Audited;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct AuditRow {
    who: String,
    role: String,
    from: String,
    action: String,
    what: String,
    detail: String,
}

impl Record for AuditRow {
    const KIND: &'static str = "audit";
}

fn key(id: Id) -> Key {
    Key::new(Table::Audit).id(id)
}

pub fn put(tx: &mut Tx<'_>, line: &Audited) {
    let row = AuditRow {
        who: line.who.clone(),
        role: line.role.clone(),
        from: line.from.clone(),
        action: line.action.clone(),
        what: line.what.clone(),
        detail: line.detail.clone(),
    };
    tx.put(key(line.id), &row);
}

/// At most `limit` lines before `before`, newest first.
pub fn page(rows: &dyn Rows, before: Option<Id>, limit: usize) -> Result<Vec<Audited>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Audit)).newest_first();
    if let Some(id) = before {
        span = span.before(&key(id));
    }
    let found = collect(rows, &span, limit)?;
    found.iter().map(|(key, value)| from_row(last_id(key)?, codec::decode(value)?)).collect()
}

/// Lines that were written before `time`.
pub fn written_before(time: Time) -> Span {
    Span::prefix(&Key::new(Table::Audit)).before(&key(Id::floor_of(time)))
}

fn from_row(id: Id, row: AuditRow) -> Result<Audited, Fault> {
    let AuditRow { who, role, from, action, what, detail } = row;
    Ok(Audited { id, who, role, from, action, what, detail })
}
