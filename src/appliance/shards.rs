//! Sharded runs as callers and the duty see them: planned whole, dispatched in slices, told with
//! their counters.

use std::ops::Range;

use crate::base::hash::Fnv;
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Span;
use crate::ledger::runs::submit::no_task;
use crate::ledger::shards::dispatch;
use crate::ledger::shards::plan::{
    self, PAYLOAD_FRAME_BYTES, PLANNED_AT_ONCE_MAX, PLANNED_BYTES_MAX, Part, Plan, Planned,
};
use crate::ledger::shards::{save, told};
use crate::model::refusal::{Class, Code, Refusal};
use crate::model::shard::{Phase, SHARDS_MAX, Shard, ShardedRun, Wishes, sizes};
use crate::store::fault::Stop;
use crate::store::kinds::{sharded as heads, task as task_rows};
use crate::store::tx::Tx;

use super::runs::Scope;
use super::{Appliance, stop_to_refusal, unreadable};

pub use crate::ledger::shards::dispatch::Slice;
pub use crate::ledger::shards::told::{
    ERRORS_TOLD_MAX, Filter, PAGE_MAX, SHARDS_PAGE_MAX, Told, ToldShard,
};

/// Shards that one transaction of a request gives their runs: it holds the writer for a few
/// milliseconds.
const SLICE_SHARDS_MAX: usize = 100;
/// A request dispatches so many shards itself before it answers; what is more is left to the duty.
pub const BY_REQUEST_MAX: usize = 500;
/// How often a part of a plan is tried again while the queue of writes is full, and how long it
/// waits before.
const PART_TRIES_MAX: u32 = 40;
const PART_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
/// A plan that was not sealed for so long is given up.
const PLAN_AGE_MAX: Span = Span::from_mins(10);

/// A valid request for a sharded run.
#[derive(Clone, Debug)]
pub struct Request {
    pub task: Name,
    pub org: Name,
    pub env: Name,
    /// The text of an array, and where its items stand in it.
    pub text: Vec<u8>,
    pub items: Vec<Range<usize>>,
    pub shard_size: Option<u32>,
    pub window: Option<String>,
    pub idempotency_key: Option<String>,
    pub wishes: Wishes,
}

impl Request {
    fn plan(&self, of_task: Option<u32>) -> Plan {
        let shard_size = plan::shard_size(self.shard_size, of_task);
        Plan {
            task: self.task.clone(),
            org: self.org.clone(),
            env: self.env.clone(),
            shard_size,
            items: self.items.len() as u32,
            shards: sizes(self.items.len(), shard_size).count() as u32,
            window: self.window.clone(),
            schedule: None,
            idempotency_key: self.idempotency_key.clone(),
            fingerprint: Fnv::default()
                .write(self.task.as_str().as_bytes())
                .write(&[0])
                .write_json(&self.text)
                .finish(),
            wishes: self.wishes.clone(),
        }
    }

    /// The items of each shard, in order.
    fn parts(&self, shard_size: u32) -> impl Iterator<Item = Part> {
        plan::cut(&self.text, &self.items, shard_size)
    }
}

/// A sharded run as it was just made, or found.
#[derive(Clone, Debug)]
pub struct Sharded {
    pub told: Told,
    pub cached: bool,
}

