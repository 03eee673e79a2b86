//! Keys of the Redis protocol: one command in, one answer out.

pub mod command;
pub mod expire;
pub mod purge;
pub mod rename;
pub mod scan;
pub mod space;
pub mod strings;

#[cfg(test)]
mod tests;

use crate::base::time::Time;
use crate::ledger::streams;
use crate::store::fault::Stop;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use command::{Answer, Command};

/// Answers a command that only reads, from any view.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Answer, Stop> {
    if let Some(answer) = streams::ask(rows, now, command)? {
        return Ok(answer);
    }
    if let Some(answer) = strings::ask(rows, now, command)? {
        return Ok(answer);
    }
    space::ask(rows, now, command)
}

/// Does any command.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    if command.only_reads() {
        let now = tx.now();
        return ask(tx, now, &command);
    }
    match command {
        c @ (Command::Add(_)
        | Command::Delete { .. }
        | Command::DeleteWith { .. }
        | Command::Trim { .. }
        | Command::SetId { .. }
        | Command::ReadGroup(_)
        | Command::Ack { .. }
        | Command::AckDelete { .. }
        | Command::Nack { .. }
        | Command::Claim(_)
        | Command::AutoClaim(_)
        | Command::GroupCreate { .. }
        | Command::GroupSetId { .. }
        | Command::GroupDestroy { .. }
        | Command::ConsumerCreate { .. }
        | Command::ConsumerDelete { .. }) => streams::apply(tx, c),
        c @ (Command::Set { .. }
        | Command::SetMany { .. }
        | Command::Take { .. }
        | Command::GetExpire { .. }
        | Command::Increase { .. }
        | Command::Append { .. }) => strings::apply(tx, c),
        c => space::apply(tx, c),
    }
}
