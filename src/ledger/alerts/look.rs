//! A look: takes every alert further, and writes what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::id::Id;
use crate::base::time::Time;
use crate::ledger::fleet::WORKERS_MAX;
use crate::model::alert::machine::{self, ALERTS_MAX, Known, Outcome};
use crate::model::alert::message::Message;
use crate::model::alert::reading::{self, Fleet, Reading};
use crate::model::alert::silence::{Quiet, Silence};
use crate::model::alert::{Channel, Settings};
use crate::model::notice::Notice;
use crate::model::sample::Sample;
use crate::model::worker::FleetEvent;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{alert as rows, alert_message as messages, silence, worker};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::{DEAD_AGE, DEAD_KEPT, LINES_KEPT, MESSAGES_MAX, SILENCES_MAX, WAITING_MAX};

/// Events of the fleet that one look reads; of more than these the older ones are passed over.
const EVENTS_MAX: usize = 500;
/// Lines of the history that one look removes at most.
const FORGOTTEN_MAX: usize = 1_000;
/// Marks of rules on growth.
const MARKS_MAX: usize = 20_000;

/// What a look looks at.
#[derive(Clone, Debug)]
pub struct Look {
    pub settings: Arc<Settings>,
    pub sample: Arc<Sample>,
    /// What the sample alone says: read before, so that the writer need not.
    pub reading: Reading,
    /// Since when workers are watched: the grace counts from then.
    pub watched_since: Time,
}

/// Takes every alert one look further; gives how many messages are on their way since.
pub fn look(tx: &mut Tx<'_>, look: Look) -> Result<usize, Stop> {
    let now = tx.now();
    let Look { settings, sample, mut reading, watched_since } = look;
    let types = worker::types(tx, WORKERS_MAX)?;
    let (events, cursor) = fresh_events(tx)?;
    let fleet = Fleet { types: &types, events: &events };
    reading::read_fleet(&settings.rules, &sample, fleet, &mut reading);
    let silences = silences(tx, now)?;
    let (alerts, marks) = (rows::list(tx, ALERTS_MAX)?, rows::marks(tx, MARKS_MAX)?);
    let step = machine::Look {
        rules: &settings.rules,
        sample: &sample,
        reading: &reading,
        quiet: Quiet { silences: &silences, maintenance: &settings.maintenance },
        grace: now.since(watched_since) < settings.grace,
        debounce: settings.debounce,
        now,
    };
    let outcome = machine::step(&step, Known { alerts: &alerts, marks: &marks });
    if let Some(cursor) = cursor {
        rows::put_cursor(tx, cursor);
    }
    let sent = write(tx, outcome, &settings)?;
    forget(tx, &settings)?;
    Ok(sent)
}

/// Events since the look before, oldest first, and the newest of them.
fn fresh_events(tx: &Tx<'_>) -> Result<(Vec<FleetEvent>, Option<Id>), Fault> {
    let known = rows::cursor(tx)?;
    let newest = worker::events(tx, None, 1)?.first().map(|(id, _)| *id);
    if newest.is_none() || newest <= known {
        return Ok((Vec::new(), None));
    }
    let listed = match known {
        Some(known) => {
            let all = worker::events(tx, None, EVENTS_MAX)?;
            all.into_iter().take_while(|(id, _)| *id > known).collect()
        }
        // The first look of all: what was before it is history.
        None => Vec::new(),
    };
    Ok((listed.into_iter().rev().map(|(_, event)| event).collect(), newest))
}

/// Silences in force; removes those that are over.
fn silences(tx: &mut Tx<'_>, now: Time) -> Result<Vec<Silence>, Fault> {
    let (over, left): (Vec<Silence>, Vec<Silence>) =
        silence::list(tx, SILENCES_MAX)?.into_iter().partition(|silence| silence.until <= now);
    for silence in over {
        silence::remove(tx, silence.id);
    }
    Ok(left)
}

