//! Endpoints: health, secrets and breaker of a push task's receiver, under the task's name.

use bincode::{Decode, Encode};

use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::breaker::{Breaker, Reason, Sample, State};
use crate::model::endpoint::Endpoint;
use crate::model::signature::{Secret, Secrets};
use crate::store::codec::Record;
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::rows::{Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct EndpointRow {
    secret: Vec<u8>,
    previous: Option<Vec<u8>>,
    previous_until: i64,
    /// 1 closed, 2 open, 3 half-open, 4 disabled; `at` is the time that belongs to it.
    state: u8,
    at: i64,
    reason: u8,
    samples: Vec<(i64, u32, u32, u32)>,
    trips: u32,
    tripping_since: Option<i64>,
    failures_in_row: u32,
    suspect_since: Option<i64>,
    failed_at: Option<i64>,
    failing_since: Option<i64>,
    owner_told: bool,
    warned_at: Option<i64>,
    paused_until: Option<i64>,
    last_success_at: Option<i64>,
    last_error: Option<(i64, String, String)>,
    exhausted_told_at: Option<i64>,
    delivered: u64,
    failed: u64,
}

impl Record for EndpointRow {
    const KIND: &'static str = "endpoint";
}

fn key(name: &Name) -> Key {
    Key::new(Table::Endpoint).text(name.as_str())
}

pub fn get(rows: &dyn Rows, name: &Name) -> Result<Option<Endpoint>, Fault> {
    load::<EndpointRow>(rows, &key(name))?.map(|row| from_row(name.clone(), row)).transpose()
}

pub fn remove(tx: &mut Tx<'_>, name: &Name) {
    tx.remove(key(name));
}

const REASONS: [Reason; 4] = [Reason::Tripping, Reason::Failing, Reason::Gone, Reason::Operator];

pub fn put(tx: &mut Tx<'_>, endpoint: &Endpoint) {
    let breaker = &endpoint.breaker;
    let ms = |time: Option<Time>| time.map(|t| t.0);
    let (state, at, reason) = match breaker.state {
        State::Closed => (1, Time::ZERO, 0),
        State::Open { until } => (2, until, 0),
        State::HalfOpen { probe_until } => (3, probe_until, 0),
        State::Disabled { reason, since } => {
            let number = REASONS.iter().position(|known| *known == reason);
            (4, since, number.map_or(0, |index| index as u8 + 1))
        }
    };
    let row = EndpointRow {
        secret: endpoint.secrets.current.as_bytes().to_vec(),
        previous: endpoint.secrets.previous.as_ref().map(|secret| secret.as_bytes().to_vec()),
        previous_until: endpoint.secrets.previous_until.0,
        state,
        at: at.0,
        reason,
        samples: breaker.samples.iter().map(|s| (s.slot, s.ok, s.failed, s.refused)).collect(),
        trips: breaker.trips,
        tripping_since: ms(breaker.tripping_since),
        failures_in_row: breaker.failures_in_row,
        suspect_since: ms(breaker.suspect_since),
        failed_at: ms(breaker.failed_at),
        failing_since: ms(breaker.failing_since),
        owner_told: breaker.owner_told,
        warned_at: ms(breaker.warned_at),
        paused_until: ms(breaker.paused_until),
        last_success_at: ms(endpoint.last_success_at),
        last_error: endpoint.last_error.clone().map(|(at, code, detail)| (at.0, code, detail)),
        exhausted_told_at: ms(endpoint.exhausted_told_at),
        delivered: endpoint.delivered,
        failed: endpoint.failed,
    };
    tx.put(key(&endpoint.name), &row);
}

fn from_row(name: Name, row: EndpointRow) -> Result<Endpoint, Fault> {
    let secret = |bytes: &[u8]| {
        Secret::from_bytes(bytes).map_err(|why| Fault::Corrupt(format!("a secret: {why}")))
    };
    let at = Time(row.at);
    let state = match row.state {
        1 => Some(State::Closed),
        2 => Some(State::Open { until: at }),
        3 => Some(State::HalfOpen { probe_until: at }),
        4 => usize::from(row.reason)
            .checked_sub(1)
            .and_then(|index| REASONS.get(index))
            .map(|reason| State::Disabled { reason: *reason, since: at }),
        _ => None,
    };
    let mut samples = [Sample::default(); crate::model::breaker::WINDOW_SAMPLES];
    for (sample, (slot, ok, failed, refused)) in samples.iter_mut().zip(row.samples) {
        *sample = Sample { slot, ok, failed, refused };
    }
    let breaker = Breaker {
        state: super::word(state, "breaker state", row.state)?,
        samples,
        trips: row.trips,
        tripping_since: row.tripping_since.map(Time),
        failures_in_row: row.failures_in_row,
        suspect_since: row.suspect_since.map(Time),
        failed_at: row.failed_at.map(Time),
        failing_since: row.failing_since.map(Time),
        owner_told: row.owner_told,
        warned_at: row.warned_at.map(Time),
        paused_until: row.paused_until.map(Time),
    };
    Ok(Endpoint {
        name,
        secrets: Secrets {
            current: secret(&row.secret)?,
            previous: row.previous.as_deref().map(secret).transpose()?,
            previous_until: Time(row.previous_until),
        },
        breaker,
        last_success_at: row.last_success_at.map(Time),
        last_error: row.last_error.map(|(at, code, detail)| (Time(at), code, detail)),
        exhausted_told_at: row.exhausted_told_at.map(Time),
        delivered: row.delivered,
        failed: row.failed,
    })
}
