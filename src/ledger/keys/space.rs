//! The space of keys: finding, creating and removing them, and what is asked about all of them.
//!
//! What has expired is not there, whether or not it was removed yet. One kind of key outlives its
//! expiry: a stream that took in runs after the expiry was set. Runs are never lost that way, so
//! the expiry is dropped instead.

use crate::base::time::Time;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{KeyName, Stream};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count;
use crate::store::kinds::entry::{Purge, put_purge};
use crate::store::kinds::key as keys;
use crate::store::kinds::key::{Entry, Value};
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

use super::command::{Answer, Command};
use super::{expire, rename, scan};

/// What is under a key now; what has expired is not there.
pub fn get(rows: &dyn Rows, now: Time, name: &KeyName) -> Result<Option<Entry>, Fault> {
    Ok(keys::get(rows, name)?.and_then(|entry| match entry.expires_at {
        Some(at) if at <= now && entry.runs() == 0 => None,
        Some(at) if at <= now => Some(Entry { expires_at: None, ..entry }),
        _ => Some(entry),
    }))
}

/// Like [`get`], for an act: what has expired is removed for good.
pub fn take(tx: &mut Tx<'_>, name: &KeyName) -> Result<Option<Entry>, Stop> {
    match keys::get(tx, name)? {
        Some(entry) if entry.expires_at.is_some_and(|at| at <= tx.now()) => end(tx, name, entry),
        other => Ok(other),
    }
}

/// The time of a key has come: it goes, or loses its expiry when it holds runs.
pub(super) fn end(tx: &mut Tx<'_>, name: &KeyName, entry: Entry) -> Result<Option<Entry>, Stop> {
    if entry.runs() == 0 {
        remove(tx, name, &entry)?;
        return Ok(None);
    }
    let kept = Entry { expires_at: None, ..entry.clone() };
    keys::save(tx, name, Some(&entry), Some(&kept));
    Ok(Some(kept))
}

/// The stream under a key, with the entry that holds it.
pub fn stream_of(entry: Option<Entry>) -> Result<Option<(Stream, Entry)>, Refusal> {
    match entry {
        None => Ok(None),
        Some(entry) => match &entry.value {
            Value::Stream(stream) => Ok(Some((stream.clone(), entry))),
            Value::Text(_) => Err(wrong_type()),
        },
    }
}

pub fn wrong_type() -> Refusal {
    Refusal::new(Code::WrongType, "the key holds another kind of value")
}

/// Makes a key that is not there.
pub fn create(tx: &mut Tx<'_>, name: &KeyName, value: Value) -> Result<Entry, Stop> {
    create_until(tx, name, value, None)
}

/// Makes a key that is not there and that may expire. A stream takes the number of its key.
pub fn create_until(
    tx: &mut Tx<'_>,
    name: &KeyName,
    mut value: Value,
    expires_at: Option<Time>,
) -> Result<Entry, Stop> {
    let number = keys::fresh_number(tx)?;
    if let Value::Stream(stream) = &mut value {
        stream.number = number;
    }
    let entry = Entry { number, expires_at, value };
    keys::save(tx, name, None, Some(&entry));
    Ok(entry)
}

/// Removes a key. The rows of a stream are removed later, by a duty; runs are never lost this way.
pub fn remove(tx: &mut Tx<'_>, name: &KeyName, entry: &Entry) -> Result<(), Stop> {
    refuse_runs(name, entry)?;
    if let Value::Stream(stream) = &entry.value {
        put_purge(tx, &Purge::Stream(stream.number));
    }
    keys::save(tx, name, Some(entry), None);
    tx.notify(Notice::Key(name.clone()));
    Ok(())
}

/// Refuses what would lose runs.
pub(super) fn refuse_runs(name: &KeyName, entry: &Entry) -> Result<(), Refusal> {
    match entry.runs() {
        0 => Ok(()),
        runs => Err(holds_runs(name, runs)),
    }
}

pub fn holds_runs(name: &KeyName, runs: u64) -> Refusal {
    Refusal::new(
        Code::HoldsRuns,
        format!(
            "stream {} holds {runs} runs that are not finished: cancel them first",
            crate::base::text::quote(&name.text())
        ),
    )
}

/// Answers a command that only reads.
pub fn ask(rows: &dyn Rows, now: Time, command: &Command) -> Result<Answer, Stop> {
    match command {
        Command::Exists { keys } => Ok(Answer::Count(exists(rows, now, keys)?)),
        Command::Type { key } => {
            let entry = get(rows, now, key)?;
            Ok(Answer::Type(entry.map(|entry| entry.value.type_word())))
        }
        Command::Expires { key } => {
            let entry = get(rows, now, key)?;
            Ok(Answer::Expires(entry.map(|entry| entry.expires_at)))
        }
        Command::Keys { db, pattern } => scan::keys(rows, now, *db, pattern),
        Command::Scan { db, after, count } => Ok(scan::scan(rows, now, *db, *after, *count)?),
        Command::Size { db } => Ok(Answer::Count(counter(rows, &count::keys(*db))?)),
        _ => Err(Fault::Corrupt("a command without an answer".into()).into()),
    }
}

/// Does a command that changes keys as such.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    match command {
        Command::Remove { keys } => remove_all(tx, &keys),
        Command::Expire { key, at, when } => expire::expire(tx, &key, at, when),
        Command::Persist { key } => expire::persist(tx, &key),
        Command::Rename { from, to, only_if_missing } => {
            rename::rename(tx, &from, &to, only_if_missing)
        }
        Command::Flush { db, limit } => scan::flush(tx, db, limit),
        _ => Err(Fault::Corrupt("a command without an act".into()).into()),
    }
}

/// A key counts as often as it is named.
fn exists(rows: &dyn Rows, now: Time, names: &[KeyName]) -> Result<i64, Fault> {
    let mut count = 0;
    for name in names {
        count += i64::from(get(rows, now, name)?.is_some());
    }
    Ok(count)
}

fn remove_all(tx: &mut Tx<'_>, names: &[KeyName]) -> Result<Answer, Stop> {
    let mut count = 0;
    for name in names {
        if let Some(entry) = take(tx, name)? {
            remove(tx, name, &entry)?;
            count += 1;
        }
    }
    Ok(Answer::Count(count))
}
