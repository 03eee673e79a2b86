//! Batches and their runs, page by page, in bounded work.

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::model::batch::Batch;
use crate::model::run::Status;
use crate::store::fault::Fault;
use crate::store::key::last_id;
use crate::store::kinds::{batch as batches, count, run as run_rows};
use crate::store::rows::{Rows, Span, collect};

use super::list::{self, LOOKED_AT_MAX};

/// Most batches of a page.
pub const PAGE_MAX: usize = 200;
/// Rows fetched at a time.
const CHUNK: usize = 64;

/// A batch, and how many of its runs stand where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub batch: Batch,
    /// Statuses that count 0 are left out.
    pub counts: Vec<(Status, u64)>,
}

impl Counted {
    pub fn of(rows: &dyn Rows, batch: Batch) -> Result<Counted, Fault> {
        Ok(Counted { counts: count::batch_statuses(rows, batch.id)?, batch })
    }

    /// Runs that have not ended.
    pub fn open(&self) -> u64 {
        self.sum(|status| !status.is_final())
    }

    /// Runs that a cancellation still has to reach.
    pub fn cancelable(&self) -> u64 {
        self.sum(|status| !status.is_final() && status != Status::Canceling) + self.unmade()
    }

    /// Runs that are still to be made: all of them are counted once the batch is whole.
    pub fn unmade(&self) -> u64 {
        u64::from(self.batch.total).saturating_sub(self.sum(|_| true))
    }

    fn sum(&self, which: impl Fn(Status) -> bool) -> u64 {
        self.counts.iter().filter(|(status, _)| which(*status)).map(|(_, count)| count).sum()
    }
}

/// Which batches.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub org: Option<Name>,
    pub env: Option<Name>,
    pub done: Option<bool>,
}

impl Filter {
    fn matches(&self, batch: &Batch) -> bool {
        self.org.as_ref().is_none_or(|org| *org == batch.org)
            && self.env.as_ref().is_none_or(|env| *env == batch.env)
            && self.done.is_none_or(|done| done == batch.is_done())
    }
}

/// A page of batches.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub batches: Vec<Counted>,
    /// Where the next page begins; `None` when there is nothing more.
    pub next: Option<Id>,
}

/// Batches that match, newest first.
pub fn list(
    rows: &dyn Rows,
    filter: &Filter,
    limit: usize,
    before: Option<Id>,
) -> Result<Page, Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    let (mut page, mut before, mut looked_at) = (Page::default(), before, 0);
    loop {
        let mut span = Span::prefix(&batches::all()).newest_first();
        if let Some(id) = before {
            span = span.before(&batches::all().id(id));
        }
        let found = if span.is_empty() { Vec::new() } else { collect(rows, &span, CHUNK)? };
        for (key, value) in &found {
            if page.batches.len() == limit || looked_at == LOOKED_AT_MAX {
                page.next = before;
                return Ok(page);
            }
            let id = last_id(key)?;
            (before, looked_at) = (Some(id), looked_at + 1);
            let batch = batches::read(id, value)?;
            if batch.sealed_at.is_some() && filter.matches(&batch) {
                page.batches.push(Counted::of(rows, batch)?);
            }
        }
        if found.len() < CHUNK {
            return Ok(page);
        }
    }
}

/// The runs that a batch made, in its order. The cursor holds the index of the next item.
pub fn runs(
    rows: &dyn Rows,
    filter: &list::Filter,
    batch: Id,
    limit: usize,
    cursor: Option<RunId>,
) -> Result<list::Page, Fault> {
    let mut from = cursor.map_or(0, index_of);
    let (mut page, mut looked_at) = (list::Page::default(), 0);
    loop {
        let items = batches::items(rows, batch, from, CHUNK)?;
        for item in &items {
            if page.runs.len() == limit || looked_at == LOOKED_AT_MAX {
                page.next = Some(cursor_at(item.index));
                page.partial = page.runs.len() < limit;
                return Ok(page);
            }
            (from, looked_at) = (item.index + 1, looked_at + 1);
            if item.own
                && let Some(run) = run_rows::get(rows, item.run)?
                && filter.matches(&run)
            {
                page.runs.push(run);
            }
        }
        if items.len() < CHUNK {
            return Ok(page);
        }
    }
}

fn cursor_at(index: u32) -> RunId {
    Id(u128::from(index).to_be_bytes())
}

/// The index in a cursor; one that was made elsewhere is behind every batch.
fn index_of(cursor: RunId) -> u32 {
    u32::try_from(u128::from_be_bytes(cursor.0)).unwrap_or(u32::MAX)
}
