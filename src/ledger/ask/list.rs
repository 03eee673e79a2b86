//! Listing runs, newest first: the narrowest index for the filter, then a bounded look at heads.
//!
//! Every index ends with the run id, so one cursor (the last id looked at) serves every filter,
//! and runs that change between two pages are neither doubled nor skipped out of order.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::run::{Run, Status};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::kinds::{buffered, count, run as run_rows, run_index};
use crate::store::rows::{Rows, Span, collect, counter};

/// Most runs of a page.
pub const PAGE_MAX: usize = 200;
/// Heads that one page looks at before it gives what it found and a cursor.
pub const LOOKED_AT_MAX: usize = 2_000;
/// Envs of an org that are merged; an org with more is filtered instead.
const ENVS_MERGED_MAX: usize = 64;
/// Ids fetched at a time from each index.
const CHUNK: usize = 64;

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these; empty means all.
    pub statuses: Vec<Status>,
    pub task: Option<Name>,
    pub org: Option<Name>,
    pub env: Option<Name>,
    pub tag: Option<String>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    /// Words that must all occur in id, task, tags, key or error.
    pub words: Vec<String>,
    pub idempotency_key: Option<String>,
    /// Runs that this batch made, in its order instead of newest first.
    pub batch: Option<Id>,
}

/// A page of runs.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub runs: Vec<Run>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<RunId>,
    /// The page ended because enough was looked at, not because it is full.
    pub partial: bool,
}

pub fn list(
    rows: &dyn Rows,
    filter: &Filter,
    limit: usize,
    before: Option<RunId>,
) -> Result<Page, Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    list_some(rows, filter, (limit, LOOKED_AT_MAX), before)
}

/// Like [`list`], with at most `limit` runs out of `looked_at_max` heads.
pub fn list_some(
    rows: &dyn Rows,
    filter: &Filter,
    (limit, looked_at_max): (usize, usize),
    before: Option<RunId>,
) -> Result<Page, Fault> {
    if let Some(batch) = filter.batch {
        return super::batches::runs(rows, filter, batch, limit, before);
    }
    let sources = sources(rows, filter)?;
    let floor = filter.from.map_or(Id::MIN, Id::floor_of);
    let ceiling = filter.to.map_or(Id::MAX, Id::floor_of);
    let mut before = before.map_or(ceiling, |id| id.min(ceiling));
    let mut page = Page::default();
    let mut looked_at = 0;
    loop {
        let (ids, more) = merge(rows, &sources, floor, before)?;
        for id in ids {
            if page.runs.len() == limit || looked_at == looked_at_max {
                page.next = Some(before);
                page.partial = page.runs.len() < limit;
                return Ok(page);
            }
            before = id;
            looked_at += 1;
            if let Some(run) = run_rows::get(rows, id)?
                && filter.matches(&run)
            {
                page.runs.push(run);
            }
        }
        if !more {
            return Ok(page);
        }
    }
}

impl Filter {
    pub fn matches(&self, run: &Run) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.task.as_ref().is_none_or(|task| *task == run.task)
            && self.org.as_ref().is_none_or(|org| *org == run.org)
            && self.env.as_ref().is_none_or(|env| *env == run.env)
            && self.tag.as_ref().is_none_or(|tag| run.tags.contains(tag))
            && self
                .idempotency_key
                .as_ref()
                .is_none_or(|key| run.idempotency_key.as_ref() == Some(key))
            && self.from.is_none_or(|from| run.id >= Id::floor_of(from))
            && self.to.is_none_or(|to| run.id < Id::floor_of(to))
            && self.words.iter().all(|word| mentions(run, word))
    }
}

fn mentions(run: &Run, word: &str) -> bool {
    let error = run.error.iter().chain(&run.last_failure);
    run.id.to_string().starts_with(word)
        || run.task.as_str().contains(word)
        || run.tags.iter().any(|tag| tag.contains(word))
        || run.idempotency_key.as_ref().is_some_and(|key| key.contains(word))
        || error.into_iter().any(|e| e.code.contains(word) || e.message.contains(word))
}

