//! Acts of the burst buffer, looked at from within their transaction: what stood there before and
//! what stands there after tells what an answer alone does not.
//!
//! - A full buffer refuses, one that has room does not; both are counted again from the heads.
//! - A slice takes as many as it may, oldest first within each env, and whatever it takes is either
//!   a run with all that its head said, or backs off.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::ledger::batches::create;
use tidegate::ledger::buffer::accept::{Accepted, Caps, HEAD_BYTES, accept};
use tidegate::ledger::buffer::drain::{BUFFER_FAILED, Drained, drain};
use tidegate::ledger::buffer::rotate::{Pick, Rotation, plan};
use tidegate::ledger::runs::submit::{Receipt, Submit};
use tidegate::model::refusal::Code;
use tidegate::model::run::{Run, Status};
use tidegate::store::fault::{Fault, Stop};
use tidegate::store::key::{Key, last_id};
use tidegate::store::kinds::batch as batch_rows;
use tidegate::store::kinds::buffered::{self, Entry, Held};
use tidegate::store::kinds::count;
use tidegate::store::kinds::run::{self as run_rows, Body};
use tidegate::store::rows::{Rows, Span, collect_keys};
use tidegate::store::tables::Table;
use tidegate::store::tx::Tx;

use crate::batches;
use crate::lost::{Lost, dead, lost};

/// Org and env.
pub type Env = (Name, Name);

pub type Heads = BTreeMap<RunId, Entry>;

/// What one slice of the drain did.
#[derive(Debug)]
pub struct Slice {
    pub drained: Drained,
    /// Behind this slice.
    pub rotation: Rotation,
    /// How many stood in the queue of each env before it.
    pub stood: BTreeMap<Env, usize>,
    /// What it took, in order.
    pub took: Vec<Pick>,
}

/// Every entry of the buffer whose head can be read.
pub fn heads(rows: &dyn Rows) -> Result<Heads, Fault> {
    Ok(stock(rows)?.0)
}

/// Every entry of the buffer, and those whose head cannot be read.
pub fn stock(rows: &dyn Rows) -> Result<(Heads, BTreeMap<RunId, Lost>), Fault> {
    let all = collect_keys(rows, &Span::prefix(&buffered::all()), usize::MAX)?;
    let (mut found, mut unreadable) = (Heads::new(), BTreeSet::new());
    for key in all {
        let id = last_id(&key)?;
        match buffered::held(rows, id)? {
            Some(Held::Entry(entry)) => drop(found.insert(id, *entry)),
            Some(Held::Unreadable(..)) => drop(unreadable.insert(id)),
            None => {}
        }
    }
    Ok((found, lost(rows, &unreadable)?))
}

/// Env and bytes of every entry, readable or not.
pub fn weights(rows: &dyn Rows) -> Result<Vec<(Env, u64)>, Fault> {
    let env = |run: &Run| (run.org.clone(), run.env.clone());
    let (readable, lost) = stock(rows)?;
    let readable = readable.into_values().map(|entry| (env(&entry.run), entry.bytes));
    Ok(readable.chain(lost.into_values().map(|lost| (lost.env, lost.bytes))).collect())
}

/// What an entry with this body counts for.
pub fn bytes_of(body: &Body) -> u64 {
    let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, |part| part.len() as u64);
    HEAD_BYTES + length(&body.payload) + length(&body.context)
}

/// Why nothing more of this size fits, as the heads alone say it.
fn is_full(
    taken: &[Room],
    (env, entries, bytes): (&Env, u64, u64),
    caps: &Caps,
) -> Option<&'static str> {
    let of_env = || taken.iter().filter(|room| room.0 == *env);
    let sum = |rooms: &mut dyn Iterator<Item = &Room>| rooms.map(|room| room.1).sum::<u64>();
    if taken.len() as u64 + entries > caps.total_max {
        Some("entries in all")
    } else if sum(&mut taken.iter()) + bytes > caps.total_bytes_max {
        Some("bytes in all")
    } else if of_env().count() == 0 && entries == 1 {
        None
    } else if of_env().count() as u64 + entries > caps.env_max {
        Some("entries of the env")
    } else if sum(&mut of_env()) + bytes > caps.env_bytes_max {
        Some("bytes of the env")
    } else {
        None
    }
}

