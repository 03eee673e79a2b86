//! Strings under keys.

use crate::base::time::Time;
use crate::store::fault::{Fault, Stop};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::command::{Answer, Command};

/// Answers a command about strings that only reads; `None` for any other.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Option<Answer>, Stop> {
    let _ = (rows, now, command);
    Ok(None)
}

/// Does a command that changes strings.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    let _ = (tx, command);
    Err(Fault::Corrupt("a command without an act".into()).into())
}
