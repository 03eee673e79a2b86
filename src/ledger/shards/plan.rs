//! Planning: every shard with its items is written before any of them gets a run.
//!
//! A small plan is one transaction. A large one is written a part at a time under a head that
//! nobody sees, and a last transaction seals it: before that there is nothing, after it everything.
//! What a crash leaves of a plan that was not sealed is removed, since nobody was told of it.

use std::ops::Range;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::Time;
use crate::ledger::runs::submit::{IDEMPOTENCY_KEPT, no_task};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Status;
use crate::model::shard::{
    Phase, SHARD_SIZE_DEFAULT, SHARD_SIZE_MAX, Shard, ShardState, ShardedRun, Wishes, sizes,
};
use crate::store::fault::Stop;
use crate::store::kinds::run::{self as run_rows, Body};
use crate::store::kinds::sharded::{self as heads, Unique};
use crate::store::kinds::{count, shard as rows, task as task_rows};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::save;

/// Shards that one transaction plans: it holds the writer for some milliseconds.
pub const PLANNED_AT_ONCE_MAX: usize = 500;
/// Deliveries that are removed at once with the shards they were for.
const DISCARDED_MAX: usize = 2_048;
/// Bytes of items that one transaction plans, beyond its first shard.
pub const PLANNED_BYTES_MAX: usize = 2 << 20;

/// A valid request for a sharded run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub task: Name,
    pub org: Name,
    pub env: Name,
    /// That of the request, else of the task, else the default.
    pub shard_size: u32,
    pub items: u32,
    pub shards: u32,
    /// One sharded run for each window of the task, or of the schedule when there is one.
    pub window: Option<String>,
    pub schedule: Option<String>,
    pub idempotency_key: Option<String>,
    pub fingerprint: u64,
    pub wishes: Wishes,
}

impl Plan {
    fn window(&self) -> Option<Unique<'_>> {
        let window = self.window.as_deref()?;
        Some(match &self.schedule {
            Some(schedule) => Unique::Schedule(&self.org, schedule, window),
            None => Unique::Task(&self.org, &self.task, window),
        })
    }

    /// Whatever it is the only one of.
    pub(super) fn uniques(&self) -> impl Iterator<Item = Unique<'_>> {
        [self.window(), self.key()].into_iter().flatten()
    }

    fn key(&self) -> Option<Unique<'_>> {
        Some(Unique::Key(&self.org, &self.env, self.idempotency_key.as_deref()?))
    }
}

/// The items of one shard.
#[derive(Clone, Debug)]
pub struct Part {
    pub size: u32,
    /// A JSON array.
    pub text: Vec<u8>,
}

/// The items of each shard, in order; `items` says where each of them stands in the text of an
/// array.
pub fn cut(text: &[u8], items: &[Range<usize>], shard_size: u32) -> impl Iterator<Item = Part> {
    let mut from = 0;
    sizes(items.len(), shard_size).map(move |size| {
        let of_shard = &items[from..from + size];
        from += size;
        // What stands between the items of an array are its commas.
        let inside = &text[of_shard[0].start..of_shard[size - 1].end];
        Part { size: size as u32, text: [b"[", inside, b"]"].concat() }
    })
}

/// What a plan came to.
#[derive(Clone, Debug)]
pub struct Planned {
    pub head: ShardedRun,
    /// It was there already; its window or key says so.
    pub cached: bool,
}

/// The size of shards: what is asked for, else what the task says. Both are checked where they come
/// in; whatever stands there, a shard has at least one item.
pub fn shard_size(asked: Option<u32>, of_task: Option<u32>) -> u32 {
    asked.or(of_task).unwrap_or(SHARD_SIZE_DEFAULT).clamp(1, SHARD_SIZE_MAX)
}

/// The sharded run that a window or a key belongs to. A window decides alone: whatever else a
/// repeat brings, there is one for it.
pub fn known(rows: &dyn Rows, plan: &Plan, now: Time) -> Result<Option<ShardedRun>, Stop> {
    if let Some(window) = plan.window()
        && let Some(bound) = heads::bound(rows, window)?
        && let Some(found) = heads::get(rows, bound.sharded())?
    {
        return Ok(Some(found));
    }
    let Some(key) = plan.key() else { return Ok(None) };
    let Some(bound) = heads::bound(rows, key)? else { return Ok(None) };
    if now.since(bound.bound_at()) >= IDEMPOTENCY_KEPT {
        return Ok(None);
    }
    let Some(found) = heads::get(rows, bound.sharded())? else { return Ok(None) };
    if bound.fingerprint != plan.fingerprint {
        let text = quote(plan.idempotency_key.as_deref().unwrap_or_default());
        let message =
            format!("idempotency key {text} belongs to a sharded run with other items or task");
        return Err(Refusal::new(Code::IdempotencyMismatch, message)
            .with_details(serde_json::json!({ "sharded_run": found.id }))
            .into());
    }
    Ok(Some(found))
}

/// Begins a plan that is written in parts; gives what there is when it is known already.
pub fn begin(tx: &mut Tx<'_>, plan: Plan) -> Result<Planned, Stop> {
    if let Some(head) = known(tx, &plan, tx.now())? {
        return Ok(Planned { head, cached: true });
    }
    if task_rows::get(tx, &plan.task)?.is_none() {
        return Err(no_task(&plan.task).into());
    }
    let head = ShardedRun {
        id: tx.mint(),
        phase: Phase::Planning,
        task: plan.task,
        org: plan.org,
        env: plan.env,
        created_at: tx.now(),
        finished_at: None,
        items: plan.items,
        shards: plan.shards,
        shard_size: plan.shard_size,
        window: plan.window,
        schedule: plan.schedule,
        idempotency_key: plan.idempotency_key,
        fingerprint: plan.fingerprint,
        wishes: plan.wishes,
        next: 0,
        retry_from: None,
        held: 0,
        error: None,
    };
    heads::put(tx, &head);
    Ok(Planned { head, cached: false })
}