impl Appliance {
    /// Plans a sharded run and gives its first shards their runs; or goes on with the one that has
    /// the window or key of the request.
    pub async fn shard(&self, request: Request) -> Result<Sharded, Refusal> {
        let view = self.snapshot()?;
        let task = task_rows::get(&view, &request.task).map_err(unreadable)?;
        let plan = request.plan(task.as_ref().and_then(|task| task.shard_size));
        let known = plan::known(&view, &plan, self.now()).map_err(stop_to_refusal)?;
        if let Some(known) = known {
            return self.go_on(known).await;
        }
        task.ok_or_else(|| no_task(&request.task))?;
        self.check_sizes(&request, &plan)?;
        // A caller that hangs up must not leave half a plan.
        let appliance = self.clone();
        let whole = tokio::spawn(async move {
            let planned = appliance.plan_whole(&request, plan).await?;
            match planned.cached {
                true => appliance.go_on(planned.head).await,
                false => appliance.dispatch_first(planned.head.id, false).await,
            }
        });
        whole.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a plan ended badly");
            Err(Refusal::new(Code::Internal, "a defect of tidegate; its log says more"))
        })
    }

    fn check_sizes(&self, request: &Request, plan: &Plan) -> Result<(), Refusal> {
        if plan.shards as usize > SHARDS_MAX {
            let message = format!(
                "{} items in shards of {} are {} shards, at most {SHARDS_MAX} are taken",
                plan.items, plan.shard_size, plan.shards
            );
            return Err(Refusal::field("shard_size", message));
        }
        let most = self.settings().payload_bytes_max - PAYLOAD_FRAME_BYTES;
        let large = |(_, part): &(usize, Part)| part.text.len() > most;
        if let Some((index, part)) = request.parts(plan.shard_size).enumerate().find(large) {
            let bytes = part.text.len();
            let message = format!(
                "the items of shard {index} have {bytes} bytes, at most {most} are taken: make \
                 shards smaller"
            );
            let details = serde_json::json!({ "field": "items", "bytes_max": most });
            return Err(Refusal::new(Code::TooLarge, message).with_details(details));
        }
        Ok(())
    }

    /// Writes the whole plan, in one transaction or in parts.
    async fn plan_whole(&self, request: &Request, plan: Plan) -> Result<Planned, Refusal> {
        let mut groups = grouped(request.parts(plan.shard_size));
        let first = groups.next().unwrap_or_default();
        let Some(second) = groups.next() else {
            let bytes = bytes_of(&first);
            return self.call_sized(bytes, move |tx| plan::plan(tx, plan, first)).await;
        };
        let begun = self.call(move |tx| plan::begin(tx, plan)).await?;
        if begun.cached {
            return Ok(begun);
        }
        let id = begun.head.id;
        let written = async {
            let mut from = 0;
            for group in [first, second].into_iter().chain(groups) {
                let count = group.len() as u32;
                self.add(id, from, group).await?;
                from += count;
            }
            self.patiently(0, move |tx| plan::seal(tx, id)).await
        };
        let sealed = written.await;
        if !matches!(&sealed, Ok(planned) if !planned.cached) {
            self.give_up(id).await;
        }
        sealed
    }

    async fn add(&self, id: Id, from: u32, parts: Vec<Part>) -> Result<(), Refusal> {
        let bytes = bytes_of(&parts);
        self.patiently(bytes, move |tx| plan::add(tx, id, from, parts.clone())).await
    }

    /// Tries an act again while the queue of writes is full.
    async fn patiently<T: Send + 'static>(
        &self,
        bytes: usize,
        act: impl Fn(&mut Tx<'_>) -> Result<T, Stop> + Clone + Send + 'static,
    ) -> Result<T, Refusal> {
        let mut tries = 0;
        loop {
            match self.call_sized(bytes, act.clone()).await {
                Err(refusal) if refusal.code.class() == Class::Busy && tries < PART_TRIES_MAX => {
                    tries += 1;
                    tokio::time::sleep(PART_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// Removes a plan that was not sealed; what is left of it when that fails goes later.
    async fn give_up(&self, id: Id) {
        while let Ok(true) = self.patiently(0, move |tx| plan::discard(tx, id)).await {}
    }

    /// Removes plans that nobody writes any more: all of them at the start, before a door is open,
    /// and later those that are old. Gives whether there is more to remove.
    pub async fn discard_plans(&self, at_start: bool) -> Result<bool, Refusal> {
        let Some(id) = heads::oldest_plan(&self.snapshot()?).map_err(unreadable)? else {
            return Ok(false);
        };
        if !at_start && self.now().since(id.time()) < PLAN_AGE_MAX {
            return Ok(false);
        }
        self.call(move |tx| plan::discard(tx, id)).await?;
        Ok(true)
    }

    /// A request that was made before: its sharded run goes on, if it has anything to go on with.
    async fn go_on(&self, head: ShardedRun) -> Result<Sharded, Refusal> {
        let id = head.id;
        if head.held > 0 {
            self.call(move |tx| dispatch::resume(tx, id)).await?;
        }
        self.dispatch_first(id, true).await
    }

    /// Dispatches what a request waits for. What is there is on disk: whatever keeps dispatch from
    /// going on, the caller is told of it.
    async fn dispatch_first(&self, id: Id, cached: bool) -> Result<Sharded, Refusal> {
        let mut more = heads::get(&self.snapshot()?, id)
            .map_err(unreadable)?
            .is_some_and(|head| head.phase == Phase::Dispatching);
        let mut slices = BY_REQUEST_MAX / SLICE_SHARDS_MAX;
        while more && slices > 0 {
            match self.dispatch_slice(id, SLICE_SHARDS_MAX).await {
                Ok(slice) => more = slice.more,
                Err(refusal) => {
                    tracing::warn!(%refusal, "a request leaves its shards to the duty");
                    break;
                }
            }
            slices -= 1;
        }
        if more {
            self.shards_wake.notify_one();
        }
        let view = self.snapshot()?;
        let head = save::must_get_head(&view, id).map_err(stop_to_refusal)?;
        Ok(Sharded { told: told::tell(&view, head).map_err(unreadable)?, cached })
    }

    /// Gives the next shards of a sharded run their runs, at most `most`.
    pub async fn dispatch_slice(&self, id: Id, most: usize) -> Result<Slice, Refusal> {
        self.call(move |tx| dispatch::dispatch(tx, id, most)).await
    }

    /// The sharded run that dispatch looks at after the given one.
    pub fn next_to_dispatch(&self, after: Option<Id>) -> Result<Option<Id>, Refusal> {
        heads::next_open(&self.snapshot()?, after).map_err(unreadable)
    }

    /// Wakes the duty that dispatches.
    pub fn shards_wake(&self) -> &tokio::sync::Notify {
        &self.shards_wake
    }

    /// Tries the shards again that have no run.
    pub async fn resume_sharded(&self, id: Id, scope: &Scope) -> Result<Sharded, Refusal> {
        let told = self.sharded(id, scope)?;
        self.go_on(told.head).await
    }

    /// A sharded run with its counters.
    pub fn sharded(&self, id: Id, scope: &Scope) -> Result<Told, Refusal> {
        let view = self.snapshot()?;
        let head = save::must_get_head(&view, id).map_err(stop_to_refusal)?;
        let admits = scope.org.as_ref().is_none_or(|org| *org == head.org)
            && scope.env.as_ref().is_none_or(|env| *env == head.env);
        if !admits {
            return Err(save::not_found(&id.to_string()));
        }
        told::tell(&view, head).map_err(unreadable)
    }

    /// A page of its shards, and the index where the next page begins.
    pub fn shards(
        &self,
        id: Id,
        from: u32,
        limit: usize,
    ) -> Result<(Vec<ToldShard>, Option<u32>), Refusal> {
        told::shards(&self.snapshot()?, id, from, limit).map_err(unreadable)
    }

    /// The first of its shards with an error.
    pub fn shard_errors(&self, id: Id) -> Result<Vec<Shard>, Refusal> {
        told::errors(&self.snapshot()?, id).map_err(unreadable)
    }

    /// A page of sharded runs, newest first, and where the next page begins.
    pub fn sharded_runs(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<Id>,
    ) -> Result<(Vec<Told>, Option<Id>), Refusal> {
        told::list(&self.snapshot()?, filter, limit, before).map_err(unreadable)
    }
}

fn bytes_of(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.text.len()).sum()
}

/// Parts that one transaction plans.
fn grouped(parts: impl Iterator<Item = Part>) -> impl Iterator<Item = Vec<Part>> {
    let mut parts = parts.peekable();
    std::iter::from_fn(move || {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < PLANNED_AT_ONCE_MAX
            && let Some(part) =
                parts.next_if(|part| bytes == 0 || bytes + part.text.len() <= PLANNED_BYTES_MAX)
        {
            bytes += part.text.len();
            group.push(part);
        }
        (!group.is_empty()).then_some(group)
    })
}
