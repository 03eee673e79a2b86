//! Where a run stands in its stream: put there, moved on for its next attempt, taken out.
//!
//! A run that waits or executes has one entry in its stream, which names it and holds nothing else.
//! Every attempt has an entry id of its own: the ids of a run's attempts lie side by side in a block
//! that is set aside when it is queued, so that a retry keeps its place in line, and an
//! acknowledgement of an older attempt meets an id that is gone.

use std::ops::ControlFlow;

use crate::base::id::RunId;
use crate::base::time::Time;
use crate::ledger::streams::ack::wake_at;
use crate::ledger::streams::open::Opened;
use crate::ledger::streams::trim::{drop_refs, parties};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Event, Run, RunError};
use crate::model::stream::{Content, KeyName, NOBODY, Pending, Stream, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry as entries;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::save;

/// The ids of one block: those that differ in these bits of their sequence number.
const BLOCK: u64 = 0xff;

/// Code of a run whose stream cannot take it.
pub const STREAM_UNUSABLE: &str = "stream_unusable";

/// Puts a run that waits at the end of its stream. The caller saves the run.
pub fn enqueue(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    let mut opened = Opened::find_or_create(tx, &stream_of(run)?)?;
    let id = fresh_block(&opened.stream, tx.now())?;
    opened.append(tx, id, &Content::Run(run.id));
    opened.stream.last = block_end(id);
    opened.save(tx);
    run.entry = Some(id);
    Ok(())
}

/// Like [`enqueue`], where nobody is there to be refused: a run whose stream cannot take it ends
/// with the reason.
pub fn enqueue_or_end(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    match enqueue(tx, run) {
        Err(Stop::Refused(refusal)) => {
            run.step(Event::Break, tx.now()).map_err(save::refuse)?;
            let stream = run.stream.as_deref().unwrap_or_default();
            let message = format!("stream `{stream}` takes no runs: {}", refusal.message);
            run.error = Some(RunError { code: STREAM_UNUSABLE.to_owned(), message });
            Ok(())
        }
        other => other,
    }
}

/// The stream that a run is pulled from.
pub fn stream_of(run: &Run) -> Result<KeyName, Fault> {
    let name = run.stream.as_deref();
    let name = name.ok_or_else(|| Fault::Corrupt(format!("run {} has no stream", run.id)))?;
    Ok(KeyName::of(name))
}

fn block_end(id: StreamId) -> StreamId {
    StreamId::new(id.ms, id.seq | BLOCK)
}

/// The first id of a block behind everything.
fn fresh_block(stream: &Stream, now: Time) -> Result<StreamId, Refusal> {
    let now_ms = u64::try_from(now.0).unwrap_or(0);
    if now_ms > stream.last.ms {
        return Ok(StreamId::new(now_ms, 0));
    }
    let used_up = || {
        Refusal::new(Code::EntryIdsUsedUp, "the stream of this task has given the last possible id")
    };
    let first = block_end(stream.last).next().ok_or_else(used_up)?;
    if block_end(first) == StreamId::MAX { Err(used_up()) } else { Ok(first) }
}

/// The run that an entry stands for.
pub fn run_at(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<RunId, Stop> {
    match entries::get(rows, stream, id)? {
        Some(Content::Run(run)) => Ok(run),
        Some(Content::Fields(_)) | None => {
            Err(Fault::Corrupt(format!("the pending run {id} has no entry")).into())
        }
    }
}

/// The run whose earlier attempt had this id, if it still waits or executes in this stream.
pub fn run_behind(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<Option<RunId>, Fault> {
    let mut found = None;
    entries::scan(rows, stream, (id, block_end(id)), false, &mut |_, content| {
        if let Content::Run(run) = content {
            found = Some(run);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Whether a group other than `group` has a run pending: a run goes to one group only.
pub fn held_by_another(
    rows: &dyn Rows,
    opened: &Opened,
    group: u32,
    id: StreamId,
) -> Result<bool, Fault> {
    if opened.stream.groups < 2 {
        return Ok(false);
    }
    for party in parties(rows, opened)? {
        if party.group.number != group && party.pending(rows, id)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes the entry of a run out of its stream, with whatever is pending of it.
pub fn withdraw(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    let Some(id) = run.entry.take() else { return Ok(()) };
    let Some(mut opened) = Opened::find(tx, &stream_of(run)?)? else { return Ok(()) };
    let mut groups = parties(tx, &opened)?;
    drop_refs(tx, &mut groups, id)?;
    entries::remove(tx, opened.stream.number, id);
    opened.stream.length -= 1;
    opened.stream.runs -= 1;
    opened.stream.max_deleted = opened.stream.max_deleted.max(id);
    opened.first_is_gone(tx, id)?;
    opened.save(tx);
    Ok(())
}

/// The run's entry moves to the next id of its block. Whoever had it pending sees it as given back
/// until `at`; its old id is gone, so that a late acknowledgement meets nothing.
pub fn move_on(tx: &mut Tx<'_>, run: &mut Run, at: Time) -> Result<(), Stop> {
    let name = stream_of(run)?;
    let (Some(old), Some(mut opened)) = (run.entry, Opened::find(tx, &name)?) else {
        return enqueue_or_end(tx, run);
    };
    if old.seq & BLOCK == BLOCK {
        // All ids of the block are used up: to the end of the line.
        withdraw(tx, run)?;
        return enqueue_or_end(tx, run);
    }
    let new = StreamId::new(old.ms, old.seq + 1);
    let mut held = false;
    for party in &mut parties(tx, &opened)? {
        let Some(row) = party.pending(tx, old)? else { continue };
        held = true;
        let after = Pending { consumer: NOBODY, again_at: Some(at), ..row };
        party.save_pending(tx, old, Some(&row), None);
        party.save_pending(tx, new, None, Some(&after));
        // It was delivered already: reading on must not find it as something new.
        party.group.last = party.group.last.max(new);
        party.save(tx);
        wake_at(tx, &opened, party.group.number, at);
    }
    if !held {
        withdraw(tx, run)?;
        return enqueue_or_end(tx, run);
    }
    entries::remove(tx, opened.stream.number, old);
    entries::put(tx, opened.stream.number, new, &Content::Run(run.id));
    if opened.stream.first == old {
        opened.stream.first = new;
    }
    opened.save(tx);
    run.entry = Some(new);
    Ok(())
}