/// Writes the next shards of a plan.
pub fn add(tx: &mut Tx<'_>, id: Id, from: u32, parts: Vec<Part>) -> Result<(), Stop> {
    let mut head = unfinished(tx, id)?;
    if head.next != from {
        let message = format!("shards from {} on are wanted, not from {from}", head.next);
        return Err(Refusal::new(Code::Conflict, message).into());
    }
    for Part { size, text } in parts {
        let shard = Shard {
            sharded: id,
            index: head.next,
            size,
            state: ShardState::Planned,
            planned_run: tx.mint(),
            run: None,
            dispatched_at: None,
            error: None,
            ended: None,
        };
        let payload = payload(&text, &head, shard.index);
        run_rows::put_body(tx, shard.planned_run, &Body { payload: Some(payload), context: None });
        save::create(tx, &shard);
        head.next += 1;
    }
    heads::put(tx, &head);
    Ok(())
}

/// What the run of a shard is given to work on.
fn payload(items: &[u8], head: &ShardedRun, index: u32) -> Vec<u8> {
    let (id, count) = (head.id, head.shards);
    let frame = format!(r#","shard":{{"sharded_run":"{id}","index":{index},"count":{count}}}}}"#);
    [br#"{"items":"#, items, frame.as_bytes()].concat()
}

/// Bytes that a payload has beyond its items.
pub const PAYLOAD_FRAME_BYTES: usize = 128;

/// Makes a plan true. When another one of its window or key was faster, that is the one, and this
/// plan is left to be discarded.
pub fn seal(tx: &mut Tx<'_>, id: Id) -> Result<Planned, Stop> {
    let mut head = unfinished(tx, id)?;
    if head.next != head.shards {
        let (next, all) = (head.next, head.shards);
        let message = format!("{next} of {all} shards are planned: a part of a plan is no plan");
        return Err(Refusal::new(Code::Conflict, message).into());
    }
    let plan = plan_of(&head);
    if let Some(head) = known(tx, &plan, tx.now())? {
        return Ok(Planned { head, cached: true });
    }
    heads::remove_plan(tx, id);
    for unique in plan.uniques() {
        heads::bind(tx, unique, &head);
    }
    tx.count(count::shards_open(id), i64::from(head.shards));
    head.next = 0;
    if head.shards == 0 {
        // Nothing to do is done at once: no shard, no run, no delivery.
        save::settle_phase(tx, &mut head)?;
    } else {
        head.phase = Phase::Dispatching;
        heads::open(tx, id);
    }
    heads::put(tx, &head);
    tx.notify(Notice::Page);
    Ok(Planned { head, cached: false })
}

/// A whole plan in the transaction of the caller: a schedule whose time has come, a request with
/// few items. There is one sharded run for each (org, schedule, window), or (org, task, window);
/// whoever comes again is given that one, and it is resumed if some of its shards have no run.
pub fn plan(tx: &mut Tx<'_>, plan: Plan, parts: Vec<Part>) -> Result<Planned, Stop> {
    if parts.len() > PLANNED_AT_ONCE_MAX {
        let message = format!(
            "{} shards, at most {PLANNED_AT_ONCE_MAX} are planned at once: make them larger",
            parts.len()
        );
        return Err(Refusal::field("shard_size", message).into());
    }
    let begun = begin(tx, plan)?;
    if begun.cached {
        let head = super::dispatch::resume(tx, begun.head.id)?;
        return Ok(Planned { head, cached: true });
    }
    add(tx, begun.head.id, 0, parts)?;
    seal(tx, begun.head.id)
}

/// Removes a part of a plan that was not sealed, or whose time is over; gives whether there is more
/// of it. From the end, so that what is left is the beginning of a plan.
pub fn discard(tx: &mut Tx<'_>, id: Id) -> Result<bool, Stop> {
    let Some(mut head) = heads::plan(tx, id)? else { return Ok(false) };
    let from = head.next.saturating_sub(PLANNED_AT_ONCE_MAX as u32);
    let mut room = DISCARDED_MAX;
    for shard in rows::list(tx, id, from, (head.next - from) as usize)?.iter().rev() {
        if !save::discard(tx, shard, &mut room)? {
            break;
        }
        head.next = shard.index;
    }
    match head.next {
        0 => {
            heads::remove_plan(tx, id);
            // What its runs were counted as goes with the last shard.
            count::clear(tx, Status::ALL.map(|status| count::sharded_runs(id, status)))?;
        }
        _ => heads::put(tx, &head),
    }
    Ok(head.next > 0)
}

fn unfinished(rows: &dyn Rows, id: Id) -> Result<ShardedRun, Stop> {
    Ok(heads::plan(rows, id)?.ok_or_else(|| {
        Refusal::new(Code::Conflict, format!("the plan of {id} is sealed, or was given up"))
    })?)
}

pub(super) fn plan_of(head: &ShardedRun) -> Plan {
    Plan {
        task: head.task.clone(),
        org: head.org.clone(),
        env: head.env.clone(),
        shard_size: head.shard_size,
        items: head.items,
        shards: head.shards,
        window: head.window.clone(),
        schedule: head.schedule.clone(),
        idempotency_key: head.idempotency_key.clone(),
        fingerprint: head.fingerprint,
        wishes: head.wishes.clone(),
    }
}
