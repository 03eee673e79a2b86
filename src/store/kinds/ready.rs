//! Rows that may be claimed, by endpoint, lane, priority and age; and the marks of lanes.
//!
//! A lane is marked while it has ready rows and is not known to be blocked. Claims walk marks
//! only, so ten thousand lanes at their limit cost nothing until one of them has room again.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::model::delivery::{Lane, OutboxRow, RowState};
use crate::model::notice::Notice;
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, after_prefix};
use crate::store::rows::{Rows, Span, collect, first_key};
use crate::store::tables::Table;
use crate::store::tx::Tx;

fn endpoint_key(endpoint: &Name) -> Key {
    Key::new(Table::Ready).text(endpoint.as_str())
}

fn lane_key(endpoint: &Name, lane: &Lane) -> Key {
    endpoint_key(endpoint).text(&lane.org).text(&lane.env).text(&lane.key)
}

/// Higher priority first, then older first. In an ordered lane whoever is out, and then whoever
/// was tried before, stays ahead of all others, also of an older run whose delay is over only now.
fn row_key(row: &OutboxRow) -> Key {
    let rank = match row.state {
        RowState::Leased { .. } => 0,
        RowState::Ready | RowState::Waiting if row.ordered && row.attempts > 0 => 1,
        // Priorities end at 100, so this is never below 27.
        RowState::Ready | RowState::Waiting => (i16::from(i8::MAX) - i16::from(row.priority)) as u8,
    };
    lane_key(&row.endpoint, &row.lane).u8(rank).id(row.id)
}

pub fn add(tx: &mut Tx<'_>, row: &OutboxRow) {
    tx.mark(row_key(row));
}

pub fn remove(tx: &mut Tx<'_>, row: &OutboxRow) {
    tx.remove(row_key(row));
}

fn mark_key(endpoint: &Name, lane: &Lane) -> Key {
    Key::new(Table::Lane).text(endpoint.as_str()).text(&lane.org).text(&lane.env).text(&lane.key)
}

/// The lane may be claimed from.
pub fn mark(tx: &mut Tx<'_>, endpoint: &Name, lane: &Lane) {
    tx.mark(mark_key(endpoint, lane));
    tx.notify(Notice::Work(endpoint.clone()));
}

/// Marks the lanes of `endpoint` that have ready rows, found by jumping from one to the next: a
/// higher limit may unblock any of them. Lanes beyond `limit` wait until a place of theirs frees.
pub fn mark_all(tx: &mut Tx<'_>, endpoint: &Name, limit: usize) -> Result<(), Fault> {
    let mut span = Span::prefix(&endpoint_key(endpoint));
    for _ in 0..limit {
        if span.is_empty() {
            break;
        }
        let Some(key) = first_key(tx, &span)? else { break };
        let lane = read_lane(&key)?;
        span.lo = after_prefix(lane_key(endpoint, &lane).bytes());
        tx.mark(mark_key(endpoint, &lane));
    }
    tx.notify(Notice::Work(endpoint.clone()));
    Ok(())
}

/// The lane is empty or blocked; whatever unblocks it marks it again.
pub fn unmark(tx: &mut Tx<'_>, endpoint: &Name, lane: &Lane) {
    tx.remove(mark_key(endpoint, lane));
}

pub fn is_marked(rows: &dyn Rows, endpoint: &Name, lane: &Lane) -> Result<bool, Fault> {
    Ok(rows.get(mark_key(endpoint, lane).bytes())?.is_some())
}

/// The first marked lane of `endpoint` behind `after`, or from the start.
pub fn next_lane(
    rows: &dyn Rows,
    endpoint: &Name,
    after: Option<&Lane>,
) -> Result<Option<Lane>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Lane).text(endpoint.as_str()));
    if let Some(lane) = after {
        span.lo = after_prefix(mark_key(endpoint, lane).bytes());
    }
    if span.is_empty() {
        return Ok(None);
    }
    first_key(rows, &span)?.map(|key| read_lane(&key)).transpose()
}

/// Endpoints that have marked lanes, at most `limit`, found by jumping from one to the next.
pub fn endpoints(rows: &dyn Rows, limit: usize) -> Result<Vec<Name>, Fault> {
    let mut found = Vec::new();
    let mut span = Span::prefix(&Key::new(Table::Lane));
    while let Some(key) = first_key(rows, &span)? {
        let name = super::name(&KeyReader::new(&key).text()?)?;
        span.lo = after_prefix(Key::new(Table::Lane).text(name.as_str()).bytes());
        found.push(name);
        if found.len() >= limit || span.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn read_lane(key: &[u8]) -> Result<Lane, Fault> {
    let mut reader = KeyReader::new(key);
    reader.text()?;
    Ok(Lane { org: reader.text()?, env: reader.text()?, key: reader.text()? })
}

/// The first ready rows of a lane.
pub fn head(rows: &dyn Rows, endpoint: &Name, lane: &Lane, limit: usize) -> Result<Vec<Id>, Fault> {
    collect(rows, &Span::prefix(&lane_key(endpoint, lane)), limit)?
        .iter()
        .map(|(key, _)| crate::store::key::last_id(key))
        .collect()
}

/// The first row of the whole index behind `after`, for listing: its key as cursor, and its id.
pub fn page(
    rows: &dyn Rows,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Id)>, Fault> {
    let mut span = Span::prefix(&Key::new(Table::Ready));
    if let Some(after) = after {
        let mut lo = after.to_vec();
        lo.push(0);
        span.lo = span.lo.max(lo);
    }
    if span.is_empty() {
        return Ok(Vec::new());
    }
    collect(rows, &span, limit)?
        .into_iter()
        .map(|(key, _)| Ok((key.clone(), crate::store::key::last_id(&key)?)))
        .collect()
}