/// What an entry takes up, or one that a batch will write.
type Room = (Env, u64);

/// All room that is taken.
fn taken(rows: &dyn Rows) -> Result<Vec<Room>, Fault> {
    let mut all = weights(rows)?;
    for (run, bytes) in batches::reserved(rows)? {
        all.push(((run.org, run.env), bytes));
    }
    Ok(all)
}

/// A seal takes all of the room that its batch needs, or none.
pub fn seal_and_look(tx: &mut Tx<'_>, id: Id, caps: Option<&Caps>) -> Result<(), Stop> {
    let full = match (batch_rows::get(tx, id)?, caps) {
        (Some(batch), Some(caps)) if batch.total > 0 => {
            let env = (batch.org.clone(), batch.env.clone());
            is_full(&taken(tx)?, (&env, batch.total.into(), batch.bytes), caps)
        }
        _ => None,
    };
    match create::seal(tx, id, caps) {
        Ok(_) => {
            assert_eq!(full, None, "batch {id} was taken into a full buffer");
            Ok(())
        }
        Err(Stop::Refused(refusal)) if refusal.code == Code::LimitBuffer => {
            assert!(full.is_some(), "refused without a reason: {refusal}");
            Err(refusal.into())
        }
        Err(other) => Err(other),
    }
}

pub fn accept_and_look(tx: &mut Tx<'_>, submit: Submit, caps: &Caps) -> Result<Receipt, Stop> {
    let of = (submit.org.clone(), submit.env.clone());
    let full = is_full(&taken(tx)?, (&of, 1, bytes_of(&submit.body)), caps);
    let env = count::buffered_of(&submit.org, &submit.env);
    let answer = accept(tx, submit, caps);
    match &answer {
        Ok(Accepted { receipt, waiting: Some(waiting) }) => {
            assert_eq!(full, None, "{} was taken into a full buffer", receipt.run.id);
            assert!(receipt.run.buffered && !receipt.cached, "{} waits", receipt.run.id);
            assert_eq!(*waiting as i64, tx.counter(&env)?, "runs that wait");
        }
        Err(Stop::Refused(refusal)) if refusal.code == Code::LimitBuffer => {
            assert!(full.is_some(), "refused without a reason: {refusal}");
        }
        _ => {}
    }
    answer.map(|accepted| accepted.receipt)
}

pub fn drain_and_look(
    tx: &mut Tx<'_>,
    rotation: Rotation,
    count: usize,
    attempts_max: u32,
) -> Result<Slice, Stop> {
    let (before, lost_before) = stock(tx)?;
    let mut stood: BTreeMap<Env, usize> = BTreeMap::new();
    for lost in lost_before.values().filter(|lost| !lost.backs_off) {
        *stood.entry(lost.env.clone()).or_default() += 1;
    }
    for entry in before.values().filter(|entry| entry.waits_until.is_none()) {
        *stood.entry((entry.run.org.clone(), entry.run.env.clone())).or_default() += 1;
    }
    let took = plan(tx, &mut rotation.clone(), count)?;
    let (drained, rotation) = drain(tx, rotation, count, attempts_max)?;
    let (after, lost_after) = stock(tx)?;
    let slice = Slice { drained, rotation, stood, took };
    let buried = slice.took.iter().filter(|pick| lost_before.contains_key(&pick.run));
    slice.check_counts(count, buried.count());
    check_order(&before, &after);
    let dead = dead(tx)?;
    for pick in &slice.took {
        if let Some(lost) = lost_before.get(&pick.run) {
            assert_eq!(dead.get(&pick.run), Some(&lost.env), "{} is nowhere", pick.run);
            assert!(!lost_after.contains_key(&pick.run), "{} is still in its place", pick.run);
            continue;
        }
        let entry = before.get(&pick.run).unwrap_or_else(|| panic!("{} was no entry", pick.run));
        check_way_out(tx, entry, after.get(&pick.run), attempts_max)?;
    }
    for (id, entry) in before.iter().filter(|(id, _)| !slice.has(**id)) {
        assert_eq!(after.get(id), Some(entry), "{id} was not its turn and changed");
    }
    assert!(after.keys().all(|id| before.contains_key(id)), "a drain made an entry");
    Ok(slice)
}

