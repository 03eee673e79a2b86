//! Rows that nobody sees any more: what was cut off a stream, and the streams that are gone.
//!
//! Deleting or trimming only moves a mark, whatever the size of the stream; the rows go here, a
//! bounded number a command, so that no commit grows with what is removed.

use crate::store::fault::Stop;
use crate::store::kinds::entry::{purge_rows, purges, remove_purge};
use crate::store::tx::Tx;

/// Rows that one command removes: about a millisecond of the writer.
pub const PURGE_ROWS_MAX: usize = 256;
/// Streams that one command looks at.
const PURGES_MAX: usize = 100;

/// Removes some of the rows that wait for it; true when there may be more.
pub fn purge(tx: &mut Tx<'_>) -> Result<bool, Stop> {
    let waiting = purges(tx, PURGES_MAX)?;
    let mut room = PURGE_ROWS_MAX;
    for purge in &waiting {
        room -= purge_rows(tx, purge, room)?;
        if room == 0 {
            // Whether this one is done is seen next time.
            return Ok(true);
        }
        remove_purge(tx, purge);
    }
    Ok(waiting.len() == PURGES_MAX)
}
