//! States of alerts, marks of rules on growth, how channels do, and up to where the events of the
//! fleet were looked at.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::alert::{Alert, Channel, ChannelHealth, Mark, Phase, Severity};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// Rule and subject.
type Of = (String, String);

#[derive(Encode, Decode)]
struct AlertRow {
    phase: u8,
    severity: u8,
    since: i64,
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
    told_at: Option<i64>,
    messaged_at: Option<i64>,
    silenced: bool,
    detail: String,
}

impl Record for AlertRow {
    const KIND: &'static str = "alert";
}

#[derive(Encode, Decode)]
struct MarkRow {
    value: f64,
    grew_at: Option<i64>,
}

impl Record for MarkRow {
    const KIND: &'static str = "alert mark";
}

#[derive(Encode, Decode)]
struct ChannelRow {
    sent: u64,
    last_success_at: Option<i64>,
    last_error_at: Option<i64>,
    last_error: String,
}

impl Record for ChannelRow {
    const KIND: &'static str = "alert channel";
}

#[derive(Encode, Decode)]
struct CursorRow {
    id: [u8; 16],
}

impl Record for CursorRow {
    const KIND: &'static str = "alert cursor";
}

fn of(table: Table, (rule, subject): &Of) -> Key {
    Key::new(table).text(rule).text(subject)
}

pub(super) fn severity(number: u8) -> Result<Severity, Fault> {
    super::word(Severity::from_number(number), "severity", number)
}

pub fn put(tx: &mut Tx<'_>, alert: &Alert) {
    let row = AlertRow {
        phase: alert.phase as u8,
        severity: alert.severity as u8,
        since: alert.since.0,
        fired_at: alert.fired_at.map(|at| at.0),
        resolved_at: alert.resolved_at.map(|at| at.0),
        told_at: alert.told_at.map(|at| at.0),
        messaged_at: alert.messaged_at.map(|at| at.0),
        silenced: alert.silenced,
        detail: alert.detail.clone(),
    };
    tx.put(of(Table::Alert, &alert.key()), &row);
}

pub fn remove(tx: &mut Tx<'_>, key: &Of) {
    tx.remove(of(Table::Alert, key));
}

/// States by rule and subject.
pub fn list(rows: &dyn Rows, limit: usize) -> Result<BTreeMap<Of, Alert>, Fault> {
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        let (rule, subject) = (reader.text()?, reader.text()?);
        let row: AlertRow = codec::decode(value)?;
        let alert = Alert {
            rule: rule.clone(),
            subject: subject.clone(),
            phase: super::word(Phase::from_number(row.phase), "phase of an alert", row.phase)?,
            severity: severity(row.severity)?,
            since: Time(row.since),
            fired_at: row.fired_at.map(Time),
            resolved_at: row.resolved_at.map(Time),
            told_at: row.told_at.map(Time),
            messaged_at: row.messaged_at.map(Time),
            silenced: row.silenced,
            detail: row.detail,
        };
        Ok(((rule, subject), alert))
    };
    collect(rows, &Span::prefix(&Key::new(Table::Alert)), limit)?.iter().map(read).collect()
}

pub fn put_mark(tx: &mut Tx<'_>, key: &Of, mark: &Mark) {
    let row = MarkRow { value: mark.value, grew_at: mark.grew_at.map(|at| at.0) };
    tx.put(of(Table::AlertMark, key), &row);
}

pub fn remove_mark(tx: &mut Tx<'_>, key: &Of) {
    tx.remove(of(Table::AlertMark, key));
}

pub fn marks(rows: &dyn Rows, limit: usize) -> Result<BTreeMap<Of, Mark>, Fault> {
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        let row: MarkRow = codec::decode(value)?;
        let mark = Mark { value: row.value, grew_at: row.grew_at.map(Time) };
        Ok(((reader.text()?, reader.text()?), mark))
    };
    collect(rows, &Span::prefix(&Key::new(Table::AlertMark)), limit)?.iter().map(read).collect()
}

fn channel_key(channel: Channel) -> Key {
    Key::new(Table::AlertChannel).u8(channel as u8)
}

pub fn put_health(tx: &mut Tx<'_>, channel: Channel, health: &ChannelHealth) {
    let row = ChannelRow {
        sent: health.sent,
        last_success_at: health.last_success_at.map(|at| at.0),
        last_error_at: health.last_error_at.map(|at| at.0),
        last_error: health.last_error.clone(),
    };
    tx.put(channel_key(channel), &row);
}

/// How a channel does; nothing is known of one that was never used.
pub fn health(rows: &dyn Rows, channel: Channel) -> Result<ChannelHealth, Fault> {
    let row = load::<ChannelRow>(rows, &channel_key(channel))?;
    Ok(row.map_or_else(ChannelHealth::default, |row| ChannelHealth {
        sent: row.sent,
        last_success_at: row.last_success_at.map(Time),
        last_error_at: row.last_error_at.map(Time),
        last_error: row.last_error,
    }))
}

/// Events of the fleet up to this one were looked at.
pub fn put_cursor(tx: &mut Tx<'_>, id: Id) {
    tx.put(Key::new(Table::AlertCursor), &CursorRow { id: id.0 });
}

pub fn cursor(rows: &dyn Rows) -> Result<Option<Id>, Fault> {
    Ok(load::<CursorRow>(rows, &Key::new(Table::AlertCursor))?.map(|row| Id(row.id)))
}
