//! The newest id in the store: ids minted from now on stay above it.

use crate::base::id::Id;
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, first_key};
use crate::store::tables::Table;

/// Tables whose keys end with an id that was minted for them.
const NAMED: [Table; 17] = [
    Table::Run,
    // Of shards that have no run yet, too: its id is given with the plan.
    Table::Body,
    Table::Batch,
    Table::BatchStaged,
    Table::Buffered,
    Table::BufferDead,
    Table::Outbox,
    Table::DeadById,
    Table::Notice,
    Table::ShardedRun,
    Table::ShardPlan,
    Table::Job,
    Table::Token,
    Table::Audit,
    // Alerts know up to which event of the fleet they have looked.
    Table::FleetEvent,
    Table::AlertLine,
    Table::Silence,
];

/// `None` in a fresh store.
pub fn newest_id(rows: &dyn Rows) -> Result<Option<Id>, Fault> {
    let mut newest = None;
    for table in NAMED {
        let span = Span::prefix(&Key::new(table)).newest_first();
        if let Some(key) = first_key(rows, &span)? {
            newest = newest.max(Some(last_id(&key)?));
        }
    }
    Ok(newest)
}
