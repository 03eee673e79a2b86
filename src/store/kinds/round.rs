//! Rounds of schedules, and what each org got of them.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span as Length, Time};
use crate::model::schedule::{Got, Place, Round, RoundState, Slot, Stamp};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, last_id};
use crate::store::rows::{Rows, Span, collect, collect_keys, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct RoundRow {
    window: Option<i64>,
    state: u8,
    begun_at: i64,
    begun_by: String,
    ended_at: Option<i64>,
    spread: i64,
    made: u32,
    failing: u32,
    missed: u32,
    position: Option<(i64, String)>,
    retry_at: Option<i64>,
    retry_after: Option<String>,
    passes: u32,
}

impl Record for RoundRow {
    const KIND: &'static str = "round of a schedule";
}

fn of_schedule(schedule: Id) -> Key {
    Key::new(Table::ScheduleRound).id(schedule)
}

fn key(schedule: Id, id: Id) -> Key {
    of_schedule(schedule).id(id)
}

pub fn get(rows: &dyn Rows, schedule: Id, id: Id) -> Result<Option<Round>, Fault> {
    load::<RoundRow>(rows, &key(schedule, id))?.map(|row| from_row(schedule, id, row)).transpose()
}

pub fn put(tx: &mut Tx<'_>, round: &Round) {
    let row = RoundRow {
        window: round.window.map(|at| at.0),
        state: round.state as u8,
        begun_at: round.begun.at.0,
        begun_by: round.begun.by.clone(),
        ended_at: round.ended_at.map(|at| at.0),
        spread: round.spread.0,
        made: round.made,
        failing: round.failing,
        missed: round.missed,
        position: round.position.as_ref().map(|place| (place.0.0, place.1.to_string())),
        retry_at: round.retry_at.map(|at| at.0),
        retry_after: round.retry_after.as_ref().map(Name::to_string),
        passes: round.passes,
    };
    tx.put(key(round.schedule, round.id), &row);
}

pub fn remove(tx: &mut Tx<'_>, schedule: Id, id: Id) {
    tx.remove(key(schedule, id));
}

/// At most `limit` rounds of a schedule, newest first.
pub fn newest(rows: &dyn Rows, schedule: Id, limit: usize) -> Result<Vec<Round>, Fault> {
    let span = Span::prefix(&of_schedule(schedule)).newest_first();
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        from_row(schedule, last_id(key)?, codec::decode(value)?)
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// The oldest round of a schedule, when it has more than `kept`.
pub fn surplus(rows: &dyn Rows, schedule: Id, kept: usize) -> Result<Option<Id>, Fault> {
    let keys = collect_keys(rows, &Span::prefix(&of_schedule(schedule)), kept + 1)?;
    if keys.len() <= kept {
        return Ok(None);
    }
    keys.first().map(|key| last_id(key)).transpose()
}

fn from_row(schedule: Id, id: Id, row: RoundRow) -> Result<Round, Fault> {
    let place = |(offset, org): (i64, String)| Ok(Place(Length(offset), super::name(&org)?));
    Ok(Round {
        schedule,
        id,
        window: row.window.map(Time),
        state: super::word(RoundState::from_number(row.state), "state", row.state)?,
        begun: Stamp { at: Time(row.begun_at), by: row.begun_by },
        ended_at: row.ended_at.map(Time),
        spread: Length(row.spread),
        made: row.made,
        failing: row.failing,
        missed: row.missed,
        position: row.position.map(place).transpose()?,
        retry_at: row.retry_at.map(Time),
        retry_after: row.retry_after.map(|org| super::name(&org)).transpose()?,
        passes: row.passes,
    })
}

#[derive(Encode, Decode)]
struct SlotRow {
    at: i64,
    tries: u32,
    run: Option<[u8; 16]>,
    sharded: Option<[u8; 16]>,
    error: Option<(String, String)>,
}

impl Record for SlotRow {
    const KIND: &'static str = "what an org got of a schedule";
}

fn of_round(schedule: Id, round: Id) -> Key {
    Key::new(Table::ScheduleSlot).id(schedule).id(round)
}

fn slot_key(schedule: Id, round: Id, org: &Name) -> Key {
    of_round(schedule, round).text(org.as_str())
}

pub fn slot(rows: &dyn Rows, round: &Round, org: &Name) -> Result<Option<Slot>, Fault> {
    let row = load::<SlotRow>(rows, &slot_key(round.schedule, round.id, org))?;
    row.map(|row| slot_from_row(org.clone(), row)).transpose()
}

pub fn put_slot(tx: &mut Tx<'_>, round: &Round, slot: &Slot) {
    let (run, sharded, error) = match slot.got.clone() {
        Got::Run(id) => (Some(id.0), None, None),
        Got::Sharded(id) => (None, Some(id.0), None),
        Got::Nothing { code, message } => (None, None, Some((code, message))),
    };
    let row = SlotRow { at: slot.at.0, tries: slot.tries, run, sharded, error };
    tx.put(slot_key(round.schedule, round.id, &slot.org), &row);
}

pub fn remove_slot(tx: &mut Tx<'_>, round: &Round, org: &Name) {
    tx.remove(slot_key(round.schedule, round.id, org));
}

/// At most `limit` slots of a round by org, behind `after`.
pub fn slots(
    rows: &dyn Rows,
    round: &Round,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<Slot>, Fault> {
    let mut span = Span::prefix(&of_round(round.schedule, round.id));
    if let Some(org) = after {
        span = span.from(&slot_key(round.schedule, round.id, org).u8(0));
    }
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        // Schedule and round.
        reader.id()?;
        reader.id()?;
        slot_from_row(super::name(&reader.text()?)?, codec::decode(value)?)
    };
    collect(rows, &span, limit)?.iter().map(read).collect()
}

/// Removes at most `limit` slots of a round; gives how many there were.
pub fn remove_slots(
    tx: &mut Tx<'_>,
    schedule: Id,
    round: Id,
    limit: usize,
) -> Result<usize, Fault> {
    let keys = collect_keys(tx, &Span::prefix(&of_round(schedule, round)), limit)?;
    let count = keys.len();
    keys.into_iter().for_each(|key| tx.remove_raw(key));
    Ok(count)
}

fn slot_from_row(org: Name, row: SlotRow) -> Result<Slot, Fault> {
    let got = match (row.run, row.sharded, row.error) {
        (Some(run), None, None) => Got::Run(Id(run)),
        (None, Some(id), None) => Got::Sharded(Id(id)),
        (None, None, Some((code, message))) => Got::Nothing { code, message },
        _ => return Err(Fault::Corrupt(format!("what {org} got of a schedule is ambiguous"))),
    };
    Ok(Slot { org, at: Time(row.at), tries: row.tries, got })
}