/// Writes states, lines and messages; gives the number of messages.
fn write(tx: &mut Tx<'_>, outcome: Outcome, settings: &Settings) -> Result<usize, Fault> {
    if !outcome.alerts.is_empty() {
        tx.notify(Notice::Page);
    }
    for (key, alert) in &outcome.alerts {
        match alert {
            Some(alert) => rows::put(tx, alert),
            None => rows::remove(tx, key),
        }
    }
    for (key, mark) in &outcome.marks {
        match mark {
            Some(mark) => rows::put_mark(tx, key, mark),
            None => rows::remove_mark(tx, key),
        }
    }
    let (now, count) = (tx.now(), outcome.messages.len());
    let mut ids = BTreeMap::new();
    for (at, draft) in outcome.messages.into_iter().enumerate() {
        let id = tx.mint();
        ids.insert(at, id);
        let message = Message {
            id,
            draft,
            created_at: now,
            due_at: now,
            attempts: 0,
            first_attempt_at: None,
            last_error: String::new(),
            dead_at: None,
        };
        for channel in &settings.channels {
            make_room(tx, *channel)?;
            messages::put(tx, *channel, &message);
        }
    }
    for (mut line, message) in outcome.lines {
        line.message = message.and_then(|at| ids.get(&at).copied());
        messages::tell(tx, &line);
    }
    Ok(if settings.channels.is_empty() { 0 } else { count })
}

/// While a channel takes nothing for long, its oldest message gives way to the newest.
pub fn make_room(tx: &mut Tx<'_>, channel: Channel) -> Result<(), Fault> {
    let all = messages::list(tx, channel, MESSAGES_MAX)?;
    let waiting = all.iter().filter(|message| message.dead_at.is_none());
    if waiting.clone().count() < WAITING_MAX {
        return Ok(());
    }
    let Some(oldest) = waiting.min_by_key(|message| message.id).cloned() else { return Ok(()) };
    let last_error = format!("given up: {WAITING_MAX} newer messages wait");
    bury(tx, channel, Message { last_error, ..oldest })
}

/// Gives a message up; the newest of these stay to be seen.
pub fn bury(tx: &mut Tx<'_>, channel: Channel, message: Message) -> Result<(), Fault> {
    messages::put(tx, channel, &Message { dead_at: Some(tx.now()), ..message });
    forget_dead(tx, channel)
}

/// Removes what was given up and is old, or too much.
fn forget_dead(tx: &mut Tx<'_>, channel: Channel) -> Result<(), Fault> {
    let now = tx.now();
    let mut dead = messages::list(tx, channel, MESSAGES_MAX)?;
    dead.retain(|message| message.dead_at.is_some());
    let beyond = dead.len().saturating_sub(DEAD_KEPT);
    for (at, message) in dead.iter().enumerate() {
        let old = message.dead_at.is_some_and(|at| now.since(at) >= DEAD_AGE);
        if at < beyond || old {
            messages::remove(tx, channel, message.id);
        }
    }
    Ok(())
}

/// Keeps history and messages within their bounds. What waits for a channel that is not configured
/// any more is given up.
fn forget(tx: &mut Tx<'_>, settings: &Settings) -> Result<(), Fault> {
    let before = tx.now().minus(settings.history);
    messages::forget_lines(tx, before, LINES_KEPT, FORGOTTEN_MAX)?;
    for channel in Channel::ALL {
        if !settings.channels.contains(channel) {
            let mut left = messages::list(tx, *channel, MESSAGES_MAX)?;
            left.retain(|message| message.dead_at.is_none());
            for message in left {
                let last_error = "given up: the channel is not configured any more".to_owned();
                messages::put(
                    tx,
                    *channel,
                    &Message { dead_at: Some(tx.now()), last_error, ..message },
                );
            }
        }
        forget_dead(tx, *channel)?;
    }
    Ok(())
}

/// Alerts by rule and subject, for pages and callers.
pub fn alerts(rows: &dyn Rows) -> Result<Vec<crate::model::alert::Alert>, Fault> {
    Ok(rows::list(rows, ALERTS_MAX)?.into_values().collect())
}
