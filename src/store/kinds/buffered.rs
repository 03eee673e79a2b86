//! Entries of the burst buffer: the head of a run that waits to become real, and the queue of its
//! env.
//!
//! An accept writes three rows at the ends of their tables (head, place in the queue, body) where a
//! full submit writes nine all over the store. The body stands where it stands for every run, so
//! the way out of the buffer does not write it again.
//!
//! A head that cannot be read any more must neither stop others nor be counted for ever. So its
//! place says as what it was counted.

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::delivery::Timer;
use crate::model::run::{Run, RunError, Status};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, after_prefix, last_id};
use crate::store::rows::{Rows, Span, collect, collect_keys, first_key, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::run::{RunRow, RunRow2, RunRowUntil1, from_row, to_row};
use super::{count, due};

/// The row as of version 1.0.
#[derive(Encode, Decode)]
struct BufferedRow0 {
    run: RunRowUntil1,
    bytes: u64,
    attempts: u32,
    waits_until: Option<i64>,
    last_error: Option<(String, String)>,
}

#[derive(Encode, Decode)]
struct BufferedRow {
    old: BufferedRow0,
    /// What its run has since version 1.1.
    new: RunRow2,
}

impl Record for BufferedRow {
    const KIND: &'static str = "buffered run";
    const MINOR: u8 = 1;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<BufferedRow, Fault>> {
        ((major, minor) == (1, 0)).then(|| {
            let (old, _) = codec::decode_body(BufferedRow::KIND, body)?;
            Ok(BufferedRow { old, new: RunRow2::default() })
        })
    }
}

#[derive(Encode, Decode)]
struct PlaceRow {
    task: String,
    delayed: bool,
    batch: Option<[u8; 16]>,
}

impl Record for PlaceRow {
    const KIND: &'static str = "place in the buffer";
}

/// What a place says of its entry: as what it was counted. Neither changes while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub task: Name,
    pub status: Status,
    /// Should its entry become unreadable, the batch can still be told that it lost a run.
    pub batch: Option<Id>,
}

/// A run that waits in the buffer, and how its way out went so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it becomes real; [`Run::buffered`] is set.
    pub run: Run,
    /// What it counts for towards the limits of the buffer.
    pub bytes: u64,
    /// Failed tries to make it real.
    pub attempts: u32,
    /// Backs off until then; not in its queue meanwhile.
    pub waits_until: Option<Time>,
    pub last_error: Option<RunError>,
}

/// What stands in the buffer under an id.
#[derive(Debug)]
pub enum Held {
    Entry(Box<Entry>),
    /// Bytes that are no entry, and why.
    Unreadable(Vec<u8>, String),
}

fn key(id: RunId) -> Key {
    Key::new(Table::Buffered).id(id)
}

/// Every entry, oldest first.
pub fn all() -> Key {
    Key::new(Table::Buffered)
}

/// The queue of an env, oldest first.
pub fn queue(org: &Name, env: &Name) -> Key {
    queue_of_org(org).text(env.as_str())
}

/// Entries of an env that back off.
pub fn waits(org: &Name, env: &Name) -> Key {
    Key::new(Table::BufferWaits).text(org.as_str()).text(env.as_str())
}

fn queue_of_org(org: &Name) -> Key {
    Key::new(Table::BufferQueue).text(org.as_str())
}

/// What stands under an id, readable or not.
pub fn held(rows: &dyn Rows, id: RunId) -> Result<Option<Held>, Fault> {
    let Some(bytes) = rows.get(key(id).bytes())? else { return Ok(None) };
    Ok(Some(match read(id, &bytes) {
        Ok(entry) => Held::Entry(Box::new(entry)),
        Err(fault) => Held::Unreadable(bytes, fault.to_string()),
    }))
}

/// An entry; one that cannot be read counts as absent, so that it stops nobody else.
pub fn get(rows: &dyn Rows, id: RunId) -> Result<Option<Entry>, Fault> {
    Ok(match held(rows, id)? {
        Some(Held::Entry(entry)) => Some(*entry),
        Some(Held::Unreadable(_, why)) => {
            tracing::warn!(run = %id, why, "an entry of the buffer cannot be read");
            None
        }
        None => None,
    })
}