/// The indexes to merge: those of the narrowest condition, judged by the counters.
fn sources(rows: &dyn Rows, filter: &Filter) -> Result<Vec<Key>, Fault> {
    let mut best: (i64, Vec<Key>) = (i64::MAX, vec![run_rows::all()]);
    let mut offer = |size: i64, keys: Vec<Key>| {
        if size < best.0 {
            best = (size, keys);
        }
    };
    if !filter.statuses.is_empty() {
        let mut size = 0;
        for status in &filter.statuses {
            size += counter(rows, &count::all(*status))?;
        }
        offer(size, filter.statuses.iter().map(|s| run_index::by_status(*s)).collect());
    }
    if let Some(task) = &filter.task {
        offer(total(rows, &count::task_statuses(task))?, vec![run_index::by_task(task)]);
    }
    if let Some(org) = &filter.org {
        let envs = match &filter.env {
            Some(env) => vec![env.clone()],
            None => envs_of(rows, org)?,
        };
        if envs.len() <= ENVS_MERGED_MAX {
            let mut size = 0;
            for env in &envs {
                size += total(rows, &count::env_statuses(org, env))?;
            }
            let keys = match &filter.tag {
                Some(tag) => envs.iter().map(|env| run_index::by_tag(org, env, tag)).collect(),
                None => envs.iter().map(|env| run_index::by_env(org, env)).collect(),
            };
            // Runs with a tag are fewer still.
            offer(if filter.tag.is_some() { size / 16 } else { size }, keys);
        }
    } else if let Some(tag) = &filter.tag {
        let envs = count::envs(rows, ENVS_MERGED_MAX + 1)?;
        if envs.len() <= ENVS_MERGED_MAX {
            let keys = envs.iter().map(|(org, env)| run_index::by_tag(org, env, tag)).collect();
            offer(0, keys);
        }
    }
    let mut keys = best.1;
    keys.extend(buffered_sources(rows, filter)?);
    Ok(keys)
}

/// Where runs stand that the buffer has: they are in none of the indexes.
fn buffered_sources(rows: &dyn Rows, filter: &Filter) -> Result<Vec<Key>, Fault> {
    let may_wait = |status: &Status| matches!(status, Status::Delayed | Status::Queued);
    let wanted = filter.statuses.is_empty() || filter.statuses.iter().any(may_wait);
    if !wanted || counter(rows, &count::buffered())? <= 0 {
        return Ok(Vec::new());
    }
    let of_env = |org: &Name, env: &Name| [buffered::queue(org, env), buffered::waits(org, env)];
    Ok(match (&filter.org, &filter.env) {
        (Some(org), Some(env)) => of_env(org, env).to_vec(),
        (Some(org), None) => {
            let envs = envs_of(rows, org)?;
            match envs.len() <= ENVS_MERGED_MAX {
                true => envs.iter().flat_map(|env| of_env(org, env)).collect(),
                false => vec![buffered::all()],
            }
        }
        (None, _) => vec![buffered::all()],
    })
}

fn total(rows: &dyn Rows, scope: &Key) -> Result<i64, Fault> {
    Ok(count::by_status(rows, scope)?.iter().map(|(_, count)| count).sum())
}

fn envs_of(rows: &dyn Rows, org: &Name) -> Result<Vec<Name>, Fault> {
    let all = count::envs_of(rows, org, ENVS_MERGED_MAX + 1)?;
    Ok(all.into_iter().map(|(_, env)| env).collect())
}

/// The next ids below `before` over all sources, newest first, and whether there may be more.
///
/// Each source gives a chunk. Below the end of a full chunk its source may have more, so older
/// ids of the others are left for the next call.
fn merge(
    rows: &dyn Rows,
    sources: &[Key],
    floor: Id,
    before: Id,
) -> Result<(Vec<RunId>, bool), Fault> {
    let mut ids = Vec::new();
    let mut frontier = Id::MIN;
    let mut more = false;
    for source in sources {
        let span = Span::prefix(source)
            .newest_first()
            .from(&source.clone().id(floor))
            .before(&source.clone().id(before));
        if span.is_empty() {
            continue;
        }
        let found = collect(rows, &span, CHUNK)?;
        for (key, _) in &found {
            ids.push(last_id(key)?);
        }
        if found.len() == CHUNK {
            more = true;
            frontier = frontier.max(last_id(&found[CHUNK - 1].0)?);
        }
    }
    ids.retain(|id| *id >= frontier);
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    Ok((ids, more))
}

#[cfg(test)]
mod tests;
