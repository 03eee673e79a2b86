//! Adding an entry.

use crate::ledger::keys::command::Add;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Content, NewId, StreamId};
use crate::store::fault::Stop;
use crate::store::tx::Tx;

use super::open::Opened;
use super::trim::trim;

/// Adds an entry; `None` when there is no stream and none was to be made.
pub fn add(tx: &mut Tx<'_>, command: Add) -> Result<Option<StreamId>, Stop> {
    if command.id == NewId::Exact(StreamId::MIN) {
        return Err(Refusal::new(Code::EntryIdZero, "the id of an entry must be above 0-0").into());
    }
    let mut opened = match (Opened::find(tx, &command.key)?, command.create) {
        (Some(opened), _) => opened,
        (None, true) => Opened::find_or_create(tx, &command.key)?,
        (None, false) => return Ok(None),
    };
    if opened.stream.last == StreamId::MAX {
        let message = "the stream has given the last possible id; add to another one";
        return Err(Refusal::new(Code::EntryIdsUsedUp, message).into());
    }
    let Some(id) = opened.stream.next_id(command.id, tx.now()) else {
        let message = format!("the id must be above {}, the highest so far", opened.stream.last);
        return Err(Refusal::new(Code::EntryIdTooLow, message).into());
    };
    opened.append(tx, id, &Content::Fields(command.fields));
    if let Some(how) = &command.trim {
        trim(tx, &mut opened, how)?;
    }
    opened.save(tx);
    Ok(Some(id))
}
