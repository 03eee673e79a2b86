//! What is told of a sharded run: its counters, and the error that stands for all.

use std::collections::BTreeMap;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::model::run::{Run, Status};
use crate::model::shard::{Shard, ShardError, ShardState, ShardedRun};
use crate::store::fault::Fault;
use crate::store::kinds::{count, run as run_rows, shard as rows, sharded as heads};
use crate::store::rows::{Rows, counter};

/// Errors of shards that are told with the whole.
pub const ERRORS_TOLD_MAX: usize = 20;
/// Most sharded runs of a page.
pub const PAGE_MAX: usize = 200;
/// Most shards of a page.
pub const SHARDS_PAGE_MAX: usize = 1_000;
/// Heads that one page looks at before it gives what it found and a cursor.
const LOOKED_AT_MAX: usize = 2_000;
/// Heads that are read at a time.
const CHUNK: usize = 100;

/// A sharded run with all that is counted of it.
#[derive(Clone, Debug)]
pub struct Told {
    pub head: ShardedRun,
    /// Shards by state; states without any are absent.
    pub shards: BTreeMap<ShardState, u32>,
    /// Runs by status, as they are or were when they were forgotten.
    pub runs: BTreeMap<Status, u32>,
    /// That of the whole, else that of its first shard, with the shard.
    pub error: Option<(Option<u32>, ShardError)>,
}

impl Told {
    pub fn shards_in(&self, state: ShardState) -> u32 {
        self.shards.get(&state).copied().unwrap_or(0)
    }
}

pub fn tell(view: &dyn Rows, head: ShardedRun) -> Result<Told, Fault> {
    let number = |key| counter(view, &key).map(|count| u32::try_from(count).unwrap_or(0));
    let (mut shards, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for state in ShardState::ALL {
        let count = number(count::shards(head.id, *state))?;
        if count > 0 {
            shards.insert(*state, count);
        }
    }
    for status in Status::ALL {
        let count = number(count::sharded_runs(head.id, status))?;
        if count > 0 {
            runs.insert(status, count);
        }
    }
    let error = match &head.error {
        Some(error) => Some((None, error.clone())),
        None => first_error(view, head.id)?,
    };
    Ok(Told { head, shards, runs, error })
}

fn first_error(view: &dyn Rows, id: Id) -> Result<Option<(Option<u32>, ShardError)>, Fault> {
    let first = rows::with_error(view, id, 0, 1)?.pop();
    Ok(first.and_then(|shard| Some((Some(shard.index), shard.error?))))
}

/// A shard, and its run if it is there.
#[derive(Clone, Debug)]
pub struct ToldShard {
    pub shard: Shard,
    pub run: Option<Run>,
}

/// A page of shards from the given one on, with the index where the next page begins.
pub fn shards(
    view: &dyn Rows,
    id: Id,
    from: u32,
    limit: usize,
) -> Result<(Vec<ToldShard>, Option<u32>), Fault> {
    let limit = limit.clamp(1, SHARDS_PAGE_MAX);
    let mut found = rows::list(view, id, from, limit + 1)?;
    let next = (found.len() > limit).then(|| found.pop().map(|shard| shard.index)).flatten();
    Ok((with_runs(view, found)?, next))
}

fn with_runs(view: &dyn Rows, shards: Vec<Shard>) -> Result<Vec<ToldShard>, Fault> {
    let told = shards.into_iter().map(|shard| {
        let run = shard.run.map_or(Ok(None), |run| run_rows::get(view, run))?;
        Ok(ToldShard { shard, run })
    });
    told.collect()
}

/// The first shards with an error.
pub fn errors(view: &dyn Rows, id: Id) -> Result<Vec<Shard>, Fault> {
    rows::with_error(view, id, 0, ERRORS_TOLD_MAX)
}

/// Which sharded runs.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub org: Option<Name>,
    pub env: Option<Name>,
    pub task: Option<Name>,
}

impl Filter {
    pub fn admits(&self, head: &ShardedRun) -> bool {
        self.org.as_ref().is_none_or(|org| *org == head.org)
            && self.env.as_ref().is_none_or(|env| *env == head.env)
            && self.task.as_ref().is_none_or(|task| *task == head.task)
    }
}

/// A page of sharded runs before the given one, newest first, and where the next page begins.
pub fn list(
    view: &dyn Rows,
    filter: &Filter,
    limit: usize,
    before: Option<Id>,
) -> Result<(Vec<Told>, Option<Id>), Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    let (mut page, mut looked_at, mut before) = (Vec::new(), 0, before);
    loop {
        let found = heads::newest(view, before, CHUNK)?;
        let is_last = found.len() < CHUNK;
        for head in found {
            if page.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok((page, before));
            }
            before = Some(head.id);
            looked_at += 1;
            if filter.admits(&head) {
                page.push(tell(view, head)?);
            }
        }
        if is_last {
            return Ok((page, None));
        }
    }
}