fn read(id: RunId, bytes: &[u8]) -> Result<Entry, Fault> {
    let BufferedRow { old: row, new } = codec::decode(bytes)?;
    let run = Run { buffered: true, ..from_row(id, RunRow { old: row.run, new })? };
    Ok(Entry {
        run,
        bytes: row.bytes,
        attempts: row.attempts,
        waits_until: row.waits_until.map(Time),
        last_error: row.last_error.map(|(code, message)| RunError { code, message }),
    })
}

pub fn put(tx: &mut Tx<'_>, entry: &Entry) {
    let RunRow { old: run, new } = to_row(&entry.run);
    let old = BufferedRow0 {
        run,
        bytes: entry.bytes,
        attempts: entry.attempts,
        waits_until: entry.waits_until.map(|at| at.0),
        last_error: entry.last_error.as_ref().map(|e| (e.code.clone(), e.message.clone())),
    };
    tx.put(key(entry.run.id), &BufferedRow { old, new });
}

/// Takes an entry out, wherever it stands, and out of the counters.
pub fn close(tx: &mut Tx<'_>, entry: &Entry) {
    let run = &entry.run;
    match entry.waits_until {
        None => dequeue(tx, &run.org, &run.env, run.id),
        Some(at) => {
            tx.remove(waits(&run.org, &run.env).id(run.id));
            due::clear(tx, Timer::Buffer, at, run.id);
        }
    }
    forget(tx, (&run.org, &run.env), run.id, entry.bytes);
}

/// Removes the head of an entry that is in no queue any more, and counts it out.
pub fn forget(tx: &mut Tx<'_>, env: (&Name, &Name), id: RunId, bytes: u64) {
    tx.remove(key(id));
    count::move_buffered(tx, env, -1, -(bytes as i64));
}

/// Puts an entry into the queue of its env, in the order in which it was accepted.
pub fn enqueue(tx: &mut Tx<'_>, run: &Run) {
    tx.put(queue(&run.org, &run.env).id(run.id), &place_of(run));
}

fn place_of(run: &Run) -> PlaceRow {
    let batch = run.batch.map(|(batch, _)| batch.0);
    PlaceRow { task: run.task.to_string(), delayed: run.status == Status::Delayed, batch }
}

/// As what the entry in this place was counted, if that can be told.
pub fn place(
    rows: &dyn Rows,
    (org, env): (&Name, &Name),
    id: RunId,
) -> Result<Option<Place>, Fault> {
    let mut found = None;
    for key in [queue(org, env), waits(org, env)] {
        found = found.or(rows.get(key.id(id).bytes())?);
    }
    // Places had nothing to say once.
    let row: Option<PlaceRow> = found.and_then(|bytes| codec::decode(&bytes).ok());
    Ok(row.and_then(|row| {
        let status = if row.delayed { Status::Delayed } else { Status::Queued };
        Some(Place { task: Name::new(&row.task).ok()?, status, batch: row.batch.map(Id) })
    }))
}

/// The org and env in which this entry backs off, of which nothing but its id is known. It asks env
/// after env, so it is for the rare entry that cannot be read; most `limit` of them.
pub fn waits_in(rows: &dyn Rows, id: RunId, limit: usize) -> Result<Option<(Name, Name)>, Fault> {
    let all = Key::new(Table::BufferWaits);
    let mut left = limit;
    for org in names(rows, &all, None, limit)? {
        for env in names(rows, &all.clone().text(org.as_str()), None, left)? {
            left -= 1;
            if rows.get(waits(&org, &env).id(id).bytes())?.is_some() {
                return Ok(Some((org, env)));
            }
        }
    }
    Ok(None)
}

/// Takes an entry out of its place, wherever that is, when its head says nothing.
pub fn leave_place(tx: &mut Tx<'_>, (org, env): (&Name, &Name), id: RunId) {
    dequeue(tx, org, env, id);
    tx.remove(waits(org, env).id(id));
}

pub fn dequeue(tx: &mut Tx<'_>, org: &Name, env: &Name, id: RunId) {
    tx.remove(queue(org, env).id(id));
}

/// Lets an entry back off until `at`, and keeps why.
pub fn let_wait(tx: &mut Tx<'_>, entry: &mut Entry, at: Time) {
    let (org, env, id) = (&entry.run.org, &entry.run.env, entry.run.id);
    dequeue(tx, org, env, id);
    tx.put(waits(org, env).id(id), &place_of(&entry.run));
    due::set(tx, Timer::Buffer, at, id);
    entry.waits_until = Some(at);
    put(tx, entry);
}

