//! What is known of the clock: one row.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::model::clock::{Known, Step};
use crate::store::codec::Record;
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct ClockRow {
    seen: i64,
    steps: Vec<StepRow>,
}

#[derive(Encode, Decode)]
struct StepRow {
    from: i64,
    by: i64,
    kinds: u8,
    after: Option<(i64, [u8; 16])>,
}

impl Record for ClockRow {
    const KIND: &'static str = "clock";
}

/// `None` until it was noted once.
pub fn get(rows: &dyn Rows) -> Result<Option<Known>, Fault> {
    let Some(row) = load::<ClockRow>(rows, &Key::new(Table::Clock))? else { return Ok(None) };
    let step = |step: StepRow| Step {
        from: Time(step.from),
        by: Span(step.by),
        kinds: step.kinds,
        after: step.after.map(|(at, id)| (Time(at), Id(id))),
    };
    Ok(Some(Known { seen: Time(row.seen), steps: row.steps.into_iter().map(step).collect() }))
}

pub fn put(tx: &mut Tx<'_>, known: &Known) {
    let step = |step: &Step| StepRow {
        from: step.from.0,
        by: step.by.0,
        kinds: step.kinds,
        after: step.after.map(|(at, id)| (at.0, id.0)),
    };
    let steps = known.steps.iter().map(step).collect();
    tx.put(Key::new(Table::Clock), &ClockRow { seen: known.seen.0, steps });
}
