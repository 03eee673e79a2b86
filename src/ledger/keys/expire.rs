//! When keys expire: setting and lifting the moment, and removing them once it has come.

use crate::base::time::Time;
use crate::model::stream::KeyName;
use crate::store::fault::Stop;
use crate::store::kinds::key as keys;
use crate::store::kinds::key::Entry;
use crate::store::tx::Tx;

use super::command::{Answer, ExpireIf};
use super::space::{end, refuse_runs, remove, take};

/// Lets a key expire at `at`; a moment that has come removes it at once. Answers 0 when there is
/// no key or a condition does not hold.
pub(super) fn expire(
    tx: &mut Tx<'_>,
    name: &KeyName,
    at: Time,
    when: ExpireIf,
) -> Result<Answer, Stop> {
    let Some(before) = take(tx, name)? else { return Ok(Answer::Count(0)) };
    if !holds(when, before.expires_at, at) {
        return Ok(Answer::Count(0));
    }
    refuse_runs(name, &before)?;
    if at <= tx.now() {
        remove(tx, name, &before)?;
    } else {
        let after = Entry { expires_at: Some(at), ..before.clone() };
        keys::save(tx, name, Some(&before), Some(&after));
    }
    Ok(Answer::Count(1))
}

/// Whether every condition allows `new`. A key without an expiry lives for ever, so nothing is
/// later and everything is earlier.
fn holds(when: ExpireIf, old: Option<Time>, new: Time) -> bool {
    (!when.none || old.is_none())
        && (!when.some || old.is_some())
        && (!when.later || old.is_some_and(|old| new > old))
        && (!when.earlier || old.is_none_or(|old| new < old))
}

/// Lets a key live for ever. Answers 0 when it does already, or is not there.
pub(super) fn persist(tx: &mut Tx<'_>, name: &KeyName) -> Result<Answer, Stop> {
    match take(tx, name)? {
        Some(before) if before.expires_at.is_some() => {
            let after = Entry { expires_at: None, ..before.clone() };
            keys::save(tx, name, Some(&before), Some(&after));
            Ok(Answer::Count(1))
        }
        _ => Ok(Answer::Count(0)),
    }
}

/// Removes at most `limit` keys whose time has come; gives how many of these moments are over.
pub fn expire_due(tx: &mut Tx<'_>, limit: usize) -> Result<usize, Stop> {
    let due = keys::expired(tx, tx.now(), limit)?;
    for (at, name) in &due {
        match keys::get(tx, name)? {
            Some(entry) if entry.expires_at == Some(*at) => drop(end(tx, name, entry)?),
            _ => keys::clear_due(tx, *at, name),
        }
    }
    Ok(due.len())
}
