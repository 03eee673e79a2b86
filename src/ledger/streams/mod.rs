//! Streams: entries, groups, consumers and what is pending, one act a file.

use crate::base::time::Time;
use crate::ledger::keys::command::{Answer, Command};
use crate::model::stream::{KeyName, Start};
use crate::store::fault::{Fault, Stop};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Answers a command about streams that only reads; `None` for any other.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Option<Answer>, Stop> {
    let _ = (rows, now, command);
    Ok(None)
}

/// Does a command that changes streams.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    let _ = (tx, command);
    Err(Fault::Corrupt("a command without an act".into()).into())
}

/// Turns "behind whatever is there now" into the id that this is.
pub fn fix_ends(tx: &mut Tx<'_>, keys: &mut [(KeyName, Start)]) -> Result<(), Stop> {
    let _ = (tx, keys);
    Ok(())
}
