//! Schedules: what is wanted of each, how far it has come, and what deleted ones leave behind.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span as Length, Time};
use crate::model::schedule::{Missed, Progress, Schedule, Stamp, Wanted, Work};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, collect_keys, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct ScheduleRow {
    id: [u8; 16],
    cron: String,
    timezone: String,
    task: String,
    payload: Option<Vec<u8>>,
    items: Option<(u32, Vec<u8>)>,
    shard_size: Option<u32>,
    orgs: Vec<String>,
    env: String,
    spread: i64,
    missed: u8,
    revision: u32,
    created_at: i64,
    set_at: i64,
    set_by: String,
}

impl Record for ScheduleRow {
    const KIND: &'static str = "schedule";
}

fn key(name: &Name) -> Key {
    Key::new(Table::Schedule).text(name.as_str())
}

pub fn get(rows: &dyn Rows, name: &Name) -> Result<Option<Schedule>, Fault> {
    load::<ScheduleRow>(rows, &key(name))?.map(|row| from_row(name.clone(), row)).transpose()
}

pub fn put(tx: &mut Tx<'_>, schedule: &Schedule) {
    let wanted = schedule.wanted.clone();
    let (payload, items, shard_size) = match wanted.work {
        Work::Payload(payload) => (payload, None, None),
        Work::Items { text, items, shard_size } => (None, Some((items, text)), shard_size),
    };
    let row = ScheduleRow {
        id: schedule.id.0,
        cron: wanted.cron,
        timezone: wanted.timezone,
        task: wanted.task.to_string(),
        payload,
        items,
        shard_size,
        orgs: wanted.orgs.iter().map(Name::to_string).collect(),
        env: wanted.env.to_string(),
        spread: wanted.spread.0,
        missed: wanted.missed as u8,
        revision: schedule.revision,
        created_at: schedule.created_at.0,
        set_at: schedule.set_at.0,
        set_by: schedule.set_by.clone(),
    };
    tx.put(key(&schedule.name), &row);
}

pub fn remove(tx: &mut Tx<'_>, name: &Name) {
    tx.remove(key(name));
}

/// How many there are, counted up to `most`.
pub fn count(rows: &dyn Rows, most: usize) -> Result<usize, Fault> {
    Ok(collect_keys(rows, &Span::prefix(&Key::new(Table::Schedule)), most)?.len())
}

/// At most `limit` of them by name, behind `after`.
pub fn list(rows: &dyn Rows, after: Option<&Name>, limit: usize) -> Result<Vec<Schedule>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Schedule));
    if let Some(name) = after {
        span = span.from(&key(name).u8(0));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        from_row(super::name(&KeyReader::new(key).text()?)?, codec::decode(value)?)
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

fn from_row(name: Name, row: ScheduleRow) -> Result<Schedule, Fault> {
    let work = match row.items {
        Some((items, text)) => Work::Items { text, items, shard_size: row.shard_size },
        None => Work::Payload(row.payload),
    };
    Ok(Schedule {
        id: Id(row.id),
        name,
        wanted: Wanted {
            cron: row.cron,
            timezone: row.timezone,
            task: super::name(&row.task)?,
            work,
            orgs: row.orgs.iter().map(|org| super::name(org)).collect::<Result<_, _>>()?,
            env: super::name(&row.env)?,
            spread: Length(row.spread),
            missed: super::word(Missed::from_number(row.missed), "missed", row.missed)?,
        },
        revision: row.revision,
        created_at: Time(row.created_at),
        set_at: Time(row.set_at),
        set_by: row.set_by,
    })
}

#[derive(Encode, Decode)]
struct ProgressRow {
    name: String,
    paused: Option<(i64, String)>,
    passed: i64,
    next: Option<i64>,
    last: Option<i64>,
    round: Option<[u8; 16]>,
    manual: Option<[u8; 16]>,
    due_at: Option<i64>,
    deleted: bool,
}

impl Record for ProgressRow {
    const KIND: &'static str = "progress of a schedule";
}

fn progress_key(id: Id) -> Key {
    Key::new(Table::ScheduleProgress).id(id)
}

pub fn progress(rows: &dyn Rows, id: Id) -> Result<Option<Progress>, Fault> {
    let Some(row) = load::<ProgressRow>(rows, &progress_key(id))? else { return Ok(None) };
    Ok(Some(Progress {
        id,
        name: super::name(&row.name)?,
        paused: row.paused.map(|(at, by)| Stamp { at: Time(at), by }),
        passed: Time(row.passed),
        next: row.next.map(Time),
        last: row.last.map(Time),
        round: row.round.map(Id),
        manual: row.manual.map(Id),
        due_at: row.due_at.map(Time),
        deleted: row.deleted,
    }))
}

pub fn put_progress(tx: &mut Tx<'_>, progress: &Progress) {
    let row = ProgressRow {
        name: progress.name.to_string(),
        paused: progress.paused.as_ref().map(|paused| (paused.at.0, paused.by.clone())),
        passed: progress.passed.0,
        next: progress.next.map(|at| at.0),
        last: progress.last.map(|at| at.0),
        round: progress.round.map(|id| id.0),
        manual: progress.manual.map(|id| id.0),
        due_at: progress.due_at.map(|at| at.0),
        deleted: progress.deleted,
    };
    tx.put(progress_key(progress.id), &row);
}

pub fn remove_progress(tx: &mut Tx<'_>, id: Id) {
    tx.remove(progress_key(id));
}

/// What a deleted schedule leaves behind under its name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Tombstone {
    passed: i64,
    at: i64,
}

impl Record for Tombstone {
    const KIND: &'static str = "tombstone of a schedule";
}

impl Tombstone {
    pub fn new(passed: Time, at: Time) -> Tombstone {
        Tombstone { passed: passed.0, at: at.0 }
    }

    /// A schedule of this name has dealt with every window up to this moment.
    pub fn passed(&self) -> Time {
        Time(self.passed)
    }

    /// When it was deleted.
    pub fn at(&self) -> Time {
        Time(self.at)
    }
}

fn tombstone_key(name: &Name) -> Key {
    Key::new(Table::ScheduleTombstone).text(name.as_str())
}

pub fn tombstone(rows: &dyn Rows, name: &Name) -> Result<Option<Tombstone>, Fault> {
    load(rows, &tombstone_key(name))
}

pub fn put_tombstone(tx: &mut Tx<'_>, name: &Name, tombstone: &Tombstone) {
    tx.put(tombstone_key(name), tombstone);
}

pub fn remove_tombstone(tx: &mut Tx<'_>, name: &Name) {
    tx.remove(tombstone_key(name));
}

/// At most `limit` tombstones, by name.
pub fn tombstones(rows: &dyn Rows, limit: usize) -> Result<Vec<(Name, Tombstone)>, Fault> {
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        Ok((super::name(&KeyReader::new(key).text()?)?, codec::decode(value)?))
    };
    let span = Span::prefix(&Key::new(Table::ScheduleTombstone));
    collect(rows, &span, limit)?.iter().map(read).collect()
}
