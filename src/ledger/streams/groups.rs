//! Groups and consumers: made, moved, removed.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::base::text::quote;
use crate::ledger::keys::command::Answer;
use crate::ledger::keys::space::holds_runs;
use crate::ledger::runs::place::run_at;
use crate::ledger::runs::pull;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Group, KeyName, Pending, Start, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry::{Purge, put_purge};
use crate::store::kinds::{group as groups, pending};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::open::{Opened, Party, no_group, no_stream, pending_count_of};
use super::trim::is_run;

/// Pending entries up to which a consumer can be removed.
const DROPPED_MAX: u64 = 100_000;

fn start_id(opened: &Opened, start: Start) -> StreamId {
    match start {
        Start::After(id) => id,
        Start::End | Start::Last => opened.stream.last,
    }
}

pub fn create(
    tx: &mut Tx<'_>,
    key: &KeyName,
    name: &Bytes,
    start: Start,
    create_stream: bool,
    entries_read: Option<u64>,
) -> Result<Answer, Stop> {
    let mut opened = match Opened::find(tx, key)? {
        Some(opened) => opened,
        None if create_stream => Opened::find_or_create(tx, key)?,
        None => return Err(no_stream(key).into()),
    };
    if groups::get(tx, opened.stream.number, name)?.is_some() {
        let name = String::from_utf8_lossy(name).into_owned();
        let message = format!("group {} exists already", quote(&name));
        return Err(Refusal::new(Code::GroupExists, message).into());
    }
    // Numbers of groups come from the count of keys: they are never used again.
    let number = u32::try_from(crate::store::kinds::key::fresh_number(tx)?)
        .map_err(|_| Fault::Corrupt("the numbers of groups are used up".into()))?;
    let group = Group {
        number,
        last: start_id(&opened, start),
        entries_read,
        pending_max: StreamId::MIN,
        next_consumer: 0,
        consumers: 0,
    };
    groups::put(tx, opened.stream.number, name, &group);
    opened.stream.groups += 1;
    opened.save(tx);
    Ok(Answer::Done)
}

pub fn set_id(
    tx: &mut Tx<'_>,
    key: &KeyName,
    name: &Bytes,
    start: Start,
    entries_read: Option<u64>,
) -> Result<Answer, Stop> {
    let opened = Opened::find(tx, key)?.ok_or_else(|| no_stream(key))?;
    let mut party = opened.group(tx, name)?;
    party.group.last = start_id(&opened, start);
    party.group.entries_read = entries_read;
    party.save(tx);
    // Set back, it has more to read.
    tx.notify(Notice::Key(key.clone()));
    Ok(Answer::Done)
}

pub fn destroy(tx: &mut Tx<'_>, key: &KeyName, name: &Bytes) -> Result<Answer, Stop> {
    let mut opened = Opened::find(tx, key)?.ok_or_else(|| no_stream(key))?;
    let number = opened.stream.number;
    let Some(group) = groups::get(tx, number, name)? else { return Ok(Answer::Count(0)) };
    let party = Party { stream: number, name: name.clone(), group };
    if opened.stream.runs > 0 && !pending_of(tx, &party, 1, &|row| is_run(row))?.is_empty() {
        return Err(holds_runs(key, opened.stream.runs).into());
    }
    groups::remove(tx, number, name);
    put_purge(tx, &Purge::Group(number, party.group.number));
    opened.stream.groups -= 1;
    opened.save(tx);
    tx.notify(Notice::Key(key.clone()));
    Ok(Answer::Count(1))
}

pub fn create_consumer(
    tx: &mut Tx<'_>,
    key: &KeyName,
    group: &Bytes,
    name: &Bytes,
) -> Result<Answer, Stop> {
    let opened = Opened::find(tx, key)?.ok_or_else(|| no_stream(key))?;
    let mut party = opened.group(tx, group)?;
    let (_, new) = party.consumer(tx, name)?;
    Ok(Answer::Count(i64::from(new)))
}

