//! What is old goes, a slice at a time.

use crate::base::time::Time;
use crate::model::history::{DAY_SECS, HOUR_SECS, KEPT, RAW_KEPT};
use crate::store::fault::Stop;
use crate::store::kinds::history::{self as rows, Named};
use crate::store::kinds::remove_some;
use crate::store::tx::Tx;

/// Rows that one slice removes, and series that it looks at.
const ROWS_MAX: usize = 512;
const SERIES_MAX: usize = 256;

/// Where a round over all series stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    after: Option<Named>,
    /// There is more to look at, or to remove.
    pub more: bool,
}

/// Removes the next rows that are too old, and forgets series that were not seen for as long.
pub fn forget(tx: &mut Tx<'_>, round: Round) -> Result<Round, Stop> {
    let now = tx.now();
    let number = |at: Time, secs: i64| u32::try_from(at.0.div_euclid(1_000 * secs)).unwrap_or(0);
    let (raw, all) = (now.minus(RAW_KEPT), now.minus(KEPT));
    let day = number(all, DAY_SECS);
    let mut room = ROWS_MAX;
    for span in rows::older_than(number(raw, HOUR_SECS), day) {
        room -= remove_some(tx, &span, room)?;
    }
    let found = rows::list(tx, round.after.as_ref(), SERIES_MAX)?;
    let last = found.last().map(|(named, _)| named.clone());
    let full = found.len() == SERIES_MAX;
    let mut state = rows::state(tx)?;
    let before = state;
    for (named, known) in found {
        // Its last rows are of the day on which it was last seen, and that is gone.
        if known.seen_day < day {
            rows::remove_known(tx, &named);
            state.known = state.known.saturating_sub(1);
        }
    }
    if state != before {
        rows::put_state(tx, &state);
    }
    Ok(Round { after: last.filter(|_| full), more: full || room == 0 })
}
