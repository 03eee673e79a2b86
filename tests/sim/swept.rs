//! The stale sweep, looked at from within its transaction: what it says of an env that it visited
//! equals a recount at that moment, and what it forgets holds nothing any more.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::entropy::Entropy;
use tidegate::base::id::Id;
use tidegate::base::name::Name;
use tidegate::base::time::Span;
use tidegate::ledger::buffer::sweep::{Pass, SliceLimits, SweepNumbers, pass};
use tidegate::store::fault::{Fault, Stop};
use tidegate::store::key::{Key, KeyReader, last_id};
use tidegate::store::kinds::buffer_sweep::{Count, Cursor, Edge, counts, cursor, org};
use tidegate::store::rows::{Rows, Span as Keys, collect_keys};
use tidegate::store::tables::Table;
use tidegate::store::tx::Tx;

use crate::command::Command;
use crate::mix::{once_in, one};
use crate::slice::Env;
use crate::world::{Who, World};

/// Slices within which a sweep of nothing has forgotten everything.
const SLICES_MAX: usize = 100;

/// The numbers of a seed: small, so that its passes end anywhere.
pub fn numbers(entropy: &mut Entropy) -> SweepNumbers {
    let small = |entropy: &mut Entropy| one(entropy, &[1, 2, 3, 100]);
    SweepNumbers {
        stale_after: Span::from_secs(one(entropy, &[1, 5, 60, 600])),
        orgs_per_pass: small(entropy),
        entries_per_env: small(entropy),
        slice: SliceLimits {
            envs: small(entropy),
            entries: small(entropy) as u64,
            removed: small(entropy),
        },
    }
}

/// What an env would be counted as just now, by its places alone. Unreadable entries count too.
fn recount(tx: &Tx<'_>, numbers: &SweepNumbers) -> Result<BTreeMap<Env, Count>, Fault> {
    let fresh_from = Id::floor_of(tx.now().minus(numbers.stale_after));
    let mut ids: BTreeMap<Env, Vec<Id>> = BTreeMap::new();
    for table in [Table::BufferQueue, Table::BufferWaits] {
        for key in collect_keys(tx, &Keys::prefix(&Key::new(table)), usize::MAX)? {
            let (id, mut reader) = (last_id(&key)?, KeyReader::new(&key));
            if id < fresh_from {
                let name = |text: String| Name::new(&text).expect("a key holds valid names");
                let env = (name(reader.text()?), name(reader.text()?));
                ids.entry(env).or_default().push(id);
            }
        }
    }
    let count = |mut ids: Vec<Id>| {
        ids.sort();
        let entries = ids.len().min(numbers.entries_per_env) as u64;
        Count { entries, oldest: ids[0].time() }
    };
    Ok(ids.into_iter().map(|(env, ids)| (env, count(ids))).collect())
}

fn counted(rows: &dyn Rows) -> Result<BTreeMap<Env, Count>, Fault> {
    let all = counts(rows, (Edge::Start, Edge::End), usize::MAX)?;
    Ok(all.into_iter().map(|(org, env, count)| ((org, env), count)).collect())
}

/// The orgs of the frozen list.
fn listed(rows: &dyn Rows, cursor: &Cursor) -> Result<BTreeSet<Name>, Fault> {
    (0..cursor.orgs).filter_map(|at| org(rows, at).transpose()).collect()
}

pub fn sweep_and_look(
    tx: &mut Tx<'_>,
    enabled: bool,
    numbers: &SweepNumbers,
) -> Result<Pass, Stop> {
    let (before, stood) = (counted(tx)?, cursor(tx)?);
    let found = pass(tx, enabled, numbers)?;
    let (after, stands, now) = (counted(tx)?, cursor(tx)?, recount(tx, numbers)?);
    if !enabled {
        assert!(after.len() <= before.len() && (found.unfinished || after.is_empty()), "{after:?}");
        return Ok(found);
    }
    let sum: u64 = after.values().map(|count| count.entries).sum();
    let known = stands.stale.unwrap_or(sum);
    assert_eq!((found.stale_now, known), (sum, sum), "stale entries of all envs: {after:?}");
    let is_fresh_cycle = stood.at == 0 && stood.after_env.is_none() && stood.from.is_none();
    if is_fresh_cycle && found.wrapped && stands.from.is_none() {
        assert_eq!(after, now, "a pass over everything, and a recount");
    }
    let orgs = listed(tx, &stands)?;
    for (env, count) in &after {
        let is_old = before.get(env) == Some(count);
        assert!(is_old || now.get(env) == Some(count), "{env:?} was counted as {count:?}");
    }
    for env in before.keys().filter(|env| !after.contains_key(env)) {
        let is_listed = orgs.contains(&env.0);
        assert!(!is_listed || !now.contains_key(env), "{env:?} was forgotten");
    }
    let changed = after.iter().filter(|(env, count)| before.get(*env) != Some(*count)).count();
    assert!(changed <= found.envs, "{changed} envs changed, {} were visited", found.envs);
    let limits = numbers.slice;
    assert!(found.envs <= limits.envs && found.removed <= limits.removed, "{found:?}");
    assert!(found.orgs <= numbers.orgs_per_pass, "{found:?}");
    Ok(found)
}

/// What a snapshot says of the sweep.
pub fn check(rows: &dyn Rows) {
    let read = || Ok((counted(rows)?, cursor(rows)?));
    let (counts, cursor): (BTreeMap<Env, Count>, Cursor) =
        read().map_err(|fault: Fault| fault.to_string()).expect("the store can be read");
    let sum: u64 = counts.values().map(|count| count.entries).sum();
    assert!(counts.values().all(|count| count.entries > 0), "counts of nothing: {counts:?}");
    assert!(cursor.stale.is_none_or(|stale| stale == sum), "the sum of {counts:?}: {cursor:?}");
    assert!(cursor.at <= cursor.orgs, "{cursor:?}");
}

impl World {
    /// The duty of the sweep takes its next slice.
    pub fn sweep(&mut self) {
        let enabled = self.burst.sweeps && !once_in(&mut self.entropy, 30);
        if once_in(&mut self.entropy, 6) {
            self.burst.sweep_numbers = numbers(&mut self.entropy);
        }
        self.ask(Command::Sweep(enabled, self.burst.sweep_numbers), Who::Duty);
    }

    /// Once everything has left the buffer, a cycle or two leave nothing of the sweep.
    pub fn sweep_up(&mut self) {
        for slice in 0.. {
            let view = self.machine.store().snapshot().expect("a healthy disk can be read");
            let left = counted(&view).expect("a healthy disk can be read");
            drop(view);
            if left.is_empty() {
                break;
            }
            assert!(slice < SLICES_MAX, "the sweep still counts {left:?}");
            self.ask(Command::Sweep(true, self.burst.sweep_numbers), Who::Duty);
            self.batch(usize::MAX);
        }
    }
}