/// Removes a consumer; what it had pending is dropped, as in Redis, but runs go to the next one.
/// Answers how many entries it had pending.
pub fn delete_consumer(
    tx: &mut Tx<'_>,
    key: &KeyName,
    group: &Bytes,
    name: &Bytes,
) -> Result<Answer, Stop> {
    let opened = Opened::find(tx, key)?.ok_or_else(|| no_stream(key))?;
    let mut party = opened.group(tx, group)?;
    let (stream, number) = (party.stream, party.group.number);
    let Some(consumer) = groups::consumer(tx, stream, number, name)? else {
        return Ok(Answer::Count(0));
    };
    let count = pending_count_of(tx, stream, number, consumer.number)?;
    if count > DROPPED_MAX {
        let message = format!("the consumer has {count} entries pending: claim them first");
        return Err(Refusal::new(Code::TooLarge, message).into());
    }
    let mine = |row: &Pending| row.consumer == consumer.number;
    for (id, row) in pending_of(tx, &party, count, &mine)? {
        match is_run(&row) {
            true => {
                let run = run_at(tx, stream, id)?;
                pull::given_back(tx, run, None)?;
            }
            false => party.save_pending(tx, id, Some(&row), None),
        }
    }
    groups::remove_consumer(tx, stream, number, name, &consumer);
    // Runs that were given back have moved the group on meanwhile.
    party.reread(tx)?;
    party.group.consumers -= 1;
    party.save(tx);
    Ok(Answer::Count(count as i64))
}

/// The first `most` pending rows that fit.
fn pending_of(
    rows: &dyn Rows,
    party: &Party,
    most: u64,
    fits: &dyn Fn(&Pending) -> bool,
) -> Result<Vec<(StreamId, Pending)>, Fault> {
    let mut found = Vec::new();
    if most == 0 {
        return Ok(found);
    }
    let range = (StreamId::MIN, StreamId::MAX);
    pending::scan(rows, party.stream, party.group.number, range, &mut |id, row| {
        if fits(&row) {
            found.push((id, row));
        }
        let more = (found.len() as u64) < most;
        Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// What an id is told that lies below what was deleted.
pub const BELOW_DELETED: &str = "the id is below the highest deleted one";

/// Sets the figures of a stream by hand.
pub fn set_stream(
    tx: &mut Tx<'_>,
    key: &KeyName,
    last: StreamId,
    added: Option<u64>,
    max_deleted: Option<StreamId>,
) -> Result<Answer, Stop> {
    let mut opened = Opened::find(tx, key)?.ok_or_else(|| no_stream(key))?;
    let refuse = |code, message: &str| Stop::from(Refusal::new(code, message));
    let max_deleted = max_deleted.filter(|id| *id != StreamId::MIN);
    if opened.stream.length > 0 {
        let top = super::range_last(tx, &opened)?;
        if last < top {
            return Err(refuse(Code::EntryIdTooLow, "the id is below the last entry"));
        }
        if added.is_some_and(|added| added < opened.stream.length) {
            return Err(refuse(Code::InvalidField, "fewer entries added than there are"));
        }
    }
    if last < opened.stream.last && opened.stream.runs > 0 {
        // The ids above a run's entry are set aside for its next attempts.
        return Err(holds_runs(key, opened.stream.runs).into());
    }
    if last < max_deleted.unwrap_or(opened.stream.max_deleted) {
        return Err(refuse(Code::EntryIdTooLow, BELOW_DELETED));
    }
    opened.stream.last = last;
    if let Some(added) = added {
        opened.stream.added = added;
    }
    if let Some(id) = max_deleted {
        opened.stream.max_deleted = id;
    }
    opened.save(tx);
    Ok(Answer::Done)
}

/// Also used by doors that only know names.
pub fn must_have(rows: &dyn Rows, opened: &Opened, group: &Bytes) -> Result<(), Stop> {
    match groups::get(rows, opened.stream.number, group)? {
        Some(_) => Ok(()),
        None => Err(no_group(&opened.name, group).into()),
    }
}
