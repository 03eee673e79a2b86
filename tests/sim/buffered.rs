//! Small questions about the burst buffer, asked of a whole snapshot: each entry stands in one
//! place, is not a run as well, and has nothing of a run but its head, its body and its key.

use std::collections::BTreeMap;

use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::ledger::buffer::accept::Caps;
use tidegate::model::delivery::{OutboxRow, Timer};
use tidegate::model::run::{Mirror, Run, Status};
use tidegate::store::key::Key;
use tidegate::store::kinds::buffered::{self, Entry};
use tidegate::store::kinds::{count, run as run_rows};
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::checks::{Keys, keys, same};
use crate::lost::{self, Lost};
use crate::slice::{Heads, bytes_of, stock, weights};

/// Entries whose head cannot be read, in their places.
pub type Losses = BTreeMap<RunId, Lost>;

pub fn read(rows: &dyn Rows) -> (Heads, Losses) {
    stock(rows).expect("the store can be read")
}

pub fn check(
    rows: &dyn Rows,
    entries: &Heads,
    runs: &BTreeMap<RunId, Run>,
    outbox: &BTreeMap<Id, OutboxRow>,
    lost: &Losses,
) {
    let (mut queued, mut backing_off) = (Keys::new(), Keys::new());
    for (id, entry) in entries {
        let Entry { run, bytes, attempts, waits_until, last_error } = entry;
        assert!(!runs.contains_key(id), "{id} is in the buffer and a run as well");
        assert!(!outbox.contains_key(id), "{id} is in the buffer and has a row");
        assert!(run.buffered, "{id} does not know that it is buffered");
        let status = run.status.as_str();
        assert!(matches!(run.status, Status::Delayed | Status::Queued), "{id} is {status}");
        assert_eq!((run.attempts, run.fence, run.entry), (0, 0, None), "{id} has begun");
        assert_eq!((run.mirror, run.started_at), (Mirror::Pending, None), "{id} has begun");
        let body = run_rows::body(rows, *id).expect("a body can be read");
        assert_eq!(*bytes, bytes_of(&body), "bytes of {id}");
        assert_eq!(*attempts > 0, last_error.is_some(), "{id} failed {attempts} times");
        assert!(waits_until.is_none() || *attempts > 0, "{id} backs off for nothing");
        let (places, key) = match waits_until {
            None => (&mut queued, buffered::queue(&run.org, &run.env)),
            Some(_) => (&mut backing_off, buffered::waits(&run.org, &run.env)),
        };
        places.insert(key.id(*id).into_bytes());
    }
    for (id, lost) in lost {
        let (places, key) = match lost.backs_off {
            false => (&mut queued, buffered::queue(&lost.env.0, &lost.env.1)),
            true => (&mut backing_off, buffered::waits(&lost.env.0, &lost.env.1)),
        };
        places.insert(key.id(*id).into_bytes());
    }
    for id in lost::dead(rows).expect("the store can be read").keys() {
        assert!(!runs.contains_key(id) && !entries.contains_key(id), "{id} is dead and lives");
        assert!(!lost.contains_key(id) && !outbox.contains_key(id), "{id} is dead and waits");
    }
    same("queues of the buffer", &queued, &keys(rows, Table::BufferQueue));
    same("entries that back off", &backing_off, &keys(rows, Table::BufferWaits));
}

/// The timers of entries.
pub fn timers(entries: &Heads) -> Vec<(Timer, tidegate::base::time::Time, Id)> {
    let of = |entry: &Entry| {
        let id = entry.run.id;
        let expiry = entry.run.expires_at.map(|at| (Timer::Expire, at, id));
        expiry.into_iter().chain(entry.waits_until.map(|at| (Timer::Buffer, at, id)))
    };
    entries.values().flat_map(of).collect()
}

/// The counters of the buffer, and by how much each entry moves them.
pub fn counts(entries: &Heads, lost: &Losses) -> Vec<(Key, i64)> {
    let of = |(org, env, bytes): (&Name, &Name, u64)| {
        let bytes = bytes as i64;
        [
            (count::buffered(), 1),
            (count::buffered_of(org, env), 1),
            (count::buffered_bytes(), bytes),
            (count::buffered_bytes_of(org, env), bytes),
        ]
    };
    let readable = entries.values().map(|e| (&e.run.org, &e.run.env, e.bytes));
    let lost = lost.values().map(|lost| (&lost.env.0, &lost.env.1, lost.bytes));
    readable.chain(lost).flat_map(of).collect()
}

/// Nothing was taken beyond its limits; an env always gets its first.
pub fn check_caps(rows: &dyn Rows, caps: &Caps) {
    let entries = weights(rows).expect("the store can be read");
    let bytes: u64 = entries.iter().map(|(_, bytes)| bytes).sum();
    assert!(entries.len() as u64 <= caps.total_max, "{} entries in all", entries.len());
    assert!(bytes <= caps.total_bytes_max, "{bytes} bytes in all");
    let mut envs: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (env, bytes) in &entries {
        let of_env = envs.entry(env).or_default();
        *of_env = (of_env.0 + 1, of_env.1 + bytes);
    }
    for (env, (count, bytes)) in envs {
        assert!(count <= caps.env_max.max(1), "{count} entries of {env:?}");
        assert!(count == 1 || bytes <= caps.env_bytes_max, "{bytes} bytes of {env:?}");
    }
}
