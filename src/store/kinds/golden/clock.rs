//! Golden row of the clock.

use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::model::clock::{Known, Step};
use crate::store::kinds::clock as rows;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn known() -> Known {
    let from = Time(1_700_000_000_000);
    let begun = Step { from, by: Span(3_600_000), kinds: 2, after: Some((from, Id([7; 16]))) };
    let fresh = Step { from, by: Span(61_000), kinds: 0, after: None };
    Known { seen: Time(1_699_996_400_000), steps: vec![begun, fresh] }
}

pub fn write(tx: &mut Tx<'_>) {
    rows::put(tx, &known());
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(rows::get(rows).unwrap(), Some(known()));
}
