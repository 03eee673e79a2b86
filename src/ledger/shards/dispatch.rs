//! Dispatch: shards get their runs, a slice at a time; shard, run, delivery and link change in one
//! transaction. A shard that cannot be dispatched is held back with the reason, the others go on,
//! and a resume tries the held ones again, and only these.

use std::collections::HashMap;

use crate::base::hash::Fnv;
use crate::base::id::{Id, RunId};
use crate::ledger::runs::submit::{self, Submit, no_task};
use crate::model::notice::Notice;
use crate::model::refusal::Refusal;
use crate::model::shard::{Phase, Shard, ShardError, ShardedRun};
use crate::model::task::Task;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::{self, Total};
use crate::store::kinds::run::{self as run_rows, Body};
use crate::store::kinds::{shard as rows, sharded as heads, task as task_rows};
use crate::store::tx::Tx;

use super::save;

/// What a slice came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Runs that were made.
    pub made: u32,
    /// Shards that could not be given theirs.
    pub failed: u32,
    /// There is more to try.
    pub more: bool,
}

/// Gives runs to the next shards of a sharded run, at most `most`.
pub fn dispatch(tx: &mut Tx<'_>, id: Id, most: usize) -> Result<Slice, Stop> {
    let mut slice = Slice::default();
    let Some(mut head) = heads::get(tx, id)? else {
        heads::close(tx, id);
        return Ok(slice);
    };
    if head.phase != Phase::Dispatching {
        heads::close(tx, id);
        return Ok(slice);
    }
    let task = task_rows::get(tx, &head.task)?;
    // Said once, it is not forgotten by the slices that follow.
    let mut broken = head.error.as_ref().is_some_and(|error| error.kind == ShardError::PLAN);
    let shards = next(tx, &mut head, most)?;
    let found = Found::of(tx, &shards)?;
    for shard in shards {
        // One that has or had a run is never given another, however often it is come by.
        if !shard.wants_run() {
            continue;
        }
        match give_run(tx, &head, &shard, task.as_ref(), &found)? {
            Ok(()) => {
                slice.made += 1;
                head.held -= u32::from(shard.is_held());
            }
            Err(error) => {
                slice.failed += 1;
                head.held += u32::from(!shard.is_held());
                broken |= error.kind == ShardError::PLAN;
                save::save(tx, &shard, &Shard { error: Some(error), ..shard.clone() });
            }
        }
    }
    tx.count(count::total(Total::ShardsNotDispatched), i64::from(slice.failed));
    head.error = match (head.held, broken) {
        (0, _) => None,
        (_, true) => {
            let message = "the items of a shard cannot be read; the shards say which";
            Some(ShardError::new(ShardError::PLAN, ShardError::PLAN, message))
        }
        (held, false) => Some(ShardError::partial(held, head.shards)),
    };
    slice.more = head.next < head.shards || head.retry_from.is_some();
    if !slice.more {
        heads::close(tx, id);
        save::settle_phase(tx, &mut head)?;
    }
    heads::put(tx, &head);
    tx.notify(Notice::Page);
    Ok(slice)
}

/// The shards whose turn it is: first those that dispatch never came to, then those that a resume
/// asked for.
fn next(tx: &Tx<'_>, head: &mut ShardedRun, most: usize) -> Result<Vec<Shard>, Stop> {
    if head.next < head.shards {
        let found = rows::list(tx, head.id, head.next, most)?;
        head.next = head.shards.min(head.next.saturating_add(most as u32));
        return Ok(found);
    }
    let Some(from) = head.retry_from else { return Ok(Vec::new()) };
    let held = rows::held(tx, head.id, from, most)?;
    head.retry_from = match held.last() {
        Some(last) if held.len() == most => last.checked_add(1),
        _ => None,
    };
    let shards = held.into_iter().map(|index| save::must_get(tx, head.id, index));
    Ok(shards.collect::<Result<_, _>>()?)
}

/// What is stored of the runs of a slice, read in one go.
struct Found {
    bodies: HashMap<RunId, Body>,
    linked: HashMap<RunId, (Id, u32)>,
}

impl Found {
    fn of(tx: &Tx<'_>, shards: &[Shard]) -> Result<Found, Fault> {
        let mut ids: Vec<RunId> = shards.iter().map(|shard| shard.planned_run).collect();
        ids.sort_unstable();
        Ok(Found { bodies: run_rows::bodies(tx, &ids)?, linked: rows::linked(tx, &ids)? })
    }
}

/// Makes the run of a shard, or says why it cannot be made; then nothing of it is left.
fn give_run(
    tx: &mut Tx<'_>,
    head: &ShardedRun,
    shard: &Shard,
    task: Option<&Task>,
    found: &Found,
) -> Result<Result<(), ShardError>, Stop> {
    let body = found.bodies.get(&shard.planned_run).filter(|body| body.payload.is_some());
    let Some(body) = body else {
        let message = format!("the items of shard {} are missing", shard.index);
        tracing::error!(sharded_run = %head.id, shard = shard.index, "{message}");
        return Ok(Err(ShardError::new(ShardError::PLAN, ShardError::PLAN, message)));
    };
    let works_on = found.linked.get(&shard.planned_run).copied();
    let made = match task {
        None => Err(no_task(&head.task)),
        // A stream may refuse its runs. Nothing refuses one that is pushed, and an overlay for each
        // of so many would cost as much as the runs themselves.
        Some(task) if task.push().is_none() => {
            tx.attempt(|tx| make(tx, head, shard, (body, task), works_on))?
        }
        Some(task) => Ok(make(tx, head, shard, (body, task), works_on)?),
    };
    Ok(made.map_err(|Refusal { code, message, .. }| {
        ShardError::new(ShardError::DISPATCH, code.as_str(), message)
    }))
}

/// Shard, run, delivery and link, together.
fn make(
    tx: &mut Tx<'_>,
    head: &ShardedRun,
    shard: &Shard,
    (body, task): (&Body, &Task),
    works_on: Option<(Id, u32)>,
) -> Result<(), Stop> {
    let wishes = head.wishes.clone();
    let payload = body.payload.as_deref().unwrap_or_default();
    let command = Submit {
        fingerprint: Fnv::default().write_json(payload).finish(),
        tags: wishes.tags,
        priority: wishes.priority,
        ttl: wishes.ttl,
        max_attempts: wishes.max_attempts,
        concurrency_key: wishes.concurrency_key,
        ..Submit::plain(head.task.clone(), head.org.clone(), head.env.clone(), None)
    };
    let mut run = submit::build(tx, command, body, task);
    run.id = shard.planned_run;
    run.shard = Some((head.id, shard.index));
    let run = submit::line_up(tx, run, task)?;
    save::link(tx, shard, run.id, works_on)?;
    Ok(())
}

/// Lets dispatch try the shards again that it could not give their runs. Repeating it is harmless.
pub fn resume(tx: &mut Tx<'_>, id: Id) -> Result<ShardedRun, Stop> {
    let mut head = save::must_get_head(tx, id)?;
    if head.held > 0 {
        head.retry_from = Some(0);
        head.phase = Phase::Dispatching;
        heads::open(tx, id);
        heads::put(tx, &head);
        tx.notify(Notice::Page);
    }
    Ok(head)
}
