//! Streams: entries, groups, consumers and what is pending, with the rules of Redis.

pub mod ack;
mod add;
pub mod claim;
pub mod groups;
pub mod handover;
pub mod info;
pub mod open;
pub mod page;
pub mod read;
pub mod requeue;
pub mod trim;

use crate::base::time::Time;
use crate::ledger::keys::command::{Answer, Command};
use crate::model::stream::StreamId;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry as entries;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use open::Opened;

pub use read::fix_ends;

/// Answers a command about streams that only reads; `None` for any other.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Option<Answer>, Stop> {
    Ok(Some(match command {
        Command::Length { key } => {
            let stream = open::look(rows, now, key)?;
            Answer::Count(stream.map_or(0, |stream| stream.length as i64))
        }
        Command::Range { key, from, to, newest_first, count } => {
            Answer::Entries(match open::look(rows, now, key)? {
                None => Vec::new(),
                // Not a range without entries, but no range: Redis tells the two apart.
                Some(_) if *count == Some(0) => return Ok(Some(Answer::Read(Vec::new()))),
                Some(stream) => read::range(rows, &stream, (*from, *to), *newest_first, *count)?,
            })
        }
        Command::Read { keys, count } => read::read(rows, now, keys, *count)?,
        Command::PendingSummary { key, group } => info::pending_summary(rows, now, key, group)?,
        Command::PendingRange(range) => Answer::Pending(info::pending_range(rows, now, range)?),
        Command::HasGroup { keys, group } => {
            for key in keys {
                open::look_group(rows, now, key, group)?;
            }
            Answer::Done
        }
        Command::StreamInfo { key } => Answer::Stream(Box::new(info::stream(rows, now, key)?)),
        Command::StreamFull { key, count } => info::full(rows, now, key, *count)?,
        Command::GroupsInfo { key } => Answer::Groups(info::groups_of(rows, now, key)?),
        Command::ConsumersInfo { key, group } => {
            Answer::Consumers(info::consumers_of(rows, now, key, group)?)
        }
        _ => return Ok(None),
    }))
}

/// Does a command that changes streams.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    match command {
        Command::Add(command) => Ok(Answer::Added(add::add(tx, command)?)),
        Command::Delete { key, ids } => Ok(Answer::Count(ack::delete(tx, &key, &ids)?)),
        Command::DeleteWith { key, refs, ids } => ack::delete_with(tx, &key, refs, &ids),
        Command::Trim { key, trim: how } => {
            let Some(mut opened) = Opened::find(tx, &key)? else { return Ok(Answer::Count(0)) };
            let removed = trim::trim(tx, &mut opened, &how)?;
            if removed > 0 {
                opened.save(tx);
            }
            Ok(Answer::Count(removed as i64))
        }
        Command::SetId { key, last, added, max_deleted } => {
            groups::set_stream(tx, &key, last, added, max_deleted)
        }
        Command::ReadGroup(command) => read::read_group(tx, command),
        Command::Ack { key, group, ids } => Ok(Answer::Count(ack::ack(tx, &key, &group, &ids)?)),
        Command::AckDelete { key, group, refs, ids } => {
            ack::ack_delete(tx, &key, &group, refs, &ids)
        }
        Command::Nack { key, group, ids, delay } => {
            Ok(Answer::Count(ack::nack(tx, &key, &group, &ids, delay)?))
        }
        Command::Claim(command) => claim::claim(tx, command),
        Command::AutoClaim(command) => claim::auto_claim(tx, command),
        Command::GroupCreate { key, group, start, create_stream, entries_read } => {
            groups::create(tx, &key, &group, start, create_stream, entries_read)
        }
        Command::GroupSetId { key, group, start, entries_read } => {
            groups::set_id(tx, &key, &group, start, entries_read)
        }
        Command::GroupDestroy { key, group } => groups::destroy(tx, &key, &group),
        Command::ConsumerCreate { key, group, consumer } => {
            groups::create_consumer(tx, &key, &group, &consumer)
        }
        Command::ConsumerDelete { key, group, consumer } => {
            groups::delete_consumer(tx, &key, &group, &consumer)
        }
        _ => Err(Fault::Corrupt("a command of streams without an act".into()).into()),
    }
}

/// The last entry that is there.
fn range_last(rows: &dyn Rows, opened: &Opened) -> Result<StreamId, Fault> {
    let stream = &opened.stream;
    Ok(entries::last(rows, stream.number, stream.first)?.unwrap_or(StreamId::MIN))
}