impl Slice {
    fn has(&self, id: RunId) -> bool {
        self.took.iter().any(|pick| pick.run == id)
    }

    fn check_counts(&self, count: usize, buried: usize) {
        let all: usize = self.stood.values().sum();
        let drained = &self.drained;
        assert_eq!(self.took.len(), count.min(all), "a slice of {count} of {all}");
        assert_eq!(drained.total(), self.took.len(), "{drained:?} of {:?}", self.took);
        assert_eq!((drained.dead, drained.gone), (buried, 0), "{drained:?}");
        let by_env: u32 = drained.envs.values().sum();
        assert_eq!(by_env as usize, self.took.len(), "{drained:?}");
    }
}

/// Nobody who never failed is passed by a younger one of the same env.
fn check_order(before: &Heads, after: &Heads) {
    let mut stays: BTreeMap<(&Name, &Name), RunId> = BTreeMap::new();
    for (id, entry) in before.iter().filter(|(_, entry)| entry.attempts == 0) {
        let env = (&entry.run.org, &entry.run.env);
        if after.get(id) == Some(entry) {
            stays.entry(env).or_insert(*id);
        } else if let Some(older) = stays.get(&env) {
            panic!("{id} left the buffer before {older}");
        }
    }
}

/// An entry whose turn it was is a run now, or backs off.
fn check_way_out(
    tx: &Tx<'_>,
    entry: &Entry,
    after: Option<&Entry>,
    attempts_max: u32,
) -> Result<(), Fault> {
    let id = entry.run.id;
    let is_run = tx.get(run_rows::key(id).bytes())?.is_some();
    assert_eq!(is_run, after.is_none(), "{id}: among the runs, and {after:?} in the buffer");
    let run = match after {
        Some(after) => {
            assert_eq!(after.attempts, entry.attempts + 1, "{id} backs off");
            assert!(after.attempts < attempts_max, "{id} is tried for ever: {after:?}");
            assert!(after.waits_until.is_some_and(|at| at > tx.now()), "{id}: {after:?}");
            assert!(after.last_error.is_some() && entry.waits_until.is_none(), "{id}: {after:?}");
            assert_eq!(after.run, entry.run, "{id} backs off and changes");
            return Ok(());
        }
        None => run_rows::get(tx, id)?.unwrap_or_else(|| panic!("{id} is lost")),
    };
    let expected = Run {
        status: run.status,
        finished_at: run.finished_at,
        mirror: run.mirror,
        error: run.error.clone(),
        entry: run.entry,
        buffered: false,
        ..entry.run.clone()
    };
    assert_eq!(run, expected, "{id} became another run than was accepted");
    let code = run.error.as_ref().map(|error| &*error.code);
    match run.status {
        Status::Delayed => assert!(run.due_at > tx.now(), "{id} is delayed for nothing"),
        // The clock may have been set back since it was queued.
        Status::Queued if entry.run.status == Status::Queued => {}
        Status::Queued => assert!(run.due_at <= tx.now(), "{id} is queued too early"),
        Status::Expired => assert!(run.expires_at.is_some_and(|at| at <= tx.now()), "{id}"),
        Status::SystemFailure => assert_eq!(code, Some(BUFFER_FAILED), "{id}"),
        other => panic!("{id} left the buffer as {}", other.as_str()),
    }
    Ok(())
}

/// The places in a table whose keys end with a run.
pub fn places(rows: &dyn Rows, table: Table) -> Vec<Vec<u8>> {
    collect_keys(rows, &Span::prefix(&Key::new(table)), usize::MAX).expect("the store can be read")
}