/// An entry that backed off goes back into its queue.
pub fn line_up(tx: &mut Tx<'_>, entry: &mut Entry) {
    let (org, env, id) = (&entry.run.org, &entry.run.env, entry.run.id);
    if let Some(at) = entry.waits_until.take() {
        tx.remove(waits(org, env).id(id));
        due::clear(tx, Timer::Buffer, at, id);
    }
    enqueue(tx, &entry.run);
    put(tx, entry);
}

/// At most `limit` entries of an env after the given one, oldest first.
pub fn next(
    rows: &dyn Rows,
    (org, env): (&Name, &Name),
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<RunId>, Fault> {
    let queue = queue(org, env);
    let mut span = Span::prefix(&queue);
    if let Some(id) = after {
        span = span.from(&queue.id(id).u8(0));
    }
    collect_keys(rows, &span, limit)?.iter().map(|key| last_id(key)).collect()
}

/// The oldest entry of an env, also when it backs off; with `None` that of all envs.
pub fn oldest(rows: &dyn Rows, of: Option<(&Name, &Name)>) -> Result<Option<RunId>, Fault> {
    let mut found: Option<RunId> = None;
    let places = of.map_or(vec![all()], |(org, env)| vec![queue(org, env), waits(org, env)]);
    for place in places {
        if let Some(key) = first_key(rows, &Span::prefix(&place))? {
            let id = last_id(&key)?;
            found = Some(found.map_or(id, |earlier| earlier.min(id)));
        }
    }
    Ok(found)
}

/// At most `limit` orgs with a queue, after the given one.
pub fn orgs(rows: &dyn Rows, after: Option<&Name>, limit: usize) -> Result<Vec<Name>, Fault> {
    names(rows, &Key::new(Table::BufferQueue), after, limit)
}

/// At most `limit` envs of an org with a queue, after the given one.
pub fn envs(
    rows: &dyn Rows,
    org: &Name,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<Name>, Fault> {
    names(rows, &queue_of_org(org), after, limit)
}

/// At most `limit` names that follow a prefix, after the given one: it jumps over the rows between
/// two names.
pub(super) fn names(
    rows: &dyn Rows,
    prefix: &Key,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<Name>, Fault> {
    let behind = |name: &Name| after_prefix(prefix.clone().text(name.as_str()).bytes());
    let mut span = Span::prefix(prefix);
    if let Some(after) = after {
        span.lo = behind(after);
    }
    let mut found = Vec::new();
    while found.len() < limit
        && !span.is_empty()
        && let Some(key) = first_key(rows, &span)?
    {
        // The reader skips one byte; the last one of the prefix takes the table's part.
        let name = super::name(&KeyReader::new(&key[prefix.bytes().len() - 1..]).text()?)?;
        span.lo = behind(&name);
        found.push(name);
    }
    Ok(found)
}

/// An entry that nobody can read, kept for people.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dead {
    pub org: String,
    pub env: String,
    pub bytes: Vec<u8>,
    pub why: String,
    pub at: i64,
}

impl Record for Dead {
    const KIND: &'static str = "dead buffer entry";
}

pub fn put_dead(tx: &mut Tx<'_>, id: RunId, dead: &Dead) {
    tx.put(Key::new(Table::BufferDead).id(id), dead);
}

/// One of them.
pub fn dead_one(rows: &dyn Rows, id: RunId) -> Result<Option<Dead>, Fault> {
    load(rows, &Key::new(Table::BufferDead).id(id))
}

/// How many there are, as far as `limit`.
pub fn dead_count(rows: &dyn Rows, limit: usize) -> Result<usize, Fault> {
    Ok(collect_keys(rows, &Span::prefix(&Key::new(Table::BufferDead)), limit)?.len())
}

/// At most `limit` of them, newest first.
pub fn dead(rows: &dyn Rows, limit: usize) -> Result<Vec<(RunId, Dead)>, Fault> {
    let span = Span::prefix(&Key::new(Table::BufferDead)).newest_first();
    let found = collect(rows, &span, limit)?;
    found.iter().map(|(key, value)| Ok((last_id(key)?, codec::decode(value)?))).collect()
}
