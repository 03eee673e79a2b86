//! The space of keys: finding, creating, removing, expiring, renaming and listing them.

use crate::base::time::Time;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{KeyName, Stream};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry::{Purge, put_purge};
use crate::store::kinds::key as keys;
use crate::store::kinds::key::{Entry, Value};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::command::{Answer, Command};

/// What is under a key now; what has expired is not there.
pub fn get(rows: &dyn Rows, now: Time, name: &KeyName) -> Result<Option<Entry>, Fault> {
    let entry = keys::get(rows, name)?;
    Ok(entry.filter(|entry| entry.expires_at.is_none_or(|at| now < at)))
}

/// Like [`get`], for an act: what has expired is removed for good.
pub fn take(tx: &mut Tx<'_>, name: &KeyName) -> Result<Option<Entry>, Stop> {
    match keys::get(tx, name)? {
        Some(entry) if entry.expires_at.is_some_and(|at| at <= tx.now()) => {
            remove(tx, name, &entry)?;
            Ok(None)
        }
        other => Ok(other),
    }
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
    let entry = Entry { number: keys::fresh_number(tx)?, expires_at: None, value };
    keys::save(tx, name, None, Some(&entry));
    Ok(entry)
}

/// Removes a key. The rows of a stream are removed later, by a duty; runs are never lost this way.
pub fn remove(tx: &mut Tx<'_>, name: &KeyName, entry: &Entry) -> Result<(), Stop> {
    if let Value::Stream(stream) = &entry.value {
        if stream.runs > 0 {
            return Err(holds_runs(name, stream.runs).into());
        }
        put_purge(tx, &Purge::Stream(stream.number));
    }
    keys::save(tx, name, Some(entry), None);
    tx.notify(Notice::Key(name.clone()));
    Ok(())
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
    let _ = (rows, now, command);
    Err(Fault::Corrupt("a command without an answer".into()).into())
}

/// Does a command that changes keys as such.
pub fn apply(tx: &mut Tx<'_>, command: Command) -> Result<Answer, Stop> {
    let _ = (tx, command);
    Err(Fault::Corrupt("a command without an act".into()).into())
}
