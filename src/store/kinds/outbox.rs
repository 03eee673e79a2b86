//! Outbox rows and dead letters.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::delivery::{DeadLetter, Lane, OutboxRow, Purpose, RowState};
use crate::model::outcome::Hook;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct Stored {
    endpoint: String,
    /// 0 for the run itself, else the number of the hook.
    purpose: u8,
    run: [u8; 16],
    lane: (String, String, String),
    ordered: bool,
    priority: i8,
    created_at: i64,
    due_at: i64,
    /// 1 ready, 2 waiting, 3 leased.
    state: u8,
    lease_until: i64,
    attempts: u32,
    first_attempt_at: Option<i64>,
    fence: u32,
    conflicts: u32,
    malformed: u32,
    last_code: Option<String>,
    last_detail: Option<String>,
}

impl Record for Stored {
    const KIND: &'static str = "outbox row";
}

#[derive(Encode, Decode)]
struct DeadRow {
    row: Stored,
    died_at: i64,
    code: String,
    detail: String,
}

impl Record for DeadRow {
    const KIND: &'static str = "dead letter";
}

fn key(id: Id) -> Key {
    Key::new(Table::Outbox).id(id)
}

pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<OutboxRow>, Fault> {
    load::<Stored>(rows, &key(id))?.map(|stored| from_stored(id, stored)).transpose()
}

pub fn put(tx: &mut Tx<'_>, row: &OutboxRow) {
    tx.put(key(row.id), &to_stored(row));
}

pub fn remove(tx: &mut Tx<'_>, id: Id) {
    tx.remove(key(id));
}

fn dead_key(died_at: Time, id: Id) -> Key {
    Key::new(Table::Dead).time(died_at).id(id)
}

pub fn put_dead(tx: &mut Tx<'_>, letter: &DeadLetter) {
    let row = DeadRow {
        row: to_stored(&letter.row),
        died_at: letter.died_at.0,
        code: letter.code.clone(),
        detail: letter.detail.clone(),
    };
    tx.put(dead_key(letter.died_at, letter.row.id), &row);
    tx.put_raw(
        Key::new(Table::DeadById).id(letter.row.id),
        letter.died_at.0.to_be_bytes().to_vec(),
    );
}

pub fn dead(rows: &dyn Rows, id: Id) -> Result<Option<DeadLetter>, Fault> {
    let Some(when) = rows.get(Key::new(Table::DeadById).id(id).bytes())? else { return Ok(None) };
    let when = <[u8; 8]>::try_from(when.as_slice())
        .map_err(|_| Fault::Corrupt("the time of a dead letter is not a number".to_owned()))?;
    let key = dead_key(Time(i64::from_be_bytes(when)), id);
    rows.get(key.bytes())?.map(|value| read_dead(key.bytes(), &value)).transpose()
}

pub fn remove_dead(tx: &mut Tx<'_>, letter: &DeadLetter) {
    tx.remove(dead_key(letter.died_at, letter.row.id));
    tx.remove(Key::new(Table::DeadById).id(letter.row.id));
}

/// Dead letters newest first, before the given one.
pub fn dead_page(before: Option<(Time, Id)>) -> Span {
    let span = Span::prefix(&Key::new(Table::Dead)).newest_first();
    match before {
        Some((at, id)) => span.before(&dead_key(at, id)),
        None => span,
    }
}

/// Dead letters that died before `before`, oldest first.
pub fn dead_before(before: Time) -> Span {
    Span::prefix(&Key::new(Table::Dead)).before(&Key::new(Table::Dead).time(before))
}

/// When and which, of the key of a dead letter.
pub fn dead_place(key: &[u8]) -> Result<(Time, Id), Fault> {
    let mut reader = KeyReader::new(key);
    Ok((reader.time()?, reader.id()?))
}

pub fn read_dead(key: &[u8], value: &[u8]) -> Result<DeadLetter, Fault> {
    let (_, id) = dead_place(key)?;
    let row: DeadRow = codec::decode(value)?;
    Ok(DeadLetter {
        row: from_stored(id, row.row)?,
        died_at: Time(row.died_at),
        code: row.code,
        detail: row.detail,
    })
}

fn to_stored(row: &OutboxRow) -> Stored {
    let (purpose, run) = match &row.purpose {
        Purpose::Run => (0, row.id),
        Purpose::Hook { run, hook: Hook::ExplorerIndex } => (1, *run),
        Purpose::Hook { run, hook: Hook::OrgProjectContext } => (2, *run),
    };
    let (state, lease_until) = match row.state {
        RowState::Ready => (1, Time::ZERO),
        RowState::Waiting => (2, Time::ZERO),
        RowState::Leased { until } => (3, until),
    };
    Stored {
        endpoint: row.endpoint.to_string(),
        purpose,
        run: run.0,
        lane: (row.lane.org.clone(), row.lane.env.clone(), row.lane.key.clone()),
        ordered: row.ordered,
        priority: row.priority,
        created_at: row.created_at.0,
        due_at: row.due_at.0,
        state,
        lease_until: lease_until.0,
        attempts: row.attempts,
        first_attempt_at: row.first_attempt_at.map(|t| t.0),
        fence: row.fence,
        conflicts: row.conflicts,
        malformed: row.malformed,
        last_code: row.last_code.clone(),
        last_detail: row.last_detail.clone(),
    }
}

fn from_stored(id: Id, row: Stored) -> Result<OutboxRow, Fault> {
    let purpose = match row.purpose {
        0 => Some(Purpose::Run),
        1 => Some(Purpose::Hook { run: Id(row.run), hook: Hook::ExplorerIndex }),
        2 => Some(Purpose::Hook { run: Id(row.run), hook: Hook::OrgProjectContext }),
        _ => None,
    };
    let state = match row.state {
        1 => Some(RowState::Ready),
        2 => Some(RowState::Waiting),
        3 => Some(RowState::Leased { until: Time(row.lease_until) }),
        _ => None,
    };
    let (org, env, key) = row.lane;
    Ok(OutboxRow {
        id,
        endpoint: super::name(&row.endpoint)?,
        purpose: super::word(purpose, "purpose", row.purpose)?,
        lane: Lane { org, env, key },
        ordered: row.ordered,
        priority: row.priority,
        created_at: Time(row.created_at),
        due_at: Time(row.due_at),
        state: super::word(state, "state", row.state)?,
        attempts: row.attempts,
        first_attempt_at: row.first_attempt_at.map(Time),
        fence: row.fence,
        conflicts: row.conflicts,
        malformed: row.malformed,
        last_code: row.last_code,
        last_detail: row.last_detail,
    })
}
